"""Whatever happens to a shared poll, no wait ends early, none is missed, and the budget is kept."""

from __future__ import annotations

import os

import pytest

from airflow_provider_chatwork.api.rate_limit import WINDOW
from airflow_provider_chatwork.waiting.poller.rate_budget import DEFAULT_LIMIT, RESERVE
from tests.airflow_helpers import VERSION
from tests.waiting.poller.crowd import INTERVAL, Crowd

HOUR = 3600.0
# From the first request of a look to its end, in seconds: 30 requests at the most, and what goes on between.
LOOK = 15.0


def check(crowd: Crowd, *, one_look: float = LOOK) -> None:
    for wait in crowd.waits:
        if wait.ended_at is not None:
            # It was true within the look that ended it.
            assert wait.was_over(wait.ended_at - one_look, wait.ended_at), wait
        elif wait.refused_at is not None:
            assert wait.impossible_since is not None, wait
            assert wait.impossible_since <= wait.refused_at
    for wait in crowd.still_waiting:
        assert not wait.was_over(crowd.loop.time() - HOUR, crowd.loop.time()), ("missed", wait)
        assert wait.impossible_since is None, wait
    assert crowd.left_over == 0


def busiest_window(times: list[float]) -> int:
    begin = most = 0
    for end, at in enumerate(times):
        while times[begin] <= at - WINDOW:
            begin += 1
        most = max(most, end - begin + 1)
    return most


# A few of them always; more of them by hand: CROWDS=100 pytest tests/waiting/poller/test_crowd.py
CROWDS = int(os.environ.get("CROWDS", "4" if VERSION >= (3, 3) else "1"))


@pytest.mark.parametrize("seed", range(CROWDS))
class TestCrowd:
    def test_waits_end_by_what_is_true_and_soon(self, seed):
        crowd = Crowd(seed, rooms=3)
        crowd.live(2 * HOUR)
        check(crowd)
        assert sum(wait.ended_at is not None for wait in crowd.waits) > 20
        for wait in crowd.waits:
            # What stays true long enough to be seen is seen within two intervals.
            for span in wait.over:
                end = wait.ended_at if wait.ended_at is not None else float("inf")
                begin = max(span[0], wait.since)
                if begin < end and (len(span) == 1 or span[1] - begin > 2 * INTERVAL) and not wait.left:
                    assert end - begin <= 2 * INTERVAL, wait
        assert crowd.refused_polls == 0

    def test_waits_on_what_full_lists_hide_end_as_well(self, seed):
        crowd = Crowd(seed, rooms=2, others=330)
        crowd.live(HOUR)
        check(crowd, one_look=60)
        assert busiest_window(crowd.polls) <= DEFAULT_LIMIT * (1 - RESERVE) + 5

    def test_outages_end_nothing_and_hide_nothing(self, seed):
        crowd = Crowd(seed, rooms=2, others=120 if seed % 2 else 0, troubles=True)
        crowd.live(HOUR)
        check(crowd, one_look=60)

    def test_single_bad_answers_end_nothing_and_keep_nobody_waiting(self, seed):
        crowd = Crowd(seed, rooms=3, flaws=0.15)
        crowd.live(2 * HOUR)
        check(crowd)
        assert crowd.flawed > 5
        assert sum(wait.ended_at is not None for wait in crowd.waits) > 20
        for wait in crowd.waits:
            for span in wait.over:
                end = wait.ended_at if wait.ended_at is not None else float("inf")
                begin = max(span[0], wait.since)
                if begin < end and (len(span) == 1 or span[1] - begin > 3 * INTERVAL) and not wait.left:
                    assert end - begin <= 3 * INTERVAL, wait

    def test_single_bad_answers_about_what_full_lists_hide_neither(self, seed):
        crowd = Crowd(seed, rooms=2, others=330, flaws=0.1)
        crowd.live(HOUR)
        check(crowd, one_look=60)
        assert crowd.flawed > 10
        assert busiest_window(crowd.polls) <= DEFAULT_LIMIT * (1 - RESERVE) + 5

    def test_the_budget_is_shared_with_others(self, seed):
        crowd = Crowd(seed, rooms=25, guests=20)
        crowd.live(HOUR)
        check(crowd, one_look=WINDOW + LOOK)
        # A third of the account's requests are others', and those of waits do not come in their way.
        assert crowd.refused_polls == 0
        assert crowd.refused_guests == 0
