"""The ASGI endpoint of the API. It also delays, truncates and drops responses, as faults require."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

#: Bytes; a larger request body is answered with 413.
MAX_REQUEST_BYTES = 10 * 1024 * 1024
#: The Host header is copied into URLs of the response, so it must be a valid host.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")


class ApiEndpoint:
    """Answers API requests from a sandbox.

    :param closing: set when the server is about to stop; ends the delay of late responses.
    """

    def __init__(self, sandbox: Sandbox, closing: asyncio.Event) -> None:
        self._sandbox = sandbox
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, unless a fault drops the connection."""
        body = await _read(receive)
        if body is None:
            error = json.dumps({"errors": ["Request is too large"]}).encode()
            await _send(send, Response(413, {"content-type": "application/json; charset=utf-8"}, error))
            return
        outcome = self._sandbox.answer(_request(scope, body))
        if outcome.delay:
            await self._delay(receive, outcome.delay)
        if outcome.response is None:
            await _drop_connection(receive, send)
        elif outcome.ending == "cut":
            await _send(send, outcome.response, truncated=True)
            await _drop_connection(receive, send)
        else:
            await _send(send, outcome.response)

    async def _delay(self, receive: Receive, seconds: float) -> None:
        """Wait, but no longer than client and server are connected."""
        disconnects = {asyncio.ensure_future(receive()), asyncio.create_task(self._closing.wait())}
        _, pending = await asyncio.wait(disconnects, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


def _request(scope: Scope, body: bytes) -> HttpRequest:
    headers = {k.decode("latin-1").lower(): v.decode("utf-8", "surrogateescape") for k, v in scope["headers"]}
    server: tuple[str, int] = scope["server"]
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = f"{server[0]}:{server[1]}"
    # The path stays encoded: decoding could change an id.
    path = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return HttpRequest(
        scope["method"], f"{scope['scheme']}://{host}{path}{'?' + query if query else ''}", headers, body
    )


async def _read(receive: Receive) -> bytes | None:
    """Return the body, or ``None`` if it is too large. It is read to its end, so that the client gets the 413."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(chunks)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_REQUEST_BYTES:
            chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks) if size <= MAX_REQUEST_BYTES else None


async def _send(send: Send, response: Response, truncated: bool = False) -> None:
    headers = dict(response.headers)
    if response.status != 204:
        headers["content-length"] = str(len(response.body))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    body = response.body[: len(response.body) // 2] if truncated else response.body
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": truncated})


async def _drop_connection(receive: Receive, send: Send) -> None:
    """Abort the connection, as a failing network does.

    ASGI has no message for this. Uvicorn's ``send`` is a method of the object that holds the transport, so this works
    only with Uvicorn and without middleware around the application.
    """
    transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError(
            "Only Uvicorn can drop a connection; use serve() of airflow_provider_chatwork.sandbox.serving"
        )
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
