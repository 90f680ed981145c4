"""Serves a sandbox on a port: during a ``with`` block, or until the process ends."""

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

#: Seconds for the server to start or to stop.
_TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a served sandbox. ``str()`` gives the URL of its page."""

    host: str
    port: int
    scheme: str = "http"

    def __str__(self) -> str:
        return self.origin

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a trailing slash."""
        # A client cannot connect to "all interfaces", so the URL has the loopback address.
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{self.scheme}://{f'[{reachable}]' if ':' in reachable else reachable}:{self.port}"

    @property
    def api(self) -> str:
        """The base URL of the API, for the ``host`` of a connection."""
        return f"{self.origin}/v2"

    def connection_uri(self, token: str, default_room_id: int = DATA_ROOM) -> str:
        """Return the Airflow connection as a URI, for ``AIRFLOW_CONN_CHATWORK_DEFAULT``."""
        secret, host = quote(token, safe=""), quote(self.api, safe="")
        return f"chatwork://:{secret}@{host}/?default_room_id={default_room_id}"

    def connection_json(self, token: str, default_room_id: int = DATA_ROOM) -> str:
        """Return the Airflow connection as JSON."""
        extra = {"default_room_id": default_room_id}
        return json.dumps({"conn_type": "chatwork", "host": self.api, "password": token, "extra": extra})


class ServedSandbox(Sandbox):
    """A sandbox with its ``address``. The pytest fixture ``chatwork_sandbox`` yields one."""

    address: Address


class SandboxServer(uvicorn.Server):
    """A Uvicorn server that ends event streams when it stops.

    :param sock: the listening socket; closed when the server stops.
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
            # The sandbox sends the date of its own clock.
            date_header=False,
            server_header=False,
            # A proxy middleware would hide the connection from the application.
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            ssl_certfile=certfile,
            ssl_keyfile=None if keyfile is None else os.fspath(keyfile),
        )
        super().__init__(config)
        host, port = sock.getsockname()[:2]
        self.address = Address(host, port, "http" if certfile is None else "https")
        self.started_or_failed = threading.Event()
        self._app = app
        self._sock = sock

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        await super().startup(sockets)
        self.started_or_failed.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the event streams and stop listening."""
        self._app.close()
        await super().shutdown(sockets)

    def run_in_this_thread(self) -> None:
        """Serve until the process is interrupted or ``should_exit`` is set."""
        with self._sock:
            self.run(sockets=[self._sock])


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 selects a free port.

    :raises OSError: the port is in use, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=512)
    # Accepted connections inherit the option. Without it each response takes 40 ms, because headers and body are two
    # writes. asyncio sets it only on sockets with an explicit protocol.
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
    """Serve a sandbox in a thread until the block ends; yields its address.

    :param port: 0 selects a free port.
    :param certfile: serve https with this certificate; ``keyfile`` is needed if the file has no private key.
    :raises OSError: the port is in use.
    """
    server = SandboxServer(SandboxApp(sandbox, host, allowed_hosts, state_file), listen(host, port), certfile, keyfile)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            server.run_in_this_thread()
        except BaseException as error:
            failures.append(error)
        finally:
            server.started_or_failed.set()

    thread = threading.Thread(target=run, name=f"chatwork-sandbox-{server.address.port}", daemon=True)
    thread.start()
    server.started_or_failed.wait(_TIMEOUT)
    if not server.started:
        thread.join(_TIMEOUT)
        raise RuntimeError(f"The sandbox did not start on {server.address}") from next(iter(failures), None)
    try:
        yield server.address
    finally:
        server.should_exit = True
        thread.join(_TIMEOUT)
