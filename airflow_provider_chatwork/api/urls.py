"""Addresses of rooms and messages in the browser. They carry no secret and ask for a login."""

from __future__ import annotations

import re

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.validation import identifier, message_identifier

#: Where Chatwork's web client lives.
CHATWORK_WEB = "https://www.chatwork.com"
#: Where that of KDDI Chatwork lives.
KDDI_WEB = "https://kcw.kddi.ne.jp"


def room_url(room_id: int | str, base: str = CHATWORK_WEB) -> str:
    """Return the address of a room.

    :param room_id: the room.
    :param base: the web client's address, such as :data:`KDDI_WEB` or that of the sandbox.
    :raises ChatworkParameterError: for an id that is not a positive whole number, or a base that is no http(s) address.
    """
    if not re.fullmatch(r"https?://[^\s#?]+", str(base)):
        raise ChatworkParameterError("base", base, f"give the web client's address, such as {CHATWORK_WEB}")
    return f"{base.rstrip('/')}/#!rid{identifier('room_id', room_id)}"


def message_url(room_id: int | str, message_id: int | str | None = None, base: str = CHATWORK_WEB) -> str:
    """Return the address of a message, or of its room where no message is given.

    A task has no address of its own; that of its message leads to it.

    :param room_id: the room.
    :param message_id: the message.
    :param base: the web client's address, such as :data:`KDDI_WEB` or that of the sandbox.
    :raises ChatworkParameterError: for an id that is not made of digits, or a base that is no http(s) address.
    """
    room = room_url(room_id, base)
    return room if message_id is None else f"{room}-{message_identifier('message_id', message_id)}"
