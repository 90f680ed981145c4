"""One wait of an event loop. It shares the polls of a room with all other subscriptions to that room."""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.call import Call, CallFlow
from airflow_provider_chatwork.client import AsyncClient

T = TypeVar("T")

#: Lower limit of all intervals, in seconds, as the rate limit of the account is shared.
SHORTEST_INTERVAL = 1.0

_log = logging.getLogger(__name__)


class Log(Protocol):
    """A logger of the standard library or of Airflow."""

    def warning(self, message: str, /, *values: Any) -> object:
        """Log a warning."""


class Poller(Protocol):
    """What a subscription uses of the poller of its account."""

    #: Returns the Unix time.
    clock: Callable[[], float]
    #: Sends at once, with the retries of the connection.
    client: AsyncClient
    #: Sends when the rate budget allows it, with the retries of the connection.
    paced_client: AsyncClient

    async def account_id(self) -> int:
        """Return the account id of the token."""

    def attached(self, factory: Callable[[Any], T]) -> T:
        """Return what ``factory`` makes of this poller, always the same object."""

    def subscribe(self, subscription: Any, kind: Any) -> None:
        """Add the subscription to the polls of its room."""

    def unsubscribe(self, subscription: Any) -> None:
        """Remove the subscription."""

    def request_poll(self, subscription: Any) -> None:
        """Poll as soon as possible."""

    def cancel_poll_request(self, subscription: Any) -> None:
        """Take :meth:`request_poll` back."""

    def poll_cost(self, subscription: Any) -> float:
        """Return how many requests a poll takes on average."""


