"""The sensor for tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.sensors._base import ChatworkSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_chatwork.api.rooms import AccountIds
    from airflow_provider_chatwork.waiting.tasks.status import TaskState


class ChatworkTaskDoneSensor(ChatworkSensor):
    """Wait until tasks are done.

    Returns a list with one dict for each task, in the order of the argument: ``task_id``, ``status`` (``open``,
    ``done`` or ``deleted``), ``account_id`` and ``account_name`` of the assignee, and ``message_id``.

    The wait fails permanently where too few tasks are left because others were deleted, and where the account has left
    the room. An outage of Chatwork is logged and does not end it. A redirect fails the Airflow task, as Chatwork sends
    none. ``soft_fail`` skips at the timeout only.

    :param task_ids: the tasks, as ``ChatworkCreateTaskOperator`` returned them, or as comma-separated text.
    :param complete_when: ``all``, ``any``, or how many of them have to be done.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.
    :param deferrable: whether to wait in the triggerer, without a worker slot.
    :param start_from_trigger: whether the wait begins in the triggerer (Airflow 3.3 and later; not for mapped tasks),
        so that no worker is started for it. Implies ``deferrable``.
    :param end_from_trigger: whether a wait in the triggerer also ends there (Airflow 3.0 and later). With both, no
        worker is started at all; docs/waiting.md has the limitations.
    :param poke_interval: seconds between two polls, as for every sensor. In a worker, a poll of one or two tasks sends
        as many requests; of more, two, and one more for each task that is not in a list of 100 tasks. In the triggerer
        all waits on a room share their polls, which slow down where the account's rate limit is not enough.
    """

    template_fields: Sequence[str] = ("task_ids", "complete_when", *ChatworkSensor.template_fields)

    def __init__(
        self,
        *,
        task_ids: AccountIds,
        complete_when: str | int = "all",
        start_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task_ids = task_ids
        self.complete_when = complete_when
        self._assignees: dict[str, int] = {}
        if start_from_trigger:
            self.start_in_triggerer(
                "tasks.ChatworkTaskDoneTrigger",
                chatwork_conn_id=self.chatwork_conn_id,
                room_id=self.room_id,
                task_ids=task_ids,
                complete_when=complete_when,
            )

    def prepare(self, context: Context) -> None:
        """Validate the rendered arguments before anything is sent."""
        self._arguments()

    def check(self, context: Context) -> list[TaskState] | None:
        """Poll once, and return the states of the tasks; ``None`` if too few are done."""
        from airflow_provider_chatwork.waiting.tasks import status

        room_id, task_ids = self._arguments()
        states = self.client.run_flow(status.poll_tasks(room_id, task_ids))
        done = sum(state["status"] == "done" for state in states)
        self.log.info("%d of %d tasks in room %s are done", done, len(states), room_id)
        if not status.is_complete(states, self.complete_when):
            status.require_completable(room_id, states, self.complete_when)
            self._assignees = {str(state["task_id"]): state["account_id"] for state in states if state["account_id"]}
            return None
        self.show_place(context, states[0]["message_id"])
        return states

    def trigger(self) -> BaseTrigger:
        """Return the trigger that continues the wait."""
        # Imported here, because it is not needed to parse a DAG file.
        from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger

        _, task_ids = self._arguments()
        return ChatworkTaskDoneTrigger(
            task_ids=task_ids, complete_when=self.complete_when, assignees=self._assignees, **self.trigger_arguments()
        )

    def finish(self, context: Context, event: dict[str, Any]) -> list[TaskState]:
        """Return the states of the tasks from the event."""
        states: list[TaskState] = event["tasks"]
        self.show_place(context, states[0]["message_id"])
        return states

    def _arguments(self) -> tuple[int, list[int]]:
        from airflow_provider_chatwork.waiting.tasks import status

        task_ids = api.validation.identifiers("task_ids", self.task_ids)
        status.tasks_needed(self.complete_when, len(task_ids))
        return self.room_number, task_ids
