"""The addresses under which files can be fetched without a token, for half a minute."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_chatwork.api.call import Response
from airflow_provider_chatwork.sandbox.store import StoredFile

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?charset=[A-Za-z0-9-]+)?")

PATH = "/sandbox/download/"
#: Seconds.
VALID_FOR = 30.0


@dataclass(frozen=True, slots=True)
class _Ticket:
    file: StoredFile
    until: float


class Downloads:
    """Hands out addresses and answers them."""

    def __init__(self) -> None:
        self._tickets: dict[str, _Ticket] = {}

    def url(self, origin: str, file: StoredFile, now: float) -> str:
        """Return a new address that nobody can guess."""
        self._tickets = {key: ticket for key, ticket in self._tickets.items() if ticket.until > now}
        key = secrets.token_urlsafe(32)
        self._tickets[key] = _Ticket(file, now + VALID_FOR)
        return f"{origin}{PATH}{key}/{quote(file.filename, safe='')}"

    def answer(self, path: str, now: float) -> Response:
        """Answer a request for such an address: the file, or 403 when it has ended or never was."""
        ticket = self._tickets.get(path.removeprefix(PATH).partition("/")[0])
        if ticket is None or ticket.until <= now:
            return Response(403, {"content-type": "text/plain; charset=utf-8"}, b"This download link has expired.")
        return file_response(ticket.file)


def file_response(file: StoredFile) -> Response:
    """Return a file as a download. Whatever is in it, a browser must not run it on the sandbox's own address."""
    headers = {
        "content-type": file.content_type if _MEDIA_TYPE.fullmatch(file.content_type) else "application/octet-stream",
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }
    return Response(200, headers, file.content)
