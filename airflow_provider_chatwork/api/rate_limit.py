"""Chatwork's rate limits: what is left of them, and how long a 429 lasts.

There are two limits: 300 requests in 5 minutes for an account, which the headers of every answer show, and 10 messages
and tasks in 10 seconds for a room, which only the error message of a 429 shows.
https://developer.chatwork.com/docs/endpoints
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

#: The window of the account's limit, in seconds. A reset further away comes from a wrong clock.
WINDOW = 300.0
#: The window of a room's limit, in seconds.
ROOM_WINDOW = 10.0
#: Seconds to wait after a 429 of the account's limit without a usable reset time.
DEFAULT_RETRY_AFTER = 30.0
# No count of requests or seconds is as large. Much larger numbers cannot be converted to a float.
_TOO_LARGE = 10**15


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The account's rate limit as of one answer.

    :param limit: requests allowed in the window.
    :param remaining: requests left in the window.
    :param reset: the Unix time, by Chatwork's clock, at which the next window begins.
    """

    limit: int
    remaining: int
    reset: int

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateLimit | None:
        """Parse the three headers of an answer, names in lower case. ``None`` if one is missing or not a number."""
        try:
            numbers = [int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")]
        except (KeyError, ValueError):
            return None
        return cls(*numbers) if max(map(abs, numbers)) < _TOO_LARGE else None


def server_time(headers: Mapping[str, str]) -> float | None:
    """The Unix time by Chatwork's clock, from the ``date`` header. ``None`` if it is missing or invalid."""
    try:
        date = parsedate_to_datetime(headers["date"])
        # The zone `-0000` is parsed as no time zone. It means UTC.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def is_room_limit(errors: Sequence[str]) -> bool:
    """Whether the error messages of a 429 are those of a room's limit."""
    return any("rate limit" in text.lower() and "room" in text.lower() for text in errors)


def seconds_to_wait(headers: Mapping[str, str], errors: Sequence[str], now: float) -> float:
    """Seconds to wait after a 429.

    The headers of a room's 429 describe the account's limit, so they are ignored. The ``date`` of the answer is used
    instead of ``now`` if there is one, because it comes from the same clock as the reset time.
    """
    if is_room_limit(errors):
        return ROOM_WINDOW
    rate_limit = RateLimit.from_headers(headers)
    if rate_limit is None:
        return DEFAULT_RETRY_AFTER
    server_now = server_time(headers)
    seconds = rate_limit.reset - (now if server_now is None else server_now)
    # A reset long ago, or more than a window ahead, comes from a wrong clock.
    return max(seconds, 0.0) if -ROOM_WINDOW <= seconds <= WINDOW else DEFAULT_RETRY_AFTER
