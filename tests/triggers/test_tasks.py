from __future__ import annotations

import asyncio
import gc
import inspect
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_chatwork.api.errors import ChatworkAuthError, from_plain
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger

ROOM = company.DATA_ROOM
# Every argument, and none of them as it would be by itself.
ARGUMENTS: dict[str, Any] = {
    "chatwork_conn_id": "chatwork_second",
    "room_id": 5,
    "task_ids": [7, 8, 9],
    "complete_when": "any",
    "poke_interval": 11.5,
    "deadline": 1_800_000_000.25,
    "exponential_backoff": True,
    "max_interval": 90.0,
    "silent_fail": True,
}


class Clock:
    """A time that passes only where a trigger sleeps, and people who act one after the other while it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []
        self.people: list[Callable[[], object]] = []
        really_sleep, here = asyncio.sleep, threading.get_ident()

        async def sleep(seconds: float, *rest: Any) -> None:
            # The server sleeps, too, in a thread of its own.
            if threading.get_ident() != here:
                await really_sleep(seconds, *rest)
                return
            assert len(self.slept) < 20, f"the trigger sleeps for ever: {self.slept}"
            self.slept.append(seconds)
            self.now += seconds
            if self.people:
                self.people.pop(0)()

        monkeypatch.setattr(asyncio, "sleep", sleep)
        monkeypatch.setattr(time, "time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Clients:
    """The HTTP clients for event loops that were opened since, and are open."""

    def __init__(self) -> None:
        # Kept, so that none of their ids is given away again.
        self._before = [thing for thing in gc.get_objects() if type(thing) is httpx.AsyncClient]

    def open(self) -> list[httpx.AsyncClient]:
        before = {id(client) for client in self._before}
        return [
            thing
            for thing in gc.get_objects()
            if type(thing) is httpx.AsyncClient and id(thing) not in before and not thing.is_closed
        ]


@pytest.fixture
def clients() -> Clients:
    return Clients()


def trigger(task_ids: list[int], **arguments: Any) -> ChatworkTaskDoneTrigger:
    return ChatworkTaskDoneTrigger(
        **{
            "chatwork_conn_id": "chatwork_default",
            "room_id": ROOM,
            "task_ids": task_ids,
            "complete_when": "all",
            "poke_interval": 5,
            "deadline": 1_800_000_000.0 + 3600,
            **arguments,
        }
    )


async def events(waiting: ChatworkTaskDoneTrigger) -> list[Any]:
    return [event.payload async for event in waiting.run()]


@pytest.fixture
def task_id(sandbox: Any) -> int:
    return sandbox.assign(ROOM, company.BOT, [company.SATO], "確認")[0]


class TestSerialize:
    def test_keeps_every_argument(self):
        parameters = set(inspect.signature(ChatworkTaskDoneTrigger.__init__).parameters) - {"self"}
        assert set(ARGUMENTS) == parameters
        for name, parameter in inspect.signature(ChatworkTaskDoneTrigger.__init__).parameters.items():
            assert name == "self" or parameter.default != ARGUMENTS[name], f"{name} is what it is by itself"
        path, arguments = json.loads(json.dumps(ChatworkTaskDoneTrigger(**ARGUMENTS).serialize()))
        assert path == f"{ChatworkTaskDoneTrigger.__module__}.{ChatworkTaskDoneTrigger.__name__}"
        assert arguments == ARGUMENTS
        assert ChatworkTaskDoneTrigger(**arguments).serialize() == (path, ARGUMENTS)

    def test_names_the_connection_and_nothing_secret_of_it(self, sandbox, task_id):
        assert sandbox.token not in json.dumps(trigger([task_id]).serialize())


class TestRun:
    async def test_ends_with_one_event_of_plain_json(self, sandbox, task_id, clock):
        clock.people = [lambda: None, lambda: sandbox.tick(ROOM, task_id)]
        [event] = await events(trigger([task_id]))
        assert json.loads(json.dumps(event)) == event
        assert event["status"] == "done"
        assert [(state["task_id"], state["status"]) for state in event["tasks"]] == [(task_id, "done")]
        assert clock.slept == [5, 5]

    async def test_does_not_sleep_where_nothing_is_left_to_wait_for(self, sandbox, task_id, clock):
        sandbox.tick(ROOM, task_id)
        assert [event["status"] for event in await events(trigger([task_id]))] == ["done"]
        assert clock.slept == []

    async def test_never_looks_more_often_than_once_a_second(self, sandbox, task_id, clock):
        clock.people = [lambda: None, lambda: sandbox.tick(ROOM, task_id)]
        await events(trigger([task_id], poke_interval=0))
        assert clock.slept == [1.0, 1.0]

    async def test_looks_less_and_less_often_where_it_shall(self, task_id, clock):
        await events(trigger([task_id], exponential_backoff=True, deadline=clock.now + 100))
        assert clock.slept == [5, 10, 20, 40, 25]

    async def test_and_not_less_often_than_it_may(self, task_id, clock):
        waiting = trigger([task_id], exponential_backoff=True, max_interval=15, deadline=clock.now + 50)
        await events(waiting)
        assert clock.slept == [5, 10, 15, 15, 5]

    async def test_ends_at_its_deadline_after_a_last_look(self, sandbox, task_id, clock):
        assert await events(trigger([task_id], deadline=clock.now + 12)) == [{"status": "timeout"}]
        assert clock.slept == [5, 5, 2]
        assert len(sandbox.requests) == 4

    async def test_is_done_where_the_last_look_says_so(self, sandbox, task_id, clock):
        clock.people = [lambda: sandbox.tick(ROOM, task_id)]
        [event] = await events(trigger([task_id], deadline=clock.now + 3))
        assert event["status"] == "done"

    async def test_keeps_its_deadline_when_the_triggerer_is_restarted(self, task_id, clock):
        _, arguments = trigger([task_id], deadline=clock.now + 12).serialize()
        clock.now += 10
        assert await events(ChatworkTaskDoneTrigger(**arguments)) == [{"status": "timeout"}]
        assert clock.slept == [2]
        clock.now += 1000
        assert await events(ChatworkTaskDoneTrigger(**arguments)) == [{"status": "timeout"}]
        assert clock.slept == [2]

    async def test_goes_on_through_an_outage(self, sandbox, task_id, clock):
        sandbox.misbehave(Fault("status", status=503, times=3))
        clock.people = [lambda: None, lambda: sandbox.tick(ROOM, task_id)]
        [event] = await events(trigger([task_id]))
        assert event["status"] == "done"
        assert len(clock.slept) == 3

    async def test_tells_of_a_refusal_so_that_the_worker_can_raise_it(self, sandbox, task_id, clock):
        sandbox.misbehave(Fault("status", status=401, body={"errors": ["Invalid API token"]}, times=None))
        [event] = await events(trigger([task_id]))
        assert event["status"] == "refused"
        error = from_plain(json.loads(json.dumps(event))["error"])
        assert type(error) is ChatworkAuthError
        assert error.errors == ("Invalid API token",)

    async def test_goes_on_after_a_refusal_where_it_shall(self, sandbox, task_id, clock):
        sandbox.misbehave(Fault("status", status=403, times=2))
        clock.people = [lambda: None, lambda: sandbox.tick(ROOM, task_id)]
        [event] = await events(trigger([task_id], silent_fail=True))
        assert event["status"] == "done"

    async def test_leaves_what_is_not_of_chatwork_to_airflow(self, sandbox, task_id, db):
        with pytest.raises(Exception, match="chatwork_missing"):
            await events(trigger([task_id], chatwork_conn_id="chatwork_missing"))

    async def test_closes_its_connections_at_the_end(self, sandbox, task_id, clock, clients):
        sandbox.tick(ROOM, task_id)
        await events(trigger([task_id]))
        assert not clients.open()

    async def test_closes_its_connections_where_it_is_cancelled(self, sandbox, task_id, monkeypatch, clients):
        asleep = asyncio.Event()
        sleep, here = asyncio.sleep, threading.get_ident()

        async def sleep_for_ever(seconds: float, *rest: Any) -> None:
            if threading.get_ident() != here:
                await sleep(seconds, *rest)
                return
            asleep.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio, "sleep", sleep_for_ever)
        running = asyncio.create_task(events(trigger([task_id], deadline=time.time() + 3600)))
        await asleep.wait()
        assert clients.open()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not clients.open()

    async def test_leaves_the_event_loop_to_others_while_it_waits_for_an_answer(self, chatwork_sandbox):
        task_ids = chatwork_sandbox.assign(ROOM, company.BOT, [company.SATO, company.YAMADA, company.TAKAHASHI], "確認")
        for task_id in task_ids:
            chatwork_sandbox.tick(ROOM, task_id)
        beat, heard, real = threading.Event(), [], chatwork_sandbox.clock

        def answer_after_a_heartbeat() -> float:
            # Called by the server in the middle of a request; a loop that waits for the answer cannot beat then.
            beat.clear()
            heard.append(beat.wait(10))
            return real()

        async def heart() -> None:
            while True:
                beat.set()
                await asyncio.sleep(0)

        beating = asyncio.create_task(heart())
        chatwork_sandbox.clock = answer_after_a_heartbeat
        try:
            [event] = await events(trigger(task_ids, deadline=time.time() + 3600))
        finally:
            chatwork_sandbox.clock = real
            beating.cancel()
        assert event["status"] == "done"
        assert len(heard) >= 2
        assert all(heard)
