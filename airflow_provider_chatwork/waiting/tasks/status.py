"""When a wait for tasks is complete: the rules of the sensor and of the triggers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TypedDict

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import (
    ChatworkNotFoundError,
    ChatworkParameterError,
)
from airflow_provider_chatwork.api.http import WINDOW
from airflow_provider_chatwork.api.tasks import get_task, list_tasks

#: A task is deleted when Chatwork did not find it this many times in a row: it may not find a new task at once.
DELETED_AFTER = 2
#: How long the poll at the deadline is retried, in seconds: a window of the rate limit, and time for the poll.
FINAL_POLL_TIMEOUT = WINDOW + 30.0
# Up to this many tasks are read one by one, more with two lists.
_MAX_SINGLE_READS = 2


class TaskState(TypedDict):
    """The state of a task: its assignee, and its ``status``, ``open``, ``done`` or ``deleted``.

    Of a deleted task only the id is known; the other fields are 0 and empty.
    """

    task_id: int
    status: str
    account_id: int
    account_name: str
    message_id: str


def tasks_needed(complete_when: object, count: int) -> int:
    """Return how many of ``count`` tasks have to be done.

    :param complete_when: ``all``, ``any``, or a number, which may be written as text.
    :raises ChatworkParameterError: for anything else, and for more than there are.
    """
    if complete_when in ("all", "any"):
        return count if complete_when == "all" else 1
    remedy = f"give 'all', 'any' or a number from 1 to {count}, the number of tasks"
    try:
        needed = validation.identifier("complete_when", complete_when)
    except ChatworkParameterError:
        raise ChatworkParameterError("complete_when", complete_when, remedy) from None
    if needed > count:
        raise ChatworkParameterError("complete_when", complete_when, remedy)
    return needed


def is_complete(states: Sequence[TaskState], complete_when: object) -> bool:
    """Return whether enough of the tasks are done."""
    return sum(state["status"] == "done" for state in states) >= tasks_needed(complete_when, len(states))


def require_completable(room_id: int | str, states: Sequence[TaskState], complete_when: object) -> None:
    """Check that enough of the tasks exist.

    :raises ChatworkNotFoundError: if too many are deleted, with their ids.
    """
    deleted = [state["task_id"] for state in states if state["status"] == "deleted"]
    needed = tasks_needed(complete_when, len(states))
    if len(states) - len(deleted) >= needed:
        return
    if len(deleted) == 1:
        text = f"task {deleted[0]} of room {room_id} was deleted, or the account of the token is not in the room"
    else:
        tasks = ", ".join(map(str, deleted))
        text = f"tasks {tasks} of room {room_id} were deleted, or the account of the token is not in the room"
    if needed < len(states):
        text += f"; {needed} of {len(states)} tasks cannot be done any more"
    raise ChatworkNotFoundError("get_task", 404, (text,))


def poll_tasks(room_id: int | str, task_ids: Sequence[int]) -> CallFlow[list[TaskState]]:
    """Return the states of tasks, in the order of their ids. Yields the calls to run.

    Tasks that are in no list are read one by one, as lists end at 100. Those that Chatwork does not find are read again
    after all others, and are ``deleted`` if it still does not. One or two tasks of a room that the account has left are
    ``deleted``, too.

    :raises ChatworkApiError: if the account has left the room.
    """
    seen: dict[int, models.Task] = {}
    if len(task_ids) > _MAX_SINGLE_READS:
        # Open before done: a task that is done in between is in both lists, and the later one counts.
        for status in validation.TASK_STATUSES:
            for task in (yield list_tasks(room_id, status=status)):
                seen[task["task_id"]] = task
    for _ in range(DELETED_AFTER):
        for task_id in task_ids:
            if task_id not in seen:
                with suppress(ChatworkNotFoundError):
                    seen[task_id] = yield get_task(room_id, task_id)
    return [task_state(task_id, seen.get(task_id)) for task_id in task_ids]


def task_state(task_id: int, task: models.Task | None) -> TaskState:
    """Return the state of a task; ``None`` is a deleted one."""
    if task is None:
        return {"task_id": task_id, "status": "deleted", "account_id": 0, "account_name": "", "message_id": ""}
    return {
        "task_id": task_id,
        "status": task["status"],
        "account_id": task["account"]["account_id"],
        "account_name": task["account"].get("name", ""),
        "message_id": task["message_id"],
    }
