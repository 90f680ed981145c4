from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.links import PLACE_KEY
from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.sensors.messages import ChatworkMessageSensor
from tests.airflow_helpers import VERSION, FakeStore, FakeTaskInstance, connect, context, new_dag, render
from tests.sensors.waits import MODES, End, wait

ROOM = company.DATA_ROOM
BOT, SATO, YAMADA, TAKAHASHI = company.BOT, company.SATO, company.YAMADA, company.TAKAHASHI


class Scenario:
    """The sandbox, with a question, and what people do in its room."""

    def __init__(self, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.monkeypatch = monkeypatch
        in_past(Scenario.ask)(self)

    def ask(self) -> None:
        self.question = self.last = self.sandbox.post_message(ROOM, BOT, "リリースしますか？")

    def say(self, body: str, account_id: int = SATO) -> None:
        self.last = self.sandbox.post_message(ROOM, account_id, body)

    def answer(self, body: str, account_id: int = SATO, to: str | None = None) -> None:
        self.last = self.sandbox.reply(ROOM, account_id, to or self.question, body)

    def edit(self, body: str) -> None:
        self.sandbox.edit_message(ROOM, self.last, body)

    def delete(self) -> None:
        self.sandbox.delete_message(ROOM, self.last)

    def chat(self, count: int) -> None:
        for index in range(count):
            self.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}")

    def break_down(self, **fault: Any) -> None:
        self.sandbox.add_fault(Fault(**{"kind": "status", "times": None, **fault}))

    def leave_the_room(self) -> None:
        self.sandbox.remove_member(ROOM, BOT)

    def join_the_room(self) -> None:
        self.sandbox.add_member(ROOM, BOT, "member")

    def lose_the_connection(self) -> None:
        self.monkeypatch.delenv("AIRFLOW_CONN_CHATWORK_DEFAULT")

    def get_the_connection(self) -> None:
        connect(self.monkeypatch, self.sandbox)


Event = Callable[[Scenario], object]


def no_event(scenario: Scenario) -> None:
    """Nobody posts anything."""


def says(*bodies: str, by: int = SATO) -> Event:
    return lambda scenario: [scenario.say(body, by) for body in bodies]


def answers(body: str, by: int = SATO) -> Event:
    return lambda scenario: scenario.answer(body, by)


def in_past(*events: Event) -> Event:
    """Let events happen a minute ago."""

    def happen(scenario: Scenario) -> None:
        with scenario.monkeypatch.context() as patched:
            patched.setattr(scenario.sandbox, "clock", lambda: time.time() - 60)
            in_turn(*events)(scenario)

    return happen


def in_turn(*events: Event) -> Event:
    return lambda scenario: [event(scenario) for event in events]


@dataclass
class Case:
    """Events before the wait and between the polls, and the expected end, which is the same in all modes."""

    outcome: str
    cause: str | None = None
    #: The author's text in the message that is found.
    text: str | None = None
    before: Event = no_event
    between: Sequence[Event] = ()
    possible_loss: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


def done(text: str, *between: Event, before: Event = no_event, possible_loss: bool = False, **arguments: Any) -> Case:
    return Case("done", None, text, before, between, possible_loss, arguments)


def fails(cause: str, *between: Event, before: Event = no_event, **arguments: Any) -> Case:
    return Case("failed for good", cause, None, before, between, False, arguments)


def ends(outcome: str, *between: Event, before: Event = no_event, **arguments: Any) -> Case:
    return Case(outcome, None, None, before, between, False, arguments)


def break_down(**fault: Any) -> Event:
    return lambda scenario: scenario.break_down(**fault)


def recover(scenario: Scenario) -> None:
    scenario.sandbox.clear_faults()


def question(scenario: Scenario) -> str:
    return scenario.question


def chat(count: int) -> Event:
    return lambda scenario: scenario.chat(count)


def edit(body: str) -> Event:
    return lambda scenario: scenario.edit(body)


def work(scenario: Scenario) -> None:
    """Let people do what makes Chatwork post system messages."""
    [task_id] = scenario.sandbox.create_task(ROOM, SATO, [TAKAHASHI], "確認")
    scenario.sandbox.complete_task(ROOM, task_id)
    scenario.sandbox.upload_file(ROOM, SATO, Upload("a.csv", b"1,2"))


