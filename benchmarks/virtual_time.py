"""An event loop with a virtual clock, and a Chatwork sandbox on the same clock."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.sandbox import Sandbox
from airflow_provider_chatwork.waiting.poller.account_poller import PollerRegistry, override_registry

T = TypeVar("T")
L = TypeVar("L", bound="VirtualLoop")

START = 1_800_000_000.0
# How long to wait for threads, really, in seconds.
_PATIENCE = 20.0


class VirtualSelector(selectors.DefaultSelector):
    """Does not wait, but lets the time pass, unless a thread is at work."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        if ready := super().select(0):
            return ready
        if timeout is None or self.loop.threads:
            ready = super().select(_PATIENCE if timeout is None else 0.01)
            assert ready or timeout is not None, "everybody waits for somebody else"
            return ready
        self.loop.pass_time(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next thing that is to happen.

    :param start: the Unix time at its beginning.
    :param on_jump: called with the seconds of each jump, after it.
    :param selector: what it waits with, for those who watch it wait.
    """

    def __init__(
        self,
        start: float = START,
        on_jump: Callable[[float], object] | None = None,
        selector: VirtualSelector | None = None,
    ) -> None:
        selector = selector or VirtualSelector()
        super().__init__(selector)
        selector.loop = self
        self._now = 0.0
        self._start = start
        self._on_jump = on_jump
        self._happenings: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self.threads = 0

    def time(self) -> float:
        return self._now

    def unix_time(self) -> float:
        return self._start + self.time()

    def pass_time(self, seconds: float) -> None:
        target = self._now + seconds
        if self._happenings and self._happenings[0][0] <= target:
            at, _, act = heapq.heappop(self._happenings)
            self._now = max(self._now, at)
            act()
            return
        self._now = target
        if self._on_jump is not None and seconds > 0:
            self._on_jump(seconds)

    def happens(self, at: float, act: Callable[[], object]) -> None:
        """Let something happen at a time of the loop, as soon as somebody waits for that time or a later one."""
        heapq.heappush(self._happenings, (at, next(self._order), act))

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *arguments: Any) -> Any:
        future = super().run_in_executor(executor, function, *arguments)
        self.threads += 1
        future.add_done_callback(self._thread_is_over)
        return future

    def _thread_is_over(self, future: Any) -> None:
        self.threads -= 1

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Join the threads without a limit. From Python 3.12 on, the limit of 300 s would pass at once."""
        self.threads += 1
        await super().shutdown_default_executor()
        self.threads -= 1


def run_virtually(
    main: Callable[[VirtualLoop], Coroutine[Any, Any, T]],
    *,
    start: float = START,
    on_jump: Callable[[float], object] | None = None,
) -> T:
    """Run a coroutine function in such a loop, which it is given."""
    return run_in(VirtualLoop(start, on_jump), main)


def run_in(loop: L, main: Callable[[L], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in a loop of one's own, which it is given."""

    async def run() -> T:
        return await main(loop)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(run())


@contextmanager
def sandbox_pollers(sandbox: Sandbox, clock: Callable[[], float], *, latency: float = 0.0) -> Iterator[PollerRegistry]:
    """Let all subscriptions poll a sandbox in this process, with the same clock.

    :param clock: the Unix time, which becomes the sandbox's.
    :param latency: how long a request is on its way, in seconds.
    """

    async def send(request: HttpRequest) -> Response:
        await asyncio.sleep(latency / 2)
        answer = await sandbox.ahandle(request)
        await asyncio.sleep(latency / 2)
        return answer

    before, sandbox.clock = sandbox.clock, clock
    try:
        with override_registry(PollerRegistry(lambda settings: send, clock)) as registry:
            yield registry
    finally:
        sandbox.clock = before
