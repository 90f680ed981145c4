"""Mark messages as read or unread. https://developer.chatwork.com/reference/put-rooms-room_id-messages-read"""

from __future__ import annotations

from airflow_provider_chatwork.api import messages, models, rooms, validation
from airflow_provider_chatwork.api.call import Call, Lookup, Request
from airflow_provider_chatwork.api.errors import ChatworkApiError, ChatworkInvalidRequestError
from airflow_provider_chatwork.api.http import parse_object


def mark_messages_read(room_id: int | str, message_id: str | None = None) -> Call[models.Unread]:
    """Mark messages as read. Chatwork answers 400 if they are already read.

    :param message_id: the last message to mark; all messages of the room if not given.
    """
    form = {} if message_id is None else {"message_id": validation.message_identifier("message_id", message_id)}
    request = Request("PUT", messages.path(room_id, "/read"), form=form)
    return Call(
        "mark_messages_read",
        request,
        parse_object(models.Unread),
        confirm_already_done=lambda error: _unread(room_id, error),
    )


def mark_messages_unread(room_id: int | str, message_id: str) -> Call[models.Unread]:
    """Mark a message and all later ones as unread. Chatwork answers 400 if it is already unread."""
    form = {"message_id": validation.message_identifier("message_id", message_id)}
    request = Request("PUT", messages.path(room_id, "/unread"), form=form)
    return Call(
        "mark_messages_unread",
        request,
        parse_object(models.Unread),
        confirm_already_done=lambda error: _unread(room_id, error),
    )


def _unread(room_id: int | str, refusal: ChatworkApiError) -> Lookup[models.Unread]:
    if not isinstance(refusal, ChatworkInvalidRequestError):
        return []
    room = yield rooms.get_room(room_id)
    return [{"unread_num": room.get("unread_num", 0), "mention_num": room.get("mention_num", 0)}]
