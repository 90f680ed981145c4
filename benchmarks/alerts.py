"""Measure what the alert for a failed task adds to that task in a real Airflow, next to Slack's notifier."""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi

from benchmarks.certificates import make_certificates
from benchmarks.constants import BUSY, FOLDER, OTHERS, RECORD
from benchmarks.post_rounds import connections
from benchmarks.report import Verdict, ratio, table
from benchmarks.server_process import Running, server
from demo.airflow import NotReady
from demo.processes import Process, stop_all
from demo.time_limit import Watch
from tests.system_tests.airflow_server import Airflow, Setting

MOST_OF_SLACK = 1.0

NOTHING, OURS, SLACK = "nothing", "chatwork", "slack"
_SIDES = (NOTHING, OURS, SLACK, OURS + BUSY, SLACK + BUSY)
_SHOWN = {NOTHING: NOTHING, OURS: "provider", SLACK: "slack provider"}
_DAGS = Path(__file__).with_name("dags")
_ROUNDS = 10
# Seconds for everything, and for one run.
_LIMIT = 900.0
_PATIENCE = 120.0
_LOOP = re.compile(r"Ran scheduling loop in ([\d.]+) ms")


@dataclass(frozen=True)
class Alerts:
    """The alerts of one side, a figure for each round; times in seconds.

    :param wall: how long the callback took by the clock, and ``cpu`` of the CPU of the task's process.
    :param import_wall: how long the DAG file took to import and make the notifier, and ``import_cpu`` likewise.
    :param questions: requests of the task's process to its supervisor.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    import_wall: tuple[float, ...]
    import_cpu: tuple[float, ...]
    questions: tuple[int, ...]

    @property
    def whole_wall(self) -> list[float]:
        """Import and callback together, by the clock."""
        return [sum(both) for both in zip(self.wall, self.import_wall, strict=True)]

    @property
    def whole_cpu(self) -> list[float]:
        """Import and callback together, of the CPU."""
        return [sum(both) for both in zip(self.cpu, self.import_cpu, strict=True)]


@dataclass(frozen=True)
class Measured:
    """What was measured.

    :param sides: by the name of the DAG.
    :param runs: how many runs failed on each side.
    :param requests: how many requests the server got, of DAGs that alert Chatwork and of those that alert Slack.
    :param loops: seconds that the scheduler's loops took meanwhile.
    """

    sides: dict[str, Alerts]
    runs: int
    requests: dict[str, int]
    loops: tuple[float, ...]


def measure(environment: Mapping[str, str], folder: Path) -> Measured:
    """Start an Airflow, and let one task fail after the other, in turns.

    :param folder: is made; gets Airflow's home and the logs of its components.
    :raises demo.airflow.NotReady: that Airflow does not run.
    :raises demo.time_limit.Stopped: a signal came.
    :raises demo.time_limit.OutOfTime: it takes far too long.
    """
    records = folder / "records"
    records.mkdir(parents=True)
    certificates = make_certificates(folder)
    # In real life either side reads all the authorities of the world.
    trusted = folder / "trusted.pem"
    trusted.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + certificates.authority.read_bytes())
    env = {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": environment["PYTHONPYCACHEPREFIX"],
        "REQUESTS_CA_BUNDLE": str(trusted),
        "SSL_CERT_FILE": str(trusted),
        FOLDER: str(records),
        # DAG files are parsed once and not in between.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        # How late a supervisor may notice that its task has ended.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow.jobs.scheduler_job_runner.SchedulerJobRunner=DEBUG",
    }
    processes: list[Process] = []
    with server(certificates) as running, Watch(_LIMIT) as watch:
        setting = Setting(Path(sys.executable), _DAGS, env=env, connections=connections(running.origin))
        try:
            airflow = Airflow(setting, folder, processes)
            airflow.prepare()
            airflow.start()
            _until(watch, lambda: not airflow.missing(_SIDES), "Airflow")
            # The first round only compiles what is not compiled yet.
            rounds = [_round(airflow, records, number, watch) for number in range(1 + _ROUNDS)]
        finally:
            watch.ignores_signals = True
            stop_all(processes)
        requests = _requests(running)
    return Measured(
        sides={side: _alerts(one[side] for one in rounds[1:]) for side in _SIDES},
        runs=len(rounds),
        requests=requests,
        loops=tuple(float(ms) / 1000 for ms in _LOOP.findall((folder / "scheduler.log").read_text("utf-8"))),
    )


def _round(airflow: Airflow, records: Path, number: int, watch: Watch) -> dict[str, dict[str, Any]]:
    taken = {}
    # Nobody always comes after the same one.
    first = number % len(_SIDES)
    for side in (*_SIDES[first:], *_SIDES[:first]):
        record = records / f"{side}-{number}.json"
        airflow.trigger([side], conf={RECORD: record.stem})
        _until(watch, record.exists, f"the callback of {side}")
        taken[side] = json.loads(record.read_text("utf-8"))
        # Not while the next one is measured.
        _until(watch, lambda: not airflow.unfinished(), f"the end of {side}")
    return taken


def _until(watch: Watch, condition: Callable[[], object], purpose: str) -> None:
    end = watch.seconds + _PATIENCE
    while not condition():
        watch.pause(0.1, purpose)
        if watch.seconds > end:
            raise NotReady(f"waited for {purpose} in vain, {_PATIENCE:.0f} s long")


def _alerts(taken: Iterable[dict[str, Any]]) -> Alerts:
    figures = [*taken]
    return Alerts(**{name: tuple(one[name] for one in figures) for name in Alerts.__dataclass_fields__})


def _requests(running: Running) -> dict[str, int]:
    counts = {OURS: 0, SLACK: 0}
    for path, seen in running.seen().items():
        counts[OURS if path.startswith("/v2/") else SLACK] += seen["requests"]
    return counts


def report(measured: Measured) -> tuple[str, list[Verdict]]:
    """The table, and which targets are met."""
    sides = measured.sides
    rows = []
    for side, one in sides.items():
        slack = sides[SLACK + BUSY if side.endswith(BUSY) else SLACK]
        rows.append(
            (
                _SHOWN[side.removesuffix(BUSY)],
                str(OTHERS if side.endswith(BUSY) else 0),
                *(f"{statistics.median(times) * 1000:.1f}" for times in (one.cpu, one.wall)),
                *(f"{ratio(*pair):.2f}" for pair in ((one.cpu, slack.cpu), (one.wall, slack.wall))),
                *(f"{statistics.median(times) * 1000:.1f}" for times in (one.whole_cpu, one.whole_wall)),
                f"{ratio(one.whole_cpu, slack.whole_cpu):.2f}",
                f"{ratio(one.whole_wall, slack.whole_wall):.2f}",
                f"{statistics.median(one.questions):.0f}",
            )
        )
    header = (
        *("notifier", "others", "CPU ms", "ms", "CPU/slack", "ms/slack"),
        *("+import: CPU ms", "ms", "CPU/slack", "ms/slack", "to Airflow"),
    )
    return table(header, rows), [*_verdicts(measured)]


def _verdicts(measured: Measured) -> Iterable[Verdict]:
    for busy, where in (("", "in a run of one task"), (BUSY, "while other tasks are running")):
        ours, slack = measured.sides[OURS + busy], measured.sides[SLACK + busy]
        callback = ratio(ours.cpu, slack.cpu), ratio(ours.wall, slack.wall)
        whole = ratio(ours.whole_cpu, slack.whole_cpu), ratio(ours.whole_wall, slack.whole_wall)
        for what, shares in (("callback", callback), ("import and callback", whole)):
            yield Verdict(
                f"{what} at most {MOST_OF_SLACK} of slack's CPU and wall time, {where}",
                max(shares) <= MOST_OF_SLACK,
                " and ".join(f"{share:.2f}" for share in shares),
            )
    # Those of the busy runs too.
    expected = 2 * measured.runs
    sent = ", ".join(f"{measured.requests[side]} for {expected}" for side in (OURS, SLACK))
    once = all(measured.requests[side] == expected for side in (OURS, SLACK))
    yield Verdict("one request for one failure, ours and slack's", once, sent)
