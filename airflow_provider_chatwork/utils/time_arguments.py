"""When a task is due: from the words of a DAG to Chatwork's ``limit`` and ``limit_type``."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

import pendulum

from airflow_provider_chatwork.api.errors import ChatworkParameterError

#: A day, a moment, a while from now, or any of them as ISO 8601 text (``2026-12-01``, ``2026-12-01T18:00``, ``P2D``).
Due: TypeAlias = date | datetime | timedelta | str

_REMEDY = (
    "give a date, a datetime, a timedelta, or ISO 8601 text such as 2026-12-01, 2026-12-01T18:00+09:00 or P2D "
    "(in two days)"
)
# What would be read as the first day of a year or month, or by another clock.
_TOO_SHORT = re.compile(r"[0-9]{4}(-?[0-9]{2})?|now")


def limit_of(due: Due, timezone: str, now: float) -> tuple[int, str]:
    """Turn ``due`` into the arguments ``limit`` (Unix seconds) and ``limit_type`` of ``create_task``.

    A day is due at its last second and becomes a ``date`` deadline; all else becomes a ``time`` deadline.

    :param timezone: IANA name of the zone where a day, or a moment without a zone of its own, is meant.
    :param now: the Unix time a while is counted from.
    :raises ChatworkParameterError: for anything else.
    """
    if isinstance(due, str):
        due = _parsed(due, timezone)
    zone = ZoneInfo(timezone)
    if isinstance(due, pendulum.Duration):
        # A month is a month here, not 30 days.
        return int((pendulum.from_timestamp(now, tz=timezone) + due).timestamp()), "time"
    if isinstance(due, timedelta):
        return int(now + due.total_seconds()), "time"
    if isinstance(due, datetime):
        return int((due if due.tzinfo else due.replace(tzinfo=zone)).timestamp()), "time"
    if isinstance(due, date):
        return int(datetime.combine(due, time(23, 59, 59), zone).timestamp()), "date"
    raise ChatworkParameterError("due", due, _REMEDY)


def _parsed(text: str, timezone: str) -> date | datetime | timedelta:
    if _TOO_SHORT.fullmatch(text.strip()):
        raise ChatworkParameterError("due", text, _REMEDY)
    try:
        parsed = pendulum.parse(text.strip(), exact=True, tz=timezone)
    except (ValueError, OverflowError):
        raise ChatworkParameterError("due", text, _REMEDY) from None
    if not isinstance(parsed, (date, timedelta)) or isinstance(parsed, pendulum.Interval):
        raise ChatworkParameterError("due", text, _REMEDY)
    return parsed
