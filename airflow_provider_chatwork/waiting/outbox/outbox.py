"""The outbox: messages of all subscriptions of an account, of which hundreds may be due in the same second.

Each subscription reserves a slot to post in a room, and goes on waiting until then. One page of messages shows to all
of them what was sent before, and after posting whether another process has sent the same.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from airflow_provider_chatwork.api.call import strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.http import ROOM_WINDOW
from airflow_provider_chatwork.api.messages import list_messages
from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.waiting.outbox.delivery import (
    CLOCK_SKEW,
    DedupKey,
    DeliveryOutcome,
    DeliveryReport,
    OutboxMessage,
    PostResult,
    SentLog,
    delete_duplicate,
    find_sent,
    post,
)
from airflow_provider_chatwork.waiting.poller.account_poller import AccountPoller
from airflow_provider_chatwork.waiting.poller.subscription import LONGEST_BACKOFF, Subscription

# Chatwork takes 10 posts per room in 10 seconds. Some are left to others.
_POSTS_PER_WINDOW = 8
#: Seconds between two slots.
SPACING = 1.2
#: How old a page of messages may be that decides whether to send, in seconds.
MAX_PAGE_AGE = 15.0
# How many seconds to wait for the page that shows whether another process has sent the same message.
_CHECK_TIMEOUT = 30.0
# Timers and clocks are not exact.
_TOLERANCE = 0.05


class OutboxSender:
    """The outbox as one subscription uses it.

    :param subscription: an open one.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._outbox = subscription.poller.attached(AccountOutbox)
        # The reserved slot in each room, by the loop's clock.
        self._slots: dict[int, float] = {}

    def may_send_at(self) -> float:
        """Return the Unix time at which to call :meth:`send`; not in the future if it may be called now."""
        return self._subscription.now() + self._outbox.delay_of_next_post()

    async def send(
        self, message: OutboxMessage, is_still_due: Callable[[], Awaitable[bool]] | None = None
    ) -> DeliveryReport | float:
        """Send a message in a slot of its room, unless it was sent before.

        :param is_still_due: called right before; if it returns ``False``, the next attempt is an interval later.
        :return: the report, or the Unix time at which to call it again with the message as it is by then.
        :raises ChatworkError: an error that may pass.
        """
        while True:
            try:
                result = await self._post(message, is_still_due)
            except ChatworkError as error:
                instead = message.after_error(error)
                if not isinstance(instead, OutboxMessage):
                    return instead
                message = instead
            else:
                return result if isinstance(result, float) else message.report(result)

    async def _post(
        self, message: OutboxMessage, is_still_due: Callable[[], Awaitable[bool]] | None
    ) -> PostResult | float:
        now = self._subscription.now
        room = await self._outbox.room(message.room_id)
        sent = await room.find_sent(message.dedup_key, message.due_at)
        if sent is not None:
            return sent
        slot = self._slots.pop(message.room_id, None)
        if slot is None or room.slot_missed(slot):
            slot = room.reserve_slot()
        if not room.slot_is_open(slot):
            self._slots[message.room_id] = slot
            return now() + slot - asyncio.get_running_loop().time()
        if (delay := self._outbox.budget_delay()) > 0:
            return now() + delay
        result = await room.post(message.dedup_key, message.body, is_still_due)
        return now() + min(self._subscription.interval, LONGEST_BACKOFF) if result is None else result


