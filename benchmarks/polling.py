"""How often waits ask Chatwork, and how soon they see that somebody is done, on a time that is not ours.

``python -m benchmarks.polling PLAN`` prints an :class:`Asked` as JSON, and an :class:`Alone` for ``alone``.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from asyncio import sleep
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from airflow_provider_chatwork.sandbox import Limits
from benchmarks.simulated_waits import INTERVAL, ROOMS, SEEN, TEN, THREE, WAITS, Crowd, Plan
from benchmarks.virtual_time import VirtualLoop, run_virtually

PLANS = {"99": SEEN, "200, of 3": THREE, "200, of 10": TEN}
ALONE = "alone"

# Seconds: of the first polls, in which no task changes; in which tasks are completed; and of the end without changes.
_FIRST_LOOKS = 1800.0
_BUSY = 3600.0
_CALM = 2400.0
# People take a day, on the average, so this share of the tasks is done in that time.
_SHARE = _BUSY / (24 * 3600)
# A poll takes less, and two polls of a room are further apart, in seconds.
_LOOK = 30.0


@dataclass
class Asked:
    """What was measured.

    :param interval: the median of the seconds between two polls of a room.
    :param calls: requests in such an interval.
    :param changes: tasks ticked in such an interval.
    :param refused: how many of all were refused.
    :param seen: seconds from a tick to the end of each wait for it.
    :param unseen: waits that had not ended at the end.
    """

    interval: float
    calls: float
    changes: float
    refused: int
    seen: list[float]
    unseen: int


@dataclass
class Alone:
    """What was measured where each wait polls for itself.

    :param calls: requests in an interval.
    :param rooms: in how many rooms ...
    :param waits: ... how many waits there are.
    """

    calls: float
    rooms: int = ROOMS
    waits: int = WAITS


def ask_together(plan: Plan) -> Asked:
    """Let all wait as they do."""

    async def wait(loop: VirtualLoop) -> Asked:
        crowd = Crowd(loop, plan)
        with crowd.reachable():
            await crowd.start(crowd.triggers())
            await sleep(_FIRST_LOOKS)
            begin = loop.time()
            moments = crowd.tick_later(random.Random(1), _SHARE, _BUSY)
            await sleep(_BUSY)
            end = loop.time()
            await sleep(_CALM)
            ended = dict(crowd.ended)
            await crowd.stop()
        interval = _interval([(at, room_id) for at, room_id in crowd.calls if begin <= at < end])
        calls = sum(begin <= at < end for at, _ in crowd.calls)
        over = [number for number, given in enumerate(crowd.waited_for) if given in moments]
        return Asked(
            interval=interval,
            calls=calls * interval / (end - begin),
            changes=len(moments) * interval / (end - begin),
            refused=crowd.refused,
            seen=[ended[number] - moments[crowd.waited_for[number]] for number in over if number in ended],
            unseen=sum(number not in ended for number in over),
        )

    return run_virtually(wait)


def ask_alone() -> Alone:
    """Let each of them poll for itself, without any limits."""

    async def wait(loop: VirtualLoop) -> Alone:
        crowd = Crowd(loop, SEEN, Limits.off())
        with crowd.reachable(each_for_itself=True):
            await crowd.start(crowd.triggers())
            await sleep(INTERVAL / 2)
            before = len(crowd.calls)
            await sleep(INTERVAL)
            calls = len(crowd.calls) - before
            await crowd.stop()
        return Alone(calls)

    return run_virtually(wait)


def _interval(calls: Sequence[tuple[float, int]]) -> float:
    gaps = []
    begun: dict[int, float] = {}
    latest: dict[int, float] = {}
    for at, room_id in calls:
        if room_id not in latest or at - latest[room_id] > _LOOK:
            if room_id in begun:
                gaps.append(at - begun[room_id])
            begun[room_id] = at
        latest[room_id] = at
    assert len(begun) == ROOMS
    return statistics.median(gaps)


def main() -> None:
    """Measure one side, and write it to the standard output."""
    (side,) = sys.argv[1:]
    print(json.dumps(asdict(ask_alone() if side == ALONE else ask_together(PLANS[side]))))


if __name__ == "__main__":
    main()
