"""The sandbox as an ASGI application: the API under ``/v2``, the web page under ``/``, commands under ``/sandbox/``.

Commands take and return JSON and need no token. With ``H='content-type: application/json'`` and
``S=http://127.0.0.1:8765/sandbox``::

    curl -H "$H" -d '{}' $S/reset
    curl -H "$H" -d '{"accounts": [{"name": "渡辺 真"}]}' $S/seed
    curl -H "$H" -d '{"room_id": 400000101, "account_id": 1001002, "body": "はい"}' $S/post_message
    curl -H "$H" -d '{"room_id": 400000101, "account_id": 1001002, "message_id": "19...", "body": "了解"}' $S/reply
    curl -H "$H" -d '{"room_id": 400000101, "message_id": "19...", "body": "訂正"}' $S/edit_message
    curl -H "$H" -d '{"room_id": 400000101, "message_id": "19..."}' $S/delete_message
    curl -H "$H" -d '{"room_id": 400000101, "account_id": 1001002, "to_ids": [1001001], "body": "確認"}' $S/create_task
    curl -H "$H" -d '{"room_id": 400000101, "task_id": 600001000}' $S/complete_task # also: reopen_task, delete_task
    curl -H "$H" -d '{"room_id": 400000101, "account_id": 1001005}' $S/remove_member # also: add_member (role)
    curl -H "$H" -d '{"kind": "lost_reply", "operation": "post_message"}' $S/add_fault
    curl -H "$H" -d '{"kind": "status", "status": 429, "headers": {}, "times": 3}' $S/add_fault
    curl -H "$H" -d '{}' $S/clear_faults
    curl -H "$H" -d '{"requests": 5, "window": 60, "posts": null}' $S/limits
    curl -H "$H" -d '{"token": "second-token", "account_id": 1001002}' $S/add_token
    curl $S/state > saved.json; curl -H "$H" -d @saved.json $S/restore
    curl $S/requests        # request log: method, path, operation, status, account_id, time, fault, query, form
    curl $S/write_counts    # {"post_message": 2}: requests of each operation that changed something
    curl $S/faults          # faults that are not used up
    curl -N $S/events       # server-sent events, one for every change

The fields are the arguments of the methods of :class:`~airflow_provider_chatwork.sandbox.Sandbox`,
:class:`~airflow_provider_chatwork.sandbox.Fault` and :class:`~airflow_provider_chatwork.sandbox.Limits`.
Wrong fields are answered with 400, unknown rooms, accounts, messages and tasks with 404, both as ``{"errors": [...]}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from airflow_provider_chatwork.sandbox import avatars, downloads
from airflow_provider_chatwork.sandbox.asgi import ApiEndpoint
from airflow_provider_chatwork.sandbox.faults import Fault
from airflow_provider_chatwork.sandbox.page_data import page_data
from airflow_provider_chatwork.sandbox.rate_limits import Limits
from airflow_provider_chatwork.sandbox.request_guard import rejection_reason
from airflow_provider_chatwork.sandbox.request_parsing import VERSION_PATH
from airflow_provider_chatwork.sandbox.routes import OPERATIONS
from airflow_provider_chatwork.sandbox.sandbox import Sandbox
from airflow_provider_chatwork.sandbox.state_file import StateFile

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

PAGE_FOLDER = Path(__file__).parent / "page"
#: A message can hold any text, so the page may load and run only the sandbox's own files.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KEEP_ALIVE_SECONDS = 15.0
#: Commands that call the method of this name, and the name of what they return.
_METHOD_COMMANDS: Mapping[str, str | None] = {
    "post_message": "message_id",
    "reply": "message_id",
    "create_task": "task_ids",
    **dict.fromkeys(("edit_message", "delete_message", "complete_task", "reopen_task", "delete_task")),
    **dict.fromkeys(("add_member", "remove_member", "add_token")),
}


class CommandError(Exception):
    """A command that fails, with the HTTP status of its answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def run_command(sandbox: Sandbox, name: str, arguments: Any) -> dict[str, Any]:
    """Run ``POST /sandbox/{name}`` and return the answer.

    :raises CommandError: the command or an argument is unknown or wrong.
    """
    if not isinstance(arguments, dict):
        raise CommandError(400, "Send a JSON object")
    try:
        if name in _METHOD_COMMANDS:
            value, field = _call(getattr(sandbox, name), arguments), _METHOD_COMMANDS[name]
            return {field: value} if field else {}
        if name in _COMMANDS:
            return _COMMANDS[name](sandbox, arguments) or {}
    except LookupError as error:
        raise CommandError(404, str(error)) from error
    except (TypeError, ValueError) as error:
        raise CommandError(400, str(error)) from error
    raise CommandError(404, f"Unknown command {name!r}; known: {', '.join(sorted([*_METHOD_COMMANDS, *_COMMANDS]))}")


def read_state(sandbox: Sandbox, name: str) -> Any:
    """Return the answer of ``GET /sandbox/{name}``.

    :raises CommandError: the name is unknown.
    """
    if name == "state":
        return sandbox.snapshot()
    if name == "requests":
        return [asdict(record) for record in sandbox.requests]
    if name == "write_counts":
        return {operation: count for operation in OPERATIONS if (count := sandbox.write_count(operation))}
    if name == "faults":
        return [asdict(fault) for fault in sandbox.open_faults]
    raise CommandError(404, f"Nothing to read at /sandbox/{name}")


