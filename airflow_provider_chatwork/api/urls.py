"""URLs of rooms and messages in Chatwork's web client. They contain no secret; the web client asks for a login."""

from __future__ import annotations

import re

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.validation import identifier, message_identifier

#: The URL of Chatwork's web client.
CHATWORK_WEB = "https://www.chatwork.com"
#: The URL of the web client of KDDI Chatwork.
KDDI_WEB = "https://kcw.kddi.ne.jp"


def room_url(room_id: int | str, base: str = CHATWORK_WEB) -> str:
    """Return the URL of a room.

    :param room_id: the room.
    :param base: the URL of the web client, such as :data:`KDDI_WEB` or that of the sandbox.
    :raises ChatworkParameterError: if the id is not a positive whole number, or the base is not an http(s) URL.
    """
    if not re.fullmatch(r"https?://[^\s#?]+", str(base)):
        raise ChatworkParameterError("base", base, f"give the URL of the web client, such as {CHATWORK_WEB}")
    return f"{base.rstrip('/')}/#!rid{identifier('room_id', room_id)}"


def message_url(room_id: int | str, message_id: int | str | None = None, base: str = CHATWORK_WEB) -> str:
    """Return the URL of a message, or of the room if no message is given.

    A task has no URL of its own; use the one of its message.

    :param room_id: the room.
    :param message_id: the message.
    :param base: the URL of the web client, such as :data:`KDDI_WEB` or that of the sandbox.
    :raises ChatworkParameterError: if an id does not consist of digits, or the base is not an http(s) URL.
    """
    room = room_url(room_id, base)
    return room if message_id is None else f"{room}-{message_identifier('message_id', message_id)}"
