"""Connections of ``requests`` that limit the total time of an exchange and record how far it came.

The timeout of ``requests`` is that of one packet, so a server that sends a byte now and then can hold a task for ever.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from contextvars import ContextVar
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_chatwork.exchange import CONNECT_TIMEOUT, Exchange, Step

#: The exchange that this thread works on. urllib3 passes no data of a request to its connections.
current_exchange: ContextVar[Exchange] = ContextVar("current_exchange")
_CHUNK = 64 * 1024


class LimitedSession(requests.Session):
    """A session that follows no redirects; see :func:`open_session`."""

    def get_redirect_target(self, resp: Any) -> None:
        """``None``: requests parses the target of a redirect even if it does not follow it, and may fail."""


class _Adapter(HTTPAdapter):
    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave the trusted certificates as they are in the context. requests would add its own."""


class _LimitedReader(socket.SocketIO):
    """Reads from a socket within the time of the exchange."""

    exchange: Exchange
    socket: Any
    #: Keeps the socket open until the answer is read.
    original: io.RawIOBase

    def readinto(self, buffer: Any) -> int | None:
        self.socket.settimeout(self.exchange.remaining())
        return super().readinto(buffer)


class _LimitedResponse(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        exchange = current_exchange.get()
        if exchange.step is Step.SEND:
            exchange.step = Step.RECEIVE
        reader = _LimitedReader(sock, "r")
        reader.exchange, reader.socket, reader.original = exchange, sock, self.fp.detach()
        self.fp = io.BufferedReader(reader)


class _LimitedConnection(HTTPConnection):
    response_class = _LimitedResponse

    def connect(self) -> None:
        exchange = current_exchange.get()
        is_tunnel = self.proxy_is_tunneling
        exchange.step = Step.PROXY if is_tunnel or hasattr(self, "_socks_options") else Step.CONNECT
        self.timeout = min(CONNECT_TIMEOUT, exchange.remaining())
        try:
            super().connect()
        except OSError:
            # urllib3 raises other classes if there is no connection to the host, or to the SOCKS proxy.
            if not is_tunnel:
                exchange.step = Step.TLS
            raise
        exchange.step = Step.SEND

    def _tunnel(self) -> None:
        super()._tunnel()
        current_exchange.get().step = Step.TLS

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange = current_exchange.get()
        if exchange.step is Step.START:
            exchange.step = Step.SEND
        for start in range(0, len(data), _CHUNK):
            self.sock.settimeout(exchange.remaining())
            super().send(data[start : start + _CHUNK])


def _limited(base: type[Any]) -> Any:
    return type(base.__name__, (_LimitedConnection, base), {})


def _limited_socks_pools(manager: Any) -> dict[str, Any]:
    return {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": _limited(pool.ConnectionCls)})
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _limited(HTTPConnection)


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _limited(HTTPSConnection)


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


def open_session(context: ssl.SSLContext | None, proxy: str | None) -> requests.Session:
    """Open a session that ignores the environment.

    :param context: the trusted certificates, for https.
    :param proxy: the URL of the proxy.
    """
    session, adapter = LimitedSession(), _Adapter()
    session.trust_env = False
    adapter.poolmanager.connection_pool_kw["ssl_context"] = context
    adapter.poolmanager.pool_classes_by_scheme = _POOLS
    if proxy is not None:
        session.proxies = {"http": proxy, "https": proxy}
        manager = adapter.proxy_manager_for(proxy, ssl_context=context)
        manager.pool_classes_by_scheme = _limited_socks_pools(manager) if proxy.startswith("socks") else _POOLS
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
