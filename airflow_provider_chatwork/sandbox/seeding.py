"""Adds accounts, rooms and contact requests to a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_chatwork.sandbox.company import BOT, ORGANIZATION, ORGANIZATION_ID
from airflow_provider_chatwork.sandbox.room_changes import RoomChanges
from airflow_provider_chatwork.sandbox.store import Account, ContactRequest, Room, Store


def seed(store: Store, changes: RoomChanges, data: Mapping[str, Any]) -> dict[str, Any]:
    """Add the content of ``data`` and return the new ids.

    ::

        {"accounts": [{"account_id": 7, "name": "渡辺 真"}],
         "rooms": [{"room_id": 70, "name": "出荷", "description": "", "icon": "group",
                    "roles": {"7": "admin", "1001001": "member"},
                    "messages": [{"account_id": 7, "body": "おはようございます"}]}],
         "requests": [{"account_id": 7, "to_account_id": 1001001, "message": "よろしくお願いします"}]}

    Only ``name`` and ``roles`` are required. A new account gets a My chat. It is a colleague and a contact of the bot,
    unless it has ``"colleague": false``.

    :raises ValueError: a field is unknown, or an id is in use or unknown.
    """
    unknown = set(data) - {"accounts", "rooms", "requests"}
    if unknown:
        raise ValueError(f"cannot seed {', '.join(sorted(unknown))}; known: accounts, rooms, requests")
    try:
        added = {
            "accounts": [_add_account(store, changes, **account) for account in data.get("accounts", ())],
            "rooms": [_add_room(store, changes, **room) for room in data.get("rooms", ())],
            "requests": [_add_request(store, **request) for request in data.get("requests", ())],
        }
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"cannot seed the data: {error}") from error
    store.touch()
    return added


def _add_account(
    store: Store, changes: RoomChanges, name: str, account_id: int = 0, colleague: bool = True, **fields: Any
) -> int:
    account_id = account_id or store.new_id("account")
    _require_free_id(store.accounts, "account_id", account_id)
    organization = {"organization_id": ORGANIZATION_ID, "organization_name": ORGANIZATION} if colleague else {}
    store.accounts[account_id] = Account(account_id, name, **{**organization, **fields})
    room_id = store.new_id("room")
    store.rooms[room_id] = Room(room_id, "マイチャット", "my", {account_id: "admin"})
    if colleague:
        changes.add_contact(BOT, account_id)
    return account_id


def _add_room(
    store: Store,
    changes: RoomChanges,
    name: str,
    roles: Mapping[str, str],
    room_id: int = 0,
    messages: list[dict[str, Any]] | None = None,
    **fields: Any,
) -> int:
    room_id = room_id or store.new_id("room")
    _require_free_id(store.rooms, "room_id", room_id)
    members = {int(account_id): role for account_id, role in roles.items()}
    for account_id in members:
        _require_account(store, account_id)
    store.rooms[room_id] = room = Room(room_id, name, "group", members, **fields)
    for message in messages or ():
        changes.add_message(room, _require_account(store, message["account_id"]), message["body"])
    return room_id


def _add_request(store: Store, account_id: int, to_account_id: int = BOT, message: str = "") -> int:
    request_id = store.new_id("request")
    store.requests[request_id] = ContactRequest(
        request_id, _require_account(store, account_id), _require_account(store, to_account_id), message
    )
    return request_id


def _require_account(store: Store, account_id: int) -> int:
    if account_id not in store.accounts:
        raise ValueError(f"account_id={account_id}: no such account in the sandbox")
    return account_id


def _require_free_id(table: Mapping[int, object], name: str, key: int) -> None:
    if key in table:
        raise ValueError(f"{name}={key} is in use")
