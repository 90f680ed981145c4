"""Actions of people in the sandbox: post, reply, complete tasks, add and remove members."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import TypeVar

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.sandbox.room_changes import RoomChanges
from airflow_provider_chatwork.sandbox.serializers import Json, Serializer
from airflow_provider_chatwork.sandbox.store import Message, Room, Store, Task

T = TypeVar("T")

DEFAULT_ORIGIN = "https://api.chatwork.com"


class UserActions:
    """The part of a sandbox that acts as a person, and returns the content of rooms.

    These methods need no token, count against no limit and are not in the request log. They raise :class:`LookupError`
    for a room, message, task or account that does not exist.
    """

    #: Whether completing a task posts a system message.
    task_notices: bool
    clock: Callable[[], float]
    store: Store
    _lock: RLock
    _watchers: list[Callable[[int], None]]
    _notified_revision: int

    def post_message(self, room_id: int, account_id: int, body: str) -> str:
        """Post a message as a member of a room; returns the message id."""
        with self._lock:
            room = self._room_with_member(room_id, account_id)
            message = self._changes().add_message(room, account_id, body)
        return self._notify(str(message.message_id))

    def reply(self, room_id: int, account_id: int, message_id: str, body: str) -> str:
        """Reply to a message as Chatwork's reply button does: ``[rp ...]``, the name, a new line, the text."""
        with self._lock:
            to = self._message(room_id, message_id)
            name = self.store.accounts[to.account_id].name
            return self.post_message(
                room_id, account_id, f"[rp aid={to.account_id} to={room_id}-{message_id}]{name}さん\n{body}"
            )

    def edit_message(self, room_id: int, message_id: str, body: str) -> None:
        """Edit a message as its author."""
        with self._lock:
            self._changes().edit_message(self._message(room_id, message_id), body)
        self._notify(None)

    def delete_message(self, room_id: int, message_id: str) -> None:
        """Delete a message as its author."""
        with self._lock:
            self._changes().delete_message(self._room(room_id), self._message(room_id, message_id))
        self._notify(None)

    def create_task(
        self, room_id: int, account_id: int, to_ids: list[int], body: str, limit: int = 0, limit_type: str = "none"
    ) -> list[int]:
        """Assign a task to members of a room; ``limit`` is in Unix seconds. Returns one task id for each member."""
        with self._lock:
            room = self._room_with_member(room_id, account_id)
            tasks = self._changes().add_tasks(room, account_id, to_ids, body, limit, limit_type)
        return self._notify([task.task_id for task in tasks])

    def complete_task(self, room_id: int, task_id: int, account_id: int | None = None) -> None:
        """Complete a task as ``account_id``, by default its assignee."""
        self._set_status(room_id, task_id, account_id, "done")

    def reopen_task(self, room_id: int, task_id: int, account_id: int | None = None) -> None:
        """Reopen a task as ``account_id``, by default its assignee."""
        self._set_status(room_id, task_id, account_id, "open")

    def delete_task(self, room_id: int, task_id: int, account_id: int | None = None) -> None:
        """Delete a task as ``account_id``, by default its requester."""
        with self._lock:
            room, task = self._task(room_id, task_id)
            self._changes().delete_task(room, task, account_id or task.assigned_by_account_id)
        self._notify(None)

    def upload_file(self, room_id: int, account_id: int, upload: Upload, comment: str = "") -> int:
        """Upload a file as a member of a room; returns the file id."""
        with self._lock:
            room = self._room_with_member(room_id, account_id)
            file = self._changes().add_file(room, account_id, upload, comment)
        return self._notify(file.file_id)

    def add_member(self, room_id: int, account_id: int, role: str = "member") -> None:
        """Add a member to a room, or change its role."""
        with self._lock:
            room = self._room(room_id)
            by = next(iter(room.roles), account_id)
            self._changes().set_members(room, by, {**room.roles, self.store.accounts[account_id].account_id: role})
        self._notify(None)

    def remove_member(self, room_id: int, account_id: int) -> None:
        """Remove a member from a room."""
        with self._lock:
            room = self._room_with_member(room_id, account_id)
            roles = {member: role for member, role in room.roles.items() if member != account_id}
            self._changes().set_members(room, next(iter(roles), account_id), roles)
        self._notify(None)

    def messages(self, room_id: int) -> list[Json]:
        """Return all messages of a room as in the API, oldest first. The cursor of ``force=0`` does not move."""
        with self._lock:
            return [self._serializer().message(message) for message in self._room(room_id).messages.values()]

    def tasks(self, room_id: int) -> list[Json]:
        """Return all tasks of a room, open and done, as in the API."""
        with self._lock:
            return [self._serializer().task(task) for task in self._room(room_id).tasks.values()]

    def files(self, room_id: int) -> list[Json]:
        """Return all files of a room as in the API."""
        with self._lock:
            return [self._serializer().file(file) for file in self._room(room_id).files.values()]

    def file_content(self, room_id: int, file_id: int) -> bytes:
        """Return the content of a file."""
        with self._lock:
            return self._room(room_id).files[file_id].content

    def _notify(self, result: T) -> T:
        """Call the watchers if something changed; called without the lock. Returns ``result``."""
        if self._notified_revision != self.store.revision:
            self._notified_revision = self.store.revision
            for watcher in list(self._watchers):
                watcher(self.store.revision)
        return result

    def _changes(self) -> RoomChanges:
        return RoomChanges(self.store, self.clock(), self.task_notices)

    def _serializer(self) -> Serializer:
        return Serializer(self.store, DEFAULT_ORIGIN)

    def _set_status(self, room_id: int, task_id: int, account_id: int | None, status: str) -> None:
        with self._lock:
            room, task = self._task(room_id, task_id)
            self._changes().set_task_status(room, task, account_id or task.account_id, status)
        self._notify(None)

    def _room(self, room_id: int) -> Room:
        if room_id not in self.store.rooms:
            raise LookupError(f"room_id={room_id}: no such room in the sandbox")
        return self.store.rooms[room_id]

    def _room_with_member(self, room_id: int, account_id: int) -> Room:
        room = self._room(room_id)
        if account_id not in room.roles:
            raise LookupError(f"account_id={account_id}: not a member of room {room_id}; members: {list(room.roles)}")
        return room

    def _message(self, room_id: int, message_id: str) -> Message:
        message = self._room(room_id).messages.get(int(message_id))
        if message is None:
            raise LookupError(f"message_id={message_id!r}: no such message in room {room_id}")
        return message

    def _task(self, room_id: int, task_id: int) -> tuple[Room, Task]:
        room = self._room(room_id)
        if task_id not in room.tasks:
            raise LookupError(f"task_id={task_id}: no such task in room {room_id}")
        return room, room.tasks[task_id]
