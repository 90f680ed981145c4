"""What can be observed of waits in Airflow's database, in its logs and in the rooms."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.system_tests.airflow_server import Airflow

ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")
_REMINDER = re.compile(r"^リマインド (\d+) 回目[^:]*: \S+/#!rid(\d+-\d+)$", re.MULTILINE)
_WITHDRAWAL = re.compile(r"^依頼の取り下げ: \S+/#!rid(\d+-\d+)$", re.MULTILINE)
_PROCESS = re.compile(r"Workload finished .*\bworkload_id=([\da-f-]+)")
_BLOCKED = re.compile(r"async thread was blocked for ([\d.]+) seconds")


@dataclass(frozen=True)
class Instance:
    """A task instance. ``began`` and ``ended`` are Unix time."""

    state: str | None
    tries: int
    began: float | None
    ended: float | None


def instances(airflow: Airflow, dag_id: str) -> dict[str, Instance]:
    """The task instances of the only run of a DAG, or of several, with ``%`` for a part of their names."""
    rows = airflow.query(
        "SELECT task_id, state, try_number, start_date, end_date FROM task_instance WHERE dag_id LIKE ?", (dag_id,)
    )
    return {task_id: Instance(state, tries, unix(began), unix(ended)) for task_id, state, tries, began, ended in rows}


def unix(moment: object) -> float | None:
    """The Unix time of what a database has: a datetime, or text on SQLite."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if not isinstance(moment, datetime):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def results(airflow: Airflow, dag_id: str) -> dict[str, Any]:
    """What the tasks of a DAG have returned, or of several, with ``%`` for a part of their names."""
    rows = airflow.query("SELECT task_id, value FROM xcom WHERE dag_id LIKE ? AND key = 'return_value'", (dag_id,))
    return {task_id: json.loads(value) if isinstance(value, str) else value for task_id, value in rows}


def processes(airflow: Airflow, dag_id: str) -> dict[str, int]:
    """How many processes of workers have ended for each task of a DAG, or of several, as in the scheduler's log."""
    rows = airflow.query("SELECT id, task_id FROM task_instance WHERE dag_id LIKE ?", (dag_id,))
    ended = ended_processes(airflow.log_of("scheduler"))
    return {task_id: ended[str(instance).replace("-", "")] for instance, task_id in rows}


def ended_processes(log: str) -> Counter[str]:
    """How many processes of workers have ended for each task instance, by its id without dashes."""
    # Not the line for each end that the scheduler takes note of: of two at a time it sees one.
    return Counter(instance.replace("-", "") for instance in _PROCESS.findall(log))


def noted_ends(log: str, dag_id: str) -> set[str]:
    """The tasks of a DAG, or of several, of which the scheduler has taken note that a process has ended.

    What goes on before that looks like a violent end of that process.
    """
    dags = dag_id.replace("%", r"\w*")
    return {*re.findall(rf"TaskInstance Finished: dag_id={dags}, task_id=(\w+),", log)}


def blocks(log: str) -> list[float]:
    """For how many seconds each the event loop of a triggerer was blocked, as in its log."""
    return [float(seconds) for seconds in _BLOCKED.findall(log)]


def reminders(messages: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, int]]:
    """How often each reminder was posted: by the link to the task, and the reminder's number."""
    found: Counter[tuple[str, int]] = Counter()
    for message in messages:
        found.update((place, int(number)) for number, place in _REMINDER.findall(message["body"]))
    return found


def withdrawals(messages: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How many messages say that a task was withdrawn, by the link to the task."""
    return Counter(place for message in messages for place in _WITHDRAWAL.findall(message["body"]))


def calls_alone(waits: Iterable[Instance], interval: float) -> int:
    """How many calls waits would have made, had each asked for itself: one a look."""
    return sum(int((wait.ended - wait.began) // interval) + 1 for wait in waits if wait.began and wait.ended)
