from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from airflow_provider_chatwork.api.errors import (
    ChatworkForbiddenError,
    ChatworkInvalidRequestError,
    ChatworkNotFoundError,
    ChatworkParameterError,
)
from airflow_provider_chatwork.sandbox import Fault, Limits
from airflow_provider_chatwork.waiting.poller.task_poller import subscribe_tasks
from airflow_provider_chatwork.waiting.tasks.room_scan import READS_PER_ROTATION
from tests.waiting.poller.scenario import BOT, EVER, ROOM, SATO, TAKAHASHI, YAMADA, RecordedLog, Scenario, end_of, play


class TestSubscribeTasks:
    @pytest.mark.parametrize("complete_when", ["most", 0, 3])
    def test_rejects_a_condition_that_cannot_be_met(self, complete_when):
        async def main(scenario: Scenario) -> None:
            with pytest.raises(ChatworkParameterError, match="complete_when"):
                subscribe_tasks(scenario.settings, ROOM, [1, 2], complete_when=complete_when)
            with pytest.raises(ChatworkParameterError, match="room_id"):
                subscribe_tasks(scenario.settings, "general", [1, 2])

        play(main)


class TestOnePoll:
    """All subscriptions to a room share its polls."""

    @pytest.mark.parametrize("count", [2, 300])
    def test_one_list_serves_all_subscriptions(self, count):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task() for _ in range(min(count, 90))]
            waits = [
                asyncio.create_task(end_of(scenario.wait(tasks[n % len(tasks)]), scenario.now + 30))
                for n in range(count)
            ]
            await asyncio.gather(*waits)
            assert scenario.asked() == ["open"]

        play(main)

    def test_reads_one_list_per_interval_and_each_changed_task(self):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task() for _ in range(90)]
            waits = [asyncio.create_task(end_of(scenario.wait(task_id, interval=60.0))) for task_id in tasks]
            await asyncio.sleep(10)
            assert scenario.asked() == ["open"]
            await asyncio.sleep(60)
            assert scenario.asked() == ["open"]
            scenario.sandbox.complete_task(ROOM, tasks[5])
            await asyncio.sleep(60)
            assert scenario.asked() == ["open", "read"]
            assert [task_id for task_id, wait in zip(tasks, waits, strict=True) if wait.done()] == [tasks[5]]
            for task_id in tasks[50:]:
                scenario.sandbox.complete_task(ROOM, task_id)
            await asyncio.sleep(60)
            assert scenario.asked() == ["open", "done"]
            assert sum(wait.done() for wait in waits) == 41
            for task_id in tasks[:50]:
                if task_id != tasks[5]:
                    scenario.sandbox.complete_task(ROOM, task_id)
            await asyncio.gather(*waits)
            assert scenario.asked() == ["open", "done"]

        play(main)

    def test_notifies_only_the_subscriptions_of_a_changed_task(self):
        async def main(scenario: Scenario) -> None:
            first, second, third = scenario.task(SATO), scenario.task(YAMADA), scenario.task(TAKAHASHI)
            async with (
                scenario.wait(first, second, complete_when="any") as one,
                scenario.wait(third, first) as other,
                scenario.wait(third) as last,
            ):
                assert [await wait.wait_for_change(EVER) for wait in (one, other, last)] == [True] * 3
                assert [state["task_id"] for state in other.states] == [third, first]
                assert [task["task_id"] for task in one.tasks if task] == [first, second]
                scenario.sandbox.complete_task(ROOM, first)
                assert await one.wait_for_change(scenario.now + 100)
                assert await other.wait_for_change(scenario.now)
                assert not await last.wait_for_change(scenario.now)
                assert one.is_complete
                assert not other.is_complete
                assert [state["status"] for state in other.states] == ["open", "done"]
                assert [state["account_id"] for state in one.states] == [SATO, YAMADA]

        play(main)

    def test_does_not_read_tasks_without_a_subscription(self):
        async def main(scenario: Scenario) -> None:
            first, second = scenario.task(), scenario.task()
            async with scenario.wait(first) as wait:
                async with scenario.wait(second) as other:
                    await other.wait_for_change(EVER)
                await wait.wait_for_change(EVER)
                scenario.asked()
                await asyncio.sleep(60)
                assert scenario.asked() == ["read"]

        play(main)

    @pytest.mark.parametrize("together", [True, False])
    def test_two_subscriptions_may_have_the_same_task(self, together):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id, task_id if together else scenario.task()) as first:
                await first.wait_for_change(EVER)
                async with scenario.wait(task_id) as second:
                    await second.wait_for_change(EVER)
                scenario.sandbox.complete_task(ROOM, task_id)
                assert await first.wait_for_change(scenario.now + 100)
                assert first.is_complete == together

        play(main)


