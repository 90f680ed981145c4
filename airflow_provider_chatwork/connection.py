"""The settings of a client, and how they are read from an Airflow connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.http import WINDOW
from airflow_provider_chatwork.api.urls import CHATWORK_WEB

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook

BASE_URL = "https://api.chatwork.com/v2"

#: Host names of this machine.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a connection. They are checked on creation.

    :param token: the API token.
    :param base_url: the URL of the API, with its version. Plain http is allowed for this machine only.
    :param timeout: seconds that a request may take, from connecting to the end of the answer. An upload gets at least
        60, and 20 more for each MB.
    :param max_wait: seconds that the waits of one call may take together; see ``RetryPolicy.max_wait``.
    :param proxy: URL of the proxy to use instead of the one in the environment.
    :param default_room_id: the room for operators without ``room_id``.
    :param timezone: the time zone of due dates.
    :param web_url: the URL of Chatwork's web client.
    :param webhook_token: the token that signs webhooks.
    :param lang: the language of alerts, reminders and questions: ``ja`` or ``en``.
    :param routing: the routing table of alerts, as decoded JSON. It is checked when an alert is sent.
    :raises ChatworkParameterError: naming the field that is invalid.
    """

    token: str = field(repr=False)
    base_url: str = BASE_URL
    timeout: float = 20.0
    max_wait: float = WINDOW
    proxy: str | None = field(default=None, repr=False)
    default_room_id: int | None = None
    timezone: str = "Asia/Tokyo"
    web_url: str = CHATWORK_WEB
    webhook_token: str | None = field(default=None, repr=False)
    lang: str = "ja"
    routing: Any = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if not self.token or not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            # Even a wrong token is a secret, so the text does not show it.
            raise ChatworkParameterError(
                "password", "***", "give the API token of the account, in the password of the connection"
            )
        check_url("host", self.base_url)
        for parameter, value in (("timeout", self.timeout), ("max_wait", self.max_wait)):
            if not 0 <= value < float("inf") or (parameter == "timeout" and value == 0):
                raise ChatworkParameterError(parameter, value, "give a number of seconds")


def check_url(parameter: str, url: str) -> str:
    """Return the URL if a token can be sent to it safely: https, or plain http to this machine.

    :raises ChatworkParameterError: naming the parameter. It does not show a URL that may contain a password.
    """
    if re.search("[@?#]", url):
        remedy = f"give a URL such as {BASE_URL}, without user, password and parameters"
        raise ChatworkParameterError(parameter, "***", remedy)
    try:
        parts = urlsplit(url)
        # Labels that are empty, too long or wrongly encoded raise an error.
        host = parts.hostname if parts.port != 0 and (parts.hostname or "").encode("idna").decode("idna") else None
    except ValueError:
        host = None
    if not host or re.search(r"""[\s\x00-\x1f\x7f"'<>\\^`{|}]""", url):
        raise ChatworkParameterError(parameter, url, f"give a URL such as {BASE_URL}")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise ChatworkParameterError(
            parameter, url, "use https; plain http would show the API token to the network (it is for localhost only)"
        )
    return url


class ConnectionFields(Protocol):
    """The fields of an Airflow connection that are used besides its extra."""

    host: str | None
    schema: str | None
    port: int | None
    password: str | None


def settings_from(connection: ConnectionFields, extra: Mapping[str, Any], *, max_wait: float | None = None) -> Settings:
    """Convert a connection.

    :param connection: ``password`` is the API token. ``host`` is another URL of the API; ``port`` and ``schema`` (http
        or https) are used if the host contains none. A host without a scheme gets https, on this machine http. A host
        without a path gets ``/v2``.
    :param extra: the decoded extra of the connection.
    :param max_wait: replaces the ``max_wait`` of the extra.
    :raises ChatworkParameterError: naming the invalid field.
    """
    if not isinstance(extra, Mapping):
        raise ChatworkParameterError("extra", "***", "give a JSON object with the connection's options")
    fields = {name: value for name, value in extra.items() if value not in (None, "")}
    base_url = _base_url(connection)
    options: dict[str, Any] = {}
    for name in ("timeout", "max_wait"):
        if name in fields:
            options[name] = _seconds(name, fields[name])
    if max_wait is not None:
        options["max_wait"] = max_wait
    if "default_room_id" in fields:
        options["default_room_id"] = validation.identifier("default_room_id", fields["default_room_id"])
    if "timezone" in fields:
        options["timezone"] = _timezone(fields["timezone"])
    if "proxy" in fields:
        options["proxy"] = _proxy(fields["proxy"])
    if "lang" in fields:
        options["lang"] = validation.choice("lang", str(fields["lang"]).strip(), validation.LANGUAGES)
    if "routing" in fields:
        options["routing"] = fields["routing"]
    if "webhook_token" in fields:
        options["webhook_token"] = _secret("webhook_token", fields["webhook_token"])
    if "web_url" in fields:
        options["web_url"] = check_url("web_url", str(fields["web_url"]).strip().rstrip("/"))
    elif urlsplit(base_url).hostname in LOOPBACK:
        # The sandbox serves its web page on the same port as its API.
        options["web_url"] = urlunsplit((*urlsplit(base_url)[:2], "", "", ""))
    return Settings(token=(connection.password or "").strip(), base_url=base_url, **options)


