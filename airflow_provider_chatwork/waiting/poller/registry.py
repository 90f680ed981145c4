"""The pollers of this process, one per account and event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.client import AsyncTransport
from airflow_provider_chatwork.transports import HttpxTransport
from airflow_provider_chatwork.waiting.poller.account_poller import AccountPoller


def _new_transport(settings: Settings) -> AsyncTransport:
    return HttpxTransport(settings.proxy)


class PollerRegistry:
    """The pollers, by event loop and account.

    :param new_transport: makes the transport of a poller.
    :param clock: returns the Unix time in seconds; ``time.time`` if not given.
    """

    def __init__(
        self,
        new_transport: Callable[[Settings], AsyncTransport] = _new_transport,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._new_transport = new_transport
        self.clock = clock or time.time
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, AccountPoller]] = WeakKeyDictionary()

    def get(self, settings: Settings) -> AccountPoller:
        """Return the poller of an account in the running event loop.

        Connections with the same token share one poller, as Chatwork counts their requests together.
        """
        loop = asyncio.get_running_loop()
        # A loop may be closed before its subscriptions end: `dag.test()` has one loop per trigger.
        for closed in [other for other in self._by_loop if other.is_closed()]:
            del self._by_loop[closed]
        pollers = self._by_loop.setdefault(loop, {})
        key = (settings.base_url, settings.token, settings.proxy)
        poller = pollers.get(key)
        if poller is None:

            def remove() -> None:
                if pollers.get(key) is poller:
                    del pollers[key]

            poller = pollers[key] = AccountPoller(settings, self._new_transport(settings), self.clock, remove)
        return poller

    def __len__(self) -> int:
        """Return how many there are, in all event loops."""
        return sum(map(len, self._by_loop.values()))


_registry = PollerRegistry()


def poller_registry() -> PollerRegistry:
    """Return the registry of this process."""
    return _registry


@contextmanager
def override_registry(registry: PollerRegistry) -> Iterator[PollerRegistry]:
    """Use another registry inside the context, with its own transport and clock, for tests and simulations."""
    global _registry
    before, _registry = _registry, registry
    try:
        yield registry
    finally:
        _registry = before
