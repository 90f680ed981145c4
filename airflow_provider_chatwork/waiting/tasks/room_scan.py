"""One look at all the tasks of a room that anybody waits for, with as few requests as Chatwork lets it take.

Most looks are one list of open tasks: what is in it is open. What should be in it and is not has changed, and is asked
for: one task by itself, more of them with a list of the done ones. A list ends at 100 tasks, whatever the question;
a full one says nothing about what is not in it. Then the question is narrowed, first to an assignee, then to who gave
the tasks, and what is hidden even so is read one by one, the longest unseen first.
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
from airflow_provider_chatwork.waiting.tasks.status import GONE_AFTER
from airflow_provider_chatwork.waiting.tasks.task_cache import Enough, Sightings

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

_Sweep: TypeAlias = CallFlow[tuple[list[int], list[int]]]


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


class RoomTasks(Sightings):
    """What is known of the tasks of a room that are waited for.

    :param room_id: the room.
    """

    def __init__(self, room_id: int | str) -> None:
        super().__init__(room_id)
        #: Whether the last look left something for another one right after it.
        self.unfinished = False
        # What the last looks left ...
        self._left: list[int] = []
        # ... and what they left that is known but hidden, and may wait for its turn.
        self._turn: list[int] = []
        # What no list shows, however narrow.
        self._unlisted: set[int] = set()
        self._urgent: Collection[int] = ()
        self._whole_looks = 0
        self._is_thorough = False
        self._full = False
        self._hidden_questions = 0

    @property
    def in_turn(self) -> int:
        """How many known tasks that are hidden no look has come to since the last whole one."""
        return len(self._turn)

    @property
    def unseen(self) -> set[int]:
        """The tasks that neither the last whole look has seen nor one that went on with it."""
        return {*self._left, *self._turn, *self.unanswered, *self.refused, *self._doubted()}

    def look(
        self,
        ending: Callable[[], Iterable[Sequence[int]]],
        *,
        whole: bool = True,
        urgent: Collection[int] = (),
    ) -> CallFlow[None]:
        """Look once. Yields the calls to run.

        What is seen is noted whatever follows. An answer that tells nothing is noted in ``trouble`` and ``refused``,
        and the look goes on. Only what concerns all tasks comes out: that the list of the whole room is refused or
        cannot be had, that the token is revoked, that nothing at all was answered.

        :param ending: names, after all that, for each wait that would end the tasks by which it would; those not seen
            in this look are looked at, so that a wait ends by what is true at one time.
        :param whole: whether to look at all tasks, or only to go on with what the last look has left.
        :param urgent: the tasks that come before others where they are hidden.
        """
        self._begin()
        self.unfinished = False
        self._urgent = urgent
        self._is_thorough = False
        if whole:
            self._whole_looks += 1
            self._is_thorough = self._whole_looks % _THOROUGH == 0
            self._left = [task_id for task_id in self._wanted if self._is_open(task_id)]
            self._turn = []
            self._unlisted.clear()
        try:
            yield from self._look_at_all() if whole else self._go_on()
        except Enough:
            self.unanswered.update(self._stale({*self._left} - {*self._turn}))
        is_answered = self.trouble is None or self._calls > self._failures
        if is_answered and not isinstance(self.trouble, ChatworkRateLimitError):
            failures, self._failures = self._failures, 0
            with suppress(Enough):
                yield from self._verify([*ending()])
            self._failures += failures
        if whole and self.trouble is not None and self._calls == self._failures:
            raise self.trouble
        self._put_aside()

    def _put_aside(self) -> None:
        """Note what the look has left, for the next ones."""
        unseen = {task_id for task_id in self._wanted if not self.is_fresh(task_id) and task_id not in self.refused}
        waiting = unseen.intersection(self._turn) - self.unanswered
        self._turn = [task_id for task_id in self._turn if task_id in waiting]
        left = unseen.intersection(self._left) - waiting
        self._left = [task_id for task_id in self._left if task_id in left]
        self.unfinished = self.unfinished or bool(left.union(self._doubted()) - self.unanswered - {*self.refused})

    def _look_at_all(self) -> CallFlow[None]:
        yield from self._read_missed()
        yield from self._look_at_open(self._stale(self._left))
        if self._is_thorough:
            yield from self._settle([task_id for task_id in self._wanted if self._is_done(task_id)])

    def _go_on(self) -> CallFlow[None]:
        yield from self._read_missed()
        if left := self._stale(self._left):
            yield from self._look_at_open(left)
            return
        turn = self._stale(self._turn)
        listed = [task_id for task_id in turn if task_id not in self._unlisted]
        changed, _ = yield from self._narrow(listed, "open", 0, {})
        yield from self._settle(changed)
        yield from self._read_in_turn(self._stale({*turn} - {*changed}))

    def _look_at_open(self, wanted: Sequence[int]) -> CallFlow[None]:
        if len(wanted) == 1:
            yield from self._read(wanted[0])
        elif wanted:
            changed, hidden = yield from self._sweep_open(wanted)
            yield from self._settle(changed)
            self._turn += [task_id for task_id in hidden if self.is_known(task_id)]
            yield from self._read_in_turn(hidden)

    def _read_missed(self) -> CallFlow[None]:
        """Ask once more for what Chatwork did not know."""
        for task_id in self._stale(self._doubted()):
            if self._calls >= LONGEST_LOOK:
                return
            yield from self._read(task_id)

    def _doubted(self) -> list[int]:
        return [task_id for task_id in self._missed if task_id not in self.deleted]

    def _is_open(self, task_id: int) -> bool:
        return task_id not in self.deleted and not self._is_done(task_id)

    def _sweep_open(self, wanted: Sequence[int]) -> _Sweep:
        """Find the open tasks among the wanted ones; returns what changed, and what is hidden."""
        if not self._full or self._is_thorough or self._questions(wanted) > 1 + self._hidden_questions:
            self._full = False
            changed, hidden = yield from self._sweep(wanted, "open", 0, {})
        else:
            changed, hidden = yield from self._narrow(wanted, "open", 0, {})
        return self._stale(changed), self._stale(hidden)

    def _sweep(self, wanted: Sequence[int], status: str, level: int, query: Mapping[str, int]) -> _Sweep:
        call = strict_empty_list(list_tasks(self.room_id, status=status, **query))
        try:
            page: list[models.Task] | None = yield from self._ask(call, wanted)
        except ChatworkAuthError:
            raise
        except ChatworkApiError:
            if not query:
                raise
            # Whom it was narrowed to may be gone; the room is there, and so may be the tasks.
            return [], [*wanted]
        if page is None:
            if status == "open" and not query:
                # All the rest depends on it.
                raise Enough
            # A list that cannot be had is not the only way to them.
            self._tried.difference_update(wanted)
            self.unanswered.difference_update(wanted)
            return [], [*wanted]
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
            if status == "open":
                self._unlisted.update(wanted)
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

    def _settle(self, task_ids: Sequence[int]) -> CallFlow[None]:
        """Find out how tasks stand that are not open, or not any more, or may not be."""
        yield from self._sweep_done(task_ids)
        for task_id in self._longest_unseen_first(self._stale(task_ids)):
            if self._calls >= LONGEST_LOOK:
                return
            yield from self._read(task_id)

    def _sweep_done(self, task_ids: Sequence[int]) -> CallFlow[None]:
        left = self._stale(task_ids)
        if len(left) > ONE_BY_ONE and self._calls < LONGEST_LOOK:
            yield from self._sweep(left, "done", 0, {})

    def _verify(self, endings: Sequence[Sequence[int]]) -> CallFlow[None]:
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

    def _read_in_turn(self, hidden: Sequence[int]) -> CallFlow[None]:
        first = [task_id for task_id in hidden if not self.is_known(task_id) or task_id in self._urgent]
        others = [task_id for task_id in hidden if task_id not in {*first}]
        for task_id in [*first, *self._longest_unseen_first(others)[:IN_TURN]]:
            if self._calls >= LONGEST_LOOK:
                return
            yield from self._read(task_id)


def read_each(tasks: RoomTasks, task_ids: Iterable[int]) -> CallFlow[None]:
    """Read tasks one by one where they cannot be listed. Yields the calls to run.

    :param tasks: gets each task as soon as it is read.
    """
    for task_id in task_ids:
        single = RoomTasks(tasks.room_id)
        single.want(task_id)
        for _ in range(GONE_AFTER):
            yield from single.look(tuple)
            single.check()
            if single.is_known(task_id):
                break
        tasks.tasks.update(single.tasks)
        tasks.deleted |= single.deleted