class Subscription:
    """One wait: an asynchronous context manager, in which the wait gets the results of the polls of its room.

    :param interval: seconds between two polls; at least :data:`SHORTEST_INTERVAL`.
    :param max_interval: if given, the interval doubles with each poll up to so many seconds.
    :param log: gets the warnings about this wait.
    """

    #: The poller of the account, and the class of the poller of the room.
    poller: Poller
    kind: type[RoomPoller[Any]]

    def __init__(self, room_id: int | str, interval: float, max_interval: float | None, log: Log | None) -> None:
        self.room_id = validation.identifier("room_id", room_id)
        self.interval = max(interval, SHORTEST_INTERVAL)
        #: The Unix time of the state that is known: when the poll that read it began.
        self.seen_at: float | None = None
        self._max_interval = max_interval
        self._log = log or _log
        self._waiter: asyncio.Future[None] | None = None
        self._has_change = False
        self._rejection: tuple[Exception, TracebackType | None] | None = None
        self._failure: Exception | None = None
        self._is_failing = False
        # False while `refresh` waits for a poll that begins at `_refresh_since` or later, by the loop's clock.
        self._is_refreshed = True
        self._refresh_since = 0.0
        self._last_poll_at = float("-inf")
        self._last_counted_poll_at: float | None = None

    async def __aenter__(self) -> Self:
        """Begin to get the results of polls."""
        self.poller.subscribe(self, self.kind)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Get no more results."""
        self.poller.unsubscribe(self)

    def now(self) -> float:
        """Return the Unix time."""
        return self.poller.clock()

    async def run(self, call: Call[T]) -> T:
        """Run an operation, with the retries of the connection, and return its result.

        :raises ChatworkError: one of the classes of ``api/errors.py``.
        """
        return await self.poller.client.run(call)

    async def account_id(self) -> int:
        """Return the account id of the token. All subscriptions of an account share one request."""
        return await self.poller.account_id()

    @property
    def poll_cost(self) -> float:
        """How many requests a poll takes on average."""
        return self.poller.poll_cost(self)

    async def wait_for_change(self, until: float) -> bool:
        """Wait until something has changed. An outage of Chatwork does not end the wait; it is logged once.

        :param until: the Unix time at which to stop waiting.
        :return: whether something has changed.
        :raises ChatworkError: Chatwork refused for good. It may be called again, and then waits for the next poll.
        """
        while True:
            if self._failure is not None:
                error, self._failure = self._failure, None
                self._log.warning("Polling room %s failed; retrying with back-off: %s", self.room_id, error)
            if self._rejection is not None:
                self._raise_rejection()
            if self._has_change:
                self._has_change = False
                return True
            left = until - self.now()
            if left <= 0:
                return False
            await self._sleep(left)

    async def refresh(self, timeout: float, max_age: float | None = None) -> bool:  # noqa: ASYNC109
        """Poll now instead of when the next poll is due, and again if it fails.

        The poll may use the share of the rate budget that polls leave to others.

        :param timeout: how many seconds to wait for the poll.
        :param max_age: a poll that began not more than so many seconds ago is enough; if not given, the poll has to
            begin now.
        :return: whether the poll succeeded.
        :raises ChatworkError: Chatwork refused for good.
        """
        until = self.now() + timeout
        since = asyncio.get_running_loop().time() - (max_age or 0.0)
        if max_age is not None and self._last_poll_at >= since:
            self._raise_rejection()
            return True
        self._is_refreshed, self._refresh_since = False, since
        self.poller.request_poll(self)
        try:
            while not self._is_refreshed and (left := until - self.now()) > 0:
                self._raise_rejection()
                await self._sleep(left)
        finally:
            self.poller.cancel_poll_request(self)
        self._raise_rejection()
        return self._is_refreshed

    # --- called by the poller

    def notify(self) -> None:
        """Note that something has changed."""
        self._has_change = True
        self._wake()

    def mark_seen(self, polled_at: float) -> None:
        """Note that the state is that of a poll that began at a time of the loop."""
        self.seen_at = self.now() - (asyncio.get_running_loop().time() - polled_at)

    def poll_succeeded(self, polled_at: float) -> None:
        """Note that a poll succeeded that began at a time of the loop."""
        self._is_failing = False
        self._last_poll_at = polled_at
        if not self._is_refreshed and polled_at >= self._refresh_since:
            self._is_refreshed = True
            self._wake()
        if self._max_interval is None:
            return
        if self._last_counted_poll_at is None:
            self._last_counted_poll_at = polled_at
        # A poll that another subscription requested early does not double the interval. Timers are not exact.
        elif polled_at - self._last_counted_poll_at >= self.interval - SHORTEST_INTERVAL / 2:
            self._last_counted_poll_at = polled_at
            self.interval = min(self.interval * 2, max(self._max_interval, SHORTEST_INTERVAL))

    def poll_failed(self, error: Exception) -> None:
        """Note that a poll failed. Only the first failure after a success is logged."""
        if not self._is_failing:
            self._is_failing = True
            self._failure = error
            self._wake()

    def reject(self, error: Exception) -> None:
        """Note that Chatwork refused for good."""
        self._rejection = error, error.__traceback__
        self._wake()

    async def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake) if seconds != float("inf") else None
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _raise_rejection(self) -> None:
        if self._rejection is not None:
            (error, trace), self._rejection = self._rejection, None
            # All subscriptions raise the same error. Without this its traceback would grow with each of them.
            raise error.with_traceback(trace)


S = TypeVar("S", bound=Subscription)

#: How many seconds the first poll of a room waits for further subscriptions.
GATHERING = 0.5
#: Back-off after a failed poll, in seconds, whatever the interval is. It doubles with each failure up to the longest.
FIRST_BACKOFF = 5.0
LONGEST_BACKOFF = 300.0
#: The longest back-off while a subscription waits for a poll.
LONGEST_URGENT_BACKOFF = 20.0
#: Seconds between a poll and another one that is requested at once, for each request of a poll.
URGENT_SPACING = 1.0
# The weight of the latest poll in the average cost.
_WEIGHT = 0.3


class RoomPoller(abc.ABC, Generic[S]):
    """One kind of poll of one room. The times are those of the loop's clock.

    :param room_id: the room.
    """

    def __init__(self, room_id: int) -> None:
        self.room_id = room_id
        self.subscriptions: set[S] = set()
        #: The subscriptions that wait for a poll now.
        self.waiting_for_poll: set[S] = set()
        #: When the last poll began.
        self.polled_at: float | None = None
        #: The earliest time of the next poll, after a failure.
        self.not_before = 0.0
        self.is_polling = False
        #: How many polls in a row failed.
        self.failures = 0
        #: How many requests a poll takes on average.
        self.poll_cost = 1.0
        #: Whether another poll is wanted as soon as possible.
        self.poll_now = False
        self._interval: float | None = None
        self._is_rejected = False

    @property
    def interval(self) -> float:
        """The shortest interval of the subscriptions, in seconds."""
        if self._interval is None:
            self._interval = min(subscription.interval for subscription in self.subscriptions)
        return self._interval

    #: Seconds between two polls when nothing is urgent.
    interval_between_polls = interval

    @property
    def _urgent_spacing(self) -> float:
        # Expensive polls have more space, so that the reserve of the rate budget lasts.
        return min(URGENT_SPACING * max(self.poll_cost, 1.0), LONGEST_URGENT_BACKOFF)

    def due_at(self, slowdown: float) -> float:
        """Return when the next poll is due."""
        if self.polled_at is None or self.failures:
            return self.not_before
        interval = self._urgent_spacing if self.poll_now else self.interval_between_polls * slowdown
        return max(self.not_before, self.polled_at + interval)

    def add(self, subscription: S, now: float) -> None:
        """Add a subscription."""
        if not self.subscriptions:
            self.not_before = now + GATHERING
        elif self._is_rejected:
            # What was refused before may be possible by now.
            self.not_before = min(self.not_before, now + GATHERING)
        self.subscriptions.add(subscription)
        if self._interval is not None:
            self._interval = min(self._interval, subscription.interval)

    def remove(self, subscription: S) -> None:
        """Remove a subscription."""
        self.subscriptions.discard(subscription)
        self.waiting_for_poll.discard(subscription)
        if subscription.interval == self._interval:
            self._interval = None

    @abc.abstractmethod
    def poll(self) -> CallFlow[None]:
        """Poll once."""

    @abc.abstractmethod
    def notify(self) -> None:
        """Give the subscriptions what the last poll has read."""

    def poll_succeeded(self, requests: int, covered: set[S] | None = None, data_since: float | None = None) -> None:
        """Note that a poll succeeded, and notify the subscriptions.

        :param requests: how many requests it took.
        :param covered: the subscriptions for which the poll has read everything; all if not given.
        :param data_since: when the poll began that has read all that is known; the last one if not given.
        """
        self.failures = 0
        self._is_rejected = False
        self.poll_cost += (max(requests, 1) - self.poll_cost) * _WEIGHT
        for subscription in self.subscriptions if covered is None else covered:
            subscription.poll_succeeded((self.polled_at or 0.0) if data_since is None else data_since)
        self._interval = None
        self.notify()

    def poll_failed(self, error: Exception, now: float) -> None:
        """Note that a poll failed with an error that may pass. Back-off doubles with each failure."""
        self.failures += 1
        backoff = FIRST_BACKOFF * 2.0 ** min(self.failures - 1, 30)
        self.poll_now = self.poll_now or bool(self.waiting_for_poll)
        self.not_before = now + min(backoff, LONGEST_URGENT_BACKOFF if self.waiting_for_poll else LONGEST_BACKOFF)
        if self.failures > 1:
            for subscription in self.subscriptions:
                subscription.poll_failed(error)

    def poll_rejected(self, error: Exception, now: float) -> None:
        """Note that Chatwork refused for good. Subscriptions that stay are polled for again after an interval."""
        self.failures += 1
        self._is_rejected = True
        self.not_before = now + self.interval
        for subscription in self.subscriptions:
            subscription.reject(error)