class TestLateSubscription:
    def test_uses_a_recent_poll(self):
        async def main(scenario: Scenario) -> None:
            first, second = scenario.task(), scenario.task()
            async with scenario.wait(first, second) as wait:
                await wait.wait_for_change(EVER)
                scenario.asked()
                await asyncio.sleep(20)
                async with scenario.wait(second) as other:
                    assert await other.wait_for_change(scenario.now)
                    assert [state["status"] for state in other.states] == ["open"]
                assert scenario.asked() == []

        play(main)

    def test_another_poll_confirms_tasks_that_are_done_already(self):
        async def main(scenario: Scenario) -> None:
            first, second = scenario.task(), scenario.task()
            scenario.sandbox.complete_task(ROOM, second)
            async with scenario.wait(first, second) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(20)
                scenario.sandbox.reopen_task(ROOM, second)
                async with scenario.wait(second) as other:
                    assert not await other.wait_for_change(scenario.now)
                    assert await other.wait_for_change(scenario.now + 10)
                    assert not other.is_complete
                scenario.sandbox.complete_task(ROOM, second)
                await asyncio.sleep(120)
                assert await end_of(scenario.wait(second), scenario.now + 10)

        play(main)

    def test_polls_again_if_the_last_poll_is_older_than_the_interval(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id, interval=600.0) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(300)
                scenario.asked()
                async with scenario.wait(task_id, interval=30.0) as other:
                    await other.wait_for_change(EVER)
                assert scenario.asked() == ["read"]

        play(main)

    def test_sees_deleted_tasks(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id, scenario.task(), complete_when=1) as wait:
                scenario.sandbox.delete_task(ROOM, task_id)
                await wait.wait_for_change(EVER)
                async with scenario.wait(task_id) as other:
                    with pytest.raises(ChatworkNotFoundError, match=str(task_id)):
                        await other.wait_for_change(scenario.now)

        play(main)

    @pytest.mark.parametrize("why", ["hidden", "failed", "gone on"])
    def test_polls_if_the_last_poll_has_not_read_its_tasks(self, why):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task(by=TAKAHASHI) for _ in range(30)]
            if why != "failed":
                scenario.fill(to=SATO)
            async with scenario.wait(*tasks, interval=600.0) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(580)
                if why == "failed":
                    scenario.sandbox.add_fault(Fault("refuse", times=None))
                # Partial polls follow 200 and 400 seconds later.
                await asyncio.sleep(25 if why != "gone on" else 425)
                for task_id in tasks:
                    scenario.sandbox.complete_task(ROOM, task_id)
                async with scenario.wait(tasks[-1], interval=60.0) as other:
                    assert not await other.wait_for_change(scenario.now)
                    assert other.seen_at is None
                    scenario.sandbox.clear_faults()
                    while not other.is_complete:
                        assert await other.wait_for_change(scenario.now + 300)

        play(main)


