"""Download URLs of files. They need no token and are valid for 30 seconds."""

from __future__ import annotations

import re
import secrets
from urllib.parse import quote

from airflow_provider_chatwork.api.call import Response
from airflow_provider_chatwork.sandbox.store import StoredFile

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?charset=[A-Za-z0-9-]+)?")

PATH = "/sandbox/download/"
#: Seconds.
VALID_FOR = 30.0


class Downloads:
    """Creates download URLs and answers requests for them."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[StoredFile, float]] = {}

    def url(self, origin: str, file: StoredFile, now: float) -> str:
        """Return a new URL with a random key."""
        self._files = {key: (file, expires) for key, (file, expires) in self._files.items() if expires > now}
        key = secrets.token_urlsafe(32)
        self._files[key] = (file, now + VALID_FOR)
        return f"{origin}{PATH}{key}/{quote(file.filename, safe='')}"

    def answer(self, path: str, now: float) -> Response:
        """Return the file, or 403 if the URL has expired or never existed."""
        file, expires = self._files.get(path.removeprefix(PATH).partition("/")[0], (None, 0.0))
        if file is None or expires <= now:
            return Response(403, {"content-type": "text/plain; charset=utf-8"}, b"This download link has expired.")
        return file_response(file)


def file_response(file: StoredFile) -> Response:
    """Return a file as a download. The headers keep a browser from running its content on the sandbox's origin."""
    headers = {
        "content-type": file.content_type if _MEDIA_TYPE.fullmatch(file.content_type) else "application/octet-stream",
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }
    return Response(200, headers, file.content)
