"""A sandbox and an Airflow side by side, and what users do in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from demo.output import say
from demo.processes import Process, stop_all
from demo.sandbox import SandboxServer
from demo.time_limit import Watch
from tests.system_tests import postgres
from tests.system_tests.airflow_server import Airflow


class Sandbox(SandboxServer):
    """A sandbox with a control API."""

    def order(self, name: str, **given: Any) -> Any:
        """Give an order, as the sandbox's control describes them, and return what it answers."""
        return self._http.post(f"{self.address}/sandbox/{name}", json=given).raise_for_status().json()


def start_sandbox(folder: Path, processes: list[Process], watch: Watch) -> Sandbox:
    """Start a sandbox and wait for it."""
    sandbox = Sandbox(folder, processes)
    watch.until(sandbox.ready, lambda: "the sandbox")
    return sandbox


def start_airflow(airflow: Airflow, dag_ids: Iterable[str], watch: Watch) -> None:
    """Start an Airflow and wait until it has read these DAGs.

    :raises NotReady: it does not run.
    """
    wanted = [*dag_ids]
    airflow.prepare()
    watch.report(f"Airflow {airflow.setting.version} has a database: {airflow.database.title}")
    airflow.start()
    missing = wanted

    def up() -> bool:
        nonlocal missing
        missing = airflow.missing(wanted)
        return not missing

    watch.until(up, lambda: f"{len(missing)}: {', '.join(missing[:4])}")
    watch.report(f"it has read all {len(wanted)} DAGs")


def stop(processes: list[Process]) -> None:
    """End everything: a database after those who use it, which then need not wait for it in vain."""
    databases = [process for process in processes if process.name == postgres.NAME]
    stop_all([process for process in processes if process not in databases])
    stop_all(databases)


def show_addresses(airflow: Airflow, sandbox: Sandbox) -> None:
    """Print where to look on in a browser."""
    if airflow.version >= (3, 0):
        say(f"Airflow  {airflow.address}")
    say(f"Sandbox  {sandbox.address}")


def mark(airflow: Airflow, dag_id: str, run_id: str, task_id: str, state: str) -> None:
    """Say how a task has ended, as a person does."""
    airflow.ask("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", {"new_state": state})


def clear(airflow: Airflow, dag_id: str, run_id: str, task_id: str) -> None:
    """Clear a task, as a person does."""
    order = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
    airflow.ask("POST", f"/dags/{dag_id}/clearTaskInstances", order)


def answer(airflow: Airflow, dag_id: str, run_id: str, task_id: str, option: str) -> None:
    """Answer what a task asks, as a person does."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
    airflow.ask("PATCH", path, {"chosen_options": [option], "params_input": {}})
