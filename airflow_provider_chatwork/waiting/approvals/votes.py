"""Parse replies to a question, and derive the votes from them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.messages import position
from airflow_provider_chatwork.api.notation_parser import reply_texts
from airflow_provider_chatwork.waiting.approvals.options import Options, truncate_comment
from airflow_provider_chatwork.waiting.approvals.question import ApprovalState, Outcome, Question, Vote
from airflow_provider_chatwork.waiting.message_filter import Position
from airflow_provider_chatwork.waiting.tasks.status import tasks_needed

# Chatwork's clock sets `send_time`, ours the deadline: a vote in the last seconds must not be lost by their difference.
_CLOCK_SKEW = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to the question or to one of its hints.

    :param choice: the option that it names; ``None`` if it does not name exactly one.
    :param comment: the text below the option.
    """

    message: models.Message
    choice: str | None
    comment: str


@dataclass(frozen=True, slots=True)
class _Ballot:
    """What a reply counts as.

    :param vote: ``None`` if the reply is not a valid vote.
    :param changed_at: the Unix time since which the message has this content.
    """

    message: models.Message
    vote: Vote | None
    changed_at: int


def parse_replies(
    question: Question, messages: Sequence[models.Message], targets: Collection[str], names: Mapping[int, str]
) -> list[Reply]:
    """Parse the replies of approvers.

    :param messages: oldest first.
    :param targets: the ids of the messages that are answered: the question and its hints.
    :param names: the names of authors by account id.
    """
    # Replies written before the account of the token was renamed carry its old name.
    own_names = (names.get(question.account_id, ""), question.account_name)
    all_names: dict[int, str | tuple[str, ...]] = {**names, question.account_id: own_names}
    approvers = {*question.approvers} - {question.account_id}
    options = Options(question.options)
    replies = []
    for message in messages:
        body = message["body"]
        if (
            message["account"]["account_id"] not in approvers
            or int(message["message_id"]) <= int(question.message_id)
            or not any(target in body for target in targets)
        ):
            continue
        parsed = [
            options.parse(text)
            for target in targets
            for text in reply_texts(body, question.room_id, target, all_names, strictly=True)
        ]
        if parsed:
            choices = {choice for choice, _ in parsed}
            comment = "\n".join(comment for _, comment in parsed if comment)
            replies.append(Reply(message, choices.pop() if len(choices) == 1 else None, comment))
    return replies


def collect_votes(
    question: Question,
    state: ApprovalState,
    replies: Sequence[Reply],
    since: Position | None,
    deadline: float,
    warnings: list[str],
) -> tuple[ApprovalState, dict[int, models.Message]]:
    """Derive the votes from the replies and from the votes of earlier polls.

    Each approver's latest reply counts. If it cannot be parsed, the approver has no vote, also not an earlier one: a
    possible withdrawal must not count as a consent. The same holds if an earlier reply was edited after the latest one
    and says something else. A vote that was invalidated this way stays invalid, also if that reply is deleted later;
    only a vote after it counts.

    :param replies: oldest first.
    :param since: the position of the oldest message that was read. Of older messages, earlier votes are kept.
    :param deadline: Unix time. Replies sent or edited after it do not count.
    :return: the new state; and, by account id, the reply of each approver that is not a valid vote, oldest first.
    """
    eligible = eligible_approvers(question, state)
    by_approver: dict[int, list[_Ballot]] = {}
    earlier = {vote["message_id"]: vote for vote in state["votes"]}
    for reply in replies:
        account_id = reply.message["account"]["account_id"]
        if account_id in eligible and reply.message["send_time"] <= deadline + _CLOCK_SKEW:
            ballot = _count_reply(question, reply, earlier, deadline + _CLOCK_SKEW)
            by_approver.setdefault(account_id, []).append(ballot)
    unclear: dict[int, models.Message] = {}
    for account_id, ballots in by_approver.items():
        last, last_changed = ballots[-1], max(ballots, key=lambda one: (one.changed_at, position(one.message)))
        if (last_changed.vote and last_changed.vote["choice"]) != (last.vote and last.vote["choice"]):
            unclear[account_id] = last_changed.message
        elif last.vote is None:
            unclear[account_id] = last.message
    old = latest_votes(vote for vote in state["votes"] if since is None or position(vote) < since)
    votes = [vote for vote in old if vote["account_id"] in eligible]
    votes += [ballot.vote for ballots in by_approver.values() for ballot in ballots if ballot.vote is not None]
    votes = [
        vote
        for vote in votes
        if [max(vote["send_time"], vote["update_time"]), int(vote["message_id"])]
        > state["invalidated_at"].get(str(vote["account_id"]), [0, 0])
    ]
    unclear = dict(sorted(unclear.items(), key=lambda item: position(item[1])))
    return _invalidate(state, votes, unclear, warnings), unclear


