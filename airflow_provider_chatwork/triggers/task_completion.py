"""Waiting in the triggerer for people who were given a task: reminding them, and withdrawing what nobody wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers._elsewhere import goes_on_elsewhere
from airflow_provider_chatwork.triggers._event import EventStatus, new_event
from airflow_provider_chatwork.waiting.outbox.delivery import tell
from airflow_provider_chatwork.waiting.outbox.outbox import LOOK_AGE
from airflow_provider_chatwork.waiting.poller.room_poller import LONGEST_PAUSE
from airflow_provider_chatwork.waiting.poller.subscribe import TasksWait, watch_tasks
from airflow_provider_chatwork.waiting.reminders.cancellation import withdraw_steps
from airflow_provider_chatwork.waiting.reminders.plan import Facts, FollowUp
from airflow_provider_chatwork.waiting.reminders.progress import Progress
from airflow_provider_chatwork.waiting.tasks.given_tasks import (
    WAIT_KEY,
    facts_of,
    last_seen,
    never_seen,
    note_all,
    reason_of,
)
from airflow_provider_chatwork.waiting.tasks.tracking import Given, assignees_of, ids_of, message_of

# How long a look may take before somebody is reminded or a task is withdrawn, in seconds.
_LOOK = 15.0
# How many requests such a look may take; rather than that, the tasks of the wait alone are read.
_CHEAP = 3.0
# An event loop keeps no task from being collected.
_withdrawals: set[asyncio.Task[None]] = set()


class ChatworkFollowUpTrigger(ChatworkTrigger[TasksWait]):
    """Wait until people are done with the tasks they were given, remind them, and yield one event of plain JSON.

    Its ``status`` is ``done``, ``timeout`` or ``refused`` (with ``error``, written by
    :func:`~airflow_provider_chatwork.api.errors.to_plain`). ``given`` is always with it,
    with all that was seen of the tasks.

    A restart of the triggerer makes another one from the arguments alone. What was said in the room by then is found
    there, and not said again.

    :param given: the tasks, a :class:`~airflow_provider_chatwork.waiting.tasks.tracking.Given`; its ``deadline`` counts.
    :param follow_up: reminders and escalation, as
        :meth:`~airflow_provider_chatwork.waiting.reminders.FollowUp.to_plain` wrote them.
    :param withdraw: whether to close the open tasks, and say why, where a user ends the Airflow task while it waits.
        Airflow 3.3 tells of that; earlier ones do not.
    :param chatwork_conn_id: and the rest are those of
        :class:`~airflow_provider_chatwork.triggers._base.ChatworkTrigger`.
    """

    def __init__(
        self, *, given: Given, follow_up: Mapping[str, Any] | None = None, withdraw: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.given = given
        self.follow_up = dict(follow_up or {})
        self.withdraw = withdraw
        # What is seen is not noted in the arguments, which are those of a trigger that has seen nothing.
        self._seen = deepcopy(given)
        self._rules = FollowUp.from_plain(self.follow_up)
        self._progress = Progress(self._rules, given["created_at"])
        self._due = float("inf")
        self._not_before = 0.0
        self._pause = 0.0
        self._web_url = ""
        self._wait: TasksWait | None = None

    def arguments(self) -> dict[str, Any]:
        """The arguments that make another one, as plain JSON."""
        return {
            **super().arguments(),
            "given": self.given,
            "follow_up": self.follow_up,
            "withdraw": self.withdraw,
        }

    def watch(self, settings: Settings) -> TasksWait:
        """Begin to look."""
        self._web_url = settings.web_url
        self._wait = watch_tasks(
            *(settings, self.given["room_id"], ids_of(self.given["tracks"])),
            complete_when=self.given["needed"],
            interval=self.poke_interval,
            max_interval=self.longest_interval,
            assignees=assignees_of(self.given["tracks"]),
            log=self.log,
        )
        return self._wait

    async def attend(self, wait: TasksWait) -> dict[str, Any] | None:
        """See whether the tasks are done, and remind people of them where it is time to."""
        self._note(wait)
        if (end := self._end(wait)) is not None:
            return end
        if wait.now() < self._not_before or not await self._is_time(wait):
            return None
        self._not_before = wait.may_post_at()
        if self._not_before > wait.now():
            return None
        # Nobody is to be reminded of what they have done by the time it is due, or since then but for a moment.
        since = max(min(self._due, wait.now()), wait.now() - LOOK_AGE)
        is_cheap = wait.look_cost <= _CHEAP
        if is_cheap and not await wait.look(_LOOK, since):
            self._pause = min(max(2 * self._pause, LOOK_AGE), LONGEST_PAUSE)
            self._not_before = wait.now() + self._pause
        else:
            self._pause = 0.0
            if await self._is_time(wait):
                await self._follow_up(wait, None if is_cheap else wait.still_open)
        self._note(wait)
        return self._end(wait)

    def _end(self, wait: TasksWait) -> dict[str, Any] | None:
        return new_event(EventStatus.DONE) if wait.is_complete else None

    async def _follow_up(self, wait: TasksWait, is_true: Callable[[], Awaitable[bool]] | None) -> None:
        facts, now = await self._facts(wait), wait.now()
        later = []
        for letter in self._progress.letters(facts, now):
            done = await wait.deliver(letter, is_true)
            if isinstance(done, float):
                later.append(done)
            else:
                self._progress.said(letter)
                tell(self.log, done)
        if later:
            self._not_before = min(later)
        else:
            self._progress.through(now)
            self._plan(facts)

    async def _is_time(self, wait: TasksWait) -> bool:
        """Whether people have to be reminded now."""
        if not self._rules or wait.is_complete or wait.now() >= self.deadline:
            return False
        self._plan(await self._facts(wait))
        return self._due <= wait.now()

    def _plan(self, facts: Facts) -> None:
        due = self._progress.next_due(facts)
        self._due = float("inf") if due is None else due

    def attend_at(self) -> float:
        """When there is somebody to remind next, or to try to again where no look could be had."""
        return max(self._due, self._not_before)

    async def on_kill(self) -> None:
        """Withdraw the open tasks where a user marks or clears the task. Airflow 3.3 calls it then, and too often."""
        if self.withdraw:
            # Airflow cancels the trigger again a second later, and thereby this. What was begun goes on all the same.
            withdrawal = asyncio.create_task(self._withdraw_open())
            _withdrawals.add(withdrawal)
            withdrawal.add_done_callback(_withdrawals.discard)
            await asyncio.shield(withdrawal)

    async def _withdraw_open(self) -> None:
        try:
            if await goes_on_elsewhere(self.task_instance, WAIT_KEY, self._is_same):
                self.log.info("Another triggerer goes on with this wait")
                return
            await self._withdraw()
        except Exception as error:
            # Nobody else may be there any more to hear of it.
            self.log.error("The open tasks could not be withdrawn: %s", error)

    def _is_same(self, given: Given) -> bool:
        return ids_of(given["tracks"]) == ids_of(self.given["tracks"])

    async def _withdraw(self) -> None:
        settings = await ChatworkHook(self.chatwork_conn_id).asettings()
        async with self.watch(settings) as wait:
            # Too few are left, which is no reason to leave those open.
            with suppress(ChatworkNotFoundError):
                await wait.look(_LOOK)
            if wait.is_complete:
                # Another triggerer may have seen that, and the task has gone on.
                return
            reason = reason_of("killed", settings.lang)
            tasks = self._note(wait)
            tasks = {**last_seen(self._seen["tracks"]), **tasks}
            facts = facts_of(self._seen, tasks, await wait.account_id(), self._web_url)
            withdrawal = await wait.run_flow(withdraw_steps(facts, reason, lang=settings.lang))
        for refused in withdrawal["refused"]:
            self.log.error("A task could not be withdrawn: %s", refused)
        if unseen := never_seen(self._seen["tracks"]):
            self.log.error("The open tasks could not be withdrawn: nothing is known of %s", unseen)
        self.log.info("Withdrawn: %s", withdrawal)

    async def end(self) -> dict[str, Any]:
        """Look until the wait is over, and return the event with all that was seen."""
        event = await super().end()
        if self._wait is not None:
            self._note(self._wait)
        return {**event, "given": self._seen}

    def _note(self, wait: TasksWait) -> dict[int, models.Task]:
        tasks = {task["task_id"]: task for task in wait.tasks if task is not None}
        deleted = {state["task_id"] for state in wait.states if state["status"] == "deleted"}
        note_all(self._seen["tracks"], tasks, deleted, wait.now())
        self._seen["message_id"] = self._seen["message_id"] or message_of(self._seen["tracks"])
        return tasks

    async def _facts(self, wait: TasksWait) -> Facts:
        tasks = self._note(wait)
        return facts_of(self._seen, tasks, await wait.account_id(), self._web_url)
