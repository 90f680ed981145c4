"""Measure 10,000 waits in one triggerer: requests, delay, memory and the time in which the event loop is blocked."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report import ROOT, Verdict, table

OURS, SLEEP, ALONE = "provider", "asyncio.sleep", "alone"
#: The plans of ``polling.py``: the first is the one in which a list shows all open tasks of a room.
PLANS = ("99", "200, of 3", "200, of 10")
PHASES = ("start", "wait", "end", "are cancelled")

FEWER_CALLS = 100
MOST_INTERVALS = 2.0
MOST_BYTES = 10_000
LONGEST_TURN = 0.05


@dataclass(frozen=True)
class Waiting:
    """What was measured.

    :param asked: the figures of ``polling.py`` for each plan.
    :param alone: requests in an interval if each wait polls separately.
    :param turns: the figures of ``triggerer_cost.py`` for the event loop, for a bare sleep and for the provider.
    :param bytes: the bytes of one wait, likewise.
    :param rooms: the number of rooms.
    :param waits: the number of waits.
    """

    asked: Mapping[str, Mapping[str, Any]]
    alone: float
    turns: Mapping[str, Mapping[str, Any]]
    bytes: Mapping[str, float]
    rooms: int
    waits: int


def measure(environment: Mapping[str, str]) -> Waiting:
    """Measure each thing in a process of its own."""
    asked = {plan: _run(environment, "polling", plan) for plan in PLANS}
    alone = _run(environment, "polling", ALONE)
    return Waiting(
        asked=asked,
        alone=alone["calls"],
        turns={side: _run(environment, "triggerer_cost", "turns", side) for side in (SLEEP, OURS)},
        bytes={side: _run(environment, "triggerer_cost", "bytes", side) for side in (SLEEP, OURS)},
        rooms=alone["rooms"],
        waits=alone["waits"],
    )


def _run(environment: Mapping[str, str], module: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    # What the log has to say comes before.
    return json.loads(done.stdout.splitlines()[-1])


def report_calls(measured: Waiting) -> tuple[str, list[Verdict]]:
    """The table of requests, and which targets are met."""
    rows, verdicts = [], []
    for plan, asked in measured.asked.items():
        interval, calls = asked["interval"], asked["calls"]
        seconds = _summary(asked["seen"])
        rows.append(
            (
                plan,
                f"{interval:.0f}",
                *(f"{number:.1f}" for number in (calls, asked["changes"], measured.alone / calls)),
                str(asked["refused"]),
                str(len(asked["seen"])),
                *(f"{one:.0f}" for one in seconds),
                *(f"{one / interval:.2f}" for one in seconds),
            )
        )
        tasks = f"{plan}: "
        most = measured.rooms + asked["changes"]
        verdicts += [
            Verdict(
                f"{tasks}at most rooms and changes, {most:.1f} calls in an interval", calls <= most, f"{calls:.1f}"
            ),
            Verdict(
                f"{tasks}{FEWER_CALLS} times fewer than {measured.alone:.0f}, one poll per wait",
                measured.alone / calls >= FEWER_CALLS,
                f"{measured.alone / calls:.1f}",
            ),
            Verdict(
                f"{tasks}99 of 100 seen within {MOST_INTERVALS:.0f} intervals, all in the end",
                seconds[1] <= MOST_INTERVALS * interval and not asked["unseen"],
                f"{seconds[1] / interval:.2f}, {asked['unseen']} unseen",
            ),
        ]
    seen = ("s, median", "s, 99th", "s, most", "intervals", "99th", "most")
    header = ("open tasks", "interval, s", "calls", "changes", "alone/calls", "refused", "seen", *seen)
    return table(header, rows), verdicts


def report_turns(measured: Waiting) -> tuple[str, list[Verdict]]:
    """The table of what a triggerer bears, and which targets are met."""
    rows = []
    for phase in PHASES:
        for side, turns in measured.turns.items():
            one = turns["longest"][phase]
            figures = (one["wall"], one["cpu"], one["wall_of_work"], one["cpu_of_work"])
            rows.append((phase, side, *(f"{seconds * 1000:.1f}" for seconds in figures)))
    ours = [measured.turns[OURS]["longest"][phase] for phase in PHASES]
    limit = f"longest iteration of the loop at most {LONGEST_TURN * 1000:.0f} ms"
    collection = f"a full collection before there are any waits takes {measured.turns[OURS]['collection'] * 1000:.0f}"
    extra = measured.bytes[OURS] - measured.bytes[SLEEP]
    each = {side: turns["starting"] / measured.waits * 1e6 for side, turns in measured.turns.items()}
    verdicts = [
        _turn(f"{limit} by the clock, with collections of garbage ({collection})", [one["wall"] for one in ours]),
        _turn(f"{limit} by the clock, without them", [one["wall_of_work"] for one in ours]),
        _turn(f"{limit} of CPU, without them", [one["cpu_of_work"] for one in ours]),
        Verdict(
            f"at most {MOST_BYTES} bytes for a wait over a bare sleep ({measured.bytes[SLEEP]:.0f})",
            extra <= MOST_BYTES,
            f"{extra:.0f}",
        ),
    ]
    starting = f"Starting a wait takes {each[OURS]:.0f} us of CPU, a bare sleep {each[SLEEP]:.0f} us."
    header = ("phase", "triggers", "longest iteration, ms", "CPU ms", "without GC, ms", "without GC, CPU ms")
    return f"{table(header, rows)}\n{starting}", verdicts


def _turn(target: str, seconds: Sequence[float]) -> Verdict:
    return Verdict(target, max(seconds) <= LONGEST_TURN, f"{max(seconds) * 1000:.1f}")


def _summary(seconds: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(seconds), statistics.quantiles(seconds, n=100)[98], max(seconds)
