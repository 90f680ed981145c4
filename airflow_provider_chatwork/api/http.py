"""Encode a :class:`Request` as HTTP, and decode the answer: headers, forms, multipart, 204, ``{"errors": []}``.

https://developer.chatwork.com/docs/endpoints

**Rate limits.** There are two: 300 requests in 5 minutes for an account, which the headers of every answer show, and 10
messages and tasks in 10 seconds for a room, which only the error message of a 429 shows.

**JSON.** It is checked against the types of ``models.py``. A field marked ``REQUIRED`` must be present and have its
type, because later calls need it. All other fields are passed on unchecked: a missing phone number, an unknown role
or a new field must not fail a task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache, partial
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_origin, get_type_hints, is_typeddict
from urllib.parse import quote, urlencode

from airflow_provider_chatwork import __version__
from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.call import Call, HttpRequest, Request, Response, Upload

T = TypeVar("T")

# Uploads may take longer than other requests: a minute, and the time of a slow line (bytes per second).
_UPLOAD_TIMEOUT = 60.0
_UPLOAD_SPEED = 50_000.0

USER_AGENT = f"airflow-provider-chatwork/{__version__}"


class HttpSettings(Protocol):
    """What of a connection's settings is needed to encode a request."""

    @property
    def base_url(self) -> str:
        """The URL of the API, with its version."""

    @property
    def token(self) -> str:
        """The API token."""

    @property
    def timeout(self) -> float:
        """Seconds for one exchange."""


def encode(request: Request, settings: HttpSettings) -> HttpRequest:
    """Encode a request.

    Parameters of a write go into a form body. Chatwork does not read them from the query since 2025-07-03.
    """
    headers = {"accept": "application/json", "user-agent": USER_AGENT, "x-chatworktoken": settings.token}
    url = settings.base_url.rstrip("/") + request.path
    if request.query:
        url += "?" + urlencode(request.query, quote_via=quote)
    body = b""
    timeout = settings.timeout
    if request.upload is not None:
        body, headers["content-type"] = _multipart(request.form or {}, request.upload)
        timeout = max(timeout, _UPLOAD_TIMEOUT) + len(body) / _UPLOAD_SPEED
    elif request.form is not None:
        body = urlencode(request.form).encode("ascii")
        headers["content-type"] = "application/x-www-form-urlencoded"
    return HttpRequest(request.method, url, headers, body, timeout)


def decode(call: Call[T], response: Response, now: float) -> T:
    """Decode an answer into the result of a call.

    :param now: the Unix time, to compute how long a 429 lasts.
    :raises ChatworkApiError: the subclass for the status, if Chatwork refused the request.
    :raises ChatworkUnexpectedResponseError: the answer cannot be decoded.
    """
    status = response.status
    if status >= 400:
        raise api_error(call.operation, response, now)
    if not 200 <= status < 300:
        # A redirect is not followed: the token would be sent to its target.
        raise errors.ChatworkUnexpectedResponseError(call.operation, status, "neither a success nor a refusal")
    empty = not response.body.strip()
    if empty and status != 204 and call.empty_list_only_on_204:
        raise errors.ChatworkUnexpectedResponseError(
            call.operation, status, "it has no body, but its status is not 204"
        )
    try:
        # ``None`` means "no body": Chatwork sends an empty list as 204 without a body.
        return call.read(None if empty else json.loads(response.body))
    except (ValueError, RecursionError) as error:
        raise errors.ChatworkUnexpectedResponseError(call.operation, status, _short(error)) from None


def api_error(operation: str, response: Response, now: float) -> errors.ChatworkApiError:
    """The error for an answer with a status of 400 or more.

    :param now: the Unix time, to compute how long a 429 lasts.
    """
    status = response.status
    messages = _error_messages(response.body)
    match status:
        case 401:
            return errors.ChatworkAuthError(operation, status, messages)
        case 403:
            return errors.ChatworkForbiddenError(operation, status, messages)
        case 404:
            hidden = response.headers.get("chatwork-message-limitation", "").lower() == "true"
            return errors.ChatworkNotFoundError(operation, status, messages, hidden)
        case 429:
            seconds = seconds_to_wait(response.headers, messages, now)
            return errors.ChatworkRateLimitError(operation, status, messages, seconds, is_room_limit(messages))
        # 408 comes from a proxy, and is as temporary as a 5xx.
        case _ if status >= 500 or status == 408:
            return errors.ChatworkServerError(operation, status, messages)
        case _:
            return errors.ChatworkInvalidRequestError(operation, status, messages)


def _error_messages(body: bytes) -> tuple[str, ...]:
    """The error messages of Chatwork. Empty for an answer without a body, and for the web page of a proxy."""
    try:
        decoded: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    listed = decoded.get("errors") if isinstance(decoded, Mapping) else None
    if isinstance(listed, str):
        listed = [listed]
    return tuple(str(text) for text in listed) if isinstance(listed, list) else ()


