"""Changes of rooms, made by a call of the API or by a person."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Sequence

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.sandbox.store import DELETED, Message, Room, Store, StoredFile, Task


class RoomChanges:
    """Changes a store at a given time.

    :param now: Unix time in seconds.
    :param notices: whether completing and reopening a task posts a system message, as it does on the real service.
    """

    def __init__(self, store: Store, now: float, notices: bool = True) -> None:
        self._store = store
        self._now = now
        self._notices = notices

    def add_message(
        self, room: Room, account_id: int, body: str, self_unread: bool = False, system: bool = False
    ) -> Message:
        """Add a message, unread for the other members."""
        message = Message(self._store.new_id("message"), account_id, body, int(self._now), system=system)
        room.messages[message.message_id] = message
        for member in room.roles:
            if member != account_id or self_unread:
                room.unread.setdefault(member, set()).add(message.message_id)
        self._touch(room)
        return message

    def edit_message(self, message: Message, body: str) -> None:
        """Replace the body of a message and set its ``update_time``. It does not become unread."""
        message.body = body
        message.update_time = int(self._now)
        self._store.touch()

    def delete_message(self, room: Room, message: Message) -> None:
        """Replace a message with the placeholder for deleted messages."""
        self.edit_message(message, DELETED)
        message.deleted = True
        for unread in room.unread.values():
            unread.discard(message.message_id)

    def add_tasks(
        self, room: Room, by: int, to_ids: Sequence[int], body: str, limit_time: int, limit_type: str
    ) -> list[Task]:
        """Add one task for each assignee, and one system message for all of them."""
        tasks = [Task(self._store.new_id("task"), to, by, 0, body, limit_time, limit_type, self._now) for to in to_ids]
        notice = self._add_task_notice(room, by, tasks, "task_added")
        for task in tasks:
            task.message_id = notice.message_id
            room.tasks[task.task_id] = task
        return tasks

    def set_task_status(self, room: Room, task: Task, by: int, status: str) -> None:
        """Complete (``done``) or reopen a task; nothing changes if it has this status already."""
        if task.status == status:
            return
        task.status = status
        if self._notices:
            self._add_task_notice(room, by, [task], "task_done" if status == "done" else "task_edited")
        self._touch(room)

    def delete_task(self, room: Room, task: Task, by: int) -> None:
        """Remove a task. People can do this, the API cannot."""
        del room.tasks[task.task_id]
        self._add_task_notice(room, by, [task], "task_deleted")

    def add_file(self, room: Room, account_id: int, upload: Upload, comment: str = "") -> StoredFile:
        """Add a file and its system message."""
        file_id = self._store.new_id("file")
        guessed = mimetypes.guess_type(upload.filename)[0] or upload.content_type
        preview = f"[preview id={file_id} ht=150]" if guessed.startswith("image/") else ""
        notice = self.add_message(
            room,
            account_id,
            f"[info][title][dtext:file_uploaded][/title]{preview}"
            f"[download:{file_id}]{upload.filename} ({readable_size(len(upload.content))})[/download][/info]{comment}",
            system=True,
        )
        file = StoredFile(
            file_id, account_id, notice.message_id, upload.filename, upload.content, guessed, int(self._now)
        )
        room.files[file_id] = file
        return file

    def create_room(self, creator: int, name: str, roles: dict[int, str], description: str, icon: str) -> Room:
        """Add a group chat."""
        room = Room(self._store.new_id("room"), name, "group", dict(roles), description, icon)
        self._store.rooms[room.room_id] = room
        notice = f"[dtext:chatroom_description_is]{description}" if description else ""
        self.add_message(
            room, creator, f"[info][title][dtext:chatroom_groupchat_created][/title]{notice}[/info]", system=True
        )
        return room

    def change_room(self, room: Room, by: int, *, name: str | None, description: str | None, icon: str | None) -> None:
        """Set the values that are not ``None``."""
        room.name = room.name if name is None else name
        room.description = room.description if description is None else description
        room.icon = room.icon if icon is None else icon
        if name is not None or description is not None or icon is not None:
            self.add_message(room, by, "[info][title][dtext:chatroom_changed][/title][/info]", system=True)

    def set_members(self, room: Room, by: int, roles: dict[int, str]) -> None:
        """Replace all members; system messages name those who joined and those who were removed."""
        removed = [member for member in room.roles if member not in roles]
        added = [member for member in roles if member not in room.roles]
        for member in removed:
            self._remove_member(room, member)
        room.roles = dict(roles)
        self._add_member_notice(room, by, added, "chatroom_added")
        self._add_member_notice(room, by, removed, "chatroom_deleted")
        self._touch(room)

    def leave(self, room: Room, account_id: int) -> None:
        """Remove a member with all tasks and files of it, as leaving does on Chatwork."""
        room.tasks = {key: task for key, task in room.tasks.items() if task.account_id != account_id}
        room.files = {key: file for key, file in room.files.items() if file.account_id != account_id}
        self._remove_member(room, account_id)
        del room.roles[account_id]
        if room.roles:
            self._add_member_notice(room, account_id, [account_id], "chatroom_leaved")
        else:
            self.delete_room(room)

    def delete_room(self, room: Room) -> None:
        """Remove a room with all its content."""
        del self._store.rooms[room.room_id]
        self._store.touch()

    def add_contact(self, first: int, second: int) -> Room:
        """Make two accounts contacts of each other, with a direct chat."""
        room = Room(
            self._store.new_id("room"), "", "direct", {first: "admin", second: "admin"}, last_update_time=int(self._now)
        )
        self._store.rooms[room.room_id] = room
        self._store.contacts.setdefault(first, {})[second] = room.room_id
        self._store.contacts.setdefault(second, {})[first] = room.room_id
        self._store.touch()
        return room

    def _add_task_notice(self, room: Room, by: int, tasks: Iterable[Task], key: str) -> Message:
        cards = "".join(
            f"[task aid={task.account_id} st={task.status} lt={task.limit_time} ltype={task.limit_type}]"
            f"{task.body}[/task]"
            for task in tasks
        )
        return self.add_message(room, by, f"[info][title][dtext:{key}][/title]{cards}[/info]", system=True)

    def _add_member_notice(self, room: Room, by: int, members: Sequence[int], key: str) -> None:
        if members:
            icons = "".join(f"[piconname:{member}]" for member in members)
            self.add_message(room, by, f"[info][dtext:chatroom_member_is]{icons}[dtext:{key}][/info]", system=True)

    def _remove_member(self, room: Room, account_id: int) -> None:
        room.unread.pop(account_id, None)
        room.seen.pop(account_id, None)
        room.sticky.discard(account_id)

    def _touch(self, room: Room) -> None:
        room.last_update_time = int(self._now)
        self._store.touch()


def readable_size(size: int) -> str:
    """Return a number of bytes as text, as Chatwork formats it."""
    if size < 1024:
        return f"{size} Byte"
    return f"{size / 1024:.2f} KB" if size < 1024**2 else f"{size / 1024**2:.2f} MB"
