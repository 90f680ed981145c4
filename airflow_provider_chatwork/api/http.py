"""Between an operation and the wire: the only code that knows headers, forms, multipart, 204 and ``{"errors": []}``.

https://developer.chatwork.com/docs/endpoints
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from airflow_provider_chatwork import __version__
from airflow_provider_chatwork.api import errors, rate_limit
from airflow_provider_chatwork.api.call import Call, HttpRequest, Request, Response, Upload
from airflow_provider_chatwork.api.urls import CHATWORK_WEB

T = TypeVar("T")

BASE_URL = "https://api.chatwork.com/v2"
USER_AGENT = f"airflow-provider-chatwork/{__version__}"

#: The names of this machine.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a client needs to know, checked once.

    :param token: the API token.
    :param base_url: where the API is, with its version. Plain http is taken for this machine only.
    :param timeout: how long Chatwork may be silent, in seconds. An upload gets at least 60.
    :param max_wait: seconds within which the waits of one call, between its tries, must end.
    :param proxy: URL of the proxy to use instead of the environment's.
    :param default_room_id: the room of operators that name none.
    :param timezone: where due dates are meant.
    :param web_url: where people open Chatwork in a browser.
    :param webhook_token: the token that signs webhooks.
    :param lang: the language of alerts, reminders and questions: ``ja`` or ``en``.
    :param routing: which alerts go where, as decoded JSON; it is read when there is an alert.
    """

    token: str = field(repr=False)
    base_url: str = BASE_URL
    timeout: float = 20.0
    max_wait: float = rate_limit.WINDOW
    proxy: str | None = field(default=None, repr=False)
    default_room_id: int | None = None
    timezone: str = "Asia/Tokyo"
    web_url: str = CHATWORK_WEB
    webhook_token: str | None = field(default=None, repr=False)
    lang: str = "ja"
    routing: Any = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if not self.token or not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            # The value stays out of the message: it is a secret, even where it is a wrong one.
            raise errors.ChatworkParameterError(
                "password", "***", "give the API token of the account, in the password of the connection"
            )
        check_url("host", self.base_url)
        for parameter, value in (("timeout", self.timeout), ("max_wait", self.max_wait)):
            if not 0 <= value < float("inf") or (parameter == "timeout" and value == 0):
                raise errors.ChatworkParameterError(parameter, value, "give a number of seconds")


def check_url(parameter: str, url: str) -> str:
    """Refuse a URL that would carry a secret in the clear: https only, plain http for this machine.

    :raises ChatworkParameterError: naming the parameter.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or parts.username is not None or parts.query or parts.fragment:
        # What stands before the @ is mostly a secret.
        shown = re.sub(r"//[^/]*@", "//***@", url)
        raise errors.ChatworkParameterError(parameter, shown, f"give a URL such as {BASE_URL}")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise errors.ChatworkParameterError(
            parameter, url, "use https; plain http would show the API token to the network (it is for localhost only)"
        )
    return url


def encode(request: Request, settings: Settings) -> HttpRequest:
    """Turn a request into what goes over the wire.

    Since 2025-07-03 Chatwork reads the parameters of a write from a form body only.
    """
    headers = {"accept": "application/json", "user-agent": USER_AGENT, "x-chatworktoken": settings.token}
    url = settings.base_url.rstrip("/") + request.path
    if request.query:
        url += "?" + urlencode(request.query, quote_via=quote)
    body = b""
    timeout = settings.timeout
    if request.upload is not None:
        body, headers["content-type"] = _multipart(request.form or {}, request.upload)
        timeout = max(timeout, 60.0)
    elif request.form is not None:
        body = urlencode(request.form).encode("ascii")
        headers["content-type"] = "application/x-www-form-urlencoded"
    return HttpRequest(request.method, url, headers, body, timeout)


def decode(call: Call[T], response: Response, now: float) -> T:
    """Read an answer.

    :param now: the Unix time, for how long a 429 lasts.
    :raises ChatworkApiError: the fitting one of its subclasses where Chatwork refused.
    :raises ChatworkUnexpectedResponseError: where the answer cannot be read.
    """
    status = response.status
    if status >= 400:
        raise _refusal(call.operation, response, now)
    if not 200 <= status < 300:
        # A redirect is not followed: the token would go wherever it points.
        raise errors.ChatworkUnexpectedResponseError(call.operation, status, "neither a success nor a refusal")
    empty = not response.body.strip()
    if empty and status != 204 and call.only_204:
        raise errors.ChatworkUnexpectedResponseError(call.operation, status, "it has no body, and is no 204")
    try:
        # ``None`` stands for "no body", which is how Chatwork writes an empty list.
        return call.read(None if empty else json.loads(response.body))
    except (ValueError, RecursionError) as error:
        raise errors.ChatworkUnexpectedResponseError(call.operation, status, _short(error)) from None


def _refusal(operation: str, response: Response, now: float) -> errors.ChatworkApiError:
    status = response.status
    said = _errors_of(response.body)
    match status:
        case 401:
            return errors.ChatworkAuthError(operation, status, said)
        case 403:
            return errors.ChatworkForbiddenError(operation, status, said)
        case 404:
            hidden = response.headers.get("chatwork-message-limitation", "").lower() == "true"
            return errors.ChatworkNotFoundError(operation, status, said, hidden)
        case 429:
            seconds = rate_limit.seconds_to_wait(response.headers, said, now)
            return errors.ChatworkRateLimitError(operation, status, said, seconds, rate_limit.is_room_limit(said))
        # The last comes of what stands between, and is as passing as the others.
        case _ if status >= 500 or status == 408:
            return errors.ChatworkServerError(operation, status, said)
        case _:
            return errors.ChatworkInvalidRequestError(operation, status, said)


def _errors_of(body: bytes) -> tuple[str, ...]:
    """Chatwork's own words. Some refusals have no body, and what stands between may answer with a web page."""
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    listed = said.get("errors") if isinstance(said, Mapping) else None
    if isinstance(listed, str):
        listed = [listed]
    return tuple(str(text) for text in listed) if isinstance(listed, list) else ()


def _multipart(form: Mapping[str, str], upload: Upload) -> tuple[bytes, str]:
    """Encode a form with a file, and say its content type.

    Written out here, and not left to each HTTP library, so that both transports send the same bytes: raw UTF-8 file
    names as browsers do, text parts without a file name, and one line end after the closing boundary, as Chatwork
    refuses a second one.
    """
    # Drawn from all of it, so that equal uploads give equal bytes and nothing in them can hold it, even on purpose.
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
