"""The clients: they send calls, and retry by the rules in ``api/retry.py``.

A caller that needs other limits does not subclass a client. It passes another policy and a transport that wraps one of
those in ``transports.py``::

    async def send(request: HttpRequest) -> Response:
        await budget.acquire()
        return await transport(request)

    client = AsyncClient(settings, send, policy=RetryPolicy(max_wait=0, tries=1))

A policy that changes with time is passed as a function, which the client calls at the beginning of each call.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

import tenacity

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.call import Call, CallFlow, HttpRequest, Lookup, Response
from airflow_provider_chatwork.api.http import RateLimit, decode, encode, server_time
from airflow_provider_chatwork.api.retry import RetryPolicy, RetryState
from airflow_provider_chatwork.connection import Settings

T = TypeVar("T")

Transport: TypeAlias = Callable[[HttpRequest], Response]
AsyncTransport: TypeAlias = Callable[[HttpRequest], Awaitable[Response]]

# Chatwork's times are whole seconds, and so is the ``date`` header from which its clock is read.
_CLOCK_MARGIN = 2.0
# A lookup leaves out the last results of this client, so that it does not return an earlier, equal message.
_MAX_REMEMBERED = 1000


def _run_flow(begin: Callable[[], CallFlow[T]], send: Callable[[Call[Any]], Any]) -> T:
    flow = begin()
    try:
        call = next(flow)
        while True:
            try:
                result = send(call)
            except errors.ChatworkError as error:
                call = flow.throw(error)
            else:
                call = flow.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def _arun_flow(begin: Callable[[], CallFlow[T]], send: Callable[[Call[Any]], Awaitable[Any]]) -> T:
    flow = begin()
    try:
        call = next(flow)
        while True:
            try:
                result = await send(call)
            except errors.ChatworkError as error:
                call = flow.throw(error)
            else:
                call = flow.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


class _ClientBase:
    """What both clients know about the account: rate limit, clock difference, account id, last results."""

    def __init__(
        self,
        settings: Settings,
        policy: RetryPolicy | Callable[[], RetryPolicy] | None,
        clock: Callable[[], float] | None,
    ) -> None:
        self.settings = settings
        fixed = policy or RetryPolicy(max_wait=settings.max_wait)
        self._policy = fixed if callable(fixed) else lambda: fixed
        #: The account's rate limit as of the last answer; ``None`` before the first one.
        self.rate_limit: RateLimit | None = None
        # Not a default argument, which would keep the clock of a test that imports this module first.
        self._clock = clock or time.time
        self._skew = 0.0
        self._account_id: int | None = None
        self._results: deque[object] = deque(maxlen=_MAX_REMEMBERED)

    @property
    def policy(self) -> RetryPolicy:
        """The policy for the next call."""
        return self._policy()

    def _start(self, call: Call[T], started: float, policy: RetryPolicy) -> tuple[RetryState[T], dict[str, Any]]:
        """Begin a call. Returns its state, and the arguments of tenacity that decide by it."""
        now = self._clock()
        if call.check is not None:
            call.check(now)
        state = RetryState(call, policy, lambda: self._lookup(call, now))
        delay: float | None = None

        # Tenacity's own ``stop_after_delay`` reads the real clock, and ``stop_after_attempt`` counts every 429.
        def is_retried(error: BaseException) -> bool:
            nonlocal delay
            delay = state.next_delay(error, self._clock() - started)
            return delay is not None

        return state, {"retry": tenacity.retry_if_exception(is_retried), "wait": lambda _: delay or 0.0}

    def _lookup(self, call: Call[T], since: float) -> Lookup[T]:
        if call.find_executed is None:
            return []
        if self._account_id is None:
            self._account_id = (yield get_me())["account_id"]
        found = yield from call.find_executed(since + self._skew - _CLOCK_MARGIN, self._account_id)
        if call.has_unique_id:
            found = [result for result in found if result not in self._results]
            self._results.extend(found[:1])
        return found

    def _decode(self, call: Call[T], response: Response) -> T:
        now = self._clock()
        self.rate_limit = RateLimit.from_headers(response.headers) or self.rate_limit
        server_now = server_time(response.headers)
        # A 5xx may come from a proxy, with the time of the proxy.
        if server_now is not None and response.status < 500:
            self._skew = server_now - now
        if response.status >= 400:
            # A server may echo its requests, and the texts of a refusal are part of the error.
            response = replace(response, body=response.body.replace(self.settings.token.encode(), b"***"))
        result = decode(call, response, now)
        if call.find_executed is not None and call.has_unique_id:
            self._results.append(result)
        return result


class Client(_ClientBase):
    """Sends calls and waits for their answers.

    :param settings: URL, token, timeouts.
    :param transport: sends one request and returns its answer, or raises
        :class:`~airflow_provider_chatwork.api.errors.ChatworkNetworkError`.
    :param policy: when to try again, or a function that returns the policy for the next call; by default five tries
        within the ``max_wait`` of ``settings``.
    :param clock: returns the Unix time in seconds; ``time.time`` if not given.
    :param sleep: waits for a number of seconds; ``time.sleep`` if not given.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        *,
        policy: RetryPolicy | Callable[[], RetryPolicy] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        super().__init__(settings, policy, clock)
        self._transport = transport
        self._sleep = sleep or time.sleep

    def run(self, call: Call[T], started: float | None = None, policy: RetryPolicy | None = None) -> T:
        """Send a call, with retries, and return its result.

        :param started: the Unix time from which the policy counts, if the call is a part of another one.
        :param policy: the policy of that other call.
        :raises ChatworkError: the error of the last try.
        """
        started = self._clock() if started is None else started
        policy = policy or self._policy()
        state, arguments = self._start(call, started, policy)

        def send(each: Call[Any]) -> Any:
            if each is not call:
                return self.run(each, started, policy)
            return self._decode(each, self._transport(encode(each.request, self.settings)))

        retrying = tenacity.Retrying(sleep=self._sleep, **arguments)
        try:
            return retrying(_run_flow, state.attempt, send)  # type: ignore[no-any-return]
        except errors.ChatworkError as error:
            final = state.final_error(error)
            if final is error:
                raise
            raise final from error

    def run_flow(self, flow: CallFlow[T]) -> T:
        """Run every call that ``flow`` yields, send it the result or throw it the error, and return its value."""
        return _run_flow(lambda: flow, self.run)

    def find_executed(self, call: Call[T], since: float) -> Sequence[T]:
        """Look up what ``call`` may have done since a Unix time, oldest first; see :attr:`Call.find_executed`."""
        return self.run_flow(self._lookup(call, since))


