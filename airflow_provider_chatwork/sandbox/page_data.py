"""The JSON of the web page: one room in full, the others for the list of rooms."""

from __future__ import annotations

from typing import Any

from airflow_provider_chatwork.sandbox.sandbox import Sandbox
from airflow_provider_chatwork.sandbox.serializers import fields, open_tasks, unread_counts
from airflow_provider_chatwork.sandbox.store import Room, Store

#: The page shows only the newest messages of a room.
MAX_MESSAGES = 300


def page_data(sandbox: Sandbox, room_id: int | None) -> dict[str, Any]:
    """Return accounts, rooms and the content of room ``room_id`` if it exists. Message ids are strings."""
    with sandbox.locked() as store:
        room = store.rooms.get(room_id or 0)
        return {
            "revision": store.revision,
            "now": sandbox.clock(),
            "bot": sandbox.account_id,
            "accounts": [
                fields(account, "account_id", "name", "department", "title", "organization_name")
                for account in store.accounts.values()
            ],
            "rooms": [_room_summary(store, each, sandbox.account_id) for each in store.rooms.values()],
            "room": _room_details(room) if room else None,
        }


def _room_summary(store: Store, room: Room, bot: int) -> dict[str, Any]:
    unread = unread_counts(room, bot) if bot in room.roles else {"unread_num": 0, "mention_num": 0}
    last = next(reversed(room.messages.values()), None)
    return {
        "room_id": room.room_id,
        "type": room.type,
        "name": room.name if room.type == "group" else _direct_chat_name(store, room, bot),
        "icon": room.icon,
        "description": room.description,
        "roles": {str(account_id): role for account_id, role in room.roles.items()},
        "last_update_time": room.last_update_time,
        "last_body": last.body[:200] if last else "",
        "mytask_num": len(open_tasks(room, bot)),
        "task_num": sum(task.status == "open" for task in room.tasks.values()),
        **unread,
    }


def _direct_chat_name(store: Store, room: Room, bot: int) -> str:
    """Return the name of the other person; for a chat without the bot, both names."""
    others = [account_id for account_id in room.roles if account_id != bot] or [bot]
    return " / ".join(store.accounts[account_id].name for account_id in others)


def _room_details(room: Room) -> dict[str, Any]:
    return {
        "room_id": room.room_id,
        "messages": [
            {
                **fields(message, "account_id", "body", "send_time", "update_time", "system", "deleted"),
                "message_id": str(message.message_id),
            }
            for message in list(room.messages.values())[-MAX_MESSAGES:]
        ],
        "tasks": [
            {
                **fields(task, "task_id", "account_id", "assigned_by_account_id"),
                **fields(task, "body", "limit_time", "limit_type", "status"),
                "message_id": str(task.message_id),
            }
            for task in room.tasks.values()
        ],
        "files": [
            {
                **fields(file, "file_id", "account_id", "filename", "upload_time"),
                "message_id": str(file.message_id),
                "filesize": len(file.content),
                "image": file.content_type.startswith("image/"),
            }
            for file in room.files.values()
        ],
    }
