"""Give tasks to people, and tick them off."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.operators._base import ChatworkOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.rooms import AccountIds
    from airflow_provider_chatwork.due import Due


class ChatworkCreateTaskOperator(ChatworkOperator):
    """Give a task to people of a room. Returns the task ids, a list with one for each of them.

    :param body: what there is to do, 1 to 65535 characters.
    :param to_ids: the account ids of the assignees, as a list, as comma-separated text, or as a template of it.
    :param due: when it is due: a date (the end of that day), a datetime, a timedelta from when the task runs, or ISO
        8601 text. Days, and moments without a zone, are meant in the connection's ``timezone``.
    :param limit: instead of ``due``, the deadline in Unix seconds.
    :param limit_type: goes with ``limit``: ``time``, ``date`` or ``none``.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    On Airflow 3.3 and later a task that is tried again does not create again what an earlier try has created, as long
    as its fields render to the same.

    https://developer.chatwork.com/reference/post-rooms-room_id-tasks
    """

    template_fields: Sequence[str] = ("body", "to_ids", "due", "limit", "limit_type", *ChatworkOperator.template_fields)

    def __init__(
        self,
        *,
        body: str,
        to_ids: AccountIds,
        due: Due | None = None,
        limit: int | str | None = None,
        limit_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.to_ids = to_ids
        self.due = due
        self.limit = limit
        self.limit_type = limit_type

    def act(self, context: Context) -> list[int]:
        """Create, and return the task ids."""
        room_id = self.hook.room_id_or_default(self.room_id)
        due = api.check.given(self.due)
        limit = api.check.given(self.limit)
        limit_type = api.check.given(self.limit_type)
        stands_for = {}
        if due is not None:
            if limit is not None or limit_type is not None:
                raise ChatworkParameterError("due", due, "give either due, or limit and limit_type")
            # Imported here, so that reading a DAG file does not load it.
            from airflow_provider_chatwork.due import limit_of

            limit, limit_type = limit_of(due, self.hook.settings.timezone, time.time())
            stands_for["limit"] = repr(due)
        call = api.tasks.create_task(room_id, self.body, self.to_ids, limit=limit, limit_type=limit_type)
        task_ids = self.run_call(context, call, stands_for=stands_for)["task_ids"]
        message_id = self.message_of(api.tasks.get_task(room_id, task_ids[0])) if task_ids else None
        self.show_place(context, room_id, message_id)
        return task_ids


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
