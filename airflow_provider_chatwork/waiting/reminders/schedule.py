"""When reminders and the escalation are due: from the times of the tasks, and from nothing that is remembered.

A triggerer that starts again comes to the same moments, with the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api.models import Task
from airflow_provider_chatwork.utils.business_hours import Hours
from airflow_provider_chatwork.utils.holidays import is_holiday
from airflow_provider_chatwork.utils.quiet_hours import QuietHours
from airflow_provider_chatwork.waiting.reminders.spec import Escalation, Reminder

# So many waits there may be in one triggerer; each is asked for its moments again and again.
_REMEMBERED = 20_000
# Where no calendar leads to: thousands of years from now.
_NO_TIME = 10**11


class Due(NamedTuple):
    """When a task is due, in Unix seconds; ``day`` where a day is meant, of which this is the last second."""

    at: float
    day: bool


@dataclass(frozen=True)
class Calendar:
    """What makes hours out of what an author wrote.

    :param zone: IANA name of the zone that days and hours are meant in.
    :param holiday: tells a holiday.
    """

    zone: str
    holiday: Callable[[date], bool] = is_holiday

    def hours(self, source: Reminder | Escalation) -> Hours:
        """When people may hear of it."""
        quiet = source.quiet_hours if isinstance(source.quiet_hours, QuietHours) else None
        return Hours(self.zone, source.business_days_only, quiet, self.holiday)


@dataclass(frozen=True)
class Moment:
    """When something is to be sent.

    :param at: Unix seconds, in open hours.
    :param number: which one it is among all reminders since the task was given, or for its due date; from 1.
    :param due: the due date it is sent for; ``None`` for a reminder that is counted since the task was given.
    :param source: what the author wrote of it.
    """

    at: float
    number: int
    due: Due | None
    source: Reminder | Escalation


def task_due(task: Task, zone: str) -> Due | None:
    """When a task is due; ``None`` where it never is.

    :param zone: IANA name of the zone whose day is meant, where it is a day.
    """
    limit = task.get("limit_time") or 0
    if not 0 < limit < _NO_TIME or task.get("limit_type") == "none":
        return None
    if task.get("limit_type") == "date":
        there = ZoneInfo(zone)
        # Chatwork shows such tasks with any time of their day.
        last = datetime.combine(datetime.fromtimestamp(limit, there).date(), time(23, 59, 59), there)
        return Due(last.timestamp(), True)
    return Due(float(limit), False)


def earliest_due(tasks: Iterable[Task], zone: str) -> Due | None:
    """The due date that counts for tasks that were given together."""
    return min((due for task in tasks if (due := task_due(task, zone)) is not None), default=None)


def reminders_at(reminders: Sequence[Reminder], created_at: float, due: Due | None, calendar: Calendar) -> list[Moment]:
    """All moments of reminders, in their order, no two at the same time.

    :param created_at: when the task was given, in Unix seconds.
    :param due: the due date as it is now.
    """
    chosen: dict[float, Moment] = {}
    since = {reminder: _since_given(reminder, created_at, calendar) for reminder in reminders}
    until = {reminder: _for_due(reminder, created_at, due, calendar) if due else () for reminder in reminders}
    # Numbers are given before anything is left out: those since the task was given do not change with its due date.
    numbers = [_numbered(series.values()) for series in (since, until)]
    for reminder in reminders:
        both: list[tuple[float, int, Due | None]] = [(at, numbers[0][at], None) for at in since[reminder]]
        both += [(at, numbers[1][at], due) for at in until[reminder]]
        for at, number, of in sorted(both, key=lambda each: each[0])[: reminder.at_most]:
            # At the same time, the one for the due date says more.
            if at not in chosen or (chosen[at].due is None and of is not None):
                chosen[at] = Moment(at, number, of, reminder)
    return [chosen[at] for at in sorted(chosen)]


def escalation_at(escalation: Escalation, due: Due, calendar: Calendar) -> Moment:
    """When somebody else is told that a due date has passed."""
    return Moment(calendar.hours(escalation).next_open(due.at + seconds(escalation.grace)), 1, due, escalation)


def seconds(value: object) -> float:
    """A duration of the values of ``values.py``, which hold nothing but timedeltas once they are made."""
    assert isinstance(value, timedelta)
    return value.total_seconds()


@lru_cache(maxsize=_REMEMBERED)
def _since_given(reminder: Reminder, created_at: float, calendar: Calendar) -> tuple[float, ...]:
    if reminder.after is None and reminder.before_due is not None:
        return ()
    first = reminder.every if reminder.after is None else reminder.after
    start = created_at + seconds(first)
    every = None if reminder.every is None else seconds(reminder.every)
    hours = calendar.hours(reminder)

    def shifted(moment: float) -> tuple[float, float]:
        later = hours.next_open(moment)
        return later, later

    return tuple(islice(_series(start, every, shifted), reminder.at_most))


@lru_cache(maxsize=_REMEMBERED)
def _for_due(reminder: Reminder, created_at: float, due: Due, calendar: Calendar) -> tuple[float, ...]:
    if reminder.before_due is None:
        return ()
    hours = calendar.hours(reminder)
    start = due.at - seconds(reminder.before_due)
    # With `after`, it is that series which goes on.
    every = None if reminder.every is None or reminder.after is not None else seconds(reminder.every)
    if start <= created_at and every is not None:
        start += every * (math.floor((created_at - start) / every) + 1)

    def shifted(moment: float) -> tuple[float, float]:
        later = hours.next_open(moment)
        if moment < due.at <= later:
            # "It is due tomorrow" must not be said when it was due yesterday.
            earlier = hours.last_open(moment)
            if earlier > created_at:
                return earlier, math.nextafter(due.at, 0)
        return later, later

    # What would be said right when the task is given need not be said.
    return tuple(islice(_series(start, every, shifted), reminder.at_most)) if start > created_at else ()


def _series(start: float, every: float | None, shifted: Callable[[float], tuple[float, float]]) -> Iterator[float]:
    """The moments of a series in open hours, each once, and none right after one that open hours have moved.

    :param shifted: the open moment for a moment of the series, and up to when the later ones have the same.
    """
    last, index = -math.inf, 0
    while True:
        at, through = shifted(start + (every or 0) * index)
        if at > last and at - last >= (every or 0) / 2:
            yield at
            last = at
        if every is None:
            return
        index = max(index, math.floor((through - start) / every)) + 1


def _numbered(series: Iterable[Iterable[float]]) -> dict[float, int]:
    return {at: number for number, at in enumerate(sorted({at for each in series for at in each}), 1)}
