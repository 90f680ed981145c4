from __future__ import annotations

import asyncio
import io
import os
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import httpx
import pytest
import requests
import urllib3.exceptions as urllib3

from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.call import HttpRequest, Response, Upload
from airflow_provider_chatwork.api.errors import ChatworkNetworkError, ChatworkParameterError, ChatworkSetupError
from airflow_provider_chatwork.api.files import get_file, upload_file
from airflow_provider_chatwork.api.http import encode
from airflow_provider_chatwork.api.messages import post_message
from airflow_provider_chatwork.client import AsyncClient, Client
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.exchange import CONNECT_TIMEOUT, Exchange
from airflow_provider_chatwork.sandbox import Fault, Sandbox
from airflow_provider_chatwork.sandbox.company import DATA_ROOM
from airflow_provider_chatwork.sandbox.serving import Address, serve
from airflow_provider_chatwork.transports import (
    HttpxTransport,
    RequestsTransport,
    environment_proxy,
    fetch,
    proxy_for,
    ssl_context,
)
from tests.network import HOST, Certificates, Proxy, free_port, make_certificates, run_proxy

TOKEN = "canary-token"
URL = "https://chatwork.example/v2/rooms/1/messages"
POST = HttpRequest(
    "POST",
    URL,
    {"x-chatworktoken": TOKEN, "content-type": "application/x-www-form-urlencoded", "user-agent": "us/1"},
    b"body=a%20b",
    timeout=15.0,
)
CERTIFICATE_NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", *CERTIFICATE_NAMES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Wire:
    """One of the two transports, with a synchronous interface."""

    def __init__(self, kind: str) -> None:
        self._runner = asyncio.Runner()
        self._opened: list[Any] = []
        self.make = HttpxTransport if kind == "httpx" else RequestsTransport
        self.is_async = kind == "httpx"

    def open(self, proxy: str | None = None) -> Any:
        transport = self.make(proxy)
        self._opened.append(transport)
        return partial(self._wait, transport)

    def _wait(self, transport: Any, request: HttpRequest) -> Response:
        answer = transport(request)
        return self._runner.run(answer) if self.is_async else answer

    def client(self, settings: Settings) -> Any:
        """A client that sends with the transport and does not sleep."""
        transport = self.make(settings.proxy)
        self._opened.append(transport)
        if self.is_async:
            client = AsyncClient(settings, transport, sleep=lambda seconds: asyncio.sleep(0))
            return lambda call: self._runner.run(client.run(call))
        return Client(settings, transport, sleep=lambda seconds: None).run

    def close(self) -> None:
        for transport in self._opened:
            if self.is_async:
                self._runner.run(transport.close())
            else:
                transport.close()
        self._runner.close()


