"""One request on its way through an operation: who asks, with which parameters, and what they may touch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.sandbox.http_errors import NO_PERMISSION_TO_POST, HttpError, forbidden, not_found
from airflow_provider_chatwork.sandbox.parameters import Parameters
from airflow_provider_chatwork.sandbox.room_changes import RoomChanges
from airflow_provider_chatwork.sandbox.serializers import Serializer
from airflow_provider_chatwork.sandbox.store import Message, Room, Store, StoredFile, Task

#: What an operation answers: the JSON of a 200, or ``None`` for a 204.
Answer: TypeAlias = "dict[str, Any] | list[dict[str, Any]] | None"

#: Lists end here; there are no further pages.
LONGEST_LIST = 100


@dataclass(slots=True)
class RequestContext:
    """What an operation works with.

    :param account_id: the account of the token.
    :param now: Unix time in seconds.
    :param query: parameters of the address.
    :param form: parameters of the body.
    :param uploads: files of the body, by the name of their part.
    :param count_post: counts a post in a room against the posting limit, or refuses it.
    :param download_url: hands out an address under which a file can be fetched for a while.
    :param visible_from: Unix time before which messages are hidden by the Free plan.
    :param headers: headers for the answer, to be filled in.
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
        """Return a room the account is in.

        A room that does not exist is refused like one the account is not in: Chatwork documents no 404 for rooms, and
        the difference would tell strangers which rooms exist.
        """
        room = self.store.rooms.get(room_id)
        if room is None or self.account_id not in room.roles:
            raise forbidden("access this room")
        return room

    def room_to_post_in(self, room_id: int) -> Room:
        """Return a room the account may write in."""
        room = self.store.rooms.get(room_id)
        if room is None or room.roles.get(self.account_id, "readonly") == "readonly":
            raise HttpError(403, NO_PERMISSION_TO_POST)
        return room

    def room_to_administer(self, room_id: int) -> Room:
        """Return a group chat the account is an administrator of."""
        room = self.room(room_id)
        if room.type != "group" or room.roles[self.account_id] != "admin":
            raise forbidden("change this room")
        return room

    def message(self, room: Room, message_id: int) -> Message:
        """Return a message of a room."""
        if message_id not in room.messages:
            raise not_found("Message")
        return room.messages[message_id]

    def task(self, room: Room, task_id: int) -> Task:
        """Return a task of a room."""
        if task_id not in room.tasks:
            raise not_found("Task")
        return room.tasks[task_id]

    def file(self, room: Room, file_id: int) -> StoredFile:
        """Return a file of a room."""
        if file_id not in room.files:
            raise not_found("File")
        return room.files[file_id]


def capped(items: Sequence[dict[str, Any]]) -> Answer:
    """Return the newest of a list, oldest first; an empty list is answered with 204."""
    return list(items[-LONGEST_LIST:]) or None
