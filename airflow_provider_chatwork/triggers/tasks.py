"""Waiting for tasks in the triggerer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.triggers._event import EventStatus, new_event
from airflow_provider_chatwork.triggers._sensor import ChatworkSensorTrigger
from airflow_provider_chatwork.waiting.poller.subscribe import TasksWait, watch_tasks

if TYPE_CHECKING:
    from airflow_provider_chatwork.api.rooms import AccountIds


class ChatworkTaskDoneTrigger(ChatworkSensorTrigger[TasksWait]):
    """Wait until people are done with their tasks, and yield one event of plain JSON.

    Its ``status`` is ``done`` (with ``tasks``, a list of
    :class:`~airflow_provider_chatwork.waiting.tasks.status.TaskState`), ``timeout``, or ``refused`` (with ``error``, written
    by :func:`~airflow_provider_chatwork.api.errors.to_plain`).

    :param task_ids: the tasks, which may be text as a template renders to it.
    :param complete_when: ``all``, ``any``, or how many of them have to be done.
    :param assignees: the account ids of the assignees by task, where they are known, which spares requests in rooms
        of more than 100 open tasks.
    :param chatwork_conn_id: and the rest are those of
        :class:`~airflow_provider_chatwork.triggers._sensor.ChatworkSensorTrigger`.
    """

    def __init__(
        self,
        *,
        task_ids: AccountIds,
        complete_when: str | int,
        assignees: Mapping[str, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task_ids = task_ids
        self.complete_when = complete_when
        # As JSON has it, which knows no numbers as keys.
        self.assignees = {str(task_id): account_id for task_id, account_id in (assignees or {}).items()}

    def arguments(self) -> dict[str, Any]:
        """The arguments that make another one, as plain JSON."""
        return {
            **super().arguments(),
            "task_ids": self.task_ids,
            "complete_when": self.complete_when,
            "assignees": self.assignees,
        }

    def watch(self, settings: Settings) -> TasksWait:
        """Begin to look."""
        assignees = {int(task_id): account_id for task_id, account_id in self.assignees.items()}
        return watch_tasks(
            *(settings, self.room(settings), validation.identifiers("task_ids", self.task_ids)),
            complete_when=self.complete_when,
            interval=self.poke_interval,
            max_interval=self.longest_interval,
            assignees=assignees,
            log=self.log,
        )

    async def attend(self, wait: TasksWait) -> dict[str, Any] | None:
        """See whether the tasks are done."""
        return new_event(EventStatus.DONE, tasks=wait.states) if wait.is_complete else None

    def result(self, event: dict[str, Any]) -> tuple[Any, str | None]:
        """How the tasks stand, and the message of the first."""
        return event["tasks"], event["tasks"][0]["message_id"]
