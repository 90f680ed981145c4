"""Waiting for the answers to a question in the triggerer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers._event import EventStatus, new_event
from airflow_provider_chatwork.waiting.approvals.poll import Ask, Heard, Look, is_worth_keeping, listen
from airflow_provider_chatwork.waiting.approvals.recheck import MEMBERS_EVERY
from airflow_provider_chatwork.waiting.poller.registry import accounts
from airflow_provider_chatwork.waiting.poller.subscribe import MessagesWait, watch_messages
from airflow_provider_chatwork.waiting.poller.subscription import SHORTEST_INTERVAL

# How long to wait for a look before a hint is posted, in seconds. Without it, the hint waits for the next one.
_FRESH_LOOK = 30.0


class ChatworkApprovalTrigger(ChatworkTrigger[MessagesWait]):
    """Wait until people have answered a question, and yield one event of plain JSON.

    Its ``status`` is that of a :class:`~airflow_provider_chatwork.waiting.approvals.poll.Look` (with ``choice``), ``heard``,
    ``timeout`` or ``refused`` (with ``error``, written by :func:`~airflow_provider_chatwork.api.errors.to_plain`). But
    where Chatwork refused, it comes with ``heard``, what was answered so far, and with the ``ask`` and ``deadline`` of
    the trigger.

    An event of the status ``heard`` decides nothing. It asks for another trigger with what was heard in its arguments,
    so that an answer outlives a restart of the triggerer, even where it is by then behind the 100 messages that can be
    read. A ``timeout`` is ``unseen`` where Chatwork could not be asked for what came last, or whether what was answered
    still stands.

    :param ask: the question, as :meth:`~airflow_provider_chatwork.waiting.approvals.poll.Ask.to_plain` wrote it.
    :param heard: what was heard before, a :class:`~airflow_provider_chatwork.waiting.approvals.poll.Heard`.
    :param chatwork_conn_id: and the rest are those of
        :class:`~airflow_provider_chatwork.triggers._base.ChatworkTrigger`.
    """

    def __init__(self, *, ask: Mapping[str, Any], heard: Heard, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ask = dict(ask)
        self.heard = heard
        self._ask = Ask(**ask)
        self._now_heard = heard
        self._looked_at = float("-inf")
        self._owes_help = False
        self._is_unsure = False
        # Another triggerer, or a post without an answer, may have given a hint that the shared page does not show yet.
        self._may_have_helped = True

    def arguments(self) -> dict[str, Any]:
        """The arguments that make another one, as plain JSON."""
        return {**super().arguments(), "ask": self.ask, "heard": self.heard}

    def watch(self, settings: Settings) -> MessagesWait:
        """Begin to look."""
        return watch_messages(
            settings,
            self._ask.room_id,
            interval=self.poke_interval,
            max_interval=self.longest_interval,
            log=self.log,
        )

    async def attend(self, wait: MessagesWait) -> dict[str, Any] | None:
        """Hear what was answered."""
        self._looked_at = wait.now()
        look = await self._listen(wait, helps=not self._may_have_helped)
        if look.owes_help and self._may_have_helped and await wait.look(_FRESH_LOOK):
            look = await self._listen(wait, helps=True)
        self._owes_help = self._may_have_helped = look.owes_help
        self._is_unsure = look.is_unsure
        if look.outcome != "open":
            return self._event(EventStatus.DONE, outcome=look.outcome, choice=look.choice)
        if is_worth_keeping(self.heard, look.heard):
            return self._event(EventStatus.CHECKPOINT)
        return None

    def attend_at(self) -> float:
        """When the members are looked at; an interval after the last attempt, where that left something to do."""
        # After the deadline nothing but a look that went well may pass for one.
        if self._looked_at == float("-inf") or accounts().clock() >= self.deadline:
            return super().attend_at()
        next_attempt = self._looked_at + max(self.poke_interval, SHORTEST_INTERVAL)
        if self._owes_help or self._is_unsure:
            return next_attempt
        return max(next_attempt, self._now_heard["members_at"] + MEMBERS_EVERY)

    async def give_up(self, wait: MessagesWait) -> dict[str, Any]:
        """Return the event of a wait whose time is over."""
        return self._event(EventStatus.TIMEOUT, unseen=self._is_unsure or self._looked_at < self.deadline)

    async def _listen(self, wait: MessagesWait, *, helps: bool) -> Look:
        steps = listen(self._ask, wait.page, self._now_heard, deadline=self.deadline, now=wait.now(), helps=helps)
        look = await wait.run_flow(steps)
        self._now_heard = look.heard
        for remark in look.remarks:
            self.log.warning("%s", remark)
        return look

    def _event(self, status: EventStatus, **more: Any) -> dict[str, Any]:
        # Not left to the arguments of the deferral, which `dag.test()` of some Airflows forgets.
        return new_event(status, ask=self.ask, deadline=self.deadline, heard=self._now_heard, **more)
