"""The trigger itself. ``tests/operators/test_task_wait.py`` tests waits in both modes."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers.task_completion import ChatworkTaskCompletionTrigger
from airflow_provider_chatwork.waiting.poller.account_poller import PollerRegistry, override_registry
from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders.plan import ReminderPlan
from airflow_provider_chatwork.waiting.tasks.tracking import new_task_progress
from tests.airflow_helpers import VERSION
from tests.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

ROOM = company.DATA_ROOM
FOLLOW_UP = ReminderPlan(reminders=Reminder(every=60), escalation=Escalation(mentions=3), zone="UTC", lang="en")
# Every argument, each with another value than its default.
ARGUMENTS: dict[str, Any] = {
    "chatwork_conn_id": "chatwork_second",
    "assigned": {
        "room_id": 5,
        "message_id": "77",
        "created_at": 1_799_999_000.0,
        "deadline": 1_800_000_000.25,
        "needed": 1,
        "tasks": [new_task_progress(None, account_id=3), new_task_progress(7), new_task_progress(8)],
    },
    "plan": FOLLOW_UP.to_plain(),
    "withdraw": True,
    "poke_interval": 11.5,
    "deadline": 1_800_000_000.25,
    "exponential_backoff": True,
    "max_interval": 90.0,
    "silent_fail": True,
}


def trigger(task_ids: list[int], **changed: Any) -> ChatworkTaskCompletionTrigger:
    given = {
        "room_id": ROOM,
        "message_id": None,
        "created_at": START,
        "deadline": START + 3600,
        "needed": len(task_ids),
        "tasks": [new_task_progress(task_id) for task_id in task_ids],
    }
    arguments = {
        "chatwork_conn_id": "chatwork_default",
        "assigned": given,
        "plan": {},
        "poke_interval": 60,
        "deadline": START + 3600,
        **changed,
    }
    return ChatworkTaskCompletionTrigger(**json.loads(json.dumps(arguments)))


def events(sandbox: Any, waiting: ChatworkTaskCompletionTrigger) -> list[Any]:
    async def main(loop: VirtualLoop) -> list[Any]:
        with sandbox_pollers(sandbox, loop.unix_time):
            return [event.payload async for event in waiting.run()]

    return run_virtually(main)


class TestSerialize:
    def test_keeps_every_argument(self) -> None:
        own = inspect.signature(ChatworkTaskCompletionTrigger.__init__).parameters
        parameters = {**inspect.signature(ChatworkTrigger.__init__).parameters, **own}
        assert set(ARGUMENTS) == set(parameters) - {"self", "kwargs"}
        for name, parameter in parameters.items():
            assert name not in ARGUMENTS or parameter.default != ARGUMENTS[name], f"{name} is what it is by itself"
        path, arguments = json.loads(json.dumps(ChatworkTaskCompletionTrigger(**ARGUMENTS).serialize()))
        assert path == f"{ChatworkTaskCompletionTrigger.__module__}.{ChatworkTaskCompletionTrigger.__name__}"
        assert arguments == ARGUMENTS
        assert ChatworkTaskCompletionTrigger(**arguments).serialize() == (path, ARGUMENTS)

    def test_does_not_change_while_it_runs(self, sandbox: Any) -> None:
        sandbox.limits = Limits.off()
        tasks = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        waiting = trigger(tasks)
        before = json.dumps(waiting.serialize())
        events(sandbox, waiting)
        assert json.dumps(waiting.serialize()) == before


class TestRun:
    def test_ends_with_one_event_of_plain_json(self, sandbox: Any) -> None:
        tasks = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.complete_task(ROOM, tasks[0])
        [event] = events(sandbox, trigger(tasks))
        assert json.loads(json.dumps(event)) == event
        assert event["status"] == "done"
        assert [(track["task_id"], track["status"]) for track in event["assigned"]["tasks"]] == [(tasks[0], "done")]

    def test_every_event_has_the_tasks_as_last_seen(self, sandbox: Any) -> None:
        tasks = sandbox.create_task(ROOM, company.BOT, [company.SATO, company.YAMADA], "確認")
        sandbox.complete_task(ROOM, tasks[0])
        [event] = events(sandbox, trigger(tasks))
        assert event["status"] == "timeout"
        assert [track["status"] for track in event["assigned"]["tasks"]] == ["done", "open"]
        sandbox.delete_task(ROOM, tasks[1])
        [event] = events(sandbox, trigger(tasks))
        assert (event["status"], event["error"]["class"]) == ("error", "ChatworkNotFoundError")
        assert [track["status"] for track in event["assigned"]["tasks"]] == ["done", "deleted"]

    def test_shares_polls_with_all_waits_in_the_room(self, sandbox: Any) -> None:
        sandbox.limits = Limits.off()
        tasks = sandbox.create_task(ROOM, company.BOT, [company.SATO] * 20, "確認")

        async def main(loop: VirtualLoop) -> list[Any]:
            async def run(task_id: int) -> Any:
                return [event.payload async for event in trigger([task_id]).run()]

            with sandbox_pollers(sandbox, loop.unix_time):
                return await asyncio.gather(*map(run, tasks))

        assert {event["status"] for [event] in run_virtually(main)} == {"timeout"}
        # One list per interval, and a few for the beginning and the end, not 20 times as many.
        assert len(sandbox.requests) < 3600 / 60 + 30


class TestManyReminders:
    """Quiet hours move all reminders of a night to the same second."""

    REMINDED = ReminderPlan(reminders=Reminder(after=600, quiet_hours=None, business_days_only=False)).to_plain()

    def play(
        self,
        sandbox: Any,
        tasks: list[int],
        *,
        age: float = 0.0,
        times: int = 1,
        until: float = 1500.0,
        actions: dict[float, Callable[[list[asyncio.Task[Any]]], object]] | None = None,
    ) -> Counter[str]:
        """Wait for each task separately in several triggerers, and return the number of reminders per task."""
        sandbox.limits = Limits()
        given = {"room_id": ROOM, "message_id": None, "created_at": START - age, "deadline": START + 7200, "needed": 1}

        async def main(loop: VirtualLoop) -> None:
            async def run(task_id: int) -> Any:
                one = {**given, "tasks": [new_task_progress(task_id)]}
                waiting = trigger([], assigned=one, plan=self.REMINDED, deadline=START + 7200)
                return [event.payload async for event in waiting.run()]

            waits: list[asyncio.Task[Any]] = []
            for at, act in (actions or {}).items():
                loop.happens(at, lambda act=act: act(waits))
            with sandbox_pollers(sandbox, loop.unix_time, latency=0.1) as first:
                for number in range(times):
                    # Another process has pollers of its own.
                    with override_registry(PollerRegistry(first._new_transport, loop.unix_time) if number else first):
                        waits += [asyncio.create_task(run(task_id)) for task_id in tasks]
                        await asyncio.sleep(0.3)
                await asyncio.sleep(until)
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
                await asyncio.sleep(1)

        run_virtually(main)
        lines = [message["body"].splitlines()[-1] for message in self.reminders(sandbox)]
        return Counter(line.rpartition("/#!rid")[2] for line in lines)

    def reminders(self, sandbox: Any) -> list[Any]:
        return [message for message in sandbox.messages(ROOM) if "リマインド" in message["body"]]

    def asked(self, sandbox: Any, operation: str) -> list[Any]:
        return [record for record in sandbox.requests if record.operation == operation]

    def give(self, sandbox: Any, count: int) -> list[int]:
        sandbox.limits = Limits.off()
        return [sandbox.create_task(ROOM, company.BOT, [company.SATO], f"{number}")[0] for number in range(count)]

    def test_are_sent_one_after_the_other_within_the_rate_limits(self, sandbox: Any) -> None:
        tasks = self.give(sandbox, 60)
        for number in range(60):
            # The reminders push each other out of the page.
            sandbox.post_message(ROOM, company.SATO, f"{number}")
        counts = self.play(sandbox, tasks)
        assert len(counts) == 60
        assert set(counts.values()) == {1}
        assert {record.status for record in sandbox.requests} == {200}
        assert len(self.asked(sandbox, "list_messages")) < 12
        posts = [record.time for record in self.asked(sandbox, "post_message")]
        assert posts[-1] - posts[0] < 120
        assert all(later - earlier >= 10 for earlier, later in zip(posts, posts[8:], strict=False))

    def test_are_sent_within_the_rate_limits_if_lists_do_not_show_all_tasks(self, sandbox: Any) -> None:
        tasks = self.give(sandbox, 110)
        done = lambda _: [sandbox.complete_task(ROOM, task_id) for task_id in tasks[:10]]  # noqa: E731
        counts = self.play(sandbox, tasks, actions={600.05: done})
        # The tasks are read one by one right before each reminder.
        assert len(counts) == 100
        assert set(counts.values()) == {1}
        assert 429 not in {record.status for record in sandbox.requests}

    def test_that_were_sent_are_found_by_one_page(self, sandbox: Any) -> None:
        tasks = self.give(sandbox, 30)
        self.play(sandbox, tasks, age=700, until=120)
        before = len(self.asked(sandbox, "list_messages"))
        counts = self.play(sandbox, tasks, age=700, until=120)
        assert set(counts.values()) == {1}
        assert len(self.asked(sandbox, "list_messages")) == before + 1

    @pytest.mark.parametrize("until", [3.0, 3.05, 3.1, 3.3])
    def test_are_not_sent_again_after_the_triggerer_has_stopped_between_them(self, until: float, sandbox: Any) -> None:
        tasks = self.give(sandbox, 15)
        before = self.play(sandbox, tasks, age=700, until=until)
        assert 0 < len(before) < 15
        counts = self.play(sandbox, tasks, age=700, until=120)
        assert len(counts) == 15
        assert set(counts.values()) == {1}

    def test_are_not_sent_for_tasks_that_are_done(self, sandbox: Any) -> None:
        tasks = self.give(sandbox, 40)
        done = lambda _: [sandbox.complete_task(ROOM, task_id) for task_id in tasks]  # noqa: E731
        # A poll may be 15 seconds old, in which there are a dozen slots.
        assert 0 < len(self.play(sandbox, tasks, actions={602: done})) < 20

    def test_are_not_affected_by_cancelled_waits(self, sandbox: Any) -> None:
        tasks = self.give(sandbox, 20)
        leave = lambda waits: [wait.cancel() for wait in waits[::2]]  # noqa: E731
        counts = self.play(sandbox, tasks, actions={600.35: leave})
        assert set(counts.values()) == {1}
        assert len(counts) >= 10

    def test_of_two_triggerers_leave_one_message(self, sandbox: Any) -> None:
        tasks = self.give(sandbox, 20)
        counts = self.play(sandbox, tasks, times=2)
        assert len(counts) == 20
        assert set(counts.values()) == {1}
        assert self.asked(sandbox, "delete_message")


class TestTimes:
    def test_are_those_of_polls(self, sandbox: Any) -> None:
        tasks = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        plan = ReminderPlan(reminders=Reminder(after=500, quiet_hours=None, business_days_only=False)).to_plain()
        waiting = trigger(tasks, plan=plan, poke_interval=900)

        async def main(loop: VirtualLoop) -> list[Any]:
            loop.happens(100, lambda: sandbox.complete_task(ROOM, tasks[0]))
            with sandbox_pollers(sandbox, loop.unix_time):
                return [event.payload async for event in waiting.run()]

        [event] = run_virtually(main)
        (track,) = event["assigned"]["tasks"]
        assert track["seen_done_at"] == pytest.approx(START + 500, abs=2)


class Supervisor:
    """Answers the requests of a trigger instead of Airflow."""

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
    """One of several triggerers, which another one may consider dead."""

    @pytest.fixture
    def kill(self, sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
        task_ids = sandbox.create_task(ROOM, company.YAMADA, [company.TAKAHASHI, company.SATO], "棚卸し")

        def kill(state: str | None, *, of: list[int] | None = None, done: bool = False, **changed: Any) -> list[str]:
            left = {"tasks": [new_task_progress(task_id) for task_id in of or task_ids]}
            supervisor = Supervisor(state, left)
            monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
            killed = trigger(task_ids, withdraw=True, **changed)
            killed._task_instance = SimpleNamespace(dag_id="inventory", run_id="r", task_id="count", map_index=2)
            if done:
                killed.assigned["needed"] = 1
                sandbox.complete_task(ROOM, task_ids[0])

            async def main(loop: VirtualLoop) -> None:
                with sandbox_pollers(sandbox, loop.unix_time):
                    await killed.on_kill()

            run_virtually(main)
            by_id = {task["task_id"]: task["status"] for task in sandbox.tasks(ROOM)}
            return [by_id[task_id] for task_id in task_ids]

        return kill

    @pytest.mark.parametrize("state", ["failed", "success", None, "scheduled"])
    def test_cancels_tasks_after_a_user_has_ended_the_airflow_task(
        self, state: str | None, kill: Callable[..., list[str]]
    ) -> None:
        assert kill(state) == ["done", "done"]

    def test_does_nothing_if_another_triggerer_continues(self, kill: Callable[..., list[str]]) -> None:
        assert kill("deferred") == ["open", "open"]

    def test_cancels_tasks_if_the_cleared_airflow_task_waits_for_others(self, kill: Callable[..., list[str]]) -> None:
        assert kill("deferred", of=[1, 2]) == ["done", "done"]

    def test_leaves_open_tasks_if_enough_are_done(self, kill: Callable[..., list[str]]) -> None:
        assert kill("success", done=True) == ["done", "open"]


class TestOnKill:
    def test_continues_after_airflow_cancels_it(self, sandbox: Any) -> None:
        task_ids = sandbox.create_task(ROOM, company.YAMADA, [company.TAKAHASHI, company.SATO], "棚卸し")

        async def main(loop: VirtualLoop) -> None:
            # As TriggerRunner.cancel_triggers of Airflow 3.3.
            with sandbox_pollers(sandbox, loop.unix_time, latency=0.6):
                killing = asyncio.ensure_future(trigger(task_ids, withdraw=True).on_kill())
                await asyncio.sleep(1)
                killing.cancel()
                await asyncio.wait([killing])
                assert killing.cancelled()
                assert "open" in {task["status"] for task in sandbox.tasks(ROOM) if task["task_id"] in task_ids}
                await asyncio.sleep(60)

        run_virtually(main)
        assert {task["status"] for task in sandbox.tasks(ROOM) if task["task_id"] in task_ids} == {"done"}

    def test_logs_an_error(self, sandbox: Any, caplog: Any, capsys: Any) -> None:
        task_ids = sandbox.create_task(ROOM, company.YAMADA, [company.TAKAHASHI], "棚卸し")
        sandbox.remove_member(ROOM, company.BOT)

        async def main(loop: VirtualLoop) -> None:
            with sandbox_pollers(sandbox, loop.unix_time):
                await trigger(task_ids, withdraw=True).on_kill()

        run_virtually(main)
        shown = capsys.readouterr()
        assert f"The open tasks could not be withdrawn (room {ROOM}): " in caplog.text + shown.out + shown.err

    def test_logs_tasks_that_were_never_read(self, sandbox: Any, caplog: Any, capsys: Any) -> None:
        task_ids = sandbox.create_task(ROOM, company.YAMADA, [company.TAKAHASHI, company.SATO], "棚卸し")
        for operation in ("list_tasks", "get_task"):
            sandbox.add_fault(Fault("status", operation=operation, status=503, times=None))

        async def main(loop: VirtualLoop) -> None:
            with sandbox_pollers(sandbox, loop.unix_time):
                await trigger(task_ids, withdraw=True).on_kill()

        run_virtually(main)
        shown = capsys.readouterr()
        error = f"The open tasks could not be withdrawn (room {ROOM}), as no poll has seen them: {task_ids}"
        assert error in caplog.text + "".join(shown)
        assert {task["status"] for task in sandbox.tasks(ROOM) if task["task_id"] in task_ids} == {"open"}