class AsyncClient(_ClientBase):
    """:class:`Client` for an event loop.

    The parameters are those of :class:`Client`, with an asynchronous transport and sleep. A client belongs to the loop
    it is first used in.
    """

    def __init__(
        self,
        settings: Settings,
        transport: AsyncTransport,
        *,
        policy: RetryPolicy | Callable[[], RetryPolicy] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(settings, policy, clock)
        self._transport = transport
        self._sleep = sleep or asyncio.sleep

    async def run(self, call: Call[T], started: float | None = None, policy: RetryPolicy | None = None) -> T:
        """Send a call, with retries, and return its result.

        :param started: the Unix time from which the policy counts, if the call is a part of another one.
        :param policy: the policy of that other call.
        :raises ChatworkError: the error of the last try.
        """
        started = self._clock() if started is None else started
        policy = policy or self._policy()
        state, arguments = self._start(call, started, policy)

        async def send(each: Call[Any]) -> Any:
            if each is not call:
                return await self.run(each, started, policy)
            return self._decode(each, await self._transport(encode(each.request, self.settings)))

        retrying = tenacity.AsyncRetrying(sleep=self._sleep, **arguments)
        try:
            return await retrying(_arun_flow, state.attempt, send)
        except errors.ChatworkError as error:
            final = state.final_error(error)
            if final is error:
                raise
            raise final from error

    async def run_flow(self, flow: CallFlow[T]) -> T:
        """Run every call that ``flow`` yields, send it the result or throw it the error, and return its value."""
        return await _arun_flow(lambda: flow, self.run)


# The maximum time in seconds of one request: less than half of the default limit of an alert, so that a second try is
# possible.
_LIMITED_TIMEOUT = 7.0


@dataclass(frozen=True)
class TimeLimit:
    """A time limit for several calls together.

    :param seconds: the limit.
    :param clock: a monotonic clock, in seconds.
    :param began_at: when it began, by that clock; now if not given.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    began_at: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(self.began_at + self.seconds - self.clock(), 0.0)

    def limit_request(self, request: HttpRequest) -> HttpRequest:
        """Return the request with a timeout within the limit.

        :raises ChatworkNetworkError: if no time is left.
        """
        left = self.left
        if not left:
            raise errors.ChatworkNetworkError("the time limit is over", sent=False)
        return replace(request, timeout=min(request.timeout, _LIMITED_TIMEOUT, left))


def time_limited_client(settings: Settings, time_limit: TimeLimit) -> Client:
    """Return a client with a time limit for all its calls together."""
    from airflow_provider_chatwork.transports import RequestsTransport

    transport = RequestsTransport(settings.proxy)
    return Client(
        settings,
        lambda request: transport(time_limit.limit_request(request)),
        policy=lambda: RetryPolicy(max_wait=settings.max_wait, time_limit=time_limit.left),
    )


@asynccontextmanager
async def async_time_limited_client(settings: Settings, time_limit: TimeLimit) -> AsyncIterator[AsyncClient]:
    """Open :func:`time_limited_client` for an event loop, and close its connections at the end."""
    from airflow_provider_chatwork.transports import HttpxTransport

    transport = HttpxTransport(settings.proxy)

    async def send(request: HttpRequest) -> Response:
        return await transport(time_limit.limit_request(request))

    try:
        yield AsyncClient(
            settings, send, policy=lambda: RetryPolicy(max_wait=settings.max_wait, time_limit=time_limit.left)
        )
    finally:
        await transport.close()
