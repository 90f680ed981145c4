"""Hints: replies to approvers whose answers could not be parsed, at most one to each, and one more for a lost vote.

Hints that were posted are recognized in the room by their text, so that a triggerer that crashed after posting does not
post them again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkApiError, ChatworkError
from airflow_provider_chatwork.api.messages import position, post_message
from airflow_provider_chatwork.api.notation import reply
from airflow_provider_chatwork.api.retry import is_retryable
from airflow_provider_chatwork.utils.i18n import Catalog
from airflow_provider_chatwork.waiting.approvals.state import ApprovalState, Question
from airflow_provider_chatwork.waiting.approvals.tally import eligible_approvers

#: Instead of a message id: Chatwork rejected the hint, and it is not posted again.
NO_HINT = ""

_ADDRESSEE = re.compile(r"\[rp aid=([0-9]+) ")


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint that has to be posted.

    :param account_id: the addressee.
    :param message_id: the message that it replies to.
    :param is_notice: whether it also says that a vote was invalidated.
    """

    account_id: int
    name: str
    message_id: str
    is_notice: bool


def find_posted_hints(question: Question, page: Sequence[models.Message], state: ApprovalState) -> ApprovalState:
    """Return the state with the hints on a page, also those that a crashed triggerer or a lost reply left unknown."""
    hinted, invalidated = {**state["hinted"]}, {**state["invalidated"]}
    invalidated_at = {**state["invalidated_at"]}
    for message in page:
        if message["account"]["account_id"] != question.account_id:
            continue
        body = message["body"].replace("\r\n", "\n").rstrip()
        addressee = _ADDRESSEE.match(body)
        if addressee and body.endswith(question.hint):
            hinted.setdefault(addressee[1], message["message_id"])
            if body.endswith(question.invalidation_notice):
                if invalidated.get(addressee[1]) is None:
                    invalidated[addressee[1]] = message["message_id"]
                # The hint does not name the message that invalidated the vote, so every vote before the hint is void.
                invalidated_at.setdefault(addressee[1], [*position(message)])
    return {**state, "hinted": hinted, "invalidated": invalidated, "invalidated_at": invalidated_at}


def reply_targets(question: Question, state: ApprovalState) -> list[str]:
    """Return the ids of the messages whose replies are answers: the question and the hints."""
    hints = (*state["hinted"].values(), *state["invalidated"].values())
    return [*dict.fromkeys([question.message_id, *filter(None, hints)])]


def missing_hints(
    question: Question, state: ApprovalState, unclear: Mapping[int, models.Message], names: Mapping[int, str]
) -> list[Hint]:
    """Return the hints that have to be posted.

    :param unclear: the replies that are not valid votes, by account id.
    :param names: names by account id.
    """
    hints = [
        Hint(account_id, message["account"].get("name", ""), message["message_id"], _needs_notice(state, account_id))
        for account_id, message in unclear.items()
        if _needs_notice(state, account_id) or str(account_id) not in state["hinted"]
    ]
    # The reply that invalidated a vote may have been deleted, or have left the page, before the notice was posted.
    hints += [
        Hint(account_id, names.get(account_id, ""), str(state["invalidated_at"][str(account_id)][1]), is_notice=True)
        for account_id in eligible_approvers(question, state)
        if account_id not in unclear and _needs_notice(state, account_id)
    ]
    return hints


def post_hints(
    question: Question, state: ApprovalState, hints: Sequence[Hint], warnings: list[str]
) -> CallFlow[ApprovalState]:
    """Post hints, and return the state with them. Yields the calls to run. Stops at the first temporary failure."""
    catalog = Catalog(question.lang, {})
    hinted, invalidated = {**state["hinted"]}, {**state["invalidated"]}
    for hint in hints:
        text = question.invalidation_notice if hint.is_notice else question.hint
        tag = reply(hint.account_id, question.room_id, hint.message_id, catalog.address(hint.name))
        try:
            posted = (yield post_message(question.room_id, f"{tag}\n{text}"))["message_id"]
        except ChatworkError as error:
            warnings.append(
                f"the hint to account {hint.account_id} how to answer the question {question.message_id} could not be "
                f"posted: {error}"
            )
            # After a temporary failure the next poll posts it, or finds it if it was posted after all.
            if not isinstance(error, ChatworkApiError) or is_retryable(error):
                break
            posted = NO_HINT
        if hint.is_notice:
            invalidated[str(hint.account_id)] = posted
        hinted.setdefault(str(hint.account_id), posted)
    return {**state, "hinted": hinted, "invalidated": invalidated}


def _needs_notice(state: ApprovalState, account_id: int) -> bool:
    return state["invalidated"].get(str(account_id), NO_HINT) is None
