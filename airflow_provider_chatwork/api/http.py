"""Encode a :class:`Request` as HTTP, and decode the answer: headers, forms, multipart, 204, ``{"errors": []}``.

https://developer.chatwork.com/docs/endpoints
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_chatwork import __version__
from airflow_provider_chatwork.api import errors, rate_limit
from airflow_provider_chatwork.api.call import Call, HttpRequest, Request, Response, Upload
from airflow_provider_chatwork.api.settings import Settings

T = TypeVar("T")

# Uploads may take longer than other requests: a minute, and the time of a slow line (bytes per second).
_UPLOAD_TIMEOUT = 60.0
_UPLOAD_SPEED = 50_000.0

USER_AGENT = f"airflow-provider-chatwork/{__version__}"


def encode(request: Request, settings: Settings) -> HttpRequest:
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
            seconds = rate_limit.seconds_to_wait(response.headers, messages, now)
            return errors.ChatworkRateLimitError(
                operation, status, messages, seconds, rate_limit.is_room_limit(messages)
            )
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
