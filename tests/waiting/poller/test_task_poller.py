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
from airflow_provider_chatwork.waiting.poller.subscribe import subscribe_tasks
from airflow_provider_chatwork.waiting.tasks.room_scan import IN_TURN
from tests.waiting.poller.scene import BOT, EVER, ROOM, SATO, TAKAHASHI, YAMADA, Heard, Scene, end_of, play


class TestWatchTasks:
    @pytest.mark.parametrize("complete_when", ["most", 0, 3])
    def test_refuses_at_once_what_cannot_be_satisfied(self, complete_when):
        async def main(scene: Scene) -> None:
            with pytest.raises(ChatworkParameterError, match="complete_when"):
                subscribe_tasks(scene.settings, ROOM, [1, 2], complete_when=complete_when)
            with pytest.raises(ChatworkParameterError, match="room_id"):
                subscribe_tasks(scene.settings, "general", [1, 2])

        play(main)


class TestOneLook:
    """However many waits there are in a room, they look together."""

    @pytest.mark.parametrize("count", [2, 300])
    def test_is_one_list_for_all_who_join_at_once(self, count):
        async def main(scene: Scene) -> None:
            tasks = [scene.task() for _ in range(min(count, 90))]
            waits = [
                asyncio.create_task(end_of(scene.wait(tasks[n % len(tasks)]), scene.now + 30)) for n in range(count)
            ]
            await asyncio.gather(*waits)
            assert scene.asked() == ["open"]

        play(main)

    def test_costs_a_list_an_interval_and_a_read_for_a_change(self):
        async def main(scene: Scene) -> None:
            tasks = [scene.task() for _ in range(90)]
            waits = [asyncio.create_task(end_of(scene.wait(task_id, interval=60.0))) for task_id in tasks]
            await asyncio.sleep(10)
            assert scene.asked() == ["open"]
            await asyncio.sleep(60)
            assert scene.asked() == ["open"]
            scene.sandbox.complete_task(ROOM, tasks[5])
            await asyncio.sleep(60)
            assert scene.asked() == ["open", "read"]
            assert [task_id for task_id, wait in zip(tasks, waits, strict=True) if wait.done()] == [tasks[5]]
            for task_id in tasks[50:]:
                scene.sandbox.complete_task(ROOM, task_id)
            await asyncio.sleep(60)
            assert scene.asked() == ["open", "done"]
            assert sum(wait.done() for wait in waits) == 41
            for task_id in tasks[:50]:
                if task_id != tasks[5]:
                    scene.sandbox.complete_task(ROOM, task_id)
            await asyncio.gather(*waits)
            assert scene.asked() == ["open", "done"]

        play(main)

    def test_tells_everybody_what_is_theirs_and_nothing_else(self):
        async def main(scene: Scene) -> None:
            first, second, third = scene.task(SATO), scene.task(YAMADA), scene.task(TAKAHASHI)
            async with (
                scene.wait(first, second, complete_when="any") as one,
                scene.wait(third, first) as other,
                scene.wait(third) as last,
            ):
                assert [await wait.wait_for_change(EVER) for wait in (one, other, last)] == [True] * 3
                assert [state["task_id"] for state in other.states] == [third, first]
                assert [task["task_id"] for task in one.tasks if task] == [first, second]
                scene.sandbox.complete_task(ROOM, first)
                assert await one.wait_for_change(scene.now + 100)
                assert await other.wait_for_change(scene.now)
                assert not await last.wait_for_change(scene.now)
                assert one.is_complete
                assert not other.is_complete
                assert [state["status"] for state in other.states] == ["open", "done"]
                assert [state["account_id"] for state in one.states] == [SATO, YAMADA]

        play(main)

    def test_does_not_ask_for_what_nobody_waits_for_any_more(self):
        async def main(scene: Scene) -> None:
            first, second = scene.task(), scene.task()
            async with scene.wait(first) as wait:
                async with scene.wait(second) as other:
                    await other.wait_for_change(EVER)
                await wait.wait_for_change(EVER)
                scene.asked()
                await asyncio.sleep(60)
                assert scene.asked() == ["read"]

        play(main)

    @pytest.mark.parametrize("together", [True, False])
    def test_may_be_for_one_task_in_two_waits(self, together):
        async def main(scene: Scene) -> None:
            task_id = scene.task()
            async with scene.wait(task_id, task_id if together else scene.task()) as first:
                await first.wait_for_change(EVER)
                async with scene.wait(task_id) as second:
                    await second.wait_for_change(EVER)
                scene.sandbox.complete_task(ROOM, task_id)
                assert await first.wait_for_change(scene.now + 100)
                assert first.is_complete == together

        play(main)


