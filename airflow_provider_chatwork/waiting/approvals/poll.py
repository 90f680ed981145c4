"""One poll of a question: parse the replies on the page, collect the votes, decide, post hints.

Answers are replies to the question, or to one of its hints, by approvers who can write in the room. Everything is read
from the room, except votes that an earlier poll saw and that have left the newest 100 messages since: these are kept in
the :class:`~airflow_provider_chatwork.waiting.approvals.question.ApprovalState`, and read again before they decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkApiError, ChatworkError, ChatworkNotFoundError
from airflow_provider_chatwork.api.messages import PAGE, get_message, position, post_message
from airflow_provider_chatwork.api.notation import reply
from airflow_provider_chatwork.api.notation_parser import is_deleted
from airflow_provider_chatwork.api.retry import is_retryable, is_transient
from airflow_provider_chatwork.api.rooms import list_members
from airflow_provider_chatwork.utils.i18n import Catalog
from airflow_provider_chatwork.waiting.approvals.question import ApprovalState, Outcome, PollResult, Question
from airflow_provider_chatwork.waiting.approvals.votes import (
    collect_votes,
    eligible_approvers,
    latest_votes,
    parse_replies,
    tally,
)


def poll(
    question: Question,
    page: Sequence[models.Message],
    state: ApprovalState,
    *,
    deadline: float,
    now: float,
    may_post_hints: bool = True,
) -> CallFlow[PollResult]:
    """Collect the votes, decide, and post hints to approvers whose replies are not valid votes.

    Yields the calls to run. Before a decision, and at the deadline, messages that have left the page are read again.
    The members of the room are refreshed once an hour and at the deadline.

    :param page: the newest messages of the room, oldest first.
    :param state: of the poll before; it is not changed.
    :param deadline: Unix time. Replies after it do not count, and no hints are posted from then on.
    :param now: Unix time.
    :param may_post_hints: false if the page may be older than a hint that was posted.
    :raises ChatworkError: for a permanent failure.
    """
    warnings: list[str] = []
    is_last = now >= deadline
    if is_last or now - state["members_at"] >= MEMBERS_INTERVAL:
        state = yield from refresh_members(question, state, now, warnings)
    state = find_posted_hints(question, page, state)
    seen = state["seen"]
    is_full = len(page) >= PAGE and int(page[0]["message_id"]) > int(question.message_id)
    if is_full and (seen is None or [*position(page[0])] > seen):
        state = {**state, "possible_loss": True}
        warnings.append(
            f"more messages than Chatwork returns came into room {question.room_id} since the last poll: an answer to "
            f"the question {question.message_id} may have been missed and has to be sent again"
        )
    state = {**state, "seen": [*position(page[-1])] if page else seen}
    names = {vote["account_id"]: vote["name"] for vote in state["votes"]}
    names |= {message["account"]["account_id"]: message["account"].get("name", "") for message in page}
    hints_posted = filter(None, (*state["hinted"].values(), *state["invalidated"].values()))
    # The messages whose replies are answers: the question and its hints.
    targets = [*dict.fromkeys([question.message_id, *hints_posted])]
    replies = parse_replies(question, page, targets, names)
    earlier_votes, since = state["votes"], position(page[0]) if page else None
    state, unclear = collect_votes(question, state, replies, since, deadline, warnings)
    result = tally(question, state)
    question_deleted = any(
        message["message_id"] == question.message_id and is_deleted(message["body"]) for message in page
    )
    if not question_deleted and (is_last or result.outcome != Outcome.OPEN):
        state, reread = yield from reread_old_messages(question, page, state, warnings, is_last=is_last)
        if reread is None:
            return PollResult(state, Outcome.OPEN, None, warnings, is_stale=True)
        if reread:
            question_deleted = question.message_id in reread and reread[question.message_id] is None
            old = sorted((message for message in reread.values() if message is not None), key=position)
            replies = [*parse_replies(question, old, targets, names), *replies]
            since = position(old[0]) if old else since
            state = {**state, "votes": earlier_votes}
            state, unclear = collect_votes(question, state, replies, since, deadline, warnings)
            result = tally(question, state)
    if question_deleted:
        return PollResult(state, Outcome.QUESTION_DELETED, None, warnings)
    if result.outcome != Outcome.DECIDED and len(eligible_approvers(question, state)) < question.quorum:
        return PollResult(state, Outcome.QUORUM_IMPOSSIBLE, None, warnings)
    hints = missing_hints(question, state, unclear, names) if result.outcome == Outcome.OPEN and not is_last else []
    if hints and may_post_hints:
        state = yield from post_hints(question, state, hints, warnings)
        hints = missing_hints(question, state, unclear, names)
    return PollResult(state, result.outcome, result.choice, warnings, hint_pending=bool(hints))


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


#: Seconds between two refreshes of the room's members.
MEMBERS_INTERVAL = 3600.0


def writable_members(members: Sequence[models.Member]) -> dict[int, str]:
    """Return the names of the members who can write in a room, by account id."""
    return {one["account_id"]: one.get("name", "") for one in members if one.get("role") != "readonly"}


def refresh_members(
    question: Question, state: ApprovalState, now: float, warnings: list[str]
) -> CallFlow[ApprovalState]:
    """Return the state with the approvers who cannot vote any more. Yields the call to run.

    A temporary failure leaves the state as it is, so that the next poll lists the members again.
    """
    try:
        members = writable_members((yield strict_empty_list(list_members(question.room_id))))
    except ChatworkError as error:
        if not is_transient(error):
            raise
        warnings.append(f"the members of room {question.room_id} could not be listed: {error}")
        return state
    ineligible = [account_id for account_id in question.approvers if account_id not in members]
    new = [account_id for account_id in ineligible if account_id not in state["ineligible"]]
    if new:
        warnings.append(f"approvers who left room {question.room_id} or may only read there no longer count: {new}")
    return {**state, "ineligible": ineligible, "members_at": now}


def reread_old_messages(
    question: Question, page: Sequence[models.Message], state: ApprovalState, warnings: list[str], *, is_last: bool
) -> CallFlow[tuple[ApprovalState, dict[str, models.Message | None] | None]]:
    """Read the question and the messages of votes that are not on the page.

    Yields the calls to run. As a deleted question ends the wait for good, it counts as deleted only if two requests in
    a row answer 404.

    :param is_last: whether this is the last poll, so that the second request for the question is sent at once.
    :return: the state; and the messages by their ids, ``None`` for one that was deleted. Instead of the messages
        ``None`` after a temporary failure.
    """
    on_page = {message["message_id"] for message in page}
    messages: dict[str, models.Message | None] = {}
    for message_id in (question.message_id, *(vote["message_id"] for vote in latest_votes(state["votes"]))):
        if message_id in on_page:
            continue
        is_question = message_id == question.message_id
        try:
            try:
                messages[message_id] = yield get_message(question.room_id, message_id)
            except ChatworkNotFoundError:
                if not is_question or state["question_not_found"]:
                    raise
                state = {**state, "question_not_found": True}
                if not is_last:
                    warnings.append(f"Chatwork did not find the question {message_id}; the next poll requests it again")
                    return state, None
                messages[message_id] = yield get_message(question.room_id, message_id)
            if is_question:
                state = {**state, "question_not_found": False}
        except ChatworkNotFoundError:
            messages[message_id] = None
        except ChatworkError as error:
            if not is_transient(error):
                raise
            warnings.append(
                f"the message {message_id} could not be read, so it is not known whether it was edited or deleted: "
                f"{error}"
            )
            return state, None
        message = messages[message_id]
        if message is None or is_deleted(message["body"]):
            messages[message_id] = None
            if not is_question:
                warnings.append(f"the vote in message {message_id} no longer counts, as the message was deleted")
    return state, messages
