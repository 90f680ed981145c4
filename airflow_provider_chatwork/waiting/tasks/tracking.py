"""How tasks that were given to people come along, as one look after the other shows it.

What is kept is plain JSON, so that it can be an argument and an event of a trigger. Nothing here asks Chatwork.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypedDict

from airflow_provider_chatwork.api import models

#: What may become of a task besides being done: the names in ``changes``.
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


class Track(TypedDict):
    """What is known of one task.

    ``asked`` is how it was first seen and ``terms`` how it was last seen, both ``None`` before. ``seen_done_at`` is
    the Unix time when it was first seen done. ``status`` is ``open``, ``done`` or ``deleted``. A task that was deleted
    before its id was known has no id.
    """

    task_id: int | None
    message_id: str | None
    account_name: str
    asked: TaskFields | None
    terms: TaskFields | None
    status: str
    seen_done_at: float | None
    changes: list[str]


class Given(TypedDict):
    """Tasks that were given to people, and until when it is waited for them.

    ``message_id`` is that of the message that tells the room of them, where it is known. ``needed`` of them have to be
    done. ``created_at`` and ``deadline`` are Unix times.
    """

    room_id: int
    message_id: str | None
    created_at: float
    deadline: float
    needed: int
    tracks: list[Track]


def new_track(task_id: int | None, *, account_id: int | None = None) -> Track:
    """What is known of a task that nobody has looked at.

    :param account_id: whose it was, for a task that is gone already and so has no id.
    """
    terms: TaskFields | None = None
    if account_id is not None:
        terms = {"account_id": account_id, "limit_time": 0, "limit_type": "none", "text": ""}
    return {
        "task_id": task_id,
        "message_id": None,
        "account_name": "",
        "asked": terms,
        "terms": terms,
        "status": "open" if task_id is not None else "deleted",
        "seen_done_at": None,
        "changes": [],
    }


def note(track: Track, task: models.Task | None, deleted: bool, now: float) -> None:
    """Take note of what a look has shown.

    :param task: the task as it was last read, if it ever was.
    :param deleted: whether it is not there any more.
    :param now: the Unix time of the look.
    """
    if task is not None:
        _note_terms(track, task)
    if deleted:
        track["status"] = "deleted"
    elif task is None:
        return
    elif task["status"] == "done":
        track["status"] = "done"
        if track["seen_done_at"] is None:
            track["seen_done_at"] = now
    else:
        if track["seen_done_at"] is not None:
            _note_change(track, REOPENED)
        track["status"] = "open"
        track["seen_done_at"] = None


def ids_of(tracks: Iterable[Track]) -> list[int]:
    """The ids of the tasks that have one."""
    return [track["task_id"] for track in tracks if track["task_id"] is not None]


def done_of(tracks: Iterable[Track]) -> list[int]:
    """The ids of the tasks that are done."""
    return ids_of(track for track in tracks if track["status"] == "done")


def is_possible(tracks: Sequence[Track], needed: int) -> bool:
    """Whether enough of the tasks are still there to be done."""
    return sum(track["status"] != "deleted" for track in tracks) >= needed


def assignees_of(tracks: Iterable[Track]) -> dict[int, int]:
    """Whose the tasks are, where that is known."""
    return {
        track["task_id"]: track["terms"]["account_id"]
        for track in tracks
        if track["task_id"] is not None and track["terms"] is not None
    }


def message_of(tracks: Iterable[Track]) -> str | None:
    """The message that tells of the tasks: the oldest one, should there be several."""
    return min((track["message_id"] for track in tracks if track["message_id"]), key=int, default=None)


def _note_terms(track: Track, task: models.Task) -> None:
    terms: TaskFields = {
        "account_id": task["account"]["account_id"],
        "limit_time": task.get("limit_time") or 0,
        "limit_type": task.get("limit_type") or "none",
        "text": text_hash(task.get("body") or ""),
    }
    asked = track["asked"] = track["asked"] or terms
    track["terms"] = terms
    track["account_name"] = task["account"].get("name") or ""
    track["message_id"] = track["message_id"] or task["message_id"]
    if (asked["limit_time"], asked["limit_type"]) != (terms["limit_time"], terms["limit_type"]):
        _note_change(track, DUE_MOVED)
    if asked["text"] != terms["text"]:
        _note_change(track, TEXT_CHANGED)
    if asked["account_id"] != terms["account_id"]:
        _note_change(track, ASSIGNEE_SWAPPED)


def text_hash(body: str) -> str:
    """Hash the text of a task.

    The hash does not depend on line ends and outer white space, which Chatwork may change.
    """
    plain = body.replace("\r\n", "\n").strip()
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()[:16]


def _note_change(track: Track, change: str) -> None:
    if change not in track["changes"]:
        track["changes"].append(change)