class TestJoining:
    def test_costs_nothing_where_the_room_was_just_looked_at(self):
        async def main(scene: Scene) -> None:
            first, second = scene.task(), scene.task()
            async with scene.wait(first, second) as wait:
                await wait.wait_for_change(EVER)
                scene.asked()
                await asyncio.sleep(20)
                async with scene.wait(second) as other:
                    assert await other.wait_for_change(scene.now)
                    assert [state["status"] for state in other.states] == ["open"]
                assert scene.asked() == []

        play(main)

    def test_takes_a_second_look_before_it_ends_by_what_others_know(self):
        async def main(scene: Scene) -> None:
            first, second = scene.task(), scene.task()
            scene.sandbox.complete_task(ROOM, second)
            async with scene.wait(first, second) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(20)
                scene.sandbox.reopen_task(ROOM, second)
                async with scene.wait(second) as other:
                    assert not await other.wait_for_change(scene.now)
                    assert await other.wait_for_change(scene.now + 10)
                    assert not other.is_complete
                scene.sandbox.complete_task(ROOM, second)
                await asyncio.sleep(120)
                assert await end_of(scene.wait(second), scene.now + 10)

        play(main)

    def test_looks_anew_where_what_is_known_is_too_old_for_it(self):
        async def main(scene: Scene) -> None:
            task_id = scene.task()
            async with scene.wait(task_id, interval=600.0) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(300)
                scene.asked()
                async with scene.wait(task_id, interval=30.0) as other:
                    await other.wait_for_change(EVER)
                assert scene.asked() == ["read"]

        play(main)

    def test_hears_of_what_was_deleted(self):
        async def main(scene: Scene) -> None:
            task_id = scene.task()
            async with scene.wait(task_id, scene.task(), complete_when=1) as wait:
                scene.sandbox.delete_task(ROOM, task_id)
                await wait.wait_for_change(EVER)
                async with scene.wait(task_id) as other:
                    with pytest.raises(ChatworkNotFoundError, match=str(task_id)):
                        await other.wait_for_change(scene.now)

        play(main)

    @pytest.mark.parametrize("why", ["hidden", "failed", "gone on"])
    def test_takes_a_look_of_its_own_where_what_is_known_was_not_seen_just_now(self, why):
        async def main(scene: Scene) -> None:
            tasks = [scene.task(by=TAKAHASHI) for _ in range(30)]
            if why != "failed":
                scene.fill(to=SATO)
            async with scene.wait(*tasks, interval=600.0) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(580)
                if why == "failed":
                    scene.sandbox.add_fault(Fault("refuse", times=None))
                # Looks that go on with it follow 200 and 400 seconds later.
                await asyncio.sleep(25 if why != "gone on" else 425)
                for task_id in tasks:
                    scene.sandbox.complete_task(ROOM, task_id)
                async with scene.wait(tasks[-1], interval=60.0) as other:
                    assert not await other.wait_for_change(scene.now)
                    assert other.seen_at is None
                    scene.sandbox.clear_faults()
                    while not other.is_complete:
                        assert await other.wait_for_change(scene.now + 300)

        play(main)


