"""The result of a wait for assigned tasks, as DAG authors get it.

=====================  ============================================================================================
what people do         the result
=====================  ============================================================================================
complete a task        ``status`` ``done``, ``seen_done_at``
open it again          ``changes`` has ``reopened``; the task is not done, and the wait goes on
move its due date      ``changes`` has ``due_moved``; reminders follow the new date
change its text        ``changes`` has ``text_changed``; it is the same task
assign another person  ``changes`` has ``assignee_swapped``; ``account_id`` is the new assignee, who gets the reminders
delete it              ``status`` ``deleted``, ``reason`` ``deleted``
leave the room         ``status`` ``deleted``, ``reason`` ``left_room``: Chatwork deletes the tasks of people who leave
=====================  ============================================================================================

The wait fails when too few tasks are left to complete it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TypedDict

from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.rooms import list_members
from airflow_provider_chatwork.api.urls import message_url
from airflow_provider_chatwork.waiting.tasks.tracking import AssignedTasks, TaskProgress, first_message_id


class TaskWaitOutcome(enum.StrEnum):
    """How a wait for tasks ends."""

    DONE = "done"
    TIMED_OUT = "timed_out"
    #: Too few of the tasks are left.
    IMPOSSIBLE = "impossible"
    #: Another try of the Airflow task has cancelled the tasks.
    WITHDRAWN = "withdrawn"
    #: Airflow has ended the wait.
    KILLED = "killed"


class DeletionReason(enum.StrEnum):
    """Why a task does not exist any more."""

    DELETED = "deleted"
    LEFT_ROOM = "left_room"


class TaskResult(TypedDict):
    """The result for one task.

    ``status`` is ``done``, ``open``, ``deleted`` or ``withdrawn``. ``seen_done_at`` is the Unix time of the first poll
    at which it was done. ``changes`` holds values of
    :class:`~airflow_provider_chatwork.waiting.tasks.tracking.TaskChange`, ``reason`` is a :class:`DeletionReason` or
    ``None``.
    """

    task_id: int | None
    account_id: int | None
    account_name: str
    status: str
    seen_done_at: int | None
    changes: list[str]
    reason: str | None


class TaskWaitResult(TypedDict):
    """The result for all tasks.

    ``outcome`` is a :class:`TaskWaitOutcome`; ``link`` is the address of the system message about the tasks.
    """

    outcome: str
    room_id: int
    message_id: str | None
    link: str
    tasks: list[TaskResult]


def new_result(outcome: TaskWaitOutcome, assigned: AssignedTasks, web_url: str) -> TaskWaitResult:
    """Return the result, without :func:`add_room_details`."""
    message_id = assigned["message_id"] or first_message_id(assigned["tasks"])
    return {
        "outcome": outcome.value,
        "room_id": assigned["room_id"],
        "message_id": message_id,
        "link": message_url(assigned["room_id"], message_id, base=web_url),
        "tasks": [_task_result(progress) for progress in assigned["tasks"]],
    }


def add_room_details(result: TaskWaitResult) -> CallFlow[ChatworkError | None]:
    """Set the reason of deleted tasks whose assignees have left the room. Yields the calls to run.

    :return: the error if Chatwork did not list the members; the reasons are ``deleted`` then.
    """
    if all(task["status"] != "deleted" for task in result["tasks"]):
        return None
    try:
        members = yield list_members(result["room_id"])
    except ChatworkError as error:
        return error
    _set_reasons(result["tasks"], {member["account_id"] for member in members})
    return None


def describe(result: TaskWaitResult) -> str:
    """Return the status of each task in one line, for logs and errors."""
    parts = []
    for task in result["tasks"]:
        person = f"{task['account_name'] or '?'} ({task['account_id']})"
        status = "left the room" if task["reason"] == DeletionReason.LEFT_ROOM else task["status"]
        parts.append(f"{person}: {status}")
    return "; ".join(parts)


def _task_result(progress: TaskProgress) -> TaskResult:
    seen_done_at = progress["seen_done_at"] if progress["status"] == "done" else None
    return {
        "task_id": progress["task_id"],
        "account_id": progress["last_seen"]["account_id"] if progress["last_seen"] else None,
        "account_name": progress["account_name"],
        "status": progress["status"],
        "seen_done_at": None if seen_done_at is None else int(seen_done_at),
        "changes": [*progress["changes"]],
        "reason": DeletionReason.DELETED.value if progress["status"] == "deleted" else None,
    }


def _set_reasons(tasks: Sequence[TaskResult], members: set[int]) -> None:
    for task in tasks:
        if task["status"] == "deleted" and task["account_id"] is not None and task["account_id"] not in members:
            task["reason"] = DeletionReason.LEFT_ROOM.value
