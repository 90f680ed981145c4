"""Asking people in a room and hearing their answers: one set of rules for the worker and the triggerer.

What counts is a reply to the question, or to the hint that helps with it, by an approver. All that is known lies in
the room, except for what was heard in time and is by now behind the newest 100 messages: that is :class:`Heard`, plain
JSON that goes with the wait.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
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
from airflow_provider_chatwork.api.question import hint_text, person
from airflow_provider_chatwork.api.retry import is_passing
from airflow_provider_chatwork.api.task_wait import tasks_needed

#: What stands for the hint where Chatwork refused to take it: there will be none.
NO_HINT = ""


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


class Heard(TypedDict):
    """What was heard so far. ``hint`` is the message that helps with the answers, ``None`` before there is one.

    ``seen`` is the position of the newest message of the last look; ``possible_loss`` says that so many messages came
    between two looks that an answer may have gone by unseen.
    """

    answers: list[Answer]
    hint: str | None
    seen: list[int] | None
    possible_loss: bool


@dataclass(frozen=True)
class Look:
    """What a look at the room showed.

    :param outcome: of the :class:`~airflow_provider_chatwork.api.answers.Verdict`, or ``withdrawn``: somebody has
        deleted the question.
    :param choice: what was decided for.
    :param remarks: what the log should say.
    """

    heard: Heard
    outcome: Literal["open", "decided", "split", "withdrawn"]
    choice: str | None = None
    remarks: list[str] = field(default_factory=list)


def nothing_heard() -> Heard:
    """What was heard before the first look."""
    return {"answers": [], "hint": None, "seen": None, "possible_loss": False}


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


def listen(ask: Ask, page: Sequence[models.Message], heard: Heard) -> Generator[Call[Any], Any, Look]:
    """Hear what was answered, and help once where nobody could tell what somebody meant. Yields the calls to run.

    :param page: the newest messages of the room, oldest first.
    :param heard: of the look before; it is left as it is.
    """
    known: Heard = {**heard}
    if heard["hint"] is None:
        known["hint"] = _hint_on(page, ask)
    remarks: list[str] = []
    if may_have_lost(page, ask.message_id, None if heard["seen"] is None else (heard["seen"][0], heard["seen"][1])):
        known["possible_loss"] = True
        remarks.append(
            f"so many messages came to room {ask.room_id} since the last look that an answer to the question "
            f"{ask.message_id} may have gone by unseen; whoever gave one can give it again"
        )
    if page:
        known["seen"] = [*position(page[-1])]
    answers, unclear = _answers_on(page, ask, known["hint"])
    known["answers"] = [*_remembered(heard["answers"], page), *answers]
    if any(message["message_id"] == ask.message_id and is_deleted(message["body"]) for message in page):
        return Look(known, "withdrawn", None, remarks)
    verdict = judge(ask, known)
    if verdict.outcome == "open" and known["hint"] is None and unclear is not None:
        known["hint"] = yield from _help(ask, unclear, remarks)
    return Look(known, verdict.outcome, verdict.choice, remarks)


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
        return chosen, known["hint"]

    return essence(kept) != essence(heard)


def _answers_on(
    page: Sequence[models.Message], ask: Ask, hint: str | None
) -> tuple[list[Answer], models.Message | None]:
    """What approvers answered, and the first message with which an approver ended that is no answer."""
    approvers = tuple(account_id for account_id in ask.approvers if account_id != ask.account_id)
    replies: dict[str, models.Message] = {}
    for message_id in filter(None, (ask.message_id, hint)):
        wanted = Wanted(ask.room_id, ask.message_id, from_account_ids=approvers, reply_to=message_id)
        replies.update((message["message_id"], message) for message in wanted.candidates(page))
    names = {ask.account_id: ask.account_name, **names_on(page)}
    answers: list[Answer] = []
    unclear: dict[int, models.Message] = {}
    for message in sorted(replies.values(), key=position):
        account_id = message["account"]["account_id"]
        unclear.pop(account_id, None)
        choice, words = ask.choices.read(own_text(message["body"], names))
        if choice is None:
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
    return answers, next(iter(unclear.values()), None)


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


def _help(ask: Ask, unclear: models.Message, remarks: list[str]) -> Generator[Call[Any], Any, str | None]:
    author = unclear["account"]
    name = person(author.get("name", ""), ask.lang)
    body = f"{reply(author['account_id'], ask.room_id, unclear['message_id'], name)}\n{ask.help}"
    try:
        return (yield post_message(ask.room_id, body))["message_id"]  # type: ignore[no-any-return]
    except ChatworkError as error:
        remarks.append(f"the hint how to answer the question {ask.message_id} could not be posted. {error}")
        # What passes is tried again at the next look, which also finds it if it was posted after all.
        return NO_HINT if isinstance(error, ChatworkApiError) and not is_passing(error) else None


def _position(answer: Answer) -> tuple[int, int]:
    return answer["send_time"], int(answer["message_id"])
