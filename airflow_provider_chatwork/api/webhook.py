"""Chatwork's webhooks: verify the signature, and parse the body. https://developer.chatwork.com/docs/webhook

A receiver must answer 200 at once, with at most 2,048 bytes, and do its work later: Chatwork does not send an event
again. A receiver should ignore messages of its own account, and recognise repeated events by ``message_id``,
``update_time`` and ``webhook_event_type``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias, TypedDict

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.http import REQUIRED, parse_object
from airflow_provider_chatwork.api.models import Id, MessageId


class _Event(TypedDict):
    message_id: MessageId
    room_id: Id
    body: Annotated[str, REQUIRED]
    send_time: Annotated[int, REQUIRED]
    update_time: Annotated[int, REQUIRED]


class MessageEvent(_Event):
    """A message that was created or updated. ``account_id`` is its author; times are Unix seconds."""

    account_id: Id


class MentionEvent(_Event):
    """A message that mentions the webhook's account (``to_account_id``). ``from_account_id`` is its author."""

    from_account_id: Id
    to_account_id: Id


class _Envelope(TypedDict):
    webhook_setting_id: str
    webhook_event_type: Annotated[str, REQUIRED]
    webhook_event_time: Annotated[int, REQUIRED]


class MessageWebhook(_Envelope):
    """The types ``message_created`` and ``message_updated``."""

    webhook_event: Annotated[MessageEvent, REQUIRED]


class MentionWebhook(_Envelope):
    """The type ``mention_to_me``."""

    webhook_event: Annotated[MentionEvent, REQUIRED]


Webhook: TypeAlias = MessageWebhook | MentionWebhook

_PARSERS: Mapping[str, Callable[[object], Webhook]] = {
    "message_created": parse_object(MessageWebhook),
    "message_updated": parse_object(MessageWebhook),
    "mention_to_me": parse_object(MentionWebhook),
}


def verify(body: bytes, signature: str | bytes | Sequence[str | bytes] | None, token: str) -> bool:
    """Whether a request body was signed with the token of a webhook.

    :param body: the raw bytes of the request.
    :param signature: the header ``x-chatworkwebhooksignature``, or the query parameter ``chatwork_webhook_signature``.
        It may be a list, as frameworks give repeated headers and parameters. A request without a signature (``None``,
        an empty list), or with several, was not signed by Chatwork.
    :param token: the token on the webhook's edit page. It is not the API token.
    :raises ChatworkParameterError: if the body is not bytes, the signature has another type, or the token is not
        Base64.
    """
    content: Any = body
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise ChatworkParameterError("body", type(body).__name__, "give the bytes of the request, before any decoding")
    given: list[Any] = [*signature] if isinstance(signature, (list, tuple)) else [signature]
    for value in given:
        if value is not None and not isinstance(value, (str, bytes)):
            raise ChatworkParameterError("signature", value, "give the value of the header as text or bytes")
    try:
        key = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ChatworkParameterError("webhook_token", "***", "give the token from the edit page of the webhook")
    if len(given) != 1 or given[0] is None:
        return False
    expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256))
    text = given[0] if isinstance(given[0], bytes) else given[0].encode("utf-8", "replace")
    # In a query, a plus sign that was not encoded arrives as a space.
    return hmac.compare_digest(expected, text.strip().replace(b" ", b"+"))


def parse_event(body: bytes) -> Webhook:
    """Parse a request body. Call :func:`verify` first.

    :raises ChatworkParameterError: if the body is not a webhook of one of the three types.
    """
    try:
        decoded = json.loads(body)
        if isinstance(decoded.get("webhook_setting_id"), int):
            decoded["webhook_setting_id"] = str(decoded["webhook_setting_id"])
        return _PARSERS[decoded["webhook_event_type"]](decoded)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        remedy = f"this is not a webhook of Chatwork ({type(error).__name__}: {error})"
        raise ChatworkParameterError("body", body[:100], remedy) from None
