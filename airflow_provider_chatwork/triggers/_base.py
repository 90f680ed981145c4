"""What the triggers share: a wait with a deadline, together with all other waits of the triggerer."""

from __future__ import annotations

import abc
import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkError, ChatworkParameterError
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.triggers._connection_cache import CURRENT, LASTING, settings_of
from airflow_provider_chatwork.triggers._event import EventStatus, error_event, new_event
from airflow_provider_chatwork.waiting.poller.registry import accounts
from airflow_provider_chatwork.waiting.poller.room_poller import FIRST_PAUSE, LONGEST_PAUSE
from airflow_provider_chatwork.waiting.poller.subscription import SHORTEST_INTERVAL
from airflow_provider_chatwork.waiting.tasks.status import LAST_LOOK

if TYPE_CHECKING:
    from airflow_provider_chatwork.api.settings import Settings
    from airflow_provider_chatwork.waiting.poller.subscription import Wait

W = TypeVar("W", bound="Wait")

# How long the first look of a wait may take, in seconds, where its deadline is nearer.
_FIRST_LOOK = 30.0
# How long to go on while the connection cannot be read, and how long to wait before the next try, in seconds.
_UNREADABLE = 600.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class ChatworkTrigger(BaseTrigger, abc.ABC, Generic[W]):
    """Wait for people, and yield one event of plain JSON.

    Its ``status`` is one of :class:`~airflow_provider_chatwork.triggers._event.EventStatus`.

    :param chatwork_conn_id: id of the connection.
    :param poke_interval: seconds between two looks, which are shared with all waits on the same room; longer where
        the budget of the account is not enough for all of them.
    :param deadline: Unix time when the wait is over, whatever happened. It survives a restart of the triggerer.
    :param exponential_backoff: whether to double the interval each time.
    :param max_interval: where the doubling ends, in seconds.
    :param silent_fail: whether to go on even where Chatwork refuses for good.
    """

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

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments: all a restarted triggerer has."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments()

    def arguments(self) -> dict[str, Any]:
        """The arguments that make another one, as plain JSON."""
        return {
            "chatwork_conn_id": self.chatwork_conn_id,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
            "exponential_backoff": self.exponential_backoff,
            "max_interval": self.max_interval,
            "silent_fail": self.silent_fail,
        }

    @abc.abstractmethod
    def watch(self, settings: Settings) -> W:
        """Begin to look; the wait is not entered yet."""

    @abc.abstractmethod
    async def attend(self, wait: W) -> dict[str, Any] | None:
        """See to what there is to see to, and return the event where the wait is over.

        Called when there is something new, and when :meth:`attend_at` says so. Errors of Chatwork that pass may come
        out of it; it is called again a while later.
        """

    def attend_at(self) -> float:
        """The Unix time at which :meth:`attend` wants to be called though nothing is new."""
        return float("inf")

    async def give_up(self, wait: W) -> dict[str, Any]:
        """Return the event of a wait whose time is over."""
        return new_event(EventStatus.TIMEOUT)

    @property
    def longest_interval(self) -> float | None:
        """Where the doubling of the intervals ends; ``None`` where they are not doubled."""
        return (self.max_interval or float("inf")) if self.exponential_backoff else None

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the wait is over."""
        yield TriggerEvent(await self.end())

    async def end(self) -> dict[str, Any]:
        """Look until the wait is over, and return the event that says how it ended."""
        settings = await self._settings()
        while settings is not None:
            try:
                async with self.watch(settings) as wait:
                    return await self._end_of(wait)
            except ChatworkAuthError as error:
                # Whoever has re-issued the token may have put the new one into the connection by now.
                newer = await self._settings(CURRENT)
                if newer is not None and newer.token != settings.token:
                    self.log.info("The connection %s has another token by now", self.chatwork_conn_id)
                elif not self.silent_fail:
                    return error_event(error)
                elif not await self._stay(error):
                    break
                settings = newer
            except ChatworkError as error:
                return error_event(error)
        return new_event(EventStatus.TIMEOUT)

    async def _settings(self, max_age: float = LASTING) -> Settings | None:
        """What the connection says; ``None`` where it could not be read up to the deadline."""
        now = accounts().clock()
        until = min(now + _UNREADABLE, max(self.deadline, now + _FIRST_LOOK))
        pause = _FIRST_PAUSE
        while True:
            try:
                return await settings_of(self.chatwork_conn_id, max_age)
            except Exception as error:
                # The connection may have been removed. The worker goes on there, too.
                if self.silent_fail:
                    if not await self._stay(error):
                        return None
                    continue
                left = until - accounts().clock()
                # What it says does not get right by itself. Everything else may be an API server or a secrets backend
                # that is out of order, which Airflow may call a connection that is not there.
                if isinstance(error, ChatworkParameterError) or left <= 0:
                    raise
                if pause == _FIRST_PAUSE:
                    told = "The connection %s cannot be read; the wait goes on for now. %s"
                    self.log.warning(told, self.chatwork_conn_id, error)
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _stay(self, error: Exception) -> bool:
        """Go on in spite of an error, an interval later; ``False`` where the time is over by then."""
        self.log.error("Sensor poke failed: %s", error)
        await asyncio.sleep(self._until_next())
        return accounts().clock() < self.deadline

    def _until_next(self) -> float:
        left = self.deadline - accounts().clock()
        return max(0.0, min(max(self.poke_interval, SHORTEST_INTERVAL), left))

    async def _end_of(self, wait: W) -> dict[str, Any]:
        patience = wait.now() + _FIRST_LOOK
        is_first = True
        # When to attend again where that has failed, whatever else it is time for.
        again_at: float | None = None
        pause = 0.0
        while True:
            event = None
            is_late = wait.now() >= self.deadline
            try:
                if is_late:
                    # What was done in time counts, even where no triggerer was there and the deadline has passed since.
                    seen = await wait.look(LAST_LOOK)
                elif is_first:
                    seen = await wait.news(max(self.deadline, patience))
                else:
                    seen = await wait.news(min(self.deadline, self.attend_at() if again_at is None else again_at))
                is_first = False
                if seen or wait.now() >= (self.attend_at() if again_at is None else again_at):
                    event = await self.attend(wait)
                    again_at, pause = None, 0.0
            except ChatworkError as error:
                if is_transient(error):
                    self.log.warning("Chatwork did not do what was asked; the wait goes on. %s", error)
                    pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
                elif self.silent_fail and not isinstance(error, ChatworkAuthError):
                    self.log.error("Sensor poke failed: %s", error)
                    pause = self._until_next()
                else:
                    raise
                again_at = wait.now() + pause
            if event is not None:
                return event
            if is_late:
                return await self.give_up(wait)


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
            return await self._trigger.end()
        except asyncio.CancelledError:
            if not self._cancelled.is_set():
                raise
            return None
