"""How to reach a sandbox behind a port: its addresses, and the Airflow connection that leads there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote

from airflow_provider_chatwork.sandbox.company import DATA_ROOM


@dataclass(frozen=True, slots=True)
class Address:
    """Where a sandbox listens. ``str()`` gives the address of its page."""

    host: str
    port: int
    scheme: str = "http"

    def __str__(self) -> str:
        return self.origin

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        # Nobody can connect to "all interfaces"; from this machine the loopback one answers for them.
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{self.scheme}://{f'[{reachable}]' if ':' in reachable else reachable}:{self.port}"

    @property
    def api(self) -> str:
        """The base address of the API, for the ``host`` of a connection."""
        return f"{self.origin}/v2"

    def connection_uri(self, token: str, default_room_id: int = DATA_ROOM) -> str:
        """Return the Airflow connection as a URI, as ``AIRFLOW_CONN_CHATWORK_DEFAULT`` takes it."""
        secret, host = quote(token, safe=""), quote(self.api, safe="")
        return f"chatwork://:{secret}@{host}/?default_room_id={default_room_id}"

    def connection_json(self, token: str, default_room_id: int = DATA_ROOM) -> str:
        """Return the Airflow connection as JSON."""
        extra = {"default_room_id": default_room_id}
        return json.dumps({"conn_type": "chatwork", "host": self.api, "password": token, "extra": extra})
