"""The API behind a port, down to the connection: here answers can also come late, in part, or not at all."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

#: The whole of a request beyond which nobody looks at it any more.
LARGEST_REQUEST = 10 * 1024 * 1024
#: The host is repeated in addresses of the answer, so it has to be one.
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")


class ApiEndpoint:
    """Hands requests to a sandbox and ends them as it says.

    :param closing: is set when the server is about to stop, so that nobody waits for a late answer any more.
    """

    def __init__(self, sandbox: Sandbox, closing: asyncio.Event) -> None:
        self._sandbox = sandbox
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or not."""
        body = await _read(receive)
        if body is None:
            error = json.dumps({"errors": ["Request is too large"]}).encode()
            await _send(send, Response(413, {"content-type": "application/json; charset=utf-8"}, error))
            return
        outcome = self._sandbox.answer(_request(scope, body))
        if outcome.delay:
            await self._pause(receive, outcome.delay)
        if outcome.response is None:
            await _hang_up(receive, send)
        elif outcome.ending == "cut":
            await _send(send, outcome.response, half=True)
            await _hang_up(receive, send)
        else:
            await _send(send, outcome.response)

    async def _pause(self, receive: Receive, seconds: float) -> None:
        """Wait that long, or until the client or the server goes away."""
        ends = {asyncio.ensure_future(receive()), asyncio.create_task(self._closing.wait())}
        _, still = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for waiting in still:
            waiting.cancel()


def _request(scope: Scope, body: bytes) -> HttpRequest:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers[name.decode("latin-1").lower()] = value.decode("utf-8", "surrogateescape")
    server: tuple[str, int] = scope["server"]
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = f"{server[0]}:{server[1]}"
    # The path as it was sent: decoding it could turn an id into something else.
    path = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return HttpRequest(
        scope["method"], f"{scope['scheme']}://{host}{path}{'?' + query if query else ''}", headers, body
    )


async def _read(receive: Receive) -> bytes | None:
    """Return the body, ``None`` when it is too large; such a body is still read, so that the client hears why."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(pieces)
        piece = message.get("body", b"")
        size += len(piece)
        if size <= LARGEST_REQUEST:
            pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces) if size <= LARGEST_REQUEST else None


async def _send(send: Send, response: Response, half: bool = False) -> None:
    headers = dict(response.headers)
    if response.status != 204:
        headers["content-length"] = str(len(response.body))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    body = response.body[: len(response.body) // 2] if half else response.body
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": half})


async def _hang_up(receive: Receive, send: Send) -> None:
    """End the connection as a failing network does.

    ASGI has no word for this. Uvicorn's ``send`` is a method of the object that holds the connection's transport;
    another server, or middleware around this application, will not do.
    """
    transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("this server does not let the sandbox end a connection; run it with sandbox.serving.serve")
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
