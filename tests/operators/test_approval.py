from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseOperator,
    TaskDeferred,
)

from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.errors import ChatworkParameterError, ChatworkUnexpectedResponseError
from airflow_provider_chatwork.links import PLACE_KEY
from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.utils.task_failures import TRIGGER_TIMEOUT_GRACE
from tests.airflow_helpers import FakeStore, FakeTaskInstance, connect, context, new_dag, render
from tests.operators.answering import MODES, ROOM, End, Happening, Office

SATO, YAMADA, TAKAHASHI, BOT = company.SATO, company.YAMADA, company.TAKAHASHI, company.BOT
THREE = [SATO, YAMADA, TAKAHASHI]


@dataclass
class Scenario:
    """What people do after the question, and how the wait ends: the same in both modes.

    ``who`` are those by whom it was decided, and ``votes`` those who have answered, in that order.
    """

    how: str
    happenings: Sequence[Happening] = ()
    choice: str | None = None
    who: Sequence[int] = ()
    votes: Sequence[int] | None = None
    said: str = ""
    cause: str | None = None
    hints: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)


def says(at: float, person: int, text: str) -> Happening:
    return at, lambda office: office.reply(person, text)


def does(at: float, act: Any) -> Happening:
    return at, act


def decided(choice: str, who: Sequence[int], *happenings: Happening, **more: Any) -> Scenario:
    known = {name: more.pop(name) for name in ("votes", "hints") if name in more}
    return Scenario("decided", happenings, choice, who, arguments=more, **known)


def fails(said: str, *happenings: Happening, **more: Any) -> Scenario:
    known = {name: more.pop(name) for name in ("cause", "hints") if name in more}
    return Scenario("failed for good", happenings, said=said, arguments=more, **known)


def times_out(said: str, *happenings: Happening, **more: Any) -> Scenario:
    hints = more.pop("hints", 0)
    return Scenario("timed out", happenings, said=said, hints=hints, arguments=more)


def break_down(**fault: Any) -> Any:
    return lambda office: office.sandbox.add_fault(Fault(**{"kind": "status", "times": None, **fault}))


def recover(office: Office) -> None:
    office.sandbox.clear_faults()


UPLOAD = "[info][title][dtext:file_uploaded][/title][preview id=1 ht=100][download:1]a.png (1 KB)[/download][/info]"
# More messages than Chatwork shows, and never so many at once that one of them could be missed.
BUSY = [does(150 + 60 * minute, lambda office: office.chat(40)) for minute in range(4)]


def as_default(**more: Any) -> dict[str, Any]:
    return {"on_timeout": "却下", **more}


