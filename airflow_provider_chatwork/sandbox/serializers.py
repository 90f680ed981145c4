"""The JSON objects of responses, with every field that Chatwork documents."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, TypeAlias

from airflow_provider_chatwork.sandbox.store import ContactRequest, Link, Message, Room, Store, StoredFile, Task

_MENTIONS = re.compile(r"\[(?:(toall)|To:([0-9]+)|rp aid=([0-9]+)[^\]]*)\]", re.IGNORECASE)

Json: TypeAlias = dict[str, Any]


class Serializer:
    """Builds the JSON objects of responses.

    :param origin: scheme and host of the request, for image URLs.
    """

    def __init__(self, store: Store, origin: str) -> None:
        self._store = store
        self._origin = origin

    def avatar(self, account_id: int) -> str:
        """Return the URL of an account's avatar."""
        return f"{self._origin}/sandbox/avatars/{account_id}.svg"

    def account(self, account_id: int) -> Json:
        """Return the short form of an account in messages, tasks and files."""
        account = self._store.accounts[account_id]
        return {"account_id": account_id, "name": account.name, "avatar_image_url": self.avatar(account_id)}

    def me(self, account_id: int) -> Json:
        """Return an account's own profile."""
        return {
            **asdict(self._store.accounts[account_id]),
            "room_id": self._store.my_chat(account_id),
            "avatar_image_url": self.avatar(account_id),
        }

    def contact_fields(self, account_id: int) -> Json:
        """Return the common fields of contacts, members and contact requests."""
        account = self._store.accounts[account_id]
        return {
            **fields(
                account, "account_id", "name", "chatwork_id", "organization_id", "organization_name", "department"
            ),
            "avatar_image_url": self.avatar(account_id),
        }

    def contact(self, account_id: int, room_id: int) -> Json:
        """Return a contact; ``room_id`` is its direct chat."""
        return {**self.contact_fields(account_id), "room_id": room_id}

    def member(self, account_id: int, role: str) -> Json:
        """Return a member of a room."""
        return {**self.contact_fields(account_id), "role": role}

    def request(self, request: ContactRequest) -> Json:
        """Return an incoming contact request."""
        return {**self.contact_fields(request.account_id), "request_id": request.request_id, "message": request.message}

    def room(self, room: Room, viewer: int) -> Json:
        """Return a room as ``viewer`` sees it in the list of rooms."""
        if room.type == "group":
            name, icon = room.name, f"{self._origin}/sandbox/icons/{room.icon}.svg"
        else:
            other = room.other(viewer)
            name, icon = (room.name if room.type == "my" else self._store.accounts[other].name), self.avatar(other)
        return {
            "room_id": room.room_id,
            "name": name,
            "type": room.type,
            "role": room.roles[viewer],
            "sticky": viewer in room.sticky,
            **unread_counts(room, viewer),
            "mytask_num": len(open_tasks(room, viewer)),
            "message_num": len(room.messages),
            "file_num": len(room.files),
            "task_num": len(room.tasks),
            "icon_path": icon,
            "last_update_time": room.last_update_time,
        }

    def room_details(self, room: Room, viewer: int) -> Json:
        """Return a room with its description."""
        return {**self.room(room, viewer), "description": room.description}

    def message(self, message: Message) -> Json:
        """Return a message."""
        return {
            **fields(message, "body", "send_time", "update_time"),
            "message_id": str(message.message_id),
            "account": self.account(message.account_id),
        }

    def task(self, task: Task) -> Json:
        """Return a task of a room."""
        return {
            **fields(task, "task_id", "body", "limit_time", "limit_type", "status"),
            "message_id": str(task.message_id),
            "account": self.account(task.account_id),
            "assigned_by_account": self.account(task.assigned_by_account_id),
        }

    def my_task(self, task: Task, room: Room, viewer: int) -> Json:
        """Return a task of ``GET /my/tasks``: with its room, without its assignee."""
        result = self.task(task)
        del result["account"]
        room_data = self.room(room, viewer)
        return {**result, "room": {name: room_data[name] for name in ("room_id", "name", "icon_path")}}

    def file(self, file: StoredFile) -> Json:
        """Return an uploaded file."""
        return {
            **fields(file, "file_id", "filename", "upload_time"),
            "filesize": len(file.content),
            "message_id": str(file.message_id),
            "account": self.account(file.account_id),
        }

    def link(self, link: Link | None) -> Json:
        """Return an invite link."""
        if link is None:
            return {"public": False}
        return {
            "public": True,
            "url": f"https://www.chatwork.com/g/{link.code}",
            "need_acceptance": link.need_acceptance,
            "description": link.description,
        }


def fields(item: object, *names: str) -> Json:
    """Return some attributes of an object as a dictionary."""
    return {name: getattr(item, name) for name in names}


def unread_counts(room: Room, viewer: int) -> Json:
    """Return the numbers of unread messages of an account in a room, and of those that mention it."""
    unread = [room.messages[message_id] for message_id in room.unread.get(viewer, ())]
    return {"unread_num": len(unread), "mention_num": sum(mentions(message.body, viewer) for message in unread)}


def open_tasks(room: Room, account_id: int) -> list[Task]:
    """Return the open tasks of an account in a room."""
    return [task for task in room.tasks.values() if task.account_id == account_id and task.status == "open"]


def mentions(body: str, account_id: int) -> bool:
    """Return whether a body mentions an account: by ``[To:id]``, a reply or ``[toall]``."""
    return any(to_all or account_id == int(to or reply) for to_all, to, reply in _MENTIONS.findall(body))
