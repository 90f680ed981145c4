"""What happens to the Chatwork task when the Airflow task that waits for it is ended."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil

from demo.time_limit import Watch
from tests.system_tests.airflow_server import Airflow
from tests.system_tests.cluster import Sandbox, clear, mark
from tests.system_tests.waits.check_results import Finding, each
from tests.system_tests.waits.deferral_race import Parking
from tests.system_tests.waits.fixtures import ENDINGS, EVERY, GIVEN_UP, KILLED_WORKERS, WORKER_ENDINGS, room
from tests.system_tests.waits.observations import instances, withdrawals

_STATES = {"marked_failed": "failed", "marked_success": "success", "cleared": "success"}


def cancel_in_triggerer(airflow: Airflow, sandbox: Sandbox, watch: Watch) -> list[Finding]:
    """Let a DAG wait without workers, let a user end each of its waits in another way, and return what was found."""
    [run_id] = airflow.trigger([GIVEN_UP]).values()
    parking = Parking(airflow, watch, GIVEN_UP)

    def states() -> dict[str, str | None]:
        airflow.check_alive()
        return {name: instance.state for name, instance in instances(airflow, GIVEN_UP).items()}

    def parked() -> bool:
        found = states()
        logs = (airflow.home / "logs" / f"dag_id={GIVEN_UP}").rglob("*.log.trigger.*.log")
        # A triggerer that has not begun a wait does not notice its end.
        begun = sum("starting" in log.read_text("utf-8", "replace") for log in logs)
        waiting = len(found) == begun == len(ENDINGS) and {*found.values()} == {"deferred"}
        return waiting and parking.is_over(found)

    def is_reported() -> bool:
        return all(_withdrawals(sandbox, GIVEN_UP).values())

    watch.until(parked, lambda: f"{states()}")
    first = {task["body"]: task["task_id"] for task in _tasks(sandbox, GIVEN_UP)}
    watch.report(f"{GIVEN_UP}: all of it waits")
    mark(airflow, GIVEN_UP, run_id, "marked_failed", "failed")
    mark(airflow, GIVEN_UP, run_id, "marked_success", "success")
    clear(airflow, GIVEN_UP, run_id, "cleared")
    watch.until(
        lambda: is_reported() and len(_tasks(sandbox, GIVEN_UP)) > len(ENDINGS),
        lambda: "the withdrawals and another task",
    )
    second = [task for task in _tasks(sandbox, GIVEN_UP) if task["task_id"] not in first.values()]
    watch.until(lambda: not _open(sandbox, first), lambda: "the tasks to be closed")
    left = [task["task_id"] for task in second if task["status"] != "open"]
    for task in second:
        sandbox.complete_task(room(GIVEN_UP, "tasks"), task["task_id"])
    watch.until(lambda: states() == _STATES, lambda: f"{states()}")
    said = _withdrawals(sandbox, GIVEN_UP)
    again = f"{len(second)} given anew" if len(second) != 1 or left else ""
    return [
        each(GIVEN_UP, "the task was withdrawn, with one message", said, lambda _, times: times == 1, 3),
        Finding(
            GIVEN_UP, "what was cleared was given anew, and waited for", "1 task", again and f"{again}; done: {left}"
        ),
    ]


def cancel_in_worker(airflow: Airflow, sandbox: Sandbox, watch: Watch) -> list[Finding]:
    """Let a DAG wait in workers, stop one with SIGTERM, mark the other task as failed, and return the findings."""
    [run_id] = airflow.trigger([KILLED_WORKERS]).values()

    def states() -> dict[str, str | None]:
        airflow.check_alive()
        return {name: instance.state for name, instance in instances(airflow, KILLED_WORKERS).items()}

    def waiting() -> bool:
        return len(_tasks(sandbox, KILLED_WORKERS)) == len(WORKER_ENDINGS) and {*states().values()} == {"running"}

    watch.until(waiting, lambda: f"{states()}")
    watch.pause(EVERY, "the first polls of the workers")
    query = "SELECT task_id, pid FROM task_instance WHERE dag_id = ?"
    pids = {task_id: int(pid) for task_id, pid in airflow.query(query, (KILLED_WORKERS,))}
    running = {task_id: psutil.Process(pid) for task_id, pid in pids.items()}
    watch.report(f"{KILLED_WORKERS}: all of it waits, in the processes {pids}")
    os.kill(pids["sigterm"], signal.SIGTERM)
    mark(airflow, KILLED_WORKERS, run_id, "marked_failed", "failed")

    def over() -> bool:
        ended = {*states().values()} == {"failed"} and not any(process.is_running() for process in running.values())
        return ended and all(_withdrawals(sandbox, KILLED_WORKERS).values())

    watch.until(over, lambda: f"the end of the processes and the withdrawals: {states()}")
    tasks = {task["body"]: task["status"] for task in _tasks(sandbox, KILLED_WORKERS)}
    withdrawn = _withdrawals(sandbox, KILLED_WORKERS)
    return [
        each(
            KILLED_WORKERS, "the process has ended and the task is closed", tasks, lambda _, status: status == "done", 2
        ),
        each(KILLED_WORKERS, "the task was withdrawn, with one message", withdrawn, lambda _, times: times == 1, 2),
    ]


def _room(sandbox: Sandbox, dag_id: str) -> dict[str, Any]:
    return sandbox.room(room(dag_id, "tasks"))


def _tasks(sandbox: Sandbox, dag_id: str) -> list[dict[str, Any]]:
    return [*_room(sandbox, dag_id)["tasks"]]


def _open(sandbox: Sandbox, first: dict[str, int]) -> list[int]:
    tasks = _tasks(sandbox, GIVEN_UP)
    return [task["task_id"] for task in tasks if task["task_id"] in first.values() and task["status"] == "open"]


def _withdrawals(sandbox: Sandbox, dag_id: str) -> dict[str, int]:
    """Count the messages about the withdrawal of the first Chatwork task of each ending."""
    withdrawn = withdrawals(_room(sandbox, dag_id)["messages"])
    first = {task["body"]: task["message_id"] for task in reversed(_tasks(sandbox, dag_id))}
    return {
        ending: withdrawn[f"{room(dag_id, 'tasks')}-{message_id}"]
        for body, message_id in first.items()
        for ending in (*ENDINGS, *WORKER_ENDINGS)
        if f"({ending})" in body
    }
