"""Asking people in a room and hearing their answers: one set of rules for the worker and the triggerer.

What counts is a reply to the question, or to a hint that helps with it, by an approver who is in the room. All that is
known lies in the room, except for what was heard in time and is by now behind the newest 100 messages: that is
:class:`Heard`, plain JSON that goes with the wait. It is looked up again, message by message, before it decides.

The latest word of each approver counts. Where that cannot be read, they have no answer, whatever they said before: what
might be a withdrawal must not pass for a consent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, NotRequired, TypedDict

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.message_text import is_deleted, names_on
from airflow_provider_chatwork.api.urls import message_url
from airflow_provider_chatwork.waiting.approvals.hints import (
    NO_HINT,
    answered_messages,
    find_hints,
    help_people,
    untold,
)
from airflow_provider_chatwork.waiting.approvals.options import Answer, Options
from airflow_provider_chatwork.waiting.approvals.question_text import hint_text, taken_back_text
from airflow_provider_chatwork.waiting.approvals.recheck import MEMBERS_EVERY, is_gone, look_at_members, read_behind
from airflow_provider_chatwork.waiting.approvals.votes import hear, judge, latest, moment_of, present
from airflow_provider_chatwork.waiting.message_filter import may_have_lost, position
from airflow_provider_chatwork.waiting.tasks.status import tasks_needed


@dataclass(frozen=True)
class Ask:
    """A question that was asked. All of it is plain JSON (:meth:`to_plain`).

    :param message_id: the question's message.
    :param options: what people can answer, in order.
    :param rejecting: those of the options that do not go on.
    :param approvers: the account ids of those whose answers count.
    :param needed: how many of them have to choose the same.
    :param account_id: who asks: the account of the token, whose own messages never count.
    :param account_name: its name, which stands in replies to it.
    :param lang: ``ja`` or ``en``.
    :param web_url: where people open Chatwork.
    """

    room_id: int
    message_id: str
    options: Sequence[str]
    rejecting: Sequence[str]
    approvers: Sequence[int]
    needed: int
    account_id: int
    account_name: str
    lang: str
    web_url: str

    def to_plain(self) -> dict[str, Any]:
        """Return it as the arguments to make it from."""
        return {name: [*value] if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def link(self) -> str:
        """The address of the question in the browser."""
        return message_url(self.room_id, self.message_id, base=self.web_url)

    @cached_property
    def choices(self) -> Options:
        """The options, to read answers by."""
        return Options(self.options)

    @cached_property
    def help(self) -> str:
        """What the hint says. It is found by this text in the room, and by the link to no other question's."""
        return hint_text(self.options, self.link, self.lang)

    @cached_property
    def notice(self) -> str:
        """What it says to somebody whose earlier answer no longer counts; it ends with :attr:`help`."""
        return taken_back_text(self.options, self.link, self.lang)


class Heard(TypedDict):
    """What was heard so far.

    ``hints`` has the account ids, as text, of those who were told how to answer, with the message that told them.
    ``taken_back`` has those whose answer no longer counted because of what they said after it, with the message that
    told them so, and ``None`` as long as there is none. ``taken_back_at`` has for each of them when that was said, as a
    Unix time, and the message id of it: only what they answer after it counts. It may lack those that an earlier
    version has kept.

    ``seen`` is the position of the newest message of the last look; ``possible_loss`` says that so many messages came
    between two looks that an answer may have gone by unseen. ``absent`` are the approvers who could not answer any more
    at the Unix time ``members_at``, when the room's members were looked at. ``question_missed`` says that Chatwork did
    not find the question at the last look that asked for it.
    """

    answers: list[Answer]
    hints: dict[str, str]
    taken_back: dict[str, str | None]
    taken_back_at: NotRequired[dict[str, list[int]]]
    seen: list[int] | None
    possible_loss: bool
    absent: list[int]
    members_at: float
    question_missed: NotRequired[bool]