class TestIsComplete:
    @pytest.mark.parametrize(("complete_when", "ticks"), [("all", 3), ("any", 1), (2, 2), ("2", 2)])
    def test_is_as_soon_as_enough_are_done(self, complete_when, ticks):
        async def main(scene: Scene) -> None:
            tasks = [scene.task() for _ in range(3)]
            async with scene.wait(*tasks, complete_when=complete_when) as wait:
                await wait.wait_for_change(EVER)
                for done, task_id in enumerate(tasks[:ticks], start=1):
                    assert not wait.is_complete
                    scene.sandbox.complete_task(ROOM, task_id)
                    await wait.wait_for_change(EVER)
                    assert [state["status"] for state in wait.states].count("done") == done
                assert wait.is_complete

        play(main)

    def test_is_what_was_true_at_one_time(self):
        # Never were both of them done.
        async def main(scene: Scene) -> None:
            first, second, other = scene.task(), scene.task(), scene.task()
            async with scene.wait(first, second) as wait, scene.wait(other):
                scene.sandbox.complete_task(ROOM, first)
                await wait.wait_for_change(EVER)
                assert wait.states[0]["status"] == "done"
                scene.sandbox.reopen_task(ROOM, first)
                scene.sandbox.complete_task(ROOM, second)
                await wait.wait_for_change(EVER)
                assert not wait.is_complete
                assert [state["status"] for state in wait.states] == ["open", "done"]

        play(main)

    def test_is_not_any_more_where_a_task_was_opened_before_anybody_heard(self):
        async def main(scene: Scene) -> None:
            first, second = scene.task(), scene.task()
            async with scene.wait(first, complete_when="any") as slow, scene.wait(second):
                scene.sandbox.complete_task(ROOM, first)
                await asyncio.sleep(100)
                assert slow.is_complete
                scene.sandbox.reopen_task(ROOM, first)
                await asyncio.sleep(1000)
                assert await slow.wait_for_change(EVER)
                assert not slow.is_complete
                assert slow.states[0]["status"] == "open"

        play(main)

    @pytest.mark.parametrize("count", [40, 70])
    def test_comes_for_a_wait_that_needs_more_reads_than_a_look_has(self, count):
        async def main(scene: Scene) -> None:
            people = scene.people(count)
            tasks = [scene.task(person) for person in people]
            ending = asyncio.create_task(end_of(scene.wait(*tasks), scene.now + 3600))
            await asyncio.sleep(10)
            for task_id in tasks:
                scene.sandbox.complete_task(ROOM, task_id)
            scene.fill(done=True)
            assert await ending is not None

        play(main)

    def test_does_not_come_of_what_one_look_could_not_see_once_more(self):
        async def main(scene: Scene) -> None:
            people = scene.people(25)
            sets = [[scene.task(person) for person in people] for _ in range(2)]
            ending = [asyncio.create_task(end_of(scene.wait(*tasks), scene.now + 900)) for tasks in sets]
            await asyncio.sleep(10)
            for first, *tasks in sets:
                for task_id in tasks:
                    scene.sandbox.complete_task(ROOM, task_id)
                assert first
            await asyncio.sleep(60)
            scene.fill()
            scene.fill(done=True)
            # Nothing shows the one but reading it, and there are too many to be read for both waits in one look.
            for tasks in sets:
                scene.sandbox.complete_task(ROOM, tasks[0])
                scene.sandbox.reopen_task(ROOM, tasks[-1])
            assert await asyncio.gather(*ending) == [None, None]

        play(main)


def broken_read(task_id: int, **arguments: Any) -> Fault:
    return Fault("status", **{"path": f"/rooms/{ROOM}/tasks/{task_id}", "times": None, **arguments})