class TestIsComplete:
    @pytest.mark.parametrize(("complete_when", "ticks"), [("all", 3), ("any", 1), (2, 2), ("2", 2)])
    def test_is_true_as_soon_as_enough_tasks_are_done(self, complete_when, ticks):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task() for _ in range(3)]
            async with scenario.wait(*tasks, complete_when=complete_when) as wait:
                await wait.wait_for_change(EVER)
                for done, task_id in enumerate(tasks[:ticks], start=1):
                    assert not wait.is_complete
                    scenario.sandbox.complete_task(ROOM, task_id)
                    await wait.wait_for_change(EVER)
                    assert [state["status"] for state in wait.states].count("done") == done
                assert wait.is_complete

        play(main)

    def test_all_tasks_are_done_at_the_same_time(self):
        # Both tasks were never done at the same time.
        async def main(scenario: Scenario) -> None:
            first, second, other = scenario.task(), scenario.task(), scenario.task()
            async with scenario.wait(first, second) as wait, scenario.wait(other):
                scenario.sandbox.complete_task(ROOM, first)
                await wait.wait_for_change(EVER)
                assert wait.states[0]["status"] == "done"
                scenario.sandbox.reopen_task(ROOM, first)
                scenario.sandbox.complete_task(ROOM, second)
                await wait.wait_for_change(EVER)
                assert not wait.is_complete
                assert [state["status"] for state in wait.states] == ["open", "done"]

        play(main)

    def test_becomes_false_when_a_task_is_opened_before_the_change_is_read(self):
        async def main(scenario: Scenario) -> None:
            first, second = scenario.task(), scenario.task()
            async with scenario.wait(first, complete_when="any") as slow, scenario.wait(second):
                scenario.sandbox.complete_task(ROOM, first)
                await asyncio.sleep(100)
                assert slow.is_complete
                scenario.sandbox.reopen_task(ROOM, first)
                await asyncio.sleep(1000)
                assert await slow.wait_for_change(EVER)
                assert not slow.is_complete
                assert slow.states[0]["status"] == "open"

        play(main)

    @pytest.mark.parametrize("count", [40, 70])
    def test_comes_for_more_tasks_than_one_poll_reads(self, count):
        async def main(scenario: Scenario) -> None:
            people = scenario.people(count)
            tasks = [scenario.task(person) for person in people]
            ending = asyncio.create_task(end_of(scenario.wait(*tasks), scenario.now + 3600))
            await asyncio.sleep(10)
            for task_id in tasks:
                scenario.sandbox.complete_task(ROOM, task_id)
            scenario.fill(done=True)
            assert await ending is not None

        play(main)

    def test_needs_tasks_that_one_poll_has_confirmed(self):
        async def main(scenario: Scenario) -> None:
            people = scenario.people(25)
            sets = [[scenario.task(person) for person in people] for _ in range(2)]
            ending = [asyncio.create_task(end_of(scenario.wait(*tasks), scenario.now + 900)) for tasks in sets]
            await asyncio.sleep(10)
            for first, *tasks in sets:
                for task_id in tasks:
                    scenario.sandbox.complete_task(ROOM, task_id)
                assert first
            await asyncio.sleep(60)
            scenario.fill()
            scenario.fill(done=True)
            # No list shows the done tasks, and one poll cannot read all of them one by one for both waits.
            for tasks in sets:
                scenario.sandbox.complete_task(ROOM, tasks[0])
                scenario.sandbox.reopen_task(ROOM, tasks[-1])
            assert await asyncio.gather(*ending) == [None, None]

        play(main)


def broken_read(task_id: int, **arguments: Any) -> Fault:
    return Fault("status", **{"path": f"/rooms/{ROOM}/tasks/{task_id}", "times": None, **arguments})


