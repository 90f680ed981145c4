"""The context of one request: its account and parameters, and what the account may access."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.sandbox.parameters import (
    NO_PERMISSION_TO_POST,
    HttpError,
    Parameters,
    forbidden,
    not_found,
)
from airflow_provider_chatwork.sandbox.room_changes import RoomChanges
from airflow_provider_chatwork.sandbox.serializers import Serializer
from airflow_provider_chatwork.sandbox.store import Message, Room, Store, StoredFile, Task

T = TypeVar("T")

#: What an operation returns: the JSON of a 200, or ``None`` for a 204.
Answer: TypeAlias = "dict[str, Any] | list[dict[str, Any]] | None"

#: Chatwork returns at most this many items, without further pages.
MAX_LIST_ITEMS = 100


@dataclass(slots=True)
class RequestContext:
    """What an operation gets.

    :param account_id: the account of the token.
    :param now: Unix time in seconds.
    :param query: parameters of the URL.
    :param form: parameters of the body.
    :param uploads: files of the body, by part name.
    :param count_post: counts a post against the limit of a room; raises a 429 if it is reached.
    :param download_url: returns a temporary download URL of a file.
    :param visible_from: Unix time; the Free plan hides older messages.
    :param headers: response headers that the operation adds.
    """

    store: Store
    account_id: int
    now: float
    query: Parameters
    form: Parameters
    uploads: Mapping[str, Upload]
    changes: RoomChanges
    serializer: Serializer
    count_post: Callable[[int], None]
    download_url: Callable[[StoredFile], str]
    visible_from: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)

    def room(self, room_id: int) -> Room:
        """Return a room that the account is a member of.

        An unknown room is a 403 as well: Chatwork documents no 404 for rooms.
        """
        room = self.store.rooms.get(room_id)
        if room is None or self.account_id not in room.roles:
            raise forbidden("access this room")
        return room

    def writable_room(self, room_id: int) -> Room:
        """Return a room that the account may post in."""
        room = self.store.rooms.get(room_id)
        if room is None or room.roles.get(self.account_id, "readonly") == "readonly":
            raise HttpError(403, NO_PERMISSION_TO_POST)
        return room

    def administered_room(self, room_id: int) -> Room:
        """Return a group chat that the account administers."""
        room = self.room(room_id)
        if room.type != "group" or room.roles[self.account_id] != "admin":
            raise forbidden("change this room")
        return room

    def message(self, room: Room, message_id: int) -> Message:
        """Return a message of a room."""
        return _get(room.messages, message_id, "Message")

    def task(self, room: Room, task_id: int) -> Task:
        """Return a task of a room."""
        return _get(room.tasks, task_id, "Task")

    def file(self, room: Room, file_id: int) -> StoredFile:
        """Return a file of a room."""
        return _get(room.files, file_id, "File")


def _get(items: Mapping[int, T], key: int, kind: str) -> T:
    if key not in items:
        raise not_found(kind)
    return items[key]


def capped(items: Sequence[dict[str, Any]]) -> Answer:
    """Return the newest items, oldest first, or ``None`` (204) for an empty list."""
    return list(items[-MAX_LIST_ITEMS:]) or None
