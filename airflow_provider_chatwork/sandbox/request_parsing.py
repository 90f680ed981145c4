"""A request as it arrives: taken apart, before anybody decides whether it is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_chatwork.api.call import HttpRequest
from airflow_provider_chatwork.sandbox import downloads
from airflow_provider_chatwork.sandbox.http_errors import INVALID_ENDPOINT, HttpError
from airflow_provider_chatwork.sandbox.parameters import Body, read_form, read_multipart, read_query
from airflow_provider_chatwork.sandbox.routes import Route, find_route
from airflow_provider_chatwork.sandbox.user_actions import DEFAULT_ORIGIN

VERSION_PATH = "/v2"


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What came in and what became of it. Headers are not kept, so that no token is.

    ``path`` starts behind the version, ``time`` is in Unix seconds, ``status`` is ``None`` where no answer was given
    and ``fault`` names the kind of misbehaviour if there was one.
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
    """A request in parts.

    What is wrong with ``route`` or ``body`` is kept as the error it deserves: whether the token is right comes first.
    ``path`` starts behind the version, except for a download, whose whole path it is.
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
        """The name of the operation, if there is one."""
        return self.route.operation if isinstance(self.route, Route) else None

    @property
    def form(self) -> Mapping[str, str]:
        """The text fields of the body."""
        return self.body.fields if isinstance(self.body, Body) else {}

    @property
    def token(self) -> str:
        """The token: from its own header, or from ``Authorization`` as OAuth has it."""
        given = self.headers.get("x-chatworktoken")
        if given is None:
            scheme, _, given = self.headers.get("authorization", "").partition(" ")
            given = given if scheme.lower() == "bearer" else ""
        return given.strip()


def read_request(request: HttpRequest) -> ParsedRequest:
    """Take a request apart."""
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
        query = read_query(url.query)
        multipart = isinstance(route, Route) and route.operation == "upload_file"
        body = (read_multipart if multipart else read_form)(headers.get("content-type", ""), request.body)
    except HttpError as error:
        body = error
    return ParsedRequest(
        method,
        url.path if is_download else url.path.removeprefix(VERSION_PATH),
        f"{url.scheme}://{url.netloc}" if url.netloc else DEFAULT_ORIGIN,
        headers,
        is_download,
        route,
        query,
        body,
    )
