"""The sandbox as a web application: the API under ``/v2``, the page under ``/``, orders under ``/sandbox/``.

Orders are described in :mod:`~airflow_provider_chatwork.sandbox.control`, the page in ``page/``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from airflow_provider_chatwork.sandbox import avatars as pictures
from airflow_provider_chatwork.sandbox import downloads
from airflow_provider_chatwork.sandbox.asgi import ApiEndpoint
from airflow_provider_chatwork.sandbox.control import ControlError, look, order
from airflow_provider_chatwork.sandbox.page_data import view
from airflow_provider_chatwork.sandbox.request_guard import refuse
from airflow_provider_chatwork.sandbox.request_parsing import VERSION_PATH
from airflow_provider_chatwork.sandbox.sandbox import Sandbox
from airflow_provider_chatwork.sandbox.state_file import Keeper

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

PAGE = Path(__file__).parent / "page"
#: Nothing but the sandbox's own files: a message can hold anything, and must not be able to load or run it.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KEEP_ALIVE = 15.0


class SandboxApp:
    """The ASGI application.

    :param sandbox: what it serves.
    :param host: the address it is going to listen on.
    :param allowed_hosts: further names browsers may call it by.
    :param state_file: where to keep the state: read at the start if it is there, written after changes.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        host: str = "127.0.0.1",
        allowed_hosts: Collection[str] = (),
        state_file: Path | None = None,
    ) -> None:
        self.sandbox = sandbox
        #: Set when the server is about to stop.
        self.closing = asyncio.Event()
        self._waiting: set[asyncio.Event] = set()
        self._keeper = Keeper(sandbox, state_file)
        self._api = ApiEndpoint(sandbox, self.closing)
        self._rest = Starlette(
            routes=[
                Route("/sandbox/events", self._events),
                Route("/sandbox/view", self._view),
                Route("/sandbox/files/{file_id:int}", self._file),
                Route("/sandbox/avatars/{account_id:int}.svg", self._avatar),
                Route("/sandbox/icons/{icon}.svg", self._icon),
                Route("/sandbox/{name}", self._look, methods=["GET"]),
                Route("/sandbox/{name}", self._order, methods=["POST"]),
                Mount("/", StaticFiles(directory=PAGE, html=True)),
            ],
            middleware=[Middleware(_Guard, host=host, allowed=tuple(allowed_hosts))],
            lifespan=self._lifespan,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith((f"{VERSION_PATH}/", downloads.PATH)):
            await self._api(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    def close(self) -> None:
        """Bring answers without an end to one; the server is about to stop. To be called in its event loop."""
        self.closing.set()
        for changed in self._waiting:
            changed.set()

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        keeping = asyncio.create_task(self._keeper.run())
        yield
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        self._keeper.save()

    async def _events(self, request: Request) -> Response:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._changes(), media_type="text/event-stream", headers=headers)

    async def _changes(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake(revision: int) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        unwatch = self.sandbox.watch(wake)
        self._waiting.add(changed)
        try:
            yield f"retry: 1000\ndata: {self.sandbox.world.revision}\n\n"
            while not self.closing.is_set():
                try:
                    await asyncio.wait_for(changed.wait(), _KEEP_ALIVE)
                    changed.clear()
                    yield f"data: {self.sandbox.world.revision}\n\n"
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            unwatch()
            self._waiting.discard(changed)

    async def _view(self, request: Request) -> Response:
        room_id = request.query_params.get("room_id", "")
        return _answer(view(self.sandbox, int(room_id) if room_id.isascii() and room_id.isdigit() else None))

    async def _file(self, request: Request) -> Response:
        file_id = request.path_params["file_id"]
        for room in list(self.sandbox.world.rooms.values()):
            if file_id in room.files:
                found = downloads.file_response(room.files[file_id])
                return Response(found.body, found.status, dict(found.headers))
        return _answer({"errors": ["File not found"]}, 404)

    async def _avatar(self, request: Request) -> Response:
        account = self.sandbox.world.accounts.get(request.path_params["account_id"])
        return _picture(pictures.avatar(account.account_id, account.name) if account else None)

    async def _icon(self, request: Request) -> Response:
        return _picture(pictures.icon(request.path_params["icon"]))

    async def _look(self, request: Request) -> Response:
        try:
            return _answer(look(self.sandbox, request.path_params["name"]))
        except ControlError as error:
            return _answer({"errors": [str(error)]}, error.status)

    async def _order(self, request: Request) -> Response:
        try:
            given = json.loads(await request.body() or b"{}")
            return _answer(order(self.sandbox, request.path_params["name"], given))
        except ControlError as error:
            return _answer({"errors": [str(error)]}, error.status)
        except ValueError:
            return _answer({"errors": ["Send JSON"]}, 400)


class _Guard:
    def __init__(self, app: ASGIApp, host: str, allowed: Collection[str]) -> None:
        self._app = app
        self._host = host
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reason = refuse(headers, scope["method"], scope["path"], self._host, self._allowed)
        if reason:
            await _answer({"errors": [reason]}, 403)(scope, receive, send)
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start" and not scope["path"].startswith("/sandbox/"):
                added = (
                    ("content-security-policy", PAGE_POLICY),
                    ("x-content-type-options", "nosniff"),
                    ("referrer-policy", "no-referrer"),
                    ("cache-control", "no-cache"),
                )
                message["headers"] = [*message["headers"], *((n.encode(), v.encode()) for n, v in added)]
            await send(message)

        await self._app(scope, receive, guarded)


def _answer(value: Any, status: int = 200) -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return JSONResponse(value, status, headers)


def _picture(svg: str | None) -> Response:
    if svg is None:
        return _answer({"errors": ["Picture not found"]}, 404)
    headers = {"content-security-policy": "default-src 'none'", "cache-control": "max-age=3600"}
    return Response(svg, media_type="image/svg+xml", headers=headers)
