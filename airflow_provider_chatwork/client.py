"""The two loops that send and wait. Every rule they follow is in ``api/``."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, TypeAlias, TypeVar

import tenacity

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.call import Call, HttpRequest, Response
from airflow_provider_chatwork.api.http import Settings, decode, encode
from airflow_provider_chatwork.api.rate_limit import RateLimit, server_time
from airflow_provider_chatwork.api.retry import Attempts, RetryPolicy, retry_options

T = TypeVar("T")

Steps: TypeAlias = Generator[Call[Any], Any, T]
Transport: TypeAlias = Callable[[HttpRequest], Response]
AsyncTransport: TypeAlias = Callable[[HttpRequest], Awaitable[Response]]

# Chatwork writes its times in whole seconds, and so does the ``date`` its clock is read from.
_CLOCK_MARGIN = 2.0
# How many results are remembered, so that a search does not take an earlier, equal message for the one it looks for.
_REMEMBERED = 1000


def _drive(steps: Steps[T], send: Callable[[Call[Any]], Any]) -> T:
    try:
        step = next(steps)
        while True:
            try:
                answer = send(step)
            except errors.ChatworkError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def _adrive(steps: Steps[T], send: Callable[[Call[Any]], Awaitable[Any]]) -> T:
    try:
        step = next(steps)
        while True:
            try:
                answer = await send(step)
            except errors.ChatworkError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


class _Conversation:
    """What both clients know of the account: its budget, its clock, its id, and what was created."""

    def __init__(self, settings: Settings, policy: RetryPolicy | None, clock: Callable[[], float] | None) -> None:
        self.settings = settings
        self.policy = policy or RetryPolicy(max_wait=settings.max_wait)
        #: The account's budget as of the last answer, or ``None`` before there was one.
        self.rate_limit: RateLimit | None = None
        # Not a default argument: this module is loaded late, perhaps while a test has its own clock in place.
        self._clock = clock or time.time
        self._skew = 0.0
        self._account_id: int | None = None
        self._created: deque[object] = deque(maxlen=_REMEMBERED)

    def _begin(self, call: Call[T], now: float) -> Attempts[T]:
        if call.check is not None:
            call.check(now)
        return Attempts(call, lambda: self._search(call, now), self.policy.tries)

    def _search(self, call: Call[T], started: float) -> Generator[Call[Any], Any, Sequence[T]]:
        if call.find is None:
            return []
        if self._account_id is None:
            self._account_id = (yield get_me())["account_id"]
        found = yield from call.find(started + self._skew - _CLOCK_MARGIN, self._account_id)
        return [trace for trace in found if trace not in self._created] if call.numbered else found

    def _received(self, call: Call[T], response: Response) -> T:
        now = self._clock()
        self.rate_limit = RateLimit.from_headers(response.headers) or self.rate_limit
        there = server_time(response.headers)
        # What stands between may answer such a status by a clock of its own.
        if there is not None and response.status < 500:
            self._skew = there - now
        return decode(call, response, now)

    def _done(self, call: Call[T], result: T) -> T:
        if call.find is not None and call.numbered:
            self._created.append(result)
        return result


class Client(_Conversation):
    """Sends calls and waits for their answers.

    :param settings: token, address, patience.
    :param transport: sends one request and returns its answer, or raises
        :class:`~airflow_provider_chatwork.api.errors.ChatworkNetworkError`.
    :param policy: when to try again; made from ``settings`` if not given.
    :param clock: the Unix time in seconds; ``time.time`` if not given.
    :param sleep: waits for a number of seconds; ``time.sleep`` if not given.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        *,
        policy: RetryPolicy | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        super().__init__(settings, policy, clock)
        self._transport = transport
        self._sleep = sleep or time.sleep

    def run(self, call: Call[T]) -> T:
        """Send a call, with all the patience the settings allow, and return its result.

        :raises ChatworkError: one of the classes of ``api/errors.py``, always the original one.
        """
        return self._run(call, self._clock())

    def follow(self, steps: Steps[T]) -> T:
        """Run every call that ``steps`` yields, send it the result or throw it the error, and return its value."""
        return _drive(steps, self.run)

    def look_for(self, call: Call[T], since: float) -> Sequence[T]:
        """Find what ``call`` may have created since a Unix time, oldest first; see :attr:`Call.find`."""
        return self.follow(self._search(call, since))

    def _run(self, call: Call[T], started: float) -> T:
        attempts = self._begin(call, self._clock())

        def send(step: Call[Any]) -> Any:
            return self._send(step) if step is call else self._run(step, started)

        def attempt() -> T:
            return _drive(attempts.attempt(), send)

        options = retry_options(self.policy, attempts, lambda: self._clock() - started)
        try:
            return self._done(call, tenacity.Retrying(sleep=self._sleep, **options)(attempt))
        except errors.ChatworkError as error:
            final = attempts.final(error)
            if final is error:
                raise
            raise final from error

    def _send(self, call: Call[T]) -> T:
        return self._received(call, self._transport(encode(call.request, self.settings)))


class AsyncClient(_Conversation):
    """:class:`Client` for an event loop. It waits with ``await`` and belongs to the loop it is first used in.

    The parameters are those of :class:`Client`, with a transport and a sleep to be awaited. What the two classes
    repeat of each other is what must be awaited, and no more.
    """

    def __init__(
        self,
        settings: Settings,
        transport: AsyncTransport,
        *,
        policy: RetryPolicy | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(settings, policy, clock)
        self._transport = transport
        self._sleep = sleep or asyncio.sleep

    async def run(self, call: Call[T]) -> T:
        """Send a call, with all the patience the settings allow, and return its result.

        :raises ChatworkError: one of the classes of ``api/errors.py``, always the original one.
        """
        return await self._run(call, self._clock())

    async def follow(self, steps: Steps[T]) -> T:
        """Run every call that ``steps`` yields, send it the result or throw it the error, and return its value."""
        return await _adrive(steps, self.run)

    async def _run(self, call: Call[T], started: float) -> T:
        attempts = self._begin(call, self._clock())

        async def send(step: Call[Any]) -> Any:
            return await (self._send(step) if step is call else self._run(step, started))

        async def attempt() -> T:
            return await _adrive(attempts.attempt(), send)

        options = retry_options(self.policy, attempts, lambda: self._clock() - started)
        try:
            return self._done(call, await tenacity.AsyncRetrying(sleep=self._sleep, **options)(attempt))
        except errors.ChatworkError as error:
            final = attempts.final(error)
            if final is error:
                raise
            raise final from error

    async def _send(self, call: Call[T]) -> T:
        return self._received(call, await self._transport(encode(call.request, self.settings)))
