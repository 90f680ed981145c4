"""What came of tasks that were given to people, as DAG authors get it.

=====================  ============================================================================================
what people do         what it comes to
=====================  ============================================================================================
tick a task            ``status`` ``done``, ``seen_done_at``
open it again          ``changes`` has ``reopened``; it is not done, and waited for again
move its due date      ``changes`` has ``due_moved``; reminders go by the new date
change its text        ``changes`` has ``text_changed``; it is the same task, and done when it is ticked
give it to another     ``changes`` has ``assignee_swapped``; ``account_id`` is whose it is now, and who is reminded
delete it              ``status`` ``deleted``, ``why`` ``deleted``
leave the room         ``status`` ``deleted``, ``why`` ``left_room``: Chatwork deletes the tasks of who leaves
=====================  ============================================================================================

Where so many are deleted that too few are left, the wait has failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.rooms import list_members
from airflow_provider_chatwork.api.urls import message_url
from airflow_provider_chatwork.waiting.tasks.tracking import Given, Track, message_of


class TaskOutcome(TypedDict):
    """What became of one task.

    ``status`` is ``done``, ``open``, ``deleted`` or ``withdrawn``. ``seen_done_at`` is when it was first seen done, up
    to an interval after it was, in Unix seconds. ``changes`` and ``why`` are as the table says.
    """

    task_id: int | None
    account_id: int | None
    account_name: str
    status: str
    seen_done_at: int | None
    changes: list[str]
    why: str | None


class Outcome(TypedDict):
    """What became of all of them.

    ``outcome`` is ``done``, ``timed_out``, ``impossible`` (too few tasks are left) or ``withdrawn`` (by another run of
    the Airflow task, while this one waited for them, too); ``link`` leads to their message.
    """

    outcome: str
    room_id: int
    message_id: str | None
    link: str
    tasks: list[TaskOutcome]


def new_outcome(word: str, given: Given, web_url: str) -> Outcome:
    """Put together what is known without asking anything."""
    message_id = given["message_id"] or message_of(given["tracks"])
    return {
        "outcome": word,
        "room_id": given["room_id"],
        "message_id": message_id,
        "link": message_url(given["room_id"], message_id, base=web_url),
        "tasks": [_outcome_of(track) for track in given["tracks"]],
    }


def look_into_room(outcome: Outcome, given: Given) -> CallFlow[ChatworkError | None]:
    """Find out who has left the room, whose tasks Chatwork has deleted. Yields the calls to run.

    :return: the error where Chatwork did not show the members; the outcome is complete but for that.
    """
    if all(task["status"] != "deleted" for task in outcome["tasks"]):
        return None
    try:
        members = yield list_members(given["room_id"])
    except ChatworkError as error:
        return error
    _name_reasons(outcome["tasks"], {member["account_id"] for member in members})
    return None


def describe(outcome: Outcome) -> str:
    """Say in one line how many are what, for the log and for errors."""
    named = []
    for task in outcome["tasks"]:
        who = f"{task['account_name'] or '?'} ({task['account_id']})"
        named.append(f"{who}: {'left the room' if task['why'] == 'left_room' else task['status']}")
    return "; ".join(named)


def _outcome_of(track: Track) -> TaskOutcome:
    seen = track["seen_done_at"] if track["status"] == "done" else None
    return {
        "task_id": track["task_id"],
        "account_id": track["terms"]["account_id"] if track["terms"] else None,
        "account_name": track["account_name"],
        "status": track["status"],
        "seen_done_at": None if seen is None else int(seen),
        "changes": [*track["changes"]],
        "why": "deleted" if track["status"] == "deleted" else None,
    }


def _name_reasons(tasks: Sequence[TaskOutcome], members: set[int]) -> None:
    for task in tasks:
        if task["status"] == "deleted" and task["account_id"] is not None and task["account_id"] not in members:
            task["why"] = "left_room"
