"""The trigger that waits for tasks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.rooms import AccountIds
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.triggers._event import EventStatus
from airflow_provider_chatwork.triggers._sensor import ChatworkSensorTrigger
from airflow_provider_chatwork.waiting.poller.task_poller import TaskSubscription, subscribe_tasks


class ChatworkTaskDoneTrigger(ChatworkSensorTrigger[TaskSubscription]):
    """Wait until tasks are done, and yield one event of plain JSON.

    Its ``status`` is one of :class:`~airflow_provider_chatwork.triggers._base.EventStatus`. ``done`` comes with
    ``tasks``, a list of :class:`~airflow_provider_chatwork.waiting.tasks.status.TaskState`.

    :param task_ids: the Chatwork tasks, also as text that a template has rendered.
    :param complete_when: ``all``, ``any``, or how many of them have to be done.
    :param assignees: the account id of the assignee of each task, if known. It saves requests in rooms of more than 100
        open tasks.
    :param kwargs: those of :class:`~airflow_provider_chatwork.triggers._sensor.ChatworkSensorTrigger`.
    """

    argument_names = (*ChatworkSensorTrigger.argument_names, "task_ids", "complete_when", "assignees")

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
        # The keys of JSON objects are text.
        self.assignees = {str(task_id): account_id for task_id, account_id in (assignees or {}).items()}

    def subscribe(self, settings: Settings) -> AbstractAsyncContextManager[TaskSubscription]:
        """Return the subscription to wait with."""
        return subscribe_tasks(
            *(settings, self.room(settings), validation.identifiers("task_ids", self.task_ids)),
            complete_when=self.complete_when,
            interval=self.interval,
            max_interval=self.longest_interval,
            assignees={int(task_id): account_id for task_id, account_id in self.assignees.items()},
            log=self.log,
        )

    async def on_change(self, subscription: TaskSubscription) -> dict[str, Any] | None:
        """Return the event if enough tasks are done."""
        return {"status": EventStatus.DONE.value, "tasks": subscription.states} if subscription.is_complete else None

    def result(self, event: dict[str, Any]) -> tuple[Any, str | None]:
        """Return the states of the tasks, and the message of the first task."""
        return event["tasks"], event["tasks"][0]["message_id"]
