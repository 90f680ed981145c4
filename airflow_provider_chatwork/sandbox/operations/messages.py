"""Messages: reading, writing, and what has been read."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.http_errors import NO_PERMISSION_TO_POST, Refusal, not_found
from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH
from airflow_provider_chatwork.sandbox.request_context import LONGEST_LIST, Answer, Visit, capped
from airflow_provider_chatwork.sandbox.serializers import unread_counts
from airflow_provider_chatwork.sandbox.store import Message

#: What the Free plan says when it hides something. Without limitation the headers are absent, never ``false``.
HIDDEN = {
    "chatwork-message-limitation": "true",
    "chatwork-message-limitation-summary": "Messages older than 40 days are hidden by the Free plan.",
}


def list_messages(visit: Visit, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/messages``.

    ``force=0`` hands out what came since this account asked last and moves on; of more than 100 the older ones are
    passed over. The first time everything counts as new. ``force=1`` hands out the newest and moves nothing.
    """
    room = visit.room(room_id)
    force = visit.query.flag("force", default=False)
    seen = -1 if force else room.seen.get(visit.account_id, -1)
    window = [message for message_id, message in room.messages.items() if message_id > seen][-LONGEST_LIST:]
    if window and not force:
        room.seen[visit.account_id] = window[-1].message_id
        visit.world.touch()
    shown = [message for message in window if message.send_time >= visit.visible_from]
    if len(shown) < len(window):
        visit.headers.update(HIDDEN)
    return capped([visit.shapes.message(message) for message in shown])


def post_message(visit: Visit, room_id: int) -> Answer:
    """``POST /rooms/{room_id}/messages``."""
    body = visit.form.required_text("body", BODY_LENGTH)
    self_unread = visit.form.flag("self_unread", default=False)
    room = visit.room_to_post_in(room_id)
    visit.count_post(room_id)
    return _named(visit.happen.say(room, visit.account_id, body, self_unread))


def mark_messages_read(visit: Visit, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/messages/read``: up to and including ``message_id``, or all."""
    room = visit.room(room_id)
    upto = visit.form.number("message_id")
    if upto is not None:
        visit.message(room, upto)
    unread = room.unread.setdefault(visit.account_id, set())
    now_read = {message_id for message_id in unread if upto is None or message_id <= upto}
    if not now_read:
        raise Refusal(400, "This message is already read")
    unread -= now_read
    visit.world.touch()
    return unread_counts(room, visit.account_id)


def mark_messages_unread(visit: Visit, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/messages/unread``: ``message_id`` and everything after it."""
    room = visit.room(room_id)
    first = visit.form.required_number("message_id")
    visit.message(room, first)
    unread = room.unread.setdefault(visit.account_id, set())
    if first in unread:
        raise Refusal(400, "This message is already unread")
    unread |= {message.message_id for message in room.messages.values() if message.message_id >= first}
    visit.world.touch()
    return unread_counts(room, visit.account_id)


def get_message(visit: Visit, room_id: int, message_id: int) -> Answer:
    """``GET /rooms/{room_id}/messages/{message_id}``."""
    message = visit.message(visit.room(room_id), message_id)
    if message.send_time < visit.visible_from:
        raise Refusal(404, "Message not found", headers=HIDDEN)
    return visit.shapes.message(message)


def edit_message(visit: Visit, room_id: int, message_id: int) -> Answer:
    """``PUT /rooms/{room_id}/messages/{message_id}``."""
    body = visit.form.required_text("body", BODY_LENGTH)
    message = _own(visit, room_id, message_id)
    if message.system:
        raise Refusal(403, NO_PERMISSION_TO_POST)
    visit.happen.edit(message, body)
    return _named(message)


def delete_message(visit: Visit, room_id: int, message_id: int) -> Answer:
    """``DELETE /rooms/{room_id}/messages/{message_id}``: leaves a placeholder. Deleting that again is a 404."""
    message = _own(visit, room_id, message_id)
    visit.happen.delete(visit.world.rooms[room_id], message)
    return _named(message)


def _own(visit: Visit, room_id: int, message_id: int) -> Message:
    message = visit.message(visit.room_to_post_in(room_id), message_id)
    if message.account_id != visit.account_id:
        raise Refusal(403, NO_PERMISSION_TO_POST)
    if message.deleted:
        raise not_found("Message")
    return message


def _named(message: Message) -> Answer:
    return {"message_id": str(message.message_id)}