def load_settings(chatwork_conn_id: str, hook: BaseHook | None = None, *, max_wait: float | None = None) -> Settings:
    """Read a connection, and convert it. The parameters and errors are those of :func:`read_settings`."""
    from airflow.providers.common.compat.sdk import BaseHook, mask_secret

    connection = (hook or BaseHook).get_connection(chatwork_conn_id)
    settings = settings_from(connection, connection.extra_dejson, max_wait=max_wait)
    if settings.webhook_token is not None:
        # Airflow masks the secrets in the extra, except for 3.1.
        mask_secret(settings.webhook_token)
    return settings


async def read_settings(
    chatwork_conn_id: str, hook: BaseHook | None = None, *, max_wait: float | None = None
) -> Settings:
    """Read a connection in an event loop without blocking it, and convert it.

    :param hook: reads the connection; Airflow's base hook if not given.
    :param max_wait: replaces the ``max_wait`` of the connection.
    :raises AirflowNotFoundException: if there is no such connection.
    :raises ChatworkParameterError: naming the invalid field.
    """
    from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

    connection = await get_async_connection(chatwork_conn_id, hook=hook)
    return settings_from(connection, await get_async_extra_dejson(connection), max_wait=max_wait)


def _base_url(connection: ConnectionFields) -> str:
    host = (connection.host or "").strip()
    if not host:
        return BASE_URL
    if "://" not in host:
        host = f"{_scheme(connection.schema, host)}://{f'[{host}]' if _is_bare_ipv6(host) else host}"
    parts = urlsplit(check_url("host", host))
    if connection.port and parts.port is None:
        parts = parts._replace(netloc=f"{parts.netloc}:{connection.port}")
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") or "/v2"))


def _scheme(schema: str | None, host: str) -> str:
    if not schema:
        # The server on this machine is the sandbox, which uses plain http by default.
        hostname = host if _is_bare_ipv6(host) else urlsplit(f"//{host}").hostname
        return "http" if hostname in LOOPBACK else "https"
    if schema not in ("http", "https"):
        # In the URI of a connection, the schema is the part after the last slash.
        raise ChatworkParameterError("schema", schema, "give http or https, or the whole URL in the host")
    return schema


def _is_bare_ipv6(host: str) -> bool:
    return host.count(":") > 1 and not host.startswith("[")


def _secret(name: str, value: object) -> str:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ChatworkParameterError(name, "***", "give the token as text")
    return str(value).strip()


def _seconds(name: str, value: object) -> float:
    try:
        if not isinstance(value, (int, float, str)) or isinstance(value, bool):
            raise ValueError
        return float(value)
    except ValueError:
        raise ChatworkParameterError(name, value, "give a number of seconds in the connection's extra") from None


def _timezone(value: object) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (ValueError, OSError, LookupError):
        raise ChatworkParameterError("timezone", value, "give an IANA name such as Asia/Tokyo or UTC") from None


def _proxy(value: object) -> str:
    url = str(value).strip()
    url = url if "://" in url else f"http://{url}"
    scheme, _, rest = url.partition("://")
    try:
        check_url("proxy", f"https://{rest.rpartition('@')[2]}")
        is_usable = scheme.lower() in ("http", "https", "socks5", "socks5h")
    except ChatworkParameterError:
        is_usable = False
    if not is_usable:
        # The URL of a proxy may contain a password, so it is not shown.
        raise ChatworkParameterError("proxy", "***", "give a URL such as http://proxy.example.com:8080") from None
    return url
