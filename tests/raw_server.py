"""A TCP server on this machine whose connections are scripted byte by byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


class Connection:
    """One accepted connection, for a script."""

    def __init__(self, server: RawServer, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._received = b""

    def start_tls(self, certfile: Path) -> None:
        """Do the server's part of a TLS handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certfile)
        self._sock = context.wrap_socket(self._sock, server_side=True)

    def read_request(self) -> bytes:
        """Read one request with its body, count it, and return it. Ends the script if the client closes."""
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            self._receive()
            body = self._received.partition(b"\r\n\r\n")[2]
        self._received = body[length:]
        self._server.requests.append(head + b"\r\n\r\n" + body[:length])
        return self._server.requests[-1]

    def read_some(self) -> None:
        """Read what the client sends first, whatever it is."""
        self._receive()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def drip(self, data: bytes, pause: float = 0.05) -> None:
        """Send a few bytes again and again, with a pause after each byte, until the client closes."""
        while not self._server.stopping.wait(pause):
            for byte in data:
                self.send(bytes([byte]))
                if self._server.stopping.wait(pause):
                    return

    def flood(self, data: bytes) -> None:
        """Send the same bytes as fast as possible until the client closes."""
        while not self._server.stopping.is_set():
            self.send(data)

    def hang(self) -> None:
        """Do nothing until the client closes."""
        while not self._server.stopping.is_set() and self._sock.recv(65536):
            pass

    def close(self) -> None:
        self._sock.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _receive(self) -> None:
        piece = self._sock.recv(65536)
        if not piece:
            raise ConnectionError("the client has closed the connection")
        self._received += piece


@dataclass
class RawServer:
    """A server that runs one script for each connection, in turn; the last script is repeated.

    :param port: its port on 127.0.0.1.
    :param requests: the complete requests that it has received.
    :param connections: the number of accepted connections.
    """

    port: int
    scripts: list[Callable[[Connection], object]]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self, sock: socket.socket, script: Callable[[Connection], object]) -> None:
        connection = Connection(self, sock)
        with sock, contextlib.suppress(OSError):
            script(connection)
        connection.close()


@contextlib.contextmanager
def raw_server(*scripts: Callable[[Connection], object]) -> Iterator[RawServer]:
    """Run a server on a free port until the block ends."""
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = RawServer(listening.getsockname()[1], list(scripts))

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listening.accept()
                    script = server.scripts[min(server.connections, len(server.scripts) - 1)]
                    server.connections += 1
                    server._open.append(sock)
                    threads.append(threading.Thread(target=server._serve, args=(sock, script)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            server.stopping.set()
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for sock in server._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