class AccountOutbox:
    """The outbox of an account, shared by all its subscriptions in an event loop.

    :param poller: the poller of the account. The outbox closes with it.
    """

    def __init__(self, poller: AccountPoller) -> None:
        self.client = poller.paced_client
        self.clock = poller.clock
        self._poller = poller
        self._rooms: dict[int, RoomOutbox] = {}
        self._loop = asyncio.get_running_loop()
        # When the last message was posted, or a subscription was last allowed to post, by the loop's clock.
        self._last_post_at = float("-inf")
        poller.on_close(self._close)

    async def room(self, room_id: int) -> RoomOutbox:
        """Return the outbox of a room."""
        account_id = await self._poller.account_id()
        if room_id not in self._rooms:
            self._rooms[room_id] = RoomOutbox(self, room_id, account_id)
        return self._rooms[room_id]

    def budget_delay(self) -> float:
        """Return how many seconds to wait until the rate budget allows a post."""
        return self._poller.budget.delay(self._loop.time())

    def delay_of_next_post(self) -> float:
        """Return how many seconds to wait before the next attempt to post. 0 takes the place of that attempt.

        Polls keep half of the rate budget, if they need so much.
        """
        now = self._loop.time()
        rate = self._poller.request_rate
        slowdown = self._poller.budget.slowdown(2 * rate, now)
        until_next = self._last_post_at + slowdown / rate - now if slowdown > 1 else 0.0
        delay = max(self._poller.budget.delay(now), until_next, 0.0)
        if delay <= 0:
            # Subscriptions that wake at the same time wait for the next place.
            self._last_post_at = now
        return delay

    def note_post(self) -> None:
        """Note that a message is posted now."""
        self._last_post_at = self._loop.time()

    async def _close(self) -> None:
        checks = [room.duplicate_check for room in self._rooms.values() if room.duplicate_check is not None]
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)


@dataclass(eq=False)
class _Unchecked:
    """A message that another process may have sent, too; ``after`` is the number of the last page requested before."""

    dedup_key: DedupKey
    message_id: str
    after: int
    result: asyncio.Future[PostResult]

    def set_result(self, result: PostResult) -> None:
        if not self.result.done():
            self.result.set_result(result)


