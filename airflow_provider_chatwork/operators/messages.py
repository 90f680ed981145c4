"""Post, edit and delete messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.operators._base import ChatworkOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ChatworkPostMessageOperator(ChatworkOperator):
    """Post a message to a room. Returns its message id, a text.

    :param body: 1 to 65535 characters, with Chatwork's notation; ``macros.chatwork`` writes it (``to``, ``info``,
        ``code``), breaks it in untrusted text (``safe``) and shortens it (``fit``).
    :param self_unread: whether the message is unread for the account that posts it, too.
    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param chatwork_conn_id: id of the connection.

    On Airflow 3.3 and later a task that is tried again does not post again what an earlier try has posted, as long as
    its fields render to the same.

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
    """Replace the body of a message that the account of the token has posted. Returns its message id, a text.

    :param message_id: the message, as ``ChatworkPostMessageOperator`` returned it.
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
    """Delete a message that the account of the token has posted. Returns its message id, a text.

    A message that is not there fails the task at its first try; at a later one it is taken for deleted.

    :param message_id: the message, as ``ChatworkPostMessageOperator`` returned it.
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
            # A try that died right after the deletion must not turn into a failure that no retry cures.
            if getattr(context.get("ti"), "try_number", 1) <= 1:
                raise
            self.log.info("The message is gone, as it should be. %s", error)
            message_id = api.validation.message_identifier("message_id", self.message_id)
        self.show_place(context, room_id, message_id)
        return message_id
