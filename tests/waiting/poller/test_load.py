"""Under random load no wait ends early, none misses its end, and the rate limit is kept."""

from __future__ import annotations

import os

import pytest

from airflow_provider_chatwork.api.http import WINDOW
from airflow_provider_chatwork.waiting.poller.rate_budget import DEFAULT_LIMIT, RESERVE
from tests.airflow_helpers import VERSION
from tests.waiting.poller.load import INTERVAL, RandomLoad

HOUR = 3600.0
# The longest poll in seconds: 30 requests, and other polls between them.
LONGEST_POLL = 15.0


def check(load: RandomLoad, *, longest_poll: float = LONGEST_POLL) -> None:
    for wait in load.waits:
        if wait.ended_at is not None:
            # The tasks were done during the poll that ended the wait.
            assert wait.was_over(wait.ended_at - longest_poll, wait.ended_at), wait
        elif wait.refused_at is not None:
            assert wait.impossible_since is not None, wait
            assert wait.impossible_since <= wait.refused_at
    for wait in load.still_waiting:
        assert not wait.was_over(load.loop.time() - HOUR, load.loop.time()), ("missed", wait)
        assert wait.impossible_since is None, wait
    assert load.left_over == 0


def busiest_window(times: list[float]) -> int:
    begin = most = 0
    for end, at in enumerate(times):
        while times[begin] <= at - WINDOW:
            begin += 1
        most = max(most, end - begin + 1)
    return most


# Two seeds by default, four in `make coverage`, more by hand: LOADS=100 pytest tests/waiting/poller/test_load.py
LOADS = int(os.environ.get("LOADS", "2" if VERSION >= (3, 3) else "1"))


@pytest.mark.parametrize("seed", range(LOADS))
class TestLoad:
    def test_waits_end_soon_and_only_when_the_tasks_are_done(self, seed):
        load = RandomLoad(seed, rooms=3)
        load.live(2 * HOUR)
        check(load)
        assert sum(wait.ended_at is not None for wait in load.waits) > 20
        for wait in load.waits:
            # A state that lasts long enough is seen within two intervals.
            for span in wait.over:
                end = wait.ended_at if wait.ended_at is not None else float("inf")
                begin = max(span[0], wait.since)
                if begin < end and (len(span) == 1 or span[1] - begin > 2 * INTERVAL) and not wait.left:
                    assert end - begin <= 2 * INTERVAL, wait
        assert load.refused_polls == 0

    def test_waits_for_tasks_outside_full_lists_end_too(self, seed):
        load = RandomLoad(seed, rooms=2, others=330)
        load.live(HOUR)
        check(load, longest_poll=60)
        assert busiest_window(load.polls) <= DEFAULT_LIMIT * (1 - RESERVE) + 5

    def test_outages_end_no_wait_and_lose_no_change(self, seed):
        load = RandomLoad(seed, rooms=2, others=120 if seed % 2 else 0, troubles=True)
        load.live(HOUR)
        check(load, longest_poll=60)

    def test_single_wrong_answers_end_no_wait_and_delay_none(self, seed):
        load = RandomLoad(seed, rooms=3, flaws=0.15)
        load.live(2 * HOUR)
        check(load)
        assert load.flawed > 5
        assert sum(wait.ended_at is not None for wait in load.waits) > 20
        for wait in load.waits:
            for span in wait.over:
                end = wait.ended_at if wait.ended_at is not None else float("inf")
                begin = max(span[0], wait.since)
                if begin < end and (len(span) == 1 or span[1] - begin > 3 * INTERVAL) and not wait.left:
                    assert end - begin <= 3 * INTERVAL, wait

    def test_single_wrong_answers_about_tasks_outside_full_lists_end_no_wait(self, seed):
        load = RandomLoad(seed, rooms=2, others=330, flaws=0.1)
        load.live(HOUR)
        check(load, longest_poll=60)
        assert load.flawed > 10
        assert busiest_window(load.polls) <= DEFAULT_LIMIT * (1 - RESERVE) + 5

    def test_the_rate_limit_is_shared_with_other_programs(self, seed):
        load = RandomLoad(seed, rooms=25, guests=20)
        load.live(HOUR)
        check(load, longest_poll=WINDOW + LONGEST_POLL)
        # A third of the requests are those of others, and polls do not hinder them.
        assert load.refused_polls == 0
        assert load.refused_guests == 0
