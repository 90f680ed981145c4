"""What the listener for failed runs costs the scheduler, in whose own thread it is called.

``python -m benchmarks.listener_latency`` prints the seconds of every call as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.report import ROOT, Verdict, table

NO_OP, WAITS, COMPUTES = "no-op listener", "provider, its thread waits", "provider, its thread computes"
MOST_OF_LOOP = 0.01

_CALLS = 10_000
# Calls in one round: fewer than the queue of the listener holds.
_TURN = 500
# Turns that are not counted.
_WARM_UP = 2
# How long telling of one run takes, in seconds.
_TELLING = 0.05
# What the scheduler does between two calls, in seconds.
_BETWEEN = 50e-6


def measure(environment: Mapping[str, str]) -> dict[str, list[float]]:
    """Measure in a process of its own, and return the seconds of every call."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.listener_latency"],
        cwd=ROOT,
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    measured: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return measured


def report(measured: Mapping[str, list[float]], loops: Sequence[float]) -> tuple[str, list[Verdict]]:
    """The table, and whether the target is met.

    :param loops: seconds that the loops of a scheduler took.
    """
    loop = statistics.median(loops)
    least = statistics.median(measured[NO_OP])
    rows = []
    for side, calls in measured.items():
        middle, high = statistics.median(calls), _percentile(calls, 99)
        rows.append(
            (
                side,
                *(f"{seconds * 1e6:.1f}" for seconds in (middle, high, max(calls))),
                f"{middle / least:.1f}",
                f"{high / loop:.5f}",
                str(len(calls)),
            )
        )
    share = max(_percentile(measured[side], 99) for side in (WAITS, COMPUTES)) / loop
    verdict = Verdict(
        f"99 of 100 calls take at most {MOST_OF_LOOP} of a scheduler's loop ({loop * 1000:.1f} ms, median of"
        f" {len(loops)})",
        share <= MOST_OF_LOOP,
        f"{share:.5f}",
    )
    header = ("called", "us", "us, 99th percentile", "us, most", "us/no-op", "99th/loop", "calls")
    return table(header, rows), [verdict]


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def main() -> None:
    """Call in turns, as Airflow calls its listeners, and write what each call took to the standard output."""
    from airflow.listeners.listener import ListenerManager
    from airflow.listeners.spec import dagrun
    from airflow.models.dagrun import DagRun

    now = datetime.now(UTC)
    run = DagRun(dag_id="daily_sales", run_id=f"scheduled__{now.isoformat()}", logical_date=now, start_date=now)
    taken: dict[str, list[float]] = {NO_OP: [], WAITS: [], COMPUTES: []}
    for turn in range(_WARM_UP + _CALLS // _TURN):
        for side, calls in taken.items():
            over = threading.Event()
            manager = ListenerManager()
            manager.add_hookspecs(dagrun)
            manager.add_listener(_listener(side, over))
            measured = _turn(manager.hook.on_dag_run_failed, run)
            # Alerts that wait are dropped, so that no thread disturbs the next measurement.
            over.set()
            if turn >= _WARM_UP:
                calls += measured
    print(json.dumps(taken))


def _turn(call: Callable[..., Any], run: Any) -> list[float]:
    # From now on the thread is busy.
    call(dag_run=run, msg="task_failure")
    clock, calls = time.perf_counter, []
    for _ in range(_TURN):
        # Meanwhile the scheduler does something else.
        _compute(clock() + _BETWEEN)
        before = clock()
        call(dag_run=run, msg="task_failure")
        calls.append(clock() - before)
    return calls


def _listener(side: str, over: threading.Event) -> Any:
    from airflow.listeners import hookimpl

    from airflow_provider_chatwork.listener import FailedRunListener

    class NoOp:
        @hookimpl
        def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
            """Do nothing."""

    def waits(noted: Mapping[str, Any]) -> None:
        over.wait(_TELLING)

    def computes(noted: Mapping[str, Any]) -> None:
        _compute(time.perf_counter() + _TELLING, over)

    return NoOp() if side == NO_OP else FailedRunListener(waits if side == WAITS else computes)


def _compute(until: float, over: threading.Event | None = None) -> None:
    while time.perf_counter() < until and not (over is not None and over.is_set()):
        pass


if __name__ == "__main__":
    main()
