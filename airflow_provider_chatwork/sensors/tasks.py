"""Wait until people are done with their tasks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkError, from_plain
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.links import ChatworkMessageLink, ChatworkRoomLink, push_place
from airflow_provider_chatwork.operators._base import fail_on_refusal

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.rooms import AccountIds
    from airflow_provider_chatwork.api.task_wait import TaskState

# The trigger ends a wait by its own clock. Airflow's is a net below it, for a triggerer that has stood still.
_NET = timedelta(minutes=5)
# What Airflow calls instead of the method asked for, where the trigger ended without an event.
_FAILED = "__fail__"


class ChatworkTaskDoneSensor(BaseSensorOperator):
    """Wait until people are done with their tasks.

    Returns a list with one dict a task, in the order given: ``task_id``, ``status`` (``open`` or ``done``),
    ``account_id`` and ``account_name`` of the assignee, and ``message_id``.

    A task that was deleted and a room the account is no longer in end the wait with a failure that no retry cures. An
    outage of Chatwork does not end it; it only shows in the log. A redirect fails the task, as Chatwork has none.
    ``soft_fail`` skips on a timeout and on nothing else.

    :param task_ids: the tasks, as ``ChatworkCreateTaskOperator`` returned them, or as comma-separated text.
    :param complete_when: ``all``, ``any``, or how many of them have to be done.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.
    :param deferrable: whether to wait in the triggerer, which takes no worker slot.
    :param poke_interval: seconds between two looks, as for every sensor; a look at one or two tasks costs as many
        calls, at more of them two, and one more for each task that is not among the 100 that each list shows.
    """

    template_fields: Sequence[str] = ("room_id", "task_ids", "complete_when", "chatwork_conn_id")
    operator_extra_links = (ChatworkRoomLink(), ChatworkMessageLink())
    ui_color = "#fdeeee"

    def __init__(
        self,
        *,
        task_ids: AccountIds,
        room_id: int | str | None = None,
        complete_when: str | int = "all",
        chatwork_conn_id: str = ChatworkHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task_ids = task_ids
        self.room_id = room_id
        self.complete_when = complete_when
        self.chatwork_conn_id = chatwork_conn_id
        self.deferrable = deferrable

    @cached_property
    def hook(self) -> ChatworkHook:
        """The hook of the connection."""
        return ChatworkHook(self.chatwork_conn_id)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        room_id, task_ids = self._wanted()
        try:
            states = self.hook.follow(api.task_wait.observe_tasks(room_id, task_ids))
        except ChatworkError as error:
            if not api.task_wait.goes_on(error):
                raise
            self.log.warning("Chatwork did not tell how the tasks stand; the wait goes on. %s", error)
            return PokeReturnValue(is_done=False)
        done = sum(state["status"] == "done" for state in states)
        self.log.info("%d of %d tasks in room %s are done", done, len(states), room_id)
        complete = api.task_wait.is_complete(states, self.complete_when)
        if complete:
            self._show(context, room_id, states)
        return PokeReturnValue(is_done=complete, xcom_value=states if complete else None)

    def execute(self, context: Context) -> Any:
        """Wait, in the worker or in the triggerer."""
        with self._ends():
            self._wanted()
            if not self.deferrable:
                return super().execute(context)
            first = self._first_look(context)
        if first.is_done:
            return first.xcom_value
        self._defer()
        return None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[TaskState]:
        """End the wait as the trigger saw it end."""
        if event["status"] == "timeout":
            raise AirflowSensorTimeout(
                f"Sensor has timed out; run duration is over the {self.timeout:.0f} s of timeout"
            )
        if event["status"] == "refused":
            raise from_plain(event["error"])
        states: list[TaskState] = event["tasks"]
        self._show(context, self.hook.room_id_or_default(self.room_id), states)
        return states

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from the triggerer, with the same ends as a wait in the worker."""
        error = str((next_kwargs or {}).get("error", ""))
        with self._ends():
            if next_method == _FAILED and "timeout" in error.lower():
                raise AirflowSensorTimeout(error)
            try:
                # Not that of the sensors' base class, which softens whatever went wrong in the triggerer.
                return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
            except Exception as failure:
                self._end_softly(failure)
                raise

    @contextmanager
    def _ends(self) -> Iterator[None]:
        try:
            with fail_on_refusal():
                yield
        except (AirflowFailException, AirflowSensorTimeout) as error:
            # The base class sees to it where it pokes, but not before and not in a wait in the triggerer.
            if self.soft_fail and isinstance(error, AirflowSensorTimeout):
                raise AirflowSkipException("Skipping due to soft_fail is set to True.") from error
            self._end_softly(error)
            raise

    def _end_softly(self, error: Exception) -> None:
        if self.never_fail:
            raise AirflowSkipException("Skipping due to never_fail is set to True.") from error

    def _first_look(self, context: Context) -> PokeReturnValue:
        try:
            return self.poke(context)
        except Exception as error:
            if self.silent_fail:
                self.log.error("Sensor poke failed: %s", error)
                return PokeReturnValue(is_done=False)
            self._end_softly(error)
            raise

    def _defer(self) -> None:
        # Imported here, so that reading a DAG file does not load what only the triggerer needs.
        from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger

        room_id, task_ids = self._wanted()
        self.defer(
            trigger=ChatworkTaskDoneTrigger(
                chatwork_conn_id=self.chatwork_conn_id,
                room_id=room_id,
                task_ids=task_ids,
                complete_when=self.complete_when,
                poke_interval=self.poke_interval,
                exponential_backoff=bool(self.exponential_backoff),
                max_interval=self.max_wait.total_seconds() if self.max_wait else None,
                deadline=time.time() + self.timeout,
                silent_fail=self.silent_fail,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout) + _NET,
        )

    def _wanted(self) -> tuple[int, list[int]]:
        """The room and the tasks. Finds what cannot be right before anything is sent."""
        task_ids = api.check.identifiers("task_ids", self.task_ids)
        api.task_wait.tasks_needed(self.complete_when, len(task_ids))
        return api.check.identifier("room_id", self.hook.room_id_or_default(self.room_id)), task_ids

    def _show(self, context: Context, room_id: int | str, states: Sequence[TaskState]) -> None:
        push_place(context, self.hook.settings.web_url, room_id, states[0]["message_id"])
