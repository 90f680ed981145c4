from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from airflow_provider_chatwork.api.call import HttpRequest
from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkForbiddenError, ChatworkNotFoundError
from airflow_provider_chatwork.api.messages import post_message
from airflow_provider_chatwork.sandbox import Fault, Limits
from airflow_provider_chatwork.waiting.poller.subscription import FIRST_BACKOFF
from tests.waiting.poller.scenario import EVER, ROOM, RecordedLog, Scenario, end_of, play

# The usual limit is not enough for a poll per second.
AMPLE = Limits(requests=100_000)


def at(scenario: Scenario) -> list[float]:
    """Return the times of the requests in seconds since the beginning, without the gathering time."""
    return [round(record.time - 1_800_000_000.5) for record in scenario.sandbox.requests]


class TestWaitForChange:
    def test_returns_after_the_first_poll(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                assert wait.states == []
                assert wait.tasks == []
                assert not await wait.wait_for_change(scenario.now + 0.4)
                assert wait.states == []
                assert await wait.wait_for_change(EVER)
                assert [state["status"] for state in wait.states] == ["open"]

        play(main)

    @pytest.mark.parametrize("seconds", [0, -5, 17, 10_000])
    def test_returns_false_at_the_given_time(self, seconds):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                await wait.wait_for_change(EVER)
                began = scenario.now
                assert not await wait.wait_for_change(began + seconds)
                assert scenario.now - began == pytest.approx(max(seconds, 0))

        play(main)

    def test_reports_a_change_once(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                assert await wait.wait_for_change(EVER)
                assert not await wait.wait_for_change(scenario.now + 200)

        play(main)

    def test_reports_a_change_that_came_before_the_call(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id) as wait:
                await wait.wait_for_change(EVER)
                scenario.sandbox.complete_task(ROOM, task_id)
                await asyncio.sleep(1000)
                assert await wait.wait_for_change(scenario.now)
                assert wait.is_complete

        play(main)

    def test_logs_an_outage_once(self):
        async def main(scenario: Scenario) -> None:
            task_id, log = scenario.task(), RecordedLog()
            scenario.sandbox.add_fault(Fault("status", status=500, times=5))
            async with scenario.wait(task_id, log=log) as wait:
                assert not await wait.wait_for_change(scenario.now + 30)
                assert len(log.lines) == 1
                assert await wait.wait_for_change(EVER)
                assert len(log.lines) == 1
                scenario.sandbox.add_fault(Fault("refuse"))
                assert not await wait.wait_for_change(scenario.now + 100)
                assert len(log.lines) == 1
                scenario.sandbox.add_fault(Fault("refuse", times=2))
                assert not await wait.wait_for_change(scenario.now + 100)
                assert len(log.lines) == 2

        play(main)


class TestInterval:
    @pytest.mark.parametrize("interval", [0, 0.001, -3, 1])
    def test_is_at_least_a_second(self, interval):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task(), interval=interval) as wait:
                await wait.wait_for_change(EVER)
                assert not await wait.wait_for_change(scenario.now + 9.9)
            assert at(scenario) == [*range(11)]

        play(main, limits=AMPLE)

    def test_longest_interval_is_at_least_a_second(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task(), interval=2.0, max_interval=0.1) as wait:
                await wait.wait_for_change(EVER)
                assert not await wait.wait_for_change(scenario.now + 5.5)
            assert at(scenario) == [0, 2, 3, 4, 5]

        play(main, limits=AMPLE)

    def test_does_not_double_with_polls_of_other_subscriptions(self):
        async def main(scenario: Scenario) -> None:
            task = scenario.task()
            async with scenario.wait(task, interval=60, max_interval=7200) as patient:
                async with scenario.wait(scenario.task(), interval=5) as impatient:
                    while await impatient.wait_for_change(scenario.now + 100):
                        pass
                assert patient.interval == 120

        play(main)

    @pytest.mark.parametrize(
        ("longest", "expected"),
        [
            (None, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50]),
            (15.0, [0, 5, 15, 30, 45]),
            (EVER, [0, 5, 15, 35]),
            (2.0, [0, 5, 7, 9, 11]),
        ],
    )
    def test_doubles_up_to_the_longest_interval(self, longest, expected):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task(), interval=5.0, max_interval=longest) as wait:
                await wait.wait_for_change(EVER)
                await wait.wait_for_change(scenario.now + 52)
            assert at(scenario)[: len(expected)] == expected
            assert longest == 2.0 or len(at(scenario)) == len(expected)

        play(main)


