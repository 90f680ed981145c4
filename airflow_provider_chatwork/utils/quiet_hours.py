"""When alerts of low severity are kept quiet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, time
from typing import Any, Final

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError

#: In the order of ``datetime.weekday``.
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

# The severities of alerts that can be a limit; nothing is below the lowest one, `info`.
_LIMITS = ("warning", "error", "critical")


@dataclass(frozen=True, kw_only=True)
class QuietHours:
    """A part of some days, whole days, or both.

    Times and days are local, in the time zone of the datetime given to :meth:`contains`.

    :param start: when it becomes quiet, as ``HH:MM``; with ``end``.
    :param end: the first minute that is no longer quiet, as ``HH:MM``. Earlier than ``start``: on the next day.
    :param below: severities below this one are quiet: with ``error``, these are info and warning.
    :param days: days of the week (``mon`` to ``sun``) on which the quiet time starts; a night that starts on a Friday
        is quiet until Saturday morning. ``None``: every day.
    :param days_off: days of the week that are quiet as a whole, from midnight to midnight.
    :raises ChatworkParameterError: naming the field that cannot be right.
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
        return DAYS[now.weekday()] in (self.days_off or ()) or self._within_hours(now)

    def to_json(self) -> dict[str, Any]:
        """What is given, as plain JSON."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value is not None
        }

    def _within_hours(self, now: datetime) -> bool:
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


def _time(name: str, value: object) -> time:
    if not isinstance(value, str) or not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ChatworkParameterError(name, value, "give a time from 00:00 to 23:59 as a text HH:MM, such as 07:00")
    return time.fromisoformat(value)


def _days(name: str, value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not items:
        raise ChatworkParameterError(name, value, f"give a list of {', '.join(DAYS)}, or leave it out")
    found = [item.strip().lower() if isinstance(item, str) else item for item in items]
    for item in found:
        validation.choice(name, item, DAYS)
    # In the order of the week, so that the same days are the same hours.
    return tuple(day for day in DAYS if day in found)
