"""The rate limit of one account, and how fast its polls may be.

Chatwork allows 300 requests in 5 minutes per account. Posts of workers use the same limit and matter more than a poll
that could be a little later. So polls leave a fifth of it unused. Where the rest is not enough for all of them, all
intervals become longer by the same factor. https://developer.chatwork.com/docs/endpoints
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkRateLimitError
from airflow_provider_chatwork.api.http import WINDOW, RateLimit, api_error, server_time
from airflow_provider_chatwork.client import AsyncTransport

#: The share of the limit that polls leave to others.
RESERVE = 0.2
#: The limit before the first answer, in requests per window.
DEFAULT_LIMIT = 300
# Chatwork's times are whole seconds.
_ROUNDING = 2.0


@dataclass
class RateBudget:
    """What is left of the rate limit of an account. Times are seconds of any clock that only goes forward.

    It takes the lower of two figures: the header of the last answer, and the limit less the requests counted here. The
    headers may not count every request at once.
    """

    _limit: int = DEFAULT_LIMIT
    _remaining: int = DEFAULT_LIMIT
    _sent: int = 0
    _window_began_at: float = 0.0
    _window_ends_at: float | None = None
    _limited_until: float = 0.0

    def request_sent(self, now: float) -> None:
        """Count a request."""
        self.window_remaining(now)
        if self._window_ends_at is None:
            self._window_began_at = now
            self._window_ends_at = now + WINDOW
        self._sent += 1

    def response_received(self, headers: Mapping[str, str], now: float, unix_now: float) -> None:
        """Read the rate limit headers of an answer, if it has any.

        :param unix_now: the Unix time, for an answer without a ``date`` header.
        """
        limit = RateLimit.from_headers(headers)
        if limit is None or limit.limit < 1:
            return
        server_now = server_time(headers)
        left = limit.reset - (unix_now if server_now is None else server_now)
        if not -_ROUNDING <= left <= WINDOW + _ROUNDING:
            return
        ends_at = now + max(left, 0.0)
        if self._window_ends_at is None or abs(ends_at - self._window_ends_at) > _ROUNDING:
            self._window_began_at = now
            self._sent = 1
        self._window_ends_at = ends_at
        self._limit = limit.limit
        self._remaining = limit.remaining

    def rate_limited(self, seconds: float, now: float) -> None:
        """Note a 429 that lasts for a number of seconds."""
        self._limited_until = max(self._limited_until, now + seconds)

    def delay(self, now: float, is_urgent: bool = False) -> float:
        """Return how many seconds to wait before the next request.

        :param is_urgent: whether the request may use the share that polls leave to others.
        """
        delay = self._limited_until - now
        left = self._left(now) + (self._limit * RESERVE if is_urgent else 0)
        if left < 1 and self._window_ends_at is not None:
            delay = max(delay, self._window_ends_at - now)
        return max(delay, 0.0)

    def slowdown(self, request_rate: float, now: float) -> float:
        """Return the factor, 1 or more, by which intervals have to be longer.

        :param request_rate: requests per second that all polls of the account would make.
        """
        left = max(self._left(now), 1.0)
        return max(1.0, request_rate * self.window_remaining(now) / left)

    def average_slowdown(self, request_rate: float, now: float) -> float:
        """Return the factor over the whole window, for the log. It is steadier than :meth:`slowdown`."""
        remaining = self.window_remaining(now)
        elapsed = 0.0 if self._window_ends_at is None else now - self._window_began_at
        return max(1.0, request_rate * (elapsed + remaining) / max(self._left(now) + self._sent, 1.0))

    def window_remaining(self, now: float) -> float:
        """Return in how many seconds the window ends. After its end the next one begins with the next request."""
        if self._window_ends_at is not None and now >= self._window_ends_at:
            self._window_ends_at = None
            self._sent = 0
            self._remaining = self._limit
        return WINDOW if self._window_ends_at is None else self._window_ends_at - now

    def _left(self, now: float) -> float:
        self.window_remaining(now)
        return min(self._remaining, self._limit - self._sent) - self._limit * RESERVE


# A poll that waits for budget may become urgent. It checks that after so many seconds.
_RECHECK = 5.0


@dataclass
class PacedTransport:
    """Send each request when the rate budget allows it, and note every 429.

    :param send: sends a request at once.
    :param budget: the rate budget of the account.
    :param clock: returns the Unix time.
    :param is_urgent: whether a request may use the share that polls leave to others.
    :param requests: how many requests were sent.
    """

    send: AsyncTransport
    budget: RateBudget
    clock: Callable[[], float]
    is_urgent: Callable[[], bool] = lambda: False
    requests: int = 0

    async def __call__(self, request: HttpRequest) -> Response:
        """Wait for budget, and send a request."""
        loop = asyncio.get_running_loop()
        # Another request may have used the budget meanwhile, so the delay is computed again.
        while delay := self.budget.delay(loop.time(), self.is_urgent()):  # noqa: ASYNC110
            await asyncio.sleep(min(delay, _RECHECK))
        self.requests += 1
        response = await self.send(request)
        if response.status == 429:
            error = api_error("", response, self.clock())
            if isinstance(error, ChatworkRateLimitError) and not error.per_room:
                self.budget.rate_limited(error.retry_after, loop.time())
        return response


log = logging.getLogger(__name__)

# A slowdown is logged from this factor on, and again when it has grown by the second factor.
_FIRST_SLOWDOWN = 1.25
_NEXT_SLOWDOWN = 2.0


@dataclass
class PollLog:
    """Logs what concerns all subscriptions of an account, each state once. Times are those of the loop's clock.

    :param url: the base URL of the account's connection, to tell accounts apart.
    :param failing: what is polled for without success.
    """

    url: str
    failing: set[Hashable] = field(default_factory=set)
    logged_slowdown: float = 1.0
    _slowed_down_at: float = 0.0
    _no_pause_before: float = 0.0
    failing_since: float | None = None

    def slowdown(self, factor: float, *, is_noticeable: bool, rooms: int, interval: float, now: float) -> None:
        """Log that the rate limit makes polls slower. It is over after a window without a slowdown."""
        logged = self.logged_slowdown
        if is_noticeable:
            self._slowed_down_at = now
        if factor >= (_FIRST_SLOWDOWN if logged == 1 else logged * _NEXT_SLOWDOWN):
            self.logged_slowdown = factor
            log.warning(
                "Rate limit: polling %d rooms of %s %.1fx slower, every %.3g s instead of %.3g s",
                *(rooms, self.url, factor, interval * factor, interval),
            )
        elif logged > 1 and now > self._slowed_down_at + WINDOW:
            self.logged_slowdown = 1.0
            log.info("Rate limit: polling %d rooms of %s at full speed again", rooms, self.url)

    def paused(self, seconds: float, *, rooms: int, now: float) -> None:
        """Log that the rate limit is used up."""
        if now >= self._no_pause_before:
            log.warning(
                "Rate limit: used up except for the reserve; polling %d rooms of %s again in %.0f s",
                *(rooms, self.url, seconds),
            )
            self._no_pause_before = now + 2 * WINDOW

    def failed(self, room_id: int, key: Hashable, error: Exception, now: float) -> None:
        """Log the first failed poll of an outage."""
        self.failing.add(key)
        if self.failing_since is None:
            self.failing_since = now
            log.warning("Polling Chatwork failed; retrying with back-off: room %s of %s: %s", room_id, self.url, error)

    def succeeded(self, key: Hashable, now: float) -> None:
        """Log the end of an outage, when no room is failing any more."""
        self.failing.discard(key)
        if self.failing_since is not None and not self.failing:
            seconds, self.failing_since = now - self.failing_since, None
            log.info("Polling Chatwork works again after %.0f s (%s)", seconds, self.url)
