"""Tasks of a room."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.operations.account import STATUSES
from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH, MAX_TIME, invalid
from airflow_provider_chatwork.sandbox.request_context import Answer, RequestContext, capped

LIMIT_TYPES = ("none", "date", "time")


def list_tasks(context: RequestContext, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/tasks``."""
    room = context.room(room_id)
    assignee = context.query.number("account_id")
    assigned_by = context.query.number("assigned_by_account_id")
    status = context.query.choice("status", STATUSES) or "open"
    tasks = [
        context.serializer.task(task)
        for task in room.tasks.values()
        if task.status == status
        and assignee in (None, task.account_id)
        and assigned_by in (None, task.assigned_by_account_id)
    ]
    return capped(tasks)


def create_task(context: RequestContext, room_id: int) -> Answer:
    """``POST /rooms/{room_id}/tasks``.

    A task without ``limit`` has no deadline, whatever ``limit_type`` is; ``limit_type=none`` ignores ``limit``.
    """
    body = context.form.required_text("body", BODY_LENGTH)
    to_ids = context.form.required_ids("to_ids")
    limit_time = context.form.number("limit", maximum=MAX_TIME) or 0
    limit_type = context.form.choice("limit_type", LIMIT_TYPES) or "time"
    if not limit_time or limit_type == "none":
        limit_time, limit_type = 0, "none"
    room = context.writable_room(room_id)
    for account_id in to_ids:
        if account_id not in room.roles:
            raise invalid("to_ids", f"has {account_id}, which is not a member of the room")
    context.count_post(room_id)
    tasks = context.changes.add_tasks(room, context.account_id, to_ids, body, limit_time, limit_type)
    return {"task_ids": [task.task_id for task in tasks]}


def get_task(context: RequestContext, room_id: int, task_id: int) -> Answer:
    """``GET /rooms/{room_id}/tasks/{task_id}``."""
    return context.serializer.task(context.task(context.room(room_id), task_id))


def set_task_status(context: RequestContext, room_id: int, task_id: int) -> Answer:
    """``PUT /rooms/{room_id}/tasks/{task_id}/status``. The parameter is named ``body``."""
    status = context.form.required_choice("body", STATUSES)
    room = context.writable_room(room_id)
    context.changes.set_task_status(room, context.task(room, task_id), context.account_id, status)
    return {"task_id": task_id}
