"""An Airflow of any supported version. Every component is a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from cryptography.fernet import Fernet

from demo.airflow import COMPONENTS, NotReady, environment, free_port, noted_end
from demo.processes import Process, kill
from tests.system_tests.database import Kind, choose

ROOT = Path(__file__).resolve().parents[2]
_ENDED = ("success", "failed")
#: How soon Airflow notices what has died, in seconds; by default it takes five minutes.
_HEARTBEAT = "2"
_PATIENCE = "20"


@dataclass(frozen=True)
class Setting:
    """What an Airflow is like.

    :param python: the interpreter of its environment.
    :param dags: the folder of its DAGs.
    :param env: more environment variables of its components.
    :param connections: in its database, by id, as ``airflow connections import`` wants them.
    :param parallelism: how many tasks run at a time.
    :param database: what it is to run on; without a PostgreSQL on this machine, it is SQLite.
    :param triggerers: how many there are: ``triggerer``, ``triggerer-2`` and so on.
    """

    python: Path
    dags: Path
    env: Mapping[str, str] = field(default_factory=dict)
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parallelism: int = 4
    database: Kind = Kind.SQLITE
    triggerers: int = 1

    @property
    def version(self) -> str:
        """Its version, as ``3.3.2``."""
        ask = "from importlib.metadata import version; print(version('apache-airflow-core'))"
        older = ask.replace("airflow-core", "airflow")
        for question in (ask, older):
            answer = subprocess.run([self.python, "-c", question], capture_output=True, text=True, check=False)
            if answer.returncode == 0:
                return answer.stdout.strip()
        raise NotReady(f"{self.python} has no Airflow")


class Airflow:
    """A whole Airflow: start it with ``prepare``, ``start``, and end it with ``demo.processes.stop_all``.

    :param setting: what it is like.
    :param folder: where its home and the logs of its components go.
    :param processes: gets its processes.
    """

    def __init__(self, setting: Setting, folder: Path, processes: list[Process]) -> None:
        self.setting = setting
        self.version = tuple(int(part) for part in setting.version.split(".")[:2])
        self.home = folder / "airflow"
        #: What it runs on.
        self.database = choose(setting.database, setting.python, self.version, folder, self.home)
        self._folder = folder
        self._processes = processes
        self._own: dict[str, Process] = {}
        self._logs: dict[str, Path] = {}
        self._key = Fernet.generate_key()
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._http = httpx.Client(base_url=f"{self.address}/api/v2", trust_env=False, timeout=30)
        self.env = self._environment(port)

    def _environment(self, port: int) -> dict[str, str]:
        binaries = self.setting.python.parent
        env = environment(self.home, port)
        path = os.pathsep.join([str(binaries), *env["PATH"].split(os.pathsep)[1:]])
        return env | {
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AIRFLOW__API__WORKERS": "1",
            # Airflow 3.0 has no issuer by default, which newer versions of PyJWT refuse.
            "AIRFLOW__API_AUTH__JWT_ISSUER": "system-tests",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.setting.dags),
            "AIRFLOW__CORE__FERNET_KEY": self._key.decode(),
            "AIRFLOW__CORE__PARALLELISM": str(self.setting.parallelism),
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(self.setting.parallelism),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": _HEARTBEAT,
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": _PATIENCE,
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": _HEARTBEAT,
            # What these are called on Airflow 2.
            "AIRFLOW__SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": _HEARTBEAT,
            "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": _PATIENCE,
            "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": _HEARTBEAT,
            "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "10",
            "AIRFLOW__WEBSERVER__BASE_URL": f"http://127.0.0.1:{port}",
            **self.database.env,
            **self.setting.env,
        }

    def prepare(self) -> None:
        """Make the database, with the connections in it. Takes some 20 seconds.

        :raises NotReady: it could not be made.
        """
        self.home.mkdir(parents=True)
        self.database.start(self._processes)
        self.run("db", "migrate")
        if self.setting.connections:
            file = self._folder / "connections.json"
            file.write_text(json.dumps(self.setting.connections), "utf-8")
            self.run("connections", "import", str(file))

    def run(self, *arguments: str) -> None:
        """Run an ``airflow`` command to its end.

        :raises NotReady: it failed.
        """
        done = subprocess.run(
            [self._command, *arguments], env=self.env, cwd=self._folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotReady(f"airflow {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def start(self) -> None:
        """Start the components; ``missing`` says what is not up yet."""
        for name in self.components:
            self.start_one(name)

    @property
    def components(self) -> list[str]:
        """What its components are called."""
        # The scheduler of Airflow 2 reads the DAGs itself, and nobody looks at its web page.
        plain = [name for name in (COMPONENTS if self.version >= (3, 0) else ["scheduler"]) if name != "triggerer"]
        return [*plain, *(f"triggerer-{number}" if number > 1 else "triggerer" for number in self._triggerers)]

    @property
    def _triggerers(self) -> range:
        return range(1, self.setting.triggerers + 1)

    def start_one(self, name: str) -> None:
        """Start a component, the first time or once more after :meth:`kill`.

        :param name: one of :attr:`components`.
        """
        command = re.sub(r"-\d+$", "", name)
        process = Process(name, [self._command, command, *COMPONENTS[command]], self._folder, self.env)
        self._own[name] = process
        self._logs[name] = process.log
        self._processes.append(process)

    def kill(self, name: str) -> None:
        """End a component and all who descend from it with SIGKILL, as if its machine had failed.

        :param name: one of :attr:`components`.
        """
        process = self._own.pop(name)
        kill(process)
        # Its number may be another one's from now on.
        self._processes.remove(process)

    def freeze(self, name: str) -> None:
        """Let a component and all who descend from it stand still, as its machine may, until :meth:`thaw`.

        :param name: one of :attr:`components`.
        """
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a component that stands still go on.

        :param name: one of :attr:`components`.
        """
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        for member in self._own[name].family():
            member.send_signal(number)

    def missing(self, dag_ids: Iterable[str]) -> list[str]:
        """Return what is not up yet: components, and DAGs that have not been read.

        :raises NotReady: a component has ended, or a DAG file could not be read.
        """
        self.check_alive()
        if errors := self.query("SELECT filename, stacktrace FROM import_error"):
            raise NotReady("\n".join(f"{name} cannot be read:\n{trace}" for name, trace in errors))
        known = {dag_id for (dag_id,) in self.query("SELECT dag_id FROM serialized_dag")}
        return [*self._not_healthy(), *sorted({*dag_ids} - known)]

    def _not_healthy(self) -> list[str]:
        if self.version < (3, 0):
            return []
        try:
            health = self._http.get("/monitor/health").raise_for_status().json()
        except httpx.HTTPError:
            return ["api-server"]
        return [name for name in ("scheduler", "dag_processor", "triggerer") if health[name]["status"] != "healthy"]

    def check_alive(self) -> None:
        """Check that every component is still there.

        :raises NotReady: one has ended.
        """
        for process in self._own.values():
            if process.status is not None:
                raise NotReady(f"{process.name} ended with status {process.status}: see {process.log}")

    def trigger(self, dag_ids: Iterable[str], conf: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Let DAGs run, and return the ids of the runs by DAG."""
        now = datetime.now(UTC).isoformat()
        if self.version < (3, 0):
            orders = {dag_id: {"run_id": f"manual__{now}", "conf": conf} for dag_id in dag_ids}
            command = [self.setting.python, "-m", "tests.system_tests.trigger_dags_airflow2", json.dumps(orders)]
            subprocess.run(command, env=self.env, cwd=self._folder, capture_output=True, check=True)
            return {dag_id: str(order["run_id"]) for dag_id, order in orders.items()}
        started = {}
        for dag_id in dag_ids:
            order = {"logical_date": now, "conf": dict(conf or {})}
            started[dag_id] = str(self.ask("POST", f"/dags/{dag_id}/dagRuns", order)["dag_run_id"])
        return started

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the REST API, which Airflow 2 has not started here."""
        repeated = False
        for pause in (1, 2, 4, 0):
            answer = self._http.request(method, path, json=body)
            if answer.status_code == 401:
                # Only from Airflow 3.2 on, everyone is let in where all are administrators.
                token = self._http.get(f"{self.address}/auth/token").raise_for_status().json()["access_token"]
                self._http.headers["Authorization"] = f"Bearer {token}"
                continue
            # On SQLite, many writers at a time get a "database is locked" now and then.
            if answer.status_code != 500:
                break
            time.sleep(pause)
            repeated = True
        # What failed with an error may have been done all the same.
        if answer.is_error and not (repeated and answer.status_code == 409):
            raise NotReady(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    @property
    def component_logs(self) -> list[Path]:
        """What the components have printed."""
        return [*self._logs.values()]

    def log_of(self, name: str) -> str:
        """What a component has printed.

        :param name: one of :attr:`components`.
        """
        return self._logs[name].read_text("utf-8", "replace")

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Ask the database for rows. What stands for a parameter is a ``?``."""
        return self.database.query(sql, parameters)

    def variable(self, name: str) -> Any:
        """Return what a Variable holds, as JSON has it; ``None`` where there is none."""
        rows = self.query("SELECT val, is_encrypted FROM variable WHERE key = ?", (name,))
        for value, encrypted in rows:
            return json.loads(Fernet(self._key).decrypt(value.encode()) if encrypted else value)
        return None

    def has_seen_end(self, dag_id: str, task_id: str) -> bool:
        """Whether the scheduler knows that a process of a task has ended: the last one, or one that has parked it."""
        return noted_end(self.log_of("scheduler"), dag_id, task_id)

    def unfinished(self) -> list[str]:
        """Return the DAGs with a run that has not ended."""
        return [dag for dag, state in self.query("SELECT dag_id, state FROM dag_run") if state not in _ENDED]

    def task_states(self, dag_id: str) -> dict[str, str | None]:
        """Return the state of each task of a DAG, of the last run."""
        rows = self.query(
            "SELECT task_id, map_index, ti.state FROM task_instance ti JOIN dag_run r USING (dag_id, run_id)"
            " WHERE dag_id = ? ORDER BY r.id",
            (dag_id,),
        )
        return {task_id if map_index < 0 else f"{task_id}[{map_index}]": state for task_id, map_index, state in rows}

    @property
    def _command(self) -> str:
        return str(self.setting.python.with_name("airflow"))
