"""The rate limit of one account, and how fast its polls may be.

Chatwork allows 300 requests in 5 minutes per account. Posts of workers use the same limit and matter more than a poll
that could be a little later. So polls leave a fifth of it unused. Where the rest is not enough for all of them, all
intervals become longer by the same factor. https://developer.chatwork.com/docs/endpoints
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_chatwork.api.rate_limit import WINDOW, RateLimit, server_time

#: The share of the limit that polls leave to others.
RESERVE = 0.2
#: The limit before the first answer, in requests per window.
DEFAULT_LIMIT = 300
# Chatwork's times are whole seconds.
_ROUNDING = 2.0


class RateBudget:
    """What is left of the rate limit of an account. Times are seconds of any clock that only goes forward.

    It takes the lower of two figures: the header of the last answer, and the limit less the requests counted here. The
    headers may not count every request at once.
    """

    def __init__(self) -> None:
        self._limit = DEFAULT_LIMIT
        self._remaining = DEFAULT_LIMIT
        self._sent = 0
        self._window_began_at = 0.0
        self._window_ends_at: float | None = None
        self._limited_until = 0.0

    def request_sent(self, now: float) -> None:
        """Count a request."""
        self._reset_after_window(now)
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
        """Return in how many seconds the window ends."""
        self._reset_after_window(now)
        return WINDOW if self._window_ends_at is None else self._window_ends_at - now

    def _left(self, now: float) -> float:
        self._reset_after_window(now)
        return min(self._remaining, self._limit - self._sent) - self._limit * RESERVE

    def _reset_after_window(self, now: float) -> None:
        if self._window_ends_at is not None and now >= self._window_ends_at:
            self._window_ends_at = None
            self._sent = 0
            self._remaining = self._limit
