from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from airflow_provider_chatwork import api
from airflow_provider_chatwork.alerts.time_limited_client import AsyncLine, Budget, Line
from airflow_provider_chatwork.api.call import HttpRequest
from airflow_provider_chatwork.api.errors import ChatworkError, ChatworkNetworkError, ChatworkRateLimitError
from airflow_provider_chatwork.api.retry import RetryPolicy
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.alerts.memory import Clock

ME = api.account.get_me


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def budget(clock: Clock) -> Budget:
    return Budget(20.0, clock)


@pytest.fixture
def settings(sandbox: ServedSandbox) -> Settings:
    """Those of somebody with a lot of patience."""
    return Settings(token=sandbox.token, base_url=sandbox.address.api, max_wait=300.0)


def busy(sandbox: ServedSandbox, **more: Any) -> None:
    """Let Chatwork say that a room has had enough for the next ten seconds."""
    sandbox.add_fault(
        Fault("status", status=429, body={"errors": ["Rate limit for message posting per room exceeded."]}, **more)
    )


class TestBudget:
    def test_runs_out(self, budget, clock):
        assert budget.left == 20.0
        clock.sleep(15)
        assert budget.left == 5.0
        clock.sleep(15)
        assert budget.left == 0.0

    def test_goes_by_a_clock_of_its_own(self):
        assert 0 < Budget(20.0).left <= 20.0
        assert Budget(0.0).left == 0.0


class TestHurried:
    @pytest.mark.parametrize(
        ("own", "passed", "timeout"),
        [(20.0, 0, 7.0), (3.0, 0, 3.0), (60.0, 15, 5.0), (20.0, 19.5, 0.5)],
        ids=["no more than half of it", "what the connection says", "what is left", "the last half second"],
    )
    def test_gives_a_request_no_more_time_than_is_left(self, budget, clock, own, passed, timeout):
        clock.sleep(passed)
        request = HttpRequest("GET", "http://localhost/v2/me", {"accept": "x"}, b"body", own)
        hurried = budget.hurried(request)
        assert hurried.timeout == timeout
        assert (hurried.method, hurried.url, hurried.headers, hurried.body) == (
            *(request.method, request.url),
            *(request.headers, request.body),
        )

    def test_lets_no_request_begin_after_the_end(self, budget, clock):
        clock.sleep(20)
        with pytest.raises(ChatworkNetworkError, match="the time that an alert may take is over") as raised:
            budget.hurried(HttpRequest("GET", "http://localhost/v2/me", {}))
        assert raised.value.sent is False


class TestHurry:
    @pytest.mark.parametrize(("max_wait", "passed", "waits"), [(300.0, 0, 20.0), (300.0, 15, 5.0), (3.0, 0, 3.0)])
    def test_leaves_no_more_patience_than_time(self, budget, clock, max_wait, passed, waits):
        clock.sleep(passed)
        policy = RetryPolicy(max_wait=1000.0, tries=4)
        hurried = budget.hurry(policy, Settings(token="t", max_wait=max_wait))
        assert hurried.max_wait == waits
        assert hurried.tries == 4


class TestLine:
    def test_sends_calls(self, settings, budget, sandbox):
        line = Line(settings, budget)
        assert line.run(ME())["account_id"] == company.BOT
        assert line.settings is settings

    def test_begins_no_call_after_the_end(self, settings, budget, clock, sandbox):
        line = Line(settings, budget)
        clock.sleep(20)
        with pytest.raises(ChatworkNetworkError, match="is over"):
            line.run(ME())
        assert sandbox.requests == []

    def test_waits_for_nothing_that_comes_after_the_end(self, settings, budget, clock, sandbox):
        clock.sleep(15)
        busy(sandbox)
        with pytest.raises(ChatworkRateLimitError) as raised:
            Line(settings, budget).run(ME())
        assert raised.value.retry_after == 10.0
        assert len(sandbox.requests) == 1

    def test_has_less_patience_for_each_further_call(self, settings, budget, clock, sandbox):
        line = Line(settings, budget)
        line.run(ME())
        clock.sleep(15)
        busy(sandbox)
        with pytest.raises(ChatworkRateLimitError):
            line.run(ME())


def steps(clock: Clock) -> Generator[Any, Any, int]:
    """Two calls, the first of which takes a while."""
    me = yield ME()
    clock.sleep(15)
    try:
        yield ME()
    except ChatworkError as error:
        return type(error) is ChatworkRateLimitError and me["account_id"]
    return 0


class TestFollow:
    def test_has_less_patience_for_each_further_step(self, settings, budget, clock, sandbox):
        busy(sandbox, after=1)
        assert Line(settings, budget).run_flow(steps(clock)) == company.BOT

    async def test_has_less_patience_for_each_further_step_in_an_event_loop(self, settings, budget, clock, sandbox):
        busy(sandbox, after=1)
        line = AsyncLine(settings, budget)
        try:
            assert await line.run_flow(steps(clock)) == company.BOT
        finally:
            await line.close()


class TestAsyncLine:
    async def test_sends_calls(self, settings, budget):
        line = AsyncLine(settings, budget)
        try:
            assert (await line.run(ME()))["account_id"] == company.BOT
            assert line.settings is settings
        finally:
            await line.close()

    async def test_begins_no_call_after_the_end(self, settings, budget, clock, sandbox):
        line = AsyncLine(settings, budget)
        clock.sleep(20)
        with pytest.raises(ChatworkNetworkError, match="is over"):
            await line.run(ME())
        assert sandbox.requests == []
        await line.close()

    async def test_can_be_closed_before_it_was_used_and_twice(self, settings, budget):
        line = AsyncLine(settings, budget)
        await line.close()
        await line.run(ME())
        await line.close()
        await line.close()

    async def test_leaves_no_connection_behind(self, settings, budget, recwarn):
        import gc

        line = AsyncLine(settings, budget)
        await line.run(ME())
        await line.close()
        del line
        gc.collect()
        assert [str(warning.message) for warning in recwarn] == []
