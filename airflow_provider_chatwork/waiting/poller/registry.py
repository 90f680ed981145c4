"""What waits share, kept by event loop and account."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.client import AsyncTransport
from airflow_provider_chatwork.transports import HttpxTransport
from airflow_provider_chatwork.waiting.poller.account_poller import Account


def _open(settings: Settings) -> AsyncTransport:
    return HttpxTransport(settings.proxy)


class Accounts:
    """The accounts that are waited on, by event loop.

    :param transport: opens a way to Chatwork.
    :param clock: the Unix time in seconds; ``time.time`` if not given.
    """

    def __init__(
        self, transport: Callable[[Settings], AsyncTransport] = _open, clock: Callable[[], float] | None = None
    ) -> None:
        self._transport = transport
        self.clock = clock or time.time
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, Account]] = WeakKeyDictionary()

    def of(self, settings: Settings) -> Account:
        """The account of a connection in the running event loop.

        Connections with one token share one account, as Chatwork counts their requests together.
        """
        loop = asyncio.get_running_loop()
        # A loop may be gone before anybody leaves, as `dag.test()` has one for each trigger.
        for gone in [other for other in self._by_loop if other.is_closed()]:
            del self._by_loop[gone]
        here = self._by_loop.setdefault(loop, {})
        key = (settings.base_url, settings.token, settings.proxy)
        account = here.get(key)
        if account is None:

            def forget() -> None:
                if here.get(key) is account:
                    del here[key]

            account = here[key] = Account(settings, self._transport(settings), self.clock, forget)
        return account

    def __len__(self) -> int:
        """How many there are, in all event loops."""
        return sum(map(len, self._by_loop.values()))


_accounts = Accounts()


def accounts() -> Accounts:
    """The accounts of this process."""
    return _accounts


@contextmanager
def replaced(other: Accounts) -> Iterator[Accounts]:
    """Let all waits that begin inside use another transport and clock: for tests and simulations."""
    global _accounts
    before, _accounts = _accounts, other
    try:
        yield other
    finally:
        _accounts = before
