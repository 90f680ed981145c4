"""When reminders and the escalation are due.

Computed from the times of the tasks alone, so that a restarted triggerer computes the same times and numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api.models import Task
from airflow_provider_chatwork.utils.business_hours import BusinessHours, QuietHours, is_holiday
from airflow_provider_chatwork.waiting.reminders.spec import Escalation, Reminder

# A triggerer may run this many waits, each of which asks for its schedule again and again.
_CACHE_SIZE = 20_000
# Unix time beyond every calendar, thousands of years from now.
_NO_TIME = 10**11


class DueDate(NamedTuple):
    """When a task is due, in Unix seconds. Where a whole day is meant (``is_day``), its last second."""

    at: float
    is_day: bool


@dataclass(frozen=True)
class BusinessCalendar:
    """The time zone and the holidays of reminders.

    :param zone: IANA name of the time zone.
    :param is_holiday: whether a day is a holiday.
    """

    zone: str
    is_holiday: Callable[[date], bool] = is_holiday

    def hours(self, source: Reminder | Escalation) -> BusinessHours:
        """Return the hours in which a reminder or an escalation may be sent."""
        quiet_hours = source.quiet_hours if isinstance(source.quiet_hours, QuietHours) else None
        return BusinessHours(self.zone, source.business_days_only, quiet_hours, self.is_holiday)


@dataclass(frozen=True)
class ScheduledReminder:
    """A reminder, or an escalation, at one time.

    :param at: Unix time, in open hours.
    :param number: the number of the reminder among all reminders of the tasks, from 1.
    :param due: the due date that it depends on; ``None`` for a reminder that depends on when the tasks were created.
    :param source: what the author wrote.
    """

    at: float
    number: int
    due: DueDate | None
    source: Reminder | Escalation


def task_due(task: Task | Mapping[str, Any], zone: str) -> DueDate | None:
    """Return the due date of a task, ``None`` if it has none.

    :param zone: IANA name of the time zone of due dates that are days.
    """
    limit = task.get("limit_time") or 0
    if not 0 < limit < _NO_TIME or task.get("limit_type") == "none":
        return None
    if task.get("limit_type") == "date":
        zone_info = ZoneInfo(zone)
        # Chatwork returns any time of the day for these tasks.
        day = datetime.fromtimestamp(limit, zone_info).date()
        return DueDate(datetime.combine(day, time(23, 59, 59), zone_info).timestamp(), True)
    return DueDate(float(limit), False)


def earliest_due(tasks: Iterable[Task], zone: str) -> DueDate | None:
    """Return the earliest due date of tasks, which counts for all of them."""
    return min((due for task in tasks if (due := task_due(task, zone)) is not None), default=None)


def schedule_reminders(
    reminders: Sequence[Reminder], created_at: float, due: DueDate | None, calendar: BusinessCalendar
) -> list[ScheduledReminder]:
    """Return all reminders in the order of their times, at most one at a time.

    :param created_at: Unix time when the tasks were created.
    :param due: their due date as it is now.
    """
    sources: dict[float, Reminder] = {}
    for reminder in reminders:
        due_at = due.at if due is not None and reminder.before_due is not None else None
        for at in _times(reminder, created_at, due_at, calendar):
            # Of two at the same time, one that depends on the due date says more.
            if at not in sources or sources[at].before_due is None:
                sources[at] = reminder
    return [
        ScheduledReminder(at, number, None if sources[at].before_due is None else due, sources[at])
        for number, at in enumerate(sorted(sources), 1)
    ]


def schedule_escalation(escalation: Escalation, due: DueDate, calendar: BusinessCalendar) -> ScheduledReminder:
    """Return when an escalation is sent for a due date."""
    at = calendar.hours(escalation).next_open(due.at + seconds(escalation.grace))
    return ScheduledReminder(at, 1, due, escalation)


def unreachable_reminders(
    sources: Iterable[Reminder | Escalation],
    created_at: float,
    deadline: float,
    due: DueDate | None,
    calendar: BusinessCalendar,
) -> list[str]:
    """Describe the reminders and the escalation that are never sent, each in one sentence.

    :param created_at: Unix time when the tasks are created.
    :param deadline: Unix time when the wait ends.
    :param due: the due date with which the tasks are created.
    """
    sentences = []
    for source in sources:
        name = "escalation" if isinstance(source, Escalation) else "reminder"
        if due is None and (isinstance(source, Escalation) or source.before_due is not None):
            sentences.append(f"The {name} is not sent, as the task has no due date: give due, or limit")
            continue
        if isinstance(source, Reminder):
            first = next((each.at for each in schedule_reminders([source], created_at, due, calendar)), None)
        else:
            assert due is not None
            first = schedule_escalation(source, due, calendar).at
        if first is not None and first >= deadline:
            at, end = (
                f"{datetime.fromtimestamp(each, ZoneInfo(calendar.zone)):%Y-%m-%d %H:%M:%S}"
                for each in (first, deadline)
            )
            sentences.append(
                f"The {name} of {at} is not sent, as the wait ends at {end} ({calendar.zone}): give a longer timeout"
            )
    return sentences


def seconds(duration: object) -> float:
    """Return the seconds of a field of a reminder, which is always a timedelta once the reminder is made."""
    assert isinstance(duration, timedelta)
    return duration.total_seconds()


@lru_cache(maxsize=_CACHE_SIZE)
def _times(
    reminder: Reminder, created_at: float, due_at: float | None, calendar: BusinessCalendar
) -> tuple[float, ...]:
    every = None if reminder.every is None else seconds(reminder.every)
    if reminder.before_due is None:
        start = created_at + seconds(reminder.every if reminder.after is None else reminder.after)
    elif due_at is None:
        return ()
    else:
        start = due_at - seconds(reminder.before_due)
        if start <= created_at:
            # Nobody has to be reminded at the moment of the assignment.
            if every is None:
                return ()
            start += every * (math.floor((created_at - start) / every) + 1)
    return tuple(islice(_open_times(start, every, calendar.hours(reminder)), reminder.at_most))


def _open_times(start: float, every: float | None, hours: BusinessHours) -> Iterator[float]:
    """Yield the times of a series in open hours.

    Times in closed hours move to the next opening. A time less than half an interval after one that has moved is left
    out.
    """
    if every is None:
        yield hours.next_open(start)
        return
    last, index = -math.inf, 0
    while True:
        at = hours.next_open(start + every * index)
        if at - last >= every / 2:
            yield at
            last = at
        # The times in between have moved to the same opening.
        index = max(index, math.floor((at - start) / every)) + 1
