"""Clients that send a request when the rate budget of the account allows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkRateLimitError
from airflow_provider_chatwork.api.http import api_error
from airflow_provider_chatwork.api.retry import RetryPolicy
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.client import AsyncClient, AsyncTransport
from airflow_provider_chatwork.waiting.poller.rate_budget import RateBudget

# A poll that waits for budget may become urgent. It checks that after so many seconds.
_RECHECK = 5.0


class MeteredTransport:
    """Send requests at once, and keep the rate budget up to date.

    :param transport: sends a request. If it has a ``close`` to be awaited, :meth:`close` calls it.
    :param clock: returns the Unix time.
    """

    def __init__(self, transport: AsyncTransport, clock: Callable[[], float]) -> None:
        self.budget = RateBudget()
        self.clock = clock
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    async def __call__(self, request: HttpRequest) -> Response:
        """Send a request."""
        self.budget.request_sent(self._loop.time())
        response = await self._transport(request)
        self.budget.response_received(response.headers, self._loop.time(), self.clock())
        return response

    async def close(self) -> None:
        """Close the connections."""
        close = getattr(self._transport, "close", None)
        if close is not None:
            await close()


class PacedTransport:
    """Send each request when the rate budget allows it, and note every 429.

    :param is_urgent: whether a request may use the share that polls leave to others.
    """

    def __init__(self, transport: MeteredTransport, is_urgent: Callable[[], bool] = lambda: False) -> None:
        #: How many requests were sent.
        self.requests = 0
        self._transport = transport
        self._is_urgent = is_urgent
        self._loop = asyncio.get_running_loop()

    async def __call__(self, request: HttpRequest) -> Response:
        """Wait for budget, and send a request."""
        budget = self._transport.budget
        # Another request may have used the budget meanwhile, so the delay is computed again.
        while delay := budget.delay(self._loop.time(), self._is_urgent()):  # noqa: ASYNC110
            await asyncio.sleep(min(delay, _RECHECK))
        self.requests += 1
        response = await self._transport(request)
        if response.status == 429:
            error = api_error("", response, self._transport.clock())
            if isinstance(error, ChatworkRateLimitError) and not error.per_room:
                budget.rate_limited(error.retry_after, self._loop.time())
        return response


def paced_client(settings: Settings, transport: MeteredTransport) -> AsyncClient:
    """Return a client for what many subscriptions may want at the same time, with the retries of the connection."""
    return AsyncClient(settings, PacedTransport(transport), clock=transport.clock)


def poll_client(settings: Settings, transport: PacedTransport, clock: Callable[[], float]) -> AsyncClient:
    """Return a client for one poll. It does not retry, as the next poll is the retry."""
    return AsyncClient(settings, transport, policy=RetryPolicy(max_wait=0, tries=1), clock=clock)
