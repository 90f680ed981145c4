"""Telling people how to answer a question where nobody could tell what they meant: each of them once.

Who was told is found in the room, by the text, so that one who was told by a triggerer that did not live to say so is
not told again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkApiError, ChatworkError
from airflow_provider_chatwork.api.messages import post_message
from airflow_provider_chatwork.api.notation import reply
from airflow_provider_chatwork.api.retry import is_retryable
from airflow_provider_chatwork.waiting.approvals.question_text import person

if TYPE_CHECKING:
    from airflow_provider_chatwork.waiting.approvals.poll import Ask, Heard

#: What stands for the hint where Chatwork refused to take it: there will be none.
NO_HINT = ""

_ADDRESSEE = re.compile(r"\[rp aid=([0-9]+) ")


def find_hints(ask: Ask, page: Sequence[models.Message], known: Heard) -> None:
    """Note who was told already, by a triggerer that did not live to say so or by a call without an answer."""
    for message in page:
        if message["account"]["account_id"] != ask.account_id or message["message_id"] == ask.message_id:
            continue
        body = message["body"].replace("\r\n", "\n").rstrip()
        addressee = _ADDRESSEE.match(body)
        if addressee and body.endswith(ask.help):
            known["hints"].setdefault(addressee[1], message["message_id"])
            if body.endswith(ask.notice):
                if known["taken_back"].get(addressee[1]) is None:
                    known["taken_back"][addressee[1]] = message["message_id"]
                # What exactly took it back, nobody remembers; but what they answered before it said so, it said.
                at = known.setdefault("taken_back_at", {})
                at.setdefault(addressee[1], [message["send_time"], int(message["message_id"])])


def answered_messages(ask: Ask, known: Heard) -> list[str]:
    """The messages to which an answer is a reply: the question, and what helped with it."""
    told = (*known["hints"].values(), *known["taken_back"].values())
    return [*dict.fromkeys([ask.message_id, *(message_id for message_id in told if message_id)])]


def untold(known: Heard, unclear: Mapping[int, models.Message]) -> list[models.Message]:
    """The messages whose authors are still to be told how to answer."""
    return [
        message
        for account_id, message in unclear.items()
        if _has_lost(known, str(account_id)) or str(account_id) not in known["hints"]
    ]


def help_people(ask: Ask, known: Heard, unclear: Mapping[int, models.Message], remarks: list[str]) -> CallFlow[None]:
    """Tell them. Yields the calls to run; what was told is noted."""
    for message in untold(known, unclear):
        key = str(message["account"]["account_id"])
        has_lost = _has_lost(known, key)
        posted = yield from _reply_to(ask, message, ask.notice if has_lost else ask.help, remarks)
        if posted is None:
            return
        if has_lost:
            known["taken_back"][key] = posted
        # What tells them that their answer no longer counts tells them how to answer, too.
        known["hints"].setdefault(key, posted)


def _has_lost(known: Heard, key: str) -> bool:
    return known["taken_back"].get(key, NO_HINT) is None


def _reply_to(ask: Ask, message: models.Message, text: str, remarks: list[str]) -> CallFlow[str | None]:
    author = message["account"]
    name = person(author.get("name", ""), ask.lang)
    body = f"{reply(author['account_id'], ask.room_id, message['message_id'], name)}\n{text}"
    try:
        return (yield post_message(ask.room_id, body))["message_id"]  # type: ignore[no-any-return]
    except ChatworkError as error:
        remarks.append(f"the hint how to answer the question {ask.message_id} could not be posted. {error}")
        # What passes is tried again at the next look, which also finds it if it was posted after all.
        return NO_HINT if isinstance(error, ChatworkApiError) and not is_retryable(error) else None