def _multipart(form: Mapping[str, str], upload: Upload) -> tuple[bytes, str]:
    """Encode a form with a file. Returns the body and its content type.

    requests and httpx encode multipart differently; this function makes both transports send the same bytes: file names
    in UTF-8 as browsers send them, text parts without a file name, one line end after the closing boundary. Chatwork
    refuses a body with a second line end there.
    """
    # A hash of the whole upload: equal uploads give equal bytes, and no content can contain its own boundary.
    digest = hashlib.sha256(repr((sorted(form.items()), upload.filename, upload.content_type)).encode())
    digest.update(upload.content)
    boundary = digest.hexdigest()[:40]
    escaped = upload.filename.replace('"', "%22")
    parts = [(f'form-data; name="{name}"', None, value.encode()) for name, value in form.items()]
    disposition = f'form-data; name="file"; filename="{escaped}"'
    body = bytearray()
    for head, content_type, content in (*parts, (disposition, upload.content_type, upload.content)):
        body += f"--{boundary}\r\nContent-Disposition: {head}\r\n".encode()
        if content_type is not None:
            body += f"Content-Type: {content_type}\r\n".encode()
        body += b"\r\n" + content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return bytes(body), f"multipart/form-data; boundary={boundary}"


def _short(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


#: The window of the account's limit, in seconds. A reset further away comes from a wrong clock.
WINDOW = 300.0
#: The window of a room's limit, in seconds.
ROOM_WINDOW = 10.0
#: Seconds to wait after a 429 of the account's limit without a usable reset time.
DEFAULT_RETRY_AFTER = 30.0
# No count of requests or seconds is as large. Much larger numbers cannot be converted to a float.
_TOO_LARGE = 10**15


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The account's rate limit as of one answer.

    :param limit: requests allowed in the window.
    :param remaining: requests left in the window.
    :param reset: the Unix time, by Chatwork's clock, at which the next window begins.
    """

    limit: int
    remaining: int
    reset: int

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> RateLimit | None:
        """Parse the three headers of an answer, names in lower case. ``None`` if one is missing or not a number."""
        try:
            numbers = [int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")]
        except (KeyError, ValueError):
            return None
        return cls(*numbers) if max(map(abs, numbers)) < _TOO_LARGE else None


def server_time(headers: Mapping[str, str]) -> float | None:
    """The Unix time by Chatwork's clock, from the ``date`` header. ``None`` if it is missing or invalid."""
    try:
        date = parsedate_to_datetime(headers["date"])
        # The zone `-0000` is parsed as no time zone. It means UTC.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def is_room_limit(errors: Sequence[str]) -> bool:
    """Whether the error messages of a 429 are those of a room's limit."""
    return any("rate limit" in text.lower() and "room" in text.lower() for text in errors)


def seconds_to_wait(headers: Mapping[str, str], errors: Sequence[str], now: float) -> float:
    """Seconds to wait after a 429.

    The headers of a room's 429 describe the account's limit, so they are ignored. The ``date`` of the answer is used
    instead of ``now`` if there is one, because it comes from the same clock as the reset time.
    """
    if is_room_limit(errors):
        return ROOM_WINDOW
    rate_limit = RateLimit.from_headers(headers)
    if rate_limit is None:
        return DEFAULT_RETRY_AFTER
    server_now = server_time(headers)
    seconds = rate_limit.reset - (now if server_now is None else server_now)
    # A reset long ago, or more than a window ahead, comes from a wrong clock.
    return max(seconds, 0.0) if -ROOM_WINDOW <= seconds <= WINDOW else DEFAULT_RETRY_AFTER


#: Marks a field that must be present.
REQUIRED = "required"


def parse_object(model: type[T]) -> Callable[[object], T]:
    """Return a function that parses one object of ``model``."""
    return partial(_parse, model, model.__name__)


def parse_list(model: type[T]) -> Callable[[object], list[T]]:
    """Return a function that parses a list of ``model``. No body (``None``) is an empty list."""

    def read(value: object) -> list[T]:
        if value is None:
            return []
        return _parse(list[model], f"list of {model.__name__}", value)  # type: ignore[no-any-return, valid-type]

    return read


def parse_none(value: object) -> None:
    """Ignore the content of an answer."""


@cache
def _required_fields(model: type[Any]) -> Mapping[str, Any]:
    hints = get_type_hints(model, include_extras=True)
    return {
        name: get_args(hint)[0]
        for name, hint in hints.items()
        if get_origin(hint) is Annotated and REQUIRED in get_args(hint)[1:]
    }


def _parse(kind: Any, where: str, value: object) -> Any:
    if is_typeddict(kind):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {_kind_of(value)}, not an object")
        result = dict(value)
        for name, field_kind in _required_fields(kind).items():
            if name not in value:
                raise ValueError(f"{where}.{name} is missing")
            result[name] = _parse(field_kind, f"{where}.{name}", value[name])
        return result
    if get_origin(kind) is list:
        if not isinstance(value, list):
            raise ValueError(f"{where} is {_kind_of(value)}, not a list")
        (item_kind,) = get_args(kind)
        return [_parse(item_kind, f"{where}[{index}]", item) for index, item in enumerate(value)]
    if kind is int and isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    # A message id is text, because a float cannot hold it. Some pages of the API reference still show a number.
    if kind is str and where.endswith("message_id") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if type(value) is not kind:
        raise ValueError(f"{where} is {_kind_of(value)}, not {kind.__name__}")
    return value


def _kind_of(value: object) -> str:
    return "null" if value is None else type(value).__name__
