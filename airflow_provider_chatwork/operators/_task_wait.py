"""The worker's part of a wait for assigned tasks: what happens before and after the trigger waits."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.messages import get_message, list_messages
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.utils.time_arguments import parse_duration
from airflow_provider_chatwork.waiting.reminders.cancellation import (
    Cancellation,
    cancel_tasks,
    cancellation_reason,
    is_announced,
    log_cancellation,
    new_cancellation,
    was_cancelled,
)
from airflow_provider_chatwork.waiting.reminders.plan import ReminderPlan, TaskSnapshot, task_snapshot
from airflow_provider_chatwork.waiting.tasks.result import (
    TaskWaitOutcome,
    TaskWaitResult,
    add_room_details,
    describe,
    new_result,
)
from airflow_provider_chatwork.waiting.tasks.room_scan import RoomTaskScanner, read_each
from airflow_provider_chatwork.waiting.tasks.status import tasks_needed
from airflow_provider_chatwork.waiting.tasks.tracking import (
    AssignedTasks,
    assignees,
    can_be_completed,
    done_ids,
    existing_ids,
    first_message_id,
    last_seen_tasks,
    update_all,
)

if TYPE_CHECKING:
    from airflow_provider_chatwork.client import Client
    from airflow_provider_chatwork.connection import Settings
    from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
    from airflow_provider_chatwork.triggers._base import WorkerWait
    from airflow_provider_chatwork.triggers.task_completion import ChatworkTaskCompletionTrigger


class WaitOptions(NamedTuple):
    """The checked options of a wait: ``needed`` tasks have to be done; ``interval`` and ``timeout`` are in seconds."""

    needed: int
    interval: float
    timeout: float
    plan: ReminderPlan


def wait_options(
    settings: Settings,
    count: int,
    complete_when: object,
    poke_interval: object,
    timeout: object,
    *,
    reminders: Any,
    escalation: Any,
) -> WaitOptions:
    """Check the arguments of ``ChatworkCreateTaskOperator`` for a wait.

    :param settings: of the connection.
    :param count: the number of tasks.
    :raises ChatworkParameterError: for a wrong argument, which it names.
    """
    return WaitOptions(
        needed=tasks_needed(complete_when, count),
        interval=parse_duration("poke_interval", poke_interval, least=timedelta(0)).total_seconds(),
        timeout=parse_duration("timeout", timeout, least=timedelta(0)).total_seconds(),
        plan=ReminderPlan(
            reminders=validation.none_if_blank(reminders),
            escalation=validation.none_if_blank(escalation),
            zone=settings.timezone,
            lang=settings.lang,
        ),
    )


def failure(result: TaskWaitResult, on_timeout: str) -> AirflowException:
    """Return the exception that ends the Airflow task after a wait whose tasks are not done."""
    tasks = f"tasks in room {result['room_id']}: {describe(result)}"
    if result["outcome"] == TaskWaitOutcome.WITHDRAWN:
        return AirflowFailException(f"Another try of this Airflow task has withdrawn its {tasks}")
    if result["outcome"] == TaskWaitOutcome.IMPOSSIBLE:
        return AirflowFailException(f"Too few are left of the {tasks}")
    return (AirflowSkipException if on_timeout == "skip" else AirflowSensorTimeout)(f"Not done in time: {tasks}")


class TaskWait:
    """One wait for assigned tasks.

    :param hook: the hook of the connection.
    :param assigned: the tasks; polls update it.
    :param withdraw: whether to cancel the open tasks of a wait that is given up.
    :param log: the log of the Airflow task.
    """

    def __init__(self, hook: ChatworkHook, assigned: AssignedTasks, *, withdraw: bool, log: Any) -> None:
        self.assigned = assigned
        self._is_cancelled = False
        self._worker_wait: WorkerWait | None = None
        self._hook = hook
        self._withdraw = withdraw
        self._log = log
        self._room_id = assigned["room_id"]
        self._account_id: int | None = None
        self._was_read_singly = False

    @cached_property
    def _scanner(self) -> RoomTaskScanner:
        scanner = RoomTaskScanner(self._room_id)
        account_ids = assignees(self.assigned["tasks"])
        for task_id in existing_ids(self.assigned["tasks"]):
            scanner.add(task_id, account_ids.get(task_id))
        return scanner

    def poll(self, client: Client | None = None) -> None:
        """Poll the tasks once, and update their progress."""
        (client or self._hook.client).run_flow(self._scanner.scan(self._completing))
        self._update()
        self._scanner.raise_refusals()

    def poll_quickly(self) -> None:
        """Poll once with few retries; a transient error is only logged."""
        try:
            self.poll(self._hook.quick_client)
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self._log.warning("Polling the tasks in room %s failed; continuing: %s", self._room_id, error)

    def was_cancelled(self) -> bool:
        """Return whether an earlier try has cancelled these tasks. Call it after a poll.

        A cancellation is posted first, so a try that was interrupted may have left tasks open. They are closed.

        :raises ChatworkUnknownOutcomeError: if the room does not show whether tasks that are done were cancelled.
        """
        if self.assigned["message_id"] is None:
            return False
        page = self._hook.run(list_messages(self._room_id))
        snapshot = self._snapshot(self._hook.client)
        # If no task is done, none can be confused with a cancelled one.
        check = was_cancelled if done_ids(self.assigned["tasks"]) else is_announced
        if not check(snapshot, page):
            return False
        self._cancel_tasks(TaskWaitOutcome.KILLED, self._hook.client)
        return True

    def restore_creation_time(self) -> float:
        """Set the creation time of tasks that were found again to the time of their system message.

        :return: it, as a Unix time; the current time if it cannot be read.
        """
        message_id = self.assigned["message_id"]
        if message_id is not None:
            try:
                message = self._hook.quick_client.run(get_message(self._room_id, message_id))
                self.assigned["created_at"] = float(message["send_time"])
            except ChatworkError as error:
                self._log.warning(
                    "The creation time of the tasks in room %s is not known; reminders count from now: %s",
                    *(self._room_id, error),
                )
        return self.assigned["created_at"]

    def outcome(self) -> TaskWaitOutcome | None:
        """Return ``DONE`` or ``IMPOSSIBLE`` if polls have shown that; ``None`` while the wait has to continue."""
        done = done_ids(self.assigned["tasks"])
        # All that complete the wait must be seen in the same poll.
        is_current = self._was_read_singly or all(map(self._scanner.is_current, done))
        if len(done) >= self.assigned["needed"] and is_current:
            return TaskWaitOutcome.DONE
        if can_be_completed(self.assigned["tasks"], self.assigned["needed"]):
            return None
        return TaskWaitOutcome.IMPOSSIBLE

    def finish(self, outcome: TaskWaitOutcome) -> TaskWaitResult:
        """Return the result, after cancelling the open tasks of a wait that was not completed.

        :param outcome: ``DONE``, ``TIMED_OUT`` or ``IMPOSSIBLE``.
        """
        if outcome is not TaskWaitOutcome.DONE:
            # Time has passed since the trigger polled.
            self._last_poll()
            outcome = self.outcome() or outcome
        cancellation = new_cancellation()
        if outcome is TaskWaitOutcome.DONE and self._withdraw and self._was_cancelled_meanwhile():
            outcome = TaskWaitOutcome.WITHDRAWN
        elif outcome is not TaskWaitOutcome.DONE and self._withdraw:
            try:
                self._cancel_tasks(outcome, self._hook.client, cancellation)
            except ChatworkError as error:
                which = "The open tasks" if not cancellation["closed"] else "Some open tasks"
                self._log.error("%s could not be withdrawn (room %s): %s", which, self._room_id, error)
        result = new_result(outcome, self.assigned, self._hook.settings.web_url)
        for task in result["tasks"]:
            if task["task_id"] in cancellation["closed"]:
                task["status"] = "withdrawn"
        if (refusal := self._hook.quick_client.run_flow(add_room_details(result))) is not None:
            self._log.warning("The members of room %s cannot be read to see who has left: %s", self._room_id, refusal)
        self._log.info("The wait for tasks in room %s has ended: %s. %s", self._room_id, outcome, describe(result))
        return result

    def run(self, trigger: ChatworkTaskCompletionTrigger) -> dict[str, Any] | None:
        """Run the wait loop of a trigger in this worker, and return its event; ``None`` after :meth:`cancel`."""
        from airflow_provider_chatwork.triggers._base import WorkerWait

        self._worker_wait = WorkerWait(trigger)
        event = self._worker_wait.run()
        return None if self._is_cancelled else event

    def cancel(self) -> None:
        """End the wait from outside, and cancel the open tasks, in the few seconds that Airflow leaves for it."""
        self._is_cancelled = True
        if self._withdraw:
            self._cancel_quickly()
        if self._worker_wait is not None:
            self._worker_wait.cancel()

    def _cancel_quickly(self) -> None:
        try:
            self.poll_quickly()
            # If they are done there is nothing to cancel; the next try will see that.
            if self.outcome() is not TaskWaitOutcome.DONE:
                self._cancel_tasks(TaskWaitOutcome.KILLED, self._hook.quick_client)
        except ChatworkError as error:
            self._log.error("The open tasks could not be withdrawn (room %s): %s", self._room_id, error)

    def _last_poll(self) -> None:
        """Poll once more, task by task if they cannot be listed; without success, keep what is known."""
        try:
            self.poll()
            if self._scanner.has_rest:
                self.poll()
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self._log.warning("The tasks of room %s cannot be listed at the end of the wait: %s", self._room_id, error)
        else:
            return
        try:
            self._hook.client.run_flow(read_each(self._scanner, existing_ids(self.assigned["tasks"])))
            self._was_read_singly = True
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self._log.warning("The tasks of room %s cannot be read at the end of the wait: %s", self._room_id, error)
        self._update()

    def _was_cancelled_meanwhile(self) -> bool:
        """Return whether another try has cancelled the tasks: one that Airflow had lost, and that was stopped later."""
        if self.assigned["message_id"] is None:
            return False
        try:
            page = self._hook.run(list_messages(self._room_id))
            return is_announced(self._snapshot(self._hook.client), page)
        except ChatworkError as error:
            self._log.warning(
                "Room %s does not show whether the tasks were withdrawn; they count as done: %s",
                *(self._room_id, error),
            )
            return False

    def _cancel_tasks(self, outcome: TaskWaitOutcome, client: Client, result: Cancellation | None = None) -> None:
        """Cancel the open tasks.

        :param result: an empty result, to be filled also where this ends with an error.
        """
        lang = self._hook.settings.lang
        reason = cancellation_reason(outcome, lang)
        flow = cancel_tasks(self._snapshot(client), reason, lang=lang, result=result)
        log_cancellation(self._log, self.assigned, client.run_flow(flow))

    def _snapshot(self, client: Client) -> TaskSnapshot:
        if self._account_id is None:
            self._account_id = client.run(get_me())["account_id"]
        tasks = {**last_seen_tasks(self.assigned["tasks"]), **self._scanner.tasks}
        return task_snapshot(self.assigned, tasks, self._account_id, self._hook.settings.web_url)

    def _update(self) -> None:
        update_all(self.assigned["tasks"], self._scanner.tasks, self._scanner.deleted, time.time())
        self.assigned["message_id"] = self.assigned["message_id"] or first_message_id(self.assigned["tasks"])

    def _completing(self) -> list[list[int]]:
        """Return the tasks that complete the wait, if enough are done."""
        done = [task_id for task_id, task in self._scanner.tasks.items() if task["status"] == "done"]
        return [done] if len(done) >= self.assigned["needed"] else []
