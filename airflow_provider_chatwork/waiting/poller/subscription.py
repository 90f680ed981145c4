"""What each wait has to itself."""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from airflow_provider_chatwork.api.call import Call, CallFlow
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.waiting.outbox.delivery import Done, Letter
from airflow_provider_chatwork.waiting.outbox.posting import Posted
from airflow_provider_chatwork.waiting.poller.registry import accounts
from airflow_provider_chatwork.waiting.poller.room_poller import LONGEST_PAUSE

if TYPE_CHECKING:
    from airflow_provider_chatwork.api.settings import Settings
    from airflow_provider_chatwork.waiting.poller.room_poller import Subject

T = TypeVar("T")

#: However often a wait may look, the account's budget is shared with everything else that uses it; in seconds.
SHORTEST_INTERVAL = 1.0

_log = logging.getLogger(__name__)


class Log(Protocol):
    """A logger, of the standard library or of Airflow."""

    def warning(self, message: str, /, *values: Any) -> object:
        """Tell what whoever waits should know."""


class Wait(abc.ABC):
    """One wait, as an asynchronous context: inside of it, it takes part in the looks of others.

    :param settings: the connection's.
    :param interval: seconds between two looks.
    :param max_interval: doubles them each time, up to so many.
    :param log: gets what whoever waits should know.
    """

    def __init__(self, settings: Settings, interval: float, max_interval: float | None, log: Log | None) -> None:
        self.interval = max(interval, SHORTEST_INTERVAL)
        self._settings = settings
        self._max_interval = max_interval
        self._log = log or _log
        self._waker: asyncio.Future[None] | None = None
        self._has_news = False
        self._refusal: tuple[Exception, TracebackType | None] | None = None
        self._trouble: Exception | None = None
        self._in_trouble = False
        # False while somebody waits for a look, news or none, that begins at a time of the loop or later.
        self._looked = True
        self._look_wanted_at = 0.0
        self._counted_look: float | None = None
        self._last_look = float("-inf")
        #: The Unix time up to which what is known was true: the beginning of the look that has told it.
        self.seen_at: float | None = None
        # When it has its turn to post, by room and by the loop's clock.
        self._turns: dict[int, float] = {}

    async def __aenter__(self) -> Self:
        self._account = accounts().of(self._settings)
        self._subject = self._account.join(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._account.leave(self, self._subject)

    @property
    @abc.abstractmethod
    def key(self) -> object:
        """What it looks at."""

    @abc.abstractmethod
    def new_subject(self) -> Subject[Any]:
        """What it looks at, where nobody else does yet."""

    def now(self) -> float:
        """The Unix time."""
        return self._account.clock()

    async def run(self, call: Call[T]) -> T:
        """Run an operation with the patience of the connection, and return its result.

        :raises ChatworkError: one of the classes of ``api/errors.py``.
        """
        return await self._account.client.run(call)

    async def run_flow(self, flow: CallFlow[T]) -> T:
        """Run the calls of ``flow`` one after the other, and return its value."""
        return await self._account.client.run_flow(flow)

    def may_post_at(self) -> float:
        """The Unix time at which to ask again for a turn to :meth:`deliver`; not in the future where there is one."""
        return self.now() + self._account.turn_to_post()

    async def deliver(self, letter: Letter, is_true: Callable[[], Awaitable[bool]] | None = None) -> Done | float:
        """Say something, unless it was said before, when it is this wait's turn among all that post in that room.

        :param is_true: asked when the turn has come; where it is not, the wait has another turn an interval later.
        :return: what became of it, or the Unix time at which to call it again, with the letter as it is by then.
        :raises ChatworkError: one that passes.
        """
        while True:
            try:
                posted = await self._post(letter, is_true)
            except ChatworkError as error:
                next_try = letter.failed(error)
                if not isinstance(next_try, Letter):
                    return next_try
                letter = next_try
            else:
                return posted if isinstance(posted, float) else letter.done(posted)

    async def _post(self, letter: Letter, is_true: Callable[[], Awaitable[bool]] | None) -> Posted | float:
        outbox = await self._account.outbox(letter.room_id)
        earlier = await outbox.said_earlier(letter.trace, letter.moment)
        if earlier is not None:
            return earlier
        turn = self._turns.pop(letter.room_id, None)
        if turn is None or outbox.is_missed(turn):
            turn = outbox.turn()
        if not outbox.is_time(turn):
            self._turns[letter.room_id] = turn
            return self.now() + turn - asyncio.get_running_loop().time()
        if (pause := self._account.pause_of_posts()) > 0:
            return self.now() + pause
        posted = await outbox.post(letter.trace, letter.body, is_true)
        return self.now() + min(self.interval, LONGEST_PAUSE) if posted is None else posted

    async def account_id(self) -> int:
        """The account id of the token, which is asked for once."""
        return await self._account.account_id()

    @property
    def look_cost(self) -> float:
        """How many requests a look takes."""
        return self._subject.cost

    async def news(self, until: float) -> bool:
        """Wait until there is something new.

        An outage of Chatwork does not end it; it is one line in the log.

        :param until: the Unix time to wait for at the longest.
        :return: whether there is something new, and not only so much time over.
        :raises ChatworkError: where Chatwork refuses for good. Waiting on is possible, and looks again.
        """
        while True:
            self._log_trouble()
            self._raise_refusal()
            if self._has_news:
                self._has_news = False
                return True
            left = until - self.now()
            if left <= 0:
                return False
            await self._sleep(left)

    async def look(self, within: float, since: float | None = None) -> bool:
        """Have a look taken now, instead of when it is due, and again where it fails.

        It may use the part of the account's budget that other looks leave alone.

        :param within: how many seconds to wait for it.
        :param since: the Unix time since which another one does as well; now if not given.
        :return: whether it was taken, and so whether what is known is true by now.
        :raises ChatworkError: where Chatwork refuses for good.
        """
        began = self.now()
        until = began + within
        age = 0.0 if since is None else max(began - since, 0.0)
        wanted_at = asyncio.get_running_loop().time() - age
        if self._last_look >= wanted_at and since is not None:
            self._raise_refusal()
            return True
        self._looked, self._look_wanted_at = False, wanted_at
        self._account.hurry(self._subject, self)
        try:
            while not self._looked and (left := until - self.now()) > 0:
                self._raise_refusal()
                await self._sleep(left)
        finally:
            self._subject.wanting.discard(self)
        self._raise_refusal()
        return self._looked

    async def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._waker = loop.create_future()
        alarm = loop.call_later(seconds, self._wake) if seconds != float("inf") else None
        try:
            await self._waker
        finally:
            self._waker = None
            if alarm is not None:
                alarm.cancel()

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            (refusal, trace), self._refusal = self._refusal, None
            # It is raised in all waits, and would remember the way through each of them.
            raise refusal.with_traceback(trace)

    def _log_trouble(self) -> None:
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            self._log.warning("Chatwork does not tell how things stand; the wait goes on. %s", trouble)

    def told(self) -> None:
        """Note that there is something new."""
        self._has_news = True
        self._wake()

    def seen(self, since: float) -> None:
        """Note that it is told all that a look has seen that began then, by the loop's clock."""
        self.seen_at = self.now() - (asyncio.get_running_loop().time() - since)

    def looked(self, since: float) -> None:
        """Note that a look went well that began then, by the loop's clock."""
        self._in_trouble = False
        self._last_look = since
        if not self._looked and since >= self._look_wanted_at:
            self._looked = True
            self._wake()
        if self._max_interval is None:
            return
        if self._counted_look is None:
            self._counted_look = since
        # A look that another wait wanted sooner is none of its own; the margin is for timers that are not exact.
        elif since - self._counted_look >= self.interval - SHORTEST_INTERVAL / 2:
            self._counted_look = since
            self.interval = min(self.interval * 2, max(self._max_interval, SHORTEST_INTERVAL))

    def troubled(self, error: Exception) -> None:
        """Note that a look failed. Only the first one after a good one is worth a word."""
        if not self._in_trouble:
            self._in_trouble = True
            self._trouble = error
            self._wake()

    def refused(self, error: Exception) -> None:
        """Note that Chatwork refuses for good."""
        self._refusal = error, error.__traceback__
        self._wake()
