"""Clients for one alert, whose requests all together have a time limit."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkNetworkError
from airflow_provider_chatwork.api.retry import RetryPolicy
from airflow_provider_chatwork.client import AsyncClient, Client
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.transports import HttpxTransport, RequestsTransport

# The maximum time in seconds in which Chatwork sends nothing: less than half of the default limit of an alert, so that
# a second try is possible.
_READ_TIMEOUT = 7.0


class TimeLimit:
    """A time limit that starts now.

    :param seconds: the limit.
    :param clock: a monotonic clock; ``time.monotonic`` if not given.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
        self._end = self._clock() + seconds

    @property
    def left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(self._end - self._clock(), 0.0)

    def limit_request(self, request: HttpRequest) -> HttpRequest:
        """Return the request with a timeout within the limit.

        :raises ChatworkNetworkError: if no time is left.
        """
        left = self.left
        if not left:
            raise ChatworkNetworkError("the time limit of the alert is over", sent=False)
        return replace(request, timeout=min(request.timeout, _READ_TIMEOUT, left))

    def limit_policy(self, settings: Settings) -> RetryPolicy:
        """Return the retry policy for the next call, with waits within the limit."""
        return RetryPolicy(max_wait=settings.max_wait, time_limit=self.left)


def time_limited_client(settings: Settings, time_limit: TimeLimit) -> Client:
    """Return a client with a time limit for all its calls together."""
    transport = RequestsTransport(settings.proxy)
    return Client(
        settings,
        lambda request: transport(time_limit.limit_request(request)),
        policy=lambda: time_limit.limit_policy(settings),
    )


@asynccontextmanager
async def async_time_limited_client(settings: Settings, time_limit: TimeLimit) -> AsyncIterator[AsyncClient]:
    """Open :func:`time_limited_client` for an event loop, and close its connections at the end."""
    transport = HttpxTransport(settings.proxy)

    async def send(request: HttpRequest) -> Response:
        return await transport(time_limit.limit_request(request))

    try:
        yield AsyncClient(settings, send, policy=lambda: time_limit.limit_policy(settings))
    finally:
        await transport.close()
