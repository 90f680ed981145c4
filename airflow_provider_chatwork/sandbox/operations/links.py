"""The invite link of a group chat."""

from __future__ import annotations

import secrets

from airflow_provider_chatwork.sandbox.http_errors import HttpError
from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH
from airflow_provider_chatwork.sandbox.request_context import Answer, RequestContext
from airflow_provider_chatwork.sandbox.store import Link, Room


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