@dataclass(frozen=True)
class Look:
    """What a look at the room showed.

    :param outcome: of the :class:`~airflow_provider_chatwork.waiting.approvals.options.Verdict`, or ``withdrawn``: somebody has
        deleted the question; or ``deserted``: too few approvers are left.
    :param choice: what was decided for.
    :param remarks: what the log should say.
    :param owes_help: whether somebody is still to be told how to answer, at a later look.
    :param is_unsure: whether Chatwork did not tell, for a while, if what would decide still stands.
    """

    heard: Heard
    outcome: Literal["open", "decided", "split", "withdrawn", "deserted"]
    choice: str | None = None
    remarks: list[str] = field(default_factory=list)
    owes_help: bool = False
    is_unsure: bool = False


def nothing_heard(now: float = 0.0) -> Heard:
    """What was heard before the first look.

    :param now: the Unix time, where the room's members have just been looked at.
    """
    return {
        "answers": [],
        "hints": {},
        "taken_back": {},
        "seen": None,
        "possible_loss": False,
        "absent": [],
        "members_at": now,
    }


def answers_needed(complete_when: object, approvers: Sequence[int]) -> int:
    """How many approvers have to choose the same.

    :param complete_when: ``any``, ``all``, or a number, which may be written as text.
    :raises ChatworkParameterError: for anything else, and for more than there are.
    """
    try:
        return tasks_needed(complete_when, len(approvers))
    except ChatworkParameterError:
        raise ChatworkParameterError(
            "complete_when",
            complete_when,
            f"give 'any', 'all' or a number from 1 to {len(approvers)}, the number of approvers",
        ) from None


def listen(
    ask: Ask, page: Sequence[models.Message], heard: Heard, *, deadline: float, now: float, helps: bool = True
) -> CallFlow[Look]:
    """Hear what was answered, and help where nobody could tell what somebody meant. Yields the calls to run.

    Each approver is told once how to answer, and once more if they lose an answer by what they said after it. About
    once an hour, and when the time is over, it is seen who of them is still in the room.

    :param page: the newest messages of the room, oldest first.
    :param heard: of the look before; it is left as it is.
    :param deadline: the Unix time up to which people can answer. What they say after it does not count, and nobody is
        helped any more.
    :param now: the Unix time.
    :param helps: whether to post hints. Not on a page that may be older than a hint that was posted.
    :raises ChatworkError: where Chatwork refuses for good.
    """
    known: Heard = {
        **heard,
        "hints": {**heard["hints"]},
        "taken_back": {**heard["taken_back"]},
        "taken_back_at": {**heard.get("taken_back_at", {})},
    }
    remarks: list[str] = []
    is_late = now >= deadline
    if is_late or now - heard["members_at"] >= MEMBERS_EVERY:
        yield from look_at_members(ask, known, now, remarks)
    find_hints(ask, page, known)
    _note_loss(ask, page, known, remarks)
    unclear = _take_in(ask, page, heard, known, deadline, remarks)
    verdict = judge(ask, known)
    withdrawn = any(message["message_id"] == ask.message_id and is_deleted(message["body"]) for message in page)
    if not withdrawn and (is_late or verdict.outcome != "open"):
        # What is behind the page may have been edited or deleted since it was heard.
        read = yield from read_behind(ask, page, known, remarks, is_last=is_late)
        if read is None:
            return Look(known, "open", None, remarks, is_unsure=True)
        if read:
            withdrawn = ask.message_id in read and is_gone(read[ask.message_id])
            longer = sorted([*(message for message in read.values() if message is not None), *page], key=position)
            # It goes back to the question, so that nothing of what was heard is behind it any more.
            unclear = _take_in(ask, longer, heard, known, deadline, remarks)
            verdict = judge(ask, known)
    if withdrawn:
        return Look(known, "withdrawn", None, remarks)
    if verdict.outcome != "decided" and len(present(ask, known)) < ask.needed:
        return Look(known, "deserted", None, remarks)
    owes_help = False
    if verdict.outcome == "open" and not is_late:
        if helps:
            yield from help_people(ask, known, unclear, remarks)
        owes_help = bool(untold(known, unclear))
    return Look(known, verdict.outcome, verdict.choice, remarks, owes_help)


