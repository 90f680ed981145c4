"""The cost of waits for a triggerer: its memory, and the longest time in which the event loop is blocked.

``python -m benchmarks.triggerer_cost turns|bytes SIDE`` prints a :class:`Turns`, or the bytes of one wait, as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from airflow.triggers.base import BaseTrigger, TriggerEvent

from benchmarks.simulated_waits import THREE, WAITS, Crowd
from benchmarks.virtual_time import VirtualLoop, VirtualSelector, run_in

OURS, SLEEP = "provider", "asyncio.sleep"
#: What happens to the waits, in this order.
START, WAIT, END, CANCEL = "start", "wait", "end", "are cancelled"

# Seconds in which every room has been polled more than once.
_WHILE = 900.0
# Seconds in which everybody sees that all is done.
_AT_LAST = 1800.0


@dataclass
class Longest:
    """The longest iteration of an event loop, in seconds: by the clock and in CPU time, with and without GC.

    The interpreter collects garbage in the middle of whatever it does.
    """

    wall: float = 0.0
    cpu: float = 0.0
    wall_of_work: float = 0.0
    cpu_of_work: float = 0.0

    def note(self, turn: Instant, garbage: Instant) -> None:
        """Record another iteration, and its part of garbage collection."""
        self.wall = max(self.wall, turn.wall)
        self.cpu = max(self.cpu, turn.cpu)
        self.wall_of_work = max(self.wall_of_work, turn.wall - garbage.wall)
        self.cpu_of_work = max(self.cpu_of_work, turn.cpu - garbage.cpu)


@dataclass
class Turns:
    """What was measured.

    :param longest: the longest iteration of the event loop, by phase.
    :param starting: seconds of CPU for starting all waits.
    :param collection: seconds of CPU that a full collection of garbage takes before there are any waits.
    """

    longest: dict[str, Longest] = field(default_factory=dict)
    starting: float = 0.0
    collection: float = 0.0


class Instant(NamedTuple):
    """Two clocks, or what has passed by them: that on the wall, and that of the thread's CPU."""

    wall: float = 0.0
    cpu: float = 0.0

    @classmethod
    def now(cls) -> Instant:
        return cls(time.perf_counter(), time.thread_time())

    def since(self, other: Instant) -> Instant:
        return Instant(self.wall - other.wall, self.cpu - other.cpu)


class _Sleep(BaseTrigger):
    """The least that a trigger can do."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {"seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(self.seconds)
        yield TriggerEvent({"status": "done"})


class _Selector(VirtualSelector):
    """Notes how long the loop was away, between two times of asking for something to do."""

    loop: _Loop

    def select(self, timeout: float | None = None) -> Any:
        self.loop.turn_ends()
        try:
            return super().select(timeout)
        finally:
            self.loop.turn_begins()


class _Loop(VirtualLoop):
    """Its time passes as in reality, and jumps to the next timer where nothing is to be done.

    So what comes due while something else is going on has piled up after it, as in life.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._turn_began: Instant | None = None
        self._elsewhere = self._garbage = Instant()
        self.longest = Longest()
        super().__init__(selector=_Selector())
        gc.callbacks.append(self._collects)

    def time(self) -> float:
        return super().time() + time.perf_counter() - self._began

    def measure_anew(self) -> None:
        """Begin to measure with the next iteration."""
        self.longest = Longest()
        self._turn_began = None

    def turn_begins(self) -> None:
        """Note that there is something to do."""
        self._elsewhere = self._garbage = Instant()
        self._turn_began = Instant.now()

    def turn_ends(self) -> None:
        """Note that all of it is done."""
        if self._turn_began is not None:
            self.longest.note(Instant.now().since(self._turn_began).since(self._elsewhere), self._garbage)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """What goes on inside would go on in another process in life."""
        began = Instant.now()
        yield
        self._elsewhere = Instant.now().since(began.since(self._elsewhere))

    def _collects(self, phase: str, info: dict[str, int]) -> None:
        # From minus the beginning to the end, in two steps.
        now = Instant.now()
        self._garbage = self._garbage.since(now) if phase == "start" else now.since(Instant().since(self._garbage))


def turns(side: str) -> Turns:
    """Start, let wait and let end; start again and cancel."""

    async def wait(loop: _Loop) -> Turns:
        crowd = Crowd(loop, THREE, elsewhere=loop.elsewhere)
        gc.collect()
        before = time.process_time()
        gc.collect()
        found = Turns(collection=time.process_time() - before)

        def note(phase: str) -> None:
            found.longest[phase] = loop.longest
            loop.measure_anew()

        with crowd.reachable():
            loop.measure_anew()
            before = time.process_time()
            await _start(crowd, side, _WHILE + _AT_LAST / 2)
            await asyncio.sleep(0.1)
            found.starting = time.process_time() - before
            note(START)
            await asyncio.sleep(_WHILE)
            note(WAIT)
            crowd.tick_all()
            await asyncio.sleep(_AT_LAST)
            note(END)
            assert len(crowd.ended) == WAITS
            await _start(crowd, side, _WHILE * 2)
            await asyncio.sleep(0.1)
            loop.measure_anew()
            await crowd.stop()
            note(CANCEL)
        return found

    return run_in(_Loop(), wait)


def bytes_of_one(side: str) -> float:
    """The memory that a wait takes once it has seen something, of what the interpreter knows of."""

    async def wait(loop: VirtualLoop) -> float:
        crowd = Crowd(loop, THREE)
        with crowd.reachable():
            gc.collect()
            tracemalloc.start()
            await _start(crowd, side, _WHILE * 2)
            await asyncio.sleep(_WHILE)
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            await crowd.stop()
        return taken / WAITS

    return run_in(VirtualLoop(), wait)


async def _start(crowd: Crowd, side: str, seconds: float) -> None:
    await crowd.start(crowd.triggers() if side == OURS else _sleepers(seconds))


def _sleepers(seconds: float) -> Iterator[BaseTrigger]:
    for _ in range(WAITS):
        yield _Sleep(seconds)


def main() -> None:
    """Measure one thing of one side, and write it to the standard output."""
    what, side = sys.argv[1:]
    print(json.dumps(asdict(turns(side)) if what == "turns" else bytes_of_one(side)))


if __name__ == "__main__":
    main()
