"""Where a wait for a message begins: behind a message, or at a time."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError

#: Where a wait begins, as plain JSON: text is a message id, behind which it begins; a number is the Unix time in
#: seconds of the first second that belongs to it.
Since: TypeAlias = int | str

_SINCE = "give a message id, a Unix time in seconds, a datetime, or ISO 8601 text such as 2026-12-01T18:00+09:00"
_NUMBER = re.compile(r"([0-9]{1,20})(?:\.[0-9]*)?")
# In 2001, when there was no Chatwork; what is less may be a day without dashes (20261201).
_FIRST_TIME = 10**9
# Unix seconds reach this in the year 5138; the ids that Chatwork gives today have 19 digits, Unix milliseconds 13.
_FIRST_NO_TIME = 10**11
_FIRST_ID = 10**15


def read_since(since: object, timezone: str) -> Since | None:
    """Where a wait begins, from what a DAG says.

    :param since: a message id; a Unix time in seconds; a datetime or a day; or any of them as text, moments in ISO
        8601. Nothing, also as a template renders it, is ``None``.
    :param timezone: IANA name of the zone where a day, or a moment without a zone of its own, is meant.
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
        return _second_of(value, ZoneInfo(timezone))
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ChatworkParameterError("since", since, _SINCE)
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    digits = _NUMBER.fullmatch(text)
    number = int(digits[1]) if digits else 0
    if number < _FIRST_TIME:
        raise ChatworkParameterError("since", since, _SINCE)
    if number < _FIRST_NO_TIME:
        return number
    if number < _FIRST_ID:
        raise ChatworkParameterError("since", since, f"this looks like milliseconds; {_SINCE}")
    if "." in text:
        raise ChatworkParameterError("since", since, "a message id does not fit a float; give it as a text of digits")
    return str(number)


def _second_of(moment: date, zone: ZoneInfo) -> int:
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    # Down to the whole second, as that is how Chatwork writes times: what was sent within it is not to be missed.
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() // 1)
