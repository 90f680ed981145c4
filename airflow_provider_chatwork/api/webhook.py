"""What Chatwork sends by itself: check who sent it, and read it. https://developer.chatwork.com/docs/webhook

A receiver answers 200 at once, with at most 2,048 bytes, and works later: what it misses is not sent again. It leaves
out what its own account posted, and drops repetitions by ``message_id``, ``update_time`` and ``webhook_event_type``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Annotated, TypeAlias, TypedDict

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.models import Id, MessageId
from airflow_provider_chatwork.api.response_parsing import NEEDED, one


class _Event(TypedDict):
    message_id: MessageId
    room_id: Id
    body: Annotated[str, NEEDED]
    send_time: Annotated[int, NEEDED]
    update_time: Annotated[int, NEEDED]


class MessageEvent(_Event):
    """A message that was created or updated. ``account_id`` is who wrote it; times are Unix seconds."""

    account_id: Id


class MentionEvent(_Event):
    """A message that mentions the webhook's account (``to_account_id``). ``from_account_id`` wrote it."""

    from_account_id: Id
    to_account_id: Id


class _Envelope(TypedDict):
    webhook_setting_id: str
    webhook_event_type: Annotated[str, NEEDED]
    webhook_event_time: Annotated[int, NEEDED]


class MessageWebhook(_Envelope):
    """The types ``message_created`` and ``message_updated``."""

    webhook_event: Annotated[MessageEvent, NEEDED]


class MentionWebhook(_Envelope):
    """The type ``mention_to_me``."""

    webhook_event: Annotated[MentionEvent, NEEDED]


Webhook: TypeAlias = MessageWebhook | MentionWebhook

_READERS: Mapping[str, Callable[[object], Webhook]] = {
    "message_created": one(MessageWebhook),
    "message_updated": one(MessageWebhook),
    "mention_to_me": one(MentionWebhook),
}


def verify(body: bytes, signature: str, token: str) -> bool:
    """Whether a request body was signed with a webhook's token.

    :param body: the raw bytes of the request, as they came.
    :param signature: the header ``x-chatworkwebhooksignature``, or the query parameter ``chatwork_webhook_signature``.
    :param token: the token on the webhook's edit page. It is not the API token.
    :raises ChatworkParameterError: for a token that is no Base64.
    """
    try:
        key = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ChatworkParameterError("webhook_token", "***", "give the token from the edit page of the webhook")
    expected = base64.b64encode(hmac.digest(key, body, hashlib.sha256))
    # In a query, a plus sign that was not encoded arrives as a space.
    given = signature.strip().replace(" ", "+").encode("utf-8", "replace")
    return hmac.compare_digest(expected, given)


def parse_event(body: bytes) -> Webhook:
    """Read a request body, after :func:`verify` has said yes to it.

    :raises ChatworkParameterError: for anything but a webhook of one of the three types Chatwork has.
    """
    try:
        decoded = json.loads(body)
        kind = decoded["webhook_event_type"]
        return _READERS[kind](decoded)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        remedy = f"this is no webhook of Chatwork ({type(error).__name__}: {error})"
        raise ChatworkParameterError("body", body[:100], remedy) from None
