"""Create tasks, wait for them, and set their status."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkParameterError, from_plain
from airflow_provider_chatwork.operators._base import ChatworkOperator
from airflow_provider_chatwork.utils.task_failures import TRIGGER_TIMEOUT_GRACE, fail_permanently, trigger_timeout

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.rooms import AccountIds
    from airflow_provider_chatwork.operators._idempotency import Created
    from airflow_provider_chatwork.operators._task_wait import TaskWait, WaitOptions
    from airflow_provider_chatwork.utils.time_arguments import Due, Duration
    from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
    from airflow_provider_chatwork.waiting.tasks.result import TaskWaitOutcome, TaskWaitResult
    from airflow_provider_chatwork.waiting.tasks.tracking import AssignedTasks

#: The XCom with the result of a wait after which the Airflow task fails or is skipped, and so returns nothing.
OUTCOME_KEY = "chatwork_outcome"


class ChatworkCreateTaskOperator(ChatworkOperator):
    """Create a task for people of a room, and optionally wait until it is done.

    Without a wait it returns the task ids, one for each assignee. With a wait it returns a dict, a
    :class:`~airflow_provider_chatwork.waiting.tasks.result.TaskWaitResult`: ``outcome``, ``room_id``, ``message_id``,
    ``link`` and ``tasks``, with one dict for each assignee. If the Airflow task fails or is skipped at the end of the
    wait, the dict is its XCom ``chatwork_outcome``.

    An outage of Chatwork does not end the wait. It fails permanently when the account has left the room, when the
    token is revoked, and when too few tasks are left.

    :param body: the text of the task, 1 to 65535 characters.
    :param to_ids: the account ids of the assignees, as a list, as comma-separated text, or as a template of it.
    :param due: the due date: a date (the end of that day), a datetime, a timedelta from when the Airflow task runs, or
        ISO 8601 text. Days, and times without a zone, are in the connection's ``timezone``.
    :param limit: instead of ``due``, the deadline in Unix seconds.
    :param limit_type: goes with ``limit``: ``time``, ``date`` or ``none``.
    :param wait_for_completion: whether to wait until the task is done.
    :param deferrable: whether to wait in the triggerer, without a worker slot.
    :param complete_when: ``all``, ``any``, or how many of the assignees have to be done. The tasks of the others stay
        as they are.
    :param poke_interval: time between two polls: seconds, a timedelta, or ISO 8601 text such as ``PT1M``; at least 1 s.
    :param timeout: how long to wait, in the same forms. It counts from the creation of the task, also over retries and
        restarts.
    :param reminders: a :class:`~airflow_provider_chatwork.waiting.reminders.Reminder`, or several.
    :param escalation: who is notified when the task is overdue, an
        :class:`~airflow_provider_chatwork.waiting.reminders.Escalation`.
    :param on_timeout: ``fail`` (with ``AirflowSensorTimeout``, which Airflow does not retry, as people would get the
        task again) or ``skip``.
    :param withdraw: whether to set the open tasks to done and to post why when the wait is given up: at the timeout,
        when too few tasks are left, and when the Airflow task is marked or cleared while it waits. Airflow notifies the
        triggerer of that from 3.3 on. It stops a worker on every version, also for other reasons. Chatwork's API cannot
        delete tasks.
    :param reference: one line that is added to the task's text (``参照: ...``). A retry finds the task in Chatwork by
        its whole text, so not one that somebody has edited. At most 1,000 characters, and different for each run,
        Airflow task and map index: ``{{ ti.dag_id }}/{{ ti.task_id }}/{{ run_id }}/{{ ti.map_index }}``. (For most
        runs, ``task_instance_key_str`` contains no more than the day.) After a clear, the number of the first try is
        appended: ``... (2)``. Not needed on Airflow 3.3 and later, which keeps a state of the task.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    On Airflow 3.3 and later, a retry does not create again what an earlier try has created, as long as the fields
    render to the same values; it continues the wait up to the same deadline. On earlier versions and without a
    ``reference``, an error during the wait fails the Airflow task permanently instead.

    https://developer.chatwork.com/reference/post-rooms-room_id-tasks
    """

    template_fields: Sequence[str] = (
        *("body", "to_ids", "due", "limit", "limit_type", "complete_when", "poke_interval", "timeout", "reminders"),
        *("escalation", "on_timeout", "reference", *ChatworkOperator.template_fields),
    )

    def __init__(
        self,
        *,
        body: str,
        to_ids: AccountIds,
        due: Due | None = None,
        limit: int | str | None = None,
        limit_type: str | None = None,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        complete_when: str | int = "all",
        poke_interval: Duration = 60.0,
        timeout: Duration = timedelta(days=7),
        reminders: Reminder | Mapping[str, Any] | Sequence[Reminder | Mapping[str, Any]] | None = None,
        escalation: Escalation | Mapping[str, Any] | None = None,
        on_timeout: str = "fail",
        withdraw: bool = False,
        reference: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.to_ids = to_ids
        self.due = due
        self.limit = limit
        self.limit_type = limit_type
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.complete_when = complete_when
        self.poke_interval = poke_interval
        self.timeout = timeout
        self.reminders = reminders
        self.escalation = escalation
        self.on_timeout = on_timeout
        self.withdraw = withdraw
        self.reference = reference
        self._task_wait: TaskWait | None = None

    def act(self, context: Context) -> Any:
        """Create the tasks, and return their ids; or wait for them, and return the result of the wait."""
        room_id = api.validation.identifier("room_id", self.hook.room_id_or_default(self.room_id))
        to_ids = api.validation.identifiers("to_ids", self.to_ids)
        # Wrong arguments are refused before anything is sent.
        options = self._wait_options(len(to_ids))
        created = self._create(context, room_id, to_ids)
        if options is None:
            task_ids = [task_id for task_id in created.result["task_ids"] if task_id is not None]
            message_id = self.message_of(api.tasks.get_task(room_id, task_ids[0])) if task_ids else None
            self.show_place(context, room_id, message_id)
            return task_ids
        with self._no_second_tasks(context):
            wait = self._task_wait = self._begin(context, room_id, to_ids, created, options)
            try:
                return self._wait(context, wait, options)
            finally:
                self._task_wait = None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> TaskWaitResult:
        """End the wait after the event of the trigger."""
        from airflow_provider_chatwork.triggers._event import EventStatus
        from airflow_provider_chatwork.waiting.tasks.result import TaskWaitOutcome

        wait = self._new_wait(event["assigned"])
        outcomes = {EventStatus.DONE: TaskWaitOutcome.DONE, EventStatus.TIMEOUT: TaskWaitOutcome.TIMED_OUT}
        # The trigger also ends with an error where too few tasks are left.
        outcome = outcomes.get(event["status"]) or wait.outcome()
        if outcome is None:
            raise from_plain(event["error"])
        return self._finish(context, wait, outcome)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the trigger; a deferral that Airflow has timed out ends like any timeout."""
        with fail_permanently(), self._no_second_tasks(context):
            if trigger_timeout(next_method, next_kwargs) is None:
                return super().resume_execution(next_method, next_kwargs, context)
            # No triggerer was running until long after the deadline.
            from airflow_provider_chatwork.waiting.tasks.result import TaskWaitOutcome
            from airflow_provider_chatwork.waiting.tasks.tracking import WAIT_STATE_KEY

            ti: Any = context["ti"]
            assigned = ti.xcom_pull(task_ids=ti.task_id, key=WAIT_STATE_KEY, map_indexes=ti.map_index)
            return self._finish(context, self._new_wait(assigned), TaskWaitOutcome.TIMED_OUT)

    def on_kill(self) -> None:
        """End the wait of a worker that has to stop, and cancel the tasks with ``withdraw``."""
        if self._task_wait is not None:
            self._task_wait.cancel()

    def _wait_options(self, count: int) -> WaitOptions | None:
        """Check the arguments of the wait for ``count`` tasks; ``None`` if there is to be no wait."""
        if not self.wait_for_completion:
            for name in ("reminders", "escalation", "withdraw"):
                if value := getattr(self, name):
                    remedy = "set wait_for_completion=True, too: without it, nothing waits"
                    raise ChatworkParameterError(name, value, remedy)
            return None
        # Imported here and below, so that a DAG file does not load it.
        from airflow_provider_chatwork.operators._task_wait import wait_options

        api.validation.choice("on_timeout", self.on_timeout, ("fail", "skip"))
        return wait_options(
            *(self.hook.settings, count, self.complete_when, self.poke_interval, self.timeout),
            reminders=self.reminders,
            escalation=self.escalation,
        )

    def _create(self, context: Context, room_id: int, to_ids: Sequence[int], *, again: bool = False) -> Created:
        """Create the tasks, or, unless ``again``, find those that an earlier try has created."""
        due = api.validation.none_if_blank(self.due)
        limit, limit_type = self._limit()
        reference = api.validation.none_if_blank(self.reference)
        body, find_existing = self.body, None
        if again:
            self.forget_created(context)
        if reference is not None:
            from airflow_provider_chatwork.operators._idempotency import find_created_tasks
            from airflow_provider_chatwork.utils.task_state import TaskState
            from airflow_provider_chatwork.waiting.tasks.reference import with_reference

            state = TaskState(context, self.retries)
            body = with_reference(body, reference, self.hook.settings.lang, state.first_try_of_clear)
            # Only a retry searches: a run that was deleted and created again is another run with the same reference.
            may_exist = state.is_retry and not again

            def find_existing() -> dict[str, Any] | None:
                return find_created_tasks(self.hook, context, room_id, body, to_ids) if may_exist else None

        call = api.tasks.create_task(room_id, body, to_ids, limit=limit, limit_type=limit_type)
        # A due date that counts from now has another limit at each try.
        fields = {} if due is None else {"limit": repr(due)}
        return self.create_once(context, call, fingerprint_fields=fields, find_existing=find_existing)

    def _limit(self) -> tuple[int | str | None, str | None]:
        """Return the arguments ``limit`` and ``limit_type`` of ``create_task``."""
        due = api.validation.none_if_blank(self.due)
        limit, limit_type = api.validation.none_if_blank(self.limit), api.validation.none_if_blank(self.limit_type)
        if due is None:
            return limit, limit_type
        if limit is not None or limit_type is not None:
            raise ChatworkParameterError("due", due, "give either due, or limit and limit_type")
        from airflow_provider_chatwork.utils.time_arguments import parse_due

        return parse_due(due, self.hook.settings.timezone, time.time())

    def _begin(
        self, context: Context, room_id: int, to_ids: Sequence[int], created: Created, options: WaitOptions
    ) -> TaskWait:
        """Begin to wait for tasks, or continue the wait of an earlier try."""
        from airflow_provider_chatwork.operators._idempotency import fail_if_unknown
        from airflow_provider_chatwork.utils.task_state import TaskState
        from airflow_provider_chatwork.waiting.tasks.tracking import WAIT_STATE_KEY, new_assigned_tasks

        state, task_ids = TaskState(context), created.result["task_ids"]
        assigned = new_assigned_tasks(
            room_id, task_ids, to_ids, needed=options.needed, timeout=options.timeout, now=time.time()
        )
        if created.is_new:
            if options.plan:
                limits = self._limit()
                for sentence in options.plan.unreachable(assigned["created_at"], assigned["deadline"], *limits):
                    self.log.warning("Tasks in room %s: %s.", room_id, sentence)
            wait = self._new_wait(assigned)
            # Quickly, as hundreds of waits that begin together would wait for the rate limit.
            wait.poll_quickly()
        else:
            saved: AssignedTasks | None = state.get(WAIT_STATE_KEY).get("assigned")
            if saved is not None and [task["task_id"] for task in saved["tasks"]] != task_ids:
                saved = None
            wait = self._new_wait(assigned if saved is None else {**saved, "needed": options.needed})
            wait.poll()
            with fail_if_unknown():
                is_cancelled = self.withdraw and wait.was_cancelled()
            if is_cancelled:
                self.log.info("Tasks %s in room %s were withdrawn; creating new ones", task_ids, room_id)
                created = self._create(context, room_id, to_ids, again=True)
                return self._begin(context, room_id, to_ids, created, options)
            if saved is None:
                wait.assigned["deadline"] = wait.restore_creation_time() + options.timeout
        state.set(WAIT_STATE_KEY, {"assigned": wait.assigned})
        return wait

    def _new_wait(self, assigned: AssignedTasks) -> TaskWait:
        from airflow_provider_chatwork.operators._task_wait import TaskWait

        return TaskWait(self.hook, assigned, withdraw=self.withdraw, log=self.log)

    def _wait(self, context: Context, wait: TaskWait, options: WaitOptions) -> TaskWaitResult:
        assigned = wait.assigned
        self.show_place(context, assigned["room_id"], assigned["message_id"])
        outcome = wait.outcome()
        if outcome is not None:
            return self._finish(context, wait, outcome)
        from airflow.providers.common.compat.sdk import AirflowException

        from airflow_provider_chatwork.triggers.task_completion import ChatworkTaskCompletionTrigger
        from airflow_provider_chatwork.waiting.tasks.tracking import WAIT_STATE_KEY

        # A trigger that fails returns no event.
        ti: Any = context.get("ti")
        if ti is not None:
            ti.xcom_push(key=WAIT_STATE_KEY, value=assigned)
        trigger = ChatworkTaskCompletionTrigger(
            chatwork_conn_id=self.chatwork_conn_id,
            assigned=assigned,
            plan=options.plan.to_plain(),
            withdraw=self.withdraw,
            poke_interval=options.interval,
            deadline=assigned["deadline"],
        )
        if self.deferrable:
            left = timedelta(seconds=max(0.0, assigned["deadline"] - time.time()))
            self.defer(trigger=trigger, method_name="execute_complete", timeout=left + TRIGGER_TIMEOUT_GRACE)
        event = wait.run(trigger)
        if event is None:
            raise AirflowException(f"The wait for tasks in room {assigned['room_id']} was ended in Airflow")
        return self.execute_complete(context, event)

    def _finish(self, context: Context, wait: TaskWait, outcome: TaskWaitOutcome) -> TaskWaitResult:
        """Return the result of a wait whose tasks are done, and fail or skip otherwise."""
        from airflow_provider_chatwork.operators._task_wait import failure
        from airflow_provider_chatwork.waiting.tasks.result import TaskWaitOutcome

        result = wait.finish(outcome)
        self.show_place(context, result["room_id"], result["message_id"])
        if result["outcome"] != TaskWaitOutcome.DONE:
            if (ti := context.get("ti")) is not None:
                ti.xcom_push(key=OUTCOME_KEY, value=result)
            raise failure(result, self.on_timeout)
        return result

    def _no_second_tasks(self, context: Context) -> AbstractContextManager[None]:
        from airflow_provider_chatwork.operators._idempotency import fail_without_record

        return fail_without_record(context, self.reference)


class ChatworkSetTaskStatusOperator(ChatworkOperator):
    """Set a task to done, or open it again. Returns its task id.

    :param chatwork_task_id: the Chatwork task, one of those ``ChatworkCreateTaskOperator`` returned (Airflow has a
        ``task_id`` of its own).
    :param status: ``done`` or ``open``.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    https://developer.chatwork.com/reference/put-rooms-room_id-tasks-task_id-status
    """

    template_fields: Sequence[str] = ("chatwork_task_id", "status", *ChatworkOperator.template_fields)

    def __init__(self, *, chatwork_task_id: int | str, status: str = "done", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.chatwork_task_id = chatwork_task_id
        self.status = status

    def act(self, context: Context) -> int:
        """Set the status, and return the task id."""
        room_id = self.hook.room_id_or_default(self.room_id)
        call = api.tasks.set_task_status(room_id, self.chatwork_task_id, self.status)
        task_id = self.run_call(context, call)["task_id"]
        self.show_place(context, room_id, self.message_of(api.tasks.get_task(room_id, task_id)))
        return task_id
