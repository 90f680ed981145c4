"""An event loop with a virtual clock, and a sandbox in it. The benchmarks use them, too."""

from __future__ import annotations

from benchmarks.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

__all__ = ["START", "VirtualLoop", "run_virtually", "sandbox_pollers"]
