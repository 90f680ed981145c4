from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkParameterError, from_plain
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers._sensor import ChatworkSensorTrigger
from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger
from airflow_provider_chatwork.waiting.poller.account_poller import PollerRegistry, override_registry, poller_registry
from tests.airflow_helpers import connect
from tests.virtual_time import START, VirtualLoop, run_virtually

ROOM = company.DATA_ROOM
# Every argument, each with another value than its default.
ARGUMENTS: dict[str, Any] = {
    "chatwork_conn_id": "chatwork_second",
    "room_id": 5,
    "task_ids": [7, 8, 9],
    "complete_when": "any",
    "assignees": {"7": 70, "8": 80},
    "poke_interval": 11.5,
    "deadline": 1_800_000_000.25,
    "before_timeout": 2.5,
    "end_from_trigger": True,
    "soft_fail": True,
    "never_fail": True,
    "do_xcom_push": False,
    "exponential_backoff": True,
    "max_interval": 90.0,
    "silent_fail": True,
}
Action = Callable[[], object]


def trigger(*task_ids: int, **arguments: Any) -> ChatworkTaskDoneTrigger:
    return ChatworkTaskDoneTrigger(
        **{
            "chatwork_conn_id": "chatwork_default",
            "room_id": ROOM,
            "task_ids": list(task_ids),
            "complete_when": "all",
            "poke_interval": 5.0,
            "deadline": START + 3600,
            **arguments,
        }
    )


async def events(waiting: ChatworkTaskDoneTrigger) -> list[Any]:
    return [event.payload async for event in waiting.run()]


class Way:
    """A transport to the sandbox that has to be closed."""

    def __init__(self, sandbox: Any) -> None:
        self._sandbox = sandbox
        self.is_closed = False

    async def __call__(self, request: HttpRequest) -> Response:
        assert not self.is_closed
        await asyncio.sleep(0.1)
        answer: Response = await self._sandbox.ahandle(request)
        await asyncio.sleep(0.1)
        return answer

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.is_closed = True


