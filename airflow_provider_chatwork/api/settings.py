"""The settings of a client."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.rate_limit import WINDOW
from airflow_provider_chatwork.api.urls import CHATWORK_WEB

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

    :raises ChatworkParameterError: naming the parameter.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or parts.username is not None or parts.query or parts.fragment:
        # The part before the @ often holds a password.
        shown = re.sub(r"//[^/]*@", "//***@", url)
        raise ChatworkParameterError(parameter, shown, f"give a URL such as {BASE_URL}")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise ChatworkParameterError(
            parameter, url, "use https; plain http would show the API token to the network (it is for localhost only)"
        )
    return url
