"""One look at all the tasks of a room that anybody waits for, with as few requests as Chatwork lets it take.

Most looks are one list of open tasks: what is in it is open. What should be in it and is not has changed, and is asked
for: one task by itself, more of them with a list of the done ones. A list ends at 100 tasks, whatever the question;
a full one says nothing about what is not in it. Then the question is narrowed, first to an assignee, then to who gave
the tasks, and what is hidden even so is read one by one, the longest unseen first.
https://developer.chatwork.com/reference/get-rooms-room_id-tasks
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import Call, surely
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.api.messages import PAGE
from airflow_provider_chatwork.api.tasks import get_task, list_tasks

#: Up to this many changed tasks are read one by one.
ONE_BY_ONE = 2
#: How many requests a look makes at the most, or little more; what is left then is the next look's.
LONGEST_LOOK = 30
# How many of them have been made when lists are narrowed no more: each look has to get on with what only reads tell.
_NARROWED_UNTIL = {"open": 18, "done": 24}
#: How many hidden tasks a look reads that have been seen before.
IN_TURN = 10
# What no ordinary look would notice is looked for in every so many: that a done task was deleted, and that a room does
# not have more tasks than it shows any more.
_THOROUGH = 10

_Sweep: TypeAlias = Generator[Call[Any], Any, tuple[list[int], list[int]]]


def _assignee(task: models.Task) -> int:
    return task["account"]["account_id"]


def _giver(task: models.Task) -> int | None:
    # Nothing depends on it but the price of a look, so an answer without it is as good.
    giver: Any = task.get("assigned_by_account")
    return giver["account_id"] if giver else None


_NARROWINGS: Sequence[tuple[str, Callable[[models.Task], int | None]]] = (
    ("account_id", _assignee),
    ("assigned_by_account_id", _giver),
)


class RoomTasks:
    """What is known of the tasks of a room that are waited for.

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
        #: Whether the last look left something for another one right after it.
        self.unfinished = False
        self._wanted: dict[int, int | None] = {}
        self._look = 0
        self._seen_in: dict[int, int] = {}
        self._calls = 0
        self._full = False
        self._hidden_questions = 0

    def want(self, task_id: int, account_id: int | None = None) -> None:
        """Look at a task from now on.

        :param account_id: its assignee, where that is known; it spares a request in a room of more than 100 tasks.
        """
        if self._wanted.get(task_id) is None:
            self._wanted[task_id] = account_id

    def forget(self, task_id: int) -> None:
        """Look at a task no more."""
        del self._wanted[task_id]
        self.tasks.pop(task_id, None)
        self._seen_in.pop(task_id, None)
        self.deleted.discard(task_id)
        self.changed.discard(task_id)

    def is_known(self, task_id: int) -> bool:
        """Whether a task has been seen, or been found missing."""
        return task_id in self.tasks or task_id in self.deleted

    def is_fresh(self, task_id: int) -> bool:
        """Whether the last look has seen a task, and did not only find no reason to look."""
        return self._seen_in.get(task_id) == self._look

    def look(self, ending: Callable[[], Iterable[Sequence[int]]]) -> Generator[Call[Any], Any, None]:
        """Look once. Yields the calls to run.

        A refusal of a list (the room is lost, the token is revoked) comes out; that of a single task says that it was
        deleted.

        :param ending: names, after all that, for each wait that would end the tasks by which it would; those not seen
            in this look are looked at, so that a wait ends by what is true at one time.
        """
        self._look += 1
        self._calls = 0
        self.unfinished = False
        open_ = [task_id for task_id in self._wanted if task_id not in self.deleted and not self._is_done(task_id)]
        if len(open_) == 1:
            yield from self._read(open_[0])
        elif open_:
            changed, hidden = yield from self._sweep_open(open_)
            yield from self._settle(changed)
            self.unfinished = bool(self._stale(changed))
            yield from self._read_in_turn(hidden)
        if self._is_thorough:
            yield from self._settle([task_id for task_id in self._wanted if self._is_done(task_id)])
        yield from self._verify([*ending()])

    @property
    def _is_thorough(self) -> bool:
        return self._look % _THOROUGH == 0

    def _is_done(self, task_id: int) -> bool:
        task = self.tasks.get(task_id)
        return task is not None and task["status"] == "done" and task_id not in self.deleted

    def _sweep_open(self, wanted: Sequence[int]) -> _Sweep:
        """Find the open tasks among the wanted ones; returns what changed, and what is hidden."""
        if not self._full or self._is_thorough or self._questions(wanted) > 1 + self._hidden_questions:
            self._full = False
            changed, hidden = yield from self._sweep(wanted, "open", 0, {})
        else:
            changed, hidden = yield from self._narrow(wanted, "open", 0, {})
        return self._stale(changed), self._stale(hidden)

    def _sweep(self, wanted: Sequence[int], status: str, level: int, query: Mapping[str, int]) -> _Sweep:
        page: list[models.Task] = yield surely(list_tasks(self.room_id, status=status, **query))
        self._calls += 1
        for task in page:
            self._note(task)
        missing = self._stale(wanted)
        if len(page) < PAGE or not missing:
            return missing, []
        if status == "open" and level == 0:
            self._full = True
            self._hidden_questions = self._questions(missing)
        return (yield from self._narrow(missing, status, level, query))

    def _narrow(self, wanted: Sequence[int], status: str, level: int, query: Mapping[str, int]) -> _Sweep:
        """Ask for each assignee, or each who gave tasks, by itself."""
        if level == len(_NARROWINGS):
            return [], [*wanted]
        name, _ = _NARROWINGS[level]
        changed: list[int] = []
        hidden: list[int] = []
        for key, group in self._groups(wanted, level).items():
            # A single one is read: that costs no more than a list, and tells more.
            if key is None or len(group) == 1 or self._calls >= _NARROWED_UNTIL[status]:
                hidden += group
            else:
                gone, still_hidden = yield from self._sweep(group, status, level + 1, {**query, name: key})
                changed += gone
                hidden += still_hidden
        return changed, hidden

    def _groups(self, wanted: Sequence[int], level: int) -> dict[int | None, list[int]]:
        """Wanted tasks by assignee or giver (``None`` where that is not known), the longest unseen first."""
        groups: dict[int | None, list[int]] = {}
        for task_id in self._longest_unseen_first(wanted):
            groups.setdefault(self._key(task_id, level), []).append(task_id)
        return groups

    def _key(self, task_id: int, level: int) -> int | None:
        task = self.tasks.get(task_id)
        if task is not None:
            return _NARROWINGS[level][1](task)
        return self._wanted.get(task_id) if level == 0 else None

    def _questions(self, wanted: Sequence[int]) -> int:
        """How many requests it takes to ask for tasks by assignee."""
        groups = self._groups(wanted, 0)
        return len(groups) + max(0, len(groups.get(None, ())) - 1)

    def _settle(self, task_ids: Sequence[int]) -> Generator[Call[Any], Any, None]:
        """Find out how tasks stand that are not open, or not any more, or may not be."""
        yield from self._sweep_done(task_ids)
        for task_id in self._longest_unseen_first(self._stale(task_ids)):
            if self._calls >= LONGEST_LOOK:
                return
            yield from self._read(task_id)

    def _sweep_done(self, task_ids: Sequence[int]) -> Generator[Call[Any], Any, None]:
        left = self._stale(task_ids)
        if len(left) > ONE_BY_ONE and self._calls < LONGEST_LOOK:
            yield from self._sweep(left, "done", 0, {})

    def _verify(self, endings: Sequence[Sequence[int]]) -> Generator[Call[Any], Any, None]:
        """See all the tasks of a wait in this look. At least one wait gets its turn, however many tasks it has."""
        groups = [[task_id for task_id in group if task_id not in self.deleted] for group in endings]
        yield from self._sweep_done([*dict.fromkeys(chain.from_iterable(groups))])
        has_read = False
        for group in groups:
            left = self._stale(group)
            if has_read and self._calls + len(left) > LONGEST_LOOK:
                self.unfinished = True
                continue
            for task_id in left:
                has_read = True
                yield from self._read(task_id)

    def _read_in_turn(self, hidden: Sequence[int]) -> Generator[Call[Any], Any, None]:
        unknown = [task_id for task_id in hidden if not self.is_known(task_id)]
        known = [task_id for task_id in hidden if self.is_known(task_id)]
        for task_id in [*unknown, *self._longest_unseen_first(known)[:IN_TURN]]:
            if self._calls >= LONGEST_LOOK:
                self.unfinished = self.unfinished or not self.is_known(task_id)
                return
            yield from self._read(task_id)

    def _longest_unseen_first(self, task_ids: Iterable[int]) -> list[int]:
        return sorted(task_ids, key=lambda task_id: self._seen_in.get(task_id, 0))

    def _read(self, task_id: int) -> Generator[Call[Any], Any, None]:
        self._calls += 1
        try:
            task = yield get_task(self.room_id, task_id)
        except ChatworkNotFoundError:
            if task_id in self._wanted:
                self.deleted.add(task_id)
                self.changed.add(task_id)
                self._seen_in[task_id] = self._look
        else:
            self._note(task)

    def _note(self, task: models.Task) -> None:
        task_id = task["task_id"]
        if task_id not in self._wanted:
            return
        self._seen_in[task_id] = self._look
        if self.tasks.get(task_id) != task or task_id in self.deleted:
            self.deleted.discard(task_id)
            self.tasks[task_id] = task
            self.changed.add(task_id)

    def _stale(self, task_ids: Iterable[int]) -> list[int]:
        # Not those that a wait has left while the look was under way.
        return [task_id for task_id in task_ids if task_id in self._wanted and not self.is_fresh(task_id)]