CASES = {
    "anything": done("はい", no_event, says("はい")),
    "by anybody": done("はい", says("はい", by=YAMADA)),
    "nothing from before": done("新しい", no_event, says("新しい"), before=in_past(says("古い"))),
    "since a message": done("あと", before=in_past(says("あと")), since=question),
    "behind that message": done("あと", says("あと"), since=question),
    "since a time": done("前", before=in_past(says("前")), since=lambda s: time.time() - 90),
    "since a time, as text": done("前", before=in_past(says("前")), since=lambda s: str(int(time.time() - 90))),
    "since a time that is over": done(
        "今",
        no_event,
        says("今"),
        before=in_past(says("前")),
        since=lambda s: datetime.now(UTC) - timedelta(seconds=30),
    ),
    "since a day": done(
        "リリースはあした", before=in_past(says("リリースはあした")), matches="リリース", since="2020-01-01"
    ),
    "since a moment of the connection's zone": done(
        "前",
        before=in_past(says("前")),
        since=lambda s: f"{datetime.now(UTC) + timedelta(hours=9, minutes=-1.5):%FT%T}",
    ),
    "the oldest": done("一", says("一", "二")),
    "by one of two": done("私", says("誰", by=YAMADA), says("私", by=TAKAHASHI), from_account_ids=[SATO, TAKAHASHI]),
    "by one of two, as text": done(
        "私", says("誰", by=YAMADA), says("私", by=TAKAHASHI), from_account_ids=f"{SATO}, {TAKAHASHI}"
    ),
    "not by itself": done("はい", says("はい", by=BOT), says("はい")),
    "not by itself, though it is named": done("はい", says("はい", by=BOT), says("はい"), from_account_ids=[BOT, SATO]),
    "by nobody but itself": fails("ChatworkParameterError", says("はい", by=BOT), from_account_ids=[BOT]),
    "that says something": done(
        "リリースを承認します", says("何を？"), says("リリースを承認します"), matches="承認|却下"
    ),
    "that says nothing else": done("承認", says("承認?"), answers("承認"), matches="^承認$"),
    "an answer": done("はい", says("はい"), answers("はい"), reply_to=question),
    "an answer before the wait": done("はい", before=answers("はい"), reply_to=question),
    "an answer that says something": done("次", answers("次"), before=answers("はい"), reply_to=question, matches="次"),
    "an answer since a time": done(
        "新しい",
        no_event,
        answers("新しい"),
        before=in_past(answers("古い")),
        reply_to=question,
        since=lambda s: time.time() - 30,
    ),
    "no answer to another message": done(
        "はい",
        lambda s: s.answer("いいえ", to=s.sandbox.post_message(ROOM, YAMADA, "別の話")),
        answers("はい"),
        reply_to=question,
    ),
    "no quote": done(
        "はい",
        lambda s: s.say(f"[qt][qtmeta aid={BOT}][rp aid={BOT} to={ROOM}-{s.question}]はい[/qt]"),
        answers("はい"),
        reply_to=question,
    ),
    "all conditions": done(
        "はい",
        answers("はい", by=YAMADA),
        answers("いいえ"),
        says("はい"),
        answers("はい"),
        from_account_ids=SATO,
        matches="はい",
        reply_to=question,
    ),
    "edited until it matches": done("承認", says("どうしよう"), no_event, edit("承認"), matches="承認"),
    "edited before a poll": done("やっぱりいいえ", in_turn(says("はい"), edit("やっぱりいいえ"))),
    "an edit of an old message is not new": done("新しい", edit("承認"), says("新しい"), before=in_past(says("古い"))),
    "deleted before a poll": done("はい", in_turn(says("いいえ"), Scenario.delete), says("はい")),
    "not what Chatwork says": done("はい", work, says("はい")),
    "what somebody says with a file": done(
        "どうぞ", lambda s: s.sandbox.upload_file(ROOM, SATO, Upload("a.csv", b"1,2"), "どうぞ"), matches="^どうぞ$"
    ),
    "an answer with a file": done(
        "却下",
        lambda s: s.say(
            f"[rp aid={BOT} to={ROOM}-{s.question}]データ連携ボットさん\n却下\n"
            "[info][title][dtext:file_uploaded][/title][download:1]a.csv (3 B)[/download][/info]"
        ),
        reply_to=question,
    ),
    "an answer beside another one": done(
        "却下",
        lambda s: s.say(
            f"[rp aid={SATO} to={ROOM}-{s.sandbox.messages(ROOM)[0]['message_id']}]佐藤 花子さん\n承認\n\n"
            f"[rp aid={BOT} to={ROOM}-{s.question}]データ連携ボットさん\n却下"
        ),
        reply_to=question,
        matches="^(承認|却下)$",
    ),
    "more than a page": done("はい", chat(140), says("はい"), matches="はい", possible_loss=True),
    "more than a page at once": done("はい", in_turn(chat(140), says("はい")), matches="はい", possible_loss=True),
    "a page of old ones": done("はい", says("はい"), before=in_past(chat(140))),
    "a page of old ones since then": done(
        "はい", says("はい"), before=in_past(chat(140)), since=question, matches="はい", possible_loss=True
    ),
    "gone by": ends("timed out", before=in_turn(answers("はい"), chat(100)), reply_to=question, timeout=0),
    "lost room": fails("ChatworkForbiddenError", Scenario.leave_the_room),
    "lost room before": fails("ChatworkForbiddenError", before=Scenario.leave_the_room),
    "revoked token": fails("ChatworkAuthError", break_down(status=401)),
    "outage": done("はい", break_down(status=503), says("はい"), recover),
    "outage from the start": done("はい", says("はい"), recover, before=break_down(status=500)),
    "outage when it matters": done(
        "はい", in_turn(break_down(status=503, operation="get_me"), says("はい")), no_event, recover
    ),
    "revoked when it matters": fails(
        "ChatworkAuthError", in_turn(break_down(status=401, operation="get_me"), says("はい"))
    ),
    "rate limit": done("はい", break_down(status=429), in_turn(recover, says("はい"))),
    "no network": done("はい", break_down(kind="refuse"), in_turn(recover, says("はい"))),
    "unreadable answer": done("はい", break_down(kind="malformed", shape="html"), in_turn(recover, says("はい"))),
    "a body that got lost is not an empty room": done(
        "はい", break_down(kind="malformed", shape="empty"), in_turn(recover, says("はい"))
    ),
    "redirect": ends("failed", break_down(status=302)),
    "soft_fail, redirect": ends("failed", break_down(status=302), soft_fail=True),
    "timeout": ends("timed out", no_event, timeout=0),
    "timeout in an outage": ends("timed out", no_event, before=break_down(status=503), timeout=0),
    "found by the last poll": done("はい", before=answers("はい"), reply_to=question, timeout=0),
    "lost connection": ends("failed", Scenario.lose_the_connection),
    "soft_fail, timeout": ends("skipped", no_event, timeout=0, soft_fail=True),
    "soft_fail, lost room": fails("ChatworkForbiddenError", Scenario.leave_the_room, soft_fail=True),
    "soft_fail, lost connection": ends("failed", Scenario.lose_the_connection, soft_fail=True),
    "never_fail, timeout": ends("skipped", no_event, timeout=0, never_fail=True),
    "never_fail, lost room": ends("skipped", Scenario.leave_the_room, never_fail=True),
    "never_fail, lost connection": ends("skipped", Scenario.lose_the_connection, never_fail=True),
    "never_fail, no connection": ends("skipped", before=Scenario.lose_the_connection, never_fail=True),
    "never_fail, bad argument": ends("skipped", never_fail=True, matches="("),
    "silent_fail, lost room": done(
        "はい", Scenario.leave_the_room, no_event, in_turn(Scenario.join_the_room, says("はい")), silent_fail=True
    ),
    "silent_fail, lost connection": done(
        "はい",
        Scenario.lose_the_connection,
        no_event,
        in_turn(Scenario.get_the_connection, says("はい")),
        silent_fail=True,
    ),
    "silent_fail, no connection": done(
        "はい",
        no_event,
        in_turn(Scenario.get_the_connection, says("はい")),
        before=Scenario.lose_the_connection,
        silent_fail=True,
    ),
    "silent_fail, bad argument": fails("ChatworkParameterError", silent_fail=True, matches="("),
    "no such person": fails("ChatworkParameterError", from_account_ids="佐藤"),
    "no such message": fails("ChatworkParameterError", reply_to="latest"),
    "no such time": fails("ChatworkParameterError", since="yesterday"),
    "no such expression": fails("ChatworkParameterError", matches="(承認"),
    "no expression": fails("ChatworkParameterError", matches=["承認"]),
    "nothing to match": fails("ChatworkParameterError", matches=""),
    "no room": fails("ChatworkParameterError", room_id=None),
    "no such room": fails("ChatworkParameterError", room_id="general"),
}
# A worker in mode `poke` reads the connection once.
NOT_NOTICED = {("poke", name) for name in CASES if name.endswith("lost connection") and "silent" not in name}
SENDING_NOTHING = [name for name, case in CASES.items() if case.cause == "ChatworkParameterError" and not case.between]


