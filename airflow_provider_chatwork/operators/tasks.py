"""Give tasks to people, wait for them, and tick tasks off."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    conf,
)

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkParameterError, from_plain
from airflow_provider_chatwork.operators._base import ChatworkOperator
from airflow_provider_chatwork.utils.task_failures import TRIGGER_TIMEOUT_GRACE, fail_permanently, trigger_timeout

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.rooms import AccountIds
    from airflow_provider_chatwork.operators._idempotency import Gift
    from airflow_provider_chatwork.operators._task_wait import Waiting
    from airflow_provider_chatwork.operators._wishes import Wishes
    from airflow_provider_chatwork.triggers._base import WorkerWait
    from airflow_provider_chatwork.utils.durations import Duration
    from airflow_provider_chatwork.utils.time_arguments import Due
    from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
    from airflow_provider_chatwork.waiting.tasks.result import Outcome
    from airflow_provider_chatwork.waiting.tasks.tracking import Given

#: The XCom that holds what became of the tasks where the Airflow task does not succeed, and so returns nothing.
OUTCOME_KEY = "chatwork_outcome"


class ChatworkCreateTaskOperator(ChatworkOperator):
    """Give a task to people of a room, and wait until they are done if so wanted.

    Without waiting it returns the task ids, a list with one for each assignee. With waiting it returns a dict, an
    :class:`~airflow_provider_chatwork.waiting.tasks.result.Outcome`: ``outcome``, ``room_id``, ``message_id``, ``link``
    and ``tasks``, with one dict for each assignee. Where the wait ends otherwise, the Airflow task fails or is skipped,
    and the dict is its XCom ``chatwork_outcome``.

    An outage of Chatwork does not end the wait. A room that is lost, a revoked token, and so many deleted tasks that
    too few are left fail it for good.

    :param body: what there is to do, 1 to 65535 characters.
    :param to_ids: the account ids of the assignees, as a list, as comma-separated text, or as a template of it.
    :param due: when it is due: a date (the end of that day), a datetime, a timedelta from when the task runs, or ISO
        8601 text. Days, and moments without a zone, are meant in the connection's ``timezone``.
    :param limit: instead of ``due``, the deadline in Unix seconds.
    :param limit_type: goes with ``limit``: ``time``, ``date`` or ``none``.
    :param wait_for_completion: whether to wait until people are done.
    :param deferrable: whether to wait in the triggerer, which takes no worker slot.
    :param complete_when: ``all``, ``any``, or how many of the assignees have to be done. The tasks of the others are
        left as they are.
    :param poke_interval: between two looks: seconds, a timedelta, or ISO 8601 text such as ``PT1M``; at least 1 s.
    :param timeout: how long people have, in the same forms. It counts from when the task was given, also over retries
        and restarts.
    :param reminders: a :class:`~airflow_provider_chatwork.waiting.reminders.Reminder`, or several.
    :param escalation: whom to tell when it is past due, an :class:`~airflow_provider_chatwork.waiting.reminders.Escalation`.
    :param on_timeout: ``fail`` (with ``AirflowSensorTimeout``, which Airflow does not retry: people would get the task
        once more) or ``skip``.
    :param withdraw: whether to close the tasks that are still open, and to say why in the room, when the wait is given
        up: at the timeout, when too few tasks are left, and when the Airflow task is marked or cleared while it waits.
        Airflow tells the triggerer of that from 3.3 on; it tells a worker, on every version, that it has to stop, which
        may have other reasons. Chatwork has no way to delete a task, so they are ticked off.
    :param reference: one line that is put at the end of the task's text (``参照: ...``), by which a retry finds the
        task in Chatwork before it gives it again: by the whole text, so not one that somebody has edited. At most 1,000
        characters, and another one for each run, Airflow task and mapped index:
        ``{{ ti.dag_id }}/{{ ti.task_id }}/{{ run_id }}/{{ ti.map_index }}``. (Of most runs, ``task_instance_key_str``
        holds no more than the day.) In a run of a cleared task it ends with the number of the first try: ``... (2)``.
        Not needed on Airflow 3.3 and later, which remembers what was created.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    On Airflow 3.3 and later a task that is tried again does not create again what an earlier try has created, as long
    as its fields render to the same; it goes on waiting for it, up to the same deadline. Before, and without a
    ``reference``, an error while it waits fails it for good instead.

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
        self._waiting: Waiting | None = None
        self._worker_wait: WorkerWait | None = None

    def act(self, context: Context) -> Any:
        """Create, and return the task ids; or wait, and return what became of the tasks."""
        room_id = api.validation.identifier("room_id", self.hook.room_id_or_default(self.room_id))
        # What cannot be right is found before anything is sent.
        wishes = self._wishes()
        gift = self._give(context, room_id)
        if wishes is None:
            task_ids = [task_id for task_id in gift.task_ids if task_id is not None]
            message_id = self.message_of(api.tasks.get_task(room_id, task_ids[0])) if task_ids else None
            self.show_place(context, room_id, message_id)
            return task_ids
        with self._given_once(context):
            waiting = self._waiting = self._begin(context, gift, wishes)
            try:
                return self._wait(context, waiting, wishes)
            finally:
                self._waiting = self._worker_wait = None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Outcome:
        """End the wait as the trigger saw it end."""
        from airflow_provider_chatwork.triggers._event import EventStatus

        waiting = self._waiting_for(event["given"])
        word = {EventStatus.DONE: "done", EventStatus.TIMEOUT: "timed_out"}.get(event["status"])
        if word is None:
            # Chatwork refused, which is also how the trigger sees that too few tasks are left.
            word = waiting.verdict()
        if word is None:
            raise from_plain(event["error"])
        return self._end(context, waiting, word)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from the triggerer, with the same ends as a wait in the worker."""
        timeout_error = trigger_timeout(next_method, next_kwargs)
        with fail_permanently(), self._given_once(context):
            if timeout_error is not None:
                # The triggerer stood still until long after the deadline.
                from airflow_provider_chatwork.operators._idempotency import shared_given

                return self._end(context, self._waiting_for(shared_given(context)), "timed_out")
            return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Withdraw the tasks, if so wanted, where a worker that waits for them is told to stop."""
        if self._waiting is not None:
            self._waiting.kill()
        if self._worker_wait is not None:
            self._worker_wait.cancel()

    def _wishes(self) -> Wishes | None:
        """What is wanted of the wait, if there is to be one."""
        if self.wait_for_completion:
            # Imported here and below, so that reading a DAG file does not load it.
            from airflow_provider_chatwork.operators._wishes import wishes_of

            return wishes_of(self)
        for name in ("reminders", "escalation", "withdraw"):
            if value := getattr(self, name):
                raise ChatworkParameterError(name, value, "set wait_for_completion=True, too: nobody would see to it")
        return None

    def _give(self, context: Context, room_id: int, ignore: Sequence[int | None] = ()) -> Gift:
        """Give the tasks, or find those that an earlier try has given.

        :param ignore: tasks that an earlier try has given, and that are not wanted any more.
        """
        from airflow_provider_chatwork.operators._idempotency import (
            Gift,
            creation,
            find_gift,
            run_began,
        )
        from airflow_provider_chatwork.utils.task_state import TaskState
        from airflow_provider_chatwork.waiting.tasks.reference import with_reference

        state = TaskState(context, self.retries)
        to_ids = api.validation.identifiers("to_ids", self.to_ids)
        reference = api.validation.none_if_blank(self.reference)
        body = self.body
        if reference is not None:
            body = with_reference(body, reference, self.hook.settings.lang, state.first_try_of_clear)
        call, fingerprint_fields = creation(self, room_id, body)
        # Before a first try there is nothing to find, and a run that was deleted and made anew is not the same one.
        looks = not ignore and state.is_retry
        find_existing = None
        if reference is not None:
            since = run_began(context)
            find_existing = partial(find_gift, self.hook, room_id, body, to_ids, since) if looks else lambda: None
        if ignore:
            self.forget_created(context)
        created = self.create_once(context, call, fingerprint_fields=fingerprint_fields, find_existing=find_existing)
        return Gift(room_id, to_ids, created.result["task_ids"], created.is_new)

    def _begin(self, context: Context, gift: Gift, wishes: Wishes) -> Waiting:
        """Begin to wait for tasks, or go on where an earlier try has begun."""
        from airflow_provider_chatwork.operators._idempotency import Memory, never_guessing, new_given
        from airflow_provider_chatwork.operators._task_wait import Waiting
        from airflow_provider_chatwork.utils.task_state import TaskState

        memory = Memory(TaskState(context, self.retries))
        if not gift.is_new:
            known = memory.recall(gift, wishes.needed)
            waiting = Waiting(self.hook, known or new_given(gift, wishes.needed, wishes.timeout), wishes, self.log)
            waiting.look()
            with never_guessing():
                withdrawn = self.withdraw and waiting.was_withdrawn()
            if not withdrawn:
                if known is None:
                    waiting.given["deadline"] = waiting.date_back() + wishes.timeout
                memory.keep(waiting.given)
                return waiting
            self.log.info("What an earlier try has given was withdrawn, so it is given anew")
            gift = self._give(context, gift.room_id, ignore=gift.task_ids)
        waiting = Waiting(self.hook, new_given(gift, wishes.needed, wishes.timeout), wishes, self.log)
        waiting.first_look()
        memory.keep(waiting.given)
        return waiting

    def _wait(self, context: Context, waiting: Waiting, wishes: Wishes) -> Outcome:
        from airflow_provider_chatwork.operators._idempotency import share_given
        from airflow_provider_chatwork.waiting.reminders._unheard import unheard

        given = waiting.given
        if said := unheard(wishes.follow_up, given):
            self.log.warning("%s.", said)
        self.show_place(context, given["room_id"], given["message_id"])
        word = waiting.verdict()
        if word is None and self.deferrable:
            self._defer(context, given, wishes)
        if word is not None:
            return self._end(context, waiting, word)
        from airflow.providers.common.compat.sdk import AirflowException

        from airflow_provider_chatwork.triggers._base import WorkerWait

        share_given(context, given)
        self._worker_wait = WorkerWait(self._trigger(given, wishes))
        event = self._worker_wait.run()
        if event is None or waiting.is_killed:
            raise AirflowException("The wait was ended in Airflow")
        return self.execute_complete(context, event)

    def _defer(self, context: Context, given: Given, wishes: Wishes) -> None:
        from airflow_provider_chatwork.operators._idempotency import share_given

        # Nothing comes back from a trigger that fails.
        share_given(context, given)
        left = timedelta(seconds=max(0.0, given["deadline"] - time.time()))
        self.defer(
            trigger=self._trigger(given, wishes),
            method_name="execute_complete",
            timeout=left + TRIGGER_TIMEOUT_GRACE,
        )

    def _trigger(self, given: Given, wishes: Wishes) -> Any:
        from airflow_provider_chatwork.triggers.task_completion import ChatworkTaskCompletionTrigger

        return ChatworkTaskCompletionTrigger(
            chatwork_conn_id=self.chatwork_conn_id,
            given=given,
            follow_up=wishes.follow_up.to_plain(),
            withdraw=wishes.withdraw,
            poke_interval=wishes.interval,
            deadline=given["deadline"],
        )

    def _waiting_for(self, given: Given) -> Waiting:
        from airflow_provider_chatwork.operators._task_wait import Waiting
        from airflow_provider_chatwork.operators._wishes import wishes_of

        return Waiting(self.hook, given, wishes_of(self), self.log)

    def _end(self, context: Context, waiting: Waiting, word: str) -> Outcome:
        """Return what became of the tasks where they are done, and fail or skip otherwise."""
        from airflow_provider_chatwork.waiting.tasks.result import describe

        outcome = waiting.end(word)
        self.show_place(context, outcome["room_id"], outcome["message_id"])
        if outcome["outcome"] == "done":
            return outcome
        ti: Any = context.get("ti")
        if ti is not None:
            ti.xcom_push(key=OUTCOME_KEY, value=outcome)
        if outcome["outcome"] == "withdrawn":
            raise AirflowFailException(f"Another run of this task has withdrawn the tasks: {describe(outcome)}")
        if outcome["outcome"] == "impossible":
            raise AirflowFailException(f"Too few of the tasks are left: {describe(outcome)}")
        message = f"People were not done in time: {describe(outcome)}"
        raise AirflowSkipException(message) if self.on_timeout == "skip" else AirflowSensorTimeout(message)

    @contextmanager
    def _given_once(self, context: Context) -> Iterator[None]:
        """Fail for good where another try could not know of the tasks, and would give them once more."""
        try:
            yield
        except (AirflowFailException, AirflowSensorTimeout, AirflowSkipException):
            raise
        except Exception as error:
            if context.get("task_state_store") is not None or api.validation.none_if_blank(self.reference) is not None:
                raise
            said = str(error).rstrip(". ") or type(error).__name__
            raise AirflowFailException(f"{said}. It is not tried again, as people would get the task twice.") from error


class ChatworkSetTaskStatusOperator(ChatworkOperator):
    """Tick a task off, or open it again. Returns its task id.

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
