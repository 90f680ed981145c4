"""Parses a request, before the token is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_chatwork.api.call import HttpRequest
from airflow_provider_chatwork.sandbox import downloads
from airflow_provider_chatwork.sandbox.parameters import (
    INVALID_ENDPOINT,
    Body,
    HttpError,
    parse_form,
    parse_multipart,
    parse_query,
)
from airflow_provider_chatwork.sandbox.routes import Route, find_route
from airflow_provider_chatwork.sandbox.user_actions import DEFAULT_ORIGIN

VERSION_PATH = "/v2"


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """An entry of the request log. It has no headers, so it contains no token.

    ``path`` has no version, ``time`` is in Unix seconds, ``status`` is ``None`` if there was no response, ``fault`` is
    the kind of the fault that was applied.
    """

    time: float
    method: str
    path: str
    operation: str | None
    status: int | None
    account_id: int | None
    fault: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A parsed request.

    A wrong path or body is an :class:`HttpError` in ``route`` or ``body``; it is raised after the token is checked.
    ``path`` has no version; for a download it is the whole path.
    """

    method: str
    path: str
    origin: str
    headers: Mapping[str, str] = field(repr=False)
    is_download: bool
    route: Route | HttpError
    query: Mapping[str, str]
    body: Body | HttpError

    @property
    def operation(self) -> str | None:
        """The name of the operation, ``None`` for an unknown path."""
        return self.route.operation if isinstance(self.route, Route) else None

    @property
    def form(self) -> Mapping[str, str]:
        """The text fields of the body."""
        return self.body.fields if isinstance(self.body, Body) else {}

    @property
    def token(self) -> str:
        """The token of ``X-ChatWorkToken`` or of ``Authorization: Bearer``, empty if there is none."""
        token = self.headers.get("x-chatworktoken")
        if token is None:
            scheme, _, token = self.headers.get("authorization", "").partition(" ")
            token = token if scheme.lower() == "bearer" else ""
        return token.strip()


def parse_request(request: HttpRequest) -> ParsedRequest:
    """Parse a request."""
    url = urlsplit(request.url)
    method = request.method.upper()
    headers = {name.lower(): value for name, value in request.headers.items()}
    is_download = method == "GET" and url.path.startswith(downloads.PATH)
    route: Route | HttpError = HttpError(404, INVALID_ENDPOINT)
    if url.path.startswith(VERSION_PATH + "/"):
        try:
            route = find_route(method, url.path.removeprefix(VERSION_PATH))
        except HttpError as error:
            route = error
    query: Mapping[str, str] = {}
    body: Body | HttpError
    try:
        query = parse_query(url.query)
        multipart = isinstance(route, Route) and route.operation == "upload_file"
        body = (parse_multipart if multipart else parse_form)(headers.get("content-type", ""), request.body)
    except HttpError as error:
        body = error
    path = url.path if is_download else url.path.removeprefix(VERSION_PATH)
    origin = f"{url.scheme}://{url.netloc}" if url.netloc else DEFAULT_ORIGIN
    return ParsedRequest(method, path, origin, headers, is_download, route, query, body)