class TestOneBadAnswer:
    """Of what one task is answered, nobody hears who does not wait for it."""

    def test_that_passes_keeps_nobody_else_waiting(self):
        async def main(scene: Scene) -> None:
            broken, other = scene.task(), scene.task()
            heard, heard_by_other = Heard(), Heard()
            waits = [scene.task() for _ in range(3)]
            async with (
                scene.wait(*waits, log=heard_by_other),
                scene.wait(broken, log=heard) as wait,
                scene.wait(other, log=heard_by_other) as quick,
            ):
                await wait.wait_for_change(EVER)
                scene.sandbox.add_fault(broken_read(broken, status=500))
                scene.sandbox.complete_task(ROOM, broken)
                await asyncio.sleep(600)
                scene.sandbox.complete_task(ROOM, other)
                await quick.wait_for_change(EVER)
                await quick.wait_for_change(scene.now + 70)
                assert quick.is_complete
                assert not await wait.wait_for_change(scene.now + 1)
                assert not wait.is_complete
                assert len(heard.lines) == 1
                assert "500" in heard.lines[0]
                assert not heard_by_other.lines
                assert not scene.lines
                scene.asked()
                await asyncio.sleep(3600)
                # It is no use to ask for it again and again; every tenth look reads the other one.
                assert scene.asked().count("read") <= 60 + 6 + 1
                scene.sandbox.clear_faults()
                assert await wait.wait_for_change(scene.now + 61)
                assert wait.is_complete

        play(main)

    @pytest.mark.parametrize(("times", "lines"), [(1, 0), (2, 1)])
    def test_that_passes_is_asked_for_again_before_the_next_look(self, times, lines):
        async def main(scene: Scene) -> None:
            broken, other = scene.task(), scene.task()
            async with scene.wait(broken, interval=600.0, log=(heard := Heard())) as wait, scene.wait(other):
                await wait.wait_for_change(EVER)
                scene.sandbox.add_fault(broken_read(broken, status=500, times=times))
                scene.sandbox.complete_task(ROOM, broken)
                scene.asked()
                assert await wait.wait_for_change(scene.now + 100)
                assert wait.is_complete
                assert scene.asked() == ["open", *["read"] * (times + 1)]
                assert len(heard.lines) == lines

        play(main)

    def test_that_passes_lets_a_wait_end_by_what_it_told_later(self):
        async def main(scene: Scene) -> None:
            first, second, third = scene.task(), scene.task(), scene.task()
            async with scene.wait(first, second) as wait, scene.wait(third):
                scene.sandbox.complete_task(ROOM, first)
                await wait.wait_for_change(EVER)
                scene.sandbox.add_fault(broken_read(first, status=500))
                scene.sandbox.complete_task(ROOM, second)
                scene.asked()
                await asyncio.sleep(3600)
                assert not wait.is_complete
                # One list and two reads in an interval, and a few more.
                assert len(scene.asked()) <= 3 * 60 + 10
                scene.sandbox.clear_faults()
                await asyncio.sleep(61)
                assert wait.is_complete

        play(main)

    def test_that_passes_does_not_make_a_look_of_what_is_none(self):
        async def main(scene: Scene) -> None:
            broken, other, third = scene.task(), scene.task(), scene.task()
            async with scene.wait(broken) as wait, scene.wait(other, third) as spared:
                await wait.wait_for_change(EVER)
                seen_at = wait.seen_at
                scene.sandbox.add_fault(broken_read(broken, status=500))
                scene.sandbox.complete_task(ROOM, broken)
                assert not await wait.refresh(30)
                assert await spared.refresh(5)
                assert wait.seen_at == seen_at
                scene.sandbox.clear_faults()
                assert await wait.refresh(30)
                assert wait.is_complete

        play(main)

    def test_that_is_a_refusal_ends_the_waits_for_that_task_only(self):
        async def main(scene: Scene) -> None:
            broken, other, third = scene.task(), scene.task(), scene.task()
            async with (
                scene.wait(broken) as first,
                scene.wait(third, broken, complete_when="any") as second,
                scene.wait(third, other) as spared,
            ):
                await spared.wait_for_change(EVER)
                await second.wait_for_change(EVER)
                await first.wait_for_change(EVER)
                scene.sandbox.add_fault(broken_read(broken, status=400))
                scene.sandbox.complete_task(ROOM, broken)
                scene.asked()
                for wait in (first, second):
                    with pytest.raises(ChatworkInvalidRequestError):
                        await wait.wait_for_change(scene.now + 70)
                    # Whoever stays all the same is refused once an interval.
                    with pytest.raises(ChatworkInvalidRequestError):
                        await wait.wait_for_change(scene.now + 70)
                assert not await spared.wait_for_change(scene.now + 300)
                assert len(scene.asked()) <= 2 * 10
                scene.sandbox.complete_task(ROOM, third)
                scene.sandbox.complete_task(ROOM, other)
                assert await spared.wait_for_change(scene.now + 70)
                assert spared.is_complete

        play(main)

    @pytest.mark.parametrize("others", [0, 2])
    def test_that_does_not_know_a_task_ends_nothing(self, others):
        async def main(scene: Scene) -> None:
            tasks = [scene.task() for _ in range(1 + others)]
            async with scene.wait(tasks[0]) as wait, scene.wait(*tasks):
                scene.sandbox.add_fault(broken_read(tasks[0], status=404, times=1))
                scene.sandbox.complete_task(ROOM, tasks[0])
                # The second answer counts, and is asked for at once.
                assert await wait.wait_for_change(scene.now + 5)
                assert wait.is_complete

        play(main)

    def test_that_is_one_too_many_is_heeded_though_the_look_goes_on(self):
        async def main(scene: Scene) -> None:
            broken, other = scene.task(), scene.task()
            async with scene.wait(broken) as wait, scene.wait(other):
                await wait.wait_for_change(EVER)
                # Without the headers that tell how much is left.
                scene.sandbox.add_fault(broken_read(broken, status=429, times=1, headers={}))
                scene.sandbox.complete_task(ROOM, broken)
                await asyncio.sleep(62)
                assert "read" in scene.asked()
                assert not wait.is_complete
                await asyncio.sleep(20)
                assert scene.asked() == []
                assert await wait.wait_for_change(scene.now + 400)
                assert wait.is_complete

        play(main)


