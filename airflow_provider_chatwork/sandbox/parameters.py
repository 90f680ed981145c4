"""Parses request bodies and checks parameters as strictly as Chatwork does.

No library parses multipart here, because Chatwork rejects a body with an epilogue and keeps a percent-encoded file
name as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl, unquote

from airflow_provider_chatwork.api.call import Upload

T = TypeVar("T")

BODY_LENGTH = 65535
NAME_LENGTH = 255
#: A later time is probably in milliseconds instead of seconds.
MAX_TIME = 2**32 - 1

_INTEGER = re.compile(r"[0-9]{1,20}")
_HEADER_PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')
_LINK_CODE = re.compile(r"[A-Za-z0-9_-]{1,50}")


class Parameters:
    """The parameters of the query or of the body. Each method raises a 400 for an invalid value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, max_length: int, min_length: int = 1) -> str | None:
        """Return a text with an allowed number of characters, ``None`` if it is missing."""
        value = self._values.get(name)
        if value is None:
            return None
        if not min_length <= len(value) <= max_length:
            raise invalid(name, f"must be {min_length} to {max_length} characters")
        return value

    def required_text(self, name: str, max_length: int) -> str:
        """Return a text of 1 to ``max_length`` characters. An empty text counts as missing."""
        return _require(name, self.text(name, max_length) if self._values.get(name) else None)

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean; only ``0`` and ``1`` are valid."""
        value = self._values.get(name)
        if value is None:
            return default
        if value not in ("0", "1"):
            raise invalid(name, "must be 0 or 1")
        return value == "1"

    def number(self, name: str, maximum: int = 2**63 - 1) -> int | None:
        """Return an integer from 0, ``None`` if it is missing."""
        value = self._values.get(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value) or int(value) > maximum:
            raise invalid(name, f"must be an integer from 0 to {maximum}")
        return int(value)

    def required_number(self, name: str) -> int:
        """Return an integer from 0 that must not be missing."""
        return _require(name, self.number(name))

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """Return one of the choices, ``None`` if it is missing."""
        value = self._values.get(name)
        if value is not None and value not in choices:
            raise invalid(name, f"must be one of: {', '.join(choices)}")
        return value

    def required_choice(self, name: str, choices: Collection[str]) -> str:
        """Return one of the choices; it must not be missing."""
        return _require(name, self.choice(name, choices))

    def ids(self, name: str) -> list[int]:
        """Return comma-separated account ids in their order without duplicates, empty if there are none."""
        value = self._values.get(name)
        if not value:
            return []
        values = [part.strip() for part in value.split(",")]
        if not all(_INTEGER.fullmatch(part) for part in values):
            raise invalid(name, "must be account ids joined by commas")
        return list(dict.fromkeys(int(part) for part in values))

    def required_ids(self, name: str) -> list[int]:
        """Return at least one account id."""
        return _require(name, self.ids(name) or None)

    def link_code(self, name: str) -> str | None:
        """Return the code of an invite link, ``None`` if it is missing."""
        value = self._values.get(name)
        if value is not None and not _LINK_CODE.fullmatch(value):
            raise HttpError(400, f"Parameter '{name}' must be 1 to 50 of A-Z a-z 0-9 _ -")
        return value


def _require(name: str, value: T | None) -> T:
    if value is None:
        raise required(name)
    return value


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed body: text fields, and uploads by part name."""

    fields: Mapping[str, str]
    uploads: Mapping[str, Upload]


def parse_form(content_type: str, body: bytes) -> Body:
    """Parse an urlencoded form. Any other media type counts as a form without fields, as on Chatwork."""
    if _media_type(content_type) != "application/x-www-form-urlencoded":
        return Body({}, {})
    return Body(parse_query(_utf8(body)), {})


def parse_query(query: str) -> dict[str, str]:
    """Return the fields of an urlencoded text. The last of duplicate fields counts."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, encoding="utf-8", errors="strict"))
    except UnicodeDecodeError:
        raise HttpError(400, "Parameters must be UTF-8") from None


def parse_multipart(content_type: str, body: bytes) -> Body:
    """Parse a multipart body. Parts with a file name are uploads, the others are text fields.

    Any other media type counts as a body without parts.
    """
    boundary = _header_parameters(content_type).get("boundary", "")
    if _media_type(content_type) != "multipart/form-data" or not boundary:
        return Body({}, {})
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    parts = (b"\r\n" + body).split(delimiter)
    # RFC 2046 allows an epilogue; Chatwork rejects even one blank line.
    if len(parts) < 2 or parts[-1] not in (b"--", b"--\r\n"):
        raise HttpError(400, "Malformed multipart body")
    fields: dict[str, str] = {}
    uploads: dict[str, Upload] = {}
    for part in parts[1:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        headers = _headers(head)
        disposition = _header_parameters(headers.get("content-disposition", ""))
        name = disposition.get("name")
        if not separator or name is None:
            raise HttpError(400, "Malformed multipart body")
        filename = disposition.get("filename")
        if filename is None and "filename*" in disposition:
            filename = unquote(disposition["filename*"].rpartition("'")[2])
        if filename is None:
            fields[name] = _utf8(content)
        elif filename:
            uploads[name] = Upload(filename, content, headers.get("content-type", "application/octet-stream"))
    return Body(fields, uploads)


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in _utf8(head).split("\r\n"))
    return {name.strip().lower(): value.strip() for name, _, value in lines if name.strip()}


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _header_parameters(value: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, quoted, bare in _HEADER_PARAMETER.findall(";" + value.partition(";")[2]):
        # Browsers and HTTP libraries escape only the quotation mark; any other backslash is literal.
        values.setdefault(name.lower(), quoted.replace('\\"', '"') or bare)
    return values


def _utf8(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise HttpError(400, "Parameters must be UTF-8") from None


#: Chatwork's text for a wrong path, a wrong method and a malformed id.
INVALID_ENDPOINT = "Invalid Endpoint or HTTP method"
NO_PERMISSION_TO_POST = "You don't have permission to send/edit message."
ROOM_LIMIT_EXCEEDED = "Rate limit for message posting per room exceeded."


class HttpError(Exception):
    """Ends an operation with an error response.

    :param status: the HTTP status.
    :param errors: the texts of ``{"errors": [...]}``.
    :param headers: further response headers.
    """

    def __init__(self, status: int, *errors: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, errors)
        self.status = status
        self.errors = errors
        self.headers = dict(headers or {})


def required(name: str) -> HttpError:
    """Return the 400 for a missing parameter."""
    return HttpError(400, f"Parameter '{name}' is required")


def invalid(name: str, rule: str) -> HttpError:
    """Return the 400 for an invalid parameter; ``rule`` ends the sentence "Parameter 'x' ..."."""
    return HttpError(400, f"Parameter '{name}' {rule}")


def not_found(kind: str) -> HttpError:
    """Return the 404 for a message, task, file or contact request that does not exist."""
    return HttpError(404, f"{kind} not found")


def forbidden(action: str) -> HttpError:
    """Return a 403; ``action`` ends the sentence "You don't have permission to ..."."""
    return HttpError(403, f"You don't have permission to {action}.")
