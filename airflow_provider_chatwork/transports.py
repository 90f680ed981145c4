"""The two HTTP transports: ``requests`` for synchronous code, ``httpx`` for an event loop.

Both keep connections open, do not follow redirects (the token would be sent along), limit the time and the size of an
exchange, and read the proxies and certificates of the environment once, by the same rules. Requests to this machine use
no proxy.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import (
    ChatworkError,
    ChatworkNetworkError,
    ChatworkParameterError,
    ChatworkSetupError,
)
from airflow_provider_chatwork.api.http import USER_AGENT
from airflow_provider_chatwork.connection import LOOPBACK
from airflow_provider_chatwork.exchange import (
    ANSWER_ERRORS,
    CONNECT_TIMEOUT,
    MAX_ANSWER,
    Exchange,
    LibraryErrors,
    Step,
    to_response,
)

if TYPE_CHECKING:
    import ssl

    import httpx
    import requests

_CHUNK = 64 * 1024
_MAX_REDIRECTS = 5
# The package that each HTTP library needs for a SOCKS proxy, and its module.
_SOCKS_OF_REQUESTS = ("PySocks", "socks")
_SOCKS_OF_HTTPX = ("socksio", "socksio")
# What begins in httpcore with these events.
_STEPS = {"connect_tcp": Step.CONNECT, "setup_socks5_connection": Step.PROXY, "start_tls": Step.TLS}


@dataclass(eq=False)
class RequestsTransport:
    """Sends with one ``requests`` session, which the first request opens.

    :param proxy: URL of the proxy to use instead of the environment's.
    """

    proxy: str | None = field(default=None, repr=False)
    _session: requests.Session | None = field(default=None, init=False)

    def __call__(self, request: HttpRequest) -> Response:
        """Send one request and return its answer.

        :raises ChatworkNetworkError: if no complete answer arrived within the timeout of the request.
        """
        from airflow_provider_chatwork.limited_connections import open_session

        if self._session is None:
            # Reading the certificates takes tens of milliseconds.
            context = ssl_context() if request.url.startswith("https:") else None
            self._session = open_session(context, proxy_for(request.url, self.proxy, *_SOCKS_OF_REQUESTS))
        exchange = Exchange(request.timeout, request.headers.get("x-chatworktoken", ""))
        try:
            with _send(self._session, request, exchange) as answer:
                body = bytearray()
                for chunk in answer.raw.stream(_CHUNK, decode_content=False):
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        break
            return to_response(answer.status_code, answer.headers.items(), bytes(body))
        except _requests_errors() as error:
            failure = _requests_failure(exchange, error)
        # Not in the ``except`` clause: the context of the error would contain the request with the token.
        raise failure

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None


def fetch(url: str, *, proxy: str | None = None, timeout: float = 60.0) -> Iterator[bytes]:
    """Read a URL in chunks, without a token. Redirects are followed.

    :param proxy: URL of the proxy to use instead of the environment's.
    :param timeout: seconds for the whole download.
    :raises ChatworkNetworkError: if the content cannot be read completely. The error does not show the URL: everybody
        who has it can download the file.
    """
    from airflow_provider_chatwork.limited_connections import open_session

    # Without compression the size is the one that Chatwork states.
    headers = {"user-agent": USER_AGENT, "accept-encoding": "identity"}
    for _ in range(_MAX_REDIRECTS):
        exchange = Exchange(timeout, url.partition("?")[2])
        request = HttpRequest("GET", url, headers, timeout=timeout)
        try:
            with (
                open_session(ssl_context(), proxy_for(url, proxy, *_SOCKS_OF_REQUESTS)) as session,
                _send(session, request, exchange) as answer,
            ):
                if not answer.is_redirect:
                    if answer.status_code != 200:
                        raise ChatworkNetworkError(f"the download was answered with HTTP {answer.status_code}")
                    yield from answer.raw.stream(_CHUNK, decode_content=False)
                    return
                url = urljoin(url, answer.headers["location"].encode("latin-1").decode())
                continue
        except ChatworkError:
            raise
        except _requests_errors() as error:
            failure = _requests_failure(exchange, error)
        raise failure
    raise ChatworkNetworkError(f"the download was redirected more than {_MAX_REDIRECTS} times")


@dataclass(eq=False)
class HttpxTransport:
    """Sends with the connection pool of ``httpx``, which the first request opens. It belongs to that event loop.

    :param proxy: URL of the proxy to use instead of the environment's.
    """

    proxy: str | None = field(default=None, repr=False)
    _pool: httpx.AsyncHTTPTransport | None = field(default=None, init=False)
    _uses_proxy: bool = field(default=False, init=False)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def __call__(self, request: HttpRequest) -> Response:
        """Send one request and return its answer.

        :raises ChatworkNetworkError: if no complete answer arrived within the timeout of the request.
        """
        import httpx

        async with self._opening:
            if self._pool is None:
                # Reading the certificates takes tens of milliseconds and would block the event loop.
                context = await asyncio.to_thread(ssl_context)
                proxy = proxy_for(request.url, self.proxy, *_SOCKS_OF_HTTPX)
                self._uses_proxy = proxy is not None
                self._pool = httpx.AsyncHTTPTransport(verify=context, proxy=proxy, trust_env=False)
            pool = self._pool
        exchange = Exchange(request.timeout, request.headers.get("x-chatworktoken", ""))

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            _, name, state = event.split(".")
            if state != "started":
                return
            if name in ("send_request_headers", "receive_response_headers"):
                if info["request"].method != b"CONNECT":
                    exchange.step = Step.SEND if name == "send_request_headers" else Step.RECEIVE
            elif name in _STEPS:
                exchange.step = Step.PROXY if name == "connect_tcp" and self._uses_proxy else _STEPS[name]

        timeout = httpx.Timeout(request.timeout, connect=min(CONNECT_TIMEOUT, request.timeout))
        try:
            # ``httpx.AsyncClient`` would add headers, cookies and the limits of one packet only.
            sent = httpx.Request(
                *(request.method, request.url),
                headers=dict(request.headers),
                content=request.body,
                extensions={"timeout": timeout.as_dict(), "trace": trace},
            )
            async with asyncio.timeout(request.timeout):
                answer = await pool.handle_async_request(sent)
                try:
                    body = bytearray()
                    # Not ``aiter_bytes``, which decompresses without a limit.
                    async for chunk in cast("httpx.AsyncByteStream", answer.stream):
                        body += chunk
                        if len(body) > MAX_ANSWER:
                            break
                finally:
                    await answer.aclose()
            return to_response(answer.status_code, answer.headers.items(), bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, *ANSWER_ERRORS) as error:
            unsent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
            library = LibraryErrors(
                httpx.HTTPError, (*unsent, httpx.ProxyError, httpx.UnsupportedProtocol), (httpx.TimeoutException,)
            )
            failure = exchange.failure(error, library)
        raise failure

    async def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.aclose()


def proxy_for(url: str, proxy: str | None, package: str, module: str) -> str | None:
    """The proxy for a URL: the given one, else the one of the environment. ``None`` for this machine.

    Requests to this machine may be plain http, so a proxy could read the token.

    :param package: the package that the HTTP library needs for a SOCKS proxy.
    :param module: the module of this package.
    :raises ChatworkSetupError: if the proxy cannot be used.
    """
    origin = "the proxy of the connection"
    if urlsplit(url).hostname in LOOPBACK:
        return None
    if proxy is None:
        proxy, origin = environment_proxy(url), "the proxy of the environment (HTTPS_PROXY or ALL_PROXY)"
    if proxy is None:
        return None
    # The URL may contain a password, so it is not shown.
    try:
        parts = urlsplit(proxy)
        is_valid = parts.port != 0 and (parts.hostname or "").encode("idna") != b""
    except ValueError:
        is_valid = False
    if not is_valid or parts.scheme not in ("http", "https", "socks5", "socks5h"):
        raise ChatworkSetupError(
            f"{origin} has an unknown form", "give a URL that begins with http://, https://, socks5:// or socks5h://"
        )
    if parts.scheme.startswith("socks") and find_spec(module) is None:
        raise ChatworkSetupError(f"{origin} is a SOCKS proxy, for which a package is missing", f"install {package}")
    return proxy


def environment_proxy(url: str) -> str | None:
    """The proxy of the environment for a URL. ``None`` for this machine, which a proxy cannot reach."""
    parts = urlsplit(url)
    if parts.hostname in LOOPBACK or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def ssl_context() -> ssl.SSLContext:
    """Load the trusted certificates, by the variables of requests, curl and OpenSSL.

    ``SSL_CERT_DIR`` may name several folders, separated as in ``PATH``. It and ``SSL_CERT_FILE`` count together.

    :raises ChatworkParameterError: if a file or folder does not exist.
    :raises ChatworkSetupError: if it cannot be read.
    """
    import ssl

    for names in (("REQUESTS_CA_BUNDLE",), ("CURL_CA_BUNDLE",), ("SSL_CERT_FILE", "SSL_CERT_DIR")):
        paths = {name: os.environ[name] for name in names if os.environ.get(name)}
        if not paths:
            continue
        for name, path in paths.items():
            if not any(map(os.path.exists, path.split(os.pathsep) if name == "SSL_CERT_DIR" else [path])):
                raise ChatworkParameterError(name, path, "set it to a file or folder of certificates, or unset it")
        folders = [path for name, path in paths.items() if name == "SSL_CERT_DIR" or os.path.isdir(path)]
        files = [path for path in paths.values() if path not in folders]
        try:
            return ssl.create_default_context(cafile=next(iter(files), None), capath=next(iter(folders), None))
        except OSError as error:
            raise ChatworkSetupError(
                f"the certificates of {' and '.join(paths)} ({', '.join(paths.values())}) cannot be read: {error}",
                "give a file of certificates in the PEM format, or unset the variable",
            ) from None
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def _send(session: requests.Session, request: HttpRequest, exchange: Exchange) -> requests.Response:
    import requests

    from airflow_provider_chatwork.limited_connections import current_exchange

    current_exchange.set(exchange)
    # Not prepared by the session, which would add headers and the cookies of earlier answers.
    prepared = requests.Request(request.method, request.url, dict(request.headers), data=request.body).prepare()
    return session.send(
        prepared,
        timeout=(min(CONNECT_TIMEOUT, request.timeout), request.timeout),
        allow_redirects=False,
        stream=True,
    )


def _requests_errors() -> tuple[type[Exception], ...]:
    from http.client import HTTPException

    import urllib3

    return (urllib3.exceptions.HTTPError, HTTPException, *ANSWER_ERRORS)


def _requests_failure(exchange: Exchange, error: BaseException) -> ChatworkNetworkError:
    import ssl

    import requests
    from urllib3 import exceptions as urllib3

    unsent = (
        *(requests.ConnectTimeout, requests.exceptions.ProxyError, requests.URLRequired),
        *(requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema),
        *(urllib3.NewConnectionError, urllib3.ConnectTimeoutError, urllib3.ProxyError, ssl.SSLCertVerificationError),
    )
    timeouts = (requests.Timeout, urllib3.ReadTimeoutError)
    return exchange.failure(error, LibraryErrors(requests.RequestException, unsent, timeouts))
