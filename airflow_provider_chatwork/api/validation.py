"""Checks of the operations' arguments, made before anything is sent.

Numbers are accepted as text, because templates render text. Every function returns the value in the form that Chatwork
expects, or raises :class:`~airflow_provider_chatwork.api.errors.ChatworkParameterError`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from numbers import Real
from typing import Any, TypeVar

from airflow_provider_chatwork.api.errors import ChatworkParameterError

T = TypeVar("T")

#: Longest message, task or comment, in characters. https://developer.chatwork.com/reference/post-rooms-room_id-messages
MAX_BODY = 65535
#: Longest room name, in characters. https://developer.chatwork.com/reference/post-rooms
MAX_NAME = 255
#: Largest file, in bytes. https://developer.chatwork.com/reference/post-rooms-room_id-files
MAX_FILE = 5 * 1024 * 1024

LIMIT_TYPES = ("none", "date", "time")
TASK_STATUSES = ("open", "done")
#: The languages of the texts that this package posts.
LANGUAGES = ("ja", "en")
ICON_PRESETS = (
    *("group", "check", "document", "meeting", "event", "project", "business", "study", "security", "star", "idea"),
    *("heart", "magcup", "beer", "music", "sports", "travel"),
)

_LINK_CODE = re.compile(r"[A-Za-z0-9_-]{1,50}")
_MEDIA_TYPE = re.compile(r"[!#$&^\w.+-]+/[!#$&^\w.+-]+(;[ -~]*)?", re.ASCII)
# As Unix seconds this is the year 5138, as Unix milliseconds 1973.
_MILLISECONDS = 10**11
# The deadline of a `date` task is a day in Japan, in whatever time zone the caller is.
_JAPAN = timezone(timedelta(hours=9))


def none_if_blank(value: T) -> T | None:
    """An optional argument. ``None`` also for ``""`` and ``"None"``, which templates render for no value."""
    return None if value in ("", "None") else value


def _whole_number(value: Any) -> int | None:
    """A positive whole number as an ``int``; ``None`` for another value.

    SQL and pandas give whole numbers as ``Decimal``, as integers of numpy or as floats. A float from 2**53 on may be
    rounded, so it counts as another value.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        number = int(value.strip()) if re.fullmatch(r"[0-9]{1,18}", value.strip()) else 0
    elif isinstance(value, (Decimal, Real)) and not hasattr(value, "__index__"):
        is_exact = math.isfinite(value) and value == value // 1 and (isinstance(value, Decimal) or value < 2**53)
        number = int(value) if is_exact else 0  # type: ignore[arg-type]
    else:
        number = operator.index(value) if hasattr(value, "__index__") else 0
    return number if number > 0 else None


def identifier(parameter: str, value: object) -> int:
    """Check the id of a room, account, task, file or request: a positive whole number of any type, or its digits."""
    number = value if type(value) is int and value > 0 else _whole_number(value)
    if number is None:
        raise ChatworkParameterError(parameter, value, "give the id as a positive whole number")
    return number


def identifiers(parameter: str, value: object, *, required: bool = True) -> list[int]:
    """Check several ids, given as an iterable or as one comma-separated text. Returns each once, in the order given.

    The text may also be a rendered list: ``[1, 2]``, ``['1', '2']``.
    """
    if isinstance(value, str):
        bare = (item.strip().strip("'\"") for item in value.strip().strip("[]()").split(","))
        items: Iterable[object] = [item for item in bare if item]
    elif isinstance(value, Iterable) and not isinstance(value, (bytes, dict)):
        items = value
    else:
        items = () if value is None else (value,)
    found = list(dict.fromkeys(identifier(parameter, item) for item in items))
    if required and not found:
        raise ChatworkParameterError(parameter, value, "give at least one id")
    return found


def message_identifier(parameter: str, value: object) -> str:
    """Check a message id: digits, kept as text because a float cannot hold it."""
    number = None if isinstance(value, (str, float)) else _whole_number(value)
    text = value.strip() if isinstance(value, str) else str(number)
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise ChatworkParameterError(parameter, value, "give the message id as a text of digits")
    return text


def text(parameter: str, value: object, *, longest: int = MAX_BODY) -> str:
    """Check a text of 1 to ``longest`` characters that can be encoded as UTF-8."""
    if not isinstance(value, str):
        raise ChatworkParameterError(parameter, value, f"give a text, not {type(value).__name__}")
    if not value:
        raise ChatworkParameterError(parameter, value, f"give a text of 1 to {longest} characters; this one is empty")
    if len(value) > longest:
        raise ChatworkParameterError(
            parameter, value, f"give at most {longest} characters; shorten it with notation.fit or upload it as a file"
        )
    return require_utf8(parameter, value)


def require_utf8(parameter: str, value: object) -> str:
    """Check a text of any length that can be encoded as UTF-8."""
    if not isinstance(value, str):
        raise ChatworkParameterError(parameter, value, f"give a text, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ChatworkParameterError(
            parameter,
            value,
            f"the character at {error.start} is half a surrogate pair; decode the text with errors='replace'",
        ) from None
    return value


def choice(parameter: str, value: object, allowed: tuple[str, ...]) -> str:
    """Check that a value is one of the ``allowed`` words."""
    if not isinstance(value, str) or value not in allowed:
        raise ChatworkParameterError(parameter, value, f"give one of {', '.join(allowed)}")
    return value


def flag(parameter: str, value: object) -> str:
    """Check a boolean. Returns it as Chatwork expects it: ``1`` or ``0``."""
    if value not in (True, False):
        raise ChatworkParameterError(parameter, value, "give True or False")
    return "1" if value else "0"


def link_code(parameter: str, value: object) -> str:
    """Check the last part of an invite link. https://developer.chatwork.com/reference/post-rooms-room_id-link"""
    if not isinstance(value, str) or not _LINK_CODE.fullmatch(value):
        raise ChatworkParameterError(parameter, value, "give 1 to 50 of the characters A-Z a-z 0-9 _ -")
    return value


def media_type(parameter: str, value: object) -> str:
    """Check the media type of a file, such as ``text/csv``."""
    if not isinstance(value, str) or not _MEDIA_TYPE.fullmatch(value):
        raise ChatworkParameterError(parameter, value, "give a media type such as text/csv")
    return value


def file_size(parameter: str, size: int, value: object = None) -> None:
    """Check the size of a file in bytes.

    :param value: the value that the error shows; the size if not given.
    """
    if size > MAX_FILE:
        raise ChatworkParameterError(
            parameter,
            size if value is None else value,
            f"Chatwork takes files of at most {MAX_FILE} bytes (5 MiB); compress or split it",
        )


def limit(parameter: str, value: object) -> int:
    """Check the deadline of a task in Unix seconds."""
    number = _whole_number(value)
    if number is None:
        raise ChatworkParameterError(parameter, value, "give the deadline in Unix seconds, as a positive whole number")
    if number >= _MILLISECONDS:
        raise ChatworkParameterError(parameter, value, "this looks like milliseconds; give Unix seconds")
    return number


def require_future_deadline(parameter: str, value: int, limit_type: str, now: float) -> None:
    """Refuse a deadline in the past. That of a ``date`` task passes when its day ends in Japan."""
    if limit_type == "date":
        is_future = datetime.fromtimestamp(value, _JAPAN).date() >= datetime.fromtimestamp(now, _JAPAN).date()
    else:
        is_future = value > now
    if not is_future:
        when = datetime.fromtimestamp(value, _JAPAN).isoformat()
        raise ChatworkParameterError(parameter, value, f"{when} is in the past; give a later deadline or none")
