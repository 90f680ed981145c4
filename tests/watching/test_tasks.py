from __future__ import annotations

import asyncio

import pytest

from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkNotFoundError, ChatworkParameterError
from airflow_provider_chatwork.watching import watch_tasks
from tests.watching.scene import EVER, ROOM, SATO, TAKAHASHI, YAMADA, Scene, end_of, play


class TestWatchTasks:
    @pytest.mark.parametrize("complete_when", ["most", 0, 3])
    def test_refuses_at_once_what_cannot_be_satisfied(self, complete_when):
        async def main(scene: Scene) -> None:
            with pytest.raises(ChatworkParameterError, match="complete_when"):
                watch_tasks(scene.settings, ROOM, [1, 2], complete_when=complete_when)
            with pytest.raises(ChatworkParameterError, match="room_id"):
                watch_tasks(scene.settings, "general", [1, 2])

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
            scene.sandbox.tick(ROOM, tasks[5])
            await asyncio.sleep(60)
            assert scene.asked() == ["open", "read"]
            assert [task_id for task_id, wait in zip(tasks, waits, strict=True) if wait.done()] == [tasks[5]]
            for task_id in tasks[50:]:
                scene.sandbox.tick(ROOM, task_id)
            await asyncio.sleep(60)
            assert scene.asked() == ["open", "done"]
            assert sum(wait.done() for wait in waits) == 41
            for task_id in tasks[:50]:
                if task_id != tasks[5]:
                    scene.sandbox.tick(ROOM, task_id)
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
                assert [await wait.news(EVER) for wait in (one, other, last)] == [True] * 3
                assert [state["task_id"] for state in other.states] == [third, first]
                assert [task["task_id"] for task in one.tasks if task] == [first, second]
                scene.sandbox.tick(ROOM, first)
                assert await one.news(scene.now + 100)
                assert await other.news(scene.now)
                assert not await last.news(scene.now)
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
                    await other.news(EVER)
                await wait.news(EVER)
                scene.asked()
                await asyncio.sleep(60)
                assert scene.asked() == ["read"]

        play(main)

    @pytest.mark.parametrize("together", [True, False])
    def test_may_be_for_one_task_in_two_waits(self, together):
        async def main(scene: Scene) -> None:
            task_id = scene.task()
            async with scene.wait(task_id, task_id if together else scene.task()) as first:
                await first.news(EVER)
                async with scene.wait(task_id) as second:
                    await second.news(EVER)
                scene.sandbox.tick(ROOM, task_id)
                assert await first.news(scene.now + 100)
                assert first.is_complete == together

        play(main)


class TestJoining:
    def test_costs_nothing_where_the_room_was_just_looked_at(self):
        async def main(scene: Scene) -> None:
            first, second = scene.task(), scene.task()
            async with scene.wait(first, second) as wait:
                await wait.news(EVER)
                scene.asked()
                await asyncio.sleep(20)
                async with scene.wait(second) as other:
                    assert await other.news(scene.now)
                    assert [state["status"] for state in other.states] == ["open"]
                assert scene.asked() == []

        play(main)

    def test_takes_a_second_look_before_it_ends_by_what_others_know(self):
        async def main(scene: Scene) -> None:
            first, second = scene.task(), scene.task()
            scene.sandbox.tick(ROOM, second)
            async with scene.wait(first, second) as wait:
                await wait.news(EVER)
                await asyncio.sleep(20)
                scene.sandbox.untick(ROOM, second)
                async with scene.wait(second) as other:
                    assert not await other.news(scene.now)
                    assert await other.news(scene.now + 10)
                    assert not other.is_complete
                scene.sandbox.tick(ROOM, second)
                await asyncio.sleep(120)
                assert await end_of(scene.wait(second), scene.now + 10)

        play(main)

    def test_looks_anew_where_what_is_known_is_too_old_for_it(self):
        async def main(scene: Scene) -> None:
            task_id = scene.task()
            async with scene.wait(task_id, interval=600.0) as wait:
                await wait.news(EVER)
                await asyncio.sleep(300)
                scene.asked()
                async with scene.wait(task_id, interval=30.0) as other:
                    await other.news(EVER)
                assert scene.asked() == ["read"]

        play(main)

    def test_hears_of_what_was_deleted(self):
        async def main(scene: Scene) -> None:
            task_id = scene.task()
            async with scene.wait(task_id, scene.task(), complete_when=1) as wait:
                scene.sandbox.delete_task(ROOM, task_id)
                await wait.news(EVER)
                async with scene.wait(task_id) as other:
                    with pytest.raises(ChatworkNotFoundError, match=str(task_id)):
                        await other.news(scene.now)

        play(main)


