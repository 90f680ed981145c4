"""``python -m tests.system_tests record``: write down what every kind of callback gets."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

from demo.processes import Process
from demo.time_limit import Watch
from tests.system_tests.airflow_server import ROOT, Airflow, Setting
from tests.system_tests.cluster import answer, mark, start_airflow
from tests.system_tests.constants import FOLDER

DAGS = Path(__file__).with_name("dags")
TARGET = ROOT / "tests" / "notifications" / "recorded"
#: Seconds without anything new after the last run has ended.
_QUIET = 40.0
#: Recordings of one kind.
_KEPT = 3

_EVERYWHERE = ("tasks", "killed", "run_succeeds", "run_fails", "run_times_out", "run_never_starts", "run_empty")
#: DAGs by the Airflow they need.
_SINCE = {
    (3, 0): ("marked",),
    (3, 1): ("deadline_async", "asks"),
    # There is a SyncCallback in 3.2 already, whose end is the end of the scheduler with it, on SQLite.
    (3, 3): ("deadline_sync",),
}
_CONNECTION = {"conn_type": "chatwork", "host": "http://127.0.0.1:9/v2", "password": "not-a-real-token"}


def record(python: Path, folder: Path, processes: list[Process], watch: Watch) -> Path:
    """Let every callback happen on an Airflow, and return the file that says what each of them got.

    :param python: the interpreter of that Airflow's environment.
    :raises NotReady: that Airflow does not run.
    """
    recordings = folder / "recordings"
    recordings.mkdir()
    env = {
        FOLDER: str(recordings),
        "AIRFLOW_CONN_REHEARSAL_ENV": json.dumps(_CONNECTION),
        # A callback that asks what is never answered takes its time.
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
        "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "600",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "3",
        "AIRFLOW__CORE__DAG_FILE_PROCESSOR_TIMEOUT": "300",
        "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "3",
    }
    setting = Setting(python, DAGS, env=env, connections={"system_test_db": _CONNECTION}, parallelism=10)
    airflow = Airflow(setting, folder, processes)
    watch.report(f"Airflow {setting.version} in {folder}")
    wanted = [*_EVERYWHERE, *(name for since, names in _SINCE.items() if airflow.version >= since for name in names)]
    start_airflow(airflow, wanted, watch)
    # One that has another before it.
    airflow.trigger(["run_fails"])
    runs = airflow.trigger(wanted, conf={"region": "大阪"})
    watch.report("triggered all DAGs")
    _follow(airflow, runs, recordings, watch)
    version = ".".join(map(str, airflow.version))
    target = TARGET / f"{version}.json"
    found = collect(recordings, Cleaner(airflow, folder))
    target.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")
    for dag_id in wanted:
        watch.report(f"{dag_id}: {airflow.task_states(dag_id)}")
    watch.report(f"{len(found)} recordings in {target}: {', '.join(found)}")
    return target


def _follow(airflow: Airflow, runs: dict[str, str], recordings: Path, watch: Watch) -> None:
    """Wait until all runs have ended and their callbacks with them; do what people do meanwhile."""
    done: set[str] = set()
    quiet_since = [watch.seconds, 0]

    def ended() -> bool:
        airflow.check_alive()
        if airflow.version >= (3, 0):
            _act_as_people(airflow, runs, done, watch)
        # Of what is late over and over, the first call is enough.
        count = sum(not file.name.startswith("sla.") for file in recordings.glob("*.json"))
        open_ = [dag for dag in airflow.unfinished() if dag in runs]
        if open_ or count != quiet_since[1] or _sla_open(airflow, recordings):
            quiet_since[:] = [watch.seconds, count]
        return watch.seconds - quiet_since[0] > _QUIET

    watch.until(ended, lambda: f"{airflow.unfinished()}, {len([*recordings.glob('*.json')])} recordings")


def _sla_open(airflow: Airflow, recordings: Path) -> bool:
    return airflow.version < (3, 0) and not [*recordings.glob("sla.*.json")]


def _act_as_people(airflow: Airflow, runs: dict[str, str], done: set[str], watch: Watch) -> None:
    for task_id, state in {**airflow.task_states("marked"), **airflow.task_states("asks")}.items():
        if task_id in done:
            continue
        if task_id.startswith("marked_") and state == "running":
            done.add(task_id)
            # So that the process is there, and not only promised.
            watch.pause(5)
            mark(airflow, "marked", runs["marked"], task_id, task_id.removeprefix("marked_"))
        # An answer before the scheduler has seen the end of the asking process is taken for the task's violent end.
        parked = state in ("awaiting_input", "deferred")
        if task_id == "approve" and parked and airflow.has_seen_end("asks", "approve"):
            done.add(task_id)
            answer(airflow, "asks", runs["asks"], "approve", "締める")


class Cleaner:
    """Takes out of recordings what belongs to this machine only."""

    def __init__(self, airflow: Airflow, folder: Path) -> None:
        environment = airflow.setting.python.parent.parent
        self._names = {
            airflow.address: "https://airflow.example",
            str(airflow.home): "/opt/airflow",
            str(folder): "/opt",
            str(environment): "/opt/python",
            str(ROOT): "/opt/project",
            socket.getfqdn(): "worker-1",
            socket.gethostname(): "worker-1",
        }

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        for name, instead in self._names.items():
            text = text.replace(name, instead)
        return re.sub(r"0x[0-9a-f]{6,}", "0x1", text)


def collect(recordings: Path, clean: Cleaner) -> dict[str, Any]:
    """Return the recordings by kind; the second of a kind is called ``kind#2``."""
    found: dict[str, Any] = {}
    for file in sorted(recordings.glob("*.json"), key=_when):
        entry = json.loads(clean(file.read_text("utf-8")))
        del entry["at"]
        kind = entry["kind"]
        number = 1 + sum(name.split("#")[0] == kind for name in found)
        if number <= _KEPT:
            found[kind if number == 1 else f"{kind}#{number}"] = entry
    return dict(sorted(found.items()))


def _when(recording: Path) -> float:
    # kind.seconds.fraction.json, and a kind has dots of its own.
    return float(".".join(recording.stem.split(".")[-2:]))
