"""The trigger that waits for the votes on a question."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers._event import EventStatus
from airflow_provider_chatwork.waiting.approvals.poll import MEMBERS_INTERVAL, poll
from airflow_provider_chatwork.waiting.approvals.question import ApprovalState, Outcome, PollResult, Question
from airflow_provider_chatwork.waiting.approvals.votes import has_new_votes_or_hints
from airflow_provider_chatwork.waiting.poller.account_poller import poller_registry
from airflow_provider_chatwork.waiting.poller.message_poller import MessageSubscription, subscribe_messages

# Seconds to wait for a fresh page before a hint is posted. Without one, the hint waits for the next poll.
_FRESH_PAGE_TIMEOUT = 30.0


class ChatworkApprovalTrigger(ChatworkTrigger[MessageSubscription]):
    """Wait until a question is decided, and yield one event of plain JSON.

    Every event but that of an error has the ``state``, the ``question`` and the ``deadline``. ``done`` has the
    ``outcome`` (see ``waiting.approvals.question.Outcome``) and the ``choice``. ``timeout``
    has ``last_poll_failed``: whether the messages at the deadline could not be read.

    A ``checkpoint`` asks the operator to save the state and to defer again with it, so that a vote outlives a restart
    of the triggerer even if its message has left the newest 100 by then.

    :param question: as of :meth:`~airflow_provider_chatwork.waiting.approvals.question.Question.to_plain`.
    :param state: what earlier polls have found.
    :param kwargs: those of :class:`~airflow_provider_chatwork.triggers._base.ChatworkTrigger`.
    """

    argument_names = (*ChatworkTrigger.argument_names, "question", "state")

    def __init__(self, *, question: Mapping[str, Any], state: ApprovalState, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.question = dict(question)
        self.state = state
        self._question = Question(**question)
        self._current_state = state
        self._polled_at = float("-inf")
        self._hint_pending = False
        self._is_stale = False
        # Another triggerer, or a post whose reply was lost, may have posted a hint that the shared page lacks.
        self._needs_fresh_page = True

    def subscribe(self, settings: Settings) -> AbstractAsyncContextManager[MessageSubscription]:
        """Return the subscription to wait with."""
        room_id = self._question.room_id
        return subscribe_messages(
            settings, room_id, interval=self.interval, max_interval=self.longest_interval, log=self.log
        )

    async def on_change(self, subscription: MessageSubscription) -> dict[str, Any] | None:
        """Poll the page, and return an event if the question is decided or the state has to be saved."""
        self._polled_at = subscription.now()
        result = await self._poll(subscription, may_post_hints=not self._needs_fresh_page)
        if result.hint_pending and self._needs_fresh_page and await subscription.refresh(_FRESH_PAGE_TIMEOUT):
            result = await self._poll(subscription, may_post_hints=True)
        self._hint_pending = self._needs_fresh_page = result.hint_pending
        self._is_stale = result.is_stale
        if result.outcome != Outcome.OPEN:
            return self._event(EventStatus.DONE, outcome=result.outcome.value, choice=result.choice)
        if has_new_votes_or_hints(self.state, result.state):
            return self._event(EventStatus.CHECKPOINT)
        return None

    def next_action_at(self) -> float:
        """Return the time of the next refresh of the members, or of the next attempt after an incomplete poll."""
        # After the deadline only a page read after it may end the wait.
        if self._polled_at == float("-inf") or poller_registry().clock() >= self.deadline:
            return float("inf")
        next_attempt = self._polled_at + self.interval
        if self._hint_pending or self._is_stale:
            return next_attempt
        return max(next_attempt, self._current_state["members_at"] + MEMBERS_INTERVAL)

    async def on_timeout(self, subscription: MessageSubscription) -> dict[str, Any]:
        """Return the event of a wait that reached its deadline."""
        return self._event(EventStatus.TIMEOUT, last_poll_failed=self._is_stale or self._polled_at < self.deadline)

    async def _poll(self, subscription: MessageSubscription, *, may_post_hints: bool) -> PollResult:
        calls = poll(
            self._question,
            subscription.page,
            self._current_state,
            deadline=self.deadline,
            now=subscription.now(),
            may_post_hints=may_post_hints,
        )
        result = await subscription.poller.client.run_flow(calls)
        self._current_state = result.state
        for warning in result.warnings:
            self.log.warning("Question %s in room %s: %s", self._question.message_id, self._question.room_id, warning)
        return result

    def _event(self, status: EventStatus, **fields: Any) -> dict[str, Any]:
        # The event has the question and the deadline, as `dag.test()` of some Airflows loses the deferral's `kwargs`.
        state = self._current_state
        return {"status": status.value, "question": self.question, "deadline": self.deadline, "state": state, **fields}
