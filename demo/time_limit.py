"""End the demo at its time limit or at a signal."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TypeVar

from demo.output import say

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds between two checks of a condition, and between two lines about it.
_CHECK_INTERVAL = 0.5
_REPORT_INTERVAL = 10


class Stopped(Exception):
    """A signal asked the demo to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        #: What a shell expects of a process that a signal ended.
        self.status = 128 + number


class OutOfTime(Exception):
    """The time limit is reached."""


class Watch:
    """Measures the time and handles signals inside its ``with`` block.

    A signal raises ``Stopped`` at the next :meth:`pause`, and not at once. So no process is started without being
    recorded.

    :param limit: seconds until :class:`OutOfTime`.
    :param clock: returns seconds.
    :param wait: waits that many seconds, or until a signal comes.
    """

    def __init__(
        self,
        limit: float,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.limit = limit
        #: Whether signals are ignored, as while the processes are ended.
        self.ignores_signals = False
        self._clock = clock
        self._started = clock()
        self._signal: int | None = None
        self._signal_came = threading.Event()
        self._wait = wait or self._signal_came.wait
        self._handlers: dict[int, Any] = {}

    @property
    def seconds(self) -> float:
        """How long it has been."""
        return self._clock() - self._started

    def __enter__(self) -> Watch:
        # A shell that starts something in the background has it ignore Ctrl-C, and its children inherit that.
        self._handlers = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.ignores_signals:
            self._signal = number
            self._signal_came.set()

    def pause(self, seconds: float, purpose: str = "") -> None:
        """Wait.

        :param purpose: what is waited for, for the error text.
        :raises Stopped: a signal came.
        :raises OutOfTime: the time limit is reached.
        """
        left = self.limit - self.seconds
        self._wait(min(seconds, max(left, 0)))
        if self._signal is not None:
            raise Stopped(self._signal)
        if left <= 0:
            raise OutOfTime(f"the time limit of {self.limit:.0f} s was reached while waiting for {purpose}")

    def until(self, condition: Callable[[], T], purpose: Callable[[], str]) -> T:
        """Wait until ``condition`` returns a true value, and return it. Prints every ten seconds what it waits for."""
        reported_at = self.seconds
        while not (found := condition()):
            if self.seconds - reported_at >= _REPORT_INTERVAL:
                reported_at = self.seconds
                self.report(f"waiting for {purpose()}")
            self.pause(_CHECK_INTERVAL, purpose())
        return found

    def report(self, text: str) -> None:
        """Print a line with the time."""
        say(f"{self.seconds:4.0f} s  {text}")
