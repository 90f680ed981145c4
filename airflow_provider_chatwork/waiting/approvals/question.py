"""The data of an approval: the question, the state that travels with the wait, and the result of one poll."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypedDict

from airflow_provider_chatwork.api.notation import info, safe, to
from airflow_provider_chatwork.api.urls import message_url
from airflow_provider_chatwork.utils.i18n import Catalog, Texts


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


_TEXTS: Texts = {
    "title": ("回答のお願い", "Your answer is needed"),
    "instructions": (
        "このメッセージに返信し、1 行目に選択肢か番号だけを書いてください。2 行目からはコメントを書けます。",
        "Reply to this message. On the first line, write nothing but an option or its number; comments go below it.",
    ),
    "approvers": ("回答できる人: {names}", "Who may answer: {names}"),
    "quorum_any": ("どなたか 1 人の回答で決まります。", "The answer of any one person decides."),
    "quorum_some": (
        "{count} 人のうち {quorum} 人が同じ選択肢を選ぶと決まります。",
        "Decided when {quorum} of {count} people choose the same.",
    ),
    "quorum_all": (
        "{count} 人全員が同じ選択肢を選ぶと決まります。",
        "Decided when all {count} people choose the same.",
    ),
    "timeout": ("回答期限: この質問から {timeout}", "Time to answer: {timeout} from now"),
    "source": ("依頼元: Airflow {source}", "Asked by: Airflow {source}"),
    "days": ("{n} 日", "{n} d"),
    "hours": ("{n} 時間", "{n} h"),
    "minutes": ("{n} 分", "{n} min"),
    "hint": (
        "恐れ入りますが、回答を読み取れませんでした。1 行目に次の選択肢か番号だけを書いて、もう一度返信してください。",
        "Sorry, this could not be read as an answer. Please reply once more, with nothing but one of these options or "
        "its number on the first line.",
    ),
    "invalidated": (
        "先の回答は、この返信により取り消されたものとして扱います。",
        "With this reply, your earlier answer no longer counts.",
    ),
    "question": ("質問", "Question"),
}


def question_text(
    question: str,
    *,
    options: Sequence[str],
    to_ids: Sequence[int],
    approvers: Sequence[int],
    quorum: int,
    names: Mapping[int, str],
    timeout: float,
    source: str,
    lang: str,
) -> str:
    """Return the message of a question.

    :param question: the author's text, as notation.
    :param to_ids: the accounts that get a To tag.
    :param names: the names of the room's members, by account id.
    :param timeout: seconds to answer. No time of day is written, so that the text is the same on every try of the task.
    :param source: the Airflow task, as of :func:`source_text`; not written if empty.
    """
    catalog = Catalog(lang, _TEXTS)
    lines = [_numbered(options), "", catalog.text("instructions")]
    if [*to_ids] != [*approvers]:
        approver_names = catalog.join_names([_one_line(names[account_id]) for account_id in approvers])
        lines.append(catalog.text("approvers", names=safe(approver_names)))
    if len(approvers) > 1:
        key = "quorum_any" if quorum == 1 else "quorum_all" if quorum == len(approvers) else "quorum_some"
        lines.append(catalog.text(key, count=len(approvers), quorum=quorum))
    lines.append(catalog.text("timeout", timeout=_duration(catalog, timeout)))
    if source:
        lines.append(catalog.text("source", source=safe(_one_line(source))))
    mentions = to({account_id: catalog.address(names[account_id]) for account_id in to_ids})
    framed = info(f"{question}\n\n" + "\n".join(lines), title=catalog.text("title"))
    return f"{mentions}\n{framed}" if mentions else framed


def source_text(dag_id: str, task_id: str, run_id: str, map_index: int | None = None) -> str:
    """Return the name of a task instance. It makes the questions of several runs of a DAG distinct.

    :param map_index: negative, or ``None``, for a task that is not mapped.
    """
    mapped = "" if map_index is None or map_index < 0 else f"[{map_index}]"
    return f"{dag_id} / {task_id}{mapped} / {run_id}"


def hint_text(options: Sequence[str], link: str, lang: str) -> str:
    """Return a hint how to answer, for an approver whose answer could not be parsed.

    :param link: the URL of the question.
    """
    catalog = Catalog(lang, _TEXTS)
    return "\n".join([catalog.text("hint"), _numbered(options), f"{catalog.text('question')}: {link}"])


def invalidation_text(options: Sequence[str], link: str, lang: str) -> str:
    """Return the hint for an approver whose vote was invalidated. It ends with :func:`hint_text`.

    :param link: the URL of the question.
    """
    return f"{Catalog(lang, _TEXTS).text('invalidated')}\n{hint_text(options, link, lang)}"


def _one_line(name: str) -> str:
    # A name with a line break could look like an option.
    return " ".join(name.split())


def _numbered(options: Sequence[str]) -> str:
    return "\n".join(f"{number}. {safe(text)}" for number, text in enumerate(options, 1))


def _duration(catalog: Catalog, seconds: float) -> str:
    for key, unit in (("days", 86400), ("hours", 3600)):
        if seconds >= unit and seconds % unit == 0:
            return catalog.text(key, n=int(seconds // unit))
    return catalog.text("minutes", n=max(round(seconds / 60), 1))
