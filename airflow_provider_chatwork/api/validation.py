"""The arguments of the operations, checked before anything is sent.

Values may come from templates, so numbers are accepted as text too. Every function returns the value in the form the
wire wants and raises :class:`~airflow_provider_chatwork.api.errors.ChatworkParameterError` otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TypeVar

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
#: The languages in which this package speaks to people.
LANGUAGES = ("ja", "en")
ICON_PRESETS = (
    *("group", "check", "document", "meeting", "event", "project", "business", "study", "security", "star", "idea"),
    *("heart", "magcup", "beer", "music", "sports", "travel"),
)

_LINK_CODE = re.compile(r"[A-Za-z0-9_-]{1,50}")
_MEDIA_TYPE = re.compile(r"[!#$&^\w.+-]+/[!#$&^\w.+-]+(;[ -~]*)?", re.ASCII)
# Unix seconds reach this in the year 5138, Unix milliseconds did in 1973.
_MILLISECONDS = 10**11
# Chatwork dates its `date` tasks by the Japanese day, wherever the caller is.
_JAPAN = timezone(timedelta(hours=9))


def given(value: T) -> T | None:
    """The value of an optional argument; ``None`` for what a template of nothing renders to, too."""
    return None if value in ("", "None") else value


def identifier(parameter: str, value: object) -> int:
    """A room, account, task, file or request id: a positive whole number."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip()):
        value = int(value.strip())
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ChatworkParameterError(parameter, value, "give the id as a positive whole number")
    return value


def identifiers(parameter: str, value: object, *, required: bool = True) -> list[int]:
    """Several ids, as an iterable or as one comma-separated text; each once, in the order given.

    The text may be what a template makes of a list: ``[1, 2]``, ``['1', '2']``.
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
    """A message id: digits, kept as text because it does not fit a float."""
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise ChatworkParameterError(parameter, value, "give the message id as a text of digits")
    return text


def text(parameter: str, value: object, *, longest: int = MAX_BODY) -> str:
    """A text of 1 to ``longest`` characters that can be sent as UTF-8."""
    if not isinstance(value, str):
        raise ChatworkParameterError(parameter, value, f"give a text, not {type(value).__name__}")
    if not value:
        raise ChatworkParameterError(parameter, value, f"give a text of 1 to {longest} characters; this one is empty")
    if len(value) > longest:
        raise ChatworkParameterError(
            parameter, value, f"give at most {longest} characters; shorten it with notation.fit or upload it as a file"
        )
    return encodable(parameter, value)


def encodable(parameter: str, value: object) -> str:
    """A text of any length that can be sent as UTF-8."""
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
    """One of the words Chatwork knows."""
    if not isinstance(value, str) or value not in allowed:
        raise ChatworkParameterError(parameter, value, f"give one of {', '.join(allowed)}")
    return value


def flag(parameter: str, value: object) -> str:
    """A yes or no, as Chatwork writes it: ``1`` or ``0``."""
    if value not in (True, False):
        raise ChatworkParameterError(parameter, value, "give True or False")
    return "1" if value else "0"


def link_code(parameter: str, value: object) -> str:
    """The last part of an invite link. https://developer.chatwork.com/reference/post-rooms-room_id-link"""
    if not isinstance(value, str) or not _LINK_CODE.fullmatch(value):
        raise ChatworkParameterError(parameter, value, "give 1 to 50 of the characters A-Z a-z 0-9 _ -")
    return value


def media_type(parameter: str, value: object) -> str:
    """A file's media type, such as ``text/csv``."""
    if not isinstance(value, str) or not _MEDIA_TYPE.fullmatch(value):
        raise ChatworkParameterError(parameter, value, "give a media type such as text/csv")
    return value


def file_size(parameter: str, size: int, value: object = None) -> None:
    """A file's size in bytes.

    :param value: what the error shows; the size if not given.
    """
    if size > MAX_FILE:
        raise ChatworkParameterError(
            parameter,
            size if value is None else value,
            f"Chatwork takes files of at most {MAX_FILE} bytes (5 MiB); compress or split it",
        )


def limit(parameter: str, value: object) -> int:
    """A task's deadline in Unix seconds."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip()):
        value = int(value.strip())
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ChatworkParameterError(parameter, value, "give the deadline in Unix seconds, as a positive whole number")
    if value >= _MILLISECONDS:
        raise ChatworkParameterError(parameter, value, "this looks like milliseconds; give Unix seconds")
    return value


def limit_is_ahead(parameter: str, value: int, limit_type: str, now: float) -> None:
    """Refuse a deadline in the past. A ``date`` task is still good until its day ends in Japan."""
    if limit_type == "date":
        ahead = datetime.fromtimestamp(value, _JAPAN).date() >= datetime.fromtimestamp(now, _JAPAN).date()
    else:
        ahead = value > now
    if not ahead:
        when = datetime.fromtimestamp(value, _JAPAN).isoformat()
        raise ChatworkParameterError(parameter, value, f"{when} is in the past; give a later deadline or none")
