"""Business days, Japanese holidays and quiet hours: when people may be notified."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Final
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError

log = logging.getLogger(__name__)

#: In the order of ``datetime.weekday``.
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

# The severities of alerts that can be a limit; nothing is below the lowest one, `info`.
_LIMITS = ("warning", "error", "critical")
# How many days ahead an open hour is searched for.
_MAX_DAYS = 62
_FRIDAY = 4


@dataclass(frozen=True, kw_only=True)
class QuietHours:
    """A part of some days, whole days, or both.

    Times and days are local, in the time zone of the datetime given to :meth:`contains`.

    :param start: the first quiet minute, as ``HH:MM``; with ``end``.
    :param end: the first minute that is not quiet any more, as ``HH:MM``. Earlier than ``start``: on the next day.
    :param below: alerts of severities below this one are quiet: with ``error``, these are info and warning.
    :param days: days of the week (``mon`` to ``sun``) on which the quiet time starts; a night that starts on a Friday
        is quiet until Saturday morning. ``None``: every day.
    :param days_off: days of the week that are quiet as a whole, from midnight to midnight.
    :raises ChatworkParameterError: for a wrong field, which it names.
    """

    start: str | None = None
    end: str | None = None
    below: str = "error"
    days: str | Sequence[str] | None = None
    days_off: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        validation.choice("below", self.below, _LIMITS)
        for name in ("start", "end"):
            if getattr(self, name) is not None:
                _time(name, getattr(self, name))
        for name in ("days", "days_off"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _days(name, getattr(self, name)))
        if (self.start is None) != (self.end is None):
            missing = "start" if self.start is None else "end"
            raise ChatworkParameterError(missing, None, "give both start and end, or only days_off")
        if self.start is None and self.days_off is None:
            raise ChatworkParameterError("start", None, "give start and end, days_off, or all three")
        if self.start is None and self.days is not None:
            raise ChatworkParameterError("days", self.days, "give start and end too, or days_off for whole days")
        if self.start is not None and self.start == self.end:
            raise ChatworkParameterError("end", self.end, "give another time than start; for whole days, give days_off")

    def contains(self, now: datetime) -> bool:
        """Return whether a time is quiet.

        :param now: a datetime with the time zone in which the hours are meant.
        :raises ChatworkParameterError: for a datetime without a time zone.
        """
        if now.utcoffset() is None:
            raise ChatworkParameterError("now", now, "give a moment with a time zone")
        return DAYS[now.weekday()] in (self.days_off or ()) or self._is_between(now)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, as plain JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    def _is_between(self, now: datetime) -> bool:
        if self.start is None or self.end is None:
            return False
        start, end, clock = _time("start", self.start), _time("end", self.end), now.time()
        if start < end:
            began = now.weekday() if start <= clock < end else None
        elif clock >= start:
            began = now.weekday()
        else:
            began = (now.weekday() - 1) % 7 if clock < end else None
        return began is not None and (self.days is None or DAYS[began] in self.days)


@lru_cache(maxsize=2000)
def is_holiday(day: date) -> bool:
    """Return whether a day is a Japanese holiday; ``False`` without the extra ``holidays``, which is logged once."""
    check = _holiday_check()
    return check is not None and bool(check(day))


@cache
def _holiday_check() -> Callable[[date], Any] | None:
    try:
        # By its name, as mypy may run without the library.
        return import_module("jpholiday").is_holiday  # type: ignore[no-any-return]
    except ImportError:
        log.info(
            "jpholiday is not installed, so business days are Monday to Friday, holidays included. "
            "To leave out Japanese holidays: pip install 'airflow-provider-chatwork[holidays]'"
        )
        return None


@dataclass(frozen=True)
class BusinessHours:
    """The hours in which people may be reminded. Times are Unix seconds.

    :param zone: IANA name of the time zone of days and quiet hours.
    :param business_days_only: whether Saturdays, Sundays and holidays are closed.
    :param quiet_hours: closed hours of a day, closed days, or both.
    :param is_holiday: whether a day is a holiday.
    """

    zone: str
    business_days_only: bool = True
    quiet_hours: QuietHours | None = None
    is_holiday: Callable[[date], bool] = is_holiday

    def are_open(self, at: float) -> bool:
        """Return whether people may be reminded at a time."""
        local = datetime.fromtimestamp(at, ZoneInfo(self.zone))
        if self.business_days_only and (local.weekday() > _FRIDAY or self.is_holiday(local.date())):
            return False
        return self.quiet_hours is None or not self.quiet_hours.contains(local)

    def next_open(self, at: float) -> float:
        """Return the first open time that is not before a time.

        :raises ChatworkParameterError: where there is none within two months.
        """
        if self.are_open(at):
            return at
        for opening in self._possible_openings(at):
            if opening > at and self.are_open(opening):
                return opening
        raise ChatworkParameterError(
            "quiet_hours", self.quiet_hours, f"leave some hours open; there are none in {_MAX_DAYS} days"
        )

    def _possible_openings(self, at: float) -> Iterator[float]:
        """Yield midnight and the end of the quiet hours of each day, beginning with the day of a time."""
        zone = ZoneInfo(self.zone)
        today = datetime.fromtimestamp(at, zone).date()
        clocks = {time(0)}
        if self.quiet_hours is not None and self.quiet_hours.end is not None:
            clocks.add(time.fromisoformat(self.quiet_hours.end))
        for days in range(_MAX_DAYS):
            day = today + timedelta(days=days)
            # On the night when clocks are put back, one local time stands for two times.
            yield from sorted(
                {
                    datetime.combine(day, clock, zone).replace(fold=fold).timestamp()
                    for clock in clocks
                    for fold in (0, 1)
                }
            )


def _time(name: str, value: object) -> time:
    if not isinstance(value, str) or not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ChatworkParameterError(name, value, "give a time from 00:00 to 23:59 as a text HH:MM, such as 07:00")
    return time.fromisoformat(value)


def _days(name: str, value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not items:
        raise ChatworkParameterError(name, value, f"give a list of {', '.join(DAYS)}, or leave it out")
    days = [item.strip().lower() if isinstance(item, str) else item for item in items]
    for day in days:
        validation.choice(name, day, DAYS)
    # In the order of the week, so that equal quiet hours compare equal.
    return tuple(day for day in DAYS if day in days)