def _count_reply(question: Question, reply: Reply, earlier: Mapping[str, Vote], latest_time: float) -> _Ballot:
    message = reply.message
    sent, updated = message["send_time"], message.get("update_time", 0)
    if updated > latest_time:
        # Edited after the deadline: its earlier text is only known if an earlier poll stored the vote.
        vote = earlier.get(message["message_id"])
        return _Ballot(message, vote, sent if vote is None else max(sent, vote["update_time"]))
    if reply.choice is None:
        return _Ballot(message, None, max(sent, updated))
    new_vote: Vote = {
        "account_id": message["account"]["account_id"],
        "name": message["account"].get("name", ""),
        "choice": reply.choice,
        "number": [*question.options].index(reply.choice) + 1,
        "comment": reply.comment and truncate_comment(reply.comment, len(question.approvers)),
        "message_id": message["message_id"],
        "send_time": sent,
        "update_time": updated,
    }
    return _Ballot(message, new_vote, max(sent, updated))


def _invalidate(
    state: ApprovalState, votes: Sequence[Vote], unclear: Mapping[int, models.Message], warnings: list[str]
) -> ApprovalState:
    """Return the state with the votes of those who have no unclear reply, and note whose vote was invalidated."""
    invalidated, invalidated_at = {**state["invalidated"]}, {**state["invalidated_at"]}
    had_votes = {vote["account_id"] for vote in state["votes"]}
    have_votes = {vote["account_id"] for vote in votes}
    for account_id in have_votes - unclear.keys():
        if invalidated.get(str(account_id), "") is None:
            # They voted again before the notice was posted.
            del invalidated[str(account_id)]
    for account_id in sorted((have_votes | had_votes) & unclear.keys()):
        key, message = str(account_id), unclear[account_id]
        if account_id in had_votes or key not in invalidated:
            warning = (
                f"the vote of account {account_id} no longer counts: the message {message['message_id']}, sent or "
                "edited after it, names another option or none"
            )
            if warning not in warnings:
                warnings.append(warning)
        invalidated.setdefault(key, None)
        changed_at = [max(message["send_time"], message.get("update_time", 0)), int(message["message_id"])]
        invalidated_at[key] = max(invalidated_at.get(key, [0, 0]), changed_at)
    valid = [vote for vote in votes if vote["account_id"] not in unclear]
    counting = {vote["message_id"] for vote in latest_votes(valid)}
    # Superseded votes are kept as a fallback, without their comments, which can be long.
    valid = [vote if vote["message_id"] in counting else {**vote, "comment": ""} for vote in valid]
    return {**state, "votes": valid, "invalidated": invalidated, "invalidated_at": invalidated_at}


@dataclass(frozen=True, slots=True)
class Tally:
    """The result of counting votes.

    :param outcome: ``OPEN``, ``DECIDED`` or ``TIED``.
    :param choice: the option that was decided for.
    """

    outcome: Outcome
    choice: str | None = None