class TestOneFailedRead:
    """A failed read of one task affects only the subscriptions to this task."""

    def test_does_not_delay_other_subscriptions(self):
        async def main(scenario: Scenario) -> None:
            broken, other = scenario.task(), scenario.task()
            log, other_log = RecordedLog(), RecordedLog()
            waits = [scenario.task() for _ in range(3)]
            async with (
                scenario.wait(*waits, log=other_log),
                scenario.wait(broken, log=log) as wait,
                scenario.wait(other, log=other_log) as quick,
            ):
                await wait.wait_for_change(EVER)
                scenario.sandbox.add_fault(broken_read(broken, status=500))
                scenario.sandbox.complete_task(ROOM, broken)
                await asyncio.sleep(600)
                scenario.sandbox.complete_task(ROOM, other)
                await quick.wait_for_change(EVER)
                await quick.wait_for_change(scenario.now + 70)
                assert quick.is_complete
                assert not await wait.wait_for_change(scenario.now + 1)
                assert not wait.is_complete
                assert len(log.lines) == 1
                assert "500" in log.lines[0]
                assert not other_log.lines
                assert not scenario.lines
                scenario.asked()
                await asyncio.sleep(3600)
                # The failed read is not repeated without end; every tenth poll reads the other task.
                assert scenario.asked().count("read") <= 60 + 6 + 1
                scenario.sandbox.clear_faults()
                assert await wait.wait_for_change(scenario.now + 61)
                assert wait.is_complete

        play(main)

    @pytest.mark.parametrize(("times", "lines"), [(1, 0), (2, 1)])
    def test_is_repeated_before_the_next_full_poll(self, times, lines):
        async def main(scenario: Scenario) -> None:
            broken, other = scenario.task(), scenario.task()
            async with scenario.wait(broken, interval=600.0, log=(log := RecordedLog())) as wait, scenario.wait(other):
                await wait.wait_for_change(EVER)
                scenario.sandbox.add_fault(broken_read(broken, status=500, times=times))
                scenario.sandbox.complete_task(ROOM, broken)
                scenario.asked()
                assert await wait.wait_for_change(scenario.now + 100)
                assert wait.is_complete
                assert scenario.asked() == ["open", *["read"] * (times + 1)]
                assert len(log.lines) == lines

        play(main)

    def test_lets_the_wait_end_with_the_repeated_read(self):
        async def main(scenario: Scenario) -> None:
            first, second, third = scenario.task(), scenario.task(), scenario.task()
            async with scenario.wait(first, second) as wait, scenario.wait(third):
                scenario.sandbox.complete_task(ROOM, first)
                await wait.wait_for_change(EVER)
                scenario.sandbox.add_fault(broken_read(first, status=500))
                scenario.sandbox.complete_task(ROOM, second)
                scenario.asked()
                await asyncio.sleep(3600)
                assert not wait.is_complete
                # One list and two reads per interval, and a few more.
                assert len(scenario.asked()) <= 3 * 60 + 10
                scenario.sandbox.clear_faults()
                await asyncio.sleep(61)
                assert wait.is_complete

        play(main)

    def test_does_not_count_as_a_refresh(self):
        async def main(scenario: Scenario) -> None:
            broken, other, third = scenario.task(), scenario.task(), scenario.task()
            async with scenario.wait(broken) as wait, scenario.wait(other, third) as spared:
                await wait.wait_for_change(EVER)
                seen_at = wait.seen_at
                scenario.sandbox.add_fault(broken_read(broken, status=500))
                scenario.sandbox.complete_task(ROOM, broken)
                assert not await wait.refresh(30)
                assert await spared.refresh(5)
                assert wait.seen_at == seen_at
                scenario.sandbox.clear_faults()
                assert await wait.refresh(30)
                assert wait.is_complete

        play(main)

    def test_refused_for_good_ends_only_the_waits_for_that_task(self):
        async def main(scenario: Scenario) -> None:
            broken, other, third = scenario.task(), scenario.task(), scenario.task()
            async with (
                scenario.wait(broken) as first,
                scenario.wait(third, broken, complete_when="any") as second,
                scenario.wait(third, other) as spared,
            ):
                await spared.wait_for_change(EVER)
                await second.wait_for_change(EVER)
                await first.wait_for_change(EVER)
                scenario.sandbox.add_fault(broken_read(broken, status=400))
                scenario.sandbox.complete_task(ROOM, broken)
                scenario.asked()
                for wait in (first, second):
                    with pytest.raises(ChatworkInvalidRequestError):
                        await wait.wait_for_change(scenario.now + 70)
                    # A subscription that stays raises once per interval.
                    with pytest.raises(ChatworkInvalidRequestError):
                        await wait.wait_for_change(scenario.now + 70)
                assert not await spared.wait_for_change(scenario.now + 300)
                assert len(scenario.asked()) <= 2 * 10
                scenario.sandbox.complete_task(ROOM, third)
                scenario.sandbox.complete_task(ROOM, other)
                assert await spared.wait_for_change(scenario.now + 70)
                assert spared.is_complete

        play(main)

    @pytest.mark.parametrize("others", [0, 2])
    def test_with_a_single_404_ends_no_wait(self, others):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task() for _ in range(1 + others)]
            async with scenario.wait(tasks[0]) as wait, scenario.wait(*tasks):
                scenario.sandbox.add_fault(broken_read(tasks[0], status=404, times=1))
                scenario.sandbox.complete_task(ROOM, tasks[0])
                # The second answer counts, and is requested at once.
                assert await wait.wait_for_change(scenario.now + 5)
                assert wait.is_complete

        play(main)

    def test_with_a_429_pauses_polling(self):
        async def main(scenario: Scenario) -> None:
            broken, other = scenario.task(), scenario.task()
            async with scenario.wait(broken) as wait, scenario.wait(other):
                await wait.wait_for_change(EVER)
                # Without rate limit headers.
                scenario.sandbox.add_fault(broken_read(broken, status=429, times=1, headers={}))
                scenario.sandbox.complete_task(ROOM, broken)
                await asyncio.sleep(62)
                assert "read" in scenario.asked()
                assert not wait.is_complete
                await asyncio.sleep(20)
                assert scenario.asked() == []
                assert await wait.wait_for_change(scenario.now + 400)
                assert wait.is_complete

        play(main)


