"""The tasks of a room as they were last read, and the result of each request.

A request concerns only the tasks that it was for: after a transient error they stay as they were, and a permanent error
refuses only them. An error that concerns all tasks is raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import Call, CallFlow
from airflow_provider_chatwork.api.errors import (
    ChatworkApiError,
    ChatworkAuthError,
    ChatworkError,
    ChatworkNotFoundError,
    ChatworkRateLimitError,
)
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.api.tasks import get_task
from airflow_provider_chatwork.waiting.tasks.status import DELETED_AFTER

#: A scan ends after this many transient errors, as Chatwork is out of order.
MAX_FAILURES = 3


class ScanAborted(Exception):
    """Raised where a scan sends no more requests."""


class TaskCache:
    """The tasks of a room, as they were last read.

    :param room_id: the room.
    """

    def __init__(self, room_id: int | str) -> None:
        self.room_id = room_id
        #: The tasks as they were last read, by id.
        self.tasks: dict[int, models.Task] = {}
        #: The tasks that do not exist any more.
        self.deleted: set[int] = set()
        #: The tasks that have changed since the user of this cache cleared it.
        self.changed: set[int] = set()
        #: The last transient error of the last scan, if the scan continued after it.
        self.error: ChatworkError | None = None
        #: The tasks that the last scan could not read because of transient errors.
        self.unanswered: set[int] = set()
        #: The tasks that the last scan could not read, with the permanent error.
        self.refused: dict[int, ChatworkApiError] = {}
        self._wanted: dict[int, int | None] = {}
        self._scan_number = 0
        self._seen_at_scan: dict[int, int] = {}
        self._read_at_scan: dict[int, int] = {}
        # How many times in a row Chatwork did not find a task.
        self._not_found: dict[int, int] = {}
        self._requests = 0
        self._failures = 0
        # The tasks for which a request of this scan has failed.
        self._failed_ids: set[int] = set()

    def add(self, task_id: int, account_id: int | None = None) -> None:
        """Add a task to scan.

        :param account_id: the assignee, if known; saves a request in a room of more than 100 tasks.
        """
        if self._wanted.get(task_id) is None:
            self._wanted[task_id] = account_id

    def remove(self, task_id: int) -> None:
        """Remove a task."""
        del self._wanted[task_id]
        for known in (self.tasks, self.refused, self._seen_at_scan, self._read_at_scan, self._not_found):
            known.pop(task_id, None)
        for noted in (self.deleted, self.changed, self.unanswered):
            noted.discard(task_id)

    def is_known(self, task_id: int) -> bool:
        """Return whether a task was read, or is deleted."""
        return task_id in self.tasks or task_id in self.deleted

    def is_current(self, task_id: int) -> bool:
        """Return whether the last scan has read a task."""
        return self._seen_at_scan.get(task_id) == self._scan_number

    def failed_for(self, task_ids: Iterable[int]) -> bool:
        """Return whether a request of the last scan has failed for any of these tasks."""
        return any(task_id in self.unanswered or task_id in self.refused for task_id in task_ids)

    def raise_refusals(self) -> None:
        """Raise the permanent error of a task, for a caller that needs all of the tasks.

        :raises ChatworkApiError: if the last scan has one.
        """
        for refusal in self.refused.values():
            raise refusal

    def _begin(self) -> None:
        self._scan_number += 1
        self._requests = self._failures = 0
        self.error = None
        self.unanswered.clear()
        self.refused.clear()
        self._failed_ids.clear()

    def _request(self, call: Call[Any], about: Iterable[int]) -> CallFlow[Any]:
        """Send a request for tasks. Returns ``None`` after a transient error.

        :param about: the tasks.
        :raises ScanAborted: after a rate limit, or too many transient errors.
        :raises ChatworkError: a permanent error.
        """
        self._requests += 1
        try:
            return (yield call)
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self.error = error
            self._failures += 1
            self._failed_ids.update(about)
            self.unanswered.update(task_id for task_id in about if task_id in self._wanted)
            if isinstance(error, ChatworkRateLimitError) or self._failures >= MAX_FAILURES:
                raise ScanAborted from error
            return None

    def _read(self, task_id: int) -> CallFlow[None]:
        self._read_at_scan[task_id] = self._scan_number
        try:
            task = yield from self._request(get_task(self.room_id, task_id), [task_id])
        except ChatworkAuthError:
            raise
        except ChatworkApiError as error:
            self._failed_ids.add(task_id)
            if task_id not in self._wanted:
                return
            if isinstance(error, ChatworkNotFoundError):
                self._count_not_found(task_id)
            else:
                self.refused[task_id] = error
        else:
            if task is not None:
                self._store(task)

    def _count_not_found(self, task_id: int) -> None:
        self._not_found[task_id] = self._not_found.get(task_id, 0) + 1
        if self._not_found[task_id] >= DELETED_AFTER:
            self.deleted.add(task_id)
            self.changed.add(task_id)
            self._seen_at_scan[task_id] = self._scan_number

    def _store(self, task: models.Task) -> None:
        task_id = task["task_id"]
        if task_id not in self._wanted:
            return
        self._seen_at_scan[task_id] = self._scan_number
        self._not_found.pop(task_id, None)
        if self.tasks.get(task_id) != task or task_id in self.deleted:
            self.deleted.discard(task_id)
            self.tasks[task_id] = task
            self.changed.add(task_id)

    def _is_done(self, task_id: int) -> bool:
        task = self.tasks.get(task_id)
        return task is not None and task["status"] == "done" and task_id not in self.deleted

    def _unread(self, task_ids: Iterable[int]) -> list[int]:
        """Return those that this scan has not read, and has not failed to read."""
        # Without those that were removed during the scan.
        return [
            task_id
            for task_id in task_ids
            if task_id in self._wanted and not self.is_current(task_id) and task_id not in self._failed_ids
        ]

    def _oldest_first(self, task_ids: Iterable[int]) -> Sequence[int]:
        # A failed read counts, so that tasks that cannot be read do not come first each time.
        seen, read = self._seen_at_scan, self._read_at_scan
        return sorted(task_ids, key=lambda task_id: max(seen.get(task_id, 0), read.get(task_id, 0)))
