"""Takes request bodies apart: urlencoded forms and multipart uploads.

Multipart is read here and not by a library because two of Chatwork's habits are about its very bytes: a body that goes
on after the closing boundary is refused, and a percent-encoded file name stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.sandbox.http_errors import Refusal

_PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')


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
        raise Refusal(400, "Parameters must be UTF-8") from None


def read_multipart(content_type: str, body: bytes) -> Body:
    """Read a multipart body. A part with a file name is an upload, one without is a text field.

    Any other media type counts as a body without parts.
    """
    boundary = _parameters(content_type).get("boundary", "")
    if _media_type(content_type) != "multipart/form-data" or not boundary:
        return Body({}, {})
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    pieces = (b"\r\n" + body).split(delimiter)
    # RFC 2046 allows an epilogue; Chatwork refuses even one blank line there.
    if len(pieces) < 2 or pieces[-1] not in (b"--", b"--\r\n"):
        raise Refusal(400, "Malformed multipart body")
    fields: dict[str, str] = {}
    uploads: dict[str, Upload] = {}
    for piece in pieces[1:-1]:
        head, separator, content = piece.partition(b"\r\n\r\n")
        headers = _headers(head)
        disposition = _parameters(headers.get("content-disposition", ""))
        name = disposition.get("name")
        if not separator or name is None:
            raise Refusal(400, "Malformed multipart body")
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


def _parameters(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, quoted, bare in _PARAMETER.findall(";" + value.partition(";")[2]):
        # Browsers and the libraries escape only the quotation mark: a backslash before anything else is meant.
        found.setdefault(name.lower(), quoted.replace('\\"', '"') or bare)
    return found


def _utf8(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(400, "Parameters must be UTF-8") from None
