"""Polls for the tasks of a room that have subscriptions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.api.tasks import get_task
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.waiting.poller.account_poller import poller_registry
from airflow_provider_chatwork.waiting.poller.subscription import (
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    LONGEST_URGENT_BACKOFF,
    SHORTEST_INTERVAL,
    Log,
    RoomPoller,
    Subscription,
)
from airflow_provider_chatwork.waiting.tasks.room_scan import READS_PER_ROTATION, RoomTaskScanner
from airflow_provider_chatwork.waiting.tasks.status import (
    TaskState,
    is_complete,
    require_completable,
    task_state,
    tasks_needed,
)

#: Tasks that the lists do not show are read one by one in rotation. Two polls of the rotation are at least so many
#: seconds apart, or an interval if that is shorter, to save requests.
SHORTEST_ROTATION = 60.0


class TaskSubscription(Subscription):
    """A wait for tasks."""

    def __init__(
        self,
        room_id: int | str,
        task_ids: Sequence[int],
        complete_when: str | int,
        interval: float,
        max_interval: float | None,
        assignees: Mapping[int, int],
        log: Log | None,
    ) -> None:
        super().__init__(room_id, interval, max_interval, log)
        self.task_ids = [*task_ids]
        self.complete_when = complete_when
        self.assignees = assignees
        #: The tasks in the order of ``task_ids``, as they were last read; ``None`` for one that was never found.
        self.tasks: list[models.Task | None] = []
        #: The states of the tasks, in the same order; empty before the first poll.
        self.states: list[TaskState] = []
        #: Whether enough tasks are done, all of them read by the same poll.
        self.is_complete = False
        tasks_needed(complete_when, len(self.task_ids))

    async def still_open(self) -> bool:
        """Read the tasks that were last seen open one by one, and return whether all of them still are.

        :raises ChatworkError: a task cannot be read.
        """
        for task in self.tasks:
            if task is not None and task["status"] == "open":
                try:
                    now = await self.poller.paced_client.run(get_task(self.room_id, task["task_id"]))
                except ChatworkNotFoundError:
                    return False
                if now["status"] != "open":
                    return False
        return True


class TaskPoller(RoomPoller[TaskSubscription]):
    """Polls for the tasks of a room.

    A full poll reads all tasks. Where it leaves tasks for later, polls between two full ones go on with them.
    """

    def __init__(self, room_id: int) -> None:
        super().__init__(room_id)
        self._scanner = RoomTaskScanner(room_id)
        self._subscriptions_of: dict[int, set[TaskSubscription]] = {}
        # Subscriptions that have not been notified of the present state.
        self._to_notify: set[TaskSubscription] = set()
        # When the last full poll began, and which subscriptions had requested it.
        self._full_poll_at: float | None = None
        self._is_full_poll = True
        self._data_since = float("-inf")
        self._requested_by: set[TaskSubscription] = set()
        # How many polls one rotation through the tasks takes that the lists do not show.
        self._polls_per_rotation = 1
        # How many polls in a row were incomplete because of errors, and when to repeat.
        self._incomplete_polls = 0
        self._retry_at: float | None = None

    @property
    def interval_between_polls(self) -> float:
        """Seconds between two polls when nothing is urgent; a rotation takes one interval."""
        if not self._scanner.rotation_size:
            return self.interval
        return max(self.interval / self._polls_per_rotation, min(self.interval, SHORTEST_ROTATION))

    def due_at(self, slowdown: float) -> float:
        """Return when the next poll is due: a full one, or one that goes on with what the last one has left."""
        due_at = super().due_at(slowdown)
        if self._full_poll_at is None or self.failures or self.poll_now:
            return due_at
        due_at = min(due_at, self._full_poll_at + self.interval * slowdown)
        if self._retry_at is not None:
            due_at = min(due_at, self._retry_at)
        return max(self.not_before, due_at)

    def add(self, subscription: TaskSubscription, now: float) -> None:
        """Add a subscription. It gets what the last poll has read, if that is not older than its interval."""
        super().add(subscription, now)
        for task_id in subscription.task_ids:
            self._scanner.add(task_id, subscription.assignees.get(task_id))
            self._subscriptions_of.setdefault(task_id, set()).add(subscription)
        self._to_notify.add(subscription)
        is_covered = self._is_known(subscription) and self._scanner.not_covered.isdisjoint(subscription.task_ids)
        if is_covered and now - self._data_since < subscription.interval:
            if self._is_complete(subscription):
                # Another poll has to confirm it.
                self.poll_now = True
            else:
                self._notify(subscription)
                subscription.mark_seen(self._data_since)

    def remove(self, subscription: TaskSubscription) -> None:
        """Remove a subscription, and its tasks that no other subscription has."""
        super().remove(subscription)
        self._to_notify.discard(subscription)
        for task_id in set(subscription.task_ids):
            others = self._subscriptions_of[task_id]
            others.discard(subscription)
            if not others:
                del self._subscriptions_of[task_id]
                self._scanner.remove(task_id)

    def poll(self) -> CallFlow[None]:
        """Poll once."""
        self._is_full_poll = self._is_full_poll_due
        if self._is_full_poll:
            self._full_poll_at = self.polled_at
            self._requested_by = {*self.waiting_for_poll}
        urgent = {task_id for subscription in self.waiting_for_poll for task_id in subscription.task_ids}
        yield from self._scanner.scan(self._completing, full=self._is_full_poll, urgent=urgent)
        if self._is_full_poll:
            self._polls_per_rotation = 1 + math.ceil(self._scanner.rotation_size / READS_PER_ROTATION)
        self.poll_now = self.poll_now or self._scanner.has_rest

    @property
    def _is_full_poll_due(self) -> bool:
        if self._full_poll_at is None or self.polled_at is None or self.failures:
            return True
        if self.waiting_for_poll - self._requested_by:
            return True
        has_rest = self._scanner.has_rest or self._scanner.rotation_size or self._retry_at is not None
        # Timers are not exact.
        return not has_rest or self.polled_at - self._full_poll_at >= self.interval - SHORTEST_INTERVAL / 2

    def not_covered(self) -> set[TaskSubscription]:
        """Return the subscriptions with tasks that the last polls have not read, or not confirmed."""
        unconfirmed = {
            subscription
            for subscription in self._to_notify
            if self._is_known(subscription) and self._is_complete(subscription) and self._unconfirmed(subscription)
        }
        return self._with_tasks(self._scanner.not_covered) | unconfirmed

    def poll_succeeded(self, requests: int, covered: object = None, data_since: object = None) -> None:
        """Note that a poll succeeded, if only for most tasks. The rest is read again, with back-off."""
        if self._is_full_poll and self.polled_at is not None:
            self._data_since = self.polled_at
        error = self._scanner.error
        self._incomplete_polls = self._incomplete_polls + 1 if error is not None else 0
        self._retry_at = None
        if error is not None:
            longest = LONGEST_URGENT_BACKOFF if self.waiting_for_poll else LONGEST_BACKOFF
            backoff = FIRST_BACKOFF * 2.0 ** min(self._incomplete_polls - 1, 30)
            self._retry_at = (self.polled_at or 0.0) + min(backoff, longest)
        super().poll_succeeded(requests, self.subscriptions - self.not_covered(), self._data_since)
        if error is not None and self._incomplete_polls > 1:
            for subscription in self._with_tasks(self._scanner.unanswered):
                subscription.poll_failed(error)
        not_covered = self.not_covered()
        self._requested_by &= not_covered
        # Tasks that the lists do not show are read at once, without rotation, if a subscription waits for them.
        self.poll_now = self.poll_now or (error is None and not not_covered.isdisjoint(self.waiting_for_poll))
        # Subscriptions still waiting for confirmation keep their old `seen_at` until the next poll.
        for subscription in self.subscriptions - self._to_notify - not_covered:
            subscription.mark_seen(self._data_since)

    def _with_tasks(self, task_ids: Iterable[int]) -> set[TaskSubscription]:
        return {subscription for task_id in task_ids for subscription in self._subscriptions_of.get(task_id, ())}

    def notify(self) -> None:
        """Notify the subscriptions with changed tasks, and the new ones."""
        self._collect_changes()
        for task_id, error in self._scanner.refused.items():
            for subscription in self._with_tasks([task_id]):
                subscription.reject(error)
        for subscription in [*self._to_notify]:
            if not self._is_known(subscription):
                continue
            is_complete = self._is_complete(subscription)
            unconfirmed = self._unconfirmed(subscription)
            if is_complete and unconfirmed:
                # The tasks were done in different polls. Another poll has to confirm that they still are.
                self.poll_now = self.poll_now or not self._scanner.failed_for(unconfirmed)
                continue
            # It may become false again, when a task is opened again before the subscription has read the notification.
            subscription.is_complete = is_complete
            self._notify(subscription)

    def _collect_changes(self) -> None:
        for task_id in self._scanner.changed:
            self._to_notify |= self._subscriptions_of.get(task_id, set())
        self._scanner.changed.clear()

    def _completing(self) -> Iterable[Sequence[int]]:
        """Return the done tasks of each subscription that they complete."""
        self._collect_changes()
        return [
            self._done_tasks(subscription)
            for subscription in self._to_notify
            if self._is_known(subscription) and self._is_complete(subscription)
        ]

    def _done_tasks(self, subscription: TaskSubscription) -> list[int]:
        return [state["task_id"] for state in self._states(subscription) if state["status"] == "done"]

    def _unconfirmed(self, subscription: TaskSubscription) -> list[int]:
        """Return the done tasks that the last poll has not read."""
        return [task_id for task_id in self._done_tasks(subscription) if not self._scanner.is_current(task_id)]

    def _is_known(self, subscription: TaskSubscription) -> bool:
        return all(map(self._scanner.is_known, subscription.task_ids))

    def _is_complete(self, subscription: TaskSubscription) -> bool:
        return is_complete(self._states(subscription), subscription.complete_when)

    def _states(self, subscription: TaskSubscription) -> list[TaskState]:
        tasks, deleted = self._scanner.tasks, self._scanner.deleted
        return [
            task_state(task_id, None if task_id in deleted else tasks.get(task_id)) for task_id in subscription.task_ids
        ]

    def _notify(self, subscription: TaskSubscription) -> None:
        self._to_notify.discard(subscription)
        subscription.states = self._states(subscription)
        subscription.tasks = [self._scanner.tasks.get(task_id) for task_id in subscription.task_ids]
        try:
            require_completable(subscription.room_id, subscription.states, subscription.complete_when)
        except ChatworkNotFoundError as error:
            subscription.reject(error)
        subscription.notify()


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
) -> TaskSubscription:
    """Subscribe to tasks of a room.

    :param complete_when: ``all``, ``any``, or how many of the tasks have to be done.
    :param interval: seconds between two polls.
    :param max_interval: if given, the interval doubles with each poll up to so many seconds.
    :param assignees: the account id of the assignee of each task, if known. It saves requests in rooms of more than 100
        open tasks.
    :param log: gets the warnings about this wait.
    """
    subscription = TaskSubscription(room_id, task_ids, complete_when, interval, max_interval, assignees or {}, log)
    subscription.poller, subscription.kind = poller_registry().get(settings), TaskPoller
    return subscription
