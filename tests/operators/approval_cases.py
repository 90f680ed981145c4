"""Cases: what approvers do after the question, and how the wait ends, the same in the worker and in the triggerer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_chatwork.links import PLACE_KEY
from tests.operators.approval_scenarios import (
    BOT,
    ROOM,
    THREE,
    Event,
    Result,
    Scenario,
)


@dataclass
class Case:
    """Events and the expected end of the wait.

    :param voters: who decided, in the order of their votes.
    :param votes: who voted, in the same order; the voters if not given.
    :param error: a part of the error.
    :param hints: the number of hints that are posted.
    """

    outcome: str
    events: Sequence[Event] = ()
    choice: str | None = None
    voters: Sequence[int] = ()
    votes: Sequence[int] | None = None
    error: str = ""
    cause: str | None = None
    hints: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)


def decided(choice: str, voters: Sequence[int], *events: Event, **arguments: Any) -> Case:
    return _case("decided", events, arguments, choice=choice, voters=voters)


def fails(error: str, *events: Event, **arguments: Any) -> Case:
    return _case("failed for good", events, arguments, error=error)


def times_out(error: str, *events: Event, **arguments: Any) -> Case:
    return _case("timed out", events, arguments, error=error)


def _case(outcome: str, events: Sequence[Event], arguments: dict[str, Any], **expected: Any) -> Case:
    expected |= {name: arguments.pop(name) for name in ("votes", "hints", "cause") if name in arguments}
    return Case(outcome, events, arguments=arguments, **expected)


def replies(at: float, person: int, text: str) -> Event:
    return at, lambda s: s.reply(person, text)


def replies_to_last_hint(at: float, person: int, text: str) -> Event:
    return at, lambda s: s.reply(person, text, to=s.own_messages[-1]["message_id"])


def replies_again(at: float, person: int, text: str) -> Event:
    """Another reply; ``edits`` and ``deletes`` still mean the one before."""
    return at, lambda s: s.sandbox.reply(ROOM, person, s.question, text)


def speaks(at: float, person: int, text: str) -> Event:
    """Post a text with ``RP``, a reply tag to the question, and ``OTHER``, one to another message."""

    def act(s: Scenario) -> None:
        other = s.sandbox.messages(ROOM)[0]["message_id"]
        tags = {"RP": f"[rp aid={BOT} to={ROOM}-{s.question}]", "OTHER": f"[rp aid={BOT} to={ROOM}-{other}]"}
        s.sandbox.post_message(ROOM, person, text.replace("RP", tags["RP"]).replace("OTHER", tags["OTHER"]))

    return at, act


def edits(at: float, person: int, text: str) -> Event:
    return at, lambda s: s.edit(person, text)


def deletes(at: float, person: int) -> Event:
    return at, lambda s: s.delete_reply(person)


def deletes_question(at: float) -> Event:
    return at, lambda s: s.sandbox.delete_message(ROOM, s.own_messages[0]["message_id"])


def chat(at: float, count: int) -> Event:
    return at, lambda s: s.post_chat(count)


def leaves(at: float, person: int) -> Event:
    return at, lambda s: s.sandbox.remove_member(ROOM, person)


def breaks(at: float, **fault: Any) -> Event:
    return at, lambda s: s.break_down(**fault)


def recovers(at: float) -> Event:
    return at, lambda s: s.sandbox.clear_faults()


def busy(begin: float, minutes: int = 4) -> list[Event]:
    """More messages than Chatwork returns, but never so many at once that one could be missed."""
    return [chat(begin + 60 * minute, 40) for minute in range(minutes)]


BUSY = busy(150)
TWO_OF_THREE = {"approvers": THREE, "complete_when": 2}
NO_POSTS = {"operation": "post_message", "status": 503, "executed": False}


def check(case: Case, mode: str, scenario: Scenario) -> None:
    """Run a case, and compare the end of the wait, the hints in the room, and the result."""
    result = scenario.run(mode, case.events, **case.arguments)
    assert (result.outcome, result.cause) == (case.outcome, case.cause), result.error
    assert case.error in result.error
    assert sum(message["body"].endswith(scenario.question) for message in scenario.own_messages) == case.hints
    if case.outcome == "decided":
        _check_result(case, result, scenario)


def _check_result(case: Case, result: Result, scenario: Scenario) -> None:
    options = [*case.arguments.get("options", {"承認": True, "却下": False})]
    messages = {message["message_id"]: message for message in scenario.sandbox.messages(ROOM)}
    votes = result.value.pop("votes")
    decided_by = result.value.pop("decided_by")
    assert result.value == {
        "choice": case.choice,
        "number": options.index(str(case.choice)) + 1,
        "outcome": "answered" if case.voters else "timeout_default",
        "message_id": scenario.question,
        "link": f"{scenario.sandbox.address}/#!rid{ROOM}-{scenario.question}",
        "possible_loss": False,
    }
    assert [vote["account_id"] for vote in decided_by] == [*case.voters]
    assert [vote["account_id"] for vote in votes] == [*(case.voters if case.votes is None else case.votes)]
    assert [vote for vote in votes if vote["choice"] == case.choice] == decided_by
    for vote in votes:
        message = messages[vote["message_id"]]
        assert (vote["account_id"], vote["name"]) == (message["account"]["account_id"], message["account"]["name"])
        assert (vote["send_time"], vote["update_time"]) == (message["send_time"], message["update_time"])
        assert vote["number"] == options.index(vote["choice"]) + 1
    assert result.xcoms[PLACE_KEY]["message_id"] == scenario.question
