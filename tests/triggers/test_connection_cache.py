from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest

from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.triggers import _base
from airflow_provider_chatwork.triggers._base import CACHE_TTL, FRESH_TTL, get_settings
from tests.virtual_time import VirtualLoop, run_virtually


@pytest.fixture
def says(monkeypatch):
    """Sets the connections."""

    def say(token: str) -> None:
        connection = {"conn_type": "chatwork", "password": token}
        monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_OFFICE", json.dumps(connection))

    say("first")
    return say


class TestGetSettings:
    def test_reads_once_for_all_callers(self, says):
        async def ask(loop: VirtualLoop) -> None:
            ours = await asyncio.gather(*(get_settings("chatwork_office") for _ in range(20)))
            assert ours[0].token == "first"
            assert all(one is ours[0] for one in ours)

        run_virtually(ask)

    def test_reads_each_connection(self, says, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_SHOP", json.dumps({"conn_type": "chatwork", "password": "shop"}))

        async def ask(loop: VirtualLoop) -> None:
            ours = await asyncio.gather(get_settings("chatwork_office"), get_settings("chatwork_shop"))
            assert [one.token for one in ours] == ["first", "shop"]

        run_virtually(ask)

    @pytest.mark.parametrize("age", [CACHE_TTL, FRESH_TTL])
    def test_reads_again_after_max_age(self, says, age):
        async def ask(loop: VirtualLoop) -> None:
            await get_settings("chatwork_office", age)
            says("second")
            await asyncio.sleep(age - 0.1)
            assert (await get_settings("chatwork_office", age)).token == "first"
            await asyncio.sleep(0.2)
            assert (await get_settings("chatwork_office", age)).token == "second"

        run_virtually(ask)

    def test_reads_once_although_reading_takes_longer_than_max_age(self, says, monkeypatch):
        readings: list[float] = []

        async def slow(chatwork_conn_id: str) -> Settings:
            readings.append(asyncio.get_running_loop().time())
            await asyncio.sleep(2 * FRESH_TTL)
            return Settings("slow")

        monkeypatch.setattr(_base, "read_settings", slow)

        async def ask(loop: VirtualLoop) -> None:
            await asyncio.gather(*(get_settings("chatwork_office", FRESH_TTL) for _ in range(20)))
            assert len(readings) == 1

        run_virtually(ask)

    def test_reads_again_in_another_loop(self, says):
        async def ask(loop: VirtualLoop) -> str:
            return (await get_settings("chatwork_office")).token

        assert run_virtually(ask) == "first"
        says("second")
        assert run_virtually(ask) == "second"

    def test_survives_the_cancellation_of_the_first_caller(self, says):
        async def ask(loop: VirtualLoop) -> None:
            first, *others = [asyncio.create_task(get_settings("chatwork_office")) for _ in range(3)]
            await asyncio.sleep(0)
            first.cancel()
            assert [one.token for one in await asyncio.gather(*others)] == ["first", "first"]
            assert first.cancelled()

        run_virtually(ask)

    def test_reads_again_after_a_failure(self, says, monkeypatch):
        monkeypatch.delenv("AIRFLOW_CONN_CHATWORK_OFFICE")

        async def ask(loop: VirtualLoop) -> None:
            with pytest.raises(Exception, match="chatwork_office"):
                await get_settings("chatwork_office")
            says("second")
            assert (await get_settings("chatwork_office")).token == "second"

        run_virtually(ask)

    def test_lets_one_caller_continue_per_turn_of_the_loop(self, says):
        async def ask(loop: VirtualLoop) -> None:
            asking = [asyncio.create_task(get_settings("chatwork_office")) for _ in range(20)]
            known = [0]
            while known[-1] < len(asking):
                await asyncio.sleep(0)
                known.append(sum(task.done() for task in asking))
            assert max(after - before for before, after in pairwise(known)) == 1

        run_virtually(ask)
