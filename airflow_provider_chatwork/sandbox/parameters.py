"""Reads the parameters of a request as strictly as Chatwork does."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.sandbox.http_errors import HttpError, invalid, required

BODY_LENGTH = 65535
NAME_LENGTH = 255
#: Beyond this a time is not in seconds: somebody sent milliseconds.
LAST_TIME = 2**32 - 1

_INTEGER = re.compile(r"[0-9]{1,20}")
_HEADER_PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')
_LINK_CODE = re.compile(r"[A-Za-z0-9_-]{1,50}")


class Parameters:
    """The decoded parameters of one place (query, form or multipart), each read under its rule."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, longest: int, shortest: int = 1) -> str | None:
        """Return a text of that many characters, ``None`` when it is not there."""
        value = self._values.get(name)
        if value is None:
            return None
        if not shortest <= len(value) <= longest:
            raise invalid(name, f"must be {shortest} to {longest} characters")
        return value

    def required_text(self, name: str, longest: int) -> str:
        """Return a text of 1 to ``longest`` characters. An empty one counts as missing."""
        if not self._values.get(name):
            raise required(name)
        value = self.text(name, longest)
        assert value is not None
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean, which is ``0`` or ``1`` and nothing else."""
        value = self._values.get(name)
        if value is None:
            return default
        if value not in ("0", "1"):
            raise invalid(name, "must be 0 or 1")
        return value == "1"

    def number(self, name: str, largest: int = 2**63 - 1) -> int | None:
        """Return a whole number that is not negative."""
        value = self._values.get(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value) or int(value) > largest:
            raise invalid(name, f"must be an integer from 0 to {largest}")
        return int(value)

    def required_number(self, name: str) -> int:
        """Return a whole number that has to be there."""
        value = self.number(name)
        if value is None:
            raise required(name)
        return value

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """Return one of a few words."""
        value = self._values.get(name)
        if value is not None and value not in choices:
            raise invalid(name, f"must be one of: {', '.join(choices)}")
        return value

    def required_choice(self, name: str, choices: Collection[str]) -> str:
        """Return one of a few words that has to be there."""
        value = self.choice(name, choices)
        if value is None:
            raise required(name)
        return value

    def ids(self, name: str) -> list[int]:
        """Return comma-separated account ids in their order, each once; an empty value is an empty list."""
        value = self._values.get(name)
        if not value:
            return []
        found = [part.strip() for part in value.split(",")]
        if not all(_INTEGER.fullmatch(part) for part in found):
            raise invalid(name, "must be account ids joined by commas")
        return list(dict.fromkeys(int(part) for part in found))

    def required_ids(self, name: str) -> list[int]:
        """Return at least one account id."""
        found = self.ids(name)
        if not found:
            raise required(name)
        return found

    def link_code(self, name: str) -> str | None:
        """Return the code of an invite link."""
        value = self._values.get(name)
        if value is not None and not _LINK_CODE.fullmatch(value):
            raise HttpError(400, f"Parameter '{name}' must be 1 to 50 of A-Z a-z 0-9 _ -")
        return value


@dataclass(frozen=True, slots=True)
class Body:
    """What a body said: text fields, and uploads by the name of their part."""

    fields: Mapping[str, str]
    uploads: Mapping[str, Upload]


def read_form(content_type: str, body: bytes) -> Body:
    """Read an urlencoded form. Any other media type counts as a form without fields, as on Chatwork."""
    if _media_type(content_type) != "application/x-www-form-urlencoded":
        return Body({}, {})
    return Body(read_query(_utf8(body)), {})


def read_query(query: str) -> dict[str, str]:
    """Return the fields of an urlencoded text; of a field sent twice the last one counts."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, encoding="utf-8", errors="strict"))
    except UnicodeDecodeError:
        raise HttpError(400, "Parameters must be UTF-8") from None


def read_multipart(content_type: str, body: bytes) -> Body:
    """Read a multipart body. A part with a file name is an upload, one without is a text field.

    Any other media type counts as a body without parts.
    """
    boundary = _header_parameters(content_type).get("boundary", "")
    if _media_type(content_type) != "multipart/form-data" or not boundary:
        return Body({}, {})
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    pieces = (b"\r\n" + body).split(delimiter)
    # RFC 2046 allows an epilogue; Chatwork refuses even one blank line there.
    if len(pieces) < 2 or pieces[-1] not in (b"--", b"--\r\n"):
        raise HttpError(400, "Malformed multipart body")
    fields: dict[str, str] = {}
    uploads: dict[str, Upload] = {}
    for piece in pieces[1:-1]:
        head, separator, content = piece.partition(b"\r\n\r\n")
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
    found: dict[str, str] = {}
    for name, quoted, bare in _HEADER_PARAMETER.findall(";" + value.partition(";")[2]):
        # Browsers and the libraries escape only the quotation mark: a backslash before anything else is meant.
        found.setdefault(name.lower(), quoted.replace('\\"', '"') or bare)
    return found


def _utf8(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise HttpError(400, "Parameters must be UTF-8") from None
