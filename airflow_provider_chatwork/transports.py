"""The two HTTP transports: ``requests`` for synchronous code, ``httpx`` for an event loop.

Both keep connections open, do not follow redirects (the token would be sent along), and read the proxies and
certificates of the environment once, by the same rules. Requests to this machine use no proxy.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkNetworkError, ChatworkParameterError
from airflow_provider_chatwork.api.http import USER_AGENT
from airflow_provider_chatwork.api.settings import LOOPBACK

if TYPE_CHECKING:
    import ssl

    import httpx
    import requests

#: The timeout of establishing a connection, in seconds.
CONNECT_TIMEOUT = 10.0
_CHUNK = 64 * 1024


class RequestsTransport:
    """Sends with one ``requests`` session, which the first request opens.

    :param proxy: URL of the proxy to use instead of the environment's.
    """

    def __init__(self, proxy: str | None = None) -> None:
        self._proxy = proxy
        self._session: requests.Session | None = None

    def __call__(self, request: HttpRequest) -> Response:
        """Send one request and return its answer.

        :raises ChatworkNetworkError: if no complete answer arrived.
        """
        import requests

        if self._session is None:
            self._session = _open_session(request.url, self._proxy)
        session = self._session
        try:
            answer = session.send(
                requests.Request(request.method, request.url, dict(request.headers), data=request.body).prepare(),
                timeout=(min(CONNECT_TIMEOUT, request.timeout), request.timeout),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # The original error contains the request with the token, so it is not chained.
            raise _from_requests(error) from None
        return Response(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        if self._session is not None:
            self._session.close()
            self._session = None


def fetch(url: str, *, proxy: str | None = None, timeout: float = 60.0) -> Iterator[bytes]:
    """Read a URL in chunks, without a token. Redirects are followed.

    :param proxy: URL of the proxy to use instead of the environment's.
    :param timeout: seconds without a byte after which the download fails.
    :raises ChatworkNetworkError: if the content cannot be read completely.
    """
    import requests

    try:
        with (
            _open_session(url, proxy) as session,
            # Without compression the size is the one that Chatwork states.
            session.get(
                url,
                stream=True,
                timeout=(CONNECT_TIMEOUT, timeout),
                headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
            ) as answer,
        ):
            if answer.status_code != 200:
                raise ChatworkNetworkError(f"the download was answered with HTTP {answer.status_code}")
            yield from answer.iter_content(_CHUNK)
    except requests.RequestException as error:
        # The URL is signed: everybody who has it can download the file.
        failure = _from_requests(error)
        signature = urlsplit(url).query
        reason = failure.reason.replace(signature, "***") if signature else failure.reason
        raise ChatworkNetworkError(reason, failure.sent, failure.timed_out) from None


class HttpxTransport:
    """Sends with one ``httpx.AsyncClient``, which the first request opens. It belongs to that event loop.

    :param proxy: URL of the proxy to use instead of the environment's.
    """

    def __init__(self, proxy: str | None = None) -> None:
        self._proxy = proxy
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def __call__(self, request: HttpRequest) -> Response:
        """Send one request and return its answer.

        :raises ChatworkNetworkError: if no complete answer arrived.
        """
        import httpx

        if self._client is None:
            async with self._opening:
                if self._client is None:
                    # Reading the certificates takes tens of milliseconds and would block the event loop.
                    verify = await asyncio.to_thread(_ssl_context)
                    self._client = _open_client(request.url, self._proxy, verify)
        timeout = httpx.Timeout(request.timeout, connect=min(CONNECT_TIMEOUT, request.timeout))
        try:
            # Not built by the client, which would add headers and the cookies of earlier answers.
            sent = httpx.Request(
                *(request.method, request.url),
                headers=dict(request.headers),
                content=request.body,
                extensions={"timeout": timeout.as_dict()},
            )
            answer = await self._client.send(sent)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _from_httpx(error) from None
        return Response(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    async def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()


def proxy_for(url: str, proxy: str | None) -> str | None:
    """The proxy for a URL: the given one, else the one of the environment. ``None`` for this machine.

    Requests to this machine may be plain http, so a proxy could read the token.
    """
    return None if urlsplit(url).hostname in LOOPBACK else proxy or environment_proxy(url)


def environment_proxy(url: str) -> str | None:
    """The proxy of the environment for a URL. ``None`` for this machine, which a proxy cannot reach."""
    parts = urlsplit(url)
    if parts.hostname in LOOPBACK or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def environment_certificates() -> str | None:
    """The certificates in the environment: a file or folder, by the variables of requests, curl and OpenSSL.

    :raises ChatworkParameterError: if the file or folder does not exist.
    """
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        path = os.environ.get(name)
        if path:
            if not os.path.exists(path):
                raise ChatworkParameterError(name, path, "set it to a file or folder of certificates, or unset it")
            return path
    return None


def _open_session(url: str, proxy: str | None) -> requests.Session:
    import requests

    session = requests.Session()
    # Otherwise requests reads the environment again on every call.
    session.trust_env = False
    session.verify = environment_certificates() or True
    proxy = proxy_for(url, proxy)
    if proxy is not None:
        session.proxies = {"http": proxy, "https": proxy}
    return session


def _open_client(url: str, proxy: str | None, verify: ssl.SSLContext) -> httpx.AsyncClient:
    import httpx

    try:
        return httpx.AsyncClient(verify=verify, proxy=proxy_for(url, proxy), trust_env=False)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        # httpx does not support the scheme, or needs another package for it. It masks passwords.
        raise ChatworkNetworkError(f"the proxy cannot be used: {error}", sent=False) from None


def _ssl_context() -> ssl.SSLContext:
    import ssl

    import httpx

    certificates = environment_certificates()
    if certificates is None:
        return httpx.create_ssl_context()
    try:
        if os.path.isdir(certificates):
            return ssl.create_default_context(capath=certificates)
        return ssl.create_default_context(cafile=certificates)
    except OSError as error:
        # requests raises the same error at its first connection.
        raise ChatworkNetworkError(f"the certificates of {certificates} cannot be read: {error}", sent=False) from None


def _from_requests(error: requests.RequestException) -> ChatworkNetworkError:
    import ssl

    import requests
    from urllib3 import exceptions as urllib3

    chain = list(_chain(error))
    never_left = (
        urllib3.NewConnectionError,
        urllib3.ConnectTimeoutError,
        urllib3.ProxyError,
        ssl.SSLCertVerificationError,
    )
    unsent = any(isinstance(link, never_left) for link in chain) or isinstance(
        error,
        (
            *(requests.ConnectTimeout, requests.exceptions.ProxyError, requests.URLRequired),
            *(requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema),
            *(requests.exceptions.MissingSchema, requests.exceptions.InvalidHeader),
        ),
    )
    late = any(isinstance(link, (requests.Timeout, urllib3.ReadTimeoutError)) for link in chain)
    return ChatworkNetworkError(_reason(error), sent=not unsent, timed_out=late and not unsent)


def _from_httpx(error: Exception) -> ChatworkNetworkError:
    import httpx

    never_left = (
        *(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError),
        *(httpx.UnsupportedProtocol, httpx.InvalidURL),
    )
    unsent = isinstance(error, never_left)
    late = isinstance(error, httpx.TimeoutException)
    return ChatworkNetworkError(_reason(error), sent=not unsent, timed_out=late and not unsent)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _chain(error: object) -> Iterator[object]:
    """An error and the errors it wraps; urllib3 keeps a wrapped error in ``reason`` or in the arguments."""
    seen: list[object] = []
    while isinstance(error, BaseException) and error not in seen:
        seen.append(error)
        yield error
        error = getattr(error, "reason", None) or next(
            (arg for arg in error.args if isinstance(arg, BaseException)), None
        )
