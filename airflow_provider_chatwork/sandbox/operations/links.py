"""The invite link of a group chat."""

from __future__ import annotations

import secrets

from airflow_provider_chatwork.sandbox.http_errors import Refusal
from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH
from airflow_provider_chatwork.sandbox.request_context import Answer, Visit
from airflow_provider_chatwork.sandbox.store import Link, Room


def get_invite_link(visit: Visit, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/link``."""
    return visit.shapes.link(visit.room(room_id).link)


def create_invite_link(visit: Visit, room_id: int) -> Answer:
    """``POST /rooms/{room_id}/link``."""
    room = visit.room_to_administer(room_id)
    if room.link is not None:
        raise Refusal(400, "Invite link already exists")
    return _set(visit, room)


def update_invite_link(visit: Visit, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/link``: no patch. What is left out goes back to its default, the code to a random one."""
    return _set(visit, _room_with_link(visit, room_id))


def delete_invite_link(visit: Visit, room_id: int) -> Answer:
    """``DELETE /rooms/{room_id}/link``."""
    room = _room_with_link(visit, room_id)
    room.link = None
    visit.world.touch()
    return visit.shapes.link(None)


def new_link(visit: Visit, code_name: str, acceptance_name: str, room: Room | None) -> Link:
    """Read a link out of the form; a code that another room has is a 400."""
    code = visit.form.link_code(code_name) or secrets.token_urlsafe(9)
    if any(other.link and other.link.code == code for other in visit.world.rooms.values() if other is not room):
        raise Refusal(400, f"Parameter '{code_name}' is already in use")
    return Link(code, visit.form.flag(acceptance_name, default=True))


def _set(visit: Visit, room: Room) -> Answer:
    link = new_link(visit, "code", "need_acceptance", room)
    link.description = visit.form.text("description", BODY_LENGTH, shortest=0) or ""
    room.link = link
    visit.world.touch()
    return visit.shapes.link(link)


def _room_with_link(visit: Visit, room_id: int) -> Room:
    room = visit.room_to_administer(room_id)
    if room.link is None:
        raise Refusal(400, "Invite link is disabled")
    return room
