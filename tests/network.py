"""A test network on this machine: certificates, and a proxy that records its connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

#: A host name that only the proxy resolves.
HOST = "api.chatwork.test"


@dataclass
class Certificates:
    """Paths of a certificate authority, and of the key and certificate it issued for :data:`HOST`."""

    authority: Path
    server: Path


def make_certificates(folder: Path) -> Certificates:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.now(UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def builder(subject: str, key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey):
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Test CA"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        )

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    usage = dict.fromkeys(
        [
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    authority = (
        builder("Test CA", ca_key, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName(HOST)])
    server = builder(HOST, key, ca_key).add_extension(names, critical=False).sign(ca_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    written = Certificates(folder / "authority.pem", folder / "server.pem")
    written.authority.write_bytes(authority.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    written.server.write_bytes(private + server.public_bytes(pem))
    return written


@dataclass
class Proxy:
    """An HTTP proxy that supports only ``CONNECT``, and connects every client to one port of this machine.

    :param asked: the targets it was asked to connect to.
    :param refusal: what it answers instead, where it is set; no bytes at all end the connection.
    """

    url: str
    target: int
    asked: list[str] = field(default_factory=list)
    refusal: bytes | None = None
    _open: set[socket.socket] = field(default_factory=set)

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            self.asked.append(head.split()[1].decode())
            if self.refusal is not None:
                client.sendall(self.refusal)
                return
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_pump, args=(server, client))
                back.start()
                _pump(client, server)
                back.join()

    def _hang_up(self) -> None:
        for client in self._open:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def run_proxy(target: int) -> Iterator[Proxy]:
    """Run a proxy on a free port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy = Proxy(f"http://127.0.0.1:{listening.getsockname()[1]}", target)
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    threads.append(threading.Thread(target=proxy._serve, args=(client,)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield proxy
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()
            proxy._hang_up()
    for thread in threads:
        thread.join()


def free_port() -> int:
    """A closed port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
