"""What waits share: something of a room that they look at together."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Generic, TypeVar

from airflow_provider_chatwork.api.call import CallFlow

if TYPE_CHECKING:
    from airflow_provider_chatwork.waiting.poller.subscription import Wait

W = TypeVar("W", bound="Wait")

#: How long the first look of a room waits for others that want the same, in seconds.
GATHERING = 0.5
#: The pause after a failed look, which is doubled with each further one, and where the doubling ends, in seconds,
#: however long the interval is: what was missed is a look that was due.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
#: Where the doubling ends while somebody waits for a look, in seconds.
LONGEST_HURRY = 20.0
#: Seconds between two looks where the first has left something.
HURRY = 1.0
# How much the latest look weighs in what looks are expected to cost.
_WEIGHT = 0.3


class Subject(abc.ABC, Generic[W]):
    """Something of a room that waits look at together.

    :param key: what it is; equal ones are looked at once.
    """

    def __init__(self, key: object) -> None:
        self.key = key
        self.waits: set[W] = set()
        #: Those of them that cannot do without a look now.
        self.wanting: set[W] = set()
        #: When the last look began, by the loop's clock.
        self.looked_at: float | None = None
        #: Until when it is left alone, by the loop's clock, whatever the waits want.
        self.not_before = 0.0
        self.looking = False
        #: How many looks in a row failed.
        self.failures = 0
        #: How many requests a look takes.
        self.cost = 1.0
        #: Whether another look is wanted as soon as it can be had.
        self.hurried = False
        self._interval: float | None = None
        self._is_refused = False

    @property
    def interval(self) -> float:
        """Seconds between two looks, as the most impatient of its waits wants it."""
        if self._interval is None:
            self._interval = min(wait.interval for wait in self.waits)
        return self._interval

    @property
    def _hurry(self) -> float:
        # Many may want a look one after the other, and the reserve is to last: an expensive one serves more of them.
        return min(HURRY * max(self.cost, 1.0), LONGEST_HURRY)

    @property
    def rhythm(self) -> float:
        """Seconds between two looks where nothing hurries."""
        return self.interval

    def due(self, stretch: float) -> float:
        """When to look next, by the loop's clock."""
        if self.looked_at is None or self.failures:
            return self.not_before
        return max(self.not_before, self.looked_at + (self._hurry if self.hurried else self.rhythm * stretch))

    def add(self, wait: W, now: float) -> None:
        """Let a wait take part."""
        if not self.waits or self._is_refused:
            # What was refused to others may be possible by now.
            self.not_before = min(self.not_before, now + GATHERING) if self.waits else now + GATHERING
        self.waits.add(wait)
        if self._interval is not None:
            self._interval = min(self._interval, wait.interval)

    def remove(self, wait: W) -> None:
        """Let a wait go."""
        self.waits.discard(wait)
        self.wanting.discard(wait)
        if wait.interval == self._interval:
            self._interval = None

    @abc.abstractmethod
    def look(self) -> CallFlow[None]:
        """Look once. Yields the calls to run."""

    @abc.abstractmethod
    def tell(self) -> None:
        """Tell the waits what was seen."""

    @property
    def seen_since(self) -> float:
        """When the look began that has seen what is known, by the loop's clock."""
        return self.looked_at or 0.0

    def unserved(self) -> set[W]:
        """The waits that the last look has not seen all for, well as it went for others."""
        return set()

    def looked(self, calls: int) -> None:
        """Note that a look went well."""
        self.failures = 0
        self._is_refused = False
        self.cost += (max(calls, 1) - self.cost) * _WEIGHT
        for wait in self.waits - self.unserved():
            wait.looked(self.seen_since)
        self._interval = None
        self.tell()

    def failed(self, error: Exception, now: float) -> None:
        """Note that a look did not tell anything, for a reason that passes; the next one waits longer each time."""
        self.failures += 1
        pause = FIRST_PAUSE * 2.0 ** min(self.failures - 1, 30)
        self.hurried = self.hurried or bool(self.wanting)
        self.not_before = now + min(pause, LONGEST_HURRY if self.wanting else LONGEST_PAUSE)
        if self.failures > 1:
            for wait in self.waits:
                wait.troubled(error)

    def refused(self, error: Exception, now: float) -> None:
        """Note that looking is no use any more. Waits that stay all the same look again as after a failure."""
        self.failures += 1
        self._is_refused = True
        self.not_before = now + self.interval
        for wait in self.waits:
            wait.refused(error)
