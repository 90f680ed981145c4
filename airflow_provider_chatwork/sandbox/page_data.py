"""What the page shows: everything about one room, and enough about the others for a list."""

from __future__ import annotations

from typing import Any

from airflow_provider_chatwork.sandbox.sandbox import Sandbox
from airflow_provider_chatwork.sandbox.serializers import open_tasks, unread_counts
from airflow_provider_chatwork.sandbox.store import Room, World

#: Messages of the open room that the page gets; older ones stay in the sandbox.
LATEST = 300


def view(sandbox: Sandbox, room_id: int | None) -> dict[str, Any]:
    """Return accounts, rooms and, if there is such a room, the content of one. Message ids are strings."""
    with sandbox.at_rest() as world:
        room = world.rooms.get(room_id or 0)
        return {
            "revision": world.revision,
            "now": sandbox.clock(),
            "bot": sandbox.account_id,
            "accounts": [
                {
                    "account_id": account.account_id,
                    "name": account.name,
                    "department": account.department,
                    "title": account.title,
                    "organization_name": account.organization_name,
                }
                for account in world.accounts.values()
            ],
            "rooms": [_listed(world, listed, sandbox.account_id) for listed in world.rooms.values()],
            "room": _opened(room) if room else None,
        }


def _listed(world: World, room: Room, bot: int) -> dict[str, Any]:
    unread = unread_counts(room, bot) if bot in room.roles else {"unread_num": 0, "mention_num": 0}
    last = next(reversed(room.messages.values()), None)
    return {
        "room_id": room.room_id,
        "type": room.type,
        "name": room.name if room.type == "group" else _people(world, room, bot),
        "icon": room.icon,
        "description": room.description,
        "roles": {str(account_id): role for account_id, role in room.roles.items()},
        "last_update_time": room.last_update_time,
        "last_body": last.body[:200] if last else "",
        "mytask_num": len(open_tasks(room, bot)),
        "task_num": sum(task.status == "open" for task in room.tasks.values()),
        **unread,
    }


def _people(world: World, room: Room, bot: int) -> str:
    """Name a direct chat as the bot sees it, by the other person, and one the bot is not in by both."""
    shown = [one for one in room.roles if one != bot] or [bot]
    return " / ".join(world.accounts[one].name for one in shown)


def _opened(room: Room) -> dict[str, Any]:
    return {
        "room_id": room.room_id,
        "messages": [
            {
                "message_id": str(message.message_id),
                "account_id": message.account_id,
                "body": message.body,
                "send_time": message.send_time,
                "update_time": message.update_time,
                "system": message.system,
                "deleted": message.deleted,
            }
            for message in list(room.messages.values())[-LATEST:]
        ],
        "tasks": [
            {
                "task_id": task.task_id,
                "account_id": task.account_id,
                "assigned_by_account_id": task.assigned_by_account_id,
                "message_id": str(task.message_id),
                "body": task.body,
                "limit_time": task.limit_time,
                "limit_type": task.limit_type,
                "status": task.status,
            }
            for task in room.tasks.values()
        ],
        "files": [
            {
                "file_id": file.file_id,
                "account_id": file.account_id,
                "message_id": str(file.message_id),
                "filename": file.filename,
                "filesize": len(file.content),
                "image": file.content_type.startswith("image/"),
                "upload_time": file.upload_time,
            }
            for file in room.files.values()
        ],
    }
