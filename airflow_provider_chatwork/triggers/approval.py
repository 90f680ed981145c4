"""The trigger that waits for the votes on a question."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers._event import EventStatus, new_event
from airflow_provider_chatwork.waiting.approvals.poll import Ask, Heard, Look, is_worth_keeping, listen
from airflow_provider_chatwork.waiting.approvals.recheck import MEMBERS_EVERY
from airflow_provider_chatwork.waiting.poller.registry import poller_registry
from airflow_provider_chatwork.waiting.poller.subscribe import MessageSubscription, subscribe_messages

# How many seconds to wait for the poll before a hint is posted. If it takes longer, the hint waits for the next poll.
_FRESH_POLL_TIMEOUT = 30.0


class ChatworkApprovalTrigger(ChatworkTrigger[MessageSubscription]):
    """Wait until a question is decided, and yield one event of plain JSON.

    Its ``status`` is one of :class:`~airflow_provider_chatwork.triggers._event.EventStatus`. ``done`` comes with the
    ``outcome`` and ``choice`` of a :class:`~airflow_provider_chatwork.waiting.approvals.poll.Look`, ``timeout`` with
    ``unseen``: whether the last messages could not be read, or the votes not be checked again. All but ``error`` come
    with ``heard``, the votes so far, and with the ``ask`` and ``deadline`` of the trigger.

    ``checkpoint`` asks for another trigger with these votes in its arguments. So a vote survives a restart of the
    triggerer, even if it is by then older than the 100 messages that can be read.

    :param ask: the question, written by :meth:`~airflow_provider_chatwork.waiting.approvals.poll.Ask.to_plain`.
    :param heard: the votes so far, a :class:`~airflow_provider_chatwork.waiting.approvals.poll.Heard`.
    :param kwargs: those of :class:`~airflow_provider_chatwork.triggers._base.ChatworkTrigger`.
    """

    def __init__(self, *, ask: Mapping[str, Any], heard: Heard, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ask = dict(ask)
        self.heard = heard
        self._ask = Ask(**ask)
        self._now_heard = heard
        self._polled_at = float("-inf")
        self._hint_pending = False
        self._is_stale = False
        # Another triggerer, or a post whose answer was lost, may have posted a hint that the shared page does not show
        # yet.
        self._may_have_posted_hints = True

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as plain JSON."""
        return {**super().arguments(), "ask": self.ask, "heard": self.heard}

    def subscribe(self, settings: Settings) -> AbstractAsyncContextManager[MessageSubscription]:
        """Return the subscription to wait with."""
        return subscribe_messages(
            settings, self._ask.room_id, interval=self.interval, max_interval=self.longest_interval, log=self.log
        )

    async def on_change(self, subscription: MessageSubscription) -> dict[str, Any] | None:
        """Collect the votes, and return the event if the question is decided or votes have to be saved."""
        self._polled_at = subscription.now()
        look = await self._poll(subscription, may_post_hints=not self._may_have_posted_hints)
        if look.owes_help and self._may_have_posted_hints and await subscription.refresh(_FRESH_POLL_TIMEOUT):
            look = await self._poll(subscription, may_post_hints=True)
        self._hint_pending = self._may_have_posted_hints = look.owes_help
        self._is_stale = look.is_unsure
        if look.outcome != "open":
            return self._event(EventStatus.DONE, outcome=look.outcome, choice=look.choice)
        if is_worth_keeping(self.heard, look.heard):
            return self._event(EventStatus.CHECKPOINT)
        return None

    def next_action_at(self) -> float:
        """Return when the members are read again; an interval after the last attempt, if that was incomplete."""
        # After the deadline only a successful poll counts.
        if self._polled_at == float("-inf") or poller_registry().clock() >= self.deadline:
            return super().next_action_at()
        next_attempt = self._polled_at + self.interval
        if self._hint_pending or self._is_stale:
            return next_attempt
        return max(next_attempt, self._now_heard["members_at"] + MEMBERS_EVERY)

    async def on_timeout(self, subscription: MessageSubscription) -> dict[str, Any]:
        """Return the event of a wait whose deadline has passed."""
        return self._event(EventStatus.TIMEOUT, unseen=self._is_stale or self._polled_at < self.deadline)

    async def _poll(self, subscription: MessageSubscription, *, may_post_hints: bool) -> Look:
        flow = listen(
            *(self._ask, subscription.page, self._now_heard),
            deadline=self.deadline,
            now=subscription.now(),
            helps=may_post_hints,
        )
        look = await subscription.run_flow(flow)
        self._now_heard = look.heard
        for warning in look.remarks:
            self.log.warning("%s", warning)
        return look

    def _event(self, status: EventStatus, **more: Any) -> dict[str, Any]:
        # `dag.test()` of some Airflow versions loses the arguments of a deferral, so the event has them as well.
        return new_event(status, ask=self.ask, deadline=self.deadline, heard=self._now_heard, **more)
