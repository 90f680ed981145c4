"""A while, as DAG authors, JSON and templates write it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeAlias

from airflow_provider_chatwork.api.errors import ChatworkParameterError

#: A timedelta, seconds (also as text), or ISO 8601 text such as ``PT4H`` or ``P1D``.
Duration: TypeAlias = timedelta | int | float | str

#: The longest while there is, in days. Far beyond any task, and short enough for every calendar.
LONGEST: Final = 3660

_REMEDY = "give a timedelta, a number of seconds, or ISO 8601 text such as PT4H (four hours) or P1D (a day)"


def duration(parameter: str, value: object, *, least: timedelta) -> timedelta:
    """Read a while.

    :param parameter: what an error calls the value.
    :param least: the shortest that makes sense.
    :raises ChatworkParameterError: for what is none, for months and years, which are not always of one length, and
        for a while under ``least`` or over :data:`LONGEST` days.
    """
    found = _read(parameter, value)
    if found < least:
        raise ChatworkParameterError(parameter, value, f"give at least {least.total_seconds():g} seconds")
    if found > timedelta(days=LONGEST):
        raise ChatworkParameterError(parameter, value, f"give at most {LONGEST} days")
    return found


def _read(parameter: str, value: object) -> timedelta:
    if isinstance(value, str):
        value = _parsed(parameter, value.strip())
    if getattr(value, "years", 0) or getattr(value, "months", 0):
        raise ChatworkParameterError(parameter, value, "give days instead of months or years")
    try:
        if isinstance(value, timedelta):
            # Whatever subclass it is: what is kept is compared, hashed and written as JSON.
            return timedelta(seconds=value.total_seconds())
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return timedelta(seconds=value)
    except (ValueError, OverflowError):
        pass
    raise ChatworkParameterError(parameter, value, _REMEDY)


def _parsed(parameter: str, text: str) -> object:
    try:
        return float(text)
    except ValueError:
        # Imported here, so that a DAG file that writes timedeltas does not load it.
        import pendulum

    try:
        parsed = pendulum.parse(text, exact=True)
    except (ValueError, OverflowError):
        parsed = None
    if not isinstance(parsed, timedelta) or isinstance(parsed, pendulum.Interval):
        raise ChatworkParameterError(parameter, text, _REMEDY)
    return parsed