class Room:
    """A task, and people who act at given times while a trigger waits for it."""

    def __init__(self, sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.monkeypatch = monkeypatch
        self.ways: list[Way] = []
        self.task_id = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")[0]

    def _open(self, settings: Any) -> Way:
        self.ways.append(Way(self.sandbox))
        return self.ways[-1]

    def play(self, main: Callable[[VirtualLoop], Any], start: float = START) -> Any:
        """Run a coroutine on a virtual clock, and check that the transport is closed."""

        async def run(loop: VirtualLoop) -> Any:
            self.sandbox.clock = loop.unix_time
            with override_registry(PollerRegistry(self._open, loop.unix_time)) as those:
                result = await main(loop)
                assert not len(those)
                await asyncio.sleep(0.1)
            assert all(way.is_closed for way in self.ways)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return result

        with self.monkeypatch.context() as patched:
            # The real clock, which is another one while this runs.
            patched.setattr(self.sandbox, "clock", self.sandbox.clock)
            return run_virtually(run, start=start)

    def end(
        self, waiting: ChatworkTaskDoneTrigger, *actions: tuple[float, Action], start: float = START
    ) -> dict[str, Any]:
        """Run a trigger, and return its event."""

        async def main(loop: VirtualLoop) -> Any:
            for at, happen in actions:
                loop.happens(at, happen)
            return await events(waiting)

        [event] = self.play(main, start)
        assert json.loads(json.dumps(event)) == event
        return dict(event)

    def tick(self) -> None:
        self.sandbox.complete_task(ROOM, self.task_id)

    def looks(self) -> list[float]:
        """Return the times of the requests, in seconds since the first one."""
        times = [record.time for record in self.sandbox.requests]
        return [round(each - times[0]) for each in times]


@pytest.fixture
def room(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(sandbox, monkeypatch)


class TestSerialize:
    def test_keeps_every_argument(self):
        parameters: dict[str, Any] = {}
        for kind in (ChatworkTrigger, ChatworkSensorTrigger, ChatworkTaskDoneTrigger):
            parameters |= inspect.signature(kind.__init__).parameters
        assert set(ARGUMENTS) == set(parameters) - {"self", "kwargs"}
        for name, argument in ARGUMENTS.items():
            assert parameters[name].default != argument, f"{name} is what it is by itself"
        path, arguments = json.loads(json.dumps(ChatworkTaskDoneTrigger(**ARGUMENTS).serialize()))
        assert path == f"{ChatworkTaskDoneTrigger.__module__}.{ChatworkTaskDoneTrigger.__name__}"
        assert arguments == ARGUMENTS
        assert ChatworkTaskDoneTrigger(**arguments).serialize() == (path, ARGUMENTS)

    def test_writes_the_keys_of_assignees_as_text(self):
        _, arguments = trigger(7, assignees={7: 70}).serialize()
        assert arguments["assignees"] == {"7": 70}
        assert trigger(7).serialize()[1]["assignees"] == {}

    def test_has_the_connection_id_and_no_secret(self, room):
        assert room.sandbox.token not in json.dumps(trigger(room.task_id).serialize())


class TestRun:
    def test_ends_with_one_event_of_plain_json(self, room):
        event = room.end(trigger(room.task_id), (8, room.tick))
        assert event["status"] == "done"
        assert [(state["task_id"], state["status"]) for state in event["tasks"]] == [(room.task_id, "done")]
        assert room.looks() == [0, 5, 10]

    def test_ends_at_once_if_the_tasks_are_done(self, room):
        room.tick()
        assert room.end(trigger(room.task_id))["status"] == "done"
        assert room.looks() == [0]

    def test_uses_assignees_in_a_large_room(self, room):
        tasks = [room.sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")[0] for _ in range(3)]
        for _ in range(100):
            room.sandbox.create_task(ROOM, company.YAMADA, [company.TAKAHASHI], "別件")
        room.end(trigger(*tasks, assignees=dict.fromkeys(map(str, tasks), company.SATO), deadline=START + 3))
        first = [record for record in room.sandbox.requests if record.time < START + 2]
        assert [record.query.get("account_id") for record in first] == [None, str(company.SATO)]

    def test_shares_polls_with_all_waits_in_the_room(self, room):
        tasks = [room.sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")[0] for _ in range(50)]

        async def main(loop: VirtualLoop) -> Any:
            for task_id in tasks:
                loop.happens(8, lambda task_id=task_id: room.sandbox.complete_task(ROOM, task_id))
            return await asyncio.gather(*(events(trigger(task_id)) for task_id in tasks))

        results = room.play(main)
        assert [event["tasks"][0]["task_id"] for [event] in results] == tasks
        assert len(room.sandbox.requests) == 4

    @pytest.mark.parametrize("interval", [0, 0.01])
    def test_polls_at_most_once_a_second(self, interval, room):
        room.end(trigger(room.task_id, poke_interval=interval), (6, room.tick))
        times = [record.time for record in room.sandbox.requests]
        assert len(times) > 3
        assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(times))

    def test_doubles_the_interval_with_exponential_backoff(self, room):
        room.end(trigger(room.task_id, exponential_backoff=True, deadline=START + 100))
        assert room.looks() == [0, 5, 15, 35, 75, 100]

    def test_doubles_the_interval_up_to_max_interval(self, room):
        room.end(trigger(room.task_id, exponential_backoff=True, max_interval=15.0, deadline=START + 50))
        assert room.looks() == [0, 5, 15, 30, 45, 50]


class TestDeadline:
    def test_ends_the_wait_after_a_last_poll(self, room):
        assert room.end(trigger(room.task_id, deadline=START + 12.5)) == {"status": "timeout"}
        assert room.looks() == [0, 5, 10, 12]

    def test_the_last_poll_may_find_the_tasks_done(self, room):
        event = room.end(trigger(room.task_id, poke_interval=60.0, deadline=START + 33), (32, room.tick))
        assert event["status"] == "done"

    def test_is_kept_over_a_restart(self, room):
        _, arguments = trigger(room.task_id, deadline=START + 12).serialize()
        again = ChatworkTaskDoneTrigger(**arguments)
        assert room.end(again, start=START + 10) == {"status": "timeout"}
        assert room.sandbox.requests[-1].time - START == pytest.approx(12.1)

    def test_that_passed_while_no_triggerer_was_running_allows_one_poll(self, room):
        assert room.end(trigger(room.task_id), start=START + 10_000) == {"status": "timeout"}
        assert room.looks() == [0]
        room.tick()
        assert room.end(trigger(room.task_id), start=START + 10_000)["status"] == "done"

    def test_ends_the_wait_in_an_outage(self, room):
        room.sandbox.add_fault(Fault("refuse", times=None))
        assert room.end(trigger(room.task_id, deadline=START + 600)) == {"status": "timeout"}

    def test_allows_a_poll_right_after_an_outage(self, room):
        room.sandbox.add_fault(Fault("refuse", times=None))
        actions = [(2300, room.sandbox.clear_faults), (2301, room.tick)]
        event = room.end(trigger(room.task_id, deadline=START + 2302), *actions)
        assert event["status"] == "done"

    def test_does_not_hide_a_refusal_of_the_last_poll(self, room):
        refuse = lambda: room.sandbox.add_fault(Fault("status", status=403, times=None))  # noqa: E731
        event = room.end(trigger(room.task_id, poke_interval=60.0, deadline=START + 33), (32, refuse))
        assert event["status"] == "error"


class TestErrors:
    def test_an_outage_does_not_end_the_wait(self, room):
        room.sandbox.add_fault(Fault("status", status=503, times=3))
        assert room.end(trigger(room.task_id), (8, room.tick))["status"] == "done"
        assert room.looks() == pytest.approx([0, 5, 15, 35], abs=1)

    def test_a_refusal_ends_the_wait_with_its_error(self, room):
        room.sandbox.add_fault(Fault("status", status=401, body={"errors": ["Invalid API token"]}, times=None))
        event = room.end(trigger(room.task_id))
        assert event["status"] == "error"
        error = from_plain(event["error"])
        assert type(error) is ChatworkAuthError
        assert error.errors == ("Invalid API token",)

    @pytest.mark.parametrize("status", [401, 403])
    def test_silent_fail_continues_after_a_refusal(self, status, room):
        room.sandbox.add_fault(Fault("status", status=status, times=2))
        assert room.end(trigger(room.task_id, silent_fail=True), (8, room.tick))["status"] == "done"

    @pytest.mark.parametrize("status", [401, 403])
    def test_silent_fail_ends_at_the_deadline(self, status, room):
        room.sandbox.add_fault(Fault("status", status=status, times=None))
        waiting = trigger(room.task_id, silent_fail=True, deadline=START + 100)
        assert room.end(waiting) == {"status": "timeout"}
        assert room.looks()[-1] < 120

    @pytest.mark.parametrize(
        "arguments", [{"complete_when": "most"}, {"room_id": "general"}, {"task_ids": []}], ids=str
    )
    def test_invalid_arguments_end_the_wait_with_an_error(self, arguments, room):
        event = room.end(trigger(room.task_id, **arguments))
        assert type(from_plain(event["error"])) is ChatworkParameterError
        assert not room.sandbox.requests

    def test_other_exceptions_are_raised(self, room, db):
        with pytest.raises(Exception, match="chatwork_missing"):
            room.end(trigger(room.task_id, chatwork_conn_id="chatwork_missing"))

    def test_silent_fail_waits_for_a_connection(self, room, db, monkeypatch):
        appears = lambda: connect(monkeypatch, room.sandbox, conn_id="chatwork_later")  # noqa: E731
        waiting = trigger(room.task_id, chatwork_conn_id="chatwork_later", silent_fail=True)
        assert room.end(waiting, (6, appears), (7, room.tick))["status"] == "done"
        waiting = trigger(room.task_id, chatwork_conn_id="chatwork_never", silent_fail=True, deadline=START + 20)
        assert room.end(waiting) == {"status": "timeout"}


class TestToken:
    """A revoked token, and the token in the connection."""

    def revoke(self, room: Room, token: str) -> None:
        room.sandbox._tokens.pop(token)

    @pytest.fixture
    def old(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> str:
        room.sandbox.add_token("old-token", company.BOT)
        connect(monkeypatch, room.sandbox, token="old-token")
        return "old-token"

    @pytest.mark.parametrize("silent_fail", [False, True])
    def test_a_new_one_is_read_from_the_connection(self, silent_fail, old, room, monkeypatch):
        revoke = lambda: self.revoke(room, old)  # noqa: E731
        replace = lambda: connect(monkeypatch, room.sandbox)  # noqa: E731
        waiting = trigger(room.task_id, silent_fail=silent_fail)
        actions = [(6, replace), (7, revoke), (14, room.tick)]
        assert room.end(waiting, *actions)["status"] == "done"
        assert len(room.ways) == 2

    def test_the_same_one_in_the_connection_ends_the_wait(self, old, room):
        event = room.end(trigger(room.task_id), (7, lambda: self.revoke(room, old)))
        assert event["status"] == "error"
        assert len(room.sandbox.requests) == 3

    def test_of_another_connection_is_not_affected(self, old, room, monkeypatch):
        connect(monkeypatch, room.sandbox, conn_id="chatwork_second")

        async def main(loop: VirtualLoop) -> Any:
            loop.happens(7, lambda: self.revoke(room, old))
            loop.happens(13, room.tick)
            both = (trigger(room.task_id), trigger(room.task_id, chatwork_conn_id="chatwork_second"))
            return await asyncio.gather(*map(events, both))

        [[first], [second]] = room.play(main)
        assert (first["status"], second["status"]) == ("error", "done")


class TestEnd:
    """A trigger leaves nothing behind. Each test of this module checks it."""

    def test_closes_its_connections(self, room):
        room.tick()
        room.end(trigger(room.task_id))
        assert [way.is_closed for way in room.ways] == [True]

    @pytest.mark.parametrize("after", [0.0, 0.55, 0.65, 3.0])
    def test_closes_its_connections_when_it_is_cancelled(self, after, room):
        async def main(loop: VirtualLoop) -> None:
            running = asyncio.create_task(events(trigger(room.task_id)))
            # The connection is read in a thread.
            while not len(poller_registry()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(after)
            assert not room.ways[0].is_closed
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

        room.play(main)


class TestEventLoop:
    async def test_is_free_while_a_request_is_sent(self, chatwork_sandbox):
        task_ids = chatwork_sandbox.create_task(
            ROOM, company.BOT, [company.SATO, company.YAMADA, company.TAKAHASHI], "確認"
        )
        for task_id in task_ids:
            chatwork_sandbox.complete_task(ROOM, task_id)
        beat, beats, real = threading.Event(), [], chatwork_sandbox.clock

        def answer_after_a_heartbeat() -> float:
            # The server calls it during a request. A blocked event loop could not count meanwhile.
            beat.clear()
            beats.append(beat.wait(10))
            return real()

        async def heart() -> None:
            while True:
                beat.set()
                await asyncio.sleep(0)

        beating = asyncio.create_task(heart())
        chatwork_sandbox.clock = answer_after_a_heartbeat
        try:
            [event] = await events(trigger(*task_ids, deadline=time.time() + 3600))
        finally:
            chatwork_sandbox.clock = real
            beating.cancel()
        assert event["status"] == "done"
        assert len(beats) >= 2
        assert all(beats)