def required_quorum(complete_when: object, approvers: Sequence[int]) -> int:
    """Return the quorum.

    :param complete_when: ``any``, ``all``, or a number, which may be text.
    :raises ChatworkParameterError: for anything else, and for a number above that of the approvers.
    """
    try:
        return tasks_needed(complete_when, len(approvers))
    except ChatworkParameterError:
        raise ChatworkParameterError(
            "complete_when",
            complete_when,
            f"give 'any', 'all' or a number from 1 to {len(approvers)}, the number of approvers",
        ) from None


def tally(question: Question, state: ApprovalState) -> Tally:
    """Count the votes of a state, which may be in any order.

    Only the latest vote of each approver counts. The option that reaches the quorum first is decided for. If only
    rejecting options can still reach it, a rejecting option is decided for as soon as it has a vote: the one with the
    most votes, and among equals the one that was chosen first.
    """
    approvers = eligible_approvers(question, state)
    latest = [
        vote
        for vote in latest_votes(vote for vote in state["votes"] if vote["choice"] in question.options)
        if vote["account_id"] in approvers
    ]
    counts: dict[str, int] = {}
    for vote in latest:
        counts[vote["choice"]] = counts.get(vote["choice"], 0) + 1
        if counts[vote["choice"]] >= question.quorum:
            return Tally(Outcome.DECIDED, vote["choice"])
    missing = len(set(approvers)) - len(latest)
    reachable = [option for option in question.options if counts.get(option, 0) + missing >= question.quorum]
    if any(option not in question.rejecting for option in reachable):
        return Tally(Outcome.OPEN)
    rejected = {option: count for option, count in counts.items() if option in question.rejecting}
    if rejected:
        # `max` returns the first of equals, and the dict is in the order of the votes.
        return Tally(Outcome.DECIDED, max(rejected, key=rejected.__getitem__))
    return Tally(Outcome.OPEN if reachable else Outcome.TIED)


def eligible_approvers(question: Question, state: ApprovalState) -> list[int]:
    """Return the approvers who can write in the room, as of the last refresh of its members."""
    return [one for one in question.approvers if one != question.account_id and one not in state["ineligible"]]


def latest_votes(votes: Iterable[Vote]) -> list[Vote]:
    """Return the latest vote of each account, oldest first."""
    latest: dict[int, Vote] = {}
    for vote in sorted(votes, key=position):
        latest.pop(vote["account_id"], None)
        latest[vote["account_id"]] = vote
    return [*latest.values()]


def has_new_votes_or_hints(stored: ApprovalState, state: ApprovalState) -> bool:
    """Whether a state has votes or hints that a stored one lacks, so that a restart would lose them."""
    choices = [
        {vote["account_id"]: (vote["message_id"], vote["choice"]) for vote in latest_votes(one["votes"])}
        for one in (stored, state)
    ]
    return choices[0] != choices[1] or any(
        stored[name] != state[name] for name in ("hinted", "invalidated", "invalidated_at")
    )


def approval_result(question: Question, state: ApprovalState, choice: str, outcome: str) -> dict[str, Any]:
    """Return the result of the operator as plain JSON.

    :param outcome: ``answered`` or ``timeout_default``.
    """
    votes = latest_votes(state["votes"])
    return {
        "choice": choice,
        "number": [*question.options].index(choice) + 1,
        "outcome": outcome,
        "decided_by": [vote for vote in votes if vote["choice"] == choice],
        "votes": votes,
        "message_id": question.message_id,
        "link": question.link,
        "possible_loss": state["possible_loss"],
    }


def describe_votes(question: Question, state: ApprovalState) -> str:
    """Describe the votes for a log line, by account ids, without names and comments."""
    votes = latest_votes(state["votes"])
    voted = {vote["account_id"] for vote in votes}
    parts = [
        (f"{option!r} by", [vote["account_id"] for vote in votes if vote["choice"] == option])
        for option in question.options
    ]
    missing = [one for one in question.approvers if one not in voted]
    parts.append(("no answer from", [one for one in missing if one not in state["ineligible"]]))
    parts.append(("left the room or may only read:", [one for one in missing if one in state["ineligible"]]))
    return "; ".join(f"{what} {', '.join(map(str, accounts))}" for what, accounts in parts if accounts)