def is_worth_keeping(kept: Heard, heard: Heard) -> bool:
    """Whether what was heard is more than what is kept where a restart does not reach it."""

    def essence(known: Heard) -> tuple[object, object]:
        chosen = {answer["account_id"]: (answer["message_id"], answer["choice"]) for answer in latest(known["answers"])}
        return chosen, (known["hints"], known["taken_back"], known.get("taken_back_at", {}))

    return essence(kept) != essence(heard)


def _note_loss(ask: Ask, page: Sequence[models.Message], known: Heard, remarks: list[str]) -> None:
    seen = known["seen"]
    if may_have_lost(page, ask.message_id, None if seen is None else (seen[0], seen[1])):
        known["possible_loss"] = True
        remarks.append(
            f"so many messages came to room {ask.room_id} since the last look that an answer to the question "
            f"{ask.message_id} may have gone by unseen; whoever gave one can give it again"
        )
    if page:
        known["seen"] = [*position(page[-1])]


def _take_in(
    ask: Ask,
    page: Sequence[models.Message],
    heard: Heard,
    known: Heard,
    deadline: float,
    remarks: list[str],
) -> dict[int, models.Message]:
    """Note what was answered, and return the messages of those who ended with what is no answer."""
    before: Heard = {**heard, "absent": known["absent"], "taken_back_at": {**known.get("taken_back_at", {})}}
    answers, unclear = hear(ask, page, before, answered_messages(ask, known), deadline)
    standing = _standing(answers, unclear, heard, known, remarks)
    counting = {answer["message_id"] for answer in latest(standing)}
    # Comments are long, and what does not count now is only kept to fall back on.
    known["answers"] = [one if one["message_id"] in counting else {**one, "words": ""} for one in standing]
    return {**unclear, **_untold_before(ask, page, known, unclear)}


def _untold_before(
    ask: Ask, page: Sequence[models.Message], known: Heard, unclear: Mapping[int, models.Message]
) -> dict[int, models.Message]:
    """What took an answer back and is not to be seen any more, while its author could not be told yet."""
    names = names_on(page)
    gone: dict[int, models.Message] = {}
    for account_id in present(ask, known):
        moment = known.get("taken_back_at", {}).get(str(account_id))
        is_told = known["taken_back"].get(str(account_id), NO_HINT) is not None
        if account_id not in unclear and moment is not None and not is_told:
            gone[account_id] = {
                "message_id": str(moment[1]),
                "account": {"account_id": account_id, "name": names.get(account_id, ""), "avatar_image_url": ""},
                "body": "",
                "send_time": moment[0],
                "update_time": 0,
            }
    return gone


def _standing(
    answers: Sequence[Answer],
    unclear: Mapping[int, models.Message],
    heard: Heard,
    known: Heard,
    remarks: list[str],
) -> list[Answer]:
    """The answers that were not taken back; who did take one back is noted."""
    counted = {answer["account_id"] for answer in heard["answers"]}
    for account_id in sorted({answer["account_id"] for answer in answers} | (counted & unclear.keys())):
        key = str(account_id)
        if account_id not in unclear:
            if known["taken_back"].get(key, NO_HINT) is None:
                # They have answered anew before they were told to.
                del known["taken_back"][key]
            continue
        if account_id in counted or key not in known["taken_back"]:
            message_id = unclear[account_id]["message_id"]
            remark = (
                f"the answer of {account_id} no longer counts: the message {message_id}, written or edited after it, "
                "does not say the same or could not be read as an answer"
            )
            if remark not in remarks:
                remarks.append(remark)
        known["taken_back"].setdefault(key, None)
        at = known.setdefault("taken_back_at", {})
        at[key] = max(at.get(key, [0, 0]), moment_of(unclear[account_id]))
    return [answer for answer in answers if answer["account_id"] not in unclear]
