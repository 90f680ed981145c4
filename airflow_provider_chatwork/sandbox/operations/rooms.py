"""Rooms and who is in them."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.http_errors import HttpError, invalid, required
from airflow_provider_chatwork.sandbox.operations.links import new_link
from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH, NAME_LENGTH
from airflow_provider_chatwork.sandbox.request_context import Answer, RequestContext

ICONS = (
    "group",
    "check",
    "document",
    "meeting",
    "event",
    "project",
    "business",
    "study",
    "security",
    "star",
    "idea",
    "heart",
    "magcup",
    "beer",
    "music",
    "sports",
    "travel",
)
ROLES = ("admin", "member", "readonly")


def list_rooms(context: RequestContext) -> Answer:
    """``GET /rooms``."""
    return [context.serializer.room(room, context.account_id) for room in context.store.rooms_of(context.account_id)]


def get_room(context: RequestContext, room_id: int) -> Answer:
    """``GET /rooms/{room_id}``."""
    return context.serializer.room_details(context.room(room_id), context.account_id)


def create_room(context: RequestContext) -> Answer:
    """``POST /rooms``.

    Whoever creates a room is in it: left out of all three lists, they become an administrator.
    """
    name = context.form.required_text("name", NAME_LENGTH)
    roles = _roles(context, context.store.reachable(context.account_id))
    roles.setdefault(context.account_id, "admin")
    description = context.form.text("description", BODY_LENGTH, shortest=0) or ""
    icon = context.form.choice("icon_preset", ICONS) or "group"
    wants_link = context.form.flag("link", default=False)
    link = new_link(context, "link_code", "link_need_acceptance", room=None)
    room = context.changes.create_room(context.account_id, name, roles, description, icon)
    room.link = link if wants_link else None
    return {"room_id": room.room_id}


def update_room(context: RequestContext, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}``: changes only what is sent."""
    room = context.room_to_administer(room_id)
    name = context.form.text("name", NAME_LENGTH)
    description = context.form.text("description", BODY_LENGTH, shortest=0)
    icon = context.form.choice("icon_preset", ICONS)
    context.changes.change_room(room, context.account_id, name=name, description=description, icon=icon)
    return {"room_id": room_id}


def delete_room(context: RequestContext, room_id: int) -> Answer:
    """``DELETE /rooms/{room_id}``: leaves a group chat, or destroys it for everybody.

    ``action_type`` belongs in a form body; in the query it works as well, as it always did and no notice ended it.
    """
    actions = ("leave", "delete")
    action = context.form.choice("action_type", actions) or context.query.choice("action_type", actions)
    if action is None:
        raise required("action_type")
    room = context.room(room_id)
    if room.type != "group":
        raise HttpError(403, "Only group chats can be left or deleted.")
    if action == "leave":
        context.changes.leave(room, context.account_id)
    else:
        context.changes.delete_room(context.room_to_administer(room_id))
    return None


def list_members(context: RequestContext, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/members``."""
    return [context.serializer.member(account_id, role) for account_id, role in context.room(room_id).roles.items()]


def update_members(context: RequestContext, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/members``: replaces everybody. Whoever is left out is removed, oneself included."""
    room = context.room_to_administer(room_id)
    roles = _roles(context, context.store.reachable(context.account_id) | set(room.roles))
    context.changes.set_members(room, context.account_id, roles)
    return {role: [account_id for account_id, has in roles.items() if has == role] for role in ROLES}


def _roles(context: RequestContext, allowed: set[int]) -> dict[int, str]:
    """Read the three lists of members. An account in two lists, or one that is out of reach, is a 400."""
    named = {
        "members_admin_ids": context.form.required_ids("members_admin_ids"),
        "members_member_ids": context.form.ids("members_member_ids"),
        "members_readonly_ids": context.form.ids("members_readonly_ids"),
    }
    roles: dict[int, str] = {}
    for role, (parameter, ids) in zip(ROLES, named.items(), strict=True):
        for account_id in ids:
            if account_id not in allowed:
                raise invalid(parameter, f"holds {account_id}, who is neither a contact nor a colleague")
            if account_id in roles:
                raise invalid(parameter, f"holds {account_id}, who has another role already")
            roles[account_id] = role
    return roles
