"""Asking people in a room and hearing their answers: one set of rules for the worker and the triggerer.

What counts is a reply to the question, or to the hint that helps with it, by an approver. All that is known lies in
the room, except for what was heard in time and is by now behind the newest 100 messages: that is :class:`Heard`, plain
JSON that goes with the wait.

The latest word of each approver counts. Where that cannot be read, they have no answer, whatever they said before: what
might be a withdrawal must not pass for a consent.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, TypedDict

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.answers import Answer, Options, Verdict, tally
from airflow_provider_chatwork.api.call import Call
from airflow_provider_chatwork.api.errors import ChatworkApiError, ChatworkError, ChatworkParameterError
from airflow_provider_chatwork.api.links import message_url
from airflow_provider_chatwork.api.message_wait import Wanted, is_deleted, may_have_lost, names_on, own_text, position
from airflow_provider_chatwork.api.messages import post_message
from airflow_provider_chatwork.api.notation import reply
from airflow_provider_chatwork.api.question import hint_text, person, taken_back_text
from airflow_provider_chatwork.api.retry import is_passing
from airflow_provider_chatwork.api.task_wait import tasks_needed

#: What stands for the hint where Chatwork refused to take it: there will be none.
NO_HINT = ""

# Chatwork's clock says when something was sent, ours when the time is over. Whoever answers in the last seconds must
# not lose by their difference, and nobody decides by answering a day late. In seconds.
_SKEW = 60.0
_ADDRESSEE = re.compile(r"\[rp aid=([0-9]+) ")


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
    """What was heard so far. ``hint`` is the message that helps with the answers, ``None`` before there is one.

    ``taken_back`` has the account ids, as text, of those whose answer no longer counted because of what they said
    after it, with the message that told them, and ``None`` as long as there is none.

    ``seen`` is the position of the newest message of the last look; ``possible_loss`` says that so many messages came
    between two looks that an answer may have gone by unseen.
    """

    answers: list[Answer]
    hint: str | None
    taken_back: dict[str, str | None]
    seen: list[int] | None
    possible_loss: bool


@dataclass(frozen=True)
class Look:
    """What a look at the room showed.

    :param outcome: of the :class:`~airflow_provider_chatwork.api.answers.Verdict`, or ``withdrawn``: somebody has
        deleted the question.
    :param choice: what was decided for.
    :param remarks: what the log should say.
    :param owes_help: whether somebody is still to be told how to answer, at a later look.
    """

    heard: Heard
    outcome: Literal["open", "decided", "split", "withdrawn"]
    choice: str | None = None
    remarks: list[str] = field(default_factory=list)
    owes_help: bool = False


def nothing_heard() -> Heard:
    """What was heard before the first look."""
    return {"answers": [], "hint": None, "taken_back": {}, "seen": None, "possible_loss": False}


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
) -> Generator[Call[Any], Any, Look]:
    """Hear what was answered, and help where nobody could tell what somebody meant. Yields the calls to run.

    One hint does for the question; but whoever loses an answer by what they said after it is told so, each once.

    :param page: the newest messages of the room, oldest first.
    :param heard: of the look before; it is left as it is.
    :param deadline: the Unix time up to which people can answer. What they say after it does not count, and nobody is
        helped any more.
    :param now: the Unix time.
    :param helps: whether to post hints. Not on a page that may be older than a hint that was posted.
    """
    known: Heard = {**heard, "taken_back": {**heard["taken_back"]}}
    if heard["hint"] is None:
        known["hint"] = _hint_on(page, ask)
    known["taken_back"].update(_notices_on(page, ask, known["taken_back"]))
    remarks: list[str] = []
    if may_have_lost(page, ask.message_id, None if heard["seen"] is None else (heard["seen"][0], heard["seen"][1])):
        known["possible_loss"] = True
        remarks.append(
            f"so many messages came to room {ask.room_id} since the last look that an answer to the question "
            f"{ask.message_id} may have gone by unseen; whoever gave one can give it again"
        )
    if page:
        known["seen"] = [*position(page[-1])]
    answers, unclear = _answers_on(page, ask, known, deadline + _SKEW)
    known["answers"] = _standing([*_remembered(heard["answers"], page), *answers], unclear, known, remarks)
    if any(message["message_id"] == ask.message_id and is_deleted(message["body"]) for message in page):
        return Look(known, "withdrawn", None, remarks)
    verdict = judge(ask, known)
    owes_help = False
    if verdict.outcome == "open" and now < deadline:
        if helps:
            yield from _help(ask, known, unclear, remarks)
        owes_help = bool(_untold(known, unclear))
    return Look(known, verdict.outcome, verdict.choice, remarks, owes_help)


def judge(ask: Ask, heard: Heard) -> Verdict:
    """What follows from what was heard."""
    return tally(
        heard["answers"],
        options=ask.options,
        rejecting=ask.rejecting,
        approvers=ask.approvers,
        needed=ask.needed,
    )


def latest(answers: Sequence[Answer]) -> list[Answer]:
    """The answer of each person that counts, oldest first."""
    by_person: dict[int, Answer] = {}
    for answer in sorted(answers, key=_position):
        by_person.pop(answer["account_id"], None)
        by_person[answer["account_id"]] = answer
    return [*by_person.values()]


def result_of(ask: Ask, heard: Heard, choice: str, outcome: str) -> dict[str, Any]:
    """Describe a decision as plain JSON, for people and DAGs.

    :param outcome: how it came about.
    """
    votes = latest(heard["answers"])
    return {
        "choice": choice,
        "number": ask.choices.number(choice),
        "outcome": outcome,
        "who": [vote for vote in votes if vote["choice"] == choice],
        "votes": votes,
        "message_id": ask.message_id,
        "link": ask.link,
        "possible_loss": heard["possible_loss"],
    }


def describe(ask: Ask, heard: Heard) -> str:
    """Say who chose what so far, without names, as that is for logs."""
    votes = latest(heard["answers"])
    said = []
    for option in ask.options:
        by = [str(vote["account_id"]) for vote in votes if vote["choice"] == option]
        if by:
            said.append(f"{option!r} by {', '.join(by)}")
    silent = [str(account_id) for account_id in ask.approvers if all(v["account_id"] != account_id for v in votes)]
    if silent:
        said.append(f"no answer from {', '.join(silent)}")
    return "; ".join(said)


def is_worth_keeping(kept: Heard, heard: Heard) -> bool:
    """Whether what was heard is more than what is kept where a restart does not reach it."""

    def essence(known: Heard) -> tuple[object, object]:
        chosen = {answer["account_id"]: (answer["message_id"], answer["choice"]) for answer in latest(known["answers"])}
        return chosen, (known["hint"], known["taken_back"])

    return essence(kept) != essence(heard)


def _answers_on(
    page: Sequence[models.Message], ask: Ask, known: Heard, latest_time: float
) -> tuple[list[Answer], dict[int, models.Message]]:
    """What approvers answered up to a Unix time, and the messages with which approvers ended that are no answers."""
    approvers = tuple(account_id for account_id in ask.approvers if account_id != ask.account_id)
    replies: dict[str, models.Message] = {}
    for message_id in {ask.message_id, known["hint"], *known["taken_back"].values()} - {None, NO_HINT}:
        wanted = Wanted(ask.room_id, ask.message_id, from_account_ids=approvers, reply_to=message_id)
        replies.update((message["message_id"], message) for message in wanted.candidates(page))
    names = {ask.account_id: ask.account_name, **names_on(page)}
    in_time = {answer["message_id"]: answer for answer in known["answers"]}
    answers: list[Answer] = []
    unclear: dict[int, models.Message] = {}
    for message in sorted(replies.values(), key=position):
        if message["send_time"] > latest_time:
            continue
        account_id = message["account"]["account_id"]
        unclear.pop(account_id, None)
        is_edited_late = message.get("update_time", 0) > latest_time
        if is_edited_late and message["message_id"] in in_time:
            answers.append(in_time[message["message_id"]])
            continue
        choice, words = ask.choices.read(own_text(message["body"], names))
        # What it said in time, nobody knows any more.
        if choice is None or is_edited_late:
            unclear[account_id] = message
            continue
        answers.append(
            {
                "account_id": account_id,
                "name": message["account"].get("name", ""),
                "choice": choice,
                "number": ask.choices.number(choice),
                "words": words,
                "message_id": message["message_id"],
                "send_time": message["send_time"],
                "update_time": message.get("update_time", 0),
            }
        )
    return answers, unclear


def _standing(
    answers: Sequence[Answer], unclear: Mapping[int, models.Message], known: Heard, remarks: list[str]
) -> list[Answer]:
    """The answers that were not taken back; who did take one back is noted."""
    counted = {answer["account_id"] for answer in known["answers"]}
    for account_id in sorted({answer["account_id"] for answer in answers}):
        key = str(account_id)
        if account_id not in unclear:
            if known["taken_back"].get(key, NO_HINT) is None:
                # They have answered anew before they were told to.
                del known["taken_back"][key]
            continue
        if account_id in counted or key not in known["taken_back"]:
            remarks.append(
                f"the answer of {account_id} no longer counts: the message {unclear[account_id]['message_id']}, which "
                "came after it, could not be read as an answer"
            )
        known["taken_back"].setdefault(key, None)
    return [answer for answer in answers if answer["account_id"] not in unclear]


def _remembered(answers: Sequence[Answer], page: Sequence[models.Message]) -> list[Answer]:
    """The answers that lie behind the page. All others are as the page shows them: edited, deleted, or as they were."""
    first = position(page[0]) if page else None
    return latest([answer for answer in answers if first is None or _position(answer) < first])


def _hint_on(page: Sequence[models.Message], ask: Ask) -> str | None:
    """The hint that was given before, by a triggerer that did not live to say so or by a call without an answer."""
    for message in page:
        ours = message["account"]["account_id"] == ask.account_id and message["message_id"] != ask.message_id
        if ours and message["body"].replace("\r\n", "\n").rstrip().endswith(ask.help):
            return message["message_id"]
    return None


def _notices_on(page: Sequence[models.Message], ask: Ask, told: Mapping[str, str | None]) -> dict[str, str | None]:
    """Those whom nobody remembers to have told that their answer no longer counts, with the messages that did."""
    found: dict[str, str | None] = {}
    for message in page:
        body = message["body"].replace("\r\n", "\n").rstrip()
        if message["account"]["account_id"] == ask.account_id and body.endswith(ask.notice):
            addressee = _ADDRESSEE.match(body)
            if addressee and told.get(addressee[1]) is None:
                found.setdefault(addressee[1], message["message_id"])
    return found


def _untold(known: Heard, unclear: Mapping[int, models.Message]) -> list[models.Message]:
    """The messages whose authors have to be helped."""
    lost = [message for account_id, message in unclear.items() if known["taken_back"].get(str(account_id), "") is None]
    return lost or ([*unclear.values()][:1] if known["hint"] is None else [])


def _help(
    ask: Ask, known: Heard, unclear: Mapping[int, models.Message], remarks: list[str]
) -> Generator[Call[Any], Any, None]:
    for message in _untold(known, unclear):
        key = str(message["account"]["account_id"])
        is_lost = known["taken_back"].get(key, NO_HINT) is None
        posted = yield from _reply_to(ask, message, ask.notice if is_lost else ask.help, remarks)
        if is_lost:
            known["taken_back"][key] = posted
        if known["hint"] is None:
            # To tell one person how to answer tells all.
            known["hint"] = posted
        if posted is None:
            return


def _reply_to(
    ask: Ask, message: models.Message, text: str, remarks: list[str]
) -> Generator[Call[Any], Any, str | None]:
    author = message["account"]
    name = person(author.get("name", ""), ask.lang)
    body = f"{reply(author['account_id'], ask.room_id, message['message_id'], name)}\n{text}"
    try:
        return (yield post_message(ask.room_id, body))["message_id"]  # type: ignore[no-any-return]
    except ChatworkError as error:
        remarks.append(f"the hint how to answer the question {ask.message_id} could not be posted. {error}")
        # What passes is tried again at the next look, which also finds it if it was posted after all.
        return NO_HINT if isinstance(error, ChatworkApiError) and not is_passing(error) else None


def _position(answer: Answer) -> tuple[int, int]:
    return answer["send_time"], int(answer["message_id"])
