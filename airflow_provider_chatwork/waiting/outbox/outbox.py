"""What all waits of one account have to say in one room: hundreds of reminders may be due in one and the same second.

Each wait gets a turn to post, and goes on waiting until then. One page of messages tells all of them what was said
before, and shows afterwards whether another process was at it, too.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_chatwork.api.call import strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.messages import list_messages
from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.api.rate_limit import ROOM_WINDOW
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.waiting.outbox.dedup_key import Trace
from airflow_provider_chatwork.waiting.outbox.posting import SKEW, Posted, left_alone, post, said_earlier
from airflow_provider_chatwork.waiting.outbox.sent_log import Record

if TYPE_CHECKING:
    from airflow_provider_chatwork.waiting.poller.account_poller import Account

# How many posts there are in a room at most while Chatwork takes 10: some are left to others.
_IN_WINDOW = 8
#: Seconds between two turns.
SPACING = 1.2
#: How old a look may be that somebody is reminded by, in seconds.
LOOK_AGE = 15.0
# How long to wait for the look that shows whether another process has posted it, too, in seconds.
_PATIENCE = 30.0
# Timers and clocks are not exact.
_EARLY = 0.05


@dataclass(eq=False)
class _Sent:
    """A message that may be there twice, and the number of the last look that had begun before."""

    trace: Trace
    message_id: str
    after: int
    checked: asyncio.Future[Posted]

    def settle(self, posted: Posted) -> None:
        if not self.checked.done():
            self.checked.set_result(posted)


class Outbox:
    """What is said in one room.

    :param account: says it.
    :param room_id: the room.
    :param me: the id of the account.
    """

    def __init__(self, account: Account, room_id: int, me: int) -> None:
        self._account = account
        self._room_id = room_id
        self._me = me
        self._loop = asyncio.get_running_loop()
        self._record = Record(me)
        self._looking = asyncio.Lock()
        self._page: list[Message] = []
        # The number of the look that is begun, and of the one that the page is from.
        self._look = self._page_look = 0
        self._looked_at = float("-inf")
        self._is_in_doubt = False
        self._failure: tuple[ChatworkError, float] | None = None
        self._next_turn = float("-inf")
        self._posted_at: deque[float] = deque(maxlen=_IN_WINDOW)
        self._is_busy = False
        self._unchecked: list[_Sent] = []
        self._new_page = asyncio.Event()
        self.checker: asyncio.Task[None] | None = None

    async def said_earlier(self, trace: Trace, since: float) -> Posted | None:
        """What there is to say of a message without sending it; ``None`` where it is to be sent.

        :param since: Unix time before which it cannot have been sent.
        :raises ChatworkError: where the room does not tell.
        """
        await self._have_page()
        is_whole = self._record.reaches_back(since - SKEW)
        return said_earlier(trace, self._record.messages, is_whole=is_whole)

    def turn(self) -> float:
        """A turn to post, by the loop's clock, perhaps now. One that is not used is lost, and disturbs nobody."""
        now = self._loop.time()
        turn = max(now + SPACING if self._is_busy else now, self._next_turn, self._free_at)
        self._next_turn = turn + SPACING
        return turn

    def is_time(self, turn: float) -> bool:
        """Whether a turn has come, and is not too soon after those of others who were slow."""
        return not self._is_busy and self._has_come(turn) and self._has_come(self._free_at)

    def is_missed(self, turn: float) -> bool:
        """Whether another turn is needed."""
        return self._has_come(turn) and not self.is_time(turn)

    @property
    def _free_at(self) -> float:
        """When the room takes another post, after those of turns that were late."""
        return self._posted_at[0] + ROOM_WINDOW if len(self._posted_at) == _IN_WINDOW else float("-inf")

    def _has_come(self, moment: float) -> bool:
        return self._loop.time() >= moment - _EARLY

    async def post(self, trace: Trace, body: str, is_true: Callable[[], Awaitable[bool]] | None) -> Posted | None:
        """Post a message that was not said earlier.

        :param is_true: asked right before.
        :return: what became of it; ``None`` where it is not true.
        :raises ChatworkError: where Chatwork does not take it.
        """
        self._is_busy = True
        try:
            if is_true is not None and not await is_true():
                return None
            self._account.posted_at = self._loop.time()
            self._posted_at.append(self._account.posted_at)
            message_id = await self._send(body)
        finally:
            self._is_busy = False
        if message_id is None:
            return Posted("unknown", None)
        self._record.add(message_id, body, self._account.clock(), self._look)
        sent = _Sent(trace, message_id, self._look, self._loop.create_future())
        self._unchecked.append(sent)
        if self.checker is None or self.checker.done():
            # Not the business of one wait only, which may go at any time.
            self.checker = self._loop.create_task(self._check(), context=contextvars.Context())
        await asyncio.wait({sent.checked}, timeout=_PATIENCE)
        return sent.checked.result() if sent.checked.done() else Posted("sent", message_id)

    async def _send(self, body: str) -> str | None:
        is_in_doubt = True
        try:
            message_id = await self._account.errands.run_flow(post(self._room_id, body))
            is_in_doubt = message_id is None
        except ChatworkError as error:
            is_in_doubt = is_transient(error)
            raise
        finally:
            # It may be there all the same, unless Chatwork refused it.
            self._is_in_doubt = self._is_in_doubt or is_in_doubt
        return message_id

    async def _have_page(self, after: int = 0) -> None:
        """Have a page that is not old.

        :param after: the number of a look that it has to be later than.
        """
        async with self._looking:
            recently = self._loop.time() - LOOK_AGE
            if self._page_look > after and self._looked_at >= recently and not self._is_in_doubt:
                return
            if self._failure is not None and self._failure[1] >= recently:
                # It is raised in all waits, and would remember the way through each of them.
                raise self._failure[0].with_traceback(None)
            began, self._is_in_doubt = self._loop.time(), False
            self._look = look = self._look + 1
            try:
                page = await self._account.errands.run(strict_empty_list(list_messages(self._room_id)))
            except BaseException as error:
                self._is_in_doubt = True
                if isinstance(error, ChatworkError):
                    self._failure = error, self._loop.time()
                raise
            self._record.add_page(page, look)
            self._page, self._page_look, self._looked_at, self._failure = page, look, began, None
            self._new_page.set()

    async def _check(self) -> None:
        try:
            while self._unchecked:
                seen = [sent for sent in self._unchecked if sent.after < self._page_look]
                if not seen:
                    await self._next_page()
                for sent in seen:
                    steps = left_alone(self._room_id, sent.trace, sent.message_id, self._page)
                    sent.settle(await self._account.errands.run_flow(steps))
                    self._unchecked.remove(sent)
        except ChatworkError:
            # They were sent, and that is what matters.
            pass
        finally:
            for sent in self._unchecked:
                sent.settle(Posted("sent", sent.message_id))
            self._unchecked.clear()

    async def _next_page(self) -> None:
        """Wait for a page that shows what was sent; the one that the next to post want does for this, too."""
        self._new_page.clear()
        last_turn = self._next_turn - SPACING
        if last_turn > self._loop.time():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(self._looked_at + LOOK_AGE, last_turn + SPACING)):
                    await self._new_page.wait()
                return
        await self._have_page(after=min(sent.after for sent in self._unchecked))
