"""A message that is sent once, whoever else is at it and however often one starts anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_chatwork.api.call import surely
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.messages import delete_message, list_messages, post_message, reaches_back
from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.followup.traces import Trace

if TYPE_CHECKING:
    from airflow_provider_chatwork.client import Steps

# How far the clock here may be ahead of Chatwork's, in seconds.
_SKEW = 60.0


class Posted(NamedTuple):
    """What became of a message; for ``outcome`` see :class:`~airflow_provider_chatwork.followup.follow_up.Done`."""

    outcome: str
    message_id: str | None


def post_once(
    room_id: int, body: str, trace: Trace, *, since: float | None, seen: Sequence[Message] = ()
) -> Steps[Posted]:
    """Post a message unless its trace is in the room.

    :param body: ends with the line of the trace.
    :param since: Unix time before which it cannot have been sent: where the room does not show that far back, it is
        not sent. ``None`` sends it also then.
    :param seen: messages of the room that are known already.
    """
    found = trace.found_in(seen)
    if not found:
        page = yield surely(list_messages(room_id))
        found = trace.found_in(page)
        if not found and since is not None and not reaches_back(page, since - _SKEW):
            return Posted("untold", None)
    if found:
        return Posted("found", found[0]["message_id"])
    try:
        message_id = (yield post_message(room_id, body))["message_id"]
    except ChatworkUnknownOutcomeError:
        return Posted("unknown", None)
    return (yield from _alone(room_id, trace, message_id))


def _alone(room_id: int, trace: Trace, message_id: str) -> Steps[Posted]:
    """Take back the message if another process has sent its own at the same time, a little earlier.

    Two triggerers may run one wait for a moment, and wake at the same second. Both see both messages here, and agree on
    which of them stays.
    """
    try:
        first = next(iter(trace.found_in((yield list_messages(room_id)))), None)
        if first is None or first["message_id"] == message_id:
            return Posted("sent", message_id)
        yield delete_message(room_id, message_id)
    except ChatworkError:
        # It was sent, and that is what matters.
        return Posted("sent", message_id)
    return Posted("withdrawn", first["message_id"])
