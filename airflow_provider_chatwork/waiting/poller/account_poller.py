"""The waits of one account in one event loop: who is looked at next, and when the budget allows it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.call import Call, HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkRateLimitError
from airflow_provider_chatwork.api.http import api_error
from airflow_provider_chatwork.api.rate_limit import WINDOW
from airflow_provider_chatwork.api.retry import RetryPolicy, is_transient
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.client import AsyncClient, AsyncTransport
from airflow_provider_chatwork.waiting.outbox.outbox import Outbox
from airflow_provider_chatwork.waiting.poller.rate_budget import Pace
from airflow_provider_chatwork.waiting.poller.room_poller import FIRST_PAUSE

if TYPE_CHECKING:
    from airflow_provider_chatwork.waiting.poller.room_poller import Subject
    from airflow_provider_chatwork.waiting.poller.subscription import Wait

T = TypeVar("T")

log = logging.getLogger(__name__)

#: How many rooms are looked at at a time, so that one slow answer does not hold up all the others.
LOOKS_AT_ONCE = 4
# In so many seconds a look that waits for budget finds out that it has become urgent.
_TURN = 5.0
# Less than this is no stretch.
_NOTICEABLE = 1.05
# From here on a stretch is told, and again where it has grown by this factor. It is over after a window without one.
_WORTH_TELLING = 1.25
_ANOTHER = 2.0


class _Looker(AsyncClient):
    """Sends the requests of looks: each once, when the budget allows it, as the next look is the second try."""

    def __init__(self, account: Account, subject: Subject[Any]) -> None:
        super().__init__(account.settings, account.send, policy=RetryPolicy(max_wait=0, tries=1), clock=account.clock)
        self._account = account
        self._subject = subject
        self.calls = 0

    async def run(self, call: Call[T]) -> T:
        await self._account.turn(lambda: bool(self._subject.wanting))
        self.calls += 1
        try:
            return await super().run(call)
        except ChatworkRateLimitError as error:
            # A look may go on in spite of it.
            self._account.refused(error)
            raise


class _Errands(AsyncClient):
    """Sends what many waits want at a time, with the patience of the connection, when the budget allows it."""

    def __init__(self, account: Account, settings: Settings) -> None:
        async def send(request: HttpRequest) -> Response:
            await account.turn()
            response = await account.send(request)
            if response.status == 429:
                error = api_error("", response, account.clock())
                if isinstance(error, ChatworkRateLimitError):
                    account.refused(error)
            return response

        super().__init__(settings, send, clock=account.clock)


class Account:
    """One account of Chatwork, as all its waits in an event loop share it.

    It exists from the first wait that joins to the last that leaves.

    :param settings: the connection's.
    :param transport: sends a request; what has a ``close`` to be awaited is closed when the last wait has left.
    :param clock: the Unix time.
    :param on_empty: called when the last wait has left.
    """

    def __init__(
        self,
        settings: Settings,
        transport: AsyncTransport,
        clock: Callable[[], float],
        on_empty: Callable[[], object],
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.pace = Pace()
        #: Runs what a single wait wants, with the patience of the connection.
        self.client = AsyncClient(settings, self.send, clock=clock)
        #: Runs what many of them may want at a time.
        self.errands: AsyncClient = _Errands(self, settings)
        #: When something was last posted for one of them, by the loop's clock.
        self.posted_at = float("-inf")
        self._outboxes: dict[int, Outbox] = {}
        self._transport = transport
        self._on_empty = on_empty
        self._loop = asyncio.get_running_loop()
        self._subjects: dict[object, Subject[Any]] = {}
        self._server: asyncio.Task[None] | None = None
        self._something_new = asyncio.Event()
        self._me: asyncio.Task[models.Me] | None = None
        self._told_stretch = 1.0
        self._stretched_at = 0.0
        self._pause_quiet_until = 0.0
        self._failing: set[Subject[Any]] = set()
        self._failing_since: float | None = None

    # --- what waits do

    def join(self, wait: Wait) -> Subject[Any]:
        """Let a wait take part, and return what it looks at together with others."""
        subject = self._subjects.get(wait.key)
        is_sooner = subject is None or wait.interval < subject.interval
        if subject is None:
            subject = self._subjects[wait.key] = wait.new_subject()
        subject.add(wait, self._loop.time())
        if self._server is None:
            # Not in the wait's context: what is said for all of them does not belong into the log of one task.
            self._server = self._loop.create_task(self._serve(), context=contextvars.Context())
        # Thousands may join at a time, and few of them change what is next.
        if is_sooner or subject.hurried:
            self._something_new.set()
        return subject

    def hurry(self, subject: Subject[Any], wait: Wait) -> None:
        """Look at something as soon as the budget allows it, in an outage, too, as a wait cannot do without."""
        subject.hurried = True
        subject.wanting.add(wait)
        soon = self._loop.time()
        if subject.failures and subject.looked_at is not None:
            # One look tells all who want one that it fails.
            soon = max(soon, subject.looked_at + FIRST_PAUSE)
        subject.not_before = min(subject.not_before, soon)
        self._something_new.set()

    def leave(self, wait: Wait, subject: Subject[Any]) -> None:
        """Let a wait go. With the last one everything is closed."""
        subject.remove(wait)
        if not subject.waits:
            self._subjects.pop(subject.key, None)
            self._failing.discard(subject)
            self._something_new.set()
        if not self._subjects:
            self._on_empty()

    # --- requests

    async def account_id(self) -> int:
        """The account's id, which is asked for once for all who want to know it."""
        if self._me is None or (self._me.done() and (self._me.cancelled() or self._me.exception() is not None)):
            self._me = self._loop.create_task(self.client.run(get_me()), context=contextvars.Context())
        # One who goes does not take the answer from the others.
        return (await asyncio.shield(self._me))["account_id"]

    async def send(self, request: HttpRequest) -> Response:
        """Send a request, and read from its answer what is left of the budget."""
        self.pace.sent(self._loop.time())
        response = await self._transport(request)
        self.pace.answered(response.headers, self._loop.time(), self.clock())
        return response

    async def turn(self, is_urgent: Callable[[], bool] = lambda: False) -> None:
        """Wait until the budget allows a look to ask something.

        :param is_urgent: whether it may take of what is left to others.
        """
        # Again, as others may have been faster to use what there is.
        while pause := self.pace.pause(self._loop.time(), is_urgent()):  # noqa: ASYNC110
            await asyncio.sleep(min(pause, _TURN))

    def refused(self, error: ChatworkRateLimitError) -> None:
        """Note a 429."""
        if not error.per_room:
            self.pace.refused(error.retry_after, self._loop.time())

    # --- posting

    async def outbox(self, room_id: int) -> Outbox:
        """What is said in a room."""
        me = await self.account_id()
        if room_id not in self._outboxes:
            self._outboxes[room_id] = Outbox(self, room_id, me)
        return self._outboxes[room_id]

    def pause_of_posts(self) -> float:
        """How many seconds to wait before the budget allows a post, by whoever has a turn."""
        return self.pace.pause(self._loop.time())

    def turn_to_post(self) -> float:
        """How many seconds to wait before asking for a turn to post again; 0 gives one.

        Looks keep half of what is left of the budget, where they need so much.
        """
        now = self._loop.time()
        demand = self._demand()
        stretch = self.pace.stretch(2 * demand, now)
        evenly = self.posted_at + stretch / demand - now if stretch > 1 else 0.0
        pause = max(self.pace.pause(now), evenly, 0.0)
        if pause <= 0:
            # Whoever else wakes now is to wait for the next one, before it has asked anything.
            self.posted_at = now
        return pause

    # --- looking

    async def _serve(self) -> None:
        looks: set[asyncio.Task[None]] = set()

        def over(look: asyncio.Task[None]) -> None:
            # Not before it is one look less: looks may end all at once, and nothing else need happen ever after.
            looks.discard(look)
            self._something_new.set()

        try:
            while self._subjects:
                self._something_new.clear()
                subject, seconds = self._next()
                if subject is None or (len(looks) >= LOOKS_AT_ONCE and not subject.wanting):
                    await self._something_new.wait()
                elif seconds > 0:
                    await self._something_new_within(seconds)
                else:
                    subject.looking = True
                    look = asyncio.create_task(self._look(subject))
                    looks.add(look)
                    look.add_done_callback(over)
        except Exception as error:
            # Nobody would look any more, and nobody would know.
            log.exception("Waiting has failed, by a fault of this provider")
            self._on_empty()
            for subject in self._subjects.values():
                subject.refused(error, self._loop.time())
        finally:
            alone = [self._me, *(outbox.checker for outbox in self._outboxes.values())]
            under_way = [*looks, *(task for task in alone if task is not None)]
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            close = getattr(self._transport, "close", None)
            if close is not None:
                await close()

    async def _something_new_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._something_new.wait()

    def _next(self) -> tuple[Subject[Any] | None, float]:
        """What to look at next, and in how many seconds."""
        idle = [subject for subject in self._subjects.values() if not subject.looking]
        if not idle:
            return None, 0.0
        now = self._loop.time()
        stretch = self._stretch(now)
        # Who has waited the longest comes first, so that a budget that is not enough for all is shared by all.
        subject = min(idle, key=lambda subject: subject.due(stretch))
        seconds = subject.due(stretch) - now
        if stretch > 1:
            seconds = min(seconds, self.pace.rest_of_window(now))
        pause = self.pace.pause(now)
        if pause and (wanted := [subject for subject in idle if subject.wanting]):
            subject = min(wanted, key=lambda subject: subject.due(stretch))
            seconds, pause = subject.due(stretch) - now, self.pace.pause(now, is_urgent=True)
        if pause > min(subject.interval for subject in self._subjects.values()):
            self._tell_pause(pause, now)
        return subject, max(seconds, pause, 0.0)

    def _stretch(self, now: float) -> float:
        demand = self._demand()
        stretch = self.pace.stretch(demand, now)
        self._tell_stretch(self.pace.usual_stretch(demand, now), now)
        return stretch if stretch >= _NOTICEABLE else 1.0

    def _demand(self) -> float:
        """Requests in a second that all looks would make."""
        return sum(subject.cost / subject.rhythm for subject in self._subjects.values())

    async def _look(self, subject: Subject[Any]) -> None:
        looker = _Looker(self, subject)
        subject.looked_at = self._loop.time()
        subject.hurried = False
        try:
            await looker.run_flow(subject.look())
            subject.looked(looker.calls)
            self._tell_recovery(subject)
        # Whoever waits hears of a fault of ours, too, instead of waiting for ever.
        except Exception as error:
            self._failed(subject, error)
        finally:
            subject.looking = False

    def _failed(self, subject: Subject[Any], error: Exception) -> None:
        now = self._loop.time()
        if not subject.waits:
            return
        if is_transient(error):
            self._tell_failure(subject, error, now)
            subject.failed(error, now)
        else:
            self._failing.discard(subject)
            subject.refused(error, now)

    # --- the log

    def _tell_stretch(self, stretch: float, now: float) -> None:
        told = self._told_stretch
        if stretch >= _NOTICEABLE:
            self._stretched_at = now
        if stretch >= (_WORTH_TELLING if told == 1 else told * _ANOTHER):
            self._told_stretch = stretch
            shortest = min(subject.interval for subject in self._subjects.values())
            log.warning(
                "The budget of the Chatwork account is not enough for all waits (%d rooms): intervals are "
                "%.1f times as long, %.3g s instead of %.3g s",
                *(len(self._subjects), stretch, shortest * stretch, shortest),
            )
        elif told > 1 and now > self._stretched_at + WINDOW:
            self._told_stretch = 1.0
            log.info("The budget of the Chatwork account is enough for all waits again")

    def _tell_pause(self, pause: float, now: float) -> None:
        if now >= self._pause_quiet_until:
            log.warning(
                "The budget of the Chatwork account is used up but for what is left to others; "
                "all that is waited for is looked at again in %.0f s",
                pause,
            )
            self._pause_quiet_until = now + 2 * WINDOW

    def _tell_failure(self, subject: Subject[Any], error: Exception, now: float) -> None:
        self._failing.add(subject)
        if self._failing_since is None:
            self._failing_since = now
            log.warning("Chatwork does not tell how things stand; all waits go on, less and less often. %s", error)

    def _tell_recovery(self, subject: Subject[Any]) -> None:
        self._failing.discard(subject)
        if self._failing_since is not None and not self._failing:
            seconds, self._failing_since = self._loop.time() - self._failing_since, None
            log.info("Chatwork tells how things stand again, after %.0f s", seconds)
