"""What the subscriptions of one room share: one kind of poll, its result, and when the next one is due."""

from __future__ import annotations

import abc
from typing import Generic, TypeVar

from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.waiting.poller.subscription import Subscription

S = TypeVar("S", bound=Subscription)

#: How many seconds the first poll of a room waits for further subscriptions.
GATHERING = 0.5
#: Back-off after a failed poll, in seconds, whatever the interval is. It doubles with each failure up to the longest.
FIRST_BACKOFF = 5.0
LONGEST_BACKOFF = 300.0
#: The longest back-off while a subscription waits for a poll.
LONGEST_URGENT_BACKOFF = 20.0
#: Seconds between a poll and another one that is requested at once, for each request of a poll.
URGENT_SPACING = 1.0
# The weight of the latest poll in the average cost.
_WEIGHT = 0.3


class RoomPoller(abc.ABC, Generic[S]):
    """One kind of poll of one room. The times are those of the loop's clock.

    :param room_id: the room.
    """

    def __init__(self, room_id: int) -> None:
        self.room_id = room_id
        self.subscriptions: set[S] = set()
        #: The subscriptions that wait for a poll now.
        self.waiting_for_poll: set[S] = set()
        #: When the last poll began.
        self.polled_at: float | None = None
        #: The earliest time of the next poll, after a failure.
        self.not_before = 0.0
        self.is_polling = False
        #: How many polls in a row failed.
        self.failures = 0
        #: How many requests a poll takes on average.
        self.poll_cost = 1.0
        #: Whether another poll is wanted as soon as possible.
        self.poll_now = False
        self._interval: float | None = None
        self._is_rejected = False

    @property
    def interval(self) -> float:
        """The shortest interval of the subscriptions, in seconds."""
        if self._interval is None:
            self._interval = min(subscription.interval for subscription in self.subscriptions)
        return self._interval

    @property
    def interval_between_polls(self) -> float:
        """Seconds between two polls when nothing is urgent."""
        return self.interval

    @property
    def _urgent_spacing(self) -> float:
        # Expensive polls have more space, so that the reserve of the rate budget lasts.
        return min(URGENT_SPACING * max(self.poll_cost, 1.0), LONGEST_URGENT_BACKOFF)

    def due_at(self, slowdown: float) -> float:
        """Return when the next poll is due."""
        if self.polled_at is None or self.failures:
            return self.not_before
        interval = self._urgent_spacing if self.poll_now else self.interval_between_polls * slowdown
        return max(self.not_before, self.polled_at + interval)

    def add(self, subscription: S, now: float) -> None:
        """Add a subscription."""
        if not self.subscriptions:
            self.not_before = now + GATHERING
        elif self._is_rejected:
            # What was refused before may be possible by now.
            self.not_before = min(self.not_before, now + GATHERING)
        self.subscriptions.add(subscription)
        if self._interval is not None:
            self._interval = min(self._interval, subscription.interval)

    def remove(self, subscription: S) -> None:
        """Remove a subscription."""
        self.subscriptions.discard(subscription)
        self.waiting_for_poll.discard(subscription)
        if subscription.interval == self._interval:
            self._interval = None

    @abc.abstractmethod
    def poll(self) -> CallFlow[None]:
        """Poll once."""

    @abc.abstractmethod
    def notify(self) -> None:
        """Give the subscriptions what the last poll has read."""

    @property
    def data_since(self) -> float:
        """When the poll began that has read all that is known."""
        return self.polled_at or 0.0

    def not_covered(self) -> set[S]:
        """Return the subscriptions for which the last poll has not read everything."""
        return set()

    def poll_succeeded(self, requests: int) -> None:
        """Note that a poll succeeded, and notify the subscriptions."""
        self.failures = 0
        self._is_rejected = False
        self.poll_cost += (max(requests, 1) - self.poll_cost) * _WEIGHT
        for subscription in self.subscriptions - self.not_covered():
            subscription.poll_succeeded(self.data_since)
        self._interval = None
        self.notify()

    def poll_failed(self, error: Exception, now: float) -> None:
        """Note that a poll failed with an error that may pass. Back-off doubles with each failure."""
        self.failures += 1
        backoff = FIRST_BACKOFF * 2.0 ** min(self.failures - 1, 30)
        self.poll_now = self.poll_now or bool(self.waiting_for_poll)
        self.not_before = now + min(backoff, LONGEST_URGENT_BACKOFF if self.waiting_for_poll else LONGEST_BACKOFF)
        if self.failures > 1:
            for subscription in self.subscriptions:
                subscription.poll_failed(error)

    def poll_rejected(self, error: Exception, now: float) -> None:
        """Note that Chatwork refused for good. Subscriptions that stay are polled for again after an interval."""
        self.failures += 1
        self._is_rejected = True
        self.not_before = now + self.interval
        for subscription in self.subscriptions:
            subscription.reject(error)
