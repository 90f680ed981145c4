"""The trigger that waits for assigned tasks, sends reminders, and cancels the tasks if the wait is ended in Airflow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from functools import cached_property
from typing import Any

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.connection import Settings, read_settings
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers._event import EventStatus
from airflow_provider_chatwork.waiting.outbox.delivery import log_report
from airflow_provider_chatwork.waiting.outbox.outbox import MAX_PAGE_AGE, OutboxSender
from airflow_provider_chatwork.waiting.poller.subscription import LONGEST_BACKOFF
from airflow_provider_chatwork.waiting.poller.task_poller import TaskSubscription, subscribe_tasks
from airflow_provider_chatwork.waiting.reminders.cancellation import (
    cancel_tasks,
    cancellation_reason,
    log_cancellation,
)
from airflow_provider_chatwork.waiting.reminders.plan import ReminderPlan, SentReminders, TaskSnapshot, task_snapshot
from airflow_provider_chatwork.waiting.tasks.result import TaskWaitOutcome
from airflow_provider_chatwork.waiting.tasks.tracking import (
    WAIT_STATE_KEY,
    AssignedTasks,
    assignees,
    existing_ids,
    first_message_id,
    last_seen_tasks,
    update_all,
)

# How many seconds to wait for the poll before a reminder or a cancellation.
_POLL_TIMEOUT = 15.0
# How many requests that poll may take. If it takes more, only the tasks of this wait are read.
_MAX_POLL_COST = 3.0
# Event loops hold tasks weakly, so that a task without another reference may be collected.
_cancellations: set[asyncio.Task[None]] = set()


class ChatworkTaskCompletionTrigger(ChatworkTrigger[TaskSubscription]):
    """Wait until assigned tasks are done, send reminders, and yield one event of plain JSON.

    Its ``status`` is one of :class:`~airflow_provider_chatwork.triggers._base.EventStatus`. Every event comes with
    ``assigned``, the tasks as they were last seen.

    After a restart of the triggerer, Airflow makes the trigger again from its arguments. Messages that were sent before
    are found in the room and not sent again.

    :param assigned: the tasks, a :class:`~airflow_provider_chatwork.waiting.tasks.tracking.AssignedTasks`.
    :param plan: reminders and escalation, written by
        :meth:`~airflow_provider_chatwork.waiting.reminders.plan.ReminderPlan.to_plain`.
    :param withdraw: whether to cancel the open tasks if a user ends the Airflow task while it waits. Needs Airflow 3.3.
    :param kwargs: those of :class:`~airflow_provider_chatwork.triggers._base.ChatworkTrigger`.
    """

    _outbox: OutboxSender

    argument_names = (*ChatworkTrigger.argument_names, "assigned", "plan", "withdraw")

    def __init__(
        self, *, assigned: AssignedTasks, plan: Mapping[str, Any] | None = None, withdraw: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.assigned = assigned
        self.plan = dict(plan or {})
        self.withdraw = withdraw
        # A copy, as the arguments stay those of a trigger that has not begun.
        self._seen = deepcopy(assigned)
        # When the next message is due, and the earliest time of the next attempt to send.
        self._due_at = float("inf")
        self._not_before = 0.0
        self._backoff = 0.0
        self._web_url = ""

    @cached_property
    def _sent(self) -> SentReminders:
        return SentReminders(ReminderPlan(**self.plan), self.assigned["created_at"])

    @asynccontextmanager
    async def subscribe(self, settings: Settings) -> AsyncIterator[TaskSubscription]:
        """Return the subscription to wait with."""
        self._web_url = settings.web_url
        async with subscribe_tasks(
            *(settings, self.assigned["room_id"], existing_ids(self.assigned["tasks"])),
            complete_when=self.assigned["needed"],
            interval=self.interval,
            max_interval=self.longest_interval,
            assignees=assignees(self.assigned["tasks"]),
            log=self.log,
        ) as subscription:
            self._outbox = OutboxSender(subscription)
            try:
                yield subscription
            finally:
                self._update(subscription)

    async def wait(self) -> dict[str, Any]:
        """Wait, and return the event."""
        return {**await super().wait(), "assigned": self._seen}

    async def on_change(self, subscription: TaskSubscription) -> dict[str, Any] | None:
        """Return the event if enough tasks are done; send what is due otherwise."""
        self._update(subscription)
        if not subscription.is_complete and subscription.now() >= self._not_before:
            await self._send_due(subscription)
            self._update(subscription)
        return {"status": EventStatus.DONE.value} if subscription.is_complete else None

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
        snapshot, now = await self._snapshot(subscription), subscription.now()
        retry_times = []
        for message in self._sent.due_messages(snapshot, now):
            report = await self._outbox.send(message, None if is_cheap else subscription.still_open)
            if isinstance(report, float):
                retry_times.append(report)
            else:
                self._sent.mark_sent(message)
                log_report(self.log, report)
        if retry_times:
            self._not_before = min(retry_times)
        else:
            self._sent.mark_all_sent(now)
            self._schedule(snapshot)

    async def _is_due(self, subscription: TaskSubscription) -> bool:
        if not self._sent.plan or subscription.is_complete or subscription.now() >= self.deadline:
            return False
        self._schedule(await self._snapshot(subscription))
        return self._due_at <= subscription.now()

    def _schedule(self, snapshot: TaskSnapshot) -> None:
        due_at = self._sent.next_at(snapshot)
        self._due_at = float("inf") if due_at is None else due_at

    async def _snapshot(self, subscription: TaskSubscription) -> TaskSnapshot:
        tasks = self._update(subscription)
        return task_snapshot(self._seen, tasks, await subscription.account_id(), self._web_url)

    def _update(self, subscription: TaskSubscription) -> dict[int, models.Task]:
        """Note the tasks as they were last read, and return them."""
        tasks = {task["task_id"]: task for task in subscription.tasks if task is not None}
        deleted = {state["task_id"] for state in subscription.states if state["status"] == "deleted"}
        update_all(self._seen["tasks"], tasks, deleted, subscription.now())
        self._seen["message_id"] = self._seen["message_id"] or first_message_id(self._seen["tasks"])
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
            if await _is_running_in_another_triggerer(self.task_instance, self.assigned):
                self.log.info(
                    "Another triggerer continues this wait; tasks %s in room %s stay open",
                    *(existing_ids(self.assigned["tasks"]), self.assigned["room_id"]),
                )
                return
            settings = await read_settings(self.chatwork_conn_id)
            async with self.subscribe(settings) as subscription:
                # If too few tasks are left, the others are cancelled all the same.
                with suppress(ChatworkNotFoundError):
                    await subscription.refresh(_POLL_TIMEOUT)
                if subscription.is_complete:
                    # Another triggerer may have seen that, and the Airflow task continues.
                    return
                tasks = {**last_seen_tasks(self._seen["tasks"]), **self._update(subscription)}
                snapshot = task_snapshot(self._seen, tasks, await subscription.account_id(), self._web_url)
                reason = cancellation_reason(TaskWaitOutcome.KILLED, settings.lang)
                cancellation = await subscription.poller.client.run_flow(
                    cancel_tasks(snapshot, reason, lang=settings.lang)
                )
        except Exception as error:
            # Airflow would not log it.
            room_id = self.assigned["room_id"]
            self.log.error("The open tasks could not be withdrawn (room %s): %s", room_id, error)
        else:
            log_cancellation(self.log, self._seen, cancellation)


async def _is_running_in_another_triggerer(instance: Any, assigned: AssignedTasks) -> bool:
    """Return whether the Airflow task still waits for the same tasks.

    Airflow 3.3 calls ``on_kill`` of every trigger that must not run here any more: after a user has ended the task, and
    when another triggerer takes over because this one seemed to be dead.

    :param instance: the task instance of the trigger; ``None`` without a task.
    :param assigned: the tasks. A task that was cleared may wait for other ones.
    :raises Exception: Airflow did not answer.
    """
    if instance is None:
        return False
    return await asyncio.to_thread(_is_waiting_for, instance, assigned)


def _is_waiting_for(instance: Any, assigned: AssignedTasks) -> bool:
    # Modules of Airflow 3.3, the first one that calls `on_kill`.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.execution_time.xcom import XCom

    dag_id, run_id, task_id, map_index = instance.dag_id, instance.run_id, instance.task_id, instance.map_index
    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id])
    name = task_id if map_index < 0 else f"{task_id}_{map_index}"
    if states.get(run_id, {}).get(name) != "deferred":
        return False
    shared = XCom.get_one(key=WAIT_STATE_KEY, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    return shared is None or existing_ids(shared["tasks"]) == existing_ids(assigned["tasks"])