def _call(method: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    types = get_type_hints(method)
    for name, value in inspect.signature(method).bind(**arguments).arguments.items():
        expected = list if get_origin(types[name]) is list else types[name]
        if not isinstance(value, expected) or isinstance(value, bool):
            raise TypeError(f"{name}={value!r}: must be {expected!r}")
    return method(**arguments)


def _set_limits(sandbox: Sandbox, arguments: dict[str, Any]) -> None:
    sandbox.limits = Limits(**arguments)


_COMMANDS: Mapping[str, Callable[[Sandbox, dict[str, Any]], dict[str, Any] | None]] = {
    "reset": lambda sandbox, _: sandbox.reset(),
    "seed": lambda sandbox, arguments: sandbox.seed(arguments),
    "restore": lambda sandbox, arguments: sandbox.restore(arguments),
    "add_fault": lambda sandbox, arguments: sandbox.add_fault(Fault(**arguments)),
    "clear_faults": lambda sandbox, _: sandbox.clear_faults(),
    "limits": _set_limits,
}


class SandboxApp:
    """The ASGI application.

    :param host: the address the server listens on.
    :param allowed_hosts: further host names that browsers may use.
    :param state_file: JSON file of the state: read at the start if it exists, written after changes.
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
        self._open_streams: set[asyncio.Event] = set()
        self._state_file = StateFile(sandbox, state_file)
        self._api = ApiEndpoint(sandbox, self.closing)
        self._pages = Starlette(
            routes=[
                Route("/sandbox/events", self._events),
                Route("/sandbox/view", self._view),
                Route("/sandbox/files/{file_id:int}", self._file),
                Route("/sandbox/avatars/{account_id:int}.svg", self._avatar),
                Route("/sandbox/icons/{icon}.svg", self._icon),
                Route("/sandbox/{name}", self._read, methods=["GET"]),
                Route("/sandbox/{name}", self._command, methods=["POST"]),
                Mount("/", StaticFiles(directory=PAGE_FOLDER, html=True)),
            ],
            middleware=[Middleware(_Guard, host=host, allowed=tuple(allowed_hosts))],
            lifespan=self._lifespan,
            exception_handlers={CommandError: _command_error},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith((f"{VERSION_PATH}/", downloads.PATH)):
            await self._api(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    def close(self) -> None:
        """End all event streams and late answers. Call it in the event loop of the server, before it stops."""
        self.closing.set()
        for changed in self._open_streams:
            changed.set()

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        saving = asyncio.create_task(self._state_file.run())
        yield
        saving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await saving
        self._state_file.save()

    async def _events(self, request: Request) -> Response:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._event_stream(), media_type="text/event-stream", headers=headers)

    async def _event_stream(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake(revision: int) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        unwatch = self.sandbox.watch(wake)
        self._open_streams.add(changed)
        try:
            yield f"retry: 1000\ndata: {self.sandbox.store.revision}\n\n"
            while not self.closing.is_set():
                try:
                    await asyncio.wait_for(changed.wait(), _KEEP_ALIVE_SECONDS)
                    changed.clear()
                    yield f"data: {self.sandbox.store.revision}\n\n"
                except TimeoutError:
                    yield ": keep-alive\n\n"
        finally:
            unwatch()
            self._open_streams.discard(changed)

    async def _view(self, request: Request) -> Response:
        room_id = request.query_params.get("room_id", "")
        return _json(page_data(self.sandbox, int(room_id) if room_id.isascii() and room_id.isdigit() else None))

    async def _file(self, request: Request) -> Response:
        file_id = request.path_params["file_id"]
        for room in list(self.sandbox.store.rooms.values()):
            if file_id in room.files:
                response = downloads.file_response(room.files[file_id])
                return Response(response.body, response.status, dict(response.headers))
        raise CommandError(404, "File not found")

    async def _avatar(self, request: Request) -> Response:
        account = self.sandbox.store.accounts.get(request.path_params["account_id"])
        return _image(avatars.avatar(account.account_id, account.name) if account else None)

    async def _icon(self, request: Request) -> Response:
        return _image(avatars.icon(request.path_params["icon"]))

    async def _read(self, request: Request) -> Response:
        return _json(read_state(self.sandbox, request.path_params["name"]))

    async def _command(self, request: Request) -> Response:
        try:
            arguments = json.loads(await request.body() or b"{}")
        except ValueError:
            raise CommandError(400, "Send JSON") from None
        return _json(run_command(self.sandbox, request.path_params["name"], arguments))


class _Guard:
    """Middleware: rejects requests from other web sites and adds the page's security headers."""

    def __init__(self, app: ASGIApp, host: str, allowed: Collection[str]) -> None:
        self._app = app
        self._host = host
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reason = rejection_reason(headers, scope["method"], scope["path"], self._host, self._allowed)
        if reason:
            await _json({"errors": [reason]}, 403)(scope, receive, send)
            return

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start" and not scope["path"].startswith("/sandbox/"):
                added = (
                    ("content-security-policy", PAGE_POLICY),
                    ("x-content-type-options", "nosniff"),
                    ("referrer-policy", "no-referrer"),
                    ("cache-control", "no-cache"),
                )
                message["headers"] = [*message["headers"], *((n.encode(), v.encode()) for n, v in added)]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _json(value: Any, status: int = 200) -> Response:
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return JSONResponse(value, status, headers)


def _command_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CommandError)
    return _json({"errors": [str(error)]}, error.status)


def _image(svg: str | None) -> Response:
    if svg is None:
        raise CommandError(404, "Image not found")
    headers = {"content-security-policy": "default-src 'none'", "cache-control": "max-age=3600"}
    return Response(svg, media_type="image/svg+xml", headers=headers)