class RoomOutbox:
    """The outbox of a room."""

    def __init__(self, outbox: AccountOutbox, room_id: int, account_id: int) -> None:
        self.duplicate_check: asyncio.Task[None] | None = None
        self._outbox = outbox
        self._room_id = room_id
        self._loop = asyncio.get_running_loop()
        self._sent_log = SentLog(account_id)
        self._page_lock = asyncio.Lock()
        self._page: list[Message] = []
        # Pages have numbers: that of the last request, and that of the page here.
        self._last_request = self._page_number = 0
        self._page_at = float("-inf")
        self._is_page_outdated = False
        self._page_error: tuple[ChatworkError, float] | None = None
        self._next_slot = float("-inf")
        self._posted_at: deque[float] = deque(maxlen=_POSTS_PER_WINDOW)
        self._is_posting = False
        self._unchecked: list[_Unchecked] = []
        self._new_page = asyncio.Event()

    async def find_sent(self, dedup_key: DedupKey, since: float) -> PostResult | None:
        """Return the result for a message that is not to be sent; ``None`` for one that is.

        :param since: Unix time before which it cannot have been sent.
        :raises ChatworkError: the messages of the room cannot be read.
        """
        await self._read_page()
        is_complete = self._sent_log.reaches_back(since - CLOCK_SKEW)
        return find_sent(dedup_key, self._sent_log.messages, is_complete=is_complete)

    def reserve_slot(self) -> float:
        """Return the next slot, by the loop's clock. An unused slot does not delay the next one."""
        now = self._loop.time()
        slot = max(now + SPACING if self._is_posting else now, self._next_slot, self._free_at)
        self._next_slot = slot + SPACING
        return slot

    def slot_is_open(self, slot: float) -> bool:
        """Return whether to post now."""
        return not self._is_posting and self._has_come(slot) and self._has_come(self._free_at)

    def slot_missed(self, slot: float) -> bool:
        """Return whether another slot is needed."""
        return self._has_come(slot) and not self.slot_is_open(slot)

    @property
    def _free_at(self) -> float:
        """When Chatwork takes another post in this room."""
        return self._posted_at[0] + ROOM_WINDOW if len(self._posted_at) == _POSTS_PER_WINDOW else float("-inf")

    def _has_come(self, time: float) -> bool:
        return self._loop.time() >= time - _TOLERANCE

    async def post(
        self, dedup_key: DedupKey, body: str, is_still_due: Callable[[], Awaitable[bool]] | None
    ) -> PostResult | None:
        """Post a message that was not sent before.

        :return: the result; ``None`` if it is not due any more.
        :raises ChatworkError: Chatwork refused it.
        """
        self._is_posting = True
        try:
            if is_still_due is not None and not await is_still_due():
                return None
            self._outbox.note_post()
            self._posted_at.append(self._loop.time())
            message_id = await self._post(body)
        finally:
            self._is_posting = False
        if message_id is None:
            return PostResult(DeliveryOutcome.UNKNOWN, None)
        self._sent_log.add(message_id, body, self._outbox.clock(), self._last_request)
        unchecked = _Unchecked(dedup_key, message_id, self._last_request, self._loop.create_future())
        self._unchecked.append(unchecked)
        if self.duplicate_check is None or self.duplicate_check.done():
            # A task of its own, as the subscription may end at any time.
            self.duplicate_check = self._loop.create_task(self._check_duplicates(), context=contextvars.Context())
        await asyncio.wait({unchecked.result}, timeout=_CHECK_TIMEOUT)
        return unchecked.result.result() if unchecked.result.done() else PostResult(DeliveryOutcome.SENT, message_id)

    async def _post(self, body: str) -> str | None:
        may_be_posted = True
        try:
            message_id = await self._outbox.client.run_flow(post(self._room_id, body))
            may_be_posted = message_id is None
        except ChatworkError as error:
            may_be_posted = is_transient(error)
            raise
        finally:
            self._is_page_outdated = self._is_page_outdated or may_be_posted
        return message_id

    async def _read_page(self, after: int = 0) -> None:
        """Read the messages of the room, unless the page here is new enough.

        :param after: the page must have a higher number.
        """
        async with self._page_lock:
            recently = self._loop.time() - MAX_PAGE_AGE
            if self._page_number > after and self._page_at >= recently and not self._is_page_outdated:
                return
            if self._page_error is not None and self._page_error[1] >= recently:
                # All subscriptions raise the same error. Without this its traceback would grow with each of them.
                raise self._page_error[0].with_traceback(None)
            began, self._is_page_outdated = self._loop.time(), False
            self._last_request = number = self._last_request + 1
            try:
                page = await self._outbox.client.run(strict_empty_list(list_messages(self._room_id)))
            except BaseException as error:
                self._is_page_outdated = True
                if isinstance(error, ChatworkError):
                    self._page_error = error, self._loop.time()
                raise
            self._sent_log.add_page(page, number)
            self._page, self._page_number, self._page_at, self._page_error = page, number, began, None
            self._new_page.set()

    async def _check_duplicates(self) -> None:
        try:
            while self._unchecked:
                shown = [message for message in self._unchecked if message.after < self._page_number]
                if not shown:
                    await self._wait_for_page()
                for message in shown:
                    flow = delete_duplicate(self._room_id, message.dedup_key, message.message_id, self._page)
                    message.set_result(await self._outbox.client.run_flow(flow))
                    self._unchecked.remove(message)
        except ChatworkError:
            # The messages were sent. Only duplicates cannot be found.
            pass
        finally:
            for message in self._unchecked:
                message.set_result(PostResult(DeliveryOutcome.SENT, message.message_id))
            self._unchecked.clear()

    async def _wait_for_page(self) -> None:
        """Wait for a page that shows what was sent. The page that the next slot needs is used for this as well."""
        self._new_page.clear()
        last_slot = self._next_slot - SPACING
        if last_slot > self._loop.time():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(self._page_at + MAX_PAGE_AGE, last_slot + SPACING)):
                    await self._new_page.wait()
                return
        await self._read_page(after=min(message.after for message in self._unchecked))
