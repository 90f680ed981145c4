"""Operators that post, edit and delete messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.operators._base import ChatworkOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ChatworkPostMessageOperator(ChatworkOperator):
    """Post a message to a room. Returns the message id as text.

    :param body: 1 to 65535 characters, in Chatwork's notation. ``macros.chatwork`` has functions that write notation
        (``to``, ``info``, ``code``), make untrusted text safe (``safe``) and shorten text (``fit``).
    :param self_unread: whether the message is also unread for the account that posts it.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    On Airflow 3.3 and later a retry does not post the message again if its fields render to the same values.

    https://developer.chatwork.com/reference/post-rooms-room_id-messages
    """

    template_fields: Sequence[str] = ("body", *ChatworkOperator.template_fields)

    def __init__(self, *, body: str, self_unread: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.self_unread = self_unread

    def act(self, context: Context) -> str:
        """Post, and return the message id."""
        room_id = self.hook.room_id_or_default(self.room_id)
        call = api.messages.post_message(room_id, self.body, self_unread=self.self_unread)
        message_id = self.run_call(context, call)["message_id"]
        self.show_place(context, room_id, message_id)
        return message_id


class ChatworkEditMessageOperator(ChatworkOperator):
    """Replace the body of a message of the account of the token. Returns the message id as text.

    :param message_id: the message id that ``ChatworkPostMessageOperator`` returned.
    :param body: the new body, 1 to 65535 characters.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    https://developer.chatwork.com/reference/put-rooms-room_id-messages-message_id
    """

    template_fields: Sequence[str] = ("message_id", "body", *ChatworkOperator.template_fields)

    def __init__(self, *, message_id: str, body: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.message_id = message_id
        self.body = body

    def act(self, context: Context) -> str:
        """Edit, and return the message id."""
        room_id = self.hook.room_id_or_default(self.room_id)
        call = api.messages.edit_message(room_id, self.message_id, self.body)
        message_id = self.run_call(context, call)["message_id"]
        self.show_place(context, room_id, message_id)
        return message_id


class ChatworkDeleteMessageOperator(ChatworkOperator):
    """Delete a message of the account of the token. Returns the message id as text.

    A message that does not exist fails the task at its first try. At a retry it counts as deleted.

    :param message_id: the message id that ``ChatworkPostMessageOperator`` returned.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    https://developer.chatwork.com/reference/delete-rooms-room_id-messages-message_id
    """

    template_fields: Sequence[str] = ("message_id", *ChatworkOperator.template_fields)

    def __init__(self, *, message_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.message_id = message_id

    def act(self, context: Context) -> str:
        """Delete, and return the message id."""
        room_id = self.hook.room_id_or_default(self.room_id)
        call = api.messages.delete_message(room_id, self.message_id)
        try:
            message_id = self.run_call(context, call)["message_id"]
        except ChatworkNotFoundError as error:
            # An earlier try may have deleted the message and then crashed.
            if getattr(context.get("ti"), "try_number", 1) <= 1:
                raise
            self.log.info("Message %s does not exist; an earlier try may have deleted it: %s", self.message_id, error)
            message_id = api.validation.message_identifier("message_id", self.message_id)
        self.show_place(context, room_id, message_id)
        return message_id
