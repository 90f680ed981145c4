"""Rooms and who is in them."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.http_errors import Refusal, invalid, required
from airflow_provider_chatwork.sandbox.operations.links import new_link
from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH, NAME_LENGTH
from airflow_provider_chatwork.sandbox.request_context import Answer, Visit

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


def list_rooms(visit: Visit) -> Answer:
    """``GET /rooms``."""
    return [visit.shapes.room(room, visit.account_id) for room in visit.world.rooms_of(visit.account_id)]


def get_room(visit: Visit, room_id: int) -> Answer:
    """``GET /rooms/{room_id}``."""
    return visit.shapes.room_details(visit.room(room_id), visit.account_id)


def create_room(visit: Visit) -> Answer:
    """``POST /rooms``.

    Whoever creates a room is in it: left out of all three lists, they become an administrator.
    """
    name = visit.form.required_text("name", NAME_LENGTH)
    roles = _roles(visit, visit.world.reachable(visit.account_id))
    roles.setdefault(visit.account_id, "admin")
    description = visit.form.text("description", BODY_LENGTH, shortest=0) or ""
    icon = visit.form.choice("icon_preset", ICONS) or "group"
    wants_link = visit.form.flag("link", default=False)
    link = new_link(visit, "link_code", "link_need_acceptance", room=None)
    room = visit.happen.create_room(visit.account_id, name, roles, description, icon)
    room.link = link if wants_link else None
    return {"room_id": room.room_id}


def update_room(visit: Visit, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}``: changes only what is sent."""
    room = visit.room_to_administer(room_id)
    name = visit.form.text("name", NAME_LENGTH)
    description = visit.form.text("description", BODY_LENGTH, shortest=0)
    icon = visit.form.choice("icon_preset", ICONS)
    visit.happen.change_room(room, visit.account_id, name=name, description=description, icon=icon)
    return {"room_id": room_id}


def delete_room(visit: Visit, room_id: int) -> Answer:
    """``DELETE /rooms/{room_id}``: leaves a group chat, or destroys it for everybody.

    ``action_type`` belongs in a form body; in the query it works as well, as it always did and no notice ended it.
    """
    actions = ("leave", "delete")
    action = visit.form.choice("action_type", actions) or visit.query.choice("action_type", actions)
    if action is None:
        raise required("action_type")
    room = visit.room(room_id)
    if room.type != "group":
        raise Refusal(403, "Only group chats can be left or deleted.")
    if action == "leave":
        visit.happen.leave(room, visit.account_id)
    else:
        visit.happen.destroy(visit.room_to_administer(room_id))
    return None


def list_members(visit: Visit, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/members``."""
    return [visit.shapes.member(account_id, role) for account_id, role in visit.room(room_id).roles.items()]


def update_members(visit: Visit, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/members``: replaces everybody. Whoever is left out is removed, oneself included."""
    room = visit.room_to_administer(room_id)
    roles = _roles(visit, visit.world.reachable(visit.account_id) | set(room.roles))
    visit.happen.set_members(room, visit.account_id, roles)
    return {role: [account_id for account_id, has in roles.items() if has == role] for role in ROLES}


def _roles(visit: Visit, allowed: set[int]) -> dict[int, str]:
    """Read the three lists of members. An account in two lists, or one that is out of reach, is a 400."""
    named = {
        "members_admin_ids": visit.form.required_ids("members_admin_ids"),
        "members_member_ids": visit.form.ids("members_member_ids"),
        "members_readonly_ids": visit.form.ids("members_readonly_ids"),
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
