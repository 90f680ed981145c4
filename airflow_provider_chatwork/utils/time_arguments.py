"""Arguments of operators, sensors and reminders that are times: due dates, durations, and where a wait begins."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError

#: A day, a time, a duration from now, or one of these as ISO 8601 text (``2026-12-01``, ``2026-12-01T18:00``, ``P2D``).
Due: TypeAlias = date | datetime | timedelta | str
#: A timedelta, seconds (also as text), or ISO 8601 text such as ``PT4H`` or ``P1D``.
Duration: TypeAlias = timedelta | int | float | str
#: Where a wait for messages begins, as plain JSON: a message id as text, for the messages after it; or a number, the
#: Unix time in whole seconds of the first message.
Since: TypeAlias = int | str

#: The longest duration, in days. No task takes that long, and every calendar can add it to a date.
MAX_DAYS: Final = 3660

_DUE = (
    "give a date, a datetime, a timedelta, or ISO 8601 text such as 2026-12-01, 2026-12-01T18:00+09:00 or P2D "
    "(in two days)"
)
_DURATION = "give a timedelta, a number of seconds, or ISO 8601 text such as PT4H (four hours) or P1D (a day)"
_SINCE = "give a message id, a Unix time in seconds, a datetime, or ISO 8601 text such as 2026-12-01T18:00+09:00"

# pendulum would read the first day of a year or month, or the current time.
_INCOMPLETE_DUE = re.compile(r"[0-9]{4}(-?[0-9]{2})?|now")
_NUMBER = re.compile(r"([0-9]{1,20})(?:\.[0-9]*)?")
# In 2001, before Chatwork; smaller numbers may be days without dashes (20261201).
_MIN_UNIX_TIME = 10**9
# Unix seconds reach this in the year 5138. Message ids have 19 digits, Unix milliseconds 13.
_MAX_UNIX_TIME = 10**11
_MIN_MESSAGE_ID = 10**15


def parse_due(due: Due, timezone: str, now: float) -> tuple[int, str]:
    """Return the arguments ``limit`` (Unix seconds) and ``limit_type`` of ``create_task`` for a due date.

    A day is due at its last second and becomes a ``date`` deadline; all else becomes a ``time`` deadline.

    :param timezone: IANA name of the zone of a day, and of a time without a zone.
    :param now: the Unix time from which a duration counts.
    :raises ChatworkParameterError: for anything else.
    """
    # Imported here and below, so that a DAG file that writes timedeltas does not load it.
    import pendulum

    value: object = due
    if isinstance(due, str):
        text = due.strip()
        value = None if _INCOMPLETE_DUE.fullmatch(text) else _parse_iso(text, timezone)
    zone = ZoneInfo(timezone)
    if isinstance(value, pendulum.Duration):
        # A calendar month, not 30 days.
        return int((pendulum.from_timestamp(now, tz=timezone) + value).timestamp()), "time"
    if isinstance(value, timedelta):
        return int(now + value.total_seconds()), "time"
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=zone)).timestamp()), "time"
    if isinstance(value, date):
        return int(datetime.combine(value, time(23, 59, 59), zone).timestamp()), "date"
    raise ChatworkParameterError("due", due, _DUE)


def parse_duration(parameter: str, value: object, *, least: timedelta) -> timedelta:
    """Return a duration as a timedelta.

    :param parameter: the name of the value in errors.
    :param least: the shortest allowed duration.
    :raises ChatworkParameterError: for anything else, for months and years, which differ in length, and for a duration
        under ``least`` or over :data:`MAX_DAYS` days.
    """
    duration = _to_timedelta(parameter, value)
    if duration < least:
        raise ChatworkParameterError(parameter, value, f"give at least {least.total_seconds():g} seconds")
    if duration > timedelta(days=MAX_DAYS):
        raise ChatworkParameterError(parameter, value, f"give at most {MAX_DAYS} days")
    return duration


def parse_since(since: object, timezone: str) -> Since | None:
    """Return where a wait for messages begins, ``None`` for an empty value.

    :param since: a message id; a Unix time in seconds; a datetime or a day; or one of these as text, times in ISO 8601.
    :param timezone: IANA name of the zone of a day, and of a time without a zone.
    :raises ChatworkParameterError: for anything else, for a Unix time in milliseconds, and for one before 2001.
    """
    value = validation.none_if_blank(since.strip() if isinstance(since, str) else since)
    if value is None:
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ChatworkParameterError("since", since, _SINCE) from None
    if isinstance(value, date):
        return _whole_second(value, ZoneInfo(timezone))
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ChatworkParameterError("since", since, _SINCE)
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    digits = _NUMBER.fullmatch(text)
    number = int(digits[1]) if digits else 0
    if number < _MIN_UNIX_TIME:
        raise ChatworkParameterError("since", since, _SINCE)
    if number < _MAX_UNIX_TIME:
        return number
    if number < _MIN_MESSAGE_ID:
        raise ChatworkParameterError("since", since, f"this is a Unix time in milliseconds; {_SINCE}")
    if "." in text:
        raise ChatworkParameterError("since", since, "a message id does not fit a float; give it as a text of digits")
    return str(number)


def _to_timedelta(parameter: str, given: object) -> timedelta:
    value = given
    if isinstance(given, str):
        try:
            value = float(given)
        except ValueError:
            value = _parse_iso(given.strip())
    if getattr(value, "years", 0) or getattr(value, "months", 0):
        raise ChatworkParameterError(parameter, given, "give days instead of months or years")
    try:
        if isinstance(value, timedelta):
            # A plain timedelta, as subclasses compare, hash and serialize in other ways.
            return timedelta(seconds=value.total_seconds())
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return timedelta(seconds=value)
    except (ValueError, OverflowError):
        pass
    raise ChatworkParameterError(parameter, given, _DURATION)


def _parse_iso(text: str, timezone: str = "UTC") -> object:
    """Parse ISO 8601 text; ``None`` for an interval and for anything else."""
    import pendulum

    try:
        parsed: object = pendulum.parse(text, exact=True, tz=timezone)
    except (ValueError, OverflowError):
        return None
    return None if isinstance(parsed, pendulum.Interval) else parsed


def _whole_second(value: date, zone: ZoneInfo) -> int:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    # Rounded down, as Chatwork's times are whole seconds: a message of the same second must not be missed.
    return int((value if value.tzinfo else value.replace(tzinfo=zone)).timestamp() // 1)
