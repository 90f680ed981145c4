"""Waiting for tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import CallFlow
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.api.tasks import get_task
from airflow_provider_chatwork.waiting.poller.room_poller import FIRST_PAUSE, LONGEST_HURRY, LONGEST_PAUSE, Subject
from airflow_provider_chatwork.waiting.poller.subscription import SHORTEST_INTERVAL, Log, Wait
from airflow_provider_chatwork.waiting.tasks.room_scan import IN_TURN, RoomTasks
from airflow_provider_chatwork.waiting.tasks.status import (
    TaskState,
    check_possible,
    is_complete,
    state_of,
    tasks_needed,
)

#: Hidden tasks are read in turn so often at the most, in seconds, that long intervals are used and budgets are spared.
SHORTEST_TURN = 60.0


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
        self.room_id = validation.identifier("room_id", room_id)
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

    async def still_open(self) -> bool:
        """Whether all its tasks that were last seen open still are, by reading them one by one.

        :raises ChatworkError: where Chatwork does not tell.
        """
        for task in self.tasks:
            if task is not None and task["status"] == "open":
                try:
                    now = await self._account.errands.run(get_task(self.room_id, task["task_id"]))
                except ChatworkNotFoundError:
                    return False
                if now["status"] != "open":
                    return False
        return True

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
        # When the last look at all of them began, who wanted it at once, and how many looks it takes to come to those
        # that are hidden, too.
        self._whole_at: float | None = None
        self._is_whole = True
        self._seen_since = float("-inf")
        self._wanted_by: set[TasksWait] = set()
        self._looks = 1
        # How many looks in a row were not told all they asked for, and when to ask again.
        self._troubles = 0
        self._retry_at: float | None = None

    @property
    def rhythm(self) -> float:
        """Seconds between two looks where nothing hurries; what is hidden is come to in turn within the interval."""
        if not self._tasks.in_turn:
            return self.interval
        return max(self.interval / self._looks, min(self.interval, SHORTEST_TURN))

    @property
    def seen_since(self) -> float:
        """When the look began that has seen what is known, by the loop's clock, with those that went on with it."""
        return self._seen_since

    def due(self, stretch: float) -> float:
        """When to look next, by the loop's clock: at all tasks, or at what the last look has left."""
        due = super().due(stretch)
        if self._whole_at is None or self.failures or self.hurried:
            return due
        soonest = min(due, self._whole_at + self.interval * stretch)
        if self._retry_at is not None:
            soonest = min(soonest, self._retry_at)
        return max(self.not_before, soonest)

    def add(self, wait: TasksWait, now: float) -> None:
        """Let a wait take part; what the last look has seen of its tasks need not be asked again."""
        super().add(wait, now)
        for task_id in wait.task_ids:
            self._tasks.want(task_id, wait.assignees.get(task_id))
            self._waits_of.setdefault(task_id, set()).add(wait)
        self._to_tell.add(wait)
        is_seen = self._is_known(wait) and self._tasks.unseen.isdisjoint(wait.task_ids)
        if is_seen and now - self.seen_since < wait.interval:
            # What it would end by has to be looked at once more.
            self.hurried = self.hurried or self._ends(wait)
            if not self._ends(wait):
                self._tell(wait)
                wait.seen(self.seen_since)

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

    def look(self) -> CallFlow[None]:
        """Look once. Yields the calls to run."""
        self._is_whole = self._is_whole_due
        if self._is_whole:
            self._whole_at = self.looked_at
            self._wanted_by = {*self.wanting}
        urgent = {task_id for wait in self.wanting for task_id in wait.task_ids}
        yield from self._tasks.look(self._ending, whole=self._is_whole, urgent=urgent)
        if self._is_whole:
            self._looks = 1 + math.ceil(self._tasks.in_turn / IN_TURN)
        self.hurried = self.hurried or self._tasks.unfinished

    @property
    def _is_whole_due(self) -> bool:
        if self._whole_at is None or self.looked_at is None or self.failures or self.wanting - self._wanted_by:
            return True
        has_left = self._tasks.unfinished or self._tasks.in_turn or self._retry_at is not None
        # The margin is for timers that are not exact.
        return not has_left or self.looked_at - self._whole_at >= self.interval - SHORTEST_INTERVAL / 2

    def unserved(self) -> set[TasksWait]:
        """The waits for tasks that the last looks have not come to, or were not told of."""
        unsure = {wait for wait in self._to_tell if self._is_known(wait) and self._ends(wait) and self._unseen_of(wait)}
        return self._waiting_for(self._tasks.unseen) | unsure

    def looked(self, calls: int) -> None:
        """Note that a look went well, or well enough for most; the rest is asked again, later each time."""
        if self._is_whole and self.looked_at is not None:
            self._seen_since = self.looked_at
        trouble = self._tasks.trouble
        self._troubles = self._troubles + 1 if trouble is not None else 0
        self._retry_at = None
        if trouble is not None:
            longest = LONGEST_HURRY if self.wanting else LONGEST_PAUSE
            self._retry_at = (self.looked_at or 0.0) + min(FIRST_PAUSE * 2.0 ** min(self._troubles - 1, 30), longest)
        super().looked(calls)
        if trouble is not None and self._troubles > 1:
            for wait in self._waiting_for(self._tasks.unanswered):
                wait.troubled(trouble)
        unserved = self.unserved()
        self._wanted_by &= unserved
        # What is hidden need not wait for its turn where somebody waits for it now.
        self.hurried = self.hurried or (trouble is None and not unserved.isdisjoint(self.wanting))
        # Who is not told yet is to hear of it after another look, and knows no more than before.
        for wait in self.waits - self._to_tell - unserved:
            wait.seen(self.seen_since)

    def _waiting_for(self, task_ids: Iterable[int]) -> set[TasksWait]:
        return {wait for task_id in task_ids for wait in self._waits_of.get(task_id, ())}

    def tell(self) -> None:
        """Tell the waits whose tasks have changed, and the new ones."""
        self._take_note()
        for task_id, refusal in self._tasks.refused.items():
            for wait in self._waiting_for([task_id]):
                wait.refused(refusal)
        for wait in [*self._to_tell]:
            if not self._is_known(wait):
                continue
            ends = self._ends(wait)
            unseen = self._unseen_of(wait)
            if ends and unseen:
                # Not all of it was seen in one look; there will be another one.
                self.hurried = self.hurried or not self._tasks.asked_in_vain(unseen)
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

    def _unseen_of(self, wait: TasksWait) -> list[int]:
        """What a wait would end by and the last look has not seen."""
        return [task_id for task_id in self._decisive(wait) if not self._tasks.is_fresh(task_id)]

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
