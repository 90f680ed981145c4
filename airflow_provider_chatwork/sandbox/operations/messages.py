"""Messages: reading, writing, and what has been read."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.http_errors import NO_PERMISSION_TO_POST, HttpError, not_found
from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH
from airflow_provider_chatwork.sandbox.request_context import LONGEST_LIST, Answer, RequestContext, capped
from airflow_provider_chatwork.sandbox.serializers import unread_counts
from airflow_provider_chatwork.sandbox.store import Message

#: What the Free plan says when it hides something. Without limitation the headers are absent, never ``false``.
HIDDEN = {
    "chatwork-message-limitation": "true",
    "chatwork-message-limitation-summary": "Messages older than 40 days are hidden by the Free plan.",
}


def list_messages(context: RequestContext, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/messages``.

    ``force=0`` hands out what came since this account asked last and moves on; of more than 100 the older ones are
    passed over. The first time everything counts as new. ``force=1`` hands out the newest and moves nothing.
    """
    room = context.room(room_id)
    force = context.query.flag("force", default=False)
    seen = -1 if force else room.seen.get(context.account_id, -1)
    window = [message for message_id, message in room.messages.items() if message_id > seen][-LONGEST_LIST:]
    if window and not force:
        room.seen[context.account_id] = window[-1].message_id
        context.store.touch()
    shown = [message for message in window if message.send_time >= context.visible_from]
    if len(shown) < len(window):
        context.headers.update(HIDDEN)
    return capped([context.serializer.message(message) for message in shown])


def post_message(context: RequestContext, room_id: int) -> Answer:
    """``POST /rooms/{room_id}/messages``."""
    body = context.form.required_text("body", BODY_LENGTH)
    self_unread = context.form.flag("self_unread", default=False)
    room = context.room_to_post_in(room_id)
    context.count_post(room_id)
    return _named(context.changes.add_message(room, context.account_id, body, self_unread))


def mark_messages_read(context: RequestContext, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/messages/read``: up to and including ``message_id``, or all."""
    room = context.room(room_id)
    upto = context.form.number("message_id")
    if upto is not None:
        context.message(room, upto)
    unread = room.unread.setdefault(context.account_id, set())
    now_read = {message_id for message_id in unread if upto is None or message_id <= upto}
    if not now_read:
        raise HttpError(400, "This message is already read")
    unread -= now_read
    context.store.touch()
    return unread_counts(room, context.account_id)


def mark_messages_unread(context: RequestContext, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/messages/unread``: ``message_id`` and everything after it."""
    room = context.room(room_id)
    first = context.form.required_number("message_id")
    context.message(room, first)
    unread = room.unread.setdefault(context.account_id, set())
    if first in unread:
        raise HttpError(400, "This message is already unread")
    unread |= {message.message_id for message in room.messages.values() if message.message_id >= first}
    context.store.touch()
    return unread_counts(room, context.account_id)


def get_message(context: RequestContext, room_id: int, message_id: int) -> Answer:
    """``GET /rooms/{room_id}/messages/{message_id}``."""
    message = context.message(context.room(room_id), message_id)
    if message.send_time < context.visible_from:
        raise HttpError(404, "Message not found", headers=HIDDEN)
    return context.serializer.message(message)


def edit_message(context: RequestContext, room_id: int, message_id: int) -> Answer:
    """``PUT /rooms/{room_id}/messages/{message_id}``."""
    body = context.form.required_text("body", BODY_LENGTH)
    message = _own(context, room_id, message_id)
    if message.system:
        raise HttpError(403, NO_PERMISSION_TO_POST)
    context.changes.edit_message(message, body)
    return _named(message)


def delete_message(context: RequestContext, room_id: int, message_id: int) -> Answer:
    """``DELETE /rooms/{room_id}/messages/{message_id}``: leaves a placeholder. Deleting that again is a 404."""
    message = _own(context, room_id, message_id)
    context.changes.delete_message(context.store.rooms[room_id], message)
    return _named(message)


def _own(context: RequestContext, room_id: int, message_id: int) -> Message:
    message = context.message(context.room_to_post_in(room_id), message_id)
    if message.account_id != context.account_id:
        raise HttpError(403, NO_PERMISSION_TO_POST)
    if message.deleted:
        raise not_found("Message")
    return message


def _named(message: Message) -> Answer:
    return {"message_id": str(message.message_id)}