SCENARIOS = {
    "approved": decided("承認", [SATO], says(30, SATO, "承認")),
    "rejected": decided("却下", [SATO], says(30, SATO, "却下")),
    "by number": decided("却下", [SATO], says(90, SATO, "２。\n数字が合いません")),
    "by any of three": decided("承認", [TAKAHASHI], says(90, TAKAHASHI, "承認"), approvers=THREE),
    "the first of two": decided(
        "却下", [YAMADA], says(70, YAMADA, "却下"), says(75, SATO, "承認"), approvers=THREE, votes=[YAMADA, SATO]
    ),
    "two of three": decided(
        "承認", [SATO, TAKAHASHI], says(90, SATO, "承認"), says(500, TAKAHASHI, "1"), approvers=THREE, complete_when=2
    ),
    "two of three as text": decided(
        "承認",
        [SATO, TAKAHASHI],
        says(90, SATO, "承認"),
        says(500, TAKAHASHI, "1"),
        approvers=",".join(map(str, THREE)),
        complete_when="2",
    ),
    "two of three against one": decided(
        "承認",
        [YAMADA, SATO],
        says(90, TAKAHASHI, "却下"),
        says(200, YAMADA, "承認"),
        says(300, SATO, "承認"),
        approvers=THREE,
        complete_when=2,
        votes=[TAKAHASHI, YAMADA, SATO],
    ),
    "all of three": decided(
        "承認",
        THREE,
        *(says(100 * number, person, "承認") for number, person in enumerate(THREE, 1)),
        approvers=THREE,
        complete_when="all",
    ),
    "one dissent among all": decided(
        "却下",
        [YAMADA],
        says(90, SATO, "承認"),
        says(200, YAMADA, "却下"),
        approvers=THREE,
        complete_when="all",
        votes=[SATO, YAMADA],
    ),
    "another mind": decided(
        "承認",
        [YAMADA, SATO],
        says(90, SATO, "却下"),
        says(200, YAMADA, "承認"),
        says(300, SATO, "承認"),
        approvers=THREE,
        complete_when=2,
    ),
    "edited answer": decided(
        "承認",
        [SATO, YAMADA],
        says(90, SATO, "却下"),
        does(200, lambda office: office.edit(SATO, "承認")),
        says(300, YAMADA, "承認"),
        approvers=THREE,
        complete_when=2,
    ),
    "deleted answer": decided(
        "却下",
        [YAMADA, TAKAHASHI],
        says(90, SATO, "却下"),
        does(200, lambda office: office.sandbox.delete_message(ROOM, office.said[SATO])),
        says(300, YAMADA, "却下"),
        says(500, TAKAHASHI, "却下"),
        approvers=THREE,
        complete_when=2,
    ),
    "negated": decided("却下", [SATO], says(90, SATO, "承認しません"), says(300, SATO, "却下"), hints=1),
    "negated on the next lines": times_out("no answer", says(90, SATO, "まだです\n承認"), hints=1),
    "hint only once": decided(
        "承認",
        [SATO],
        says(90, SATO, "承認できません"),
        says(300, SATO, "うーん"),
        says(600, SATO, "承認"),
        approvers=THREE,
        hints=1,
    ),
    "a hint for each": decided(
        "承認",
        [SATO, YAMADA],
        says(90, SATO, "よさそうです"),
        says(300, YAMADA, "どれどれ"),
        says(400, YAMADA, "ふむふむ"),
        says(600, SATO, "承認"),
        says(700, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
        hints=2,
    ),
    "politely": decided(
        "承認",
        [SATO, YAMADA],
        says(90, SATO, "承認します。"),
        says(99, YAMADA, "1です"),
        approvers=THREE,
        complete_when=2,
    ),
    "answer to the hint": decided(
        "承認",
        [SATO],
        says(90, SATO, "よさそうです"),
        does(300, lambda office: office.reply(SATO, "承認", to=office.own[-1]["message_id"])),
        hints=1,
    ),
    "unclear answer that was edited": decided(
        "承認", [SATO], says(90, SATO, "OKです"), does(300, lambda office: office.edit(SATO, "承認")), hints=1
    ),
    "unclear and cleared up before the look": decided(
        "承認",
        [SATO, YAMADA],
        says(61, SATO, "ＯＫ"),
        says(62, SATO, "承認"),
        says(300, YAMADA, "承認"),
        approvers=THREE,
        complete_when=2,
    ),
    "with a quote and another mention": decided(
        "承認",
        [SATO],
        does(
            90,
            lambda office: office.sandbox.post_message(
                ROOM,
                SATO,
                f"[rp aid={BOT} to={ROOM}-{office.question}]データ連携ボットさん\n[To:{YAMADA}]山田 太郎さん\n"
                f"[qt][qtmeta aid={BOT} time=1]却下[/qt]\n承認\nよろしくお願いします",
            ),
        ),
    ),
    "on the line of the tag": decided(
        "承認",
        [SATO],
        does(
            90,
            lambda office: office.sandbox.post_message(
                ROOM, SATO, f"[rp aid={BOT} to={ROOM}-{office.question}] データ連携ボットさん 承認"
            ),
        ),
    ),
    "with another question in one message": decided(
        "却下",
        [SATO],
        does(
            90,
            lambda office: office.sandbox.post_message(
                ROOM,
                SATO,
                f"[rp aid={BOT} to={ROOM}-{office.sandbox.messages(ROOM)[0]['message_id']}]ボットさん\n承認\n\n"
                f"[rp aid={BOT} to={ROOM}-{office.question}]データ連携ボットさん\n却下",
            ),
        ),
    ),
    "with a file": decided("却下", [SATO], says(90, SATO, f"却下\n数字が違います。\n{UPLOAD}")),
    "withdrawn with a file": times_out(
        f"no answer from {SATO}",
        says(70, SATO, "承認"),
        says(90, SATO, f"取り消します。\n{UPLOAD}"),
        says(300, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
        hints=1,
    ),
    "negated on the line of the tag": times_out(
        "no answer",
        does(
            90,
            lambda office: office.sandbox.post_message(
                ROOM, SATO, f"[rp aid={BOT} to={ROOM}-{office.question}] データ連携ボットさん まだです\n承認"
            ),
        ),
        hints=1,
    ),
    "a doubt on the line of the tag that ends like a name": times_out(
        "no answer",
        does(
            90,
            lambda office: office.sandbox.post_message(
                ROOM, SATO, f"[rp aid={BOT} to={ROOM}-{office.question}]まだ承認しないでください鈴木さん\n承認"
            ),
        ),
        hints=1,
    ),
    "answered to the name of before, and of now": decided(
        "承認",
        [SATO, YAMADA],
        says(30, SATO, "承認"),
        does(200, lambda office: setattr(office.sandbox.store.accounts[BOT], "name", "Robot")),
        does(210, lambda office: office.sandbox.post_message(ROOM, BOT, "改名しました")),
        says(400, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
    ),
    "a stranger": times_out(f"no answer from {SATO}", says(90, YAMADA, "承認")),
    "a mention": times_out(
        "no answer",
        does(90, lambda office: office.sandbox.post_message(ROOM, SATO, f"[To:{BOT}]データ連携ボットさん\n承認")),
    ),
    "a bare message": times_out("no answer", does(90, lambda office: office.sandbox.post_message(ROOM, SATO, "承認"))),
    "a reply to something else": times_out(
        "no answer",
        does(90, lambda office: office.reply(SATO, "承認", to=office.sandbox.messages(ROOM)[0]["message_id"])),
    ),
    "the own account": times_out("no answer", says(90, BOT, "承認"), approvers=[BOT, SATO]),
    "split": fails(
        f"split: '甲' by {SATO}; '乙' by {YAMADA}",
        says(90, SATO, "甲"),
        says(200, YAMADA, "乙"),
        options={"甲": True, "乙": True},
        approvers=[SATO, YAMADA],
        complete_when="all",
    ),
    "busy room": decided(
        "承認",
        [SATO, YAMADA],
        says(30, SATO, "承認\n先に見ました"),
        *(does(150 + 60 * minute, lambda office: office.chat(40)) for minute in range(5)),
        says(900, YAMADA, "承認"),
        approvers=THREE,
        complete_when=2,
    ),
    "question deleted": fails(
        "was deleted",
        does(90, lambda office: office.sandbox.delete_message(ROOM, office.question)),
        says(300, SATO, "承認"),
    ),
    "question deleted in a busy room": fails(
        "was deleted", *BUSY, does(600, lambda office: office.sandbox.delete_message(ROOM, office.own[0]["message_id"]))
    ),
    "edited in a busy room": decided(
        "却下",
        [SATO],
        says(30, SATO, "承認"),
        *BUSY,
        does(600, lambda office: office.edit(SATO, "却下")),
        says(700, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
        votes=[SATO, YAMADA],
    ),
    "deleted in a busy room": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        says(30, SATO, "承認"),
        *BUSY,
        does(600, lambda office: office.sandbox.delete_message(ROOM, office.said[SATO])),
        says(700, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
    ),
    "not to be made sure of for a while": decided(
        "承認",
        [SATO, YAMADA],
        says(30, SATO, "承認"),
        *BUSY,
        does(600, break_down(operation="get_message", status=503)),
        says(700, YAMADA, "承認"),
        does(1500, recover),
        approvers=THREE[:2],
        complete_when="all",
    ),
    "not to be made sure of": times_out(
        "could not be looked at",
        says(30, SATO, "承認"),
        *BUSY,
        does(600, break_down(operation="get_message", status=503)),
        says(700, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
        on_timeout="却下",
    ),
    "an earlier message edited last": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        says(70, SATO, "却下"),
        does(80, lambda office: office.sandbox.reply(ROOM, SATO, office.question, "承認")),
        does(200, lambda office: office.edit(SATO, "却下\nやはり却下です")),
        says(300, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
        hints=1,
    ),
    "an earlier message edited last, and by now behind the page": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        says(70, SATO, "却下"),
        does(80, lambda office: office.sandbox.reply(ROOM, SATO, office.question, "承認")),
        does(200, lambda office: office.edit(SATO, "却下\nやはり却下です")),
        does(250, lambda office: office.chat(60)),
        does(330, lambda office: office.chat(38)),
        does(500, lambda office: office.reply(YAMADA, "承認", to=office.own[0]["message_id"])),
        approvers=THREE[:2],
        complete_when="all",
        hints=1,
    ),
    "withdrawn by a reply that is deleted": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        says(70, SATO, "承認"),
        says(150, SATO, "すみません、取り消します"),
        does(400, lambda office: office.sandbox.delete_message(ROOM, office.said[SATO])),
        says(500, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
        hints=1,
    ),
    "question not found once": decided(
        "承認",
        [SATO, YAMADA],
        says(30, SATO, "承認"),
        *BUSY,
        does(600, break_down(operation="get_message", status=404, times=1)),
        says(700, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
    ),
    "an approver leaves": fails(
        f"'承認' by {SATO}; no longer in the room, or only to read: {YAMADA}",
        says(30, SATO, "承認"),
        does(90, lambda office: office.sandbox.remove_member(ROOM, YAMADA)),
        approvers=THREE[:2],
        complete_when="all",
        timeout=86400,
    ),
    "an approver leaves in the last hour": fails(
        f"no longer in the room, or only to read: {SATO}",
        does(90, lambda office: office.sandbox.remove_member(ROOM, SATO)),
        timeout=600,
    ),
    "an approver leaves of whom there are enough": decided(
        "承認",
        [YAMADA, TAKAHASHI],
        says(30, SATO, "承認"),
        does(90, lambda office: office.sandbox.remove_member(ROOM, SATO)),
        says(4000, YAMADA, "承認"),
        says(4100, TAKAHASHI, "承認"),
        approvers=THREE,
        complete_when=2,
        timeout=86400,
    ),
    "an answer may have gone by, an option": times_out(
        "may have gone by unseen", says(90, SATO, "却下"), does(95, lambda office: office.chat(150)), on_timeout="承認"
    ),
    "timeout": times_out("No decision"),
    "timeout after some votes": times_out(
        f"'承認' by {SATO}; no answer from {YAMADA}", says(90, SATO, "承認"), approvers=THREE[:2], complete_when="all"
    ),
    "timeout, skip": Scenario("skipped", said="No decision", arguments={"on_timeout": "skip"}),
    "timeout, an option": decided("却下", [], **as_default()),
    "timeout, an option after a vote": decided(
        "却下", [], says(90, SATO, "承認"), votes=[SATO], **as_default(approvers=THREE, complete_when=2)
    ),
    "answered in the last minute": decided("承認", [SATO], says(3599, SATO, "承認")),
    "answered right away, no time": times_out("No decision", says(1, SATO, "承認"), timeout=0),
    "outage": decided("承認", [SATO], does(90, break_down(status=503)), does(700, recover), says(800, SATO, "承認")),
    "answered in an outage": decided(
        "承認", [SATO], does(90, break_down(kind="refuse")), says(300, SATO, "承認"), does(700, recover)
    ),
    "rate limit": decided(
        "承認", [SATO], does(90, break_down(status=429)), does(700, recover), says(800, SATO, "承認")
    ),
    "hint refused": decided(
        "承認",
        [SATO],
        does(70, break_down(operation="post_message", status=403)),
        says(90, SATO, "いいです"),
        does(400, recover),
        says(500, SATO, "承認"),
    ),
    "hint delayed": decided(
        "承認",
        [SATO],
        does(70, break_down(operation="post_message", status=503, executed=False)),
        says(90, SATO, "いいです"),
        does(400, recover),
        says(900, SATO, "承認"),
        hints=1,
    ),
    "unclear in the last minute": times_out("no answer", says(3590, SATO, "いいです")),
    "withdrawn": times_out(
        f"'承認' by {YAMADA}; no answer from {SATO}",
        says(30, YAMADA, "いいね"),
        says(90, SATO, "承認"),
        says(300, SATO, "すみません、先ほどの承認は取り消します"),
        says(600, YAMADA, "承認"),
        says(900, SATO, "まだです"),
        approvers=THREE[:2],
        complete_when="all",
        hints=2,
    ),
    "withdrawn and given anew": decided(
        "承認",
        [YAMADA, SATO],
        says(90, SATO, "承認"),
        says(300, SATO, "待ってください"),
        says(600, YAMADA, "承認"),
        does(900, lambda office: office.reply(SATO, "承認", to=office.own[-1]["message_id"])),
        approvers=THREE[:2],
        complete_when="all",
        hints=1,
    ),
    "withdrawn in a busy room": times_out(
        f"no answer from {SATO}",
        says(30, SATO, "承認"),
        *(does(150 + 60 * minute, lambda office: office.chat(40)) for minute in range(4)),
        says(450, SATO, "取り消します"),
        *(does(510 + 60 * minute, lambda office: office.chat(40)) for minute in range(4)),
        says(900, YAMADA, "承認"),
        approvers=THREE[:2],
        complete_when="all",
        hints=1,
    ),
    "withdrawn, told late": times_out(
        f"no answer from {SATO}",
        says(30, SATO, "承認"),
        *(does(150 + 60 * minute, lambda office: office.chat(40)) for minute in range(4)),
        does(440, break_down(operation="post_message", status=503, executed=False)),
        says(450, SATO, "取り消します"),
        does(900, recover),
        approvers=THREE[:2],
        complete_when="all",
        hints=1,
    ),
    "withdrawn, told with an unknown fate": times_out(
        f"no answer from {SATO}",
        does(70, break_down(kind="lost_reply", operation="post_message", times=1)),
        says(80, SATO, "承認"),
        says(90, SATO, "取り消します"),
        approvers=THREE[:2],
        complete_when="all",
        hints=1,
    ),
    "hint of unknown fate": decided(
        "承認",
        [SATO],
        does(70, break_down(kind="lost_reply", operation="post_message", times=1)),
        says(90, SATO, "いいです"),
        says(900, SATO, "承認"),
        hints=1,
    ),
    "outage over the end": decided(
        "承認", [SATO], does(3500, break_down(status=503)), says(3590, SATO, "承認"), does(3640, recover)
    ),
    "timeout in an outage": times_out("could not be looked at", does(90, break_down(status=503))),
    "timeout in an outage, skip": Scenario(
        "skipped", [does(90, break_down(status=503))], said="No decision", arguments={"on_timeout": "skip"}
    ),
    "timeout in an outage, an option": times_out(
        "could not be looked at", says(3000, SATO, "承認"), does(90, break_down(status=503)), **as_default()
    ),
    "lost room": fails(
        "", does(90, lambda office: office.sandbox.remove_member(ROOM, BOT)), cause="ChatworkForbiddenError"
    ),
    "revoked token": fails("", does(90, break_down(status=401)), cause="ChatworkAuthError"),
    "redirect": Scenario("failed", [does(90, break_down(status=302))], cause="ChatworkUnexpectedResponseError"),
    "rejected, fail_on_reject": Scenario(
        "failed for good",
        [says(90, SATO, "却下")],
        said=f"'却下' was decided for, by {SATO}",
        arguments={"fail_on_reject": True},
    ),
    "rejected by default, fail_on_reject": fails("by nobody in time", **as_default(fail_on_reject=True)),
    "approved, fail_on_reject": decided("承認", [SATO], says(90, SATO, "承認"), fail_on_reject=True),
}


class Nothing(BaseOperator):
    """Does nothing."""

    def execute(self, context: Any) -> None:
        return None


def nothing(task_id: str) -> Nothing:
    return Nothing(task_id=task_id)


@pytest.fixture
def office(sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> Office:
    office = Office(sandbox, monkeypatch)
    sandbox.add_member(ROOM, SATO)
    sandbox.add_member(ROOM, YAMADA)
    sandbox.add_member(ROOM, TAKAHASHI)
    return office


class TestEveryMode:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("name", SCENARIOS)
    def test_ends_alike(self, name: str, mode: str, office: Office) -> None:
        scenario = SCENARIOS[name]
        end = office.ask(mode, scenario.happenings, **scenario.arguments)
        assert (end.how, end.cause) == (scenario.how, scenario.cause), end.error
        assert scenario.said in end.error
        assert sum(message["body"].endswith(office.question) for message in office.own) == scenario.hints
        if scenario.how == "decided":
            self.check(scenario, end, office)

    def check(self, scenario: Scenario, end: End, office: Office) -> None:
        options = [*scenario.arguments.get("options", {"承認": True, "却下": False})]
        messages = {message["message_id"]: message for message in office.sandbox.messages(ROOM)}
        votes = end.result.pop("votes")
        who = end.result.pop("who")
        link = f"{office.sandbox.address}/#!rid{ROOM}-{office.question}"
        assert end.result == {
            "choice": scenario.choice,
            "number": options.index(str(scenario.choice)) + 1,
            "outcome": "answered" if scenario.who else "timeout_default",
            "message_id": office.question,
            "link": link,
            "possible_loss": False,
        }
        assert [vote["account_id"] for vote in who] == [*scenario.who]
        assert [vote["account_id"] for vote in votes] == [*(scenario.who if scenario.votes is None else scenario.votes)]
        assert [vote for vote in votes if vote["choice"] == scenario.choice] == who
        for vote in votes:
            message = messages[vote["message_id"]]
            assert (vote["account_id"], vote["name"]) == (message["account"]["account_id"], message["account"]["name"])
            assert (vote["send_time"], vote["update_time"]) == (message["send_time"], message["update_time"])
            assert vote["number"] == options.index(vote["choice"]) + 1
        assert end.xcoms[PLACE_KEY]["message_id"] == office.question


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Returns what was logged since: Airflow 3 writes the log of a task to the standard output."""
    caplog.set_level(logging.INFO)
    return lambda: capfd.readouterr().out or caplog.text


def ask(**arguments: Any) -> ChatworkApprovalOperator:
    """The operator, with no time for answers unless it is given some."""
    return ChatworkApprovalOperator(
        task_id="ask",
        **{
            "room_id": ROOM,
            "question": "公開してよいですか",
            "approvers": [SATO],
            "deferrable": False,
            "timeout": 0,
            "on_timeout": "却下",
            **arguments,
        },
    )


class TestTheQuestion:
    def text(self, office: Office, **arguments: Any) -> str:
        ask(**arguments).execute(context())
        [question] = office.own
        return str(question["body"])

    def test_says_who_is_asked_what_and_how_to_answer(self, office):
        assert self.text(office, approvers=THREE, complete_when=2, timeout=7200, **self.at_once(office)) == (
            f"[To:{SATO}] 佐藤 花子さん\n[To:{YAMADA}] 山田 太郎さん\n[To:{TAKAHASHI}] 高橋 美咲さん\n"
            "[info][title]回答のお願い[/title]公開してよいですか\n\n1. 承認\n2. 却下\n\n"
            "このメッセージに返信し、1 行目に選択肢か番号だけを書いてください。2 行目からはコメントを書けます。\n"
            "3 人のうち 2 人が同じ選択肢を選ぶと決まります。\n回答期限: この質問から 2 時間\n"
            "依頼元: Airflow report / tell / manual__1[/info]"
        )

    def at_once(self, office: Office) -> dict[str, Any]:
        office.happenings = [(30, lambda o: [o.reply(person, "承認") for person in THREE])]
        return {}

    def test_is_in_the_language_of_the_connection(self, office, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, lang="en")
        assert self.text(office, options={"Yes": True, "No": False}, on_timeout="No", timeout=60) == (
            f"[To:{SATO}] 佐藤 花子\n"
            "[info][title]Your answer is needed[/title]公開してよいですか\n\n1. Yes\n2. No\n\n"
            "Reply to this message. On the first line, write nothing but an option or its number; comments go below "
            "it.\nTime to answer: 1 min from now\nAsked by: Airflow report / tell / manual__1[/info]"
        )

    def test_calls_others_where_it_shall_and_tells_who_may_answer(self, office):
        text = self.text(office, to=[TAKAHASHI], approvers=[SATO, YAMADA])
        assert text.startswith(f"[To:{TAKAHASHI}] 高橋 美咲さん\n[info]")
        assert "\n回答できる人: 佐藤 花子、山田 太郎\nどなたか 1 人の回答で決まります。\n" in text

    @pytest.mark.parametrize("nobody", [[], (), "[]"])
    def test_calls_nobody_where_it_shall(self, nobody, office):
        text = self.text(office, to=nobody)
        assert text.startswith("[info]")
        assert "回答できる人: 佐藤 花子" in text

    @pytest.mark.parametrize("nothing", [None, "", "None"])
    def test_calls_the_approvers_where_nobody_is_named(self, nothing, office):
        assert self.text(office, to=nothing).startswith(f"[To:{SATO}]")

    def test_names_only_those_who_can_answer(self, office, log):
        office.sandbox.remove_member(ROOM, YAMADA)
        text = self.text(office, approvers=[SATO, YAMADA, BOT], to=[SATO, YAMADA])
        assert "山田" not in text
        assert "どなたか" not in text
        assert f"[{YAMADA}, {BOT}]" in log()

    def test_leaves_those_out_who_may_only_read(self, office, log):
        office.sandbox.add_member(ROOM, YAMADA, "readonly")
        assert "どなたか" not in self.text(office, approvers=[SATO, YAMADA])
        assert f"[{YAMADA}]" in log()

    def test_does_not_call_the_account_that_asks(self, office):
        text = self.text(office, approvers=[BOT, SATO])
        assert text.startswith(f"[To:{SATO}]")
        assert f"[To:{BOT}]" not in text

    def test_says_aloud_who_could_not_be_called(self, office, log):
        text = self.text(office, to=[TAKAHASHI, 999999])
        assert text.startswith(f"[To:{TAKAHASHI}]")
        assert "999999" not in text
        assert log().count("[999999]") == 1

    def test_is_another_for_every_task_instance(self, office):
        for more in ({}, {"run_id": "manual__2"}, {"map_index": 3}, {"task_id": "b"}, {"dag_id": "other"}):
            ask(fail_on_reject=True, on_timeout="承認").execute({"ti": FakeTaskInstance(**more)})
        bodies = [message["body"] for message in office.own]
        assert len({*bodies}) == len(bodies) == 5

    def test_of_another_run_is_not_taken_for_its_own(self, office, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, max_wait=60)
        asked = []
        for run_id in ("manual__1", "manual__2"):
            with pytest.raises(TaskDeferred) as deferred:
                ask(deferrable=True, timeout=600).execute({"ti": FakeTaskInstance(run_id=run_id)})
            asked.append(deferred.value.trigger.serialize()[1]["ask"]["message_id"])
            # The second is not posted at the first try, and looked for.
            office.sandbox.add_fault(Fault("status", operation="post_message", status=503, executed=False, times=1))
        assert asked == [message["message_id"] for message in office.own]
        assert len({*asked}) == 2

    def test_keeps_the_authors_notation_and_breaks_that_of_names_and_options(self, office):
        office.sandbox.store.accounts[SATO].name = "佐藤[toall]"
        text = self.text(office, question="[b]売上[hr]確認[/info]", options={"[toall]": True, "却下": False})
        assert "[b]売上[hr]確認[\u200b/info]" in text
        assert "1. [\u200btoall]" in text
        assert "佐藤[\u200btoall]さん" in text
        assert "[toall]" not in text


class TestBadArguments:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"options": {}}, "options="),
            ({"options": {"承認": 1}}, "options="),
            ({"options": {"承認": True, "承認。": False}}, "options="),
            ({"on_timeout": "承認する"}, "on_timeout="),
            ({"options": {"Skip": True}, "on_timeout": "skip"}, "on_timeout="),
            ({"options": {"{{ params.yes }}": True, "却下": False}}, "is a template"),
            ({"options": {"{% if a %}承認{% endif %}": True, "却下": False}}, "is a template"),
        ],
    )
    def test_are_found_where_the_dag_file_is_read(self, arguments, said):
        with pytest.raises(ChatworkParameterError, match=said):
            ask(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"approvers": []}, "approvers="),
            ({"approvers": "佐藤"}, "approvers="),
            ({"to": "佐藤"}, "to="),
            ({"complete_when": "most"}, "number of approvers"),
            ({"complete_when": 2}, "number from 1 to 1"),
            ({"complete_when": 0}, "complete_when="),
            ({"question": ""}, "question="),
            ({"question": 5}, "question="),
            ({"timeout": "soon"}, "timeout="),
            ({"timeout": -1}, "timeout="),
            ({"timeout": float("nan")}, "timeout="),
            ({"timeout": "2026-12-01"}, "timeout="),
            ({"poke_interval": True}, "poke_interval="),
            ({"poke_interval": None}, "poke_interval="),
            ({"room_id": "general"}, "room_id="),
            ({"options": "{{ nothing }}"}, "options="),
            ({"on_timeout": "{{ nothing }}"}, "on_timeout="),
        ],
    )
    def test_fail_for_good_before_anything_is_sent(self, arguments, said, office):
        for deferrable in (False, True):
            with pytest.raises(AirflowFailException, match=said) as caught:
                ask(deferrable=deferrable, **arguments).execute(context())
            assert isinstance(caught.value.__cause__, ChatworkParameterError)
        assert not office.sandbox.requests

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"approvers": [BOT]}, "own messages never count"),
            ({"approvers": [BOT, SATO], "complete_when": "all"}, "2 of them have to agree, and 1 of them"),
            ({"approvers": [SATO, 5], "complete_when": 2}, "2 of them have to agree, and 1 of them"),
            ({"approvers": [5]}, "1 of them have to agree, and 0 of them"),
            ({"approvers": [BOT, SATO], "complete_when": 2}, "own messages never count"),
        ],
    )
    def test_are_found_before_anybody_is_asked(self, arguments, said, office):
        with pytest.raises(AirflowFailException, match=said):
            ask(**arguments).execute(context())
        assert office.own == []

    @pytest.mark.parametrize("name", ["elsewhere", "after", "before", "nowhere"])
    def test_are_branches_that_are_not_directly_downstream(self, name, office):
        with new_dag("branches"):
            start, elsewhere, then, after = (
                Nothing(task_id=task_id) for task_id in ("before", "elsewhere", "then", "after")
            )
            asking = ask(options={"承認": ["then", name], "却下": False})
            start >> asking >> then >> after
            start >> elsewhere
        with pytest.raises(AirflowFailException, match=f"'{name}' is no task directly downstream"):
            asking.execute(context())
        assert not office.sandbox.requests

    @pytest.mark.parametrize(("arguments", "fine"), [({}, False), ({"fail_on_reject": True}, True)])
    def test_are_those_of_a_mapped_task_that_could_not_stop_anything(self, arguments, fine, office):
        with new_dag("mapped"):
            asking = ask(on_timeout="承認", **arguments)
            asking >> nothing("then")
        mapped = {"ti": FakeTaskInstance(map_index=1)}
        if fine:
            assert asking.execute(mapped)["choice"] == "承認"
            return
        with pytest.raises(AirflowFailException, match="fail_on_reject"):
            asking.execute(mapped)
        assert not office.sandbox.requests

    @pytest.mark.parametrize(
        ("rule", "ignore", "fine"),
        [("all_success", False, True), ("all_success", True, False), ("none_failed", False, False)],
    )
    def test_are_those_of_a_mapped_task_that_could_not_be_skipped_with_all_behind_it(self, rule, ignore, fine, office):
        with new_dag("mapped"):
            asking = ask(
                on_timeout="skip",
                fail_on_reject=True,
                ignore_downstream_trigger_rules=ignore,
                deferrable=True,
                timeout=60,
            )
            asking >> Nothing(task_id="then", trigger_rule=rule)
        with pytest.raises(TaskDeferred if fine else AirflowFailException, match=None if fine else "on_timeout="):
            asking.execute({"ti": FakeTaskInstance(map_index=1)})
        assert bool(office.own) is fine

    @pytest.mark.parametrize("on_timeout", ["{{ 'fail' }}", "{% if true %}fail{% endif %}"])
    def test_are_not_templates(self, on_timeout):
        assert ask(on_timeout=on_timeout).on_timeout == on_timeout

    def test_are_options_of_a_file_that_was_changed_during_the_wait(self, office):
        with pytest.raises(TaskDeferred) as deferred:
            ask(deferrable=True, timeout=600).execute(context())
        office.reply(SATO, "承認")
        event = office.trigger_event(deferred.value)
        changed = ask(timeout=600, options={"はい": True, "いいえ": False}, on_timeout="いいえ")
        with pytest.raises(AirflowFailException, match=r"'承認' was decided for .*'はい', 'いいえ'"):
            changed.execute_complete(context(), event)


class TestTries:
    @pytest.mark.parametrize("mode", MODES)
    def test_a_later_try_hears_the_answer_to_the_question_of_an_earlier_one(self, mode, office):
        store = FakeStore()
        office.sandbox.add_fault(Fault("status", operation="list_messages", status=302, times=None))
        known = {"ti": FakeTaskInstance(max_tries=2), "task_state_store": store}
        with pytest.raises(ChatworkUnexpectedResponseError):
            ask(timeout=600).execute(known)
        office.sandbox.clear_faults()
        office.now += 30
        office.reply(SATO, "承認")
        result = office.resume(ask(timeout=600, deferrable=mode == "triggerer"), known)
        assert result["choice"] == "承認"
        assert result["message_id"] == office.question
        assert len(office.own) == 1

    @pytest.mark.parametrize("mode", MODES)
    def test_a_later_try_does_not_fail_because_of_who_has_left(self, mode, office):
        known = {"ti": FakeTaskInstance(max_tries=2), "task_state_store": FakeStore()}
        both = {"approvers": THREE[:2], "complete_when": "all", "timeout": 600, "deferrable": mode == "triggerer"}
        # The try also comes back from the triggerer, which must not forget what was asked.
        office.happenings = [(30, lambda o: o.reply(YAMADA, "承認")), (90, break_down(status=302))]
        with pytest.raises(ChatworkUnexpectedResponseError):
            office.resume(ask(**both), known)
        office.sandbox.clear_faults()
        office.sandbox.remove_member(ROOM, YAMADA)
        office.reply(SATO, "却下")
        assert office.resume(ask(**both), known)["choice"] == "却下"
        assert len(office.own) == 1

    def test_a_lost_list_of_members_is_not_taken_for_an_empty_room(self, office):
        office.sandbox.add_fault(Fault("malformed", operation="list_members", shape="empty", times=None))
        with pytest.raises(ChatworkUnexpectedResponseError):
            ask().execute(context())
        assert not office.own

    def test_a_later_try_does_not_give_more_time(self, office):
        known = {"ti": FakeTaskInstance(max_tries=2), "task_state_store": FakeStore()}
        office.sandbox.add_fault(Fault("status", operation="list_messages", status=302, times=None))
        with pytest.raises(ChatworkUnexpectedResponseError):
            ask(timeout=600).execute(known)
        office.sandbox.clear_faults()
        begin, office.now = office.now, office.now + 400
        assert ask(timeout=600).execute(known)["outcome"] == "timeout_default"
        assert office.now == begin + 600

    def test_a_cleared_task_asks_anew(self, office):
        store, ti = FakeStore(), FakeTaskInstance()
        first = ask().execute({"ti": ti, "task_state_store": store})
        ti.max_tries += 1
        second = ask().execute({"ti": ti, "task_state_store": store})
        assert first["message_id"] != second["message_id"]

    @pytest.mark.parametrize("mode", MODES)
    def test_a_later_try_remembers_what_an_earlier_one_has_heard(self, mode, office):
        known = {"ti": FakeTaskInstance(max_tries=2), "task_state_store": FakeStore()}
        both = {"approvers": THREE[:2], "complete_when": "all", "timeout": 7200, "deferrable": mode == "triggerer"}
        office.happenings = [(30, lambda o: o.reply(SATO, "承認")), (90, break_down(status=302))]
        with pytest.raises(ChatworkUnexpectedResponseError):
            office.resume(ask(**both), known)
        office.sandbox.clear_faults()
        office.chat(150)
        office.happenings = [(600, lambda o: o.reply(YAMADA, "承認", to=o.own[0]["message_id"]))]
        result = office.resume(ask(**both), known)
        assert (result["choice"], [vote["account_id"] for vote in result["votes"]]) == ("承認", [SATO, YAMADA])
        assert result["possible_loss"] is True

    def test_a_cleared_task_does_not_remember_what_was_heard(self, office):
        ti, store = FakeTaskInstance(), FakeStore()
        both = {"approvers": THREE[:2], "complete_when": "all", "timeout": 600, "on_timeout": "却下"}
        office.happenings = [
            (30, lambda o: o.chat(150)),
            (90, lambda o: o.reply(SATO, "承認", to=o.own[0]["message_id"])),
        ]
        first = ask(**both).execute({"ti": ti, "task_state_store": store})
        assert (len(first["votes"]), first["possible_loss"]) == (1, True)
        ti.max_tries += 1
        second = ask(**both).execute({"ti": ti, "task_state_store": store})
        assert (second["votes"], second["possible_loss"]) == ([], False)

    def test_a_wait_that_no_triggerer_has_ended_ends_by_a_look(self, office):
        # Only where Airflow remembers what was asked.
        known = {"ti": FakeTaskInstance(), "task_state_store": FakeStore()}
        self.asked(office, known, approvers=[SATO])
        office.now += 300
        office.reply(SATO, "承認")
        office.now += 86400
        late = ask(approvers=[SATO], timeout=600)
        assert late.resume_execution("__fail__", {"error": "Trigger timeout"}, known)["choice"] == "承認"
        assert len(office.own) == 1

    def test_a_wait_that_is_ended_before_its_time_is_not_gone_on_with_in_a_worker(self, office):
        known = {"ti": FakeTaskInstance(), "task_state_store": FakeStore()}
        self.asked(office, known, approvers=[SATO])
        with pytest.raises(AirflowSensorTimeout, match="not looked at in time"):
            ask(approvers=[SATO], timeout=600).resume_execution("__fail__", {"error": "Trigger timeout"}, known)

    def asked(self, office: Office, known: Any, **arguments: Any) -> int:
        """How many questions there are once another try has asked."""
        with pytest.raises(TaskDeferred):
            ask(deferrable=True, **{"approvers": THREE, "timeout": 600, **arguments}).execute(known)
        return len(office.own)

    @pytest.mark.parametrize("to", [None, [], [TAKAHASHI]])
    def test_a_later_try_does_not_ask_again_because_of_who_is_in_the_room(self, to, office):
        known = {"ti": FakeTaskInstance(max_tries=2), "task_state_store": FakeStore()}
        office.sandbox.remove_member(ROOM, TAKAHASHI)
        asked = [self.asked(office, known, to=to)]
        office.sandbox.add_member(ROOM, TAKAHASHI)
        asked.append(self.asked(office, known, to=to))
        office.sandbox.store.accounts[SATO].name = "鈴木 花子"
        asked.append(self.asked(office, known, to=to))
        assert asked == [1, 1, 1]

    @pytest.mark.parametrize(
        "change",
        [
            {"question": "本当に?"},
            {"options": {"承認": True, "見送り": False, "却下": False}},
            {"approvers": [SATO, YAMADA]},
            {"to": [SATO]},
            {"complete_when": "all"},
            {"timeout": 601},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_a_later_try_asks_again_where_it_asks_something_else(self, change, office):
        known = {"ti": FakeTaskInstance(max_tries=2), "task_state_store": FakeStore()}
        assert self.asked(office, known) == 1
        assert self.asked(office, known, **change) == 2

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(("late", "outcome"), [(59, "answered"), (86400, "timeout_default")])
    def test_an_answer_after_the_time_does_not_decide(self, late, outcome, mode, office):
        known = {"ti": FakeTaskInstance(max_tries=2), "task_state_store": FakeStore()}
        self.asked(office, known, approvers=[SATO])
        office.now += 600 + late
        office.reply(SATO, "承認")
        office.now += 60
        again = ask(approvers=[SATO], timeout=600, deferrable=mode == "triggerer")
        assert office.resume(again, known)["outcome"] == outcome


class TestWaiting:
    @pytest.mark.parametrize("mode", MODES)
    def test_goes_on_with_a_renewed_token(self, mode, office, sandbox, monkeypatch):
        end = office.ask(mode, [(90, lambda o: self.renew(sandbox, monkeypatch)), says(300, SATO, "承認")])
        assert (end.how, end.error) == ("decided", "")

    def test_that_no_triggerer_has_ended_ends_with_a_renewed_token(self, office, sandbox, monkeypatch):
        known = {"ti": FakeTaskInstance(), "task_state_store": FakeStore()}
        with pytest.raises(TaskDeferred):
            ask(deferrable=True, timeout=600).execute(known)
        office.reply(SATO, "承認")
        office.now += 86400
        late = ask(timeout=600)
        assert late.hook.run(get_me())["account_id"] == BOT
        self.renew(sandbox, monkeypatch)
        assert late.resume_execution("__fail__", {"error": "Trigger timeout"}, known)["choice"] == "承認"

    def renew(self, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sandbox, "_tokens", {"another-token": BOT})
        connect(monkeypatch, sandbox, token="another-token")

    def test_looks_as_often_as_it_is_told_and_never_more_than_once_a_second(self, office):
        for interval, looks in ((timedelta(minutes=1), 11), ("PT5M", 3), ("200", 4), (0.1, 601)):
            before = len(office.sandbox.requests)
            ask(timeout="PT10M", poke_interval=interval).execute(context())
            operations = [request.operation for request in office.sandbox.requests[before:]]
            assert operations.count("list_messages") == looks

    @pytest.mark.parametrize("mode", MODES)
    def test_says_aloud_where_an_answer_may_have_gone_by(self, mode, office, log):
        end = office.ask(mode, [(90, lambda o: o.reply(SATO, "承認")), (95, lambda o: o.chat(150))], timeout=900)
        assert end.how == "timed out"
        assert log().count("may have gone by unseen") == 1
        end = office.ask(
            mode, [(1000, lambda o: o.chat(150)), (1100, lambda o: o.reply(SATO, "承認", to=o.own[-1]["message_id"]))]
        )
        assert end.result["possible_loss"] is True

    @pytest.mark.parametrize("mode", MODES)
    def test_takes_an_option_that_does_not_go_on_though_an_answer_may_have_gone_by(self, mode, office):
        end = office.ask(mode, [(95, lambda o: o.chat(150))], timeout=900, on_timeout="却下")
        assert (end.result["choice"], end.result["possible_loss"]) == ("却下", True)

    @pytest.mark.parametrize("mode", MODES)
    def test_says_nothing_of_people_in_the_log(self, mode, office, log):
        office.ask(mode, [(90, lambda o: o.reply(SATO, "承認\n秘密です"))])
        said = log()
        assert "Decided" in said
        assert "佐藤" not in said
        assert "秘密" not in said


class TestDeferral:
    def defer(self, **arguments: Any) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            ask(deferrable=True, **arguments).execute(context())
        return caught.value

    def test_hands_everything_to_the_trigger(self, office):
        deferred = self.defer(approvers=THREE, complete_when=2, timeout=timedelta(hours=1), poke_interval=7)
        _, arguments = deferred.trigger.serialize()
        assert arguments == {
            "chatwork_conn_id": "chatwork_default",
            "poke_interval": 7.0,
            "deadline": office.now + 3600,
            "exponential_backoff": False,
            "max_interval": None,
            "silent_fail": False,
            "heard": {
                "answers": [],
                "hints": {},
                "taken_back": {},
                "seen": None,
                "possible_loss": False,
                "absent": [],
                "members_at": office.now,
            },
            "ask": {
                "room_id": ROOM,
                "message_id": office.question,
                "options": ["承認", "却下"],
                "rejecting": ["却下"],
                "approvers": THREE,
                "needed": 2,
                "account_id": BOT,
                "account_name": "データ連携ボット",
                "lang": "ja",
                "web_url": str(office.sandbox.address),
            },
        }

    def test_leaves_airflow_a_later_deadline_than_the_trigger(self, office):
        assert self.defer(timeout=60).timeout == timedelta(seconds=60) + TRIGGER_TIMEOUT_GRACE

    def test_carries_an_answer_that_decides_nothing_where_no_restart_reaches_it(self, office):
        end = office.ask(
            "triggerer",
            [(90, lambda o: o.reply(SATO, "承認")), (300, lambda o: o.reply(YAMADA, "承認"))],
            approvers=THREE,
            complete_when=2,
        )
        assert end.how == "decided"
        assert office.deferrals == 2

    @pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
    @pytest.mark.parametrize(
        ("on_timeout", "end"),
        [("fail", AirflowSensorTimeout), ("skip", AirflowSkipException), ("承認", AirflowSensorTimeout)],
    )
    def test_chooses_no_option_where_airflow_ends_the_wait(self, error, on_timeout, end):
        # The first is how Airflow 3 says it, the second how 2.11 does.
        with pytest.raises(end, match="not looked at in time"):
            ask(on_timeout=on_timeout).resume_execution("__fail__", {"error": error}, context())

    def test_leaves_other_failures_of_the_trigger_to_airflow(self):
        with pytest.raises(Exception, match="Trigger failure") as caught:
            ask().resume_execution("__fail__", {"error": "Trigger failure"}, context())
        assert type(caught.value).__name__ == "TaskDeferralError"


class TestRendering:
    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_covers_every_argument_but_switches(self, native, office, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, conn_id="chatwork_second")
        given = {
            "room_id": ROOM,
            "question": "release",
            "approvers": THREE,
            "to": [],
            "complete_when": 2,
            "timeout": 60,
            "on_timeout": "進む",
            "poke_interval": 20,
            "chatwork_conn_id": "chatwork_second",
        }
        with new_dag("d", render_template_as_native_obj=native):
            asking = ChatworkApprovalOperator(
                task_id="ask",
                options={"進む": True, "やめる": ["{{ given['question'] }}"]},
                deferrable=False,
                **{name: f"{{{{ given['{name}'] }}}}" for name in given},
            )
            asking >> nothing("release")
        assert set(asking.template_fields) == {*given, "options"}
        render(asking, given=given)
        assert asking.execute({"ti": FakeTaskInstance(), "task": asking})["outcome"] == "timeout_default"
