"""The trigger that waits for assigned tasks, sends reminders, and cancels the tasks if the wait is ended in Airflow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from typing import Any

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers._event import EventStatus, new_event
from airflow_provider_chatwork.waiting.outbox.delivery import log_report
from airflow_provider_chatwork.waiting.outbox.outbox import MAX_PAGE_AGE, OutboxSender
from airflow_provider_chatwork.waiting.poller.room_poller import LONGEST_BACKOFF
from airflow_provider_chatwork.waiting.poller.subscribe import TaskSubscription, subscribe_tasks
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

# How many seconds to wait for the poll before a reminder or a cancellation.
_POLL_TIMEOUT = 15.0
# How many requests that poll may take. If it takes more, only the tasks of this wait are read.
_MAX_POLL_COST = 3.0
# Event loops hold tasks weakly, so that a task without another reference may be collected.
_cancellations: set[asyncio.Task[None]] = set()


class ChatworkTaskCompletionTrigger(ChatworkTrigger[TaskSubscription]):
    """Wait until assigned tasks are done, send reminders, and yield one event of plain JSON.

    Its ``status`` is one of :class:`~airflow_provider_chatwork.triggers._event.EventStatus`. Every event comes with
    ``given``, the tasks as they were last seen.

    After a restart of the triggerer, Airflow makes the trigger again from its arguments. Messages that were sent before
    are found in the room and not sent again.

    :param given: the tasks, a :class:`~airflow_provider_chatwork.waiting.tasks.tracking.Given`.
    :param follow_up: reminders and escalation, written by
        :meth:`~airflow_provider_chatwork.waiting.reminders.plan.FollowUp.to_plain`.
    :param withdraw: whether to cancel the open tasks if a user ends the Airflow task while it waits. Needs Airflow 3.3.
    :param kwargs: those of :class:`~airflow_provider_chatwork.triggers._base.ChatworkTrigger`.
    """

    _outbox: OutboxSender

    def __init__(
        self, *, given: Given, follow_up: Mapping[str, Any] | None = None, withdraw: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.given = given
        self.follow_up = dict(follow_up or {})
        self.withdraw = withdraw
        # A copy, as the arguments stay those of a trigger that has not begun.
        self._seen = deepcopy(given)
        self._plan = FollowUp.from_plain(self.follow_up)
        self._sent = Progress(self._plan, given["created_at"])
        # When the next message is due, and the earliest time of the next attempt to send.
        self._due_at = float("inf")
        self._not_before = 0.0
        self._backoff = 0.0
        self._web_url = ""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as plain JSON."""
        return {
            **super().arguments(),
            "given": self.given,
            "follow_up": self.follow_up,
            "withdraw": self.withdraw,
        }

    @asynccontextmanager
    async def subscribe(self, settings: Settings) -> AsyncIterator[TaskSubscription]:
        """Return the subscription to wait with."""
        self._web_url = settings.web_url
        async with subscribe_tasks(
            *(settings, self.given["room_id"], ids_of(self.given["tracks"])),
            complete_when=self.given["needed"],
            interval=self.interval,
            max_interval=self.longest_interval,
            assignees=assignees_of(self.given["tracks"]),
            log=self.log,
        ) as subscription:
            self._outbox = OutboxSender(subscription)
            try:
                yield subscription
            finally:
                self._update(subscription)

    async def wait(self) -> dict[str, Any]:
        """Wait, and return the event."""
        return {**await super().wait(), "given": self._seen}

    async def on_change(self, subscription: TaskSubscription) -> dict[str, Any] | None:
        """Return the event if enough tasks are done; send what is due otherwise."""
        self._update(subscription)
        if not subscription.is_complete and subscription.now() >= self._not_before:
            await self._send_due(subscription)
            self._update(subscription)
        return new_event(EventStatus.DONE) if subscription.is_complete else None

    def next_action_at(self) -> float:
        """Return when the next message is due, or the next attempt to send."""
        return max(self._due_at, self._not_before)

    async def _send_due(self, subscription: TaskSubscription) -> None:
        if not await self._is_due(subscription):
            return
        self._not_before = self._outbox.may_send_at()
        if self._not_before > subscription.now():
            return
        # Nobody is reminded of a task that was done before the reminder was due, or more than a few seconds ago.
        max_age = min(max(subscription.now() - self._due_at, 0.0), MAX_PAGE_AGE)
        is_cheap = subscription.poll_cost <= _MAX_POLL_COST
        if is_cheap and not await subscription.refresh(_POLL_TIMEOUT, max_age):
            self._backoff = min(max(2 * self._backoff, MAX_PAGE_AGE), LONGEST_BACKOFF)
            self._not_before = subscription.now() + self._backoff
            return
        self._backoff = 0.0
        if not await self._is_due(subscription):
            return
        facts, now = await self._facts(subscription), subscription.now()
        retry_times = []
        for message in self._sent.letters(facts, now):
            report = await self._outbox.send(message, None if is_cheap else subscription.still_open)
            if isinstance(report, float):
                retry_times.append(report)
            else:
                self._sent.said(message)
                log_report(self.log, report)
        if retry_times:
            self._not_before = min(retry_times)
        else:
            self._sent.through(now)
            self._schedule(facts)

    async def _is_due(self, subscription: TaskSubscription) -> bool:
        if not self._plan or subscription.is_complete or subscription.now() >= self.deadline:
            return False
        self._schedule(await self._facts(subscription))
        return self._due_at <= subscription.now()

    def _schedule(self, facts: Facts) -> None:
        due_at = self._sent.next_due(facts)
        self._due_at = float("inf") if due_at is None else due_at

    async def _facts(self, subscription: TaskSubscription) -> Facts:
        tasks = self._update(subscription)
        return facts_of(self._seen, tasks, await subscription.account_id(), self._web_url)

    def _update(self, subscription: TaskSubscription) -> dict[int, models.Task]:
        """Note the tasks as they were last read, and return them."""
        tasks = {task["task_id"]: task for task in subscription.tasks if task is not None}
        deleted = {state["task_id"] for state in subscription.states if state["status"] == "deleted"}
        # An open task was open when the poll began, and may have been done since.
        still_open = {task_id: task for task_id, task in tasks.items() if task["status"] == "open"}
        others = {task_id: task for task_id, task in tasks.items() if task_id not in still_open}
        seen_at = subscription.now() if subscription.seen_at is None else subscription.seen_at
        note_all(self._seen["tracks"], still_open, set(), seen_at)
        note_all(self._seen["tracks"], others, deleted, subscription.now())
        self._seen["message_id"] = self._seen["message_id"] or message_of(self._seen["tracks"])
        return tasks

    async def on_kill(self) -> None:
        """Cancel the open tasks when a user marks or clears the Airflow task.

        Airflow 3.3 calls it then, but also when another triggerer takes over.
        """
        if self.withdraw:
            # Airflow cancels the trigger again a second later. The cancellation of the tasks goes on.
            cancellation = asyncio.create_task(self._cancel_tasks())
            _cancellations.add(cancellation)
            cancellation.add_done_callback(_cancellations.discard)
            await asyncio.shield(cancellation)

    async def _cancel_tasks(self) -> None:
        try:
            if await _is_running_in_another_triggerer(self.task_instance, self.given):
                self.log.info("Another triggerer continues this wait; tasks %s stay open", ids_of(self.given["tracks"]))
                return
            settings = await ChatworkHook(self.chatwork_conn_id).asettings()
            async with self.subscribe(settings) as subscription:
                # If too few tasks are left, the others are cancelled all the same.
                with suppress(ChatworkNotFoundError):
                    await subscription.refresh(_POLL_TIMEOUT)
                if subscription.is_complete:
                    # Another triggerer may have seen that, and the Airflow task continues.
                    return
                tasks = {**last_seen(self._seen["tracks"]), **self._update(subscription)}
                facts = facts_of(self._seen, tasks, await subscription.account_id(), self._web_url)
                flow = withdraw_steps(facts, reason_of("killed", settings.lang), lang=settings.lang)
                result = await subscription.run_flow(flow)
        except Exception as error:
            # Airflow would not log it.
            self.log.error("Tasks %s could not be cancelled: %s", ids_of(self.given["tracks"]), error)
            return
        for refused in result["refused"]:
            self.log.error("A task could not be cancelled: %s", refused)
        if unseen := never_seen(self._seen["tracks"]):
            self.log.error("Tasks %s could not be cancelled, as they were never read", unseen)
        self.log.info("Cancelled: %s", result)


async def _is_running_in_another_triggerer(instance: Any, given: Given) -> bool:
    """Return whether the Airflow task still waits for the same tasks.

    Airflow 3.3 calls ``on_kill`` of every trigger that must not run here any more: after a user has ended the task, and
    when another triggerer takes over because this one seemed to be dead.

    :param instance: the task instance of the trigger; ``None`` without a task.
    :param given: the tasks. A task that was cleared may wait for other ones.
    :raises Exception: Airflow did not answer.
    """
    if instance is None:
        return False
    return await asyncio.to_thread(_is_waiting_for, instance, given)


def _is_waiting_for(instance: Any, given: Given) -> bool:
    # Modules of Airflow 3.3, the first one that calls `on_kill`.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.execution_time.xcom import XCom

    dag_id, run_id, task_id, map_index = instance.dag_id, instance.run_id, instance.task_id, instance.map_index
    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id])
    name = task_id if map_index < 0 else f"{task_id}_{map_index}"
    if states.get(run_id, {}).get(name) != "deferred":
        return False
    shared = XCom.get_one(key=WAIT_KEY, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    return shared is None or ids_of(shared["tracks"]) == ids_of(given["tracks"])
