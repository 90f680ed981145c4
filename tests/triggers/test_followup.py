"""What is the trigger's own. How it waits is in ``tests/operators/test_waiting.py``, next to how a worker does."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_chatwork.api.task_course import new_track
from airflow_provider_chatwork.followup import Escalation, FollowUp, Reminder
from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers.followup import ChatworkFollowUpTrigger
from tests.airflow_side import VERSION
from tests.virtual_time import START, VirtualLoop, accounts, run_virtually

ROOM = company.DATA_ROOM
FOLLOW_UP = FollowUp(reminders=Reminder(every=60), escalation=Escalation(mentions=3), zone="UTC", lang="en")
# Every argument, and none of them as it would be by itself.
ARGUMENTS: dict[str, Any] = {
    "chatwork_conn_id": "chatwork_second",
    "given": {
        "room_id": 5,
        "message_id": "77",
        "created_at": 1_799_999_000.0,
        "deadline": 1_800_000_000.25,
        "needed": 1,
        "tracks": [new_track(None, 1.0, account_id=3), new_track(7, 1.0), new_track(8, 1.0)],
    },
    "follow_up": FOLLOW_UP.to_plain(),
    "withdraw": True,
    "poke_interval": 11.5,
    "deadline": 1_800_000_000.25,
    "exponential_backoff": True,
    "max_interval": 90.0,
    "silent_fail": True,
}


def trigger(task_ids: list[int], **changed: Any) -> ChatworkFollowUpTrigger:
    given = {
        "room_id": ROOM,
        "message_id": None,
        "created_at": START,
        "deadline": START + 3600,
        "needed": len(task_ids),
        "tracks": [new_track(task_id, START) for task_id in task_ids],
    }
    arguments = {
        "chatwork_conn_id": "chatwork_default",
        "given": given,
        "follow_up": {},
        "poke_interval": 60,
        "deadline": START + 3600,
        **changed,
    }
    return ChatworkFollowUpTrigger(**json.loads(json.dumps(arguments)))


def events(sandbox: Any, waiting: ChatworkFollowUpTrigger) -> list[Any]:
    async def main(loop: VirtualLoop) -> list[Any]:
        with accounts(sandbox, loop.unix_time):
            return [event.payload async for event in waiting.run()]

    return run_virtually(main)


class TestSerialize:
    def test_keeps_every_argument(self) -> None:
        own = inspect.signature(ChatworkFollowUpTrigger.__init__).parameters
        parameters = {**inspect.signature(ChatworkTrigger.__init__).parameters, **own}
        assert set(ARGUMENTS) == set(parameters) - {"self", "kwargs"}
        for name, parameter in parameters.items():
            assert name not in ARGUMENTS or parameter.default != ARGUMENTS[name], f"{name} is what it is by itself"
        path, arguments = json.loads(json.dumps(ChatworkFollowUpTrigger(**ARGUMENTS).serialize()))
        assert path == f"{ChatworkFollowUpTrigger.__module__}.{ChatworkFollowUpTrigger.__name__}"
        assert arguments == ARGUMENTS
        assert ChatworkFollowUpTrigger(**arguments).serialize() == (path, ARGUMENTS)

    def test_keeps_them_as_they_were_while_it_runs(self, sandbox: Any) -> None:
        sandbox.limits = Limits.off()
        tasks = sandbox.assign(ROOM, company.BOT, [company.SATO], "確認")
        waiting = trigger(tasks)
        before = json.dumps(waiting.serialize())
        events(sandbox, waiting)
        assert json.dumps(waiting.serialize()) == before


class TestRun:
    def test_ends_with_one_event_of_plain_json(self, sandbox: Any) -> None:
        tasks = sandbox.assign(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.tick(ROOM, tasks[0])
        [event] = events(sandbox, trigger(tasks))
        assert json.loads(json.dumps(event)) == event
        assert event["status"] == "done"
        assert [(track["task_id"], track["status"]) for track in event["given"]["tracks"]] == [(tasks[0], "done")]

    def test_tells_what_it_has_seen_where_it_ends_otherwise(self, sandbox: Any) -> None:
        tasks = sandbox.assign(ROOM, company.BOT, [company.SATO, company.YAMADA], "確認")
        sandbox.tick(ROOM, tasks[0])
        [event] = events(sandbox, trigger(tasks))
        assert event["status"] == "timeout"
        assert [track["status"] for track in event["given"]["tracks"]] == ["done", "open"]
        sandbox.delete_task(ROOM, tasks[1])
        [event] = events(sandbox, trigger(tasks))
        assert (event["status"], event["error"]["class"]) == ("refused", "ChatworkNotFoundError")
        assert [track["status"] for track in event["given"]["tracks"]] == ["done", "deleted"]

    def test_shares_its_looks_with_all_who_wait_in_the_room(self, sandbox: Any) -> None:
        sandbox.limits = Limits.off()
        tasks = sandbox.assign(ROOM, company.BOT, [company.SATO] * 20, "確認")

        async def main(loop: VirtualLoop) -> list[Any]:
            async def run(task_id: int) -> Any:
                return [event.payload async for event in trigger([task_id]).run()]

            with accounts(sandbox, loop.unix_time):
                return await asyncio.gather(*map(run, tasks))

        assert {event["status"] for [event] in run_virtually(main)} == {"timeout"}
        # One list an interval, and what the beginning and the end cost; not 20 times as many.
        assert len(sandbox.requests) < 3600 / 60 + 30


class Supervisor:
    """What answers a trigger's questions in Airflow's place."""

    def __init__(self, state: str | None, given: Any) -> None:
        self.state = state
        self.given = given

    def send(self, msg: Any) -> Any:
        from airflow.sdk.execution_time import comms

        match msg.model_dump():
            case {"type": "GetTaskStates", "dag_id": "inventory", "task_ids": ["count"], "run_ids": ["r"]}:
                return comms.TaskStatesResult(task_states={"r": {"count_2": self.state, "count_1": "deferred"}})
            case {"type": "GetXCom", "key": "chatwork_wait", "task_id": "count", "run_id": "r", "map_index": 2}:
                return comms.XComResult(key="chatwork_wait", value=self.given)
        raise AssertionError(msg)


@pytest.mark.skipif(VERSION < (3, 3), reason="Airflow calls it from 3.3 on")
class TestOnKillInATriggerer:
    """One of several, which may be taken for dead."""

    @pytest.fixture
    def kill(self, sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
        task_ids = sandbox.assign(ROOM, company.YAMADA, [company.TAKAHASHI, company.SATO], "棚卸し")

        def kill(state: str | None, *, of: list[int] | None = None, done: bool = False, **changed: Any) -> list[str]:
            left = {"tracks": [new_track(task_id, START) for task_id in of or task_ids]}
            supervisor = Supervisor(state, left)
            monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
            killed = trigger(task_ids, withdraw=True, **changed)
            killed._task_instance = SimpleNamespace(dag_id="inventory", run_id="r", task_id="count", map_index=2)
            if done:
                killed.given["needed"] = 1
                sandbox.tick(ROOM, task_ids[0])

            async def main(loop: VirtualLoop) -> None:
                with accounts(sandbox, loop.unix_time):
                    await killed.on_kill()

            run_virtually(main)
            by_id = {task["task_id"]: task["status"] for task in sandbox.tasks(ROOM)}
            return [by_id[task_id] for task_id in task_ids]

        return kill

    @pytest.mark.parametrize("state", ["failed", "success", None, "scheduled"])
    def test_withdraws_where_a_user_has_ended_the_task(self, state: str | None, kill: Callable[..., list[str]]) -> None:
        assert kill(state) == ["done", "done"]

    def test_does_nothing_where_another_triggerer_goes_on(self, kill: Callable[..., list[str]]) -> None:
        assert kill("deferred") == ["open", "open"]

    def test_withdraws_where_the_cleared_task_waits_for_others_by_now(self, kill: Callable[..., list[str]]) -> None:
        assert kill("deferred", of=[1, 2]) == ["done", "done"]

    def test_leaves_the_rest_where_another_triggerer_has_seen_enough(self, kill: Callable[..., list[str]]) -> None:
        assert kill("success", done=True) == ["done", "open"]


class TestOnKill:
    def test_goes_on_where_airflow_cancels_it_a_second_later(self, sandbox: Any) -> None:
        task_ids = sandbox.assign(ROOM, company.YAMADA, [company.TAKAHASHI, company.SATO], "棚卸し")

        async def main(loop: VirtualLoop) -> None:
            # What Airflow 3.3 does: https://github.com/apache/airflow, TriggerRunner.cancel_triggers.
            with accounts(sandbox, loop.unix_time, latency=0.6):
                killing = asyncio.ensure_future(trigger(task_ids, withdraw=True).on_kill())
                await asyncio.sleep(1)
                killing.cancel()
                await asyncio.wait([killing])
                assert killing.cancelled()
                assert "open" in {task["status"] for task in sandbox.tasks(ROOM) if task["task_id"] in task_ids}
                await asyncio.sleep(60)

        run_virtually(main)
        assert {task["status"] for task in sandbox.tasks(ROOM) if task["task_id"] in task_ids} == {"done"}

    def test_says_in_the_log_what_nobody_else_hears(self, sandbox: Any, caplog: Any, capsys: Any) -> None:
        task_ids = sandbox.assign(ROOM, company.YAMADA, [company.TAKAHASHI], "棚卸し")
        sandbox.remove_member(ROOM, company.BOT)

        async def main(loop: VirtualLoop) -> None:
            with accounts(sandbox, loop.unix_time):
                await trigger(task_ids, withdraw=True).on_kill()

        run_virtually(main)
        shown = capsys.readouterr()
        assert "The open tasks could not be withdrawn" in caplog.text + shown.out + shown.err

    def test_says_which_tasks_it_knows_nothing_of(self, sandbox: Any, caplog: Any, capsys: Any) -> None:
        task_ids = sandbox.assign(ROOM, company.YAMADA, [company.TAKAHASHI, company.SATO], "棚卸し")
        for operation in ("list_tasks", "get_task"):
            sandbox.misbehave(Fault("status", operation=operation, status=503, times=None))

        async def main(loop: VirtualLoop) -> None:
            with accounts(sandbox, loop.unix_time):
                await trigger(task_ids, withdraw=True).on_kill()

        run_virtually(main)
        shown = capsys.readouterr()
        assert f"The open tasks could not be withdrawn: nothing is known of {task_ids}" in caplog.text + "".join(shown)
        assert {task["status"] for task in sandbox.tasks(ROOM) if task["task_id"] in task_ids} == {"open"}
