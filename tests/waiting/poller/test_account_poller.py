from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_chatwork.api.call import CallFlow, HttpRequest
from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkServerError
from airflow_provider_chatwork.api.http import WINDOW
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.sandbox import Fault, Limits
from airflow_provider_chatwork.waiting.poller.account_poller import poller_registry
from airflow_provider_chatwork.waiting.poller.rate_budget import DEFAULT_LIMIT, RESERVE
from airflow_provider_chatwork.waiting.poller.task_poller import TaskPoller, TaskSubscription
from tests.waiting.poller.scenario import EVER, ROOM, RecordedLog, Scenario, end_of, play

FOR_WAITS = DEFAULT_LIMIT * (1 - RESERVE)
HOUR = 3600.0


def poll_times(scenario: Scenario, room_id: int = ROOM) -> list[float]:
    """Return the times of the requests about a room."""
    return [record.time for record in scenario.sandbox.requests if f"/rooms/{room_id}/" in record.path]


def seconds_between_polls(scenario: Scenario) -> list[int]:
    """Return the seconds between the polls."""
    return [round(later - time) for time, later in itertools.pairwise(poll_times(scenario))]


def start_waits(scenario: Scenario, rooms: list[int], **arguments: Any) -> list[asyncio.Task[Any]]:
    return [
        asyncio.create_task(end_of(scenario.wait(scenario.task(room_id=room_id), room_id=room_id, **arguments)))
        for room_id in rooms
    ]


def record_remaining(scenario: Scenario) -> list[int]:
    """Record what each later answer says is left of the limit."""
    left: list[int] = []

    def note(headers: Mapping[str, str]) -> Mapping[str, str]:
        left.append(int(headers["x-ratelimit-remaining"]))
        return headers

    scenario.headers = note
    return left


async def leave(waits: list[asyncio.Task[Any]]) -> None:
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


class TestSubscribe:
    def test_the_first_poll_waits_for_further_subscriptions(self):
        async def main(scenario: Scenario) -> None:
            first, second = scenario.task(), scenario.task()
            async with scenario.wait(first) as wait:
                await asyncio.sleep(0.3)
                async with scenario.wait(second) as other:
                    assert await other.wait_for_change(scenario.now + 2)
                    assert await wait.wait_for_change(scenario.now)
            assert scenario.asked() == ["open"]

        play(main)

    def test_the_shortest_interval_of_a_room_counts(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id, interval=300.0) as patient:
                await patient.wait_for_change(EVER)
                await asyncio.sleep(100)
                async with scenario.wait(task_id, interval=10.0) as impatient:
                    await impatient.wait_for_change(EVER)
                    await asyncio.sleep(25)
                    scenario.sandbox.complete_task(ROOM, task_id)
                    began = scenario.now
                    assert await patient.wait_for_change(EVER)
                    assert scenario.now - began < 11
                count = len(poll_times(scenario))
                await asyncio.sleep(250)
                # The longer interval counts again.
                assert len(poll_times(scenario)) == count

        play(main)

    def test_a_shorter_interval_counts_at_once(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id, interval=HOUR) as patient:
                await patient.wait_for_change(EVER)
                await asyncio.sleep(100)
                async with scenario.wait(task_id, interval=10.0) as impatient:
                    assert await impatient.wait_for_change(scenario.now + 2)

        play(main)

    def test_a_subscription_to_another_room_counts_at_once(self):
        async def main(scenario: Scenario) -> None:
            [room_id] = scenario.rooms(1)
            async with scenario.wait(scenario.task(), interval=HOUR) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(100)
                async with scenario.wait(scenario.task(room_id=room_id), room_id=room_id, interval=HOUR) as other:
                    assert await other.wait_for_change(scenario.now + 2)

        play(main)

    def test_polls_once_per_interval(self):
        async def main(scenario: Scenario) -> None:
            waits = start_waits(scenario, [ROOM], interval=60.0)
            await asyncio.sleep(HOUR)
            assert len(poll_times(scenario)) == 60
            await leave(waits)

        play(main)