@pytest.fixture
def scenario(db: None, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    sandbox.limits = Limits.off()
    return Scenario(sandbox, monkeypatch)


class TestEveryMode:
    def wait(self, mode: str, scenario: Scenario, case: Case) -> End:
        between = [partial(event, scenario) for event in case.between]
        given = {name: value(scenario) if callable(value) else value for name, value in case.arguments.items()}
        given = {"room_id": ROOM, **given}
        return wait(mode, scenario.monkeypatch, scenario.sandbox, between, ChatworkMessageSensor, **given)

    @pytest.mark.parametrize(
        ("mode", "name"), [(mode, name) for name in CASES for mode in MODES if (mode, name) not in NOT_NOTICED]
    )
    def test_ends_the_same_in_every_mode(self, mode, name, scenario):
        case = CASES[name]
        case.before(scenario)
        end = self.wait(mode, scenario, case)
        assert (end.how, end.cause) == (case.outcome, case.cause)
        if case.outcome != "done":
            room = {"room_id": str(ROOM), "message_id": None, "web_url": str(scenario.sandbox.address)}
            nowhere = name in SENDING_NOTHING or name.endswith(("no connection", "bad argument"))
            assert end.xcoms == ({} if nowhere else {PLACE_KEY: room})
            return
        messages = {message["message_id"]: message for message in scenario.sandbox.messages(ROOM)}
        message = messages[end.result["message_id"]]
        assert end.result == {
            "message_id": message["message_id"],
            "account_id": message["account"]["account_id"],
            "account_name": message["account"]["name"],
            "body": message["body"],
            "text": case.text,
            "send_time": message["send_time"],
            "link": f"{scenario.sandbox.address}/#!rid{ROOM}-{message['message_id']}",
            "possible_loss": case.possible_loss,
        }
        place = {"room_id": str(ROOM), "message_id": message["message_id"], "web_url": str(scenario.sandbox.address)}
        assert end.xcoms == {PLACE_KEY: place}

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("name", SENDING_NOTHING)
    def test_an_invalid_argument_fails_before_anything_is_sent(self, name, mode, scenario):
        self.wait(mode, scenario, CASES[name])
        assert not scenario.sandbox.requests

    @pytest.mark.parametrize("mode", MODES)
    def test_the_own_account_is_requested_once_and_only_for_a_match(self, mode, scenario):
        case = done("はい", says("はい", by=BOT), says("誰"), says("はい"), matches="はい")
        self.wait(mode, scenario, case)
        operations = [request.operation for request in scenario.sandbox.requests]
        assert operations[:2] == ["list_messages"] * 2
        # Each process requests it, and in mode `reschedule` each poll is another process.
        assert operations.count("get_me") == (3 if mode == "reschedule" else 1)

    @pytest.mark.parametrize("mode", MODES)
    def test_changes_nothing_in_the_room(self, mode, scenario):
        self.wait(mode, scenario, done("はい", no_event, says("はい")))
        assert {request.method for request in scenario.sandbox.requests} == {"GET"}
        polls = [request for request in scenario.sandbox.requests if request.operation == "list_messages"]
        assert {request.query["force"] for request in polls} == {"1"}

    @pytest.mark.parametrize("mode", MODES)
    def test_the_connections_room_is_the_default(self, mode, scenario):
        connect(scenario.monkeypatch, scenario.sandbox, default_room_id=ROOM)
        end = self.wait(mode, scenario, done("はい", says("はい"), room_id=None))
        assert end.how == "done"

    @pytest.mark.parametrize("mode", MODES)
    def test_a_busy_room_is_no_loss(self, mode, scenario):
        case = done("はい", *[chat(60)] * 3, says("はい"), matches="はい")
        # Without a store, a process does not know what the one before it has seen.
        assert self.wait(mode, scenario, case).result["possible_loss"] is (mode == "reschedule")

    @pytest.mark.parametrize("mode", MODES)
    def test_a_loss_is_logged_once(self, mode, scenario, caplog, capsys):
        case = done("はい", chat(140), chat(140), no_event, answers("はい"), reply_to=question)
        self.wait(mode, scenario, case)
        shown = capsys.readouterr()
        # Airflow's log goes here or there, depending on its version.
        said = max(text.count("may have been missed") for text in (caplog.text, shown.out, shown.err))
        # Each process logs it, and in mode `reschedule` each poll is another process.
        assert said == (4 if mode == "reschedule" else 1)


class TestRendering:
    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_all_arguments_but_airflows_are_templates(self, native, scenario, monkeypatch):
        connect(monkeypatch, scenario.sandbox, conn_id="chatwork_second")
        in_past(answers("却下"), answers("承認", by=YAMADA), answers("承認"), answers("承認"))(scenario)
        given = {
            "room_id": ROOM,
            "since": scenario.question,
            "from_account_ids": [SATO, TAKAHASHI],
            "matches": "承認",
            "reply_to": scenario.question,
            "chatwork_conn_id": "chatwork_second",
        }
        with new_dag("d", render_template_as_native_obj=native):
            sensor = ChatworkMessageSensor(
                task_id="wait", deferrable=False, **{name: f"{{{{ given['{name}'] }}}}" for name in given}
            )
        assert set(sensor.template_fields) == set(given)
        found = render(sensor, given=given).execute(context())
        assert found["message_id"] == scenario.sandbox.messages(ROOM)[-2]["message_id"]

    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    @pytest.mark.parametrize("name", ["from_account_ids", "matches", "reply_to"])
    def test_a_condition_that_renders_to_nothing_fails(self, name, native, scenario):
        in_past(says("はい"))(scenario)
        with new_dag("d", render_template_as_native_obj=native):
            sensor = ChatworkMessageSensor(
                task_id="wait", room_id=ROOM, since=scenario.question, deferrable=False, **{name: "{{ nothing }}"}
            )
        with pytest.raises(AirflowFailException, match=f"{name}="):
            render(sensor, nothing=None).execute(context())
        assert not scenario.sandbox.requests

    @pytest.mark.parametrize("nobody", ["", "None", "[]", [], ()])
    def test_an_empty_list_of_authors_fails(self, nobody, scenario):
        sensor = ChatworkMessageSensor(task_id="wait", room_id=ROOM, from_account_ids=nobody, deferrable=False)
        with pytest.raises(AirflowFailException, match="from_account_ids="):
            sensor.execute(context())

    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_a_start_that_renders_to_nothing_is_not_given(self, native, scenario):
        with new_dag("d", render_template_as_native_obj=native):
            sensor = ChatworkMessageSensor(
                **{"task_id": "wait", "room_id": ROOM, "since": "{{ nothing }}", "matches": None},
                deferrable=False,
            )
        # The wait begins in the second in which it is executed, and this message is written in none before it.
        scenario.sandbox.clock = lambda: time.time() + 60
        in_turn(says("はい"))(scenario)
        assert render(sensor, nothing=None).execute({})["text"] == "はい"


class TestStart:
    """The start of a wait without the argument ``since``."""

    NOW = 1_800_000_000

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch):
        monkeypatch.setattr("time.time", lambda: self.NOW + 0.7)

    def since(self, task: Any, mode: str = "poke", **arguments: Any) -> Any:
        sensor = ChatworkMessageSensor(task_id="wait", room_id=ROOM, mode=mode, deferrable=False, **arguments)
        sensor.prepare(task)
        assert sensor._cursor is not None
        return sensor._cursor.filter.since

    def task(self, ago: float | None = None, first_ago: float | None = None, **more: Any) -> Any:
        ti = FakeTaskInstance(waiting_since=self.at(first_ago))
        ti.start_date = self.at(ago)
        return {"ti": ti, **more}

    def at(self, ago: float | None) -> datetime | None:
        return None if ago is None else datetime.fromtimestamp(self.NOW + 0.7 - ago, UTC)

    def test_is_the_start_of_the_task(self, sandbox):
        assert self.since(self.task(ago=3.0)) == self.NOW - 3

    def test_is_now_if_the_start_of_the_task_is_unknown(self, sandbox):
        assert self.since(self.task()) == self.NOW
        assert self.since({}) == self.NOW

    def test_is_the_start_of_the_first_process_in_mode_reschedule(self, sandbox):
        assert self.since(self.task(ago=3, first_ago=3600), "reschedule") == self.NOW - 3600
        assert self.since(self.task(ago=3), "reschedule") == self.NOW - 3
        assert self.since(self.task(ago=3, first_ago=3600), "poke") == self.NOW - 3

    def test_the_start_of_the_first_process_may_be_text(self, sandbox):
        task = self.task(ago=3)
        task["ti"].waiting_since = f"{self.at(3600):%FT%T.%fZ}"
        assert self.since(task, "reschedule") == self.NOW - 3600

    @pytest.mark.skipif(VERSION >= (3, 0), reason="Airflow 3 has it in the task instance")
    def test_is_the_start_of_the_first_process_on_airflow_2_too(self, db, sandbox):
        from airflow.models.taskreschedule import TaskReschedule
        from airflow.utils.session import create_session
        from airflow.utils.state import DagRunState
        from airflow.utils.types import DagRunType

        with new_dag("waits_for_a_message") as dag:
            sensor = ChatworkMessageSensor(task_id="wait", room_id=ROOM, mode="reschedule", deferrable=False, retries=2)
        with create_session() as session:
            dag.sync_to_db(session=session)
            run = dag.create_dagrun(
                run_id="r",
                run_type=DagRunType.MANUAL,
                state=DagRunState.RUNNING,
                execution_date=self.at(0),
                data_interval=(self.at(0), self.at(0)),
                session=session,
            )
            ti = run.get_task_instance("wait", session=session)
            ti.start_date, ti.max_tries, ti.try_number = self.at(3), 2, 2
            for try_number, ago in ((1, 3600), (1, 3540), (2, 60)):
                began = self.at(ago)
                session.add(
                    TaskReschedule(
                        *("wait", dag.dag_id, "r"),
                        try_number=try_number,
                        start_date=began,
                        end_date=began,
                        reschedule_date=began,
                    )
                )
        sensor.prepare({"ti": ti})
        assert sensor._cursor.filter.since == self.NOW - 3600

    @pytest.mark.parametrize("mode", ["poke", "reschedule"])
    def test_a_retry_keeps_it(self, mode, sandbox):
        store = FakeStore()
        assert self.since(self.task(ago=100, task_state_store=store), mode) == self.NOW - 100
        assert self.since(self.task(ago=3, task_state_store=store), mode) == self.NOW - 100

    def test_a_clear_replaces_it(self, sandbox):
        store = FakeStore()
        self.since(self.task(ago=100, task_state_store=store))
        cleared = self.task(ago=3, task_state_store=store)
        cleared["ti"].max_tries = 1
        assert self.since(cleared) == self.NOW - 3

    def test_is_the_message_of_reply_to(self, sandbox):
        store = FakeStore()
        assert self.since(self.task(ago=3, task_state_store=store), reply_to=" 77 ") == "77"
        assert not store.values

    def test_the_argument_since_comes_first(self, sandbox):
        store = FakeStore()
        self.since(self.task(ago=100, task_state_store=store))
        since = self.since(self.task(ago=3, task_state_store=store), since=self.NOW - 50, reply_to="77")
        assert since == self.NOW - 50

    def test_another_value_in_the_store_is_ignored(self, sandbox):
        store = FakeStore()
        store.set("chatwork_wait", "something else")
        assert self.since(self.task(ago=3, task_state_store=store)) == self.NOW - 3


