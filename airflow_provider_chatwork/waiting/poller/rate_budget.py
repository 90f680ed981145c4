"""How fast an account's waits may look: rules on its budget, without a clock of their own.

The budget (300 requests in 5 minutes) is everybody's who uses the account, and posts of workers are worth more than a
look that could come a little later. So waits leave a fifth of it alone, and where the rest is not enough for all of
them, all of them look more seldom, by the same factor. https://developer.chatwork.com/docs/endpoints
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_chatwork.api.rate_limit import WINDOW, RateLimit, server_time

#: The share of the budget that waits never touch.
RESERVE = 0.2
#: What is taken for the budget until an answer has told it.
REQUESTS = 300
# Chatwork tells its times in whole seconds.
_ROUNDING = 2.0


class Pace:
    """What is left of an account's budget. Times are seconds of any clock that only goes forward.

    It goes by the headers of the last answer, and by its own count where that is higher: the headers are not known to
    count every request at once.
    """

    def __init__(self) -> None:
        self._limit = REQUESTS
        self._remaining = REQUESTS
        self._sent = 0
        self._begun = 0.0
        self._ends: float | None = None
        self._refused_until = 0.0

    def sent(self, now: float) -> None:
        """Count a request that is sent."""
        self._begin_anew_if_over(now)
        if self._ends is None:
            self._begun = now
            self._ends = now + WINDOW
        self._sent += 1

    def answered(self, headers: Mapping[str, str], now: float, unix_now: float) -> None:
        """Read the headers of an answer, which may come without any.

        :param unix_now: the Unix time, for an answer that does not tell its own.
        """
        told = RateLimit.from_headers(headers)
        if told is None or told.limit < 1:
            return
        there = server_time(headers)
        left = told.reset - (unix_now if there is None else there)
        if not -_ROUNDING <= left <= WINDOW + _ROUNDING:
            return
        ends = now + max(left, 0.0)
        if self._ends is None or abs(ends - self._ends) > _ROUNDING:
            self._begun = now
            self._sent = 1
        self._ends = ends
        self._limit = told.limit
        self._remaining = told.remaining

    def refused(self, seconds: float, now: float) -> None:
        """Note a 429 that lasts so many seconds."""
        self._refused_until = max(self._refused_until, now + seconds)

    def pause(self, now: float, is_urgent: bool = False) -> float:
        """How many seconds to wait before the next look may ask anything.

        :param is_urgent: whether it may also take of what waits leave to others.
        """
        pause = self._refused_until - now
        left = self._left(now) + (self._limit * RESERVE if is_urgent else 0)
        if left < 1 and self._ends is not None:
            pause = max(pause, self._ends - now)
        return max(pause, 0.0)

    def stretch(self, demand: float, now: float) -> float:
        """By what factor, 1 or more, to lengthen all intervals.

        :param demand: requests in a second that all waits of the account would make.
        """
        left = max(self._left(now), 1.0)
        return max(1.0, demand * self.rest_of_window(now) / left)

    def usual_stretch(self, demand: float, now: float) -> float:
        """The factor for the whole window, as far as it was seen, which does not swing as that of its rest does."""
        rest = self.rest_of_window(now)
        seen = 0.0 if self._ends is None else now - self._begun
        return max(1.0, demand * (seen + rest) / max(self._left(now) + self._sent, 1.0))

    def rest_of_window(self, now: float) -> float:
        """In how many seconds the budget is a new one."""
        self._begin_anew_if_over(now)
        return WINDOW if self._ends is None else self._ends - now

    def _left(self, now: float) -> float:
        self._begin_anew_if_over(now)
        return min(self._remaining, self._limit - self._sent) - self._limit * RESERVE

    def _begin_anew_if_over(self, now: float) -> None:
        if self._ends is not None and now >= self._ends:
            self._ends = None
            self._sent = 0
            self._remaining = self._limit
