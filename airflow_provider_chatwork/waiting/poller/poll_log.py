"""The log lines about the polls of one account: slowdown by the rate limit, outage, recovery."""

from __future__ import annotations

import logging
from collections.abc import Hashable

from airflow_provider_chatwork.api.rate_limit import WINDOW

log = logging.getLogger(__name__)

# A slowdown is logged from this factor on, and again when it has grown by the second factor.
_FIRST_SLOWDOWN = 1.25
_NEXT_SLOWDOWN = 2.0


class PollLog:
    """Logs what concerns all subscriptions of an account, each state once. Times are those of the loop's clock.

    :param url: the base URL of the account's connection, to tell accounts apart.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._logged_slowdown = 1.0
        self._slowed_down_at = 0.0
        self._no_pause_before = 0.0
        self._failing: set[Hashable] = set()
        self._failing_since: float | None = None

    def slowdown(self, factor: float, *, is_noticeable: bool, rooms: int, interval: float, now: float) -> None:
        """Log that the rate limit makes polls slower. It is over after a window without a slowdown."""
        logged = self._logged_slowdown
        if is_noticeable:
            self._slowed_down_at = now
        if factor >= (_FIRST_SLOWDOWN if logged == 1 else logged * _NEXT_SLOWDOWN):
            self._logged_slowdown = factor
            log.warning(
                "Rate limit: polling %d rooms of %s %.1fx slower, every %.3g s instead of %.3g s",
                *(rooms, self._url, factor, interval * factor, interval),
            )
        elif logged > 1 and now > self._slowed_down_at + WINDOW:
            self._logged_slowdown = 1.0
            log.info("Rate limit: polling %d rooms of %s at full speed again", rooms, self._url)

    def paused(self, seconds: float, *, rooms: int, now: float) -> None:
        """Log that the rate limit is used up."""
        if now >= self._no_pause_before:
            log.warning(
                "Rate limit: used up except for the reserve; polling %d rooms of %s again in %.0f s",
                *(rooms, self._url, seconds),
            )
            self._no_pause_before = now + 2 * WINDOW

    def failed(self, room_id: int, key: Hashable, error: Exception, now: float) -> None:
        """Log the first failed poll of an outage."""
        self._failing.add(key)
        if self._failing_since is None:
            self._failing_since = now
            log.warning("Polling Chatwork failed; retrying with back-off: room %s of %s: %s", room_id, self._url, error)

    def ended(self, key: Hashable) -> None:
        """Note that a poll that may have failed is not repeated."""
        self._failing.discard(key)

    def succeeded(self, key: Hashable, now: float) -> None:
        """Log the end of an outage, when no room is failing any more."""
        self._failing.discard(key)
        if self._failing_since is not None and not self._failing:
            seconds, self._failing_since = now - self._failing_since, None
            log.info("Polling Chatwork works again after %.0f s (%s)", seconds, self._url)
