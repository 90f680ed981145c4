"""Whether people are done with their tasks: one set of rules for the sensor that pokes and the trigger that waits."""

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
from airflow_provider_chatwork.api.rate_limit import WINDOW
from airflow_provider_chatwork.api.tasks import get_task, list_tasks

#: A task is gone when Chatwork did not know it so often in a row: what answers may be behind with what is new.
GONE_AFTER = 2
#: For how long the last look before a wait is given up is tried again, in seconds: until there is budget, and a while.
LAST_LOOK = WINDOW + 30.0
#: Up to this many tasks are read one by one; more are read with two lists.
_ONE_BY_ONE = 2


class TaskState(TypedDict):
    """How one task stands: who has to do it, and whether it is ``open``, ``done`` or ``deleted``.

    Of a ``deleted`` one there is nothing but its id: 0 and empty texts.
    """

    task_id: int
    status: str
    account_id: int
    account_name: str
    message_id: str


def tasks_needed(complete_when: object, count: int) -> int:
    """How many of ``count`` tasks have to be done.

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
    """Whether enough of the tasks are done."""
    return sum(state["status"] == "done" for state in states) >= tasks_needed(complete_when, len(states))


def check_possible(room_id: int | str, states: Sequence[TaskState], complete_when: object) -> None:
    """Check that enough of the tasks are still there to be done.

    :raises ChatworkNotFoundError: naming those that are not.
    """
    gone = [state["task_id"] for state in states if state["status"] == "deleted"]
    needed = tasks_needed(complete_when, len(states))
    if len(states) - len(gone) >= needed:
        return
    if len(gone) == 1:
        said = f"task {gone[0]} of room {room_id} was deleted, or the account of the token is not in the room"
    else:
        tasks = ", ".join(map(str, gone))
        said = f"tasks {tasks} of room {room_id} were deleted, or the account of the token is not in the room"
    if needed < len(states):
        said += f"; {needed} of {len(states)} tasks cannot be done any more"
    raise ChatworkNotFoundError("get_task", 404, (said,))


def observe_tasks(room_id: int | str, task_ids: Sequence[int]) -> CallFlow[list[TaskState]]:
    """See how tasks of a room stand, in the order given. Yields the calls to run.

    A task that is in no list is read by itself, as the lists end at 100: what is missing there is not done yet. One
    that Chatwork does not know is asked for again, after all others, and is ``deleted`` if it still does not; a lost
    room looks like that, too, with one or two tasks.

    :raises ChatworkApiError: where the room is lost.
    """
    seen: dict[int, models.Task] = {}
    if len(task_ids) > _ONE_BY_ONE:
        # Open before done: a task ticked in between is in both, and the later answer counts.
        for status in validation.TASK_STATUSES:
            for task in (yield list_tasks(room_id, status=status)):
                seen[task["task_id"]] = task
    for _ in range(GONE_AFTER):
        for task_id in task_ids:
            if task_id not in seen:
                with suppress(ChatworkNotFoundError):
                    seen[task_id] = yield get_task(room_id, task_id)
    return [state_of(task_id, seen.get(task_id)) for task_id in task_ids]


def state_of(task_id: int, task: models.Task | None) -> TaskState:
    """How a task stands, or that it is not there any more (``None``)."""
    if task is None:
        return {"task_id": task_id, "status": "deleted", "account_id": 0, "account_name": "", "message_id": ""}
    return {
        "task_id": task_id,
        "status": task["status"],
        "account_id": task["account"]["account_id"],
        "account_name": task["account"].get("name", ""),
        "message_id": task["message_id"],
    }
