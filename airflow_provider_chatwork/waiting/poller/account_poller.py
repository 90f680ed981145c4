"""The poller of one account in one event loop. It polls rooms in turn, within the rate budget of the account."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.retry import RetryPolicy, is_transient
from airflow_provider_chatwork.client import AsyncClient, AsyncTransport
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.transports import HttpxTransport
from airflow_provider_chatwork.waiting.poller.rate_budget import PacedTransport, PollLog, RateBudget
from airflow_provider_chatwork.waiting.poller.subscription import FIRST_BACKOFF, RoomPoller, Subscription

T = TypeVar("T")
S = TypeVar("S", bound=Subscription)

log = logging.getLogger(__name__)

#: How many rooms are polled at the same time.
MAX_CONCURRENT_POLLS = 4
# A poll that takes longer, in seconds, does not count for that: rooms with slow answers must not delay the others.
_SLOW_POLL = 2.0
# A smaller slowdown is none.
_NOTICEABLE_SLOWDOWN = 1.05


class AccountPoller:
    """The poller of one account, shared by all its subscriptions in an event loop.

    It exists from the first subscription to the end of the last one.

    :param settings: those of the connection.
    :param transport: sends a request. If it has a ``close`` to be awaited, that is called at the end.
    :param clock: returns the Unix time.
    :param on_empty: called when the last subscription has ended.
    """

    def __init__(
        self,
        settings: Settings,
        transport: AsyncTransport,
        clock: Callable[[], float],
        on_empty: Callable[[], object],
    ) -> None:
        self.clock = clock
        self._settings = settings
        self._transport = transport
        #: The rate budget of the account.
        self.budget = RateBudget()
        #: Sends at once, with the retries of the connection.
        self.client = AsyncClient(settings, self._send, clock=clock)
        #: Sends when the rate budget allows it, with the retries of the connection.
        self.paced_client = AsyncClient(settings, PacedTransport(self._send, self.budget, clock), clock=clock)
        self._on_empty = on_empty
        self._on_close: list[Callable[[], Awaitable[object]]] = []
        self._attached: dict[Callable[..., Any], Any] = {}
        self._loop = asyncio.get_running_loop()
        self._rooms: dict[Hashable, RoomPoller[Any]] = {}
        self._room_of: dict[Subscription, RoomPoller[Any]] = {}
        self._runner: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._me: asyncio.Task[models.Me] | None = None
        self._log = PollLog(settings.base_url)

    # --- subscriptions

    def subscribe(self, subscription: Subscription, kind: type[RoomPoller[Any]]) -> None:
        """Add a subscription to the polls of its room."""
        key = kind, subscription.room_id
        room = self._rooms.get(key)
        is_sooner = room is None or subscription.interval < room.interval
        if room is None:
            room = self._rooms[key] = kind(subscription.room_id)
        self._room_of[subscription] = room
        room.add(subscription, self._loop.time())
        if self._runner is None:
            # An empty context, as the log lines of this task do not belong to the Airflow task that comes first.
            self._runner = self._loop.create_task(self._run(), context=contextvars.Context())
        # Thousands may subscribe at once, and most of them do not change which poll is next.
        if is_sooner or room.poll_now:
            self._changed.set()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a subscription. With the last one the poller closes."""
        room = self._room_of.pop(subscription)
        room.remove(subscription)
        if not room.subscriptions:
            self._rooms.pop((type(room), room.room_id), None)
            self._log.failing.discard(room)
            self._changed.set()
        if not self._rooms:
            self._on_empty()

    def request_poll(self, subscription: Subscription) -> None:
        """Poll the room of a subscription as soon as the rate budget allows it, also during a back-off."""
        room = self._room_of[subscription]
        room.poll_now = True
        room.waiting_for_poll.add(subscription)
        soon = self._loop.time()
        if room.failures and room.polled_at is not None:
            # One failed poll is enough for all that wait for one.
            soon = max(soon, room.polled_at + FIRST_BACKOFF)
        room.not_before = min(room.not_before, soon)
        self._changed.set()

    def cancel_poll_request(self, subscription: Subscription) -> None:
        """Take :meth:`request_poll` back."""
        self._room_of[subscription].waiting_for_poll.discard(subscription)

    def poll_cost(self, subscription: Subscription) -> float:
        """Return how many requests a poll takes on average."""
        return self._room_of[subscription].poll_cost

    # --- what all subscriptions share

    async def account_id(self) -> int:
        """Return the account id of the token. It is requested once."""
        if self._me is None or (self._me.done() and (self._me.cancelled() or self._me.exception() is not None)):
            self._me = self._loop.create_task(self.client.run(get_me()), context=contextvars.Context())
        # A caller that is cancelled must not cancel the request of the others.
        return (await asyncio.shield(self._me))["account_id"]

    def attached(self, factory: Callable[[AccountPoller], T]) -> T:
        """Return what ``factory`` makes of this poller, always the same object."""
        if factory not in self._attached:
            self._attached[factory] = factory(self)
        return self._attached[factory]  # type: ignore[no-any-return]

    def on_close(self, clean_up: Callable[[], Awaitable[object]]) -> None:
        """Await ``clean_up`` before the connections are closed."""
        self._on_close.append(clean_up)

    # --- polling

    @property
    def request_rate(self) -> float:
        """Requests per second that all polls would make without a rate limit."""
        return sum(room.poll_cost / room.interval_between_polls for room in self._rooms.values())

    async def _send(self, request: HttpRequest) -> Response:
        """Send a request at once, and keep the rate budget up to date."""
        self.budget.request_sent(self._loop.time())
        response = await self._transport(request)
        self.budget.response_received(response.headers, self._loop.time(), self.clock())
        return response

    async def _run(self) -> None:
        polls: set[asyncio.Task[None]] = set()

        try:
            while self._rooms:
                self._changed.clear()
                room, seconds = self._next_due()
                now = self._loop.time()
                began = [each.polled_at or now for each in self._rooms.values() if each.is_polling]
                recent = [at for at in began if now - at < _SLOW_POLL]
                if room is not None and len(recent) >= MAX_CONCURRENT_POLLS and not room.waiting_for_poll:
                    seconds = max(seconds, min(recent) + _SLOW_POLL - now)
                if room is None:
                    await self._changed.wait()
                elif seconds > 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await self._changed.wait()
                else:
                    room.is_polling, room.polled_at = True, now
                    poll = asyncio.create_task(self._poll(room))
                    polls.add(poll)
                    # In this order: if all polls end together, nothing else wakes this loop.
                    poll.add_done_callback(polls.discard)
                    poll.add_done_callback(lambda _: self._changed.set())
        except Exception as error:
            # Without this all subscriptions would wait for ever.
            base_url, rooms = self._settings.base_url, len(self._rooms)
            log.exception("Internal error in the poller of %s; %d rooms are not polled any more", base_url, rooms)
            self._on_empty()
            for room in self._rooms.values():
                room.poll_rejected(error, self._loop.time())
        finally:
            tasks = [*polls, *([] if self._me is None else [self._me])]
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, *(clean_up() for clean_up in self._on_close), return_exceptions=True)
            finally:
                # `asyncio.run` cancels this task when its main coroutine ends, maybe during the clean-up above.
                close = getattr(self._transport, "close", None)
                if close is not None:
                    await close()

    def _next_due(self) -> tuple[RoomPoller[Any] | None, float]:
        """Return the room to poll next, and in how many seconds."""
        idle = [room for room in self._rooms.values() if not room.is_polling]
        if not idle:
            return None, 0.0
        now = self._loop.time()
        rate = self.request_rate
        shortest_interval = min(room.interval for room in self._rooms.values())
        slowdown = self.budget.slowdown(rate, now)
        if slowdown > 1 or self._log.logged_slowdown > 1:
            average = self.budget.average_slowdown(rate, now)
            self._log.slowdown(
                average,
                is_noticeable=average >= _NOTICEABLE_SLOWDOWN,
                rooms=len(self._rooms),
                interval=shortest_interval,
                now=now,
            )
        if slowdown < _NOTICEABLE_SLOWDOWN:
            slowdown = 1.0
        # The room that is due for the longest time comes first, so that all share a budget that is too small.
        room = min(idle, key=lambda room: room.due_at(slowdown))
        seconds = room.due_at(slowdown) - now
        if slowdown > 1:
            seconds = min(seconds, self.budget.window_remaining(now))
        delay = self.budget.delay(now)
        if delay and (urgent := [room for room in idle if room.waiting_for_poll]):
            room = min(urgent, key=lambda room: room.due_at(slowdown))
            seconds, delay = room.due_at(slowdown) - now, self.budget.delay(now, is_urgent=True)
        if delay > shortest_interval:
            self._log.paused(delay, rooms=len(self._rooms), now=now)
        return room, max(seconds, delay, 0.0)

    async def _poll(self, room: RoomPoller[Any]) -> None:
        transport = PacedTransport(self._send, self.budget, self.clock, lambda: bool(room.waiting_for_poll))
        # No retries, as the next poll is the retry.
        client = AsyncClient(self._settings, transport, policy=RetryPolicy(max_wait=0, tries=1), clock=self.clock)
        room.poll_now = False
        try:
            await client.run_flow(room.poll())
            room.poll_succeeded(transport.requests)
            if self._log.failing_since is not None:
                self._log.succeeded(room, self._loop.time())
        # Also an error of this provider ends the waits, which would go on for ever otherwise.
        except Exception as error:
            self._poll_failed(room, error)
        finally:
            room.is_polling = False

    def _poll_failed(self, room: RoomPoller[Any], error: Exception) -> None:
        now = self._loop.time()
        if not room.subscriptions:
            return
        if is_transient(error):
            self._log.failed(room.room_id, room, error, now)
            room.poll_failed(error, now)
        else:
            self._log.failing.discard(room)
            room.poll_rejected(error, now)


