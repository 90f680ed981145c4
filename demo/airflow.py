"""The demo's Airflow: every component is a process, uses SQLite and listens on this machine only."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx

from demo.output import say
from demo.processes import Process

ROOT = Path(__file__).resolve().parent.parent

# ``airflow standalone`` starts the same four. Their log servers are left out: they would listen to the whole network,
# and with everything on one machine nobody needs them.
COMPONENTS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
#: What the health check calls them.
_HEALTH = {"scheduler": "scheduler", "dag_processor": "dag-processor", "triggerer": "triggerer"}


#: How many lines of a log are printed.
_LINES = 40


class NotReady(Exception):
    """The demo cannot go on; says why, and where to look."""


class AirflowServer:
    """A whole Airflow with the example DAGs.

    :param folder: where its home and the logs of its components go.
    :param processes: gets its processes.
    """

    def __init__(self, folder: Path, processes: list[Process]) -> None:
        self.home = folder / "airflow"
        self._folder = folder
        self._port = free_port()
        self._env = environment(self.home, self._port)
        self._processes = processes
        self._own: list[Process] = []
        self.address = f"http://127.0.0.1:{self._port}"
        self._http = httpx.Client(base_url=f"{self.address}/api/v2", trust_env=False, timeout=30)

    def make_database(self) -> None:
        """Begin to make the database; ``database_ready`` says when that is done."""
        self._start("database", "db", "migrate")

    def database_ready(self) -> bool:
        """Whether there is a database.

        :raises NotReady: it could not be made.
        """
        process = self._own[0]
        if process.status:
            raise NotReady(f"Airflow could not make its database: see {process.log}")
        return process.status == 0

    def start(self) -> None:
        """Start the components."""
        self._own.clear()
        for name, options in COMPONENTS.items():
            self._start(name, name, *options)

    def _start(self, name: str, *arguments: str) -> None:
        process = Process(name, [str(airflow_command()), *arguments], self._folder, self._env)
        self._own.append(process)
        self._processes.append(process)

    def not_up(self) -> list[str]:
        """Return what is not up yet.

        :raises NotReady: one has ended.
        """
        self.check_alive()
        try:
            health = self._http.get("/monitor/health").raise_for_status().json()
        except httpx.HTTPError:
            return ["api-server"]
        return [name for key, name in _HEALTH.items() if health[key]["status"] != "healthy"]

    def check_alive(self) -> None:
        """Check that every component is still there.

        :raises NotReady: one has ended.
        """
        for process in self._own:
            if process.status is not None:
                raise NotReady(f"Airflow's {process.name} ended with status {process.status}: see {process.log}")

    def connect(self, conn_id: str, host: str, password: str) -> None:
        """Add a Chatwork connection, as the form does."""
        form = {"connection_id": conn_id, "conn_type": "chatwork", "host": host, "password": password}
        self._http.post("/connections", json=form).raise_for_status()

    def has_dags(self, *dag_ids: str) -> bool:
        """Whether these DAGs have been read.

        :raises NotReady: a DAG file could not be read.
        """
        if errors := self.get("/importErrors")["import_errors"]:
            raise NotReady(
                "\n".join(f"{error['filename']} cannot be read:\n{error['stack_trace']}" for error in errors)
            )
        return {dag["dag_id"] for dag in self.get("/dags")["dags"]} >= {*dag_ids}

    def trigger(self, dag_id: str) -> str:
        """Let a DAG run, and return the id of the run."""
        self._http.patch(f"/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
        started = self._http.post(f"/dags/{dag_id}/dagRuns", json={"logical_date": None}).raise_for_status().json()
        return str(started["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        found: list[dict[str, Any]] = self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return found

    def has_noted_end(self, dag_id: str, task_id: str) -> bool:
        """Whether the scheduler has noted that a process of a task has ended, for example one that deferred it."""
        return noted_end(self._log("scheduler"), dag_id, task_id)

    def _log(self, name: str) -> str:
        return next(process.log for process in self._own if process.name == name).read_text("utf-8", "replace")

    def show_logs(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Print the last lines about a task in the logs of the scheduler and of the task."""
        lines = [line for line in self._log("scheduler").splitlines() if dag_id in line and task_id in line]
        say(f"\n--- {dag_id}.{task_id} in the scheduler's log")
        say("\n".join(lines[-_LINES:]))
        for log in sorted((self.log_folder(dag_id, run_id) / f"task_id={task_id}").rglob("*.log")):
            say(f"\n--- {log}")
            say("\n".join(log.read_text("utf-8", "replace").splitlines()[-_LINES:]))

    def get(self, path: str) -> Any:
        """Ask the REST API."""
        return self._http.get(path).raise_for_status().json()

    def log_folder(self, dag_id: str, run_id: str) -> Path:
        """Where the logs of a run's tasks are."""
        return self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"

    def show_ended_processes(self) -> None:
        """Print the last lines of components that have ended."""
        for process in self._own:
            if process.status not in (None, 0):
                lines = process.log.read_text("utf-8", "replace").splitlines()[-15:]
                say(f"\nThe last lines of {process.log}:")
                say("\n".join(f"  {line}" for line in lines))


def noted_end(scheduler_log: str, dag_id: str, task_id: str) -> bool:
    """Whether the scheduler has noted that a process of a task has ended."""
    return f"TaskInstance Finished: dag_id={dag_id}, task_id={task_id}," in scheduler_log


def airflow_command() -> Path:
    """Return the ``airflow`` that belongs to this Python."""
    return Path(sys.executable).with_name("airflow")


def check_environment() -> None:
    """Check that this Python has what the demo needs.

    :raises NotReady: it has not.
    """
    known = {entry.dist.name for entry in metadata.entry_points(group="apache_airflow_provider") if entry.dist}
    if not airflow_command().exists() or "airflow-provider-chatwork" not in known:
        raise NotReady(f"{sys.executable} has no Airflow with this provider installed: use `make demo`")


def environment(home: Path, port: int) -> dict[str, str]:
    """Return the environment of the components: this process's own, without what it says about another Airflow."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("AIRFLOW")}
    local = "127.0.0.1,localhost"
    return kept | {
        # The components start each other, and Python's own search for its modules, by name.
        "PATH": f"{airflow_command().parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "no_proxy": local,
        "NO_PROXY": local,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        return int(listener.getsockname()[1])
