from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api.call import CallFlow, HttpRequest
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkNetworkError, ChatworkRateLimitError
from airflow_provider_chatwork.client import (
    TimeLimit,
    async_time_limited_client,
    time_limited_client,
)
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.alerts.in_memory_airflow import Clock

ME = api.account.get_me


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def time_limit(clock: Clock) -> TimeLimit:
    return TimeLimit(20.0, clock, clock())


@pytest.fixture
def settings(sandbox: ServedSandbox) -> Settings:
    """Settings with long waits."""
    return Settings(token=sandbox.token, base_url=sandbox.address.api, max_wait=300.0)


def limit_rate(sandbox: ServedSandbox, **more: Any) -> None:
    """Let Chatwork refuse requests with a rate limit of ten seconds."""
    sandbox.add_fault(
        Fault("status", status=429, body={"errors": ["Rate limit for message posting per room exceeded."]}, **more)
    )


class TestTimeLimit:
    def test_the_time_left_ends_at_zero(self, time_limit, clock):
        assert time_limit.left == 20.0
        clock.sleep(15)
        assert time_limit.left == 5.0
        clock.sleep(15)
        assert time_limit.left == 0.0

    def test_the_default_clock_is_monotonic(self):
        assert 0 < TimeLimit(20.0).left <= 20.0
        assert TimeLimit(0.0).left == 0.0


class TestLimitRequest:
    @pytest.mark.parametrize(
        ("own", "passed", "timeout"),
        [(20.0, 0, 7.0), (3.0, 0, 3.0), (60.0, 15, 5.0), (20.0, 19.5, 0.5)],
        ids=["the read timeout", "the timeout of the connection", "the time left", "the last half second"],
    )
    def test_the_timeout_is_within_the_time_left(self, time_limit, clock, own, passed, timeout):
        clock.sleep(passed)
        request = HttpRequest("GET", "http://localhost/v2/me", {"accept": "x"}, b"body", own)
        assert time_limit.limit_request(request) == replace(request, timeout=timeout)

    def test_no_request_is_sent_after_the_end(self, time_limit, clock):
        clock.sleep(20)
        with pytest.raises(ChatworkNetworkError, match="the time limit is over") as raised:
            time_limit.limit_request(HttpRequest("GET", "http://localhost/v2/me", {}))
        assert raised.value.sent is False


def two_calls(clock: Clock) -> CallFlow[int]:
    """Two calls, the first of which takes 15 seconds. The result is the account id if the second is refused."""
    me = yield ME()
    clock.sleep(15)
    try:
        yield ME()
    except ChatworkError as error:
        return type(error) is ChatworkRateLimitError and me["account_id"]
    return 0


class TestTimeLimitedClient:
    def test_a_call_is_sent(self, settings, time_limit, sandbox):
        client = time_limited_client(settings, time_limit)
        assert client.run(ME())["account_id"] == company.BOT
        assert client.settings is settings

    def test_no_call_is_sent_after_the_end(self, settings, time_limit, clock, sandbox):
        client = time_limited_client(settings, time_limit)
        clock.sleep(20)
        with pytest.raises(ChatworkNetworkError, match="is over"):
            client.run(ME())
        assert sandbox.requests == []

    def test_a_rate_limit_beyond_the_end_is_not_waited_for(self, settings, time_limit, clock, sandbox):
        clock.sleep(15)
        limit_rate(sandbox)
        with pytest.raises(ChatworkRateLimitError) as raised:
            time_limited_client(settings, time_limit).run(ME())
        assert raised.value.retry_after == 10.0
        assert len(sandbox.requests) == 1

    def test_each_further_call_has_less_time(self, settings, time_limit, clock, sandbox):
        client = time_limited_client(settings, time_limit)
        client.run(ME())
        clock.sleep(15)
        limit_rate(sandbox)
        with pytest.raises(ChatworkRateLimitError):
            client.run(ME())

    def test_each_further_call_of_a_flow_has_less_time(self, settings, time_limit, clock, sandbox):
        limit_rate(sandbox, after=1)
        assert time_limited_client(settings, time_limit).run_flow(two_calls(clock)) == company.BOT


class TestAsyncTimeLimitedClient:
    async def test_a_call_is_sent(self, settings, time_limit):
        async with async_time_limited_client(settings, time_limit) as client:
            assert (await client.run(ME()))["account_id"] == company.BOT
            assert client.settings is settings

    async def test_no_call_is_sent_after_the_end(self, settings, time_limit, clock, sandbox):
        async with async_time_limited_client(settings, time_limit) as client:
            clock.sleep(20)
            with pytest.raises(ChatworkNetworkError, match="is over"):
                await client.run(ME())
        assert sandbox.requests == []

    async def test_each_further_call_of_a_flow_has_less_time(self, settings, time_limit, clock, sandbox):
        limit_rate(sandbox, after=1)
        async with async_time_limited_client(settings, time_limit) as client:
            assert await client.run_flow(two_calls(clock)) == company.BOT

    async def test_it_can_be_closed_unused(self, settings, time_limit):
        async with async_time_limited_client(settings, time_limit):
            pass

    async def test_no_connection_stays_open(self, settings, time_limit, recwarn):
        async with async_time_limited_client(settings, time_limit) as client:
            await client.run(ME())
        del client
        gc.collect()
        assert [str(warning.message) for warning in recwarn] == []