@pytest.fixture(params=["requests", "httpx"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    wire = Wire(request.param)
    yield wire
    wire.close()


def subclasses(cls: type) -> set[type]:
    return {cls, *(deeper for direct in cls.__subclasses__() for deeper in subclasses(direct))}


UNSENT, LOST, LATE = (False, False), (True, False), (True, True)


class TestRequestsTransport:
    @pytest.fixture
    def transport(self) -> Iterator[RequestsTransport]:
        transport = RequestsTransport()
        yield transport
        transport.close()

    def test_sends_exactly_the_given_request(self, transport, requests_mock):
        requests_mock.post(URL, text="{}")
        transport(POST)
        sent = requests_mock.last_request
        assert (sent.method, sent.url, sent.body) == ("POST", URL, POST.body)
        assert dict(sent.headers) == {**POST.headers, "Content-Length": "10"}
        assert sent.timeout == (CONNECT_TIMEOUT, 15.0)
        assert dict(sent.proxies) == {}

    def test_limits_the_connect_timeout_by_the_read_timeout(self, transport, requests_mock):
        requests_mock.post(URL)
        transport(replace(POST, timeout=3.0))
        assert requests_mock.last_request.timeout == (3.0, 3.0)

    def test_sends_no_body_with_a_get(self, transport, requests_mock):
        requests_mock.get(URL)
        transport(HttpRequest("GET", URL, {}))
        assert requests_mock.last_request.body is None

    def test_sends_the_length_of_an_empty_form(self, transport, requests_mock):
        requests_mock.put(URL)
        transport(replace(POST, method="PUT", body=b""))
        assert requests_mock.last_request.headers["content-length"] == "0"

    def test_returns_status_headers_in_lower_case_and_body(self, transport, requests_mock):
        requests_mock.post(URL, status_code=429, headers={"X-RateLimit-Reset": "1"}, content="あ".encode())
        assert transport(POST) == Response(429, {"x-ratelimit-reset": "1"}, "あ".encode())

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_follows_no_redirect(self, transport, requests_mock, status):
        requests_mock.post(URL, status_code=status, headers={"location": "https://evil.example/"})
        assert transport(POST).status == status
        assert requests_mock.call_count == 1

    def test_sends_back_no_cookie(self, transport, requests_mock):
        requests_mock.post(URL, headers={"set-cookie": "a=b"})
        transport(POST)
        transport(POST)
        assert "cookie" not in requests_mock.last_request.headers

    def test_keeps_its_session_until_it_is_closed(self, transport, requests_mock):
        requests_mock.post(URL)
        transport(POST)
        session = transport._session
        transport(POST)
        assert transport._session is session
        transport.close()
        transport(POST)
        assert transport._session is not session

    EXCEPTIONS: ClassVar = {
        requests.RequestException: LOST,
        requests.ConnectionError: LOST,
        requests.exceptions.SSLError: LOST,
        requests.exceptions.ProxyError: UNSENT,
        requests.ConnectTimeout: UNSENT,
        requests.ReadTimeout: LATE,
        requests.Timeout: LATE,
        requests.exceptions.InvalidURL: UNSENT,
        requests.exceptions.InvalidProxyURL: UNSENT,
        requests.exceptions.InvalidSchema: UNSENT,
        requests.exceptions.MissingSchema: UNSENT,
        requests.exceptions.InvalidHeader: LOST,
        requests.URLRequired: UNSENT,
        requests.exceptions.ChunkedEncodingError: LOST,
        requests.exceptions.ContentDecodingError: LOST,
        requests.exceptions.StreamConsumedError: LOST,
        requests.exceptions.RetryError: LOST,
        requests.exceptions.UnrewindableBodyError: LOST,
        requests.HTTPError: LOST,
        requests.TooManyRedirects: LOST,
        requests.exceptions.InvalidJSONError: LOST,
        requests.exceptions.JSONDecodeError: LOST,
    }

    def test_handles_every_exception_of_requests(self):
        ours = {cls for cls in subclasses(requests.RequestException) if cls.__module__ == "requests.exceptions"}
        assert set(self.EXCEPTIONS) == ours

    @pytest.mark.parametrize("cls", EXCEPTIONS, ids=lambda cls: cls.__name__)
    def test_states_for_every_exception_whether_chatwork_may_have_received_the_request(
        self, cls, transport, requests_mock
    ):
        error = cls("why", "", 0) if cls is requests.exceptions.JSONDecodeError else cls("why")
        requests_mock.post(URL, exc=error)
        with pytest.raises(ChatworkNetworkError, match=cls.__name__) as raised:
            transport(POST)
        assert (raised.value.sent, raised.value.timed_out) == self.EXCEPTIONS[cls]

    @pytest.mark.parametrize(
        ("inner", "end"),
        [
            (urllib3.NewConnectionError(None, "refused"), UNSENT),
            (urllib3.NameResolutionError("chatwork.example", None, OSError("no name")), UNSENT),
            (urllib3.ConnectTimeoutError(None, "slow"), UNSENT),
            (urllib3.ProxyError("Unable to connect to proxy", OSError("403")), UNSENT),
            (urllib3.SSLError(ssl.SSLCertVerificationError("self-signed")), UNSENT),
            (urllib3.SSLError(ssl.SSLError("bad record mac")), LOST),
            (urllib3.ReadTimeoutError(None, None, "slow"), LATE),
            (urllib3.ProtocolError("Connection aborted.", ConnectionResetError()), LOST),
            (urllib3.IncompleteRead(1, 2), LOST),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
    )
    @pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "in MaxRetryError"])
    def test_reads_the_exceptions_that_requests_wraps(self, transport, requests_mock, inner, end, wrapped):
        if wrapped:
            inner = urllib3.MaxRetryError(None, "/v2", inner)
        requests_mock.post(URL, exc=requests.ConnectionError(inner))
        with pytest.raises(ChatworkNetworkError) as raised:
            transport(POST)
        assert (raised.value.sent, raised.value.timed_out) == end

    def test_chains_no_original_error_as_it_contains_the_token(self, transport, requests_mock):
        requests_mock.post(URL, exc=requests.ConnectionError("why", request=requests.Request(headers=POST.headers)))
        with pytest.raises(ChatworkNetworkError) as raised:
            transport(POST)
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None


class TestHttpxTransport:
    @pytest.fixture
    def network(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """The responses or exceptions of the network, in turn. Collects the requests."""
        script: list[Any] = []

        async def handle(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            act = script[0]
            script[0] = request
            if isinstance(act, BaseException):
                raise act
            return act

        monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
        return script

    @pytest.fixture
    async def transport(self):
        transport = HttpxTransport()
        yield transport
        await transport.close()

    async def test_sends_exactly_the_given_request(self, transport, network):
        network.append(httpx.Response(200))
        await transport(POST)
        (sent,) = network
        assert (sent.method, str(sent.url), await sent.aread()) == ("POST", URL, POST.body)
        assert dict(sent.headers) == {**POST.headers, "host": "chatwork.example", "content-length": "10"}
        assert sent.extensions["timeout"] == {"connect": CONNECT_TIMEOUT, "read": 15.0, "write": 15.0, "pool": 15.0}

    async def test_sends_the_length_of_an_empty_form(self, transport, network):
        network.append(httpx.Response(200))
        await transport(replace(POST, method="PUT", body=b""))
        assert network[0].headers["content-length"] == "0"

    async def test_limits_the_connect_timeout_by_the_read_timeout(self, transport, network):
        network.append(httpx.Response(200))
        await transport(replace(POST, timeout=3.0))
        assert network[0].extensions["timeout"]["connect"] == 3.0

    async def test_returns_status_headers_in_lower_case_and_body(self, transport, network):
        network.append(httpx.Response(429, headers={"X-RateLimit-Reset": "1"}, content="あ".encode()))
        answer = await transport(POST)
        assert (answer.status, answer.headers["x-ratelimit-reset"], answer.body) == (429, "1", "あ".encode())

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_follows_no_redirect(self, transport, network, status):
        network.append(httpx.Response(status, headers={"location": "https://evil.example/"}))
        assert (await transport(POST)).status == status

    async def test_sends_back_no_cookie(self, transport, network):
        network.append(httpx.Response(200, headers={"set-cookie": "a=b; Path=/"}))
        await transport(POST)
        network[0] = httpx.Response(200)
        await transport(POST)
        assert "cookie" not in network[0].headers

    EXCEPTIONS: ClassVar = {
        httpx.TransportError: LOST,
        httpx.TimeoutException: LATE,
        httpx.ConnectTimeout: UNSENT,
        httpx.ReadTimeout: LATE,
        httpx.WriteTimeout: LATE,
        httpx.PoolTimeout: UNSENT,
        httpx.NetworkError: LOST,
        httpx.ConnectError: UNSENT,
        httpx.ReadError: LOST,
        httpx.WriteError: LOST,
        httpx.CloseError: LOST,
        httpx.ProxyError: UNSENT,
        httpx.UnsupportedProtocol: UNSENT,
        httpx.ProtocolError: LOST,
        httpx.LocalProtocolError: LOST,
        httpx.RemoteProtocolError: LOST,
    }

    def test_handles_every_exception_of_httpx(self):
        ours = {cls for cls in subclasses(httpx.TransportError) if cls.__module__.startswith("httpx")}
        assert set(self.EXCEPTIONS) == ours

    @pytest.mark.parametrize("cls", [*EXCEPTIONS, httpx.DecodingError], ids=lambda cls: cls.__name__)
    async def test_states_for_every_exception_whether_chatwork_may_have_received_the_request(
        self, cls, transport, network
    ):
        network.append(cls("why"))
        with pytest.raises(ChatworkNetworkError, match=cls.__name__) as raised:
            await transport(POST)
        assert (raised.value.sent, raised.value.timed_out) == self.EXCEPTIONS.get(cls, LOST)
        assert raised.value.__context__ is None

    async def test_treats_an_invalid_url_as_not_sent(self, transport):
        with pytest.raises(ChatworkNetworkError) as raised:
            await transport(replace(POST, url="https://a:b/"))
        assert raised.value.sent is False

    async def test_does_not_catch_a_cancellation(self, transport, network):
        network.append(asyncio.CancelledError())
        with pytest.raises(asyncio.CancelledError):
            await transport(POST)

    async def test_builds_its_certificates_in_a_thread_and_once(self, transport, network, monkeypatch):
        built_in = []
        build = ssl.create_default_context

        def watched(*args: Any, **kwargs: Any) -> ssl.SSLContext:
            built_in.append(threading.current_thread())
            return build(*args, **kwargs)

        monkeypatch.setattr(ssl, "create_default_context", watched)
        responses = iter([httpx.Response(200) for _ in range(5)])

        async def handle(_: Any, request: httpx.Request) -> httpx.Response:
            return next(responses)

        monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
        await asyncio.gather(*(transport(POST) for _ in range(5)))
        assert len(built_in) == 1
        assert built_in[0] is not threading.current_thread()

    async def test_opens_a_new_client_after_it_was_closed(self, transport, network):
        for _ in range(2):
            network[:] = [httpx.Response(204)]
            assert (await transport(POST)).status == 204
            await transport.close()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Sandbox, Address]]:
    sandbox = Sandbox(TOKEN)
    with serve(sandbox) as address:
        yield sandbox, address


@pytest.fixture
def sandbox(served: tuple[Sandbox, Address]) -> Sandbox:
    served[0].reset()
    return served[0]


@pytest.fixture
def settings(served: tuple[Sandbox, Address]) -> Settings:
    return Settings(TOKEN, served[1].api)


class TestOnARealPort:
    def test_sends_and_receives_bytes(self, wire, sandbox, settings):
        report = Upload("売上 2026.csv", "あ\r\n".encode() * 1000, "text/csv")
        file_id = wire.client(settings)(upload_file(DATA_ROOM, report, message="速報"))["file_id"]
        assert sandbox.file_content(DATA_ROOM, file_id) == report.content
        assert sandbox.files(DATA_ROOM)[-1]["filename"] == "売上 2026.csv"

    @pytest.mark.parametrize(
        ("fault", "end"),
        [
            (Fault("lost_reply"), LOST),
            (Fault("cut"), LOST),
            (Fault("timeout", seconds=30), LATE),
            (Fault("timeout", seconds=30, executed=False), LATE),
        ],
        ids=["lost reply", "cut", "time-out", "time-out before acting"],
    )
    def test_every_fault_raises_its_error(self, wire, sandbox, settings, fault, end):
        sandbox.add_fault(fault)
        request = replace(encode(post_message(DATA_ROOM, "完了").request, settings), timeout=0.2)
        with pytest.raises(ChatworkNetworkError) as raised:
            wire.open()(request)
        assert (raised.value.sent, raised.value.timed_out) == end
        assert TOKEN not in str(raised.value)

    def test_a_closed_port_received_nothing(self, wire):
        request = encode(get_me().request, Settings(TOKEN, f"http://127.0.0.1:{free_port()}/v2"))
        with pytest.raises(ChatworkNetworkError) as raised:
            wire.open()(request)
        assert (raised.value.sent, raised.value.timed_out) == UNSENT

    def test_a_lost_message_is_found_and_not_posted_twice(self, wire, sandbox, settings):
        sandbox.add_fault(Fault("lost_reply", operation="post_message"))
        posted = wire.client(settings)(post_message(DATA_ROOM, "完了"))
        assert posted == {"message_id": sandbox.messages(DATA_ROOM)[-1]["message_id"]}
        assert sandbox.write_count("post_message") == 1

    def test_a_closed_transport_opens_again(self, wire, sandbox, settings):
        send = wire.open()
        request = encode(get_me().request, settings)
        assert send(request).status == 200
        closing = wire._opened[0].close()
        if wire.is_async:
            wire._runner.run(closing)
        assert send(request).status == 200


class TestFetch:
    def test_does_not_show_the_signature_of_a_url(self):
        with pytest.raises(ChatworkNetworkError) as caught:
            list(fetch(f"http://127.0.0.1:{free_port()}/file?signature=CANARY"))
        assert "CANARY" not in str(caught.value)
        assert "Connection refused" in str(caught.value)

    @pytest.fixture
    def url(self, sandbox, settings) -> str:
        run = Client(settings, transport := RequestsTransport()).run
        file_id = run(upload_file(DATA_ROOM, Upload("a.bin", b"x" * 200_000)))["file_id"]
        found = run(get_file(DATA_ROOM, file_id, create_download_url=True))["download_url"]
        transport.close()
        return found

    def test_reads_a_file_in_chunks_without_the_token(self, url, sandbox):
        pieces = list(fetch(url))
        assert b"".join(pieces) == b"x" * 200_000
        assert max(map(len, pieces)) <= 64 * 1024
        assert sandbox.requests[-1].account_id is None

    def test_reads_no_more_than_is_consumed(self, requests_mock):
        content = io.BytesIO(b"x" * 200_000)
        requests_mock.get("https://files.example/a", body=content)
        pieces = fetch("https://files.example/a")
        assert next(pieces) == b"x" * 64 * 1024
        assert content.tell() < 200_000
        pieces.close()

    def test_raises_an_error_for_an_error_page(self, served):
        with pytest.raises(ChatworkNetworkError, match="HTTP 404"):
            list(fetch(f"http://127.0.0.1:{served[1].port}/sandbox/nowhere"))

    def test_raises_an_error_for_an_incomplete_file(self, url, sandbox):
        sandbox.add_fault(Fault("cut"))
        with pytest.raises(ChatworkNetworkError):
            list(fetch(url))

    @pytest.mark.parametrize("nowhere", ["", "nowhere", "ftp://127.0.0.1/a", "http://"])
    def test_raises_an_error_where_the_server_is_unreachable(self, nowhere):
        with pytest.raises(ChatworkNetworkError) as raised:
            list(fetch(nowhere))
        assert raised.value.sent is False

    def test_sends_no_token_but_the_user_agent(self, requests_mock):
        requests_mock.get("https://files.example/a", content=b"1")
        assert list(fetch("https://files.example/a", timeout=7)) == [b"1"]
        sent = requests_mock.last_request
        assert "x-chatworktoken" not in sent.headers
        assert sent.headers["user-agent"].startswith("airflow-provider-chatwork/")
        assert sent.timeout == (7, 7)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(certificates: Certificates) -> Iterator[Address]:
    with serve(Sandbox(TOKEN), certfile=certificates.server) as address:
        yield address


@pytest.fixture
def proxy(secure: Address) -> Iterator[Proxy]:
    with run_proxy(secure.port) as proxy:
        yield proxy


ME = encode(get_me().request, Settings(TOKEN, f"https://{HOST}/v2"))


class TestTheEnvironment:
    """Proxies and certificates follow the same rules in both transports."""

    @pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
    def test_its_proxy_is_used_and_its_certificates_trusted(self, wire, proxy, certificates, monkeypatch, name):
        monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
        assert wire.open()(ME).status == 200
        assert proxy.asked == [f"{HOST}:443"]

    @pytest.mark.parametrize("name", CERTIFICATE_NAMES[:3])
    def test_its_certificates_are_read_from_all_variables(self, wire, proxy, certificates, monkeypatch, name):
        monkeypatch.setenv(name, str(certificates.authority))
        assert wire.open(proxy.url)(ME).status == 200

    def test_an_unknown_certificate_is_refused(self, wire, proxy):
        with pytest.raises(
            ChatworkNetworkError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"
        ) as raised:
            wire.open(proxy.url)(ME)
        assert (raised.value.sent, raised.value.timed_out) == UNSENT

    def test_it_is_read_once_and_the_connection_is_kept(self, wire, proxy, certificates, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
        send = wire.open()
        assert send(ME).status == 200
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        assert send(ME).status == 200
        assert proxy.asked == [f"{HOST}:443"]

    def test_a_proxy_of_the_connection_has_priority(self, wire, proxy, certificates, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
        assert wire.open(proxy.url)(ME).status == 200

    def test_its_proxy_is_not_used_for_this_machine(self, wire, proxy, sandbox, settings, monkeypatch):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert wire.open()(encode(get_me().request, settings)).status == 200
        assert proxy.asked == []

    def test_its_proxy_and_its_passwords_are_not_used_for_a_download_from_this_machine(
        self, proxy, sandbox, served, monkeypatch, tmp_path
    ):
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password canary-password")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(ChatworkNetworkError, match="HTTP 401"):
            list(fetch(f"{served[1].api}/me"))
        assert proxy.asked == []

    @pytest.mark.parametrize("refusal", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n"])
    def test_a_proxy_that_refuses_forwards_nothing(self, wire, proxy, refusal):
        proxy.refusal = refusal
        with pytest.raises(ChatworkNetworkError) as raised:
            wire.open(proxy.url)(replace(POST, url=ME.url))
        assert (raised.value.sent, raised.value.timed_out) == UNSENT

    def test_a_proxy_that_cannot_be_reached_forwards_nothing(self, wire):
        with pytest.raises(ChatworkNetworkError) as raised:
            wire.open(f"http://me:{TOKEN}@127.0.0.1:{free_port()}")(ME)
        assert (raised.value.sent, raised.value.timed_out) == UNSENT
        assert TOKEN not in f"{raised.value} {raised.value!r}"

    @pytest.mark.parametrize("scheme", ["socks5", "socks5h", "gopher"])
    def test_a_proxy_of_an_unknown_kind_forwards_nothing(self, wire, scheme):
        with pytest.raises(ChatworkNetworkError) as raised:
            wire.open(f"{scheme}://me:{TOKEN}@127.0.0.1:1")(ME)
        assert raised.value.sent is False
        assert TOKEN not in f"{raised.value} {raised.value!r}"

    @pytest.mark.parametrize("name", CERTIFICATE_NAMES)
    def test_missing_certificates_are_named(self, wire, monkeypatch, name):
        monkeypatch.setenv(name, "/nowhere/ca.pem")
        with pytest.raises(ChatworkParameterError, match=rf"^{name}='/nowhere/ca.pem'"):
            wire.open()(ME)


class TestEnvironmentProxy:
    def test_is_none_in_a_bare_environment(self):
        assert environment_proxy(URL) is None

    @pytest.mark.parametrize(("value", "url"), [("http://p:3128", "http://p:3128"), ("p:3128", "http://p:3128")])
    def test_is_a_url_also_for_a_host_without_a_scheme(self, monkeypatch, value, url):
        monkeypatch.setenv("HTTPS_PROXY", value)
        assert environment_proxy(URL) == url

    def test_prefers_the_one_for_the_scheme(self, monkeypatch):
        monkeypatch.setenv("ALL_PROXY", "http://all")
        assert environment_proxy(URL) == "http://all"
        monkeypatch.setenv("HTTPS_PROXY", "http://https")
        monkeypatch.setenv("HTTP_PROXY", "http://http")
        assert environment_proxy(URL) == "http://https"

    @pytest.mark.parametrize(
        "url", ["http://localhost:1/", "http://127.0.0.1/v2", "http://[::1]:8000/", "https://localhost"]
    )
    def test_is_none_for_this_machine(self, monkeypatch, url):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://p")
        assert environment_proxy(url) is None

    @pytest.mark.parametrize(
        ("no_proxy", "proxied"),
        [("chatwork.example", False), (".example", False), ("*", False), ("other.example", True), ("", True)],
    )
    def test_respects_no_proxy(self, monkeypatch, no_proxy, proxied):
        monkeypatch.setenv("HTTPS_PROXY", "http://p")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        assert (environment_proxy(URL) is not None) == proxied


class TestSslContext:
    """The trusted certificates. The authority of the test network is not among those of Airflow's environment."""

    @staticmethod
    def subjects() -> set[str]:
        return {
            value
            for certificate in ssl_context().get_ca_certs()
            for part in certificate["subject"]
            for key, value in part
            if key == "commonName"
        }

    def test_trusts_the_public_authorities_in_a_bare_environment(self, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", "")
        subjects = self.subjects()
        assert len(subjects) > 50
        assert "Test CA" not in subjects

    @pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
    def test_trusts_only_the_file_of_a_variable(self, monkeypatch, certificates, name):
        monkeypatch.setenv(name, str(certificates.authority))
        assert self.subjects() == {"Test CA"}

    def test_prefers_the_variable_of_requests(self, monkeypatch, certificates, tmp_path):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
        assert self.subjects() == {"Test CA"}

    def test_a_missing_folder_among_several_is_skipped(self, monkeypatch, tmp_path):
        monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere{os.pathsep}{tmp_path}")
        assert self.subjects() == set()


class TestProxyFor:
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
    def test_is_none_for_this_machine_even_where_one_is_given(self, host):
        assert proxy_for(f"http://{host}:8765/v2/me", "http://proxy.example.com:8080", "x", "x") is None

    def test_is_the_one_that_is_given(self):
        given = "http://proxy.example.com:8080"
        assert proxy_for("https://api.chatwork.com/v2/me", given, "x", "x") == given

    @pytest.mark.parametrize("proxy", ["ftp://proxy.example", "http://", "http://a..b:1", "http://p:0", "http://p:x"])
    def test_refuses_a_proxy_that_cannot_be_used(self, monkeypatch, proxy):
        with pytest.raises(ChatworkSetupError, match=r"the proxy of the connection .* begins with http://"):
            proxy_for("https://api.chatwork.com/v2/me", proxy, "x", "x")
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(ChatworkSetupError, match=r"HTTPS_PROXY"):
            proxy_for("https://api.chatwork.com/v2/me", None, "x", "x")

    def test_names_the_package_for_a_socks_proxy(self):
        assert proxy_for("https://api.chatwork.com/v2/me", "socks5://p:1", "pytest", "pytest") == "socks5://p:1"
        with pytest.raises(ChatworkSetupError, match="install PySocks"):
            proxy_for("https://api.chatwork.com/v2/me", "socks5://p:1", "PySocks", "no_such_module")


class TestInvalidCertificates:
    async def test_raise_a_network_error_in_the_httpx_transport(self, tmp_path, monkeypatch):
        garbage = tmp_path / "bundle.pem"
        garbage.write_text("no certificate")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(garbage))
        request = encode(get_me().request, Settings(token="t"))
        with pytest.raises(ChatworkNetworkError, match=r"bundle\.pem") as caught:
            await HttpxTransport()(request)
        assert not caught.value.sent


class TestRepr:
    """Airflow 3.0 logs the local variables of a failed task."""

    @pytest.mark.parametrize(
        "value",
        [
            Exchange(1.0, TOKEN),
            RequestsTransport(f"http://me:{TOKEN}@p:1"),
            HttpxTransport(f"http://me:{TOKEN}@p:1"),
            POST,
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_shows_no_secret(self, value):
        assert TOKEN not in repr(value)