class TestHidden:
    """What no list shows is read in turn."""

    def test_is_come_to_within_a_long_interval_and_at_no_faster_pace_than_in_short_ones(self):
        async def main(scene: Scene) -> None:
            tasks = [scene.task(by=TAKAHASHI) for _ in range(120)]
            scene.fill(to=SATO)
            waits = [asyncio.create_task(end_of(scene.wait(task_id, interval=3600.0))) for task_id in tasks]
            await asyncio.sleep(3590)
            scene.asked()
            for task_id in tasks:
                scene.sandbox.complete_task(ROOM, task_id)
            for _ in range(60):
                await asyncio.sleep(60)
                assert len(scene.asked()) <= 2 * IN_TURN
            await asyncio.sleep(60)
            assert all(wait.done() for wait in waits)

        play(main)

    def test_is_all_looked_at_for_who_wants_it_now(self):
        async def main(scene: Scene) -> None:
            tasks = [scene.task(by=TAKAHASHI) for _ in range(70)]
            scene.fill(to=SATO)
            async with scene.wait(*tasks, interval=600.0, complete_when="any") as wait:
                await wait.wait_for_change(EVER)
                assert not wait.is_complete
                scene.asked()
                assert await wait.refresh(60)
                assert scene.asked().count("read") == 70

        play(main)

    def test_in_many_rooms_leaves_enough_for_those_who_look_often(self):
        async def main(scene: Scene) -> None:
            rooms = scene.rooms(9)
            waits = []
            for room_id in rooms[1:]:
                for by, count in ((TAKAHASHI, 40), (TAKAHASHI, 100)):
                    tasks = [scene.task(SATO, by, room_id) for _ in range(count)]
                    if count == 40:
                        waits += [scene.wait(task_id, room_id=room_id, interval=240.0) for task_id in tasks]
            async with scene.wait(scene.task(room_id=rooms[0]), room_id=rooms[0], interval=60.0) as often:
                ends = [asyncio.create_task(end_of(wait)) for wait in waits]
                # The first polls of all rooms use up the limit.
                await asyncio.sleep(1500)
                polls = []
                for _ in range(50):
                    scene.lines.clear()
                    seen_at = often.seen_at
                    await asyncio.sleep(60)
                    polls.append(often.seen_at != seen_at)
                    assert not any("used up" in line for line in scene.lines)
                assert sum(polls) > 15
            await leave(ends)

        play(main, limits=Limits())

    def test_is_read_ten_tasks_a_look_in_short_intervals(self):
        async def main(scene: Scene) -> None:
            tasks = [scene.task(by=TAKAHASHI) for _ in range(40)]
            scene.fill(to=SATO)
            waits = [asyncio.create_task(end_of(scene.wait(task_id, interval=60.0))) for task_id in tasks]
            await asyncio.sleep(120)
            scene.asked()
            await asyncio.sleep(600)
            assert scene.asked().count("read") == 10 * IN_TURN
            await leave(waits)

        play(main)

    def test_does_not_wait_for_its_turn_where_a_look_is_wanted_now(self):
        async def main(scene: Scene) -> None:
            tasks = [scene.task(by=TAKAHASHI) for _ in range(90)]
            scene.fill(to=SATO)
            waits = [asyncio.create_task(end_of(scene.wait(task_id, interval=600.0))) for task_id in tasks[1:]]
            async with scene.wait(tasks[0], interval=600.0) as wait:
                await wait.wait_for_change(EVER)
                await asyncio.sleep(67)
                assert await wait.refresh(60)
                assert not wait.is_complete
                scene.sandbox.complete_task(ROOM, tasks[0])
                scene.asked()
                assert await wait.refresh(20)
                assert wait.is_complete
                assert len(scene.asked()) <= 2 + 1 + IN_TURN
            await leave(waits)

        play(main)


