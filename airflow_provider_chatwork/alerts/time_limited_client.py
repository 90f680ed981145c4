"""The line to Chatwork that an alert has: the hook's connection, with no more patience than a callback has time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkNetworkError
from airflow_provider_chatwork.api.retry import RetryPolicy
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.client import AsyncClient, Client
from airflow_provider_chatwork.transports import HttpxTransport, RequestsTransport

# How long Chatwork may be silent: half of what an alert may take, so that a second try is possible.
_SILENCE = 7.0


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


class Line(Client):
    """Sends calls within a budget.

    :param settings: of the connection.
    :param budget: what all calls together may take.
    """

    def __init__(self, settings: Settings, budget: Budget) -> None:
        transport = RequestsTransport(settings.proxy)
        super().__init__(
            settings,
            lambda request: transport(budget.hurried(request)),
            policy=lambda: budget.hurry(RetryPolicy(), settings),
        )


class AsyncLine(AsyncClient):
    """:class:`Line` for an event loop. Close it when done."""

    def __init__(self, settings: Settings, budget: Budget) -> None:
        transport = HttpxTransport(settings.proxy)

        async def send(request: HttpRequest) -> Response:
            return await transport(budget.hurried(request))

        super().__init__(settings, send, policy=lambda: budget.hurry(RetryPolicy(), settings))
        self._close = transport.close

    async def close(self) -> None:
        """Close the connections."""
        await self._close()