class TestTasksOutsideFullLists:
    """Tasks that no list shows are read in rotation."""

    def test_are_read_within_a_long_interval_one_minute_apart(self):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task(by=TAKAHASHI) for _ in range(120)]
            scenario.fill(to=SATO)
            waits = [asyncio.create_task(end_of(scenario.wait(task_id, interval=3600.0))) for task_id in tasks]
            await asyncio.sleep(3590)
            scenario.asked()
            for task_id in tasks:
                scenario.sandbox.complete_task(ROOM, task_id)
            for _ in range(60):
                await asyncio.sleep(60)
                assert len(scenario.asked()) <= 2 * READS_PER_ROTATION
            await asyncio.sleep(60)
            assert all(wait.done() for wait in waits)

        play(main)

    def test_are_all_read_for_a_refresh(self):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task(by=TAKAHASHI) for _ in range(70)]
            scenario.fill(to=SATO)
            async with scenario.wait(*tasks, interval=600.0, complete_when="any") as wait:
                await wait.wait_for_change(EVER)
                assert not wait.is_complete
                scenario.asked()
                assert await wait.refresh(60)
                assert scenario.asked().count("read") == 70

        play(main)

    def test_in_many_rooms_do_not_use_up_the_limit(self):
        async def main(scenario: Scenario) -> None:
            rooms = scenario.rooms(9)
            waits = []
            for room_id in rooms[1:]:
                for by, count in ((TAKAHASHI, 40), (TAKAHASHI, 100)):
                    tasks = [scenario.task(SATO, by, room_id) for _ in range(count)]
                    if count == 40:
                        waits += [scenario.wait(task_id, room_id=room_id, interval=240.0) for task_id in tasks]
            async with scenario.wait(scenario.task(room_id=rooms[0]), room_id=rooms[0], interval=60.0) as often:
                ends = [asyncio.create_task(end_of(wait)) for wait in waits]
                # The first polls of all rooms use up the limit.
                await asyncio.sleep(1500)
                polls = []
                for _ in range(50):
                    scenario.lines.clear()
                    seen_at = often.seen_at
                    await asyncio.sleep(60)
                    polls.append(often.seen_at != seen_at)
                    assert not any("used up" in line for line in scenario.lines)
                assert sum(polls) > 15
            await leave(ends)

        play(main, limits=Limits())

    def test_are_read_ten_per_poll_with_short_intervals(self):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task(by=TAKAHASHI) for _ in range(40)]
            scenario.fill(to=SATO)
            waits = [asyncio.create_task(end_of(scenario.wait(task_id, interval=60.0))) for task_id in tasks]
            await asyncio.sleep(120)
            scenario.asked()
            await asyncio.sleep(600)
            assert scenario.asked().count("read") == 10 * READS_PER_ROTATION
            await leave(waits)

        play(main)

    def test_are_read_without_rotation_for_a_refresh(self):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task(by=TAKAHASHI) for _ in range(90)]
            scenario.fill(to=SATO)
            waits = [asyncio.create_task(end_of(scenario.wait(task_id, interval=600.0))) for task_id in tasks[1:]]
            async with scenario.wait(tasks[0], interval=600.0) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(67)
                assert await wait.refresh(60)
                assert not wait.is_complete
                scenario.sandbox.complete_task(ROOM, tasks[0])
                scenario.asked()
                assert await wait.refresh(20)
                assert wait.is_complete
                assert len(scenario.asked()) <= 2 + 1 + READS_PER_ROTATION
            await leave(waits)

        play(main)


