"""What the triggers share: the wait loop, with a deadline, over a subscription to the polls of a room."""

from __future__ import annotations

import abc
import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkError, ChatworkParameterError
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.connection import Settings, read_settings
from airflow_provider_chatwork.triggers._event import SILENT_FAILURE, EventStatus, error_event
from airflow_provider_chatwork.waiting.poller.account_poller import poller_registry
from airflow_provider_chatwork.waiting.poller.subscription import (
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    SHORTEST_INTERVAL,
    Subscription,
)
from airflow_provider_chatwork.waiting.tasks.status import FINAL_POLL_TIMEOUT

S = TypeVar("S", bound=Subscription)

# How many seconds the first poll may take if the deadline is nearer.
_FIRST_POLL_TIMEOUT = 30.0
# For how many seconds to try to read the connection, and the back-off between the tries, in seconds.
_CONNECTION_TIMEOUT = 600.0
_FIRST_CONNECTION_BACKOFF = 1.0
_LONGEST_CONNECTION_BACKOFF = 60.0


#: How long a connection is cached, in seconds.
CACHE_TTL = 60.0
#: The same for a caller that expects the connection to have changed.
FRESH_TTL = 1.0


@dataclass
class _Entry:
    settings: Settings | None = None
    read_at: float = 0.0
    # It lets one waiting caller continue per turn of the loop, so that thousands of them do not block the loop.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


_cache: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Entry]] = WeakKeyDictionary()


async def get_settings(chatwork_conn_id: str, max_age: float = CACHE_TTL) -> Settings:
    """Return the settings of a connection, read not more than ``max_age`` seconds ago.

    :raises AirflowNotFoundException: the connection does not exist. Errors are not cached.
    """
    loop = asyncio.get_running_loop()
    # A lock that a caller has waited for keeps its loop alive, so closed loops are removed here.
    for closed in [other for other in _cache if other.is_closed()]:
        del _cache[closed]
    entry = _cache.setdefault(loop, {}).setdefault(chatwork_conn_id, _Entry())
    called_at = loop.time()
    async with entry.lock:
        began = loop.time()
        # Callers that waited for the lock use what was read meanwhile.
        if entry.settings is None or called_at - entry.read_at > max_age:
            entry.settings, entry.read_at = await read_settings(chatwork_conn_id), began
        return entry.settings


