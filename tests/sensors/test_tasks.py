from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_chatwork.links import PLACE_KEY
from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor
from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger
from tests.airflow_helpers import VERSION, connect, context, new_dag, render
from tests.sensors.waits import MODES, End, wait

ROOM = company.DATA_ROOM
PEOPLE = [company.SATO, company.YAMADA, company.TAKAHASHI]


class World:
    """The sandbox with tasks to wait for, and what may happen to them."""

    def __init__(self, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.monkeypatch = monkeypatch
        self.tasks = sandbox.create_task(ROOM, company.BOT, PEOPLE, "確認")

    def tick(self, *which: int) -> None:
        for index in which:
            self.sandbox.complete_task(ROOM, self.tasks[index])

    def delete(self, index: int) -> None:
        self.sandbox.delete_task(ROOM, self.tasks[index])

    def leave_the_room(self) -> None:
        self.sandbox.remove_member(ROOM, company.BOT)

    def join_the_room(self) -> None:
        self.sandbox.add_member(ROOM, company.BOT, "member")

    def break_down(self, **fault: Any) -> None:
        self.sandbox.add_fault(Fault(**{"kind": "status", "times": None, **fault}))

    def recover(self) -> None:
        self.sandbox.clear_faults()

    def lose_the_connection(self) -> None:
        self.monkeypatch.delenv("AIRFLOW_CONN_CHATWORK_DEFAULT")

    def get_the_connection(self) -> None:
        connect(self.monkeypatch, self.sandbox)

    def fill_the_room(self) -> None:
        for index in range(60):
            self.sandbox.create_task(ROOM, company.YAMADA, [company.SATO, company.TAKAHASHI], f"open {index}")
            for task_id in self.sandbox.create_task(ROOM, company.YAMADA, [company.SATO, company.TAKAHASHI], "done"):
                self.sandbox.complete_task(ROOM, task_id)


Happening = Callable[[World], object]


def nothing(world: World) -> None:
    """What happens while nobody acts."""


def tick_all(world: World) -> None:
    world.tick(0, 1, 2)


def recover_and_tick(world: World) -> None:
    world.recover()
    world.tick(0, 1, 2)


@dataclass
class Scenario:
    """What happens before the wait and between the looks, and how it ends: the same in all modes."""

    how: str
    cause: str | None = None
    before: Happening = nothing
    between: Sequence[Happening] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)


def done(*between: Happening, before: Happening = nothing, **arguments: Any) -> Scenario:
    return Scenario("done", None, before, between, arguments)


def fails(cause: str, *between: Happening, before: Happening = nothing, **arguments: Any) -> Scenario:
    return Scenario("failed for good", cause, before, between, arguments)


def ends(how: str, *between: Happening, before: Happening = nothing, **arguments: Any) -> Scenario:
    return Scenario(how, None, before, between, arguments)


def delete_one(world: World) -> None:
    world.delete(1)


