"""A message that is sent once, whoever else is at it and however often one starts anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.messages import delete_message, list_messages, post_message, reaches_back
from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.waiting.outbox.dedup_key import Trace

#: How far the clock here may be ahead of Chatwork's, in seconds.
SKEW = 60.0


class Posted(NamedTuple):
    """What became of a message; for ``outcome`` see :class:`~airflow_provider_chatwork.waiting.outbox.delivery.Done`."""

    outcome: str
    message_id: str | None


def post_once(
    room_id: int, body: str, trace: Trace, *, since: float | None, seen: Sequence[Message] = ()
) -> CallFlow[Posted]:
    """Post a message unless its trace is in the room.

    :param body: ends with the line of the trace.
    :param since: Unix time before which it cannot have been sent: where the room does not show that far back, it is
        not sent. ``None`` sends it also then.
    :param seen: messages of the room that are known already.
    """
    earlier = said_earlier(trace, seen, is_whole=True)
    if earlier is None:
        page = yield strict_empty_list(list_messages(room_id))
        earlier = said_earlier(trace, page, is_whole=since is None or reaches_back(page, since - SKEW))
    if earlier is not None:
        return earlier
    message_id = yield from post(room_id, body)
    if message_id is None:
        return Posted("unknown", None)
    try:
        page = yield list_messages(room_id)
    except ChatworkError:
        # It was sent, and that is what matters.
        return Posted("sent", message_id)
    return (yield from left_alone(room_id, trace, message_id, page))


def said_earlier(trace: Trace, messages: Sequence[Message], *, is_whole: bool) -> Posted | None:
    """What there is to say of a message without sending it; ``None`` where it is to be sent.

    :param messages: what is known of the room.
    :param is_whole: whether it would be among them, had it been sent.
    """
    found = trace.found_in(messages)
    if found:
        return Posted("found", found[0]["message_id"])
    return None if is_whole else Posted("untold", None)


def post(room_id: int, body: str) -> CallFlow[str | None]:
    """Post a message, and return its id; ``None`` where its fate is not known."""
    try:
        message_id: str = (yield post_message(room_id, body))["message_id"]
    except ChatworkUnknownOutcomeError:
        return None
    return message_id


def left_alone(room_id: int, trace: Trace, message_id: str, page: Sequence[Message]) -> CallFlow[Posted]:
    """Take back the message if another process has sent its own at the same time, a little earlier.

    Two triggerers may run one wait for a moment, and wake at the same second. Both see both messages here, and agree on
    which of them stays.

    :param page: the room, as it was after the message.
    """
    first = next(iter(trace.found_in(page)), None)
    if first is None or first["message_id"] == message_id:
        return Posted("sent", message_id)
    try:
        yield delete_message(room_id, message_id)
    except ChatworkError:
        return Posted("sent", message_id)
    return Posted("withdrawn", first["message_id"])
