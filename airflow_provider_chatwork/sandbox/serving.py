"""Puts a sandbox behind a port: for the length of a ``with`` block, or for as long as the process runs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvicorn

from airflow_provider_chatwork.sandbox.company import DATA_ROOM
from airflow_provider_chatwork.sandbox.sandbox import Sandbox
from airflow_provider_chatwork.sandbox.server import SandboxApp

#: Seconds to come up or to go down, far more than either takes.
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a sandbox listens. ``str()`` gives the address of its page."""

    host: str
    port: int
    scheme: str = "http"

    def __str__(self) -> str:
        return self.origin

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        # Nobody can connect to "all interfaces"; from this machine the loopback one answers for them.
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{self.scheme}://{f'[{reachable}]' if ':' in reachable else reachable}:{self.port}"

    @property
    def api(self) -> str:
        """The base address of the API, for the ``host`` of a connection."""
        return f"{self.origin}/v2"

    def connection_uri(self, token: str, default_room_id: int = DATA_ROOM) -> str:
        """Return the Airflow connection as a URI, as ``AIRFLOW_CONN_CHATWORK_DEFAULT`` takes it."""
        secret, host = quote(token, safe=""), quote(self.api, safe="")
        return f"chatwork://:{secret}@{host}/?default_room_id={default_room_id}"

    def connection_json(self, token: str, default_room_id: int = DATA_ROOM) -> str:
        """Return the Airflow connection as JSON."""
        extra = {"default_room_id": default_room_id}
        return json.dumps({"conn_type": "chatwork", "host": self.api, "password": token, "extra": extra})


class ServedSandbox(Sandbox):
    """What the pytest fixture ``chatwork_sandbox`` yields: a sandbox and its ``address``."""

    address: Address


class SandboxServer(uvicorn.Server):
    """A server that lets go of its clients when it stops, and says when it is up.

    :param app: what it serves.
    :param sock: where it listens; closed at the end.
    """

    def __init__(
        self,
        app: SandboxApp,
        sock: socket.socket,
        certfile: str | os.PathLike[str] | None = None,
        keyfile: str | os.PathLike[str] | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            # The sandbox sends its own date, by its own clock.
            date_header=False,
            server_header=False,
            # Anything around the application would hide the connection from it.
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            ssl_certfile=certfile,
            ssl_keyfile=None if keyfile is None else os.fspath(keyfile),
        )
        super().__init__(config)
        host, port = sock.getsockname()[:2]
        self.address = Address(host, port, "http" if certfile is None else "https")
        self.up = threading.Event()
        self._app = app
        self._sock = sock

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, after telling endless answers to end."""
        self._app.close()
        await super().shutdown(sockets)

    def run_here(self) -> None:
        """Serve until told to stop."""
        with self._sock:
            self.run(sockets=[self._sock])


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    :raises OSError: the port is taken, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=512)
    # Accepted connections inherit it. Without it head and body of an answer, which are two writes, wait for each other
    # some 40 ms; asyncio sets it only on sockets that name their protocol, which these do not.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@contextlib.contextmanager
def serve(
    sandbox: Sandbox,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    certfile: str | os.PathLike[str] | None = None,
    keyfile: str | os.PathLike[str] | None = None,
    allowed_hosts: Collection[str] = (),
    state_file: Path | None = None,
) -> Iterator[Address]:
    """Serve a sandbox from a thread of its own until the block ends; yields where.

    :param port: 0 takes a free one.
    :param certfile: serve https with this certificate, and ``keyfile`` unless the key is in the same file.
    :raises OSError: the port is taken.
    """
    server = SandboxServer(SandboxApp(sandbox, host, allowed_hosts, state_file), listen(host, port), certfile, keyfile)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            server.run_here()
        except BaseException as error:
            failures.append(error)
        finally:
            server.up.set()

    thread = threading.Thread(target=run, name=f"chatwork-sandbox-{server.address.port}", daemon=True)
    thread.start()
    server.up.wait(_PATIENCE)
    if not server.started:
        thread.join(_PATIENCE)
        raise RuntimeError(f"the sandbox did not start on {server.address}") from next(iter(failures), None)
    try:
        yield server.address
    finally:
        server.should_exit = True
        thread.join(_PATIENCE)