class TestUnsubscribe:
    def test_the_interval_of_an_ended_subscription_does_not_count(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id, interval=HOUR) as patient:
                async with scenario.wait(task_id, interval=10.0) as impatient:
                    assert await impatient.wait_for_change(EVER)
                    await asyncio.sleep(5)
                assert await patient.wait_for_change(EVER)
                await asyncio.sleep(HOUR - 10)
                assert len(poll_times(scenario)) == 1

        play(main)

    def test_the_last_subscription_closes_the_poller(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                async with scenario.wait(scenario.task()):
                    await wait.wait_for_change(EVER)
                await asyncio.sleep(1)
                assert len(scenario.registry) == 1
                assert not scenario.transports[0].closed
            assert len(scenario.registry) == 0
            await asyncio.sleep(1)
            assert scenario.transports[0].closed
            assert len(asyncio.all_tasks()) == 1

        play(main)

    def test_a_poller_that_is_cancelled_while_it_cleans_up_closes_its_connections(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                await wait.wait_for_change(EVER)
                scenario.registry.get(scenario.settings).on_close(lambda: asyncio.sleep(HOUR))
            await asyncio.sleep(1)
            assert not scenario.transports[0].closed
            # `asyncio.run` does this when its main coroutine ends.
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(1)
            assert scenario.transports[0].closed

        play(main)

    @pytest.mark.parametrize("after", [0.0, 0.3, 0.55, 0.65, 30.0, 60.55])
    def test_a_cancelled_subscription_closes_the_poller_at_any_time(self, after):
        async def main(scenario: Scenario) -> None:
            wait = asyncio.create_task(end_of(scenario.wait(scenario.task())))
            await asyncio.sleep(after)
            assert after % 60 < 0.5 or after == 30 or scenario.transports[0].under_way
            await leave([wait])
            await asyncio.sleep(0)
            assert len(scenario.registry) == 0

        play(main)

    @pytest.mark.parametrize("after", [0.0, 0.55, 30.0, 60.55])
    def test_a_cancelled_subscription_does_not_affect_others(self, after):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            stays = asyncio.create_task(end_of(scenario.wait(task_id)))
            goes = asyncio.create_task(end_of(scenario.wait(task_id)))
            await asyncio.sleep(after)
            await leave([goes])
            await asyncio.sleep(61)
            scenario.sandbox.complete_task(ROOM, task_id)
            began = scenario.now
            assert await stays is not None
            assert scenario.now - began < 61

        play(main)

    def test_a_poll_that_fails_after_the_last_subscription_is_not_logged(self):
        async def main(scenario: Scenario) -> None:
            [room_id] = scenario.rooms(1)
            async with scenario.wait(scenario.task(room_id=room_id), room_id=room_id) as other:
                await other.wait_for_change(EVER)
                async with scenario.wait(scenario.task()):
                    scenario.sandbox.add_fault(Fault("refuse"))
                    await asyncio.sleep(0.55)
                    assert scenario.transports[0].under_way
                await asyncio.sleep(100)
            assert not scenario.lines

        play(main)

    def test_the_next_subscription_gets_a_new_poller_at_once(self):
        async def main(scenario: Scenario) -> None:
            for _ in range(3):
                async with scenario.wait(scenario.task()) as wait:
                    await wait.wait_for_change(EVER)
            assert len(scenario.transports) == 3

        play(main)

    def test_a_room_that_is_left_during_a_poll_can_be_subscribed_again(self):
        async def main(scenario: Scenario) -> None:
            [room_id] = scenario.rooms(1)
            task_id = scenario.task()
            async with scenario.wait(scenario.task(room_id=room_id), room_id=room_id) as other:
                await other.wait_for_change(EVER)
                async with scenario.wait(task_id):
                    await asyncio.sleep(0.6)
                scenario.sandbox.complete_task(ROOM, task_id)
                assert await end_of(scenario.wait(task_id), scenario.now + 10) is not None

        play(main)


class TestRateBudget:
    def test_a_fifth_of_the_limit_is_left_and_rooms_share_the_rest_equally(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(50)
            left = record_remaining(scenario)
            waits = start_waits(scenario, rooms, interval=30.0)
            await asyncio.sleep(5 * WINDOW)
            assert min(left) >= DEFAULT_LIMIT * RESERVE
            counts = [len(poll_times(scenario, room_id)) for room_id in rooms]
            assert max(counts) - min(counts) <= 2
            assert sum(counts) > 0.8 * FOR_WAITS * 5
            assert {record.status for record in scenario.sandbox.requests} == {200}
            await leave(waits)

        play(main, limits=Limits())

    def test_all_intervals_become_longer_by_the_same_factor(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(60)
            waits = start_waits(scenario, rooms[:30], interval=30.0) + start_waits(scenario, rooms[30:], interval=60.0)
            await asyncio.sleep(5 * WINDOW)
            often = sum(len(poll_times(scenario, room_id)) for room_id in rooms[:30])
            seldom = sum(len(poll_times(scenario, room_id)) for room_id in rooms[30:])
            assert often / seldom == pytest.approx(2, rel=0.1)
            await leave(waits)

        play(main, limits=Limits())

    def test_a_slowdown_and_its_end_are_logged_once(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(50)
            waits = start_waits(scenario, rooms, interval=30.0)
            await asyncio.sleep(5 * WINDOW)
            assert scenario.lines == [
                f"WARNING Rate limit: polling 50 rooms of {scenario.settings.base_url} 2.1x slower, "
                "every 62.5 s instead of 30 s"
            ]
            await leave(waits[5:])
            await asyncio.sleep(4 * WINDOW)
            assert scenario.lines[1:] == [
                f"INFO Rate limit: polling 5 rooms of {scenario.settings.base_url} at full speed again"
            ]
            await leave(waits)

        play(main, limits=Limits())

    def test_a_slowdown_that_has_doubled_is_logged_again(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(150)
            waits = start_waits(scenario, rooms[:40], interval=30.0)
            await asyncio.sleep(WINDOW)
            waits += start_waits(scenario, rooms[40:], interval=30.0)
            await asyncio.sleep(4 * WINDOW)
            assert len(scenario.lines) == 2
            assert "polling 150 rooms" in scenario.lines[1]
            await leave(waits)

        play(main, limits=Limits())

    @pytest.mark.parametrize("rooms", [1, 10, 24])
    def test_nothing_is_logged_without_a_slowdown(self, rooms):
        async def main(scenario: Scenario) -> None:
            waits = start_waits(scenario, scenario.rooms(rooms), interval=30.0)
            await asyncio.sleep(4 * WINDOW)
            assert not scenario.lines
            await leave(waits)

        play(main, limits=Limits())

    def test_polling_pauses_and_logs_it_when_others_use_up_the_limit(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(5)
            waits = start_waits(scenario, rooms, interval=30.0)
            await asyncio.sleep(40)
            for _ in range(DEFAULT_LIMIT - 40):
                await scenario.sandbox.ahandle(
                    HttpRequest("GET", f"{scenario.settings.base_url}/me", _headers(scenario))
                )
            before = len(scenario.sandbox.requests)
            await asyncio.sleep(200)
            # The running polls end before the pause begins.
            assert len(scenario.sandbox.requests) - before <= 4
            assert any("used up" in line for line in scenario.lines)
            assert {record.status for record in scenario.sandbox.requests} == {200}
            await asyncio.sleep(150)
            assert all(poll_times(scenario, room_id)[-1] > scenario.now - 60 for room_id in rooms)
            await leave(waits)

        play(main, limits=Limits())

    def test_a_429_pauses_all_rooms(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(5)
            waits = start_waits(scenario, rooms, interval=30.0)
            await asyncio.sleep(10)
            reset = {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "290"}
            reset["x-ratelimit-reset"] = str(int(scenario.now) + 200)
            scenario.sandbox.add_fault(Fault("status", status=429, headers=reset))
            await asyncio.sleep(30)
            before = len(scenario.sandbox.requests)
            await asyncio.sleep(160)
            assert len(scenario.sandbox.requests) == before
            await asyncio.sleep(70)
            assert all(poll_times(scenario, room_id)[-1] > scenario.now - 60 for room_id in rooms)
            await leave(waits)

        play(main)

    @pytest.mark.parametrize(
        "odd",
        [
            {"x-ratelimit-limit": "", "x-ratelimit-remaining": "", "x-ratelimit-reset": ""},
            {"x-ratelimit-remaining": "300"},
            {"x-ratelimit-remaining": "lots"},
            {"x-ratelimit-reset": "0"},
            {"x-ratelimit-reset": "99999999999"},
            {"x-ratelimit-reset": "9" * 400},
            {"date": "today"},
        ],
        ids=str,
    )
    def test_the_limit_is_kept_with_invalid_headers(self, odd):
        async def main(scenario: Scenario) -> None:
            def change(headers: Mapping[str, str]) -> Mapping[str, str]:
                return {name: value for name, value in {**headers, **odd}.items() if value}

            scenario.headers = change
            waits = start_waits(scenario, scenario.rooms(50), interval=10.0)
            await asyncio.sleep(2 * WINDOW)
            assert {record.status for record in scenario.sandbox.requests} == {200}
            assert len(scenario.sandbox.requests) > 0.8 * FOR_WAITS * 2
            await leave(waits)

        play(main, limits=Limits())

    def test_an_expensive_room_does_not_delay_the_others(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(10)
            left = record_remaining(scenario)
            heavy = [scenario.task() for _ in range(400)]
            scenario.fill(to=1001002, by=1001001)
            waits = [asyncio.create_task(end_of(scenario.wait(task_id, interval=30.0))) for task_id in heavy]
            waits += start_waits(scenario, rooms, interval=30.0)
            await asyncio.sleep(4 * WINDOW)
            # Running polls pause as well.
            assert min(left) >= DEFAULT_LIMIT * RESERVE
            for room_id in rooms:
                times = [*poll_times(scenario, room_id), scenario.now]
                assert max(later - time for time, later in itertools.pairwise(times)) < WINDOW + 60
            await leave(waits)

        play(main, limits=Limits())


def _headers(scenario: Scenario) -> dict[str, str]:
    return {"x-chatworktoken": scenario.sandbox.token, "accept": "application/json"}


class TestPolls:
    @pytest.mark.parametrize("hanging", [3, 4, 12])
    def test_other_rooms_are_polled_while_some_do_not_answer(self, hanging):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(hanging + 3)

            async def hang(request: HttpRequest) -> None:
                if any(f"/rooms/{room_id}/" in request.url for room_id in rooms[:hanging]):
                    await asyncio.sleep(HOUR)

            scenario.on_the_way = hang  # type: ignore[method-assign]
            waits = start_waits(scenario, rooms)
            await asyncio.sleep(300)
            for room_id in rooms[hanging:]:
                assert len(poll_times(scenario, room_id)) == 5
            await leave(waits)

        play(main)

    def test_a_room_is_not_polled_twice_at_the_same_time(self):
        async def main(scenario: Scenario) -> None:
            async def slow(request: HttpRequest) -> None:
                assert scenario.transports[0].under_way == 1
                await asyncio.sleep(10)

            scenario.on_the_way = slow  # type: ignore[method-assign]
            waits = start_waits(scenario, [ROOM, ROOM, ROOM], interval=1.0)
            await asyncio.sleep(200)
            assert len(poll_times(scenario)) > 15
            await leave(waits)

        play(main)


class TestOutage:
    def test_an_outage_is_logged_once_for_the_account_and_once_for_each_subscription(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(3)
            logs = [RecordedLog() for _ in rooms]
            waits = [
                asyncio.create_task(end_of(scenario.wait(scenario.task(room_id=room_id), room_id=room_id, log=log)))
                for room_id, log in zip(rooms, logs, strict=True)
            ]
            await asyncio.sleep(30)
            scenario.sandbox.add_fault(Fault("status", status=503, times=None))
            await asyncio.sleep(HOUR)
            [line] = scenario.lines
            assert line.startswith("WARNING Polling Chatwork failed; retrying with back-off: room ")
            for log in logs:
                [line] = log.lines
                assert line.startswith("Polling room 50000000")
                assert "failed; retrying with back-off: " in line
                assert "503" in line
            scenario.sandbox.clear_faults()
            await asyncio.sleep(HOUR)
            [_, line] = scenario.lines
            assert line.startswith("INFO Polling Chatwork works again after ")
            scenario.sandbox.add_fault(Fault("refuse", times=2))
            await asyncio.sleep(HOUR)
            assert len(scenario.lines) == 4
            # Subscriptions do not log single failures.
            assert sum(len(log.lines) for log in logs) == 3
            await leave(waits)

        play(main)

    def test_an_outage_of_one_room_is_logged_once(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(3)
            waits = start_waits(scenario, rooms)
            scenario.sandbox.add_fault(Fault("status", status=500, times=None, path=f".*/rooms/{rooms[0]}/.*"))
            await asyncio.sleep(HOUR)
            assert len(scenario.lines) == 1
            scenario.sandbox.clear_faults()
            await asyncio.sleep(HOUR)
            assert len(scenario.lines) == 2
            scenario.sandbox.add_fault(Fault("status", status=500, times=None, path=f".*/rooms/{rooms[0]}/.*"))
            await asyncio.sleep(HOUR)
            assert len(scenario.lines) == 3
            # The outage also ends when the failing room has no subscription any more.
            await leave(waits[:1])
            await asyncio.sleep(HOUR)
            assert len(scenario.lines) == 4
            await leave(waits)

        play(main)

    def test_back_off_doubles_up_to_five_minutes(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            ending = asyncio.create_task(end_of(scenario.wait(task_id)))
            await asyncio.sleep(30)
            scenario.sandbox.add_fault(Fault("refuse", times=None))
            await asyncio.sleep(HOUR)
            _, *of_outage = seconds_between_polls(scenario)
            assert of_outage[:6] == [5, 10, 20, 40, 80, 160]
            assert {*of_outage[6:]} == {300}
            scenario.sandbox.clear_faults()
            scenario.sandbox.complete_task(ROOM, task_id)
            began = scenario.now
            assert await ending is not None
            assert scenario.now - began < 301

        play(main)

    def test_a_failed_poll_is_repeated_before_a_long_interval(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            ending = asyncio.create_task(end_of(scenario.wait(task_id, interval=HOUR)))
            await asyncio.sleep(30)
            scenario.sandbox.complete_task(ROOM, task_id)
            scenario.sandbox.add_fault(Fault("status", status=502))
            assert await ending is not None
            assert seconds_between_polls(scenario)[:2] == [HOUR, 5]

        play(main)

    def test_the_interval_is_unchanged_after_an_outage(self):
        async def main(scenario: Scenario) -> None:
            scenario.sandbox.add_fault(Fault("refuse", times=3))
            waits = start_waits(scenario, [ROOM], interval=1000.0)
            await asyncio.sleep(HOUR)
            assert seconds_between_polls(scenario) == [5, 10, 20, 1000, 1000, 1000]
            await leave(waits)

        play(main)


class TestRejection:
    def test_every_subscription_raises_the_error_of_a_revoked_token(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(3)
            waits = start_waits(scenario, rooms)
            await asyncio.sleep(30)
            scenario.sandbox.add_fault(Fault("status", status=401, body={"errors": ["Invalid API token"]}, times=None))
            for result in await asyncio.gather(*waits, return_exceptions=True):
                assert isinstance(result, ChatworkAuthError)
                assert result.errors == ("Invalid API token",)
            assert not scenario.lines

        play(main)

    def test_the_traceback_does_not_grow_with_each_subscription(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            waits = [asyncio.create_task(end_of(scenario.wait(task_id))) for _ in range(50)]
            await asyncio.sleep(30)
            scenario.sandbox.add_fault(Fault("status", status=401, times=None))
            [error, *_] = await asyncio.gather(*waits, return_exceptions=True)
            assert isinstance(error, ChatworkAuthError)
            length, trace = 0, error.__traceback__
            while trace is not None:
                length, trace = length + 1, trace.tb_next
            assert length < 40

        play(main)

    def test_a_subscription_that_stays_is_polled_again(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id) as wait:
                await wait.wait_for_change(EVER)
                scenario.sandbox.add_fault(Fault("status", status=401, times=2))
                for _ in range(2):
                    with pytest.raises(ChatworkAuthError):
                        await wait.wait_for_change(EVER)
                scenario.sandbox.complete_task(ROOM, task_id)
                await wait.wait_for_change(EVER)
                assert wait.is_complete

        play(main)


class BrokenPoller(TaskPoller):
    """Raises an internal error in one of its methods."""

    where = ""

    def poll(self) -> CallFlow[None]:
        if self.where == "poll":
            raise ZeroDivisionError("internal error")
        yield from super().poll()

    def notify(self) -> None:
        if self.where == "notify":
            raise ZeroDivisionError("internal error")
        super().notify()

    def due_at(self, slowdown: float) -> float:
        if self.where == "due_at":
            raise ZeroDivisionError("internal error")
        return super().due_at(slowdown)


def broken_wait(scenario: Scenario) -> TaskSubscription:
    subscription = TaskSubscription(ROOM, [scenario.task()], "all", 60.0, None, {}, None)
    subscription.poller, subscription.kind = poller_registry().get(scenario.settings), BrokenPoller
    return subscription


class TestInternalError:
    @pytest.mark.parametrize("where", ["poll", "notify", "due_at"])
    @pytest.mark.parametrize("later", [True, False])
    def test_every_subscription_raises_an_internal_error(self, later, where, monkeypatch):
        async def main(scenario: Scenario) -> None:
            monkeypatch.setattr(BrokenPoller, "where", "" if later else where)
            async with broken_wait(scenario) as wait:
                if later:
                    await wait.wait_for_change(EVER)
                    monkeypatch.setattr(BrokenPoller, "where", where)
                with pytest.raises(ZeroDivisionError, match="internal error"):
                    await wait.wait_for_change(scenario.now + HOUR)

        play(main)

    def test_new_subscriptions_work_after_an_internal_error(self, monkeypatch):
        async def main(scenario: Scenario) -> None:
            [room_id] = scenario.rooms(1)
            async with scenario.wait(scenario.task(room_id=room_id), room_id=room_id) as other:
                monkeypatch.setattr(BrokenPoller, "where", "due_at")
                async with broken_wait(scenario) as wait:
                    for each in (wait, other):
                        with pytest.raises(ZeroDivisionError):
                            await each.wait_for_change(EVER)
                    monkeypatch.setattr(BrokenPoller, "where", "")
                    async with scenario.wait(scenario.task()) as newcomer:
                        assert await newcomer.wait_for_change(scenario.now + 10)
                        assert len(scenario.registry) == 1

        play(main)


class TestLog:
    def test_lines_about_all_subscriptions_are_not_in_the_log_of_one_task(self):
        of_task: contextvars.ContextVar[str] = contextvars.ContextVar("of_task", default="nobody")
        contexts: list[str] = []

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                contexts.append(of_task.get())

        async def one(scenario: Scenario, room_id: int) -> None:
            of_task.set(f"the task in {room_id}")
            await end_of(scenario.wait(scenario.task(room_id=room_id), room_id=room_id, interval=30.0))

        async def main(scenario: Scenario) -> None:
            waits = [asyncio.create_task(one(scenario, room_id)) for room_id in scenario.rooms(50)]
            await asyncio.sleep(100)
            scenario.sandbox.add_fault(Fault("refuse", times=None))
            await asyncio.sleep(600)
            scenario.sandbox.clear_faults()
            await asyncio.sleep(600)
            await leave(waits)

        logger, handler = logging.getLogger("airflow_provider_chatwork.waiting.poller.rate_budget"), Handler()
        logger.addHandler(handler)
        try:
            play(main, limits=Limits())
        finally:
            logger.removeHandler(handler)
        assert len(contexts) >= 3
        assert set(contexts) == {"nobody"}


class TestAccountId:
    def test_is_requested_once_for_all(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id) as first, scenario.wait(task_id) as second:
                ids = await asyncio.gather(*(wait.account_id() for wait in (first, second) for _ in range(50)))
                assert {*ids} == {scenario.sandbox.account_id}
                assert await second.account_id() == scenario.sandbox.account_id
            assert scenario.asked().count("get_me") == 1

        play(main)

    def test_is_requested_again_after_a_failure(self):
        async def main(scenario: Scenario) -> None:
            hasty = Settings(scenario.sandbox.token, max_wait=0)
            async with scenario.wait(scenario.task(), settings=hasty) as wait:
                scenario.sandbox.add_fault(Fault("status", operation="get_me", status=503))
                with pytest.raises(ChatworkServerError):
                    await wait.account_id()
                assert await wait.account_id() == scenario.sandbox.account_id

        play(main)

    def test_survives_the_cancellation_of_the_first_caller(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                first, second = (asyncio.create_task(wait.account_id()) for _ in range(2))
                await asyncio.sleep(0.05)
                first.cancel()
                assert await second == scenario.sandbox.account_id
            assert scenario.asked().count("get_me") == 1

        play(main)

    def test_request_is_cancelled_with_the_poller(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                asking = asyncio.create_task(wait.account_id())
                await asyncio.sleep(0.05)
                asking.cancel()

        play(main)