SCENARIOS = {
    "all": done(lambda w: w.tick(1), lambda w: w.tick(0), lambda w: w.tick(2)),
    "all already done": done(before=tick_all),
    "any": done(nothing, lambda w: w.tick(2), complete_when="any"),
    "two of three": done(lambda w: w.tick(2), lambda w: w.tick(0), complete_when=2),
    "two of three as text": done(lambda w: w.tick(2, 1), complete_when="2"),
    "reopened in between": done(
        lambda w: w.tick(0, 1),
        lambda w: w.sandbox.reopen_task(ROOM, w.tasks[0]),
        lambda w: w.tick(2),
        lambda w: w.tick(0),
    ),
    "a room of hundreds": done(
        nothing, lambda w: w.tick(0), lambda w: w.tick(1), lambda w: w.tick(2), before=World.fill_the_room
    ),
    "deleted task": fails("ChatworkNotFoundError", delete_one),
    "task deleted before": fails("ChatworkNotFoundError", before=delete_one),
    "any, one deleted": done(delete_one, nothing, lambda w: w.tick(2), complete_when="any"),
    "two of three, two deleted": fails("ChatworkNotFoundError", delete_one, lambda w: w.delete(0), complete_when=2),
    "lost room": fails("ChatworkForbiddenError", World.leave_the_room),
    "revoked token": fails("ChatworkAuthError", lambda w: w.break_down(status=401)),
    "outage": done(lambda w: w.break_down(status=503), nothing, recover_and_tick),
    "outage from the start": done(nothing, recover_and_tick, before=lambda w: w.break_down(status=500)),
    "rate limit": done(lambda w: w.break_down(status=429), recover_and_tick),
    "no network": done(lambda w: w.break_down(kind="refuse"), recover_and_tick),
    "unreadable answer": done(lambda w: w.break_down(kind="malformed", shape="html"), recover_and_tick),
    "redirect": ends("failed", lambda w: w.break_down(status=302)),
    "soft_fail, redirect": ends("failed", lambda w: w.break_down(status=302), soft_fail=True),
    "timeout": ends("timed out", nothing, timeout=0),
    "timeout in an outage": ends("timed out", nothing, before=lambda w: w.break_down(status=503), timeout=0),
    "done at the last look": done(before=tick_all, timeout=0),
    "lost connection": ends("failed", World.lose_the_connection),
    "soft_fail, timeout": ends("skipped", nothing, timeout=0, soft_fail=True),
    "soft_fail, deleted task": fails("ChatworkNotFoundError", delete_one, soft_fail=True),
    "soft_fail, task deleted before": fails("ChatworkNotFoundError", before=delete_one, soft_fail=True),
    "soft_fail, lost connection": ends("failed", World.lose_the_connection, soft_fail=True),
    "never_fail, timeout": ends("skipped", nothing, timeout=0, never_fail=True),
    "never_fail, deleted task": ends("skipped", delete_one, never_fail=True),
    "never_fail, task deleted before": ends("skipped", before=delete_one, never_fail=True),
    "never_fail, lost connection": ends("skipped", World.lose_the_connection, never_fail=True),
    "never_fail, no connection": ends("skipped", before=World.lose_the_connection, never_fail=True),
    "never_fail, bad argument": ends("skipped", never_fail=True, complete_when="most"),
    "silent_fail, lost room": done(World.leave_the_room, nothing, World.join_the_room, tick_all, silent_fail=True),
    "silent_fail, lost connection": done(
        World.lose_the_connection, nothing, World.get_the_connection, tick_all, silent_fail=True
    ),
    "silent_fail, no connection": done(
        nothing, World.get_the_connection, tick_all, before=World.lose_the_connection, silent_fail=True
    ),
    "silent_fail, deleted task, timeout": ends("timed out", nothing, before=delete_one, silent_fail=True, timeout=0),
    "silent_fail, bad argument": fails("ChatworkParameterError", silent_fail=True, complete_when=4),
    "no such word": fails("ChatworkParameterError", complete_when="most"),
    "none of them": fails("ChatworkParameterError", complete_when=0),
    "more than there are": fails("ChatworkParameterError", complete_when=4),
    "no tasks": fails("ChatworkParameterError", task_ids=[]),
    "no room": fails("ChatworkParameterError", room_id=None),
    "no such room": fails("ChatworkParameterError", room_id="general"),
}
# A worker that pokes has read the connection and keeps to it.
UNNOTICED = {("poke", name) for name in SCENARIOS if name.endswith("lost connection") and "silent" not in name}
SENDING_NOTHING = [name for name, scenario in SCENARIOS.items() if scenario.cause == "ChatworkParameterError"]


