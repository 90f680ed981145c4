from __future__ import annotations

from email.utils import formatdate

import pytest

from airflow_provider_chatwork.api.http import WINDOW
from airflow_provider_chatwork.waiting.poller.rate_budget import DEFAULT_LIMIT, RESERVE, RateBudget

# The Unix time at 0 of the monotonic clock.
THEN = 1_800_000_000.0
FOR_WAITS = DEFAULT_LIMIT * (1 - RESERVE)


def headers(
    remaining: object, left: float = 200, *, now: float = 0.0, limit: object = DEFAULT_LIMIT, skew: float = 0.0
):
    """Return the headers of an answer. Chatwork's clock is ahead by ``skew`` seconds."""
    there = THEN + now + skew
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(int(there + left)),
        "date": formatdate(there, usegmt=True),
    }


def receive(budget: RateBudget, now: float = 0.0, **odd: str) -> None:
    budget.response_received({**headers(150, now=now), **odd}, now, THEN + now)


def send(budget: RateBudget, count: int, now: float = 0.0) -> None:
    for _ in range(count):
        budget.request_sent(now)


class TestDelay:
    def test_is_zero_before_the_first_request(self):
        assert RateBudget().delay(0.0) == 0

    @pytest.mark.parametrize(("remaining", "pause"), [(299, 0), (61, 0), (60, 200), (3, 200), (0, 200), (-5, 200)])
    def test_leaves_a_fifth_of_the_limit_unused(self, remaining, pause):
        budget = RateBudget()
        budget.request_sent(0.0)
        budget.response_received(headers(remaining), 0.0, THEN)
        assert budget.delay(0.0) == pause

    def test_ends_with_the_window(self):
        budget = RateBudget()
        budget.request_sent(0.0)
        budget.response_received(headers(0), 0.0, THEN)
        assert budget.delay(150.0) == 50
        assert budget.delay(200.0) == 0

    def test_counts_again_after_the_window(self):
        budget = RateBudget()
        budget.request_sent(0.0)
        budget.response_received(headers(0), 0.0, THEN)
        send(budget, int(FOR_WAITS) - 1, 201.0)
        assert budget.delay(201.0) == 0
        budget.request_sent(202.0)
        assert budget.delay(202.0) == WINDOW - 1

    @pytest.mark.parametrize("skew", [0, 3600, -7200, 5_000_000])
    def test_uses_the_clock_of_chatwork_for_the_reset(self, skew):
        budget = RateBudget()
        budget.response_received(headers(0, skew=skew), 0.0, THEN)
        assert budget.delay(0.0) == 200

    def test_uses_the_local_clock_without_a_date_header(self):
        budget = RateBudget()
        without = {name: value for name, value in headers(0).items() if name != "date"}
        budget.response_received(without, 0.0, THEN + 30)
        assert budget.delay(0.0) == 170

    def test_uses_its_own_count_if_the_headers_do_not_decrease(self):
        budget = RateBudget()
        for number in range(int(FOR_WAITS)):
            assert budget.delay(number / 10) == 0
            budget.request_sent(number / 10)
            budget.response_received(
                headers(DEFAULT_LIMIT, 250 - number / 10, now=number / 10), number / 10, THEN + number / 10
            )
        assert budget.delay(24.0) > 200

    def test_uses_its_own_count_without_an_answer(self):
        budget = RateBudget()
        send(budget, int(FOR_WAITS))
        assert budget.delay(1.0) == WINDOW - 1

    def test_uses_the_limit_of_the_headers(self):
        budget = RateBudget()
        budget.request_sent(0.0)
        budget.response_received(headers(999, limit=1000), 0.0, THEN)
        send(budget, 700)
        assert budget.delay(0.0) == 0
        send(budget, 100)
        assert budget.delay(0.0) == 200

    def test_uses_a_window_that_another_program_began(self):
        budget = RateBudget()
        budget.request_sent(0.0)
        budget.response_received(headers(70, left=20), 0.0, THEN)
        assert budget.delay(0.0) == 0
        budget.request_sent(1.0)
        budget.response_received(headers(60, left=19, now=1.0), 1.0, THEN + 1)
        assert budget.delay(5.0) == 15
        assert budget.delay(20.0) == 0

    def test_a_rounded_reset_is_not_a_new_window(self):
        budget = RateBudget()
        for number in range(int(FOR_WAITS)):
            budget.request_sent(0.0)
            budget.response_received(headers(DEFAULT_LIMIT, left=200 + number % 2), 0.0, THEN)
        assert budget.delay(0.0) > 0

    @pytest.mark.parametrize("retry_after", [7.0, 250.0])
    def test_lasts_as_long_as_a_429(self, retry_after):
        budget = RateBudget()
        budget.rate_limited(retry_after, 10.0)
        assert budget.delay(10.0) == retry_after
        assert budget.delay(10.0 + retry_after) == 0

    def test_lasts_as_long_as_the_longest_429(self):
        budget = RateBudget()
        budget.rate_limited(100.0, 0.0)
        budget.rate_limited(10.0, 1.0)
        assert budget.delay(1.0) == 99