class PollerRegistry:
    """The pollers, by event loop and account.

    :param new_transport: makes the transport of a poller.
    :param clock: returns the Unix time in seconds; ``time.time`` if not given.
    """

    def __init__(
        self,
        new_transport: Callable[[Settings], AsyncTransport] = lambda settings: HttpxTransport(settings.proxy),
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._new_transport = new_transport
        self.clock = clock or time.time
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, AccountPoller]] = WeakKeyDictionary()

    def get(self, settings: Settings) -> AccountPoller:
        """Return the poller of an account in the running event loop.

        Connections with the same token share one poller, as Chatwork counts their requests together.
        """
        loop = asyncio.get_running_loop()
        # A loop may be closed before its subscriptions end: `dag.test()` has one loop per trigger.
        for closed in [other for other in self._by_loop if other.is_closed()]:
            del self._by_loop[closed]
        pollers = self._by_loop.setdefault(loop, {})
        key = (settings.base_url, settings.token, settings.proxy)
        poller = pollers.get(key)
        if poller is None:
            # By identity: a poller that has failed may report its end twice, when there is a new one already.
            poller = pollers[key] = AccountPoller(
                *(settings, self._new_transport(settings), self.clock),
                on_empty=lambda: pollers.get(key) is poller and pollers.pop(key),
            )
        return poller

    def __len__(self) -> int:
        """Return how many there are, in all event loops."""
        return sum(map(len, self._by_loop.values()))


_registry = PollerRegistry()


def poller_registry() -> PollerRegistry:
    """Return the registry of this process."""
    return _registry


@contextmanager
def override_registry(registry: PollerRegistry) -> Iterator[PollerRegistry]:
    """Use another registry inside the context, with its own transport and clock, for tests and simulations."""
    global _registry
    before, _registry = _registry, registry
    try:
        yield registry
    finally:
        _registry = before