class TestEveryMode:
    @pytest.fixture
    def world(self, db: None, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> World:
        sandbox.limits = Limits.off()
        return World(sandbox, monkeypatch)

    def wait(self, mode: str, world: World, scenario: Scenario) -> End:
        between = [partial(happening, world) for happening in scenario.between]
        given = {"room_id": ROOM, "task_ids": world.tasks, **scenario.arguments}
        return wait(mode, world.monkeypatch, world.sandbox, between, **given)

    @pytest.mark.parametrize(
        ("mode", "name"), [(mode, name) for name in SCENARIOS for mode in MODES if (mode, name) not in UNNOTICED]
    )
    def test_has_the_same_result(self, mode, name, world):
        scenario = SCENARIOS[name]
        scenario.before(world)
        end = self.wait(mode, world, scenario)
        assert (end.how, end.cause) == (scenario.how, scenario.cause)
        if scenario.how != "done":
            room = {"room_id": str(ROOM), "message_id": None, "web_url": str(world.sandbox.address)}
            nowhere = name in SENDING_NOTHING or name.endswith(("no connection", "bad argument"))
            assert end.xcoms == ({} if nowhere else {PLACE_KEY: room})
            return
        tasks = {task["task_id"]: task for task in world.sandbox.tasks(ROOM)}
        gone = {"status": "deleted", "account_id": 0, "account_name": "", "message_id": ""}
        assert end.result == [
            {
                "task_id": task_id,
                "status": tasks[task_id]["status"],
                "account_id": account_id,
                "account_name": tasks[task_id]["account"]["name"],
                "message_id": tasks[task_id]["message_id"],
            }
            if task_id in tasks
            else {"task_id": task_id, **gone}
            for task_id, account_id in zip(world.tasks, PEOPLE, strict=True)
        ]
        place = {
            "room_id": str(ROOM),
            "message_id": tasks[world.tasks[0]]["message_id"],
            "web_url": str(world.sandbox.address),
        }
        assert end.xcoms == {PLACE_KEY: place}

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("name", SENDING_NOTHING)
    def test_sends_nothing_with_a_wrong_argument(self, name, mode, world):
        self.wait(mode, world, SCENARIOS[name])
        assert not world.sandbox.requests

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(
        "write",
        [list, tuple, lambda ids: ",".join(map(str, ids)), lambda ids: str(ids), lambda ids: [str(i) for i in ids]],
        ids=["list", "tuple", "csv", "rendered", "texts"],
    )
    def test_accepts_tasks_in_every_form(self, write, mode, world, monkeypatch):
        world.tick(0, 1, 2)
        end = wait(mode, monkeypatch, world.sandbox, room_id=str(ROOM), task_ids=write(world.tasks))
        assert [state["task_id"] for state in end.result] == world.tasks

    @pytest.mark.parametrize("mode", MODES)
    def test_uses_the_room_of_the_connection_by_default(self, mode, world, monkeypatch):
        connect(monkeypatch, world.sandbox, default_room_id=ROOM)
        end = wait(mode, monkeypatch, world.sandbox, [lambda: world.tick(0)], task_ids=world.tasks[0])
        assert end.how == "done"

    @pytest.mark.parametrize("mode", MODES)
    def test_posts_nothing(self, mode, world, monkeypatch):
        steps = [lambda: world.tick(0), lambda: world.tick(1, 2)]
        wait(mode, monkeypatch, world.sandbox, steps, room_id=ROOM, task_ids=world.tasks)
        assert {request.method for request in world.sandbox.requests} == {"GET"}


class TestRendering:
    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_covers_every_argument_of_ours(self, native, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, conn_id="chatwork_second")
        tasks = sandbox.create_task(ROOM, company.BOT, PEOPLE, "確認")
        sandbox.complete_task(ROOM, tasks[1])
        given = {"room_id": ROOM, "task_ids": tasks, "complete_when": 1, "chatwork_conn_id": "chatwork_second"}
        with new_dag("d", render_template_as_native_obj=native):
            sensor = ChatworkTaskDoneSensor(
                task_id="wait", deferrable=False, **{name: f"{{{{ given['{name}'] }}}}" for name in given}
            )
        assert set(sensor.template_fields) == set(given)
        result = render(sensor, given=given).execute(context())
        assert [state["status"] for state in result] == ["open", "done", "open"]


class TestDeferral:
    def defer(self, sandbox: ServedSandbox, **arguments: Any) -> TaskDeferred:
        [task_id] = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sensor = ChatworkTaskDoneSensor(task_id="wait", deferrable=True, room_id=ROOM, task_ids=task_id, **arguments)
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute(context())
        return caught.value

    def test_polls_once_before_it_defers(self, sandbox):
        self.defer(sandbox)
        assert [request.operation for request in sandbox.requests] == ["get_task"]

    @pytest.mark.parametrize("arguments", [{"deferrable": True}, {"mode": "reschedule"}], ids=str)
    def test_does_not_wait_for_the_rate_limit_in_the_worker(self, arguments, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, max_wait=300)
        monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"slept {seconds} s"))
        reset = {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(time.time() + 200)}
        [task_id] = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.add_fault(Fault(kind="status", status=429, headers=reset, times=None))
        sensor = ChatworkTaskDoneSensor(task_id="wait", room_id=ROOM, task_ids=task_id, **arguments)
        with pytest.raises(BaseException) as caught:  # noqa: PT011 # The SDK does not name that of a reschedule.
            sensor.execute(context())
        assert type(caught.value).__name__ in ("TaskDeferred", "AirflowRescheduleException")

    def test_passes_every_option_to_the_trigger(self, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, conn_id="chatwork_second")
        monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
        deferred = self.defer(
            sandbox,
            complete_when="any",
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
            "task_ids": [task["task_id"] for task in sandbox.tasks(ROOM)][-1:],
            "complete_when": "any",
            "assignees": {str(sandbox.tasks(ROOM)[-1]["task_id"]): company.SATO},
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

    def test_has_a_later_timeout_than_the_trigger(self, sandbox):
        assert self.defer(sandbox, timeout=60).timeout > timedelta(seconds=60)

    @pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
    @pytest.mark.parametrize(
        ("arguments", "end"),
        [
            ({}, AirflowSensorTimeout),
            ({"soft_fail": True}, AirflowSkipException),
            ({"never_fail": True}, AirflowSkipException),
        ],
    )
    def test_ends_at_airflows_timeout_as_at_its_own(self, error, arguments, end, sandbox):
        # The first is how Airflow 3 says it, the second how 2.11 does.
        [task_id] = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sensor = ChatworkTaskDoneSensor(task_id="wait", deferrable=True, room_id=ROOM, task_ids=task_id, **arguments)
        with pytest.raises(end):
            sensor.resume_execution("__fail__", {"error": error}, context())

    def test_counts_what_was_done_while_no_triggerer_was_running(self, sandbox):
        [task_id] = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sensor = ChatworkTaskDoneSensor(task_id="wait", deferrable=True, room_id=ROOM, task_ids=task_id)
        sandbox.complete_task(ROOM, task_id)
        [state] = sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, context())
        assert state["status"] == "done"

    def test_fails_with_the_error_of_the_trigger(self):
        sensor = ChatworkTaskDoneSensor(task_id="wait", deferrable=True, room_id=ROOM, task_ids=1)
        error = {"class": "ChatworkForbiddenError", "args": ["get_task", 403, ["not a member"]]}
        with pytest.raises(AirflowFailException, match="not a member"):
            sensor.resume_execution("execute_complete", {"event": {"status": "error", "error": error}}, context())


