"""What can be observed after a run: rooms, sent requests, task states and logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from demo.sandbox import SandboxServer
from tests.system_tests.airflow_server import Airflow
from tests.system_tests.alerts.rooms import ROOMS


@dataclass(frozen=True)
class Sent:
    """A request that was answered.

    :param body: the message, where it has one.
    """

    operation: str
    status: int | None
    body: str
    fault: str | None = None

    @property
    def calls(self) -> bool:
        """Whether somebody hears of it: an edit makes no sound."""
        return self.operation == "post_message" and self.status == 200 and "[To:" in self.body


@dataclass(frozen=True)
class Room:
    """A room at the end.

    :param messages: what is to be read in it, of the provider's.
    :param sent: all that was sent to it, in order.
    """

    name: str
    messages: list[str]
    sent: list[Sent]

    def done(self, operation: str) -> list[str]:
        """The bodies of the requests of an operation that were carried out."""
        return [sent.body for sent in self.sent if sent.operation == operation and sent.status == 200]


@dataclass
class Evidence:
    """A look at everything, at one moment.

    :param run_states: the states of all runs of a DAG, oldest first.
    :param task_states: the state of each task, of the last run.
    :param tries: how often each of these was tried.
    :param logs: Airflow's folders of logs.
    """

    version: tuple[int, ...]
    rooms: dict[str, Room]
    run_states: dict[str, list[str]]
    task_states: dict[str, dict[str, str | None]]
    tries: dict[str, dict[str, int]]
    logs: list[Path]
    requests: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @cached_property
    def lost(self) -> list[tuple[Path, str]]:
        """Every line of a log that says that an alert was lost, with its file."""
        return [*find_in_logs(self.logs, re.compile(r"Chatwork alert (?:perhaps )?lost"))]

    def lost_of(self, dag_id: str, task_id: str = "") -> list[str]:
        """The lines of lost alerts of a DAG, or of a task of it: those in its own log."""
        found = [(path, line) for path, line in self.lost if re.search(rf"\b{dag_id}\b", line)]
        if task_id:
            found = [(path, line) for path, line in found if f"task_id={task_id}" in path.parts]
        return list(dict.fromkeys(line for _, line in found))


def look(airflow: Airflow, sandbox: SandboxServer) -> Evidence:
    """Look at everything."""
    state, log = sandbox.read("state"), sandbox.read("requests")
    seen = {room["room_id"]: room["messages"] for room in state["rooms"]}
    sent: dict[int, list[Sent]] = {room_id: [] for room_id in ROOMS.values()}
    refused = []
    for record in log:
        found = re.match(r"/rooms/(\d+)", record["path"])
        if found and int(found[1]) in sent:
            body = record["form"].get("body", "")
            sent[int(found[1])].append(Sent(record["operation"], record["status"], body, record["fault"]))
        if record["status"] == 429:
            refused.append(f"{record['method']} {record['path']}")
    rooms = {
        name: Room(name, [message["body"] for message in seen[room_id] if _is_to_be_read(message)], sent[room_id])
        for name, room_id in ROOMS.items()
    }
    rows = airflow.query(
        "SELECT dag_id, task_id, map_index, ti.state, try_number FROM task_instance ti"
        " JOIN dag_run r USING (dag_id, run_id) ORDER BY r.id"
    )
    states: dict[str, dict[str, str | None]] = {}
    tries: dict[str, dict[str, int]] = {}
    for dag_id, task_id, index, task_state, number in rows:
        name = task_id if index < 0 else f"{task_id}[{index}]"
        states.setdefault(dag_id, {})[name] = task_state
        tries.setdefault(dag_id, {})[name] = number
    runs: dict[str, list[str]] = {}
    for dag_id, run_state in airflow.query("SELECT dag_id, state FROM dag_run ORDER BY id"):
        runs.setdefault(dag_id, []).append(run_state)
    logs = [airflow.home / "logs", *airflow.component_logs]
    return Evidence(airflow.version, rooms, runs, states, tries, logs, log, refused)


def _is_to_be_read(message: Mapping[str, Any]) -> bool:
    return not (message["system"] or message["deleted"])


def find_in_logs(places: list[Path], wanted: re.Pattern[str]) -> Iterator[tuple[Path, str]]:
    """Return the lines that hold something, with their files."""
    for place in places:
        for path in sorted(place.rglob("*.log")) if place.is_dir() else [place]:
            for line in path.read_text("utf-8", "replace").splitlines():
                if wanted.search(line):
                    yield path, line
