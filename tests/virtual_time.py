"""The event loop whose time jumps, and a Chatwork inside of it; the benchmarks have them, too."""

from __future__ import annotations

from benchmarks.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

__all__ = ["START", "VirtualLoop", "run_virtually", "sandbox_pollers"]
