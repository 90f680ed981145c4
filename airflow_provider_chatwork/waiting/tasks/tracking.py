"""The progress of assigned tasks, as polls show it.

It is plain JSON, so that triggers can have it as an argument and as an event.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from airflow_provider_chatwork.api import models

#: The key of the tasks that an Airflow task waits for, in Airflow's task state (3.3 and later) and as an XCom.
WAIT_STATE_KEY = "chatwork_wait"


class TaskChange(enum.StrEnum):
    """What people have changed of a task."""

    DUE_MOVED = "due_moved"
    TEXT_CHANGED = "text_changed"
    ASSIGNEE_SWAPPED = "assignee_swapped"
    REOPENED = "reopened"


class TaskFields(TypedDict):
    """The fields of a task that people can change.

    ``limit_time`` is in Unix seconds; ``text`` is a hash of the task's text.
    """

    account_id: int
    limit_time: int
    limit_type: str
    text: str


class TaskProgress(TypedDict):
    """What is known of one task.

    ``first_seen`` and ``last_seen`` are its fields at the first and at the last poll, ``None`` before. ``seen_done_at``
    is the Unix time of the first poll at which it was done. ``status`` is ``open``, ``done`` or ``deleted``. A task
    that was deleted before its id was known has no id. ``changes`` holds values of :class:`TaskChange`.
    """

    task_id: int | None
    message_id: str | None
    account_name: str
    first_seen: TaskFields | None
    last_seen: TaskFields | None
    status: str
    seen_done_at: float | None
    changes: list[str]


class AssignedTasks(TypedDict):
    """Tasks that were created by one call of ``create_task``, and the deadline of the wait for them.

    ``message_id`` is the system message about the tasks, if it is known. ``needed`` of the tasks have to be done.
    ``created_at`` and ``deadline`` are Unix times.
    """

    room_id: int
    message_id: str | None
    created_at: float
    deadline: float
    needed: int
    tasks: list[TaskProgress]


def new_assigned_tasks(
    room_id: int, task_ids: Sequence[int | None], to_ids: Sequence[int], *, needed: int, timeout: float, now: float
) -> AssignedTasks:
    """Return tasks that no poll has seen yet.

    :param task_ids: the task id of each assignee, ``None`` for a task that was deleted.
    :param timeout: seconds from now to the deadline.
    :param now: Unix time when the tasks were created.
    """
    # Chatwork's times are whole seconds.
    now = float(int(now))
    return {
        "room_id": room_id,
        "message_id": None,
        "created_at": now,
        "deadline": now + timeout,
        "needed": needed,
        "tasks": [
            new_task_progress(task_id, account_id=account_id if task_id is None else None)
            for task_id, account_id in zip(task_ids, to_ids, strict=True)
        ],
    }


def new_task_progress(task_id: int | None, *, account_id: int | None = None) -> TaskProgress:
    """Return the progress of a task that no poll has seen yet.

    :param account_id: the assignee of a task that was deleted, and so has no id.
    """
    fields: TaskFields | None = None
    if account_id is not None:
        fields = {"account_id": account_id, "limit_time": 0, "limit_type": "none", "text": ""}
    return {
        "task_id": task_id,
        "message_id": None,
        "account_name": "",
        "first_seen": fields,
        "last_seen": fields,
        "status": "open" if task_id is not None else "deleted",
        "seen_done_at": None,
        "changes": [],
    }


def update_all(
    progress: Iterable[TaskProgress], tasks: Mapping[int, models.Task], deleted: set[int], now: float
) -> None:
    """Update the progress of tasks with the result of a poll.

    :param tasks: the tasks as they were last read, by id.
    :param deleted: the ids of those that do not exist any more.
    :param now: Unix time of the poll.
    """
    for each in progress:
        task_id = each["task_id"]
        if task_id is not None:
            update_progress(each, tasks.get(task_id), task_id in deleted, now)


def update_progress(progress: TaskProgress, task: models.Task | None, deleted: bool, now: float) -> None:
    """Update the progress of one task.

    :param task: the task as it was last read, ``None`` if it never was.
    :param deleted: whether it does not exist any more.
    :param now: Unix time of the poll.
    """
    if task is not None:
        _update_fields(progress, task)
    if deleted:
        progress["status"] = "deleted"
    elif task is None:
        return
    elif task["status"] == "done":
        progress["status"] = "done"
        if progress["seen_done_at"] is None:
            progress["seen_done_at"] = now
    else:
        if progress["seen_done_at"] is not None:
            _add_change(progress, TaskChange.REOPENED)
        progress["status"] = "open"
        progress["seen_done_at"] = None


def existing_ids(progress: Iterable[TaskProgress]) -> list[int]:
    """Return the ids of the tasks that have one."""
    return [each["task_id"] for each in progress if each["task_id"] is not None]


def done_ids(progress: Iterable[TaskProgress]) -> list[int]:
    """Return the ids of the tasks that are done."""
    return existing_ids(each for each in progress if each["status"] == "done")


def unseen_ids(progress: Iterable[TaskProgress]) -> list[int]:
    """Return the ids of the open tasks that no poll has seen."""
    return existing_ids(
        each
        for each in progress
        if each["status"] == "open" and (each["message_id"] is None or each["last_seen"] is None)
    )


def can_be_completed(progress: Iterable[TaskProgress], needed: int) -> bool:
    """Return whether enough of the tasks exist."""
    return sum(each["status"] != "deleted" for each in progress) >= needed


def assignees(progress: Iterable[TaskProgress]) -> dict[int, int]:
    """Return the assignee of each task that a poll has seen, by task id."""
    return {
        each["task_id"]: each["last_seen"]["account_id"]
        for each in progress
        if each["task_id"] is not None and each["last_seen"] is not None
    }


def first_message_id(progress: Iterable[TaskProgress]) -> str | None:
    """Return the system message about the tasks, the oldest of several, ``None`` if no poll has seen one."""
    return min((each["message_id"] for each in progress if each["message_id"]), key=int, default=None)


def last_seen_tasks(progress: Iterable[TaskProgress]) -> dict[int, models.Task]:
    """Return the tasks as far as their progress shows them, by id, without those that no poll has seen.

    They have no text: they can be cancelled, but a reminder cannot quote them.
    """
    tasks: dict[int, models.Task] = {}
    for each in progress:
        task_id, message_id, fields = each["task_id"], each["message_id"], each["last_seen"]
        if task_id is not None and message_id is not None and fields is not None:
            account: Any = {"account_id": fields["account_id"], "name": each["account_name"]}
            task: Any = {"task_id": task_id, "message_id": message_id, "account": account, "status": each["status"]}
            tasks[task_id] = task
    return tasks


def text_hash(body: str) -> str:
    """Hash the text of a task.

    The hash does not depend on line ends and outer white space, which Chatwork may change.
    """
    plain = body.replace("\r\n", "\n").strip()
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()[:16]


def _update_fields(progress: TaskProgress, task: models.Task) -> None:
    fields: TaskFields = {
        "account_id": task["account"]["account_id"],
        "limit_time": task.get("limit_time") or 0,
        "limit_type": task.get("limit_type") or "none",
        "text": text_hash(task.get("body") or ""),
    }
    first = progress["first_seen"] = progress["first_seen"] or fields
    progress["last_seen"] = fields
    progress["account_name"] = task["account"].get("name") or ""
    progress["message_id"] = progress["message_id"] or task["message_id"]
    if (first["limit_time"], first["limit_type"]) != (fields["limit_time"], fields["limit_type"]):
        _add_change(progress, TaskChange.DUE_MOVED)
    if first["text"] != fields["text"]:
        _add_change(progress, TaskChange.TEXT_CHANGED)
    if first["account_id"] != fields["account_id"]:
        _add_change(progress, TaskChange.ASSIGNEE_SWAPPED)


def _add_change(progress: TaskProgress, change: TaskChange) -> None:
    if change not in progress["changes"]:
        progress["changes"].append(change.value)
