"""What came of tasks that were given to people, as DAG authors get it.

=====================  ============================================================================================
what people do         what it comes to
=====================  ============================================================================================
tick a task            ``status`` ``done``, ``seen_done_at``; ``done_by`` and ``done_at`` where the room tells
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

from collections.abc import Generator, Sequence
from typing import Any, TypedDict

from airflow_provider_chatwork.api.call import Call
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.messages import list_messages
from airflow_provider_chatwork.api.rooms import list_members
from airflow_provider_chatwork.api.system_messages import completion_of
from airflow_provider_chatwork.api.urls import message_url
from airflow_provider_chatwork.waiting.tasks.tracking import Given, Track, message_of

# How far this machine's clock may be from Chatwork's, in seconds, for a line of the room to be that of a task.
_CLOCK_MARGIN = 30.0


class TaskOutcome(TypedDict):
    """What became of one task.

    ``status`` is ``done``, ``open``, ``deleted`` or ``withdrawn``. ``seen_done_at`` is when it was first seen done, up
    to an interval after it was. ``done_by`` (an account id) and ``done_at`` are there if the room tells. All times are
    Unix times. ``changes`` and ``why`` are as the table says.
    """

    task_id: int | None
    account_id: int | None
    account_name: str
    status: str
    seen_done_at: int | None
    done_by: int | None
    done_at: int | None
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


def look_into_room(outcome: Outcome, given: Given) -> Generator[Call[Any], Any, list[ChatworkError]]:
    """Complete an outcome with what the room tells: who ticked, and who has left. Yields the calls to run.

    :return: what Chatwork refused to tell. The outcome is as good without it.
    """
    errors: list[ChatworkError] = []
    statuses = {task["status"] for task in outcome["tasks"]}
    if "deleted" in statuses:
        try:
            members = yield list_members(given["room_id"])
            _name_reasons(outcome["tasks"], {member["account_id"] for member in members})
        except ChatworkError as error:
            errors.append(error)
    if "done" in statuses:
        try:
            page = yield list_messages(given["room_id"])
            for task, track in zip(outcome["tasks"], given["tracks"], strict=True):
                _name_completion(task, track, page)
        except ChatworkError as error:
            errors.append(error)
    return errors


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
        "done_by": None,
        "done_at": None,
        "changes": [*track["changes"]],
        "why": "deleted" if track["status"] == "deleted" else None,
    }


def _name_reasons(tasks: Sequence[TaskOutcome], members: set[int]) -> None:
    for task in tasks:
        if task["status"] == "deleted" and task["account_id"] is not None and task["account_id"] not in members:
            task["why"] = "left_room"


def _name_completion(task: TaskOutcome, track: Track, page: Sequence[Any]) -> None:
    if task["status"] != "done" or track["terms"] is None or track["seen_done_at"] is None:
        return
    since, until = track["open_at"] - _CLOCK_MARGIN, track["seen_done_at"] + _CLOCK_MARGIN
    completion = completion_of(track["terms"], page, since, until)
    if completion is not None:
        task["done_by"], task["done_at"] = completion.account_id, completion.at
