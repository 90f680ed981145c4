"""The data of an approval: the question, the state that travels with the wait, and the result of one poll."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypedDict

from airflow_provider_chatwork.api.urls import message_url
from airflow_provider_chatwork.waiting.approvals.options import Options
from airflow_provider_chatwork.waiting.approvals.question_text import hint_text, invalidation_text


class Outcome(enum.StrEnum):
    """The outcome of a poll. JSON holds its value as plain text."""

    #: Nothing is decided; the wait continues.
    OPEN = "open"
    #: Enough approvers chose the same option.
    DECIDED = "decided"
    #: No option can reach the quorum any more, and nobody chose a rejecting one.
    TIED = "tied"
    #: The question was deleted in the room.
    QUESTION_DELETED = "question_deleted"
    #: Fewer eligible approvers are left than the quorum.
    QUORUM_IMPOSSIBLE = "quorum_impossible"


class Vote(TypedDict):
    """The vote of one approver.

    ``choice`` is the option and ``number`` its number, from 1. ``comment`` is the text below it, truncated. Times are
    Unix seconds; an ``update_time`` of 0 means never edited.
    """

    account_id: int
    name: str
    choice: str
    number: int
    comment: str
    message_id: str
    send_time: int
    update_time: int


class ApprovalState(TypedDict):
    """What the polls have found so far, as plain JSON. Account ids that are keys are text.

    ``seen`` is the position of the newest message of the last poll. ``possible_loss`` is true if an answer may have
    left the newest 100 messages between two polls.

    ``hinted`` maps each account that got a hint to the id of the hint message. ``invalidated`` maps each account whose
    vote was invalidated to the id of the message that said so, and to ``None`` until it is posted. ``invalidated_at``
    holds the Unix time and the message id of what invalidated it: only a vote after that counts.

    ``ineligible`` are the approvers who had left the room, or could only read it, at the Unix time ``members_at``.
    ``question_not_found`` is true if the last request for the question answered 404.
    """

    votes: list[Vote]
    hinted: dict[str, str]
    invalidated: dict[str, str | None]
    invalidated_at: dict[str, list[int]]
    seen: list[int] | None
    possible_loss: bool
    ineligible: list[int]
    members_at: float
    question_not_found: bool


@dataclass(frozen=True)
class Question:
    """A question that was posted. Every field is plain JSON (:meth:`to_plain`).

    :param message_id: the message of the question.
    :param options: the options, in order.
    :param rejecting: the options that stop the DAG.
    :param approvers: the account ids whose votes count.
    :param quorum: how many approvers have to choose the same option.
    :param account_id: the account of the token, whose own messages never count.
    :param account_name: its name, which Chatwork writes into replies to it.
    :param lang: ``ja`` or ``en``.
    :param web_url: the base URL of Chatwork's web client.
    """

    room_id: int
    message_id: str
    options: Sequence[str]
    rejecting: Sequence[str]
    approvers: Sequence[int]
    quorum: int
    account_id: int
    account_name: str
    lang: str
    web_url: str

    def to_plain(self) -> dict[str, Any]:
        """Return the arguments that create it."""
        return {name: [*value] if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def link(self) -> str:
        """The URL of the question in the browser."""
        return message_url(self.room_id, self.message_id, base=self.web_url)

    @cached_property
    def parser(self) -> Options:
        """The options, as a parser of answers."""
        return Options(self.options)

    @cached_property
    def hint(self) -> str:
        """The text of a hint. A posted hint is recognized by it; its link makes it unique to this question."""
        return hint_text(self.options, self.link, self.lang)

    @cached_property
    def invalidation_notice(self) -> str:
        """The text of a hint for an account whose vote was invalidated. It ends with :attr:`hint`."""
        return invalidation_text(self.options, self.link, self.lang)


@dataclass(frozen=True)
class PollResult:
    """The result of one poll.

    :param choice: the option that was decided for.
    :param warnings: lines for the log.
    :param hint_pending: whether a hint still has to be posted, by a later poll.
    :param is_stale: whether Chatwork temporarily did not return the messages that have to be reread before a decision.
    """

    state: ApprovalState
    outcome: Outcome
    choice: str | None = None
    warnings: list[str] = field(default_factory=list)
    hint_pending: bool = False
    is_stale: bool = False


def new_state(members_at: float = 0.0) -> ApprovalState:
    """Return the state before the first poll.

    :param members_at: the Unix time when the members of the room were listed.
    """
    return {
        "votes": [],
        "hinted": {},
        "invalidated": {},
        "invalidated_at": {},
        "seen": None,
        "possible_loss": False,
        "ineligible": [],
        "members_at": members_at,
        "question_not_found": False,
    }
