from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pytest

from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.transports import HttpxTransport
from airflow_provider_chatwork.waiting.poller.account_poller import PollerRegistry, override_registry, poller_registry
from tests.waiting.poller.scenario import EVER, ROOM, SATO, Scenario, play

TOKEN = "another-token"


class TestGet:
    def test_connections_with_the_same_token_share_a_poller(self):
        async def main(scenario: Scenario) -> None:
            tasks = [scenario.task() for _ in range(2)]
            other = Settings(scenario.sandbox.token, timeout=5.0, max_wait=1.0, lang="en", default_room_id=7)
            async with scenario.wait(tasks[0]) as wait, scenario.wait(tasks[1], settings=other) as again:
                await wait.wait_for_change(EVER)
                await again.wait_for_change(EVER)
                assert len(scenario.registry) == 1
            assert scenario.asked() == ["open"]

        play(main)

    @pytest.mark.parametrize(
        "other",
        [{"token": TOKEN}, {"base_url": "https://api.kcw.kddi.ne.jp/v2"}, {"proxy": "http://127.0.0.1:3128"}],
        ids=lambda other: next(iter(other)),
    )
    def test_another_token_url_or_proxy_has_another_poller(self, other):
        async def main(scenario: Scenario) -> None:
            scenario.sandbox.add_token(TOKEN, SATO)
            task_id = scenario.task()
            settings = Settings(**{"token": scenario.sandbox.token, **other})
            async with scenario.wait(task_id) as wait, scenario.wait(task_id, settings=settings) as again:
                assert len(scenario.registry) == 2
                await wait.wait_for_change(EVER)
                await again.wait_for_change(EVER)
            assert scenario.asked() == ["read", "read"]

        play(main)

    def test_another_event_loop_has_another_poller(self):
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

    def test_removes_the_pollers_of_closed_loops(self):
        these = PollerRegistry(lambda settings: _never)

        async def main() -> None:
            these.get(Settings("token"))

        for _ in range(3):
            asyncio.run(main())
        gc.collect()
        assert len(these) <= 1

    async def test_a_poller_that_ends_twice_does_not_remove_the_next_one(self):
        registry = PollerRegistry()
        first = registry.get(Settings("token"))
        first._on_empty()
        second = registry.get(Settings("token"))
        first._on_empty()
        assert registry.get(Settings("token")) is second is not first

    async def test_uses_httpx_and_the_real_clock_by_default(self):
        account = PollerRegistry().get(Settings("token"))
        assert type(account._transport) is HttpxTransport
        assert account.clock is time.time


async def _never(request: Any) -> Any:
    raise AssertionError(request)


class TestOverrideRegistry:
    def test_lasts_until_the_end_of_the_context(self):
        before, other = poller_registry(), PollerRegistry()
        with override_registry(other) as given:
            assert poller_registry() is other is given
        assert poller_registry() is before

    def test_ends_after_an_error(self):
        before = poller_registry()
        with pytest.raises(KeyError), override_registry(PollerRegistry()):
            raise KeyError
        assert poller_registry() is before

    def test_does_not_affect_earlier_subscriptions(self):
        async def main(scenario: Scenario) -> None:
            task_id = scenario.task()
            async with scenario.wait(task_id) as wait:
                with override_registry(PollerRegistry(lambda settings: _never)):
                    await wait.wait_for_change(EVER)
                    scenario.sandbox.complete_task(ROOM, task_id)
                    await wait.wait_for_change(EVER)
                    assert wait.is_complete

        play(main)
