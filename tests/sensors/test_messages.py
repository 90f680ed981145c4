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


class World:
    """The sandbox with a question to be answered, and what people may say."""

    def __init__(self, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.monkeypatch = monkeypatch
        in_past(World.ask)(self)

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


Happening = Callable[[World], object]


def nothing(world: World) -> None:
    """What happens while nobody speaks."""


def says(*bodies: str, by: int = SATO) -> Happening:
    return lambda world: [world.say(body, by) for body in bodies]


def answers(body: str, by: int = SATO) -> Happening:
    return lambda world: world.answer(body, by)


def in_past(*happenings: Happening) -> Happening:
    """Let things happen a minute ago."""

    def happen(world: World) -> None:
        with world.monkeypatch.context() as patched:
            patched.setattr(world.sandbox, "clock", lambda: time.time() - 60)
            in_turn(*happenings)(world)

    return happen


def in_turn(*happenings: Happening) -> Happening:
    return lambda world: [happening(world) for happening in happenings]


@dataclass
class Scenario:
    """What happens before the wait and between the polls, and how it ends: the same in all modes."""

    how: str
    cause: str | None = None
    #: What its author wrote in the message that the wait is to end with.
    text: str | None = None
    before: Happening = nothing
    between: Sequence[Happening] = ()
    possible_loss: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


def done(
    text: str, *between: Happening, before: Happening = nothing, possible_loss: bool = False, **arguments: Any
) -> Scenario:
    return Scenario("done", None, text, before, between, possible_loss, arguments)


def fails(cause: str, *between: Happening, before: Happening = nothing, **arguments: Any) -> Scenario:
    return Scenario("failed for good", cause, None, before, between, False, arguments)


def ends(how: str, *between: Happening, before: Happening = nothing, **arguments: Any) -> Scenario:
    return Scenario(how, None, None, before, between, False, arguments)


def break_down(**fault: Any) -> Happening:
    return lambda world: world.break_down(**fault)


def recover(world: World) -> None:
    world.sandbox.clear_faults()


def question(world: World) -> str:
    return world.question


def chat(count: int) -> Happening:
    return lambda world: world.chat(count)


def edit(body: str) -> Happening:
    return lambda world: world.edit(body)


def work(world: World) -> None:
    """Let people do what Chatwork tells the room by itself."""
    [task_id] = world.sandbox.create_task(ROOM, SATO, [TAKAHASHI], "確認")
    world.sandbox.complete_task(ROOM, task_id)
    world.sandbox.upload_file(ROOM, SATO, Upload("a.csv", b"1,2"))


SCENARIOS = {
    "anything": done("はい", nothing, says("はい")),
    "by anybody": done("はい", says("はい", by=YAMADA)),
    "nothing from before": done("新しい", nothing, says("新しい"), before=in_past(says("古い"))),
    "since a message": done("あと", before=in_past(says("あと")), since=question),
    "behind that message": done("あと", says("あと"), since=question),
    "since a time": done("前", before=in_past(says("前")), since=lambda w: time.time() - 90),
    "since a time, as text": done("前", before=in_past(says("前")), since=lambda w: str(int(time.time() - 90))),
    "since a time that is over": done(
        "今", nothing, says("今"), before=in_past(says("前")), since=lambda w: datetime.now(UTC) - timedelta(seconds=30)
    ),
    "since a day": done(
        "リリースはあした", before=in_past(says("リリースはあした")), matches="リリース", since="2020-01-01"
    ),
    "since a moment of the connection's zone": done(
        "前",
        before=in_past(says("前")),
        since=lambda w: f"{datetime.now(UTC) + timedelta(hours=9, minutes=-1.5):%FT%T}",
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
        nothing,
        answers("新しい"),
        before=in_past(answers("古い")),
        reply_to=question,
        since=lambda w: time.time() - 30,
    ),
    "no answer to another message": done(
        "はい",
        lambda w: w.answer("いいえ", to=w.sandbox.post_message(ROOM, YAMADA, "別の話")),
        answers("はい"),
        reply_to=question,
    ),
    "no quote": done(
        "はい",
        lambda w: w.say(f"[qt][qtmeta aid={BOT}][rp aid={BOT} to={ROOM}-{w.question}]はい[/qt]"),
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
    "edited until it matches": done("承認", says("どうしよう"), nothing, edit("承認"), matches="承認"),
    "edited before a look": done("やっぱりいいえ", in_turn(says("はい"), edit("やっぱりいいえ"))),
    "an edit of an old message is not new": done("新しい", edit("承認"), says("新しい"), before=in_past(says("古い"))),
    "deleted before a look": done("はい", in_turn(says("いいえ"), World.delete), says("はい")),
    "not what Chatwork says": done("はい", work, says("はい")),
    "what somebody says with a file": done(
        "どうぞ", lambda w: w.sandbox.upload_file(ROOM, SATO, Upload("a.csv", b"1,2"), "どうぞ"), matches="^どうぞ$"
    ),
    "an answer with a file": done(
        "却下",
        lambda w: w.say(
            f"[rp aid={BOT} to={ROOM}-{w.question}]データ連携ボットさん\n却下\n"
            "[info][title][dtext:file_uploaded][/title][download:1]a.csv (3 B)[/download][/info]"
        ),
        reply_to=question,
    ),
    "an answer beside another one": done(
        "却下",
        lambda w: w.say(
            f"[rp aid={SATO} to={ROOM}-{w.sandbox.messages(ROOM)[0]['message_id']}]佐藤 花子さん\n承認\n\n"
            f"[rp aid={BOT} to={ROOM}-{w.question}]データ連携ボットさん\n却下"
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
    "lost room": fails("ChatworkForbiddenError", World.leave_the_room),
    "lost room before": fails("ChatworkForbiddenError", before=World.leave_the_room),
    "revoked token": fails("ChatworkAuthError", break_down(status=401)),
    "outage": done("はい", break_down(status=503), says("はい"), recover),
    "outage from the start": done("はい", says("はい"), recover, before=break_down(status=500)),
    "outage when it matters": done(
        "はい", in_turn(break_down(status=503, operation="get_me"), says("はい")), nothing, recover
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
    "timeout": ends("timed out", nothing, timeout=0),
    "timeout in an outage": ends("timed out", nothing, before=break_down(status=503), timeout=0),
    "come at the last look": done("はい", before=answers("はい"), reply_to=question, timeout=0),
    "lost connection": ends("failed", World.lose_the_connection),
    "soft_fail, timeout": ends("skipped", nothing, timeout=0, soft_fail=True),
    "soft_fail, lost room": fails("ChatworkForbiddenError", World.leave_the_room, soft_fail=True),
    "soft_fail, lost connection": ends("failed", World.lose_the_connection, soft_fail=True),
    "never_fail, timeout": ends("skipped", nothing, timeout=0, never_fail=True),
    "never_fail, lost room": ends("skipped", World.leave_the_room, never_fail=True),
    "never_fail, lost connection": ends("skipped", World.lose_the_connection, never_fail=True),
    "never_fail, no connection": ends("skipped", before=World.lose_the_connection, never_fail=True),
    "never_fail, bad argument": ends("skipped", never_fail=True, matches="("),
    "silent_fail, lost room": done(
        "はい", World.leave_the_room, nothing, in_turn(World.join_the_room, says("はい")), silent_fail=True
    ),
    "silent_fail, lost connection": done(
        "はい", World.lose_the_connection, nothing, in_turn(World.get_the_connection, says("はい")), silent_fail=True
    ),
    "silent_fail, no connection": done(
        "はい",
        nothing,
        in_turn(World.get_the_connection, says("はい")),
        before=World.lose_the_connection,
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
# A worker that pokes has read the connection and keeps to it.
UNNOTICED = {("poke", name) for name in SCENARIOS if name.endswith("lost connection") and "silent" not in name}
SENDING_NOTHING = [
    name for name, scenario in SCENARIOS.items() if scenario.cause == "ChatworkParameterError" and not scenario.between
]


@pytest.fixture
def world(db: None, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> World:
    sandbox.limits = Limits.off()
    return World(sandbox, monkeypatch)


class TestEveryMode:
    def wait(self, mode: str, world: World, scenario: Scenario) -> End:
        between = [partial(happening, world) for happening in scenario.between]
        given = {name: value(world) if callable(value) else value for name, value in scenario.arguments.items()}
        given = {"room_id": ROOM, **given}
        return wait(mode, world.monkeypatch, world.sandbox, between, ChatworkMessageSensor, **given)

    @pytest.mark.parametrize(
        ("mode", "name"), [(mode, name) for name in SCENARIOS for mode in MODES if (mode, name) not in UNNOTICED]
    )
    def test_ends_alike(self, mode, name, world):
        scenario = SCENARIOS[name]
        scenario.before(world)
        end = self.wait(mode, world, scenario)
        assert (end.how, end.cause) == (scenario.how, scenario.cause)
        if scenario.how != "done":
            room = {"room_id": str(ROOM), "message_id": None, "web_url": str(world.sandbox.address)}
            nowhere = name in SENDING_NOTHING or name.endswith(("no connection", "bad argument"))
            assert end.xcoms == ({} if nowhere else {PLACE_KEY: room})
            return
        messages = {message["message_id"]: message for message in world.sandbox.messages(ROOM)}
        message = messages[end.result["message_id"]]
        assert end.result == {
            "message_id": message["message_id"],
            "account_id": message["account"]["account_id"],
            "account_name": message["account"]["name"],
            "body": message["body"],
            "text": scenario.text,
            "send_time": message["send_time"],
            "link": f"{world.sandbox.address}/#!rid{ROOM}-{message['message_id']}",
            "possible_loss": scenario.possible_loss,
        }
        place = {"room_id": str(ROOM), "message_id": message["message_id"], "web_url": str(world.sandbox.address)}
        assert end.xcoms == {PLACE_KEY: place}

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("name", SENDING_NOTHING)
    def test_sends_nothing_where_an_argument_cannot_be_right(self, name, mode, world):
        self.wait(mode, world, SCENARIOS[name])
        assert not world.sandbox.requests

    @pytest.mark.parametrize("mode", MODES)
    def test_asks_for_its_own_account_once_and_only_when_it_matters(self, mode, world):
        scenario = done("はい", says("はい", by=BOT), says("誰"), says("はい"), matches="はい")
        self.wait(mode, world, scenario)
        operations = [request.operation for request in world.sandbox.requests]
        assert operations[:2] == ["list_messages"] * 2
        # Each process asks by itself, and each look in mode reschedule is another one.
        assert operations.count("get_me") == (3 if mode == "reschedule" else 1)

    @pytest.mark.parametrize("mode", MODES)
    def test_writes_nothing_and_moves_no_mark(self, mode, world):
        self.wait(mode, world, done("はい", nothing, says("はい")))
        assert {request.method for request in world.sandbox.requests} == {"GET"}
        polls = [request for request in world.sandbox.requests if request.operation == "list_messages"]
        assert {request.query["force"] for request in polls} == {"1"}

    @pytest.mark.parametrize("mode", MODES)
    def test_works_in_the_room_of_the_connection_where_it_names_none(self, mode, world):
        connect(world.monkeypatch, world.sandbox, default_room_id=ROOM)
        end = self.wait(mode, world, done("はい", says("はい"), room_id=None))
        assert end.how == "done"

    @pytest.mark.parametrize("mode", MODES)
    def test_tells_a_busy_room_from_one_that_may_have_hidden_something(self, mode, world):
        scenario = done("はい", *[chat(60)] * 3, says("はい"), matches="はい")
        # Without a store, a process does not know what the one before it has seen.
        assert self.wait(mode, world, scenario).result["possible_loss"] is (mode == "reschedule")

    @pytest.mark.parametrize("mode", MODES)
    def test_says_once_that_something_may_be_hidden(self, mode, world, caplog, capsys):
        scenario = done("はい", chat(140), chat(140), nothing, answers("はい"), reply_to=question)
        self.wait(mode, world, scenario)
        shown = capsys.readouterr()
        # Airflow's log goes here or there, depending on its version.
        said = max(text.count("may have been missed") for text in (caplog.text, shown.out, shown.err))
        # Each process says it by itself, and each look in mode reschedule is another one.
        assert said == (4 if mode == "reschedule" else 1)


class TestRendering:
    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_covers_every_argument_that_is_not_airflows(self, native, world, monkeypatch):
        connect(monkeypatch, world.sandbox, conn_id="chatwork_second")
        in_past(answers("却下"), answers("承認", by=YAMADA), answers("承認"), answers("承認"))(world)
        given = {
            "room_id": ROOM,
            "since": world.question,
            "from_account_ids": [SATO, TAKAHASHI],
            "matches": "承認",
            "reply_to": world.question,
            "chatwork_conn_id": "chatwork_second",
        }
        with new_dag("d", render_template_as_native_obj=native):
            sensor = ChatworkMessageSensor(
                task_id="wait", deferrable=False, **{name: f"{{{{ given['{name}'] }}}}" for name in given}
            )
        assert set(sensor.template_fields) == set(given)
        found = render(sensor, given=given).execute(context())
        assert found["message_id"] == world.sandbox.messages(ROOM)[-2]["message_id"]

    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    @pytest.mark.parametrize("name", ["from_account_ids", "matches", "reply_to"])
    def test_a_condition_that_renders_to_nothing_fails(self, name, native, world):
        in_past(says("はい"))(world)
        with new_dag("d", render_template_as_native_obj=native):
            sensor = ChatworkMessageSensor(
                task_id="wait", room_id=ROOM, since=world.question, deferrable=False, **{name: "{{ nothing }}"}
            )
        with pytest.raises(AirflowFailException, match=f"{name}="):
            render(sensor, nothing=None).execute(context())
        assert not world.sandbox.requests

    @pytest.mark.parametrize("nothing", ["", "None", "[]", [], ()])
    def test_nobody_is_not_everybody(self, nothing, world):
        sensor = ChatworkMessageSensor(task_id="wait", room_id=ROOM, from_account_ids=nothing, deferrable=False)
        with pytest.raises(AirflowFailException, match="from_account_ids="):
            sensor.execute(context())

    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_a_beginning_that_renders_to_nothing_is_none(self, native, world):
        with new_dag("d", render_template_as_native_obj=native):
            sensor = ChatworkMessageSensor(
                **{"task_id": "wait", "room_id": ROOM, "since": "{{ nothing }}", "matches": None},
                deferrable=False,
            )
        in_turn(says("はい"))(world)
        assert render(sensor, nothing=None).execute({})["text"] == "はい"


class TestBeginning:
    """When a wait began that was not told where to begin."""

    NOW = 1_800_000_000

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch):
        monkeypatch.setattr("time.time", lambda: self.NOW + 0.7)

    def since(self, task: Any, mode: str = "poke", **arguments: Any) -> Any:
        sensor = ChatworkMessageSensor(task_id="wait", room_id=ROOM, mode=mode, deferrable=False, **arguments)
        sensor.begin(task)
        assert sensor._cursor is not None
        return sensor._cursor.filter.since

    def task(self, ago: float | None = None, first_ago: float | None = None, **more: Any) -> Any:
        ti = FakeTaskInstance(waiting_since=self.at(first_ago))
        ti.start_date = self.at(ago)
        return {"ti": ti, **more}

    def at(self, ago: float | None) -> datetime | None:
        return None if ago is None else datetime.fromtimestamp(self.NOW + 0.7 - ago, UTC)

    def test_is_the_second_in_which_the_task_began(self, sandbox):
        assert self.since(self.task(ago=3.0)) == self.NOW - 3

    def test_is_now_where_nobody_knows_when_the_task_began(self, sandbox):
        assert self.since(self.task()) == self.NOW
        assert self.since({}) == self.NOW

    def test_is_that_of_the_first_process_where_each_look_is_one(self, sandbox):
        assert self.since(self.task(ago=3, first_ago=3600), "reschedule") == self.NOW - 3600
        assert self.since(self.task(ago=3), "reschedule") == self.NOW - 3
        assert self.since(self.task(ago=3, first_ago=3600), "poke") == self.NOW - 3

    def test_may_come_as_text(self, sandbox):
        task = self.task(ago=3)
        task["ti"].waiting_since = f"{self.at(3600):%FT%T.%fZ}"
        assert self.since(task, "reschedule") == self.NOW - 3600

    @pytest.mark.skipif(VERSION >= (3, 0), reason="Airflow 3 tells it through the task instance")
    def test_is_that_of_the_first_process_on_airflow_2_too(self, db, sandbox):
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
        sensor.begin({"ti": ti})
        assert sensor._cursor.filter.since == self.NOW - 3600

    @pytest.mark.parametrize("mode", ["poke", "reschedule"])
    def test_is_kept_for_the_tries_to_come(self, mode, sandbox):
        store = FakeStore()
        assert self.since(self.task(ago=100, task_state_store=store), mode) == self.NOW - 100
        assert self.since(self.task(ago=3, task_state_store=store), mode) == self.NOW - 100

    def test_is_another_one_where_the_task_was_cleared(self, sandbox):
        store = FakeStore()
        self.since(self.task(ago=100, task_state_store=store))
        cleared = self.task(ago=3, task_state_store=store)
        cleared["ti"].max_tries = 1
        assert self.since(cleared) == self.NOW - 3

    def test_is_behind_the_message_that_is_answered(self, sandbox):
        store = FakeStore()
        assert self.since(self.task(ago=3, task_state_store=store), reply_to=" 77 ") == "77"
        assert not store.kept

    def test_is_what_the_dag_says_before_all_else(self, sandbox):
        store = FakeStore()
        self.since(self.task(ago=100, task_state_store=store))
        told = self.since(self.task(ago=3, task_state_store=store), since=self.NOW - 50, reply_to="77")
        assert told == self.NOW - 50

    def test_is_not_lost_on_something_else_in_the_store(self, sandbox):
        store = FakeStore()
        store.set("chatwork_wait", "something else")
        assert self.since(self.task(ago=3, task_state_store=store)) == self.NOW - 3


class TestMemory:
    """What one process in mode ``reschedule`` knows of those before it."""

    def look(self, sandbox: ServedSandbox, store: FakeStore, question: str) -> Any:
        sensor = ChatworkMessageSensor(
            task_id="wait", room_id=ROOM, mode="reschedule", deferrable=False, since=question, matches="はい"
        )
        task = context(task_state_store=store)
        sensor.begin(task)
        assert sensor.look(task) is None
        return store.get("chatwork_wait")

    def test_is_where_the_newest_message_stands(self, db, world):
        store = FakeStore()
        for _ in range(3):
            world.chat(60)
            newest = world.sandbox.messages(ROOM)[-1]
            kept = self.look(world.sandbox, store, world.question)
            assert kept["seen"] == [newest["send_time"], int(newest["message_id"])]
            assert kept["possible_loss"] is False

    def test_is_that_something_may_be_hidden(self, db, world):
        store = FakeStore()
        for chatter in (140, 0, 10):
            world.chat(chatter)
            assert self.look(world.sandbox, store, world.question)["possible_loss"] is True

    def test_is_not_written_where_nothing_is_new(self, db, world):
        store = FakeStore()
        self.look(world.sandbox, store, world.question)
        store.set = None  # type: ignore[method-assign,assignment]
        self.look(world.sandbox, store, world.question)


class TestDeferral:
    def defer(self, world: World, **arguments: Any) -> Any:
        sensor = ChatworkMessageSensor(task_id="wait", deferrable=True, room_id=ROOM, **arguments)
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute(context())
        return caught.value

    def test_looks_once_before_it_takes_a_place_in_the_triggerer(self, world):
        self.defer(world)
        assert [request.operation for request in world.sandbox.requests] == ["list_messages"]

    def test_hands_every_option_to_the_trigger(self, world, monkeypatch):
        connect(monkeypatch, world.sandbox, conn_id="chatwork_second")
        world.chat(140)
        newest = world.sandbox.messages(ROOM)[-1]
        monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
        deferred = self.defer(
            world,
            since=world.question,
            from_account_ids=f"{SATO},{YAMADA}",
            matches="承認",
            reply_to=f" {world.question}",
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
            "since": world.question,
            "from_account_ids": [SATO, YAMADA],
            "matches": "承認",
            "reply_to": world.question,
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

    def test_hands_the_beginning_of_the_wait_to_the_trigger(self, world, monkeypatch):
        monkeypatch.setattr("time.time", lambda: 1_800_000_000.5)
        _, arguments = self.defer(world).trigger.serialize()
        assert arguments["since"] == 1_800_000_000
