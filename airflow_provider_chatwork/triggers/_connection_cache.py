"""A cache of connections for the waits of one event loop.

Thousands of waits with the same connection may begin in the same second, and a triggerer reads each connection from the
API server.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

#: How long a connection is cached, in seconds.
CACHE_TTL = 60.0
#: The same for a caller that expects the connection to have changed.
FRESH_TTL = 1.0


class _Entry:
    def __init__(self) -> None:
        # It lets one waiting caller continue per turn of the loop, so that thousands of them do not block the loop.
        self.lock = asyncio.Lock()
        self.settings: Settings | None = None
        self.read_at = 0.0


_cache: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Entry]] = WeakKeyDictionary()


async def get_settings(chatwork_conn_id: str, max_age: float = CACHE_TTL) -> Settings:
    """Return the settings of a connection, read not more than ``max_age`` seconds ago.

    :raises AirflowNotFoundException: the connection does not exist. Errors are not cached.
    """
    loop = asyncio.get_running_loop()
    # A lock that a caller has waited for keeps its loop alive, so closed loops are removed here.
    for closed in [other for other in _cache if other.is_closed()]:
        del _cache[closed]
    entry = _cache.setdefault(loop, {}).setdefault(chatwork_conn_id, _Entry())
    called_at = loop.time()
    async with entry.lock:
        began = loop.time()
        # Callers that waited for the lock use what was read meanwhile.
        if entry.settings is None or called_at - entry.read_at > max_age:
            entry.settings, entry.read_at = await ChatworkHook(chatwork_conn_id).asettings(), began
        return entry.settings
