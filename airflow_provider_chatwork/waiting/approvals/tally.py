"""Count votes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.messages import position
from airflow_provider_chatwork.waiting.approvals.state import ApprovalState, Outcome, Question, Vote
from airflow_provider_chatwork.waiting.tasks.status import tasks_needed


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


def tally(
    votes: Iterable[Vote],
    *,
    options: Sequence[str],
    rejecting: Collection[str],
    approvers: Collection[int],
    quorum: int,
) -> Tally:
    """Count votes, given in any order.

    Only the latest vote of each approver counts. The option that reaches the quorum first is decided for. If only
    rejecting options can still reach it, a rejecting option is decided for as soon as it has a vote: the one with the
    most votes, and among equals the one that was chosen first.

    :param options: all options.
    :param rejecting: the options that stop the DAG.
    :param quorum: the quorum.
    """
    latest = [
        vote
        for vote in latest_votes(vote for vote in votes if vote["choice"] in options)
        if vote["account_id"] in approvers
    ]
    counts: dict[str, int] = {}
    for vote in latest:
        counts[vote["choice"]] = counts.get(vote["choice"], 0) + 1
        if counts[vote["choice"]] >= quorum:
            return Tally(Outcome.DECIDED, vote["choice"])
    missing = len(set(approvers)) - len(latest)
    reachable = [option for option in options if counts.get(option, 0) + missing >= quorum]
    if any(option not in rejecting for option in reachable):
        return Tally(Outcome.OPEN)
    rejected = {option: count for option, count in counts.items() if option in rejecting}
    if rejected:
        # `max` returns the first of equals, and the dict is in the order of the votes.
        return Tally(Outcome.DECIDED, max(rejected, key=rejected.__getitem__))
    return Tally(Outcome.OPEN if reachable else Outcome.TIED)


def current_tally(question: Question, state: ApprovalState) -> Tally:
    """Count the votes of a state."""
    return tally(
        state["votes"],
        options=question.options,
        rejecting=question.rejecting,
        approvers=eligible_approvers(question, state),
        quorum=question.quorum,
    )


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
        "number": question.parser.number(choice),
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
