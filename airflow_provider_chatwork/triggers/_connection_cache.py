"""What connections say, read once for all waits of an event loop that want to know at the same time.

Thousands of waits may begin within a second, with one and the same connection, and in a triggerer each reading is a
question to the API server.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

if TYPE_CHECKING:
    from airflow_provider_chatwork.api.settings import Settings

#: For how many seconds what a connection said is taken for true.
LASTING = 60.0
#: The same for whoever has a reason to believe that it says something else by now.
CURRENT = 1.0


class _Connection:
    """What a connection said last, and the queue of those who want to know."""

    def __init__(self) -> None:
        # It lets one go on in each turn of the loop, so that an answer for thousands does not hold up everybody else.
        self.queue = asyncio.Lock()
        self.settings: Settings | None = None
        self.read_at = 0.0


_connections: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Connection]] = WeakKeyDictionary()


async def settings_of(chatwork_conn_id: str, max_age: float = LASTING) -> Settings:
    """What a connection says, or said not longer than ``max_age`` seconds ago.

    :raises AirflowNotFoundException: where there is no such connection. Nothing that is raised is remembered.
    """
    loop = asyncio.get_running_loop()
    # A lock that somebody had to wait for keeps its loop alive, also when nobody runs that any more.
    for closed in [other for other in _connections if other.is_closed()]:
        del _connections[closed]
    known = _connections.setdefault(loop, {}).setdefault(chatwork_conn_id, _Connection())
    # By the time they asked, whoever waits in the queue need not read again what was read meanwhile.
    asked = loop.time()
    async with known.queue:
        began = loop.time()
        if known.settings is None or asked - known.read_at > max_age:
            known.settings, known.read_at = await ChatworkHook(chatwork_conn_id).asettings(), began
        return known.settings
