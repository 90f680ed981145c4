"""Messages: read, post, edit, delete, and mark as read or unread."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.parameters import BODY_LENGTH, NO_PERMISSION_TO_POST, HttpError, not_found
from airflow_provider_chatwork.sandbox.request_context import MAX_LIST_ITEMS, Answer, RequestContext, capped
from airflow_provider_chatwork.sandbox.serializers import unread_counts
from airflow_provider_chatwork.sandbox.store import Message

#: Headers of the Free plan if it hides messages. Otherwise they are absent, never ``false``.
LIMITATION_HEADERS = {
    "chatwork-message-limitation": "true",
    "chatwork-message-limitation-summary": "Messages older than 40 days are hidden by the Free plan.",
}


def list_messages(context: RequestContext, room_id: int) -> Answer:
    """``GET /rooms/{room_id}/messages``.

    ``force=0`` returns at most 100 of the messages after the account's cursor, the newest, and moves the cursor to the
    last one. The first call returns the newest of all. ``force=1`` returns the newest 100 and moves no cursor.
    """
    room = context.room(room_id)
    force = context.query.flag("force", default=False)
    seen = -1 if force else room.seen.get(context.account_id, -1)
    window = [message for message_id, message in room.messages.items() if message_id > seen][-MAX_LIST_ITEMS:]
    if window and not force:
        room.seen[context.account_id] = window[-1].message_id
        context.store.touch()
    visible = [message for message in window if message.send_time >= context.visible_from]
    if len(visible) < len(window):
        context.headers.update(LIMITATION_HEADERS)
    return capped([context.serializer.message(message) for message in visible])


def post_message(context: RequestContext, room_id: int) -> Answer:
    """``POST /rooms/{room_id}/messages``."""
    body = context.form.required_text("body", BODY_LENGTH)
    self_unread = context.form.flag("self_unread", default=False)
    room = context.writable_room(room_id)
    context.count_post(room_id)
    return _message_id(context.changes.add_message(room, context.account_id, body, self_unread))


def mark_messages_read(context: RequestContext, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/messages/read``: all messages up to ``message_id``; without it, all."""
    room = context.room(room_id)
    last = context.form.number("message_id")
    if last is not None:
        context.message(room, last)
    unread = room.unread.setdefault(context.account_id, set())
    now_read = {message_id for message_id in unread if last is None or message_id <= last}
    if not now_read:
        raise HttpError(400, "This message is already read")
    unread -= now_read
    context.store.touch()
    return unread_counts(room, context.account_id)


def mark_messages_unread(context: RequestContext, room_id: int) -> Answer:
    """``PUT /rooms/{room_id}/messages/unread``: ``message_id`` and all later messages."""
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
        raise HttpError(404, "Message not found", headers=LIMITATION_HEADERS)
    return context.serializer.message(message)


def edit_message(context: RequestContext, room_id: int, message_id: int) -> Answer:
    """``PUT /rooms/{room_id}/messages/{message_id}``."""
    body = context.form.required_text("body", BODY_LENGTH)
    message = _own_message(context, room_id, message_id)
    if message.system:
        raise HttpError(403, NO_PERMISSION_TO_POST)
    context.changes.edit_message(message, body)
    return _message_id(message)


def delete_message(context: RequestContext, room_id: int, message_id: int) -> Answer:
    """``DELETE /rooms/{room_id}/messages/{message_id}``: leaves a placeholder. A second call is a 404."""
    message = _own_message(context, room_id, message_id)
    context.changes.delete_message(context.store.rooms[room_id], message)
    return _message_id(message)


def _own_message(context: RequestContext, room_id: int, message_id: int) -> Message:
    message = context.message(context.writable_room(room_id), message_id)
    if message.account_id != context.account_id:
        raise HttpError(403, NO_PERMISSION_TO_POST)
    if message.deleted:
        raise not_found("Message")
    return message


def _message_id(message: Message) -> Answer:
    return {"message_id": str(message.message_id)}
