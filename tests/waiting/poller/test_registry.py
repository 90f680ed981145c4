from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pytest

from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.transports import HttpxTransport
from airflow_provider_chatwork.waiting.poller.registry import PollerRegistry, override_registry, poller_registry
from tests.waiting.poller.scene import EVER, ROOM, SATO, Scene, play

TOKEN = "another-token"


class TestOf:
    def test_is_one_for_connections_with_one_token(self):
        async def main(scene: Scene) -> None:
            tasks = [scene.task() for _ in range(2)]
            other = Settings(scene.sandbox.token, timeout=5.0, max_wait=1.0, lang="en", default_room_id=7)
            async with scene.wait(tasks[0]) as wait, scene.wait(tasks[1], settings=other) as again:
                await wait.wait_for_change(EVER)
                await again.wait_for_change(EVER)
                assert len(scene.registry) == 1
            assert scene.asked() == ["open"]

        play(main)

    @pytest.mark.parametrize(
        "other",
        [{"token": TOKEN}, {"base_url": "https://api.kcw.kddi.ne.jp/v2"}, {"proxy": "http://127.0.0.1:3128"}],
        ids=lambda other: next(iter(other)),
    )
    def test_is_another_for_another_token_and_another_way_to_it(self, other):
        async def main(scene: Scene) -> None:
            scene.sandbox.add_token(TOKEN, SATO)
            task_id = scene.task()
            settings = Settings(**{"token": scene.sandbox.token, **other})
            async with scene.wait(task_id) as wait, scene.wait(task_id, settings=settings) as again:
                assert len(scene.registry) == 2
                await wait.wait_for_change(EVER)
                await again.wait_for_change(EVER)
            assert scene.asked() == ["read", "read"]

        play(main)

    def test_is_another_in_another_loop(self):
        these = PollerRegistry(lambda settings: _never)
        seen: list[Any] = []

        def run() -> None:
            async def main() -> None:
                seen.append(these.get(Settings("token")))
                assert these.get(Settings("token")) is seen[-1]
                everybody.wait(10)

            asyncio.run(main())

        everybody = threading.Barrier(2)
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen[0] is not seen[1]

    def test_forgets_loops_that_ended_before_anybody_left(self):
        these = PollerRegistry(lambda settings: _never)

        async def main() -> None:
            these.get(Settings("token"))

        for _ in range(3):
            asyncio.run(main())
        gc.collect()
        assert len(these) <= 1

    async def test_opens_a_way_of_httpx_and_goes_by_the_time_by_itself(self):
        account = PollerRegistry().get(Settings("token"))
        assert type(account._transport._transport) is HttpxTransport
        assert account.clock is time.time


async def _never(request: Any) -> Any:
    raise AssertionError(request)


class TestReplaced:
    def test_holds_until_its_end(self):
        before, other = poller_registry(), PollerRegistry()
        with override_registry(other) as given:
            assert poller_registry() is other is given
        assert poller_registry() is before

    def test_ends_with_an_error_as_well(self):
        before = poller_registry()
        with pytest.raises(KeyError), override_registry(PollerRegistry()):
            raise KeyError
        assert poller_registry() is before

    def test_leaves_waits_that_began_before_alone(self):
        async def main(scene: Scene) -> None:
            task_id = scene.task()
            async with scene.wait(task_id) as wait:
                with override_registry(PollerRegistry(lambda settings: _never)):
                    await wait.wait_for_change(EVER)
                    scene.sandbox.complete_task(ROOM, task_id)
                    await wait.wait_for_change(EVER)
                    assert wait.is_complete

        play(main)
