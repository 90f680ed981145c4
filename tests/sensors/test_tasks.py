from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_chatwork.links import PLACE_KEY
from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.sandbox.served import ServedSandbox
from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor
from tests.airflow_side import connect, context, new_dag, render
from tests.sensors.waits import MODES, End, wait

ROOM = company.DATA_ROOM
PEOPLE = [company.SATO, company.YAMADA, company.TAKAHASHI]


class World:
    """The sandbox with tasks to wait for, and what may happen to them."""

    def __init__(self, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.monkeypatch = monkeypatch
        self.tasks = sandbox.assign(ROOM, company.BOT, PEOPLE, "確認")

    def tick(self, *which: int) -> None:
        for index in which:
            self.sandbox.tick(ROOM, self.tasks[index])

    def delete(self, index: int) -> None:
        self.sandbox.delete_task(ROOM, self.tasks[index])

    def leave_the_room(self) -> None:
        self.sandbox.remove_member(ROOM, company.BOT)

    def join_the_room(self) -> None:
        self.sandbox.add_member(ROOM, company.BOT, "member")

    def break_down(self, **fault: Any) -> None:
        self.sandbox.misbehave(Fault(**{"kind": "status", "times": None, **fault}))

    def recover(self) -> None:
        self.sandbox.behave()

    def lose_the_connection(self) -> None:
        self.monkeypatch.delenv("AIRFLOW_CONN_CHATWORK_DEFAULT")

    def get_the_connection(self) -> None:
        connect(self.monkeypatch, self.sandbox)

    def fill_the_room(self) -> None:
        for index in range(60):
            self.sandbox.assign(ROOM, company.YAMADA, [company.SATO, company.TAKAHASHI], f"open {index}")
            for task_id in self.sandbox.assign(ROOM, company.YAMADA, [company.SATO, company.TAKAHASHI], "done"):
                self.sandbox.tick(ROOM, task_id)


def nothing() -> None:
    """What happens while nobody acts."""


Steps = list[Callable[[], object]]

# What people do, the sensor's arguments, how the wait ends; the same in all modes.
SCENARIOS: dict[str, tuple[Callable[[World], Steps], dict[str, Any], End]] = {
    "all": (lambda w: [lambda: w.tick(1), lambda: w.tick(0), lambda: w.tick(2)], {}, End("done")),
    "all already done": (lambda w: [w.tick(0, 1, 2)] and [], {}, End("done")),
    "any": (lambda w: [nothing, lambda: w.tick(2)], {"complete_when": "any"}, End("done")),
    "two of three": (lambda w: [lambda: w.tick(2), lambda: w.tick(0)], {"complete_when": 2}, End("done")),
    "two of three as text": (lambda w: [lambda: w.tick(2, 1)], {"complete_when": "2"}, End("done")),
    "reopened in between": (
        lambda w: [
            lambda: w.tick(0, 1),
            lambda: w.sandbox.untick(ROOM, w.tasks[0]),
            lambda: w.tick(2),
            lambda: w.tick(0),
        ],
        {},
        End("done"),
    ),
    "a room of hundreds": (
        lambda w: [w.fill_the_room(), w.tick(0)] and [nothing, lambda: w.tick(1), lambda: w.tick(2)],
        {},
        End("done"),
    ),
    "deleted task": (lambda w: [lambda: w.delete(1)], {}, End("failed for good", "ChatworkNotFoundError")),
    "task deleted before": (lambda w: [w.delete(1)] and [], {}, End("failed for good", "ChatworkNotFoundError")),
    "lost room": (lambda w: [w.leave_the_room], {}, End("failed for good", "ChatworkForbiddenError")),
    "revoked token": (
        lambda w: [lambda: w.break_down(status=401)],
        {},
        End("failed for good", "ChatworkAuthError"),
    ),
    "outage": (
        lambda w: [lambda: w.break_down(status=503), nothing, lambda: (w.recover(), w.tick(0, 1, 2))],
        {},
        End("done"),
    ),
    "outage from the start": (
        lambda w: [w.break_down(status=500), w.tick(0, 1, 2)] and [nothing, w.recover],
        {},
        End("done"),
    ),
    "rate limit": (
        lambda w: [lambda: w.break_down(status=429), lambda: (w.recover(), w.tick(0, 1, 2))],
        {},
        End("done"),
    ),
    "no network": (
        lambda w: [lambda: w.break_down(kind="refuse"), lambda: (w.recover(), w.tick(0, 1, 2))],
        {},
        End("done"),
    ),
    "unreadable answer": (
        lambda w: [lambda: w.break_down(kind="malformed", shape="html"), lambda: (w.recover(), w.tick(0, 1, 2))],
        {},
        End("done"),
    ),
    "timeout": (lambda w: [nothing], {"timeout": 0}, End("timed out")),
    "timeout in an outage": (lambda w: [w.break_down(status=503)] and [nothing], {"timeout": 0}, End("timed out")),
    "done at the last look": (lambda w: [w.tick(0, 1, 2)] and [], {"timeout": 0}, End("done")),
    "lost connection": (lambda w: [w.lose_the_connection], {}, End("failed")),
    "soft_fail, timeout": (lambda w: [nothing], {"timeout": 0, "soft_fail": True}, End("skipped")),
    "soft_fail, deleted task": (
        lambda w: [lambda: w.delete(1)],
        {"soft_fail": True},
        End("failed for good", "ChatworkNotFoundError"),
    ),
    "soft_fail, task deleted before": (
        lambda w: [w.delete(1)] and [],
        {"soft_fail": True},
        End("failed for good", "ChatworkNotFoundError"),
    ),
    "soft_fail, lost connection": (lambda w: [w.lose_the_connection], {"soft_fail": True}, End("failed")),
    "never_fail, timeout": (lambda w: [nothing], {"timeout": 0, "never_fail": True}, End("skipped")),
    "never_fail, deleted task": (lambda w: [lambda: w.delete(1)], {"never_fail": True}, End("skipped")),
    "never_fail, task deleted before": (lambda w: [w.delete(1)] and [], {"never_fail": True}, End("skipped")),
    "never_fail, lost connection": (lambda w: [w.lose_the_connection], {"never_fail": True}, End("skipped")),
    "never_fail, no connection": (
        lambda w: [w.lose_the_connection()] and [],
        {"never_fail": True},
        End("skipped"),
    ),
    "never_fail, bad argument": (lambda w: [], {"never_fail": True, "complete_when": "most"}, End("skipped")),
    "silent_fail, lost room": (
        lambda w: [w.leave_the_room, nothing, w.join_the_room, lambda: w.tick(0, 1, 2)],
        {"silent_fail": True},
        End("done"),
    ),
    "silent_fail, lost connection": (
        lambda w: [w.lose_the_connection, nothing, w.get_the_connection, lambda: w.tick(0, 1, 2)],
        {"silent_fail": True},
        End("done"),
    ),
    "silent_fail, no connection": (
        lambda w: [w.lose_the_connection(), w.tick(0, 1, 2)] and [nothing, w.get_the_connection],
        {"silent_fail": True},
        End("done"),
    ),
    "silent_fail, deleted task, timeout": (
        lambda w: [w.delete(1)] and [nothing],
        {"silent_fail": True, "timeout": 0},
        End("timed out"),
    ),
    "silent_fail, bad argument": (
        lambda w: [],
        {"silent_fail": True, "complete_when": 4},
        End("failed for good", "ChatworkParameterError"),
    ),
    "no such word": (lambda w: [], {"complete_when": "most"}, End("failed for good", "ChatworkParameterError")),
    "none of them": (lambda w: [], {"complete_when": 0}, End("failed for good", "ChatworkParameterError")),
    "more than there are": (lambda w: [], {"complete_when": 4}, End("failed for good", "ChatworkParameterError")),
    "no tasks": (lambda w: [], {"task_ids": []}, End("failed for good", "ChatworkParameterError")),
    "no room": (lambda w: [], {"room_id": None}, End("failed for good", "ChatworkParameterError")),
    "no such room": (lambda w: [], {"room_id": "general"}, End("failed for good", "ChatworkParameterError")),
}
# A worker that pokes has read the connection and keeps to it.
UNNOTICED = {("poke", name) for name in SCENARIOS if name.endswith("lost connection") and "silent" not in name}
SENDING_NOTHING = [name for name, (_, _, end) in SCENARIOS.items() if end.cause == "ChatworkParameterError"]


class TestEveryMode:
    @pytest.fixture
    def world(self, db: None, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> World:
        sandbox.limits = Limits.off()
        return World(sandbox, monkeypatch)

    @pytest.mark.parametrize(
        ("mode", "scenario"), [(mode, name) for name in SCENARIOS for mode in MODES if (mode, name) not in UNNOTICED]
    )
    def test_ends_alike(self, mode, scenario, world, monkeypatch):
        happens, arguments, expected = SCENARIOS[scenario]
        end = wait(mode, monkeypatch, happens(world), **{"room_id": ROOM, "task_ids": world.tasks, **arguments})
        assert (end.how, end.cause) == (expected.how, expected.cause)
        if expected.how != "done":
            assert end.xcoms == {}
            return
        tasks = {task["task_id"]: task for task in world.sandbox.tasks(ROOM)}
        assert end.result == [
            {
                "task_id": task_id,
                "status": tasks[task_id]["status"],
                "account_id": account_id,
                "account_name": tasks[task_id]["account"]["name"],
                "message_id": tasks[task_id]["message_id"],
            }
            for task_id, account_id in zip(world.tasks, PEOPLE, strict=True)
        ]
        place = {
            "room_id": str(ROOM),
            "message_id": tasks[world.tasks[0]]["message_id"],
            "web_url": str(world.sandbox.address),
        }
        assert end.xcoms == {PLACE_KEY: place}

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("scenario", SENDING_NOTHING)
    def test_sends_nothing_where_an_argument_cannot_be_right(self, scenario, mode, world, monkeypatch):
        _, arguments, _ = SCENARIOS[scenario]
        wait(mode, monkeypatch, **{"room_id": ROOM, "task_ids": world.tasks, **arguments})
        assert not world.sandbox.requests

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(
        "write",
        [list, tuple, lambda ids: ",".join(map(str, ids)), lambda ids: str(ids), lambda ids: [str(i) for i in ids]],
        ids=["list", "tuple", "csv", "rendered", "texts"],
    )
    def test_takes_tasks_in_every_form(self, write, mode, world, monkeypatch):
        world.tick(0, 1, 2)
        end = wait(mode, monkeypatch, room_id=str(ROOM), task_ids=write(world.tasks))
        assert [state["task_id"] for state in end.result] == world.tasks

    @pytest.mark.parametrize("mode", MODES)
    def test_works_in_the_room_of_the_connection_where_it_names_none(self, mode, world, monkeypatch):
        connect(monkeypatch, world.sandbox, default_room_id=ROOM)
        end = wait(mode, monkeypatch, [lambda: world.tick(0)], task_ids=world.tasks[0])
        assert end.how == "done"

    @pytest.mark.parametrize("mode", MODES)
    def test_writes_and_speaks_of_nothing(self, mode, world, monkeypatch):
        steps = [nothing, lambda: world.tick(0, 1, 2)]
        wait(mode, monkeypatch, steps, room_id=ROOM, task_ids=world.tasks)
        assert {request.method for request in world.sandbox.requests} == {"GET"}


class TestRendering:
    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_covers_every_argument_that_is_not_airflows(self, native, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, conn_id="chatwork_second")
        tasks = sandbox.assign(ROOM, company.BOT, PEOPLE, "確認")
        sandbox.tick(ROOM, tasks[1])
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
        [task_id] = sandbox.assign(ROOM, company.BOT, [company.SATO], "確認")
        sensor = ChatworkTaskDoneSensor(task_id="wait", deferrable=True, room_id=ROOM, task_ids=task_id, **arguments)
        with pytest.raises(TaskDeferred) as caught:
            sensor.execute(context())
        return caught.value

    def test_looks_once_before_it_takes_a_place_in_the_triggerer(self, sandbox):
        self.defer(sandbox)
        assert [request.operation for request in sandbox.requests] == ["get_task"]

    def test_hands_every_option_to_the_trigger(self, sandbox, monkeypatch):
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
        )
        _, arguments = deferred.trigger.serialize()
        assert arguments == {
            "chatwork_conn_id": "chatwork_second",
            "room_id": ROOM,
            "task_ids": [task["task_id"] for task in sandbox.tasks(ROOM)][-1:],
            "complete_when": "any",
            "poke_interval": 7.0,
            "deadline": 1_800_003_600.0,
            "exponential_backoff": True,
            "max_interval": 90.0,
            "silent_fail": True,
        }

    def test_leaves_airflow_a_later_deadline_than_the_trigger(self, sandbox):
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
    def test_takes_the_deadline_of_airflow_for_its_own(self, error, arguments, end):
        # The first is how Airflow 3 says it, the second how 2.11 does.
        sensor = ChatworkTaskDoneSensor(task_id="wait", deferrable=True, room_id=ROOM, task_ids=1, **arguments)
        with pytest.raises(end):
            sensor.resume_execution("__fail__", {"error": error}, context())

    def test_fails_with_what_chatwork_said_to_the_trigger(self):
        sensor = ChatworkTaskDoneSensor(task_id="wait", deferrable=True, room_id=ROOM, task_ids=1)
        error = {"class": "ChatworkForbiddenError", "args": ["get_task", 403, ["not a member"]]}
        with pytest.raises(AirflowFailException, match="not a member"):
            sensor.resume_execution("execute_complete", {"event": {"status": "refused", "error": error}}, context())
