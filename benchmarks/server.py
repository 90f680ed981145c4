"""A TLS server that answers as Chatwork and Slack answer a posted message, and does as little else as it can.

``python -m benchmarks.server CERTIFICATE`` prints its origin and serves until its standard input ends. It is a process
of its own, so that its CPU time is not measured. ``GET /seen`` returns what it received, by path.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time
from collections import defaultdict
from email.utils import formatdate

SEEN = "/seen"

_WINDOW = 300
_CHATWORK = b'{"message_id":"1874930148572049408"}'
_SLACK = b"""{"ok":true,"channel":"C0123456789","ts":"1767225600.000100","message":{"type":"message","subtype":\
"bot_message","text":"Done.","ts":"1767225600.000100","username":"airflow","bot_id":"B0123456789"},"warning":\
"missing_charset","response_metadata":{"warnings":["missing_charset"]}}"""


class Server:
    """Serves each connection from a thread of its own.

    :param certificate: PEM file with the certificate and its key.
    """

    def __init__(self, certificate: str) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lock = threading.Lock()
        self._bodies: dict[str, list[bytes]] = defaultdict(list)
        self._connections: dict[str, set[int]] = defaultdict(set)
        self.origin = f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Accept connections for ever."""
        number = 0
        while True:
            connection, _ = self._listener.accept()
            number += 1
            threading.Thread(target=self._talk, args=(connection, number), daemon=True).start()

    def _talk(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self._tls.wrap_socket(connection, server_side=True) as tls:
                pending = b""
                while True:
                    while b"\r\n\r\n" not in pending:
                        pending = _more(tls, pending)
                    head, _, pending = pending.partition(b"\r\n\r\n")
                    line, *fields = head.decode("latin-1").split("\r\n")
                    headers = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
                    length = int(headers.get("content-length", 0))
                    while len(pending) < length:
                        pending = _more(tls, pending)
                    body, pending = pending[:length], pending[length:]
                    tls.sendall(self._answer(line.split(" ")[1], body, number))
                    if headers.get("connection", "").lower() == "close":
                        return
        except OSError:
            # The client has gone, as clients do.
            return

    def _answer(self, path: str, body: bytes, number: int) -> bytes:
        if path == SEEN:
            content, extra = json.dumps(self.seen()).encode(), ""
        else:
            with self._lock:
                self._bodies[path].append(body)
                self._connections[path].add(number)
            if path.startswith("/v2/"):
                reset = int(time.time()) // _WINDOW * _WINDOW + _WINDOW
                extra = f"x-ratelimit-limit: 300\r\nx-ratelimit-remaining: 299\r\nx-ratelimit-reset: {reset}\r\n"
                content = _CHATWORK
            else:
                content, extra = _SLACK, "x-slack-req-id: 0123456789abcdef0123456789abcdef\r\n"
        return (
            f"HTTP/1.1 200 OK\r\ndate: {formatdate(usegmt=True)}\r\ncontent-type: application/json; charset=utf-8\r\n"
            f"content-length: {len(content)}\r\n{extra}\r\n"
        ).encode() + content

    def seen(self) -> dict[str, dict[str, int]]:
        """For each path: how many requests came, how many different ones, and on how many connections."""
        with self._lock:
            return {
                path: {
                    "requests": len(bodies),
                    "different": len(set(bodies)),
                    "connections": len(self._connections[path]),
                }
                for path, bodies in self._bodies.items()
            }


def _more(tls: ssl.SSLSocket, pending: bytes) -> bytes:
    data = tls.recv(65536)
    if not data:
        raise ConnectionError("the client hung up")
    return pending + data


def main() -> None:
    """Serve until the standard input ends, that is until the parent process does."""
    server = Server(sys.argv[1])
    threading.Thread(target=server.serve, daemon=True).start()
    print(server.origin, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