class TestWithoutAWorker:
    """A wait that begins in the triggerer, ends there, or both."""

    def sensor(self, **arguments: Any) -> ChatworkTaskDoneSensor:
        given: dict[str, Any] = {"task_ids": "{{ ti.xcom_pull('give') }}", "room_id": "{{ var.value.room }}"}
        return ChatworkTaskDoneSensor(task_id="wait", deferrable=False, **{**given, **arguments})

    @pytest.mark.skipif(VERSION < (3, 3), reason="begins in a worker there")
    @pytest.mark.parametrize(
        ("minutes", "left"), [(5, 0.0), (60, 0.0), (90, 1800.0), (120, 3600.0), (1000, 3600.0)], ids=str
    )
    def test_has_a_deadline_before_airflows_own(self, minutes, left):
        # Airflow's deadline is that limit, where it is less than what the sensor asks for: an hour, and one more.
        sensor = self.sensor(start_from_trigger=True, timeout=3600, execution_timeout=timedelta(minutes=minutes))
        assert sensor.start_trigger_args is not None
        assert sensor.start_trigger_args.trigger_kwargs is not None
        assert sensor.start_trigger_args.trigger_kwargs["before_timeout"] == left

    @pytest.mark.skipif(VERSION < (3, 3), reason="begins in a worker there")
    def test_passes_everything_to_the_triggerer(self):
        sensor = self.sensor(
            complete_when=2,
            start_from_trigger=True,
            end_from_trigger=True,
            timeout=3600,
            poke_interval=7,
            soft_fail=True,
        )
        start = sensor.start_trigger_args
        assert sensor.start_from_trigger is True
        assert start is not None
        assert start.trigger_cls == "airflow_provider_chatwork.triggers.tasks.ChatworkTaskDoneTrigger"
        assert start.next_method == "execute_complete"
        assert start.timeout == timedelta(hours=2)
        trigger = ChatworkTaskDoneTrigger(**start.trigger_kwargs or {})
        assert trigger.serialize()[1] == {
            "chatwork_conn_id": "chatwork_default",
            "room_id": "{{ var.value.room }}",
            "task_ids": "{{ ti.xcom_pull('give') }}",
            "complete_when": 2,
            "assignees": {},
            "poke_interval": 7.0,
            "deadline": None,
            "before_timeout": 3600.0,
            "exponential_backoff": False,
            "max_interval": None,
            "silent_fail": False,
            "soft_fail": True,
            "never_fail": False,
            "do_xcom_push": True,
            "end_from_trigger": True,
        }

    @pytest.mark.skipif(VERSION < (3, 3), reason="begins in a worker there")
    def test_is_the_same_in_a_serialised_dag(self):
        from airflow.serialization.serialized_objects import DagSerialization

        with new_dag("d") as dag:
            give = ChatworkCreateTaskOperator(task_id="give", body="確認", to_ids=[company.SATO])
            self.sensor(task_ids=give.output, start_from_trigger=True)
        task = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("wait")
        assert task.start_from_trigger is True
        assert task.upstream_task_ids == {"give"}
        assert "xcom_pull(task_ids='give'" in str(task.start_trigger_args.trigger_kwargs)

    @pytest.mark.skipif(VERSION >= (3, 3), reason="begins in the triggerer there")
    def test_begins_in_a_worker_on_older_airflows(self):
        with pytest.warns(UserWarning, match="start_from_trigger=True needs Airflow 3.3"):
            sensor = self.sensor(start_from_trigger=True)
        assert sensor.deferrable is True
        assert not sensor.start_from_trigger

    @pytest.mark.skipif(VERSION >= (3, 0), reason="ends in the triggerer there")
    def test_ends_in_a_worker_on_older_airflows(self):
        with pytest.warns(UserWarning, match="end_from_trigger=True needs Airflow 3.0"):
            sensor = self.sensor(end_from_trigger=True)
        assert sensor.end_from_trigger is False
