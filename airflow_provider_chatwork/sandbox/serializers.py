"""The response objects, with every field Chatwork documents."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, TypeAlias

from airflow_provider_chatwork.sandbox.store import ContactRequest, Link, Message, Room, Store, StoredFile, Task

_MENTIONS = re.compile(r"\[(?:(toall)|To:([0-9]+)|rp aid=([0-9]+)[^\]]*)\]", re.IGNORECASE)

Json: TypeAlias = dict[str, Any]


class Serializer:
    """Builds response objects out of a store.

    :param origin: scheme and host of the request, for the addresses of pictures.
    """

    def __init__(self, store: Store, origin: str) -> None:
        self._store = store
        self._origin = origin

    def avatar(self, account_id: int) -> str:
        """Return the address of an account's picture."""
        return f"{self._origin}/sandbox/avatars/{account_id}.svg"

    def account(self, account_id: int) -> Json:
        """Return the short form that messages, tasks and files carry."""
        known = self._store.accounts[account_id]
        return {"account_id": account_id, "name": known.name, "avatar_image_url": self.avatar(account_id)}

    def me(self, account_id: int) -> Json:
        """Return an account's own profile."""
        return {
            **asdict(self._store.accounts[account_id]),
            "room_id": self._store.my_chat(account_id),
            "avatar_image_url": self.avatar(account_id),
        }

    def person(self, account_id: int) -> Json:
        """Return the fields contacts, members and contact requests have in common."""
        known = self._store.accounts[account_id]
        return {
            "account_id": account_id,
            "name": known.name,
            "chatwork_id": known.chatwork_id,
            "organization_id": known.organization_id,
            "organization_name": known.organization_name,
            "department": known.department,
            "avatar_image_url": self.avatar(account_id),
        }

    def contact(self, account_id: int, room_id: int) -> Json:
        """Return a contact; ``room_id`` is the direct chat with it."""
        return {**self.person(account_id), "room_id": room_id}

    def member(self, account_id: int, role: str) -> Json:
        """Return a member of a room."""
        return {**self.person(account_id), "role": role}

    def request(self, request: ContactRequest) -> Json:
        """Return an incoming contact request."""
        return {**self.person(request.account_id), "request_id": request.request_id, "message": request.message}

    def room(self, room: Room, viewer: int) -> Json:
        """Return a room as ``viewer`` has it in the list of rooms."""
        unread = unread_counts(room, viewer)
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
            **unread,
            "mytask_num": len(open_tasks(room, viewer)),
            "message_num": len(room.messages),
            "file_num": len(room.files),
            "task_num": len(room.tasks),
            "icon_path": icon,
            "last_update_time": room.last_update_time,
        }

    def room_details(self, room: Room, viewer: int) -> Json:
        """Return a single room, which has a description."""
        return {**self.room(room, viewer), "description": room.description}

    def message(self, message: Message) -> Json:
        """Return a message."""
        return {
            "message_id": str(message.message_id),
            "account": self.account(message.account_id),
            "body": message.body,
            "send_time": message.send_time,
            "update_time": message.update_time,
        }

    def task(self, task: Task) -> Json:
        """Return a task of a room."""
        return {
            "task_id": task.task_id,
            "account": self.account(task.account_id),
            "assigned_by_account": self.account(task.assigned_by_account_id),
            "message_id": str(task.message_id),
            "body": task.body,
            "limit_time": task.limit_time,
            "status": task.status,
            "limit_type": task.limit_type,
        }

    def my_task(self, task: Task, room: Room, viewer: int) -> Json:
        """Return a task in the list of one's own, which names the room and not the assignee."""
        shown = self.task(task)
        del shown["account"]
        seen = self.room(room, viewer)
        return {**shown, "room": {field: seen[field] for field in ("room_id", "name", "icon_path")}}

    def file(self, file: StoredFile) -> Json:
        """Return an uploaded file."""
        return {
            "file_id": file.file_id,
            "account": self.account(file.account_id),
            "message_id": str(file.message_id),
            "filename": file.filename,
            "filesize": len(file.content),
            "upload_time": file.upload_time,
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


def unread_counts(room: Room, viewer: int) -> Json:
    """Return how many messages of a room somebody has not read, and how many of those mention them."""
    unread = [room.messages[message_id] for message_id in room.unread.get(viewer, ())]
    return {
        "unread_num": len(unread),
        "mention_num": sum(mentions(message.body, viewer) for message in unread),
    }


def open_tasks(room: Room, account_id: int) -> list[Task]:
    """Return somebody's open tasks in a room."""
    return [task for task in room.tasks.values() if task.account_id == account_id and task.status == "open"]


def mentions(body: str, account_id: int) -> bool:
    """Return whether a body calls an account: by ``[To:id]``, by a reply, or by ``[toall]``."""
    return any(everybody or account_id == int(to or replied) for everybody, to, replied in _MENTIONS.findall(body))
