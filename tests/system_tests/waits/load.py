"""Many waits at once, in workers and without them: their cost, and that all of them end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from demo.output import say
from demo.time_limit import Watch
from tests.system_tests.airflow_server import Airflow
from tests.system_tests.cluster import Sandbox
from tests.system_tests.waits.check_results import Finding, each
from tests.system_tests.waits.deferral_race import Parking
from tests.system_tests.waits.fixtures import BY_TRIGGERER, MANY_EVERY, ROOMS, dags_of
from tests.system_tests.waits.observations import ENDED, Instance, blocks, calls_alone, instances, processes, results

#: In how many waves people are done.
_WAVES = 3
#: How many times fewer calls there are at least than with a poll for each wait, where a room has so many waits; it is
#: less than the number of waits in a room, as people are done at any time, and each time costs a call.
_SAVED = 5
_WORTH_SHARING = 25
#: How many waits may begin in workers within the budget of their account, as each looks once by itself.
_WITHIN_BUDGET = 200
#: Seconds after which what has not happened will not.
_SETTLED = 60.0


def play(
    airflow: Airflow, sandbox: Sandbox, watch: Watch, way: str, waits: Sequence[Sequence[int]], account_id: int
) -> list[Finding]:
    """Let DAGs wait, let people do in waves what is waited for, and print what it took.

    :param way: the way to wait.
    :param waits: pairs of room and task.
    :param account_id: the one that asks.
    """
    read = len(airflow.log_of("triggerer"))
    airflow.trigger(dags_of(way, len(waits)))
    began = watch.seconds
    watch.report(f"{way}: triggered the runs of {len(waits)} waits")
    seen: dict[str, Instance] = {}

    def count(*states: str) -> int:
        airflow.check_alive()
        seen.update(instances(airflow, f"{way}_%"))
        return sum(instance.state in states for instance in seen.values())

    def progress() -> str:
        states = Counter(str(instance.state) for instance in seen.values())
        return ", ".join(f"{number} {state}" for state, number in states.most_common())

    parking = Parking(airflow, watch, f"{way}_%")

    def parked() -> bool:
        if count("deferred") < len(waits) or _unassigned(airflow):
            return False
        return not _runs_each(way) or parking.is_over(seen)

    watch.until(parked, progress)
    waiting = watch.seconds
    watch.report(f"{way}: all of them wait")
    parked = len(airflow.log_of("triggerer"))
    for wave in range(_WAVES):
        for room_id, task_id in waits[wave::_WAVES]:
            sandbox.complete_task(room_id, task_id)
        left = sum(len(waits[later::_WAVES]) for later in range(wave + 1, _WAVES))
        watch.until(lambda left=left: count("deferred") <= left, progress)  # type: ignore[misc]
        watch.report(f"{way}: wave {wave + 1} of {_WAVES} is seen")
    watch.until(lambda: count(*ENDED) == len(waits), progress)
    over = watch.seconds
    expected = len(waits) * _runs_each(way)
    # A process ends a while after its task has.
    watch.until(
        lambda: sum(processes(airflow, f"{way}_%").values()) >= expected or watch.seconds - over > _SETTLED,
        lambda: "the ends of the workers' processes",
    )
    runs = processes(airflow, f"{way}_%")
    requests = [request for request in sandbox.read("requests") if request["account_id"] == account_id]
    alone = calls_alone(seen.values(), MANY_EVERY)
    log = airflow.log_of("triggerer")
    say(f"\n{way}: {len(waits)} waits in {min(ROOMS, len(waits))} rooms")
    say(f"  calls             {len(requests)}: {_counted(requests)}")
    say(f"  a poll for each   {alone} calls, {alone / max(len(requests), 1):.1f} times as many")
    say(f"  worker processes  {sum(runs.values())}")
    say(f"  wall time         {over - began:.0f} s, of it {waiting - began:.0f} s until all of them waited")
    say(f"  event loop        {_blocked(log[read:parked])} until then, {_blocked(log[parked:])} after it\n")
    return _judge(airflow, way, seen, requests, runs, alone)


def _judge(
    airflow: Airflow,
    way: str,
    seen: Mapping[str, Instance],
    requests: Sequence[Mapping[str, Any]],
    runs: Mapping[str, int],
    alone: int,
) -> list[Finding]:
    returned = results(airflow, f"{way}_%")
    refused = [request for request in requests if request["status"] not in (200, 204)]
    most = _runs_each(way)
    fewer = alone / max(len(requests), 1)
    few = len(seen) < ROOMS * _WORTH_SHARING
    return [
        each(way, "every wait has ended with success, at its first try", seen, _is_success, len(seen)),
        each(
            way,
            "every wait has returned its task as done",
            {name: returned.get(name) for name in seen},
            lambda name, value: _is_done(name, value),
        ),
        each(way, f"every wait took {most} worker processes", seen, lambda name, _: runs.get(name, 0) == most),
        Finding(
            way,
            "no request was refused, except for first looks in workers beyond the budget",
            f"{len(refused)} of {len(requests)} requests",
            _counted(refused) if not most or len(seen) <= _WITHIN_BUDGET else "",
        ),
        Finding(
            way,
            "the waits on a room share their looks",
            f"{fewer:.1f} times fewer calls than with a poll for each",
            "" if few or fewer >= _SAVED else f"{len(requests)} calls, expected {_SAVED} times fewer than {alone}",
        ),
    ]


def _runs_each(way: str) -> int:
    """How many processes of workers a wait takes."""
    return 0 if way == BY_TRIGGERER else 2


def _is_success(_: str, instance: Instance) -> bool:
    return instance.state == "success" and instance.tries <= 1


def _is_done(name: str, value: Any) -> bool:
    return isinstance(value, list) and [(f"wait_{state['task_id']}", state["status"]) for state in value] == [
        (name, "done")
    ]


def _unassigned(airflow: Airflow) -> int:
    [(count,)] = airflow.query("SELECT COUNT(*) FROM trigger WHERE triggerer_id IS NULL")
    return int(count)


def _counted(requests: Sequence[Mapping[str, Any]]) -> str:
    counted = Counter(f"{request['operation']} {request['status']}" for request in requests)
    return ", ".join(f"{name} {count}" for name, count in counted.most_common())


def _blocked(log: str) -> str:
    found = blocks(log)
    return f"blocked {len(found)} times, at most {max(found):.1f} s" if found else "never blocked"
