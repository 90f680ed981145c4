"""Subscriptions to the tasks and messages of a room. All subscriptions to a room in an event loop share its polls.

::

    async with subscribe_tasks(settings, room_id, task_ids) as subscription:
        while await subscription.wait_for_change(until=deadline):
            if subscription.is_complete:
                ...

``registry`` has one poller per account and event loop, ``account_poller`` polls rooms in turn within the rate budget,
``room_poller`` is what the subscriptions of a room share, with a class for tasks and one for messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.waiting.poller.message_poller import MessagePoller, MessageSubscription
from airflow_provider_chatwork.waiting.poller.registry import poller_registry
from airflow_provider_chatwork.waiting.poller.room_poller import RoomPoller
from airflow_provider_chatwork.waiting.poller.subscription import Log, Subscription
from airflow_provider_chatwork.waiting.poller.task_poller import TaskPoller, TaskSubscription

__all__ = ["MessageSubscription", "TaskSubscription", "subscribe_messages", "subscribe_tasks"]

S = TypeVar("S", bound=Subscription)


def subscribe_tasks(
    settings: Settings,
    room_id: int | str,
    task_ids: Sequence[int],
    *,
    complete_when: str | int = "all",
    interval: float = 60.0,
    max_interval: float | None = None,
    assignees: Mapping[int, int] | None = None,
    log: Log | None = None,
) -> AbstractAsyncContextManager[TaskSubscription]:
    """Subscribe to tasks of a room.

    :param complete_when: ``all``, ``any``, or how many of the tasks have to be done.
    :param interval: seconds between two polls.
    :param max_interval: if given, the interval doubles with each poll up to so many seconds.
    :param assignees: the account id of the assignee of each task, if known. It saves requests in rooms of more than 100
        open tasks.
    :param log: gets the warnings about this wait.
    """
    subscription = TaskSubscription(room_id, task_ids, complete_when, interval, max_interval, assignees or {}, log)
    return _Subscribing(settings, subscription, TaskPoller)


def subscribe_messages(
    settings: Settings,
    room_id: int | str,
    *,
    interval: float = 60.0,
    max_interval: float | None = None,
    log: Log | None = None,
) -> AbstractAsyncContextManager[MessageSubscription]:
    """Subscribe to messages of a room. The parameters are those of :func:`subscribe_tasks`."""
    return _Subscribing(settings, MessageSubscription(room_id, interval, max_interval, log), MessagePoller)


class _Subscribing(AbstractAsyncContextManager[S]):
    """Connects a subscription with the poller of its account. A class, as it is smaller than a generator."""

    __slots__ = ("_kind", "_settings", "_subscription")

    def __init__(self, settings: Settings, subscription: S, kind: type[RoomPoller[S]]) -> None:
        self._settings = settings
        self._subscription = subscription
        self._kind = kind

    async def __aenter__(self) -> S:
        poller = poller_registry().get(self._settings)
        self._subscription.poller = poller
        poller.subscribe(self._subscription, self._kind)
        return self._subscription

    async def __aexit__(self, *error: object) -> None:
        self._subscription.poller.unsubscribe(self._subscription)
