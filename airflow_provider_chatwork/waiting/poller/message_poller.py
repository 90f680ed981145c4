"""Polls for the newest messages of a room."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.messages import list_messages
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.waiting.poller.account_poller import Subscribing
from airflow_provider_chatwork.waiting.poller.subscription import Log, RoomPoller, Subscription


class MessageSubscription(Subscription):
    """A wait for messages."""

    def __init__(self, room_id: int | str, interval: float, max_interval: float | None, log: Log | None) -> None:
        super().__init__(room_id, interval, max_interval, log)
        #: The newest messages of the room, oldest first, at most 100; empty before the first poll.
        self.page: list[models.Message] = []


class MessagePoller(RoomPoller[MessageSubscription]):
    """Polls for the newest messages of a room."""

    def __init__(self, room_id: int) -> None:
        super().__init__(room_id)
        self._page: list[models.Message] | None = None
        self._to_notify: set[MessageSubscription] = set()

    def add(self, subscription: MessageSubscription, now: float) -> None:
        """Add a subscription. It waits for the next poll, as messages may have been edited since the last one."""
        super().add(subscription, now)
        self._to_notify.add(subscription)

    def remove(self, subscription: MessageSubscription) -> None:
        """Remove a subscription."""
        super().remove(subscription)
        self._to_notify.discard(subscription)

    def poll(self) -> CallFlow[None]:
        """Poll once."""
        page = yield strict_empty_list(list_messages(self.room_id))
        if page != self._page:
            self._page = page
            self._to_notify |= self.subscriptions

    def notify(self) -> None:
        """Give the page to the subscriptions that do not have it."""
        while self._page is not None and self._to_notify:
            subscription = self._to_notify.pop()
            subscription.page = self._page
            subscription.notify()


def subscribe_messages(
    settings: Settings,
    room_id: int | str,
    *,
    interval: float = 60.0,
    max_interval: float | None = None,
    log: Log | None = None,
) -> AbstractAsyncContextManager[MessageSubscription]:
    """Subscribe to messages of a room. The parameters are those of :func:`subscribe_tasks`."""
    return Subscribing(settings, MessageSubscription(room_id, interval, max_interval, log), MessagePoller)