class TestRefresh:
    def test_returns_only_after_all_tasks_of_the_subscription_were_read(self):
        async def main(scenario: Scenario) -> None:
            groups = [[scenario.task() for _ in range(4)] for _ in range(12)]
            async with contextlib.AsyncExitStack() as stack:
                waits = [await stack.enter_async_context(scenario.wait(*group, interval=60.0)) for group in groups]
                await waits[0].wait_for_change(EVER)
                for group in groups:
                    for task_id in group[:-1]:
                        scenario.sandbox.complete_task(ROOM, task_id)
                await asyncio.sleep(300)
                # No list shows the tasks that were done before. They are read one by one, and one poll cannot read all.
                scenario.fill(to=SATO, by=BOT, done=True)
                for group in groups:
                    scenario.sandbox.complete_task(ROOM, group[-1])
                assert await asyncio.gather(*(wait.refresh(200) for wait in waits)) == [True] * 12
                assert all(wait.is_complete for wait in waits)

        play(main)


async def leave(waits: list[asyncio.Task[Any]]) -> None:
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


class TestImpossible:
    def test_ends_only_the_wait_with_too_few_tasks_left(self):
        async def main(scenario: Scenario) -> None:
            first, second = scenario.task(), scenario.task()
            async with scenario.wait(first, second) as all_, scenario.wait(first, second, complete_when="any") as any_:
                await all_.wait_for_change(EVER)
                await any_.wait_for_change(EVER)
                scenario.sandbox.delete_task(ROOM, first)
                with pytest.raises(ChatworkNotFoundError, match=str(first)):
                    await all_.wait_for_change(EVER)
                assert await any_.wait_for_change(scenario.now)
                assert [state["status"] for state in any_.states] == ["deleted", "open"]
                assert any_.tasks[0] is not None
                # A subscription that stays gets the states.
                assert await all_.wait_for_change(scenario.now)

        play(main)

    def test_a_lost_room_ends_all_waits_in_it_and_no_others(self):
        async def main(scenario: Scenario) -> None:
            [other_room] = scenario.rooms(1)
            tasks = [scenario.task(), scenario.task()]
            elsewhere = scenario.task(room_id=other_room)
            waits = [asyncio.create_task(end_of(scenario.wait(task_id))) for task_id in tasks]
            safe = asyncio.create_task(end_of(scenario.wait(elsewhere, room_id=other_room)))
            await asyncio.sleep(10)
            scenario.sandbox.remove_member(ROOM, 1001001)
            await asyncio.sleep(100)
            for wait in waits:
                with pytest.raises(ChatworkForbiddenError):
                    await wait
            scenario.sandbox.complete_task(other_room, elsewhere)
            assert await safe is not None

        play(main)
