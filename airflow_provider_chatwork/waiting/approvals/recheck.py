"""Whether what was heard still stands: who is in the room, and what became of messages behind the newest 100."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkNotFoundError
from airflow_provider_chatwork.api.message_text import is_deleted
from airflow_provider_chatwork.api.messages import get_message
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.api.rooms import list_members
from airflow_provider_chatwork.waiting.approvals.votes import latest

if TYPE_CHECKING:
    from airflow_provider_chatwork.waiting.approvals.poll import Ask, Heard

#: How often to see who of the approvers is still in the room, in seconds.
MEMBERS_EVERY = 3600.0
# The role of who may only read a room.
_READONLY = "readonly"


def can_answer(members: Sequence[models.Member]) -> dict[int, str]:
    """The names of those members of a room who can write there, by account id."""
    return {one["account_id"]: one.get("name", "") for one in members if one.get("role") != _READONLY}


def look_at_members(ask: Ask, known: Heard, now: float, remarks: list[str]) -> CallFlow[None]:
    """Note which approvers cannot answer any more. Yields the call to run."""
    try:
        here = can_answer((yield strict_empty_list(list_members(ask.room_id))))
    except ChatworkError as error:
        if not is_transient(error):
            raise
        # The next look asks again.
        remarks.append(f"Chatwork did not tell who is in room {ask.room_id}. {error}")
        return
    absent = [account_id for account_id in ask.approvers if account_id not in here]
    gone = [account_id for account_id in absent if account_id not in known["absent"]]
    if gone:
        remarks.append(
            f"approvers who cannot answer any more, as they left room {ask.room_id} or may only read: {gone}"
        )
    known["absent"], known["members_at"] = absent, now


def read_behind(
    ask: Ask, page: Sequence[models.Message], known: Heard, remarks: list[str], *, is_last: bool
) -> CallFlow[dict[str, models.Message | None] | None]:
    """Read what counts and is not on the page; ``None`` where Chatwork does not tell it for a while.

    As a question that is gone ends the wait for good, it counts as gone only where Chatwork says so twice.

    :param is_last: whether there is no other look, so that it is asked twice at once.
    """
    there = {message["message_id"] for message in page}
    counting = [ask.message_id, *(answer["message_id"] for answer in latest(known["answers"]))]
    read: dict[str, models.Message | None] = {}
    for message_id in counting:
        if message_id in there:
            continue
        is_question = message_id == ask.message_id
        try:
            try:
                read[message_id] = yield get_message(ask.room_id, message_id)
            except ChatworkNotFoundError:
                if not is_question or known.get("question_missed"):
                    raise
                known["question_missed"] = True
                if not is_last:
                    remarks.append(f"Chatwork did not find the question {message_id}; the next look asks for it again")
                    return None
                read[message_id] = yield get_message(ask.room_id, message_id)
            if is_question:
                known["question_missed"] = False
        except ChatworkNotFoundError:
            read[message_id] = None
        except ChatworkError as error:
            if not is_transient(error):
                raise
            remarks.append(f"Chatwork did not tell whether the message {message_id} still stands. {error}")
            return None
        if not is_question and is_gone(read[message_id]):
            remarks.append(f"the answer {message_id} no longer counts, as it was deleted")
    return read


def is_gone(message: models.Message | None) -> bool:
    """Whether a message that was read is no longer there."""
    return message is None or is_deleted(message["body"])
