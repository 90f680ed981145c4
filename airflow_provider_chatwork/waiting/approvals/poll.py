"""One poll of a question: parse the replies on the page, collect the votes, decide, post hints.

Answers are replies to the question, or to one of its hints, by approvers who can write in the room. Everything is read
from the room, except votes that an earlier poll saw and that have left the newest 100 messages since: these are kept in
the :class:`~airflow_provider_chatwork.waiting.approvals.state.ApprovalState`, and read again before they decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.message_text import is_deleted
from airflow_provider_chatwork.api.messages import position
from airflow_provider_chatwork.waiting.approvals.hints import (
    find_posted_hints,
    missing_hints,
    post_hints,
    reply_targets,
)
from airflow_provider_chatwork.waiting.approvals.recheck import (
    MEMBERS_INTERVAL,
    refresh_members,
    reread_old_messages,
)
from airflow_provider_chatwork.waiting.approvals.state import ApprovalState, Outcome, PollResult, Question
from airflow_provider_chatwork.waiting.approvals.tally import current_tally, eligible_approvers
from airflow_provider_chatwork.waiting.approvals.votes import author_names, collect_votes, parse_replies
from airflow_provider_chatwork.waiting.message_filter import may_have_missed


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
    state = _note_missed_messages(question, page, state, warnings)
    names = author_names(page, state)
    targets = reply_targets(question, state)
    replies = parse_replies(question, page, targets, names)
    earlier_votes, since = state["votes"], position(page[0]) if page else None
    state, unclear = collect_votes(question, state, replies, since, deadline, warnings)
    tally = current_tally(question, state)
    question_deleted = any(
        message["message_id"] == question.message_id and is_deleted(message["body"]) for message in page
    )
    if not question_deleted and (is_last or tally.outcome != Outcome.OPEN):
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
            tally = current_tally(question, state)
    if question_deleted:
        return PollResult(state, Outcome.QUESTION_DELETED, None, warnings)
    if tally.outcome != Outcome.DECIDED and len(eligible_approvers(question, state)) < question.quorum:
        return PollResult(state, Outcome.QUORUM_IMPOSSIBLE, None, warnings)
    hints = missing_hints(question, state, unclear, names) if tally.outcome == Outcome.OPEN and not is_last else []
    if hints and may_post_hints:
        state = yield from post_hints(question, state, hints, warnings)
        hints = missing_hints(question, state, unclear, names)
    return PollResult(state, tally.outcome, tally.choice, warnings, hint_pending=bool(hints))


def _note_missed_messages(
    question: Question, page: Sequence[models.Message], state: ApprovalState, warnings: list[str]
) -> ApprovalState:
    """Return the state with the position of the newest message, and whether messages may have been missed."""
    seen, possible_loss = state["seen"], state["possible_loss"]
    if may_have_missed(page, question.message_id, None if seen is None else (seen[0], seen[1])):
        possible_loss = True
        warnings.append(
            f"more messages than Chatwork returns came into room {question.room_id} since the last poll: an answer to "
            f"the question {question.message_id} may have been missed and has to be sent again"
        )
    return {**state, "seen": [*position(page[-1])] if page else seen, "possible_loss": possible_loss}