class TestRefresh:
    def test_polls_at_once(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id, interval=600.0) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(100)
                scenario.sandbox.complete_task(ROOM, task_id)
                began = scenario.now
                assert await wait.refresh(30)
                assert scenario.now - began < 1
                assert wait.is_complete

        play(main)

    def test_an_unchanged_state_is_no_change(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task(), interval=600.0) as wait:
                await wait.wait_for_change(EVER)
                assert await wait.refresh(30)
                assert not await wait.wait_for_change(scenario.now)

        play(main)

    def test_a_poll_that_began_before_does_not_count(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()

            async def late(request: HttpRequest) -> None:
                # The running poll does not show it.
                if len(scenario.sandbox.requests) == 1:
                    asyncio.get_running_loop().call_later(0.05, scenario.sandbox.complete_task, ROOM, task_id)

            scenario.on_the_way = late  # type: ignore[method-assign]
            async with scenario.wait(task_id, interval=60.0) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(59.97)
                assert scenario.transports[0].under_way
                assert await wait.refresh(30)
                assert wait.is_complete

        play(main)

    def test_several_at_the_same_time_share_one_poll(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id) as first, scenario.wait(task_id) as second:
                await first.wait_for_change(EVER)
                await second.wait_for_change(EVER)
                await asyncio.sleep(20)
                scenario.asked()
                assert await asyncio.gather(first.refresh(30), second.refresh(30)) == [True, True]
                assert scenario.asked() == ["read"]

        play(main)

    def test_returns_false_after_the_timeout_in_an_outage(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                await wait.wait_for_change(EVER)
                scenario.sandbox.add_fault(Fault("refuse", times=None))
                await wait.wait_for_change(scenario.now + 1000)
                before, began = len(scenario.sandbox.requests), scenario.now
                assert not await wait.refresh(30)
                assert scenario.now - began == pytest.approx(30)
                assert len(scenario.sandbox.requests) == before + 2

        play(main)

    def test_polls_again_after_a_failure(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id, interval=3600.0) as wait:
                await wait.wait_for_change(EVER)
                scenario.sandbox.complete_task(ROOM, task_id)
                scenario.sandbox.add_fault(Fault("status", status=502, times=2))
                assert await wait.refresh(30)
                assert wait.is_complete

        play(main)

    def test_polls_after_a_running_poll_has_failed(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task(), interval=60.0) as wait:
                await wait.wait_for_change(EVER)
                scenario.sandbox.add_fault(Fault("status", status=502))
                await asyncio.sleep(59.97)
                assert scenario.transports[0].under_way
                assert await wait.refresh(30)

        play(main)

    def test_may_use_the_reserve_of_the_rate_budget(self):
        async def main(scenario: Scenario) -> None:
            use = HttpRequest("GET", f"{scenario.settings.base_url}/me", {"x-chatworktoken": scenario.settings.token})
            async with scenario.wait(scenario.task(), interval=10.0) as wait:
                await wait.wait_for_change(EVER)
                for _ in range(245):
                    await scenario.sandbox.ahandle(use)
                await asyncio.sleep(60)
                scenario.asked()
                await asyncio.sleep(60)
                assert scenario.asked() == []
                assert await wait.refresh(30)
                assert scenario.asked() == ["read"]

        play(main, limits=Limits())

    def test_ends_the_back_off(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id) as wait:
                await wait.wait_for_change(EVER)
                scenario.sandbox.add_fault(Fault("refuse", times=None))
                await wait.wait_for_change(scenario.now + 1000)
                scenario.sandbox.clear_faults()
                scenario.sandbox.complete_task(ROOM, task_id)
                assert await wait.refresh(30)
                assert wait.is_complete

        play(main)

    def test_raises_a_refusal_of_chatwork(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id) as wait:
                await wait.wait_for_change(EVER)
                scenario.sandbox.add_fault(Fault("status", status=401))
                with pytest.raises(ChatworkAuthError):
                    await wait.refresh(30)
                scenario.sandbox.delete_task(ROOM, task_id)
                with pytest.raises(ChatworkNotFoundError):
                    await wait.refresh(30)

        play(main)

    def test_does_not_affect_other_subscriptions(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id) as wait:
                await wait.wait_for_change(EVER)
                other = asyncio.create_task(end_of(scenario.wait(task_id)))
                for _ in range(5):
                    assert await wait.refresh(30)
                assert not other.done()
                scenario.sandbox.complete_task(ROOM, task_id)
                assert await other is not None

        play(main)


class TestRun:
    def test_retries_as_the_connection_says(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                scenario.sandbox.add_fault(Fault("refuse", operation="post_message", times=2))
                posted = await wait.run(post_message(ROOM, "確認"))
                assert scenario.sandbox.messages(ROOM)[-1]["message_id"] == posted["message_id"]

        play(main)

    def test_uses_the_transport_of_the_polls(self):
        async def main(scenario: Scenario) -> None:
            async with scenario.wait(scenario.task()) as wait:
                await wait.run(post_message(ROOM, "確認"))
                assert len(scenario.transports) == 1

        play(main)

    def test_many_refreshes_in_an_outage_share_few_polls(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with contextlib.AsyncExitStack() as stack:
                waits = [await stack.enter_async_context(scenario.wait(task_id, interval=600.0)) for _ in range(30)]
                await waits[0].wait_for_change(EVER)
                scenario.sandbox.add_fault(Fault("refuse", times=None))
                scenario.asked()

                async def want(wait: Any, delay: float) -> None:
                    await asyncio.sleep(delay)
                    assert not await wait.refresh(3)

                await asyncio.gather(*(want(wait, number) for number, wait in enumerate(waits)))
                assert len(scenario.asked()) <= 30 / FIRST_BACKOFF + 2

        play(main)


class TestLateSubscription:
    def test_does_not_wait_for_the_back_off_after_a_refusal(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(scenario.task(), scenario.task(), interval=7200.0) as other:
                await other.wait_for_change(EVER)
                scenario.sandbox.add_fault(Fault("status", status=403))
                with pytest.raises(ChatworkForbiddenError):
                    await other.wait_for_change(EVER)
                async with scenario.wait(task_id, interval=5.0) as wait:
                    assert await wait.wait_for_change(scenario.now + 2)

        play(main)
