"""Faults below HTTP, over real sockets, for both transports: what the server received decides what the error states."""

from __future__ import annotations

import asyncio
import gc
import gzip
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.api.errors import (
    ChatworkError,
    ChatworkNetworkError,
    ChatworkSetupError,
    ChatworkUnexpectedResponseError,
    ChatworkUnknownOutcomeError,
)
from airflow_provider_chatwork.api.files import upload_file
from airflow_provider_chatwork.api.messages import post_message
from airflow_provider_chatwork.api.retry import RetryPolicy
from airflow_provider_chatwork.api.rooms import create_room
from airflow_provider_chatwork.api.tasks import create_task
from airflow_provider_chatwork.client import AsyncClient, Client
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.exchange import MAX_ANSWER
from airflow_provider_chatwork.transports import HttpxTransport, RequestsTransport, fetch
from tests.network import HOST, Certificates, free_port, make_certificates, run_proxy
from tests.raw_server import Connection, raw_server

TOKEN = "canary-token"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"message_id": "12"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
POST = post_message(1, "done")
#: The name of the certificate of "Test CA" by which OpenSSL finds it in a folder: ``openssl x509 -hash``.
AUTHORITY_HASH = "3387b84d.0"
WRITES = [POST, create_task(1, "check", [2]), upload_file(1, Upload("a.csv", b"1")), create_room("room", [2])]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for name in (*names, "requests_ca_bundle", "curl_ca_bundle", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class Sender:
    """A client with one of the transports, which sleeps in no time."""

    def __init__(self, transport: str) -> None:
        self._is_async = transport == "httpx"
        self._runner = asyncio.Runner()

    def run(self, call: Any, url: str, *, timeout: float = 1.0, tries: int = 1, proxy: str | None = None) -> Any:
        settings = Settings(TOKEN, url, timeout=timeout)
        policy = RetryPolicy(tries=tries)
        if not self._is_async:
            transport = RequestsTransport(proxy)
            try:
                return Client(settings, transport, policy=policy, sleep=lambda _: None).run(call)
            finally:
                transport.close()

        async def run() -> Any:
            transport = HttpxTransport(proxy)
            try:
                return await AsyncClient(settings, transport, policy=policy, sleep=lambda _: asyncio.sleep(0)).run(call)
            finally:
                await transport.close()

        return self._runner.run(run())

    def close(self) -> None:
        self._runner.close()
        gc.collect()


@pytest.fixture(params=["requests", "httpx"])
def sender(request: pytest.FixtureRequest) -> Iterator[Sender]:
    sender = Sender(request.param)
    yield sender
    sender.close()


def after_request(act: Callable[[Connection], object]) -> Callable[[Connection], object]:
    """A script that reads one request and then acts."""

    def script(connection: Connection) -> None:
        connection.read_request()
        act(connection)

    return script


def over_tls(certificates: Certificates, script: Callable[[Connection], object]) -> Callable[[Connection], object]:
    """A script for the server :data:`HOST`, which only the proxy of the test network finds."""

    def run(connection: Connection) -> None:
        connection.start_tls(certificates.server)
        script(connection)

    return run


def answer(data: bytes) -> Callable[[Connection], object]:
    return after_request(lambda connection: connection.send(data))


def drip_after(head: bytes, data: bytes) -> Callable[[Connection], object]:
    def act(connection: Connection) -> None:
        connection.send(head)
        connection.drip(data)

    return after_request(act)


def flood_after(head: bytes, data: bytes) -> Callable[[Connection], object]:
    def act(connection: Connection) -> None:
        connection.send(head)
        connection.flood(data)

    return after_request(act)


BOMB = gzip.compress(b"0" * (MAX_ANSWER + 1))

#: Answers to a request that the server has read completely.
GARBLED = {
    "two lengths": answer(HEAD + b'Content-Length: 20\r\nContent-Length: 21\r\n\r\n{"message_id": "12"}'),
    "an invalid length": answer(HEAD + b'Content-Length: twenty\r\n\r\n{"message_id": "12"'),
    "no status line": answer(b"\x00\x01\x02\x03\r\n\r\n"),
    "a status that is no number": answer(b"HTTP/1.1 OK\r\n\r\n"),
    "a header of 100 kB": answer(HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n{}"),
    "an invalid chunk": answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    "half a body": answer(HEAD + b'Content-Length: 20\r\n\r\n{"mess'),
    "nothing": after_request(lambda connection: None),
    "a reset": after_request(lambda connection: connection.reset()),
    "gzip that is none": answer(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
    "half of gzip": answer(
        HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(b'{"message_id": "12"}')[:20]
    ),
    "a gzip bomb": answer(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB),
    "an endless body": flood_after(HEAD + b"Connection: close\r\n\r\n", b" " * 65536),
    "endless chunks": flood_after(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "endless headers": flood_after(HEAD, b"X-A: 1\r\n"),
    "a body with a byte now and then": drip_after(HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    "chunks with a byte now and then": drip_after(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "headers with a byte now and then": drip_after(HEAD, b"X-A: 1\r\n"),
    "a status line with a byte now and then": drip_after(b"", b"H"),
    "no answer": after_request(lambda connection: connection.hang()),
}
SLOW = {name for name in GARBLED if "now and then" in name or name == "no answer"}


class TestAnswers:
    @pytest.mark.parametrize("fault", GARBLED)
    def test_an_unusable_answer_means_that_the_request_was_sent(self, sender, fault):
        with raw_server(GARBLED[fault]) as server, pytest.raises(ChatworkError) as raised:
            sender.run(POST, server.url, timeout=0.6 if fault in SLOW else 20.0)
        assert isinstance(raised.value, ChatworkUnknownOutcomeError)
        lost = raised.value.__cause__
        assert isinstance(lost, (ChatworkNetworkError, ChatworkUnexpectedResponseError))
        if isinstance(lost, ChatworkNetworkError):
            assert (lost.sent, lost.timed_out) == (True, fault in SLOW)
        assert sum(b"POST" in request for request in server.requests) == 1

    @pytest.mark.parametrize("call", WRITES, ids=lambda call: call.operation)
    def test_a_garbled_answer_never_repeats_a_write_that_may_have_been_executed(self, sender, call):
        with raw_server(GARBLED["two lengths"]) as server, pytest.raises(ChatworkError):
            sender.run(call, server.url, tries=5)
        assert sum(b"POST" in request for request in server.requests) == 1

    def test_a_compressed_answer_is_read(self, sender):
        body = gzip.compress(b'{"message_id": "12"}')
        script = answer(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        with raw_server(script) as server:
            assert sender.run(POST, server.url) == {"message_id": "12"}

    def test_a_redirect_with_an_unreadable_target_is_an_unexpected_answer(self, sender):
        for location in (b"https://[", b"\xff\xfe", b"http://a:b/", b"//\xe3\x80\x82"):
            script = answer(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")
            with raw_server(script) as server, pytest.raises(ChatworkUnknownOutcomeError) as raised:
                sender.run(POST, server.url)
            assert isinstance(raised.value.__cause__, ChatworkUnexpectedResponseError)

    def test_the_limit_of_time_grows_with_an_upload(self, sender):
        # The server reads slowly at first; the timeout of other requests would have ended.
        def script(connection: Connection) -> None:
            connection._server.stopping.wait(0.6)
            connection.read_request()
            connection.send(OK.replace(b'{"message_id": "12"}', b'{"file_id": 1234567}'))

        with raw_server(script) as server:
            uploaded = sender.run(upload_file(1, Upload("a", b"x" * 4_000_000)), server.url, timeout=0.3)
        assert uploaded == {"file_id": 1234567}


#: What a server, or a proxy, does instead of a TLS handshake or of an answer to CONNECT.
BROKEN_STARTS = {
    "closes": lambda connection: connection.read_some(),
    "resets": after_request(lambda connection: connection.reset()),
    "sends garbage": lambda connection: (connection.read_some(), connection.send(b"\x00garbage\r\n\r\n" * 4)),
    "hangs": lambda connection: connection.hang(),
    "drips": lambda connection: (connection.read_some(), connection.drip(b"\x16\x03\x03")),
}
BROKEN_HANDSHAKES = {
    **BROKEN_STARTS,
    "resets": lambda connection: (connection.read_some(), connection.reset()),
    "sends an alert": lambda connection: (connection.read_some(), connection.send(b"\x15\x03\x03\x00\x02\x02\x28")),
}


# asyncio of Python 3.11 does not close the socket of a failed handshake before it is collected.
@pytest.mark.filterwarnings("ignore:unclosed (<socket|transport):ResourceWarning")
class TestHandshakes:
    @pytest.mark.parametrize("fault", BROKEN_HANDSHAKES)
    def test_a_broken_handshake_has_sent_nothing(self, sender, fault):
        with (
            raw_server(BROKEN_HANDSHAKES[fault]) as server,
            pytest.raises(ChatworkNetworkError, match="the TLS handshake failed") as raised,
        ):
            sender.run(POST, f"https://localhost:{server.port}", timeout=0.4, tries=2)
        assert (raised.value.sent, raised.value.timed_out) == (False, False)
        assert server.connections >= 2

    def test_an_untrusted_certificate_needs_a_person(self, sender, certificates):
        with (
            raw_server(over_tls(certificates, answer(OK))) as server,
            run_proxy(server.port) as proxy,
            pytest.raises(ChatworkSetupError, match="SSL_CERT_FILE") as raised,
        ):
            sender.run(POST, f"https://{HOST}", tries=5, proxy=proxy.url)
        assert raised.value.sent is False
        assert server.connections == 1

    @pytest.mark.parametrize("variables", [("SSL_CERT_FILE",), ("SSL_CERT_FILE", "SSL_CERT_DIR"), ("SSL_CERT_DIR",)])
    def test_certificates_in_the_forms_of_openssl_are_trusted(
        self, sender, certificates, monkeypatch, tmp_path, variables
    ):
        folder = tmp_path / "hashed"
        folder.mkdir()
        monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere:{folder}" if variables != ("SSL_CERT_FILE",) else "")
        if "SSL_CERT_FILE" in variables:
            monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
        else:
            (folder / AUTHORITY_HASH).write_bytes(certificates.authority.read_bytes())
        with raw_server(over_tls(certificates, answer(OK))) as server, run_proxy(server.port) as proxy:
            assert sender.run(POST, f"https://{HOST}", timeout=5, proxy=proxy.url) == {"message_id": "12"}

    def test_an_unknown_host_has_sent_nothing(self, sender, monkeypatch):
        def find_nothing(*_: Any, **__: Any) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", find_nothing)
        with pytest.raises(ChatworkNetworkError, match="looking up the host name failed") as raised:
            sender.run(POST, "https://chatwork.invalid", tries=2)
        assert raised.value.sent is False

    def test_a_closed_port_has_sent_nothing(self, sender):
        with pytest.raises(ChatworkNetworkError, match="connecting failed") as raised:
            sender.run(POST, f"http://127.0.0.1:{free_port()}", tries=2)
        assert raised.value.sent is False

    def test_a_message_is_posted_once_after_a_failed_handshake(self, sender, certificates, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
        scripts = BROKEN_HANDSHAKES["closes"], over_tls(certificates, answer(OK))
        with raw_server(*scripts) as server, run_proxy(server.port) as proxy:
            assert sender.run(POST, f"https://{HOST}", timeout=5, tries=2, proxy=proxy.url) == {"message_id": "12"}
        assert len(server.requests) == 1


class TestProxies:
    @pytest.mark.parametrize("fault", BROKEN_STARTS)
    def test_a_broken_proxy_has_forwarded_nothing(self, sender, fault):
        with (
            raw_server(BROKEN_STARTS[fault]) as proxy,
            pytest.raises(ChatworkNetworkError, match="connecting through the proxy failed") as raised,
        ):
            sender.run(POST, f"https://{HOST}", timeout=0.4, tries=2, proxy=proxy.url)
        assert (raised.value.sent, raised.value.timed_out) == (False, False)
        assert proxy.connections >= 2

    @pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"403 Forbidden"])
    def test_a_refusal_of_the_proxy_needs_a_person(self, sender, status):
        with (
            raw_server(answer(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")) as proxy,
            pytest.raises(ChatworkSetupError) as raised,
        ):
            sender.run(POST, f"https://{HOST}", tries=5, proxy=f"http://me:secret@127.0.0.1:{proxy.port}")
        assert len(proxy.requests) == 1
        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize("status", [b"502 Bad Gateway", b"504 Gateway Timeout"])
    def test_an_outage_of_the_proxy_is_tried_again(self, sender, status):
        with (
            raw_server(answer(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")) as proxy,
            pytest.raises(ChatworkNetworkError, match="connecting through the proxy failed") as raised,
        ):
            sender.run(POST, f"https://{HOST}", tries=3, proxy=proxy.url)
        assert (raised.value.sent, len(proxy.requests)) == (False, 3)

    @pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1"])
    def test_an_unusable_proxy_needs_a_person(self, sender, monkeypatch, proxy):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(ChatworkSetupError, match="HTTPS_PROXY"):
            sender.run(POST, f"https://{HOST}", tries=5)


class TestSecrets:
    @pytest.mark.parametrize("fault", ["two lengths", "nothing", "half a body"])
    def test_no_error_is_linked_to_the_request(self, sender, fault):
        with raw_server(GARBLED[fault]) as server, pytest.raises(ChatworkError) as raised:
            sender.run(POST, server.url)
        error: BaseException | None = raised.value
        while error is not None:
            assert isinstance(error, ChatworkError)
            assert TOKEN not in f"{error} {error!r}"
            error = error.__cause__ or error.__context__

    def test_an_echo_of_the_token_in_a_broken_answer_is_masked(self, sender):
        with raw_server(answer(TOKEN.encode() + b"\r\n\r\n")) as server, pytest.raises(ChatworkError) as raised:
            sender.run(POST, server.url)
        assert TOKEN not in f"{raised.value} {raised.value.__cause__} {raised.value.__cause__!r}"

    @pytest.mark.parametrize(
        "script",
        [
            answer(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/SECRET?k=SECRET\r\nContent-Length: 0\r\n\r\n"),
            answer(b"HTTP/1.1 302 Found\r\nLocation: http://a..b/SECRET?k=SECRET\r\nContent-Length: 0\r\n\r\n"),
            answer(b"HTTP/1.1 302 Found\r\nLocation: http://[SECRET\r\nContent-Length: 0\r\n\r\n"),
            answer(b"HTTP/1.1 302 Found\r\nLocation: /SECRET\xff\r\nContent-Length: 0\r\n\r\n"),
            answer(b"HTTP/1.1 302 Found\r\nLocation: ftp://SECRET/\r\nContent-Length: 0\r\n\r\n"),
            answer(b"HTTP/1.1 302 Found\r\nLocation: /SECRET\r\nContent-Length: 0\r\n\r\n"),
            answer(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
            answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nSECRET"),
            after_request(lambda connection: None),
        ],
    )
    def test_no_error_of_a_download_shows_its_address(self, script):
        with raw_server(script) as server, pytest.raises(ChatworkNetworkError) as raised:
            list(fetch(f"{server.url}/SECRET%20a?signature=SECRET", timeout=5))
        assert "SECRET" not in f"{raised.value} {raised.value!r}"
        assert raised.value.__context__ is None

    @pytest.mark.parametrize("url", ["http://[", "https://a..b/", f"https://{'a' * 70}.example/", "x:y"])
    def test_an_address_that_cannot_be_parsed_raises_a_network_error(self, url):
        with pytest.raises(ChatworkNetworkError) as raised:
            list(fetch(url))
        assert raised.value.sent is False