class TestIsComplete:
    @pytest.mark.parametrize(("complete_when", "ticks"), [("all", 3), ("any", 1), (2, 2), ("2", 2)])
    def test_is_as_soon_as_enough_are_done(self, complete_when, ticks):
        async def main(scene: Scene) -> None:
            tasks = [scene.task() for _ in range(3)]
            async with scene.wait(*tasks, complete_when=complete_when) as wait:
                await wait.news(EVER)
                for done, task_id in enumerate(tasks[:ticks], start=1):
                    assert not wait.is_complete
                    scene.sandbox.tick(ROOM, task_id)
                    await wait.news(EVER)
                    assert [state["status"] for state in wait.states].count("done") == done
                assert wait.is_complete

        play(main)

    def test_is_what_was_true_at_one_time(self):
        # Never were both of them done.
        async def main(scene: Scene) -> None:
            first, second, other = scene.task(), scene.task(), scene.task()
            async with scene.wait(first, second) as wait, scene.wait(other):
                scene.sandbox.tick(ROOM, first)
                await wait.news(EVER)
                assert wait.states[0]["status"] == "done"
                scene.sandbox.untick(ROOM, first)
                scene.sandbox.tick(ROOM, second)
                await wait.news(EVER)
                assert not wait.is_complete
                assert [state["status"] for state in wait.states] == ["open", "done"]

        play(main)

    def test_is_not_any_more_where_a_task_was_opened_before_anybody_heard(self):
        async def main(scene: Scene) -> None:
            first, second = scene.task(), scene.task()
            async with scene.wait(first, complete_when="any") as slow, scene.wait(second):
                scene.sandbox.tick(ROOM, first)
                await asyncio.sleep(100)
                assert slow.is_complete
                scene.sandbox.untick(ROOM, first)
                await asyncio.sleep(1000)
                assert await slow.news(EVER)
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
                scene.sandbox.tick(ROOM, task_id)
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
                    scene.sandbox.tick(ROOM, task_id)
                assert first
            await asyncio.sleep(60)
            scene.fill()
            scene.fill(done=True)
            # Nothing shows the one but reading it, and there are too many to be read for both waits in one look.
            for tasks in sets:
                scene.sandbox.tick(ROOM, tasks[0])
                scene.sandbox.untick(ROOM, tasks[-1])
            assert await asyncio.gather(*ending) == [None, None]

        play(main)


class TestImpossible:
    def test_ends_the_wait_that_cannot_be_satisfied_any_more_and_no_other(self):
        async def main(scene: Scene) -> None:
            first, second = scene.task(), scene.task()
            async with scene.wait(first, second) as all_, scene.wait(first, second, complete_when="any") as any_:
                await all_.news(EVER)
                await any_.news(EVER)
                scene.sandbox.delete_task(ROOM, first)
                with pytest.raises(ChatworkNotFoundError, match=str(first)):
                    await all_.news(EVER)
                assert await any_.news(scene.now)
                assert [state["status"] for state in any_.states] == ["deleted", "open"]
                assert any_.tasks[0] is not None
                # Whoever stays all the same is told how things stand.
                assert await all_.news(scene.now)

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
            scene.sandbox.tick(other_room, elsewhere)
            assert await safe is not None

        play(main)
