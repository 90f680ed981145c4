"""Rooms, their members and their invite links."""

from __future__ import annotations

import secrets

from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH, NAME_LENGTH, HttpError, invalid, required
from airflow_provider_chatwork.sandbox.request_context import Answer, RequestContext
from airflow_provider_chatwork.sandbox.store import Link, Room

ICONS = (
    *("group", "check", "document", "meeting", "event", "project", "business", "study", "security"),
    *("star", "idea", "heart", "magcup", "beer", "music", "sports", "travel"),
)
ROLES = ("admin", "member", "readonly")


def list_rooms(context: RequestContext) -> Answer:
    """``GET /rooms``."""
    return [context.serializer.room(room, context.account_id) for room in context.store.rooms_of(context.account_id)]


def get_room(context: RequestContext, room_id: int) -> Answer:
    """``GET /rooms/{room_id}``."""
    return context.serializer.room_details(context.room(room_id), context.account_id)


def create_room(context: RequestContext) -> Answer:
    """``POST /rooms``. An account that is in none of the three lists becomes an administrator of its new room."""
    name = context.form.required_text("name", NAME_LENGTH)
    roles = _roles(context, context.store.possible_members(context.account_id))
    roles.setdefault(context.account_id, "admin")
    description = context.form.text("description", BODY_LENGTH, min_length=0) or ""
    icon = context.form.choice("icon_preset", ICONS) or "group"
    with_link = context.form.flag("link", default=False)
    link = new_link(context, "link_code", "link_need_acceptance", room=None)
    room = context.changes.create_room(context.account_id, name, roles, description, icon)
    room.link = link if with_link else None
    return {"room_id": room.room_id}


def update_room(context: RequestContext, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}``: missing parameters change nothing."""
    room = context.administered_room(room_id)
    name = context.form.text("name", NAME_LENGTH)
    description = context.form.text("description", BODY_LENGTH, min_length=0)
    icon = context.form.choice("icon_preset", ICONS)
    context.changes.change_room(room, context.account_id, name=name, description=description, icon=icon)
    return {"room_id": room_id}


def delete_room(context: RequestContext, room_id: int) -> Answer:
    """``DELETE /rooms/{room_id}``: leaves a group chat or deletes it.

    ``action_type`` belongs in the form. Chatwork has accepted it in the query as well, so this does too.
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
        context.changes.delete_room(context.administered_room(room_id))
    return None


def list_members(context: RequestContext, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/members``."""
    return [context.serializer.member(account_id, role) for account_id, role in context.room(room_id).roles.items()]


def update_members(context: RequestContext, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/members``: replaces all members, also the account itself."""
    room = context.administered_room(room_id)
    roles = _roles(context, context.store.possible_members(context.account_id) | set(room.roles))
    context.changes.set_members(room, context.account_id, roles)
    return {role: [account_id for account_id, has in roles.items() if has == role] for role in ROLES}


def _roles(context: RequestContext, allowed: set[int]) -> dict[int, str]:
    """Return the roles in the three lists. An account in two lists, or one that may not be added, is a 400."""
    lists = {
        "members_admin_ids": context.form.required_ids("members_admin_ids"),
        "members_member_ids": context.form.ids("members_member_ids"),
        "members_readonly_ids": context.form.ids("members_readonly_ids"),
    }
    roles: dict[int, str] = {}
    for role, (parameter, ids) in zip(ROLES, lists.items(), strict=True):
        for account_id in ids:
            if account_id not in allowed:
                raise invalid(parameter, f"has {account_id}, which is neither a contact nor a colleague")
            if account_id in roles:
                raise invalid(parameter, f"has {account_id}, which is in another list as well")
            roles[account_id] = role
    return roles


def get_invite_link(context: RequestContext, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/link``."""
    return context.serializer.link(context.room(room_id).link)


def create_invite_link(context: RequestContext, room_id: int) -> Answer:
    """``POST /rooms/{room_id}/link``."""
    room = context.administered_room(room_id)
    if room.link is not None:
        raise HttpError(400, "Invite link already exists")
    return _set_link(context, room)


def update_invite_link(context: RequestContext, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/link``: missing parameters get their default, a missing code a random one."""
    return _set_link(context, _room_with_link(context, room_id))


def delete_invite_link(context: RequestContext, room_id: int) -> Answer:
    """``DELETE /rooms/{room_id}/link``."""
    room = _room_with_link(context, room_id)
    room.link = None
    context.store.touch()
    return context.serializer.link(None)


def new_link(context: RequestContext, code_name: str, acceptance_name: str, room: Room | None) -> Link:
    """Return the link in the form. Raises a 400 if another room has its code."""
    code = context.form.link_code(code_name) or secrets.token_urlsafe(9)
    if any(other.link and other.link.code == code for other in context.store.rooms.values() if other is not room):
        raise HttpError(400, f"Parameter '{code_name}' is already in use")
    return Link(code, context.form.flag(acceptance_name, default=True))


def _set_link(context: RequestContext, room: Room) -> Answer:
    link = new_link(context, "code", "need_acceptance", room)
    link.description = context.form.text("description", BODY_LENGTH, min_length=0) or ""
    room.link = link
    context.store.touch()
    return context.serializer.link(link)


def _room_with_link(context: RequestContext, room_id: int) -> Room:
    room = context.administered_room(room_id)
    if room.link is None:
        raise HttpError(400, "Invite link is disabled")
    return room
