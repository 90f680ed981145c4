"""Scan the tasks of a room with as few requests as possible.

Most scans are one list of the open tasks. Tasks that are missing in it have changed, and are read: up to two of them
one by one, more with a list of the done tasks. Lists end at 100 tasks, so a full list says nothing about the tasks that
are missing in it. Then the tasks are listed by assignee, and after that by assigner. Tasks that no list contains are
read one by one in rotation, the oldest first.
https://developer.chatwork.com/reference/get-rooms-room_id-tasks
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, TypeAlias

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkApiError, ChatworkAuthError, ChatworkRateLimitError
from airflow_provider_chatwork.api.messages import PAGE
from airflow_provider_chatwork.api.tasks import list_tasks
from airflow_provider_chatwork.waiting.tasks.status import DELETED_AFTER
from airflow_provider_chatwork.waiting.tasks.task_cache import ScanAborted, TaskCache

#: Up to this many changed tasks are read one by one.
MAX_SINGLE_READS = 2
#: About the largest number of requests of a scan. The next scan continues with the rest.
MAX_REQUESTS = 30
# After this many requests no more filtered lists are requested, so that single reads get their part of each scan.
_MAX_REQUESTS_OF_LISTS = {"open": 18, "done": 24}
#: How many tasks of the rotation a scan reads.
READS_PER_ROTATION = 10
# Every tenth full scan also reads the done tasks, which may be deleted or open again, and requests the list without a
# filter, which may not be full any more.
_RECHECK_EVERY = 10

_ListFlow: TypeAlias = CallFlow[tuple[list[int], list[int]]]


def _assignee(task: models.Task) -> int:
    return task["account"]["account_id"]


def _assigner(task: models.Task) -> int | None:
    # Optional, as it only saves requests.
    assigner: Any = task.get("assigned_by_account")
    return assigner["account_id"] if assigner else None


_FILTERS: Sequence[tuple[str, Callable[[models.Task], int | None]]] = (
    ("account_id", _assignee),
    ("assigned_by_account_id", _assigner),
)


class RoomTaskScanner(TaskCache):
    """Scans the tasks of a room, and keeps what it has read."""

    def __init__(self, room_id: int | str) -> None:
        super().__init__(room_id)
        #: Whether another scan should follow at once.
        self.has_rest = False
        # The tasks that the last scans have left for the next one.
        self._rest: list[int] = []
        # The tasks that no list contains and that were read before.
        self._rotation: list[int] = []
        # The tasks that no list contains, whatever its filter.
        self._unlisted: set[int] = set()
        self._urgent: Collection[int] = ()
        self._scans = 0
        self._is_recheck = False
        self._is_list_full = False
        self._requests_when_full = 0

    @property
    def rotation_size(self) -> int:
        """The number of tasks in the rotation."""
        return len(self._rotation)

    @property
    def not_covered(self) -> set[int]:
        """The tasks that were not read since the last full scan began."""
        return {*self._rest, *self._rotation, *self.unanswered, *self.refused, *self._maybe_deleted()}

    def scan(
        self,
        completing: Callable[[], Iterable[Sequence[int]]],
        *,
        full: bool = True,
        urgent: Collection[int] = (),
    ) -> CallFlow[None]:
        """Scan once. Yields the calls to run.

        Tasks that cannot be read are in ``unanswered`` (with ``error``) and ``refused``. What was read is kept, also
        where this raises an error.

        :param completing: called at the end. Returns the done tasks of each wait that they complete. Those that this
            scan has not read are read, so that the tasks that complete a wait are done at one time.
        :param full: whether to scan all tasks, or only those that the last scan has left.
        :param urgent: the tasks that are read first.
        :raises ChatworkError: if it concerns all tasks: the room cannot be listed, the token is revoked, or each
            request of a full scan has failed.
        """
        self._begin()
        self.has_rest = False
        self._urgent = urgent
        self._scans += full
        self._is_recheck = full and self._scans % _RECHECK_EVERY == 0
        if full:
            self._rest = [
                task_id for task_id in self._wanted if task_id not in self.deleted and not self._is_done(task_id)
            ]
            self._rotation = []
            self._unlisted.clear()
        try:
            yield from self._read_maybe_deleted()
            if full or self._unread(self._rest):
                yield from self._scan_open(self._unread(self._rest))
            else:
                yield from self._scan_rotation()
            if self._is_recheck:
                yield from self._resolve_missing([task_id for task_id in self._wanted if self._is_done(task_id)])
        except ScanAborted:
            self.unanswered.update(self._unread({*self._rest} - {*self._rotation}))
        is_answered = self.error is None or self._requests > self._failures
        if is_answered and not isinstance(self.error, ChatworkRateLimitError):
            failures, self._failures = self._failures, 0
            with suppress(ScanAborted):
                yield from self._confirm_done([*completing()])
            self._failures += failures
        if full and self.error is not None and self._requests == self._failures:
            raise self.error
        self._queue_rest()

    def _queue_rest(self) -> None:
        """Keep the tasks that this scan has left."""
        unseen = {task_id for task_id in self._wanted if not self.is_current(task_id) and task_id not in self.refused}
        waiting = unseen.intersection(self._rotation) - self.unanswered
        self._rotation = [task_id for task_id in self._rotation if task_id in waiting]
        left = unseen.intersection(self._rest) - waiting
        self._rest = [task_id for task_id in self._rest if task_id in left]
        self.has_rest = self.has_rest or bool(left.union(self._maybe_deleted()) - self.unanswered - {*self.refused})

    def _scan_rotation(self) -> CallFlow[None]:
        turn = self._unread(self._rotation)
        listed = [task_id for task_id in turn if task_id not in self._unlisted]
        changed, _ = yield from self._list_by_filter(listed, "open", 0, {})
        yield from self._resolve_missing(changed)
        yield from self._read_rotation(self._unread({*turn} - {*changed}))

    def _scan_open(self, wanted: Sequence[int]) -> CallFlow[None]:
        if len(wanted) == 1:
            yield from self._read(wanted[0])
        elif wanted:
            changed, hidden = yield from self._list_open(wanted)
            yield from self._resolve_missing(changed)
            self._rotation += [task_id for task_id in hidden if self.is_known(task_id)]
            yield from self._read_rotation(hidden)

    def _read_maybe_deleted(self) -> CallFlow[None]:
        """Read again the tasks that Chatwork did not find."""
        for task_id in self._unread(self._maybe_deleted()):
            if self._requests >= MAX_REQUESTS:
                return
            yield from self._read(task_id)

    def _maybe_deleted(self) -> list[int]:
        return [task_id for task_id in self._not_found if task_id not in self.deleted]

    def _list_open(self, wanted: Sequence[int]) -> _ListFlow:
        """List the open tasks; returns the wanted tasks that have changed, and those that no list contains."""
        if (
            not self._is_list_full
            or self._is_recheck
            or self._requests_by_assignee(wanted) > 1 + self._requests_when_full
        ):
            self._is_list_full = False
            changed, hidden = yield from self._list(wanted, "open", 0, {})
        else:
            changed, hidden = yield from self._list_by_filter(wanted, "open", 0, {})
        return self._unread(changed), self._unread(hidden)

    def _list(self, wanted: Sequence[int], status: str, level: int, query: Mapping[str, int]) -> _ListFlow:
        call = strict_empty_list(list_tasks(self.room_id, status=status, **query))
        try:
            page: list[models.Task] | None = yield from self._request(call, wanted)
        except ChatworkAuthError:
            raise
        except ChatworkApiError:
            if not query:
                raise
            # The assignee may have left the room; the tasks may still exist.
            return [], [*wanted]
        if page is None:
            if status == "open" and not query:
                # Everything else depends on this list.
                raise ScanAborted
            # The tasks can be read without the list.
            self._failed_ids.difference_update(wanted)
            self.unanswered.difference_update(wanted)
            return [], [*wanted]
        for task in page:
            self._store(task)
        missing = self._unread(wanted)
        if len(page) < PAGE or not missing:
            return missing, []
        if status == "open" and level == 0:
            self._is_list_full = True
            self._requests_when_full = self._requests_by_assignee(missing)
        return (yield from self._list_by_filter(missing, status, level, query))

    def _list_by_filter(self, wanted: Sequence[int], status: str, level: int, query: Mapping[str, int]) -> _ListFlow:
        """List the tasks of each assignee, or of each assigner."""
        if level == len(_FILTERS):
            if status == "open":
                self._unlisted.update(wanted)
            return [], [*wanted]
        name, _ = _FILTERS[level]
        changed: list[int] = []
        hidden: list[int] = []
        for key, group in self._groups(wanted, level).items():
            # Reading a single task costs as much as a list, and always finds it.
            if key is None or len(group) == 1 or self._requests >= _MAX_REQUESTS_OF_LISTS[status]:
                hidden += group
            else:
                gone, still_hidden = yield from self._list(group, status, level + 1, {**query, name: key})
                changed += gone
                hidden += still_hidden
        return changed, hidden

    def _groups(self, wanted: Sequence[int], level: int) -> dict[int | None, list[int]]:
        """Group tasks by assignee or assigner (``None`` if unknown), the oldest first."""
        groups: dict[int | None, list[int]] = {}
        for task_id in self._oldest_first(wanted):
            groups.setdefault(self._key(task_id, level), []).append(task_id)
        return groups

    def _key(self, task_id: int, level: int) -> int | None:
        task = self.tasks.get(task_id)
        if task is not None:
            return _FILTERS[level][1](task)
        return self._wanted.get(task_id) if level == 0 else None

    def _requests_by_assignee(self, wanted: Sequence[int]) -> int:
        """Return how many requests it takes to list tasks by assignee."""
        groups = self._groups(wanted, 0)
        return len(groups) + max(0, len(groups.get(None, ())) - 1)

    def _resolve_missing(self, task_ids: Sequence[int]) -> CallFlow[None]:
        """Read tasks that are missing in the list of open tasks."""
        yield from self._list_done(task_ids)
        for task_id in self._oldest_first(self._unread(task_ids)):
            if self._requests >= MAX_REQUESTS:
                return
            yield from self._read(task_id)

    def _list_done(self, task_ids: Sequence[int]) -> CallFlow[None]:
        left = self._unread(task_ids)
        if len(left) > MAX_SINGLE_READS and self._requests < MAX_REQUESTS:
            yield from self._list(left, "done", 0, {})

    def _confirm_done(self, endings: Sequence[Sequence[int]]) -> CallFlow[None]:
        """Read the done tasks of waits that they complete, for at least one wait, however many tasks it has."""
        groups = [[task_id for task_id in group if task_id not in self.deleted] for group in endings]
        yield from self._list_done([*dict.fromkeys(chain.from_iterable(groups))])
        has_read = False
        for group in groups:
            left = self._unread(group)
            if has_read and self._requests + len(left) > MAX_REQUESTS:
                self.has_rest = True
                continue
            for task_id in left:
                has_read = True
                yield from self._read(task_id)

    def _read_rotation(self, hidden: Sequence[int]) -> CallFlow[None]:
        first = [task_id for task_id in hidden if not self.is_known(task_id) or task_id in self._urgent]
        others = [task_id for task_id in hidden if task_id not in {*first}]
        for task_id in [*first, *self._oldest_first(others)[:READS_PER_ROTATION]]:
            if self._requests >= MAX_REQUESTS:
                return
            yield from self._read(task_id)


def read_each(tasks: RoomTaskScanner, task_ids: Iterable[int]) -> CallFlow[None]:
    """Read tasks one by one where they cannot be listed. Yields the calls to run.

    :param tasks: gets each task as soon as it is read.
    """
    for task_id in task_ids:
        single = RoomTaskScanner(tasks.room_id)
        single.add(task_id)
        for _ in range(DELETED_AFTER):
            yield from single.scan(tuple)
            single.raise_refusals()
            if single.is_known(task_id):
                break
        tasks.tasks.update(single.tasks)
        tasks.deleted |= single.deleted