class TestResponseReceived:
    @pytest.mark.parametrize(
        "odd",
        [
            {"x-ratelimit-remaining": ""},
            {"x-ratelimit-remaining": "many"},
            {"x-ratelimit-remaining": "1.5"},
            {"x-ratelimit-reset": "soon"},
            {"x-ratelimit-reset": "0"},
            {"x-ratelimit-reset": "-1"},
            {"x-ratelimit-reset": str(int(THEN) - 30)},
            {"x-ratelimit-reset": str(int(THEN) + 7 * 24 * 3600)},
            {"x-ratelimit-reset": f"{int(THEN) + 200}000"},
            {"x-ratelimit-reset": "9" * 400},
            {"x-ratelimit-reset": "9" * 10_000},
            {"x-ratelimit-limit": "0"},
            {"x-ratelimit-limit": "-300"},
            {"x-ratelimit-limit": "9" * 400},
            {"x-ratelimit-remaining": "9" * 400},
        ],
        ids=lambda odd: "=".join(*odd.items())[12:40],
    )
    def test_ignores_invalid_headers(self, odd):
        budget = RateBudget()
        budget.request_sent(0.0)
        receive(budget, **odd)
        assert budget.window_remaining(0.0) == WINDOW
        assert budget.delay(0.0) == 0
        send(budget, int(FOR_WAITS))
        assert budget.delay(0.0) == WINDOW

    @pytest.mark.parametrize("missing", ["limit", "remaining", "reset"])
    def test_ignores_incomplete_headers(self, missing):
        budget = RateBudget()
        whole = headers(0)
        del whole[f"x-ratelimit-{missing}"]
        budget.response_received(whole, 0.0, THEN)
        assert budget.delay(0.0) == 0

    def test_keeps_the_last_headers_if_an_answer_has_none(self):
        budget = RateBudget()
        budget.response_received(headers(0), 0.0, THEN)
        budget.response_received({}, 1.0, THEN + 1)
        assert budget.delay(1.0) == 199

    @pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Xxx 2027 00:00:00 GMT"])
    def test_ignores_an_invalid_date(self, date):
        budget = RateBudget()
        receive(budget, date=date)
        assert budget.window_remaining(0.0) == 200

    def test_a_reset_that_has_just_passed_begins_a_new_window(self):
        budget = RateBudget()
        budget.request_sent(0.0)
        budget.response_received(headers(0, left=-1), 0.0, THEN)
        assert budget.delay(0.0) == 0


class TestSlowdown:
    @pytest.mark.parametrize(
        ("demand", "stretch"), [(0.0, 1.0), (0.5, 1.0), (0.8, 1.0), (1.6, 2.0), (8.0, 10.0)], ids=str
    )
    def test_fits_the_request_rate_into_a_full_limit(self, demand, stretch):
        assert RateBudget().slowdown(demand, 0.0) == pytest.approx(stretch)

    def test_fits_the_request_rate_into_the_rest_of_the_window(self):
        budget = RateBudget()
        budget.request_sent(0.0)
        budget.response_received(headers(160, left=100), 0.0, THEN)
        assert budget.slowdown(1.0, 0.0) == pytest.approx(1.0)
        assert budget.slowdown(3.0, 0.0) == pytest.approx(3.0)
        budget.response_received(headers(80, left=100), 0.0, THEN)
        assert budget.slowdown(3.0, 0.0) == pytest.approx(15.0)

    def test_average_is_steady_while_requests_are_sent(self):
        budget = RateBudget()
        stretch = budget.slowdown(2.0, 0.0)
        for number in range(9):
            send(budget, round(30 * 2.0 / stretch), number * 30.0)
            assert budget.slowdown(2.0, number * 30.0 + 29) == pytest.approx(stretch, rel=0.05)

    def test_is_finite_when_nothing_is_left(self):
        budget = RateBudget()
        budget.request_sent(0.0)
        budget.response_received(headers(-1000, left=100), 0.0, THEN)
        assert budget.slowdown(2.0, 0.0) == pytest.approx(200.0)


class TestWindowRemaining:
    def test_is_a_full_window_before_the_first_request(self):
        assert RateBudget().window_remaining(17.0) == WINDOW

    def test_begins_with_the_first_request(self):
        budget = RateBudget()
        budget.request_sent(17.0)
        assert budget.window_remaining(27.0) == WINDOW - 10

    def test_is_that_of_the_headers(self):
        budget = RateBudget()
        budget.request_sent(0.0)
        budget.response_received(headers(299, left=40), 0.0, THEN)
        assert budget.window_remaining(10.0) == 30
        assert budget.window_remaining(41.0) == WINDOW
