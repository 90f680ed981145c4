"""What is known of the tasks of a room that somebody waits for, and what one answer after the other adds to it.

One answer decides about the tasks that were asked for, and about no other: where Chatwork fails in passing, they are
as they were and are asked for again; where it refuses, only they are refused. What concerns all of them comes out.
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
from airflow_provider_chatwork.waiting.tasks.status import GONE_AFTER

#: With so many requests of a look that failed in passing it asks no more, as Chatwork is not well.
MOST_FAILURES = 3


class Enough(Exception):
    """No more is to be asked in this look."""


class Sightings:
    """What is known of tasks of a room.

    :param room_id: the room.
    """

    def __init__(self, room_id: int | str) -> None:
        self.room_id = room_id
        #: How each task stood when it was last seen.
        self.tasks: dict[int, models.Task] = {}
        #: The tasks that were there once, or never, and are not there any more.
        self.deleted: set[int] = set()
        #: The tasks that stand otherwise than before, until somebody takes note and clears it.
        self.changed: set[int] = set()
        #: What failed last in the last look, for a reason that passes, where the look went on all the same ...
        self.trouble: ChatworkError | None = None
        #: ... and the tasks that it tells nothing of for that reason.
        self.unanswered: set[int] = set()
        #: The tasks that Chatwork refused to show in the last look, for good.
        self.refused: dict[int, ChatworkApiError] = {}
        self._wanted: dict[int, int | None] = {}
        self._look = 0
        self._seen_in: dict[int, int] = {}
        self._read_in: dict[int, int] = {}
        # How often in a row Chatwork did not know a task.
        self._missed: dict[int, int] = {}
        self._calls = 0
        self._failures = 0
        # The tasks that were asked for in this look, in vain.
        self._tried: set[int] = set()

    def want(self, task_id: int, account_id: int | None = None) -> None:
        """Look at a task from now on.

        :param account_id: its assignee, where that is known; it spares a request in a room of more than 100 tasks.
        """
        if self._wanted.get(task_id) is None:
            self._wanted[task_id] = account_id

    def forget(self, task_id: int) -> None:
        """Look at a task no more."""
        del self._wanted[task_id]
        for known in (self.tasks, self.refused, self._seen_in, self._read_in, self._missed):
            known.pop(task_id, None)
        for noted in (self.deleted, self.changed, self.unanswered):
            noted.discard(task_id)

    def is_known(self, task_id: int) -> bool:
        """Whether a task has been seen, or been found missing."""
        return task_id in self.tasks or task_id in self.deleted

    def is_fresh(self, task_id: int) -> bool:
        """Whether the last look has seen a task, and did not only find no reason to look."""
        return self._seen_in.get(task_id) == self._look

    def asked_in_vain(self, task_ids: Iterable[int]) -> bool:
        """Whether the last look failed to see some tasks not for want of asking."""
        return any(task_id in self.unanswered or task_id in self.refused for task_id in task_ids)

    def check(self) -> None:
        """Check that the last look was not refused anything, for whoever waits for all of the tasks.

        :raises ChatworkApiError: where it was.
        """
        for refusal in self.refused.values():
            raise refusal

    def _begin(self) -> None:
        self._look += 1
        self._calls = self._failures = 0
        self.trouble = None
        self.unanswered.clear()
        self.refused.clear()
        self._tried.clear()

    def _ask(self, call: Call[Any], about: Iterable[int]) -> CallFlow[Any]:
        """Ask for tasks. Returns ``None`` where that fails in passing; a refusal comes out."""
        self._calls += 1
        try:
            return (yield call)
        except ChatworkError as error:
            if not is_transient(error):
                raise
            self.trouble = error
            self._failures += 1
            self._tried.update(about)
            self.unanswered.update(task_id for task_id in about if task_id in self._wanted)
            if isinstance(error, ChatworkRateLimitError) or self._failures >= MOST_FAILURES:
                raise Enough from error
            return None

    def _read(self, task_id: int) -> CallFlow[None]:
        self._read_in[task_id] = self._look
        try:
            task = yield from self._ask(get_task(self.room_id, task_id), [task_id])
        except ChatworkAuthError:
            raise
        except ChatworkApiError as error:
            self._tried.add(task_id)
            if task_id not in self._wanted:
                return
            if isinstance(error, ChatworkNotFoundError):
                self._miss(task_id)
            else:
                self.refused[task_id] = error
        else:
            if task is not None:
                self._note(task)

    def _miss(self, task_id: int) -> None:
        self._missed[task_id] = self._missed.get(task_id, 0) + 1
        if self._missed[task_id] >= GONE_AFTER:
            self.deleted.add(task_id)
            self.changed.add(task_id)
            self._seen_in[task_id] = self._look

    def _note(self, task: models.Task) -> None:
        task_id = task["task_id"]
        if task_id not in self._wanted:
            return
        self._seen_in[task_id] = self._look
        self._missed.pop(task_id, None)
        if self.tasks.get(task_id) != task or task_id in self.deleted:
            self.deleted.discard(task_id)
            self.tasks[task_id] = task
            self.changed.add(task_id)

    def _is_done(self, task_id: int) -> bool:
        task = self.tasks.get(task_id)
        return task is not None and task["status"] == "done" and task_id not in self.deleted

    def _stale(self, task_ids: Iterable[int]) -> list[int]:
        """Those that this look knows nothing of yet, and has not asked for in vain."""
        # Not those that a wait has left while the look was under way.
        return [
            task_id
            for task_id in task_ids
            if task_id in self._wanted and not self.is_fresh(task_id) and task_id not in self._tried
        ]

    def _longest_unseen_first(self, task_ids: Iterable[int]) -> Sequence[int]:
        # Those that cannot be read have their turn, and no more than that.
        seen, read = self._seen_in, self._read_in
        return sorted(task_ids, key=lambda task_id: max(seen.get(task_id, 0), read.get(task_id, 0)))
