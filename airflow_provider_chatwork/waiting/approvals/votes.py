"""Who answered a question how: what a page of the room shows, together with what was heard before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.message_text import Names, names_on, reply_texts
from airflow_provider_chatwork.waiting.approvals.options import Answer, Verdict, clipped, tally
from airflow_provider_chatwork.waiting.message_filter import Wanted, position

if TYPE_CHECKING:
    from airflow_provider_chatwork.waiting.approvals.poll import Ask, Heard

# Chatwork's clock says when something was sent, ours when the time is over. Whoever answers in the last seconds must
# not lose by their difference, and nobody decides by answering a day late. In seconds.
_SKEW = 60.0


@dataclass(frozen=True, slots=True)
class _Said:
    """What somebody said in answer to the question.

    :param answer: what it means; ``None`` where that cannot be told.
    :param moment: the Unix time at which it came to say so.
    """

    message: models.Message
    answer: Answer | None
    moment: int


def hear(
    ask: Ask,
    page: Sequence[models.Message],
    heard: Heard,
    answered: Collection[str],
    deadline: float,
) -> tuple[list[Answer], dict[int, models.Message]]:
    """Hear the answers of those who can decide.

    The latest word of each counts. Where that cannot be read, they have no answer, whatever they said before; and
    neither do they where it cannot be told which word is the latest, as they edited an earlier message after it. Who
    has lost an answer so has none until they answer anew, whatever becomes of the message because of which.

    :param page: messages, oldest first.
    :param heard: of the look before, for what is behind the page and what was edited when it was too late.
    :param answered: the messages to which an answer is a reply.
    :param deadline: the Unix time up to which people can answer.
    :return: their answers, oldest first for each, and, for those who have none any more, the message because of which.
    """
    latest_time = deadline + _SKEW
    first = position(page[0]) if page else None
    # All others are as the page shows them: edited, deleted, or as they were.
    behind = [answer for answer in heard["answers"] if first is None or _position(answer) < first]
    people = present(ask, heard)
    remembered = [answer for answer in latest(behind) if answer["account_id"] in people and _is_new(answer, heard)]
    said: dict[int, list[_Said]] = {}
    names = _names(ask, page)
    in_time = {answer["message_id"]: answer for answer in heard["answers"]}
    for message in _replies(ask, page, people, answered):
        if message["send_time"] <= latest_time:
            heard_in_time = in_time.get(message["message_id"])
            one = _read(ask, message, answered, names, heard_in_time, latest_time)
            said.setdefault(message["account"]["account_id"], []).append(one)
    unclear: dict[int, models.Message] = {}
    for account_id, ones in said.items():
        touched = max(ones, key=lambda one: (one.moment, position(one.message)))
        if _meaning(touched) != _meaning(ones[-1]):
            unclear[account_id] = touched.message
        elif ones[-1].answer is None:
            unclear[account_id] = ones[-1].message
    found = (one.answer for ones in said.values() for one in ones if one.answer is not None)
    new = (answer for answer in found if _is_new(answer, heard))
    return [*remembered, *new], dict(sorted(unclear.items(), key=lambda item: position(item[1])))


def present(ask: Ask, heard: Heard) -> list[int]:
    """Those of the approvers who can answer, as far as is known."""
    return [one for one in ask.approvers if one != ask.account_id and one not in heard["absent"]]


def moment_of(message: models.Message) -> list[int]:
    """When a message came to say what it says, as a Unix time, and its id."""
    return [max(message["send_time"], message.get("update_time", 0)), int(message["message_id"])]


def judge(ask: Ask, heard: Heard) -> Verdict:
    """What follows from what was heard."""
    return tally(
        heard["answers"],
        options=ask.options,
        rejecting=ask.rejecting,
        approvers=present(ask, heard),
        needed=ask.needed,
    )


def latest(answers: Iterable[Answer]) -> list[Answer]:
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
    others = [one for one in ask.approvers if all(vote["account_id"] != one for vote in votes)]
    silent = [str(one) for one in others if one not in heard["absent"]]
    if silent:
        said.append(f"no answer from {', '.join(silent)}")
    gone = [str(one) for one in others if one in heard["absent"]]
    if gone:
        said.append(f"no longer in the room, or only to read: {', '.join(gone)}")
    return "; ".join(said)


def _replies(
    ask: Ask, page: Sequence[models.Message], people: Sequence[int], answered: Collection[str]
) -> list[models.Message]:
    found: dict[str, models.Message] = {}
    # Nobody in particular would be everybody.
    for message_id in answered if people else ():
        wanted = Wanted(ask.room_id, ask.message_id, from_account_ids=tuple(people), reply_to=message_id)
        found.update((message["message_id"], message) for message in wanted.candidates(page))
    return sorted(found.values(), key=position)


def _read(
    ask: Ask,
    message: models.Message,
    answered: Collection[str],
    names: Names,
    heard_in_time: Answer | None,
    latest_time: float,
) -> _Said:
    sent, updated = message["send_time"], message.get("update_time", 0)
    if updated > latest_time:
        # What it said in time, nobody knows any more, unless it was heard.
        moment = sent if heard_in_time is None else max(sent, heard_in_time["update_time"])
        return _Said(message, heard_in_time, moment)
    texts = [text for to in answered for text in reply_texts(message["body"], ask.room_id, to, names, strictly=True)]
    read = [ask.choices.read(text) for text in texts]
    choices = {choice for choice, _ in read}
    choice = choices.pop() if len(choices) == 1 else None
    answer: Answer | None = None
    if choice is not None:
        answer = {
            "account_id": message["account"]["account_id"],
            "name": message["account"].get("name", ""),
            "choice": choice,
            "number": ask.choices.number(choice),
            "words": clipped("\n".join(words for _, words in read if words), len(ask.approvers)),
            "message_id": message["message_id"],
            "send_time": sent,
            "update_time": updated,
        }
    return _Said(message, answer, max(sent, updated))


def _names(ask: Ask, page: Sequence[models.Message]) -> Names:
    names: dict[int, tuple[str, ...]] = {account_id: (name,) for account_id, name in names_on(page).items()}
    # The account may have been renamed since it asked, and people may have answered before as well as after that.
    names[ask.account_id] = (*names.get(ask.account_id, ()), ask.account_name)
    return names


def _is_new(answer: Answer, heard: Heard) -> bool:
    """Whether an answer was given, or edited, after what took an earlier one of that person back."""
    moment = heard.get("taken_back_at", {}).get(str(answer["account_id"]))
    said = max(answer["send_time"], answer["update_time"]), int(answer["message_id"])
    return moment is None or said > (moment[0], moment[1])


def _meaning(said: _Said) -> str | None:
    return said.answer and said.answer["choice"]


def _position(answer: Answer) -> tuple[int, int]:
    return answer["send_time"], int(answer["message_id"])