class TestSavedState:
    """What one process in mode ``reschedule`` stores for the next one."""

    def poll(self, sandbox: ServedSandbox, store: FakeStore, question: str) -> Any:
        sensor = ChatworkMessageSensor(
            task_id="wait", room_id=ROOM, mode="reschedule", deferrable=False, since=question, matches="はい"
        )
        task = context(task_state_store=store)
        sensor.prepare(task)
        assert sensor.check(task) is None
        return store.get("chatwork_wait")

    def test_has_the_position_of_the_newest_message(self, db, scenario):
        store = FakeStore()
        for _ in range(3):
            scenario.chat(60)
            newest = scenario.sandbox.messages(ROOM)[-1]
            saved = self.poll(scenario.sandbox, store, scenario.question)
            assert saved["seen"] == [newest["send_time"], int(newest["message_id"])]
            assert saved["possible_loss"] is False

    def test_has_a_possible_loss(self, db, scenario):
        store = FakeStore()
        for chatter in (140, 0, 10):
            scenario.chat(chatter)
            assert self.poll(scenario.sandbox, store, scenario.question)["possible_loss"] is True

    def test_is_not_written_without_a_new_message(self, db, scenario):
        store = FakeStore()
        self.poll(scenario.sandbox, store, scenario.question)
        store.set = None  # type: ignore[method-assign,assignment]
        self.poll(scenario.sandbox, store, scenario.question)