class ChatworkTrigger(BaseTrigger, abc.ABC, Generic[S]):
    """Wait for people, and yield one event of plain JSON.

    Its ``status`` is one of :class:`~airflow_provider_chatwork.triggers._base.EventStatus`.

    :param chatwork_conn_id: id of the connection.
    :param poke_interval: seconds between two polls, at least 1. All waits on the same room share the polls. The
        interval is longer while the rate limit of the account is not enough for all of them.
    :param deadline: Unix time when the wait ends. It survives a restart of the triggerer.
    :param exponential_backoff: whether to double the interval with each poll.
    :param max_interval: the longest interval of the doubling, in seconds.
    :param silent_fail: whether to go on although Chatwork refuses for good.
    """

    #: The arguments of the constructor. Each is an attribute of the same name, and plain JSON.
    argument_names: ClassVar[tuple[str, ...]] = (
        "chatwork_conn_id",
        "poke_interval",
        "deadline",
        "exponential_backoff",
        "max_interval",
        "silent_fail",
    )

    def __init__(
        self,
        *,
        chatwork_conn_id: str,
        poke_interval: float,
        deadline: float,
        exponential_backoff: bool = False,
        max_interval: float | None = None,
        silent_fail: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's triggers carry no annotations.
        self.chatwork_conn_id = chatwork_conn_id
        self.poke_interval = poke_interval
        self.deadline = deadline
        self.exponential_backoff = exponential_backoff
        self.max_interval = max_interval
        self.silent_fail = silent_fail
        # Seconds between two polls, and the longest of the doubling; ``None`` if intervals are not doubled.
        self.interval = max(poke_interval, SHORTEST_INTERVAL)
        self.longest_interval = (max_interval or float("inf")) if exponential_backoff else None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, from which Airflow makes the trigger again."""
        arguments = {name: getattr(self, name) for name in self.argument_names}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    @abc.abstractmethod
    def subscribe(self, settings: Settings) -> AbstractAsyncContextManager[S]:
        """Return the subscription to wait with."""

    @abc.abstractmethod
    async def on_change(self, subscription: S) -> dict[str, Any] | None:
        """React to a change, and return the event if the wait has ended.

        It is also called at the time of :meth:`next_action_at`. If it raises an error of Chatwork that may pass, it is
        called again after a back-off.
        """

    def next_action_at(self) -> float:
        """Return the Unix time at which to call :meth:`on_change` without a change."""
        return float("inf")

    async def on_timeout(self, subscription: S) -> dict[str, Any]:
        """Return the event of a wait whose deadline has passed."""
        return {"status": EventStatus.TIMEOUT.value}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the event."""
        yield TriggerEvent(await self.wait())

    async def wait(self) -> dict[str, Any]:
        """Wait, and return the event."""
        settings = await self._settings()
        while settings is not None:
            try:
                async with self.subscribe(settings) as subscription:
                    return await self._wait_loop(subscription)
            except ChatworkAuthError as error:
                # A token that was issued again may be in the connection by now.
                newer = await self._settings(FRESH_TTL)
                if newer is not None and newer.token != settings.token:
                    self.log.info("Connection %s has a new token; the wait continues with it", self.chatwork_conn_id)
                elif not self.silent_fail:
                    return error_event(error)
                elif not await self._keep_waiting(error):
                    break
                settings = newer
            except ChatworkError as error:
                return error_event(error)
        return {"status": EventStatus.TIMEOUT.value}

    async def _settings(self, max_age: float = CACHE_TTL) -> Settings | None:
        """Read the connection; ``None`` if it could not be read before the deadline."""
        clock = poller_registry().clock
        now = clock()
        until = min(now + _CONNECTION_TIMEOUT, max(self.deadline, now + _FIRST_POLL_TIMEOUT))
        backoff = _FIRST_CONNECTION_BACKOFF
        while True:
            try:
                return await get_settings(self.chatwork_conn_id, max_age)
            except Exception as error:
                if self.silent_fail:
                    if not await self._keep_waiting(error):
                        return None
                    continue
                left = until - clock()
                # Invalid fields stay invalid. Other errors may be an outage of the API server or of a secrets backend.
                # Airflow may report such an outage as a connection that does not exist.
                if isinstance(error, ChatworkParameterError) or left <= 0:
                    raise
                if backoff == _FIRST_CONNECTION_BACKOFF:
                    message = "Reading connection %s failed; retrying with back-off: %s"
                    self.log.warning(message, self.chatwork_conn_id, error)
                await asyncio.sleep(min(backoff, left))
                backoff = min(backoff * 2, _LONGEST_CONNECTION_BACKOFF)

    async def _keep_waiting(self, error: Exception) -> bool:
        """Log an error and wait for an interval; return whether there is time left."""
        self.log.error(SILENT_FAILURE, self.chatwork_conn_id, error)
        await asyncio.sleep(self._next_interval())
        return poller_registry().clock() < self.deadline

    def _next_interval(self) -> float:
        return max(0.0, min(self.interval, self.deadline - poller_registry().clock()))

    async def _wait_loop(self, subscription: S) -> dict[str, Any]:
        first_poll_until = max(self.deadline, subscription.now() + _FIRST_POLL_TIMEOUT)
        is_first = True
        # When to call `on_change` again after it has failed; `next_action_at` does not count until then.
        retry_at: float | None = None
        backoff = 0.0
        while True:
            event = None
            is_late = subscription.now() >= self.deadline
            try:
                if is_late:
                    # What was done in time counts, also if no triggerer was running then.
                    has_change = await subscription.refresh(FINAL_POLL_TIMEOUT)
                else:
                    action_at = self.next_action_at() if retry_at is None else retry_at
                    until = first_poll_until if is_first else min(self.deadline, action_at)
                    has_change = await subscription.wait_for_change(until)
                is_first = False
                if has_change or subscription.now() >= (self.next_action_at() if retry_at is None else retry_at):
                    event = await self.on_change(subscription)
                    retry_at, backoff = None, 0.0
            except ChatworkError as error:
                if is_transient(error):
                    self.log.warning(
                        "A request for room %s (connection %s) failed; retrying with back-off: %s",
                        *(subscription.room_id, self.chatwork_conn_id, error),
                    )
                    backoff = min(max(2 * backoff, FIRST_BACKOFF), LONGEST_BACKOFF)
                elif self.silent_fail and not isinstance(error, ChatworkAuthError):
                    self.log.error(SILENT_FAILURE, self.chatwork_conn_id, error)
                    backoff = self._next_interval()
                else:
                    raise
                retry_at = subscription.now() + backoff
            if event is not None:
                return event
            if is_late:
                return await self.on_timeout(subscription)


class WorkerWait:
    """Run the wait loop of a trigger in this process, for a task that may not be deferred.

    The loop has a thread of its own: this thread may have a running loop already (``dag.test()`` in a notebook), and
    what a signal handler raises here (Airflow's ``execution_timeout``) must not be swallowed by a callback of the loop.

    :param trigger: the trigger. Its loop runs once.
    """

    def __init__(self, trigger: ChatworkTrigger[Any]) -> None:
        self._trigger = trigger
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._cancelled = threading.Event()

    def run(self) -> dict[str, Any] | None:
        """Wait, and return the event of the trigger; ``None`` after :meth:`cancel`."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="chatwork-wait") as executor:
            try:
                return executor.submit(contextvars.copy_context().run, asyncio.run, self._wait()).result()
            finally:
                self.cancel()

    def cancel(self) -> None:
        """End :meth:`run`, or do not let it begin. Signal handlers and other threads may call it, also repeatedly."""
        if self._cancelled.is_set():
            return
        self._cancelled.set()
        if self._running is not None:
            loop, task = self._running
            # The loop is closed where the wait has just ended.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)

    async def _wait(self) -> dict[str, Any] | None:
        task = asyncio.current_task()
        assert task is not None
        self._running = asyncio.get_running_loop(), task
        if self._cancelled.is_set():
            return None
        try:
            return await self._trigger.wait()
        except asyncio.CancelledError:
            if not self._cancelled.is_set():
                raise
            return None
