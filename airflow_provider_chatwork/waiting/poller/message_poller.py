"""Polls for the newest messages of a room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.messages import list_messages
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.waiting.poller.account_poller import poller_registry
from airflow_provider_chatwork.waiting.poller.subscription import Log, RoomPoller, Subscription


class MessageSubscription(Subscription):
    """A wait for messages."""

    #: The newest messages of the room, oldest first, at most 100; empty before the first poll.
    page: Sequence[models.Message] = ()


class MessagePoller(RoomPoller[MessageSubscription]):
    """Polls for the newest messages of a room."""

    _page: Sequence[models.Message] = ()

    def poll(self) -> CallFlow[None]:
        """Poll once."""
        page = yield replace(list_messages(self.room_id), empty_list_only_on_204=True)
        if page != self._page:
            self._page = page

    def notify(self) -> None:
        """Give the page to the subscriptions that do not have it."""
        for subscription in self.subscriptions:
            if subscription.page is not self._page:
                subscription.page = self._page
                subscription.notify()


def subscribe_messages(
    settings: Settings,
    room_id: int | str,
    *,
    interval: float = 60.0,
    max_interval: float | None = None,
    log: Log | None = None,
) -> MessageSubscription:
    """Subscribe to messages of a room. The parameters are those of :func:`subscribe_tasks`."""
    subscription = MessageSubscription(room_id, interval, max_interval, log)
    subscription.poller, subscription.kind = poller_registry().get(settings), MessagePoller
    return subscription