class TestDeferral:
    def defer(self, scenario: Scenario, **arguments: Any) -> Any:
        sensor = ChatworkMessageSensor(task_id="wait", deferrable=True, room_id=ROOM, **arguments)
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute(context())
        return caught.value

    def test_polls_once_before_it_defers(self, scenario):
        self.defer(scenario)
        assert [request.operation for request in scenario.sandbox.requests] == ["list_messages"]

    def test_the_trigger_gets_every_argument(self, scenario, monkeypatch):
        connect(monkeypatch, scenario.sandbox, conn_id="chatwork_second")
        scenario.chat(140)
        newest = scenario.sandbox.messages(ROOM)[-1]
        monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
        deferred = self.defer(
            scenario,
            since=scenario.question,
            from_account_ids=f"{SATO},{YAMADA}",
            matches="承認",
            reply_to=f" {scenario.question}",
            chatwork_conn_id="chatwork_second",
            poke_interval=timedelta(seconds=7),
            timeout=timedelta(hours=1),
            exponential_backoff=True,
            max_wait=90,
            silent_fail=True,
            soft_fail=True,
            do_xcom_push=False,
            end_from_trigger=VERSION >= (3, 0),
        )
        _, arguments = deferred.trigger.serialize()
        assert arguments == {
            "chatwork_conn_id": "chatwork_second",
            "room_id": ROOM,
            "since": scenario.question,
            "from_account_ids": [SATO, YAMADA],
            "matches": "承認",
            "reply_to": scenario.question,
            "seen": [newest["send_time"], int(newest["message_id"])],
            "possible_loss": True,
            "poke_interval": 7.0,
            "deadline": 1_800_003_600.0,
            "exponential_backoff": True,
            "max_interval": 90.0,
            "silent_fail": True,
            "soft_fail": True,
            "never_fail": False,
            "do_xcom_push": False,
            "end_from_trigger": VERSION >= (3, 0),
            "before_timeout": 0.0,
        }

    def test_the_trigger_gets_the_start_of_the_wait(self, scenario, monkeypatch):
        monkeypatch.setattr("time.time", lambda: 1_800_000_000.5)
        _, arguments = self.defer(scenario).trigger.serialize()
        assert arguments["since"] == 1_800_000_000
