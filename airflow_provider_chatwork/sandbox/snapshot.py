"""Converts a store to JSON and back."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

from airflow_provider_chatwork.sandbox.store import (
    Account,
    ContactRequest,
    Link,
    Message,
    Room,
    Store,
    StoredFile,
    Task,
)

VERSION = 1


def to_json(store: Store) -> dict[str, Any]:
    """Return the content of a store as JSON data; file contents are in Base64."""
    return {
        "version": VERSION,
        "accounts": [asdict(account) for account in store.accounts.values()],
        "rooms": [_room_to_json(room) for room in store.rooms.values()],
        "contacts": {
            str(owner): {str(account_id): room_id for account_id, room_id in contacts.items()}
            for owner, contacts in store.contacts.items()
        },
        "requests": [asdict(request) for request in store.requests.values()],
        "last_ids": dict(store.last_ids),
    }


def from_json(data: dict[str, Any]) -> Store:
    """Return the store that :func:`to_json` converted.

    :raises ValueError: the data has another version, or is not from :func:`to_json`.
    """
    if data.get("version") != VERSION:
        raise ValueError(f"not a sandbox snapshot of version {VERSION}: version={data.get('version')!r}")
    try:
        store = Store(last_ids=dict(data["last_ids"]))
        store.accounts = {account["account_id"]: Account(**account) for account in data["accounts"]}
        store.rooms = {room["room_id"]: _room_from_json(room) for room in data["rooms"]}
        store.requests = {request["request_id"]: ContactRequest(**request) for request in data["requests"]}
        store.contacts = {int(owner): _int_keys(contacts) for owner, contacts in data["contacts"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a sandbox snapshot: {error!r}") from error
    return store


def _room_to_json(room: Room) -> dict[str, Any]:
    return {
        **asdict(room),
        "messages": [asdict(message) for message in room.messages.values()],
        "tasks": [asdict(task) for task in room.tasks.values()],
        "files": [
            {**asdict(file), "content": base64.b64encode(file.content).decode("ascii")} for file in room.files.values()
        ],
        "roles": {str(account_id): role for account_id, role in room.roles.items()},
        "unread": {str(account_id): sorted(unread) for account_id, unread in room.unread.items()},
        "seen": {str(account_id): message_id for account_id, message_id in room.seen.items()},
        "sticky": sorted(room.sticky),
    }


def _room_from_json(data: dict[str, Any]) -> Room:
    files = [StoredFile(**{**file, "content": base64.b64decode(file["content"])}) for file in data["files"]]
    restored = {
        "messages": {message["message_id"]: Message(**message) for message in data["messages"]},
        "tasks": {task["task_id"]: Task(**task) for task in data["tasks"]},
        "files": {file.file_id: file for file in files},
        "link": Link(**data["link"]) if data["link"] else None,
        "roles": _int_keys(data["roles"]),
        "unread": {account_id: set(unread) for account_id, unread in _int_keys(data["unread"]).items()},
        "seen": _int_keys(data["seen"]),
        "sticky": set(data["sticky"]),
    }
    return Room(**{**data, **restored})


def _int_keys(data: dict[str, Any]) -> dict[int, Any]:
    return {int(key): value for key, value in data.items()}
