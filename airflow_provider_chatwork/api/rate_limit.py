"""How much of the account's budget is left, and how long a refusal for too many requests lasts.

Two limits stand side by side: 300 requests in 5 minutes for an account, told by headers on every answer, and 10
messages and tasks in 10 seconds for a room, told only by the words of its refusal.
https://developer.chatwork.com/docs/endpoints
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

#: Length of the account's window, in seconds; a reset further away than this is a clock gone wrong.
WINDOW = 300.0
#: Length of a room's window, in seconds.
ROOM_WINDOW = 10.0
#: How long to wait, in seconds, where the account's limit refuses without saying until when.
WITHOUT_RESET = 30.0
# Nothing that counts requests or seconds gets here, and far beyond it there are numbers that no float can hold.
_NO_NUMBER = 10**15


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The account's budget as of one answer.

    :param limit: requests allowed in the window.
    :param remaining: requests left in it.
    :param reset: Unix time, by Chatwork's clock, when it starts again.
    """

    limit: int
    remaining: int
    reset: int

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateLimit | None:
        """Read the three headers of an answer, names in lower case; ``None`` where they are missing or no numbers."""
        try:
            numbers = [int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")]
        except (KeyError, ValueError):
            return None
        return cls(*numbers) if max(map(abs, numbers)) < _NO_NUMBER else None


def server_time(headers: Mapping[str, str]) -> float | None:
    """The Unix time by Chatwork's clock, from the ``date`` of an answer."""
    try:
        there = parsedate_to_datetime(headers["date"])
        # A zone of `-0000` is read as none at all, and stands for UTC.
        return (there if there.tzinfo else there.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def is_room_limit(errors: Sequence[str]) -> bool:
    """Whether the words of a 429 are those of the room's limit."""
    return any("rate limit" in text.lower() and "room" in text.lower() for text in errors)


def seconds_to_wait(headers: Mapping[str, str], errors: Sequence[str], now: float) -> float:
    """How long a 429 lasts, in seconds.

    The headers of a room's refusal describe the account's window, so they are no answer there. The ``date`` of the
    answer stands in for ``now`` where it can, as both times then come from one clock.
    """
    if is_room_limit(errors):
        return ROOM_WINDOW
    rate_limit = RateLimit.from_headers(headers)
    if rate_limit is None:
        return WITHOUT_RESET
    there = server_time(headers)
    seconds = rate_limit.reset - (now if there is None else there)
    # A reset that has just passed is over; one long past, or further off than a whole window, says nothing.
    return max(seconds, 0.0) if -ROOM_WINDOW <= seconds <= WINDOW else WITHOUT_RESET
