"""Waiting for tasks."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_chatwork.api import check, models
from airflow_provider_chatwork.api.call import Call
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.api.task_wait import (
    TaskState,
    check_possible,
    is_complete,
    state_of,
    tasks_needed,
)
from airflow_provider_chatwork.api.task_watch import RoomTasks
from airflow_provider_chatwork.api.wire import Settings
from airflow_provider_chatwork.watching.subject import Subject
from airflow_provider_chatwork.watching.wait import Log, Wait


def watch_tasks(
    settings: Settings,
    room_id: int | str,
    task_ids: Sequence[int],
    *,
    complete_when: str | int = "all",
    interval: float = 60.0,
    max_interval: float | None = None,
    assignees: Mapping[int, int] | None = None,
    log: Log | None = None,
) -> TasksWait:
    """Wait for tasks of a room, together with everybody else in this event loop who waits there.

    To be entered with ``async with``.

    :param complete_when: ``all``, ``any``, or how many of them have to be done.
    :param interval: seconds between two looks.
    :param max_interval: doubles them each time, up to so many.
    :param assignees: the account ids of the assignees by task, where they are known, which spares requests in rooms
        of more than 100 open tasks.
    :param log: gets what whoever waits should know.
    """
    return TasksWait(settings, room_id, task_ids, complete_when, interval, max_interval, assignees or {}, log)


class TasksWait(Wait):
    """A wait for tasks; :func:`watch_tasks` makes it."""

    def __init__(
        self,
        settings: Settings,
        room_id: int | str,
        task_ids: Sequence[int],
        complete_when: str | int,
        interval: float,
        max_interval: float | None,
        assignees: Mapping[int, int],
        log: Log | None,
    ) -> None:
        super().__init__(settings, interval, max_interval, log)
        self.room_id = check.identifier("room_id", room_id)
        self.task_ids = [*task_ids]
        self.complete_when = complete_when
        self.assignees = assignees
        #: The whole tasks, in the order given, as they were last read; ``None`` for one that was never seen.
        self.tasks: list[models.Task | None] = []
        #: How the tasks stand, in the order given; nothing before the first look.
        self.states: list[TaskState] = []
        #: Whether enough of them are done, all seen by one look.
        self.is_complete = False
        tasks_needed(complete_when, len(self.task_ids))

    @property
    def key(self) -> object:
        """What it looks at."""
        return "tasks", self.room_id

    def new_subject(self) -> Subject[Any]:
        """What it looks at, where nobody else does yet."""
        return RoomTasksSubject(self.key, self.room_id)


class RoomTasksSubject(Subject[TasksWait]):
    """The tasks of a room that are waited for.

    :param room_id: the room.
    """

    def __init__(self, key: object, room_id: int) -> None:
        super().__init__(key)
        self._tasks = RoomTasks(room_id)
        self._waits_of: dict[int, set[TasksWait]] = {}
        # Those whose tasks have changed since they were told, or who have not been told anything yet.
        self._to_tell: set[TasksWait] = set()

    def add(self, wait: TasksWait, now: float) -> None:
        """Let a wait take part; what the last look has seen of its tasks need not be asked again."""
        super().add(wait, now)
        for task_id in wait.task_ids:
            self._tasks.want(task_id, wait.assignees.get(task_id))
            self._waits_of.setdefault(task_id, set()).add(wait)
        self._to_tell.add(wait)
        if self.looked_at is not None and now - self.looked_at < wait.interval and self._is_known(wait):
            # What it would end by has to be looked at once more.
            self.hurried = self.hurried or self._ends(wait)
            if not self._ends(wait):
                self._tell(wait)

    def remove(self, wait: TasksWait) -> None:
        """Let a wait go; what nobody else waits for is forgotten."""
        super().remove(wait)
        self._to_tell.discard(wait)
        for task_id in set(wait.task_ids):
            others = self._waits_of[task_id]
            others.discard(wait)
            if not others:
                del self._waits_of[task_id]
                self._tasks.forget(task_id)

    def look(self) -> Generator[Call[Any], Any, None]:
        """Look once. Yields the calls to run."""
        yield from self._tasks.look(self._ending)
        self.hurried = self.hurried or self._tasks.unfinished

    def tell(self) -> None:
        """Tell the waits whose tasks have changed, and the new ones."""
        self._take_note()
        for wait in [*self._to_tell]:
            if not self._is_known(wait):
                continue
            ends = self._ends(wait)
            if ends and not all(map(self._tasks.is_fresh, self._decisive(wait))):
                # Not all of it was seen in one look; there will be another one.
                self.hurried = True
                continue
            # Set back, too: whoever is slow to hear that all is done must not end by what is open again.
            wait.is_complete = ends
            self._tell(wait)

    def _take_note(self) -> None:
        for task_id in self._tasks.changed:
            self._to_tell |= self._waits_of.get(task_id, set())
        self._tasks.changed.clear()

    def _ending(self) -> Iterable[Sequence[int]]:
        self._take_note()
        return [self._decisive(wait) for wait in self._to_tell if self._is_known(wait) and self._ends(wait)]

    def _decisive(self, wait: TasksWait) -> list[int]:
        return [state["task_id"] for state in self._states(wait) if state["status"] == "done"]

    def _is_known(self, wait: TasksWait) -> bool:
        return all(map(self._tasks.is_known, wait.task_ids))

    def _ends(self, wait: TasksWait) -> bool:
        return is_complete(self._states(wait), wait.complete_when)

    def _states(self, wait: TasksWait) -> list[TaskState]:
        known, deleted = self._tasks.tasks, self._tasks.deleted
        return [state_of(task_id, None if task_id in deleted else known.get(task_id)) for task_id in wait.task_ids]

    def _tell(self, wait: TasksWait) -> None:
        self._to_tell.discard(wait)
        wait.states = self._states(wait)
        wait.tasks = [self._tasks.tasks.get(task_id) for task_id in wait.task_ids]
        try:
            check_possible(wait.room_id, wait.states, wait.complete_when)
        except ChatworkNotFoundError as error:
            wait.refused(error)
        wait.told()
