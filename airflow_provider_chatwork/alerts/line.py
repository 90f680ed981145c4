"""The line to Chatwork that an alert has: the hook's connection, with no more patience than a callback has time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_chatwork.api.call import Call, HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkNetworkError

if TYPE_CHECKING:
    from airflow_provider_chatwork.api.retry import RetryPolicy
    from airflow_provider_chatwork.api.wire import Settings

T = TypeVar("T")

# How long Chatwork may be silent: half of what an alert may take, so that a second try is possible.
_SILENCE = 10.0


class Budget:
    """The seconds an alert may take, from now on.

    :param seconds: how many.
    :param clock: any clock that only goes forward; ``time.monotonic`` if not given.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
        self._end = self._clock() + seconds

    @property
    def left(self) -> float:
        """How many are left, 0 or more."""
        return max(self._end - self._clock(), 0.0)

    def hurried(self, request: HttpRequest) -> HttpRequest:
        """The request, with no more time than is left.

        :raises ChatworkNetworkError: where none is.
        """
        left = self.left
        if not left:
            raise ChatworkNetworkError("the time that an alert may take is over", sent=False)
        return replace(request, timeout=min(request.timeout, _SILENCE, left))

    def hurry(self, policy: RetryPolicy, settings: Settings) -> RetryPolicy:
        """The policy, with no more patience than is left: what one call has waited for, the next one cannot."""
        return replace(policy, max_wait=min(settings.max_wait, self.left))


class Line:
    """Sends calls within a budget.

    :param settings: of the connection.
    :param budget: what all calls together may take.
    """

    def __init__(self, settings: Settings, budget: Budget) -> None:
        from airflow_provider_chatwork.client import Client
        from airflow_provider_chatwork.transports import RequestsTransport

        self.settings = settings
        self._budget = budget
        transport = RequestsTransport(settings.proxy)
        self._client = Client(settings, lambda request: transport(budget.hurried(request)))

    def run(self, call: Call[T]) -> T:
        """Send a call.

        :raises ChatworkError: where it fails, or where the time is up.
        """
        self._client.policy = self._budget.hurry(self._client.policy, self.settings)
        return self._client.run(call)

    def follow(self, steps: Generator[Call[Any], Any, T]) -> T:
        """Run the calls that ``steps`` yields, and return its value."""
        self._client.policy = self._budget.hurry(self._client.policy, self.settings)
        return self._client.follow(steps)


class AsyncLine:
    """:class:`Line` for an event loop. Close it when done."""

    def __init__(self, settings: Settings, budget: Budget) -> None:
        from airflow_provider_chatwork.client import AsyncClient
        from airflow_provider_chatwork.transports import HttpxTransport

        self.settings = settings
        self._budget = budget
        self._transport = HttpxTransport(settings.proxy)
        self._client = AsyncClient(settings, self._send)

    async def _send(self, request: HttpRequest) -> Response:
        return await self._transport(self._budget.hurried(request))

    async def follow(self, steps: Generator[Call[Any], Any, T]) -> T:
        """Run the calls that ``steps`` yields, and return its value.

        :raises ChatworkError: where one fails, or where the time is up.
        """
        self._client.policy = self._budget.hurry(self._client.policy, self.settings)
        return await self._client.follow(steps)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()