class TestLookThatIsWanted:
    def test_is_none_for_whom_it_did_not_come_to(self):
        async def main(scene: Scene) -> None:
            groups = [[scene.task() for _ in range(4)] for _ in range(12)]
            async with contextlib.AsyncExitStack() as stack:
                waits = [await stack.enter_async_context(scene.wait(*group, interval=60.0)) for group in groups]
                await waits[0].wait_for_change(EVER)
                for group in groups:
                    for task_id in group[:-1]:
                        scene.sandbox.complete_task(ROOM, task_id)
                await asyncio.sleep(300)
                # Those done before are in no list any more, and are read one by one: too many for one look.
                scene.fill(to=SATO, by=BOT, done=True)
                for group in groups:
                    scene.sandbox.complete_task(ROOM, group[-1])
                assert await asyncio.gather(*(wait.refresh(200) for wait in waits)) == [True] * 12
                assert all(wait.is_complete for wait in waits)

        play(main)


async def leave(waits: list[asyncio.Task[Any]]) -> None:
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


class TestImpossible:
    def test_ends_the_wait_that_cannot_be_satisfied_any_more_and_no_other(self):
        async def main(scene: Scene) -> None:
            first, second = scene.task(), scene.task()
            async with scene.wait(first, second) as all_, scene.wait(first, second, complete_when="any") as any_:
                await all_.wait_for_change(EVER)
                await any_.wait_for_change(EVER)
                scene.sandbox.delete_task(ROOM, first)
                with pytest.raises(ChatworkNotFoundError, match=str(first)):
                    await all_.wait_for_change(EVER)
                assert await any_.wait_for_change(scene.now)
                assert [state["status"] for state in any_.states] == ["deleted", "open"]
                assert any_.tasks[0] is not None
                # Whoever stays all the same is told how things stand.
                assert await all_.wait_for_change(scene.now)

        play(main)

    def test_comes_of_a_lost_room_for_all_in_it_and_for_nobody_else(self):
        async def main(scene: Scene) -> None:
            [other_room] = scene.rooms(1)
            tasks = [scene.task(), scene.task()]
            elsewhere = scene.task(room_id=other_room)
            waits = [asyncio.create_task(end_of(scene.wait(task_id))) for task_id in tasks]
            safe = asyncio.create_task(end_of(scene.wait(elsewhere, room_id=other_room)))
            await asyncio.sleep(10)
            scene.sandbox.remove_member(ROOM, 1001001)
            await asyncio.sleep(100)
            for wait in waits:
                with pytest.raises(ChatworkForbiddenError):
                    await wait
            scene.sandbox.complete_task(other_room, elsewhere)
            assert await safe is not None

        play(main)
