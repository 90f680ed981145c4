"""What happens to the Chatwork task when a user ends the Airflow task that waits for it."""

from __future__ import annotations

from typing import Any

from demo.time_limit import Watch
from tests.system_tests.airflow_server import Airflow
from tests.system_tests.cluster import Sandbox, clear, mark
from tests.system_tests.waits.check_results import Finding, each
from tests.system_tests.waits.deferral_race import Parking
from tests.system_tests.waits.fixtures import ENDINGS, GIVEN_UP, room
from tests.system_tests.waits.observations import instances, withdrawals

_STATES = {"marked_failed": "failed", "marked_success": "success", "cleared": "success"}


def play(airflow: Airflow, sandbox: Sandbox, watch: Watch) -> list[Finding]:
    """Let a DAG wait, end each of its waits in another way, and say what came of it."""
    [run_id] = airflow.trigger([GIVEN_UP]).values()
    parking = Parking(airflow, watch, GIVEN_UP)

    def states() -> dict[str, str | None]:
        airflow.check_alive()
        return {name: instance.state for name, instance in instances(airflow, GIVEN_UP).items()}

    def parked() -> bool:
        found = states()
        logs = (airflow.home / "logs" / f"dag_id={GIVEN_UP}").rglob("*.log.trigger.*.log")
        # Before the triggerer has begun, nobody tells it that a wait was ended.
        begun = sum("starting" in log.read_text("utf-8", "replace") for log in logs)
        waiting = len(found) == begun == len(ENDINGS) and {*found.values()} == {"deferred"}
        return waiting and parking.is_over(found)

    def told() -> bool:
        return all(_withdrawals(sandbox).values())

    watch.until(parked, lambda: f"{states()}")
    first = {task["body"]: task["task_id"] for task in _tasks(sandbox)}
    watch.tell(f"{GIVEN_UP}: all of it waits")
    mark(airflow, GIVEN_UP, run_id, "marked_failed", "failed")
    mark(airflow, GIVEN_UP, run_id, "marked_success", "success")
    clear(airflow, GIVEN_UP, run_id, "cleared")
    watch.until(lambda: told() and len(_tasks(sandbox)) > len(ENDINGS), lambda: "the withdrawals and another task")
    second = [task for task in _tasks(sandbox) if task["task_id"] not in first.values()]
    watch.until(lambda: not _open(sandbox, first), lambda: "the tasks to be closed")
    left = [task["task_id"] for task in second if task["status"] != "open"]
    for task in second:
        sandbox.complete_task(room(GIVEN_UP, "tasks"), task["task_id"])
    watch.until(lambda: states() == _STATES, lambda: f"{states()}")
    said = _withdrawals(sandbox)
    again = f"{len(second)} given anew" if len(second) != 1 or left else ""
    return [
        each(GIVEN_UP, "the task was withdrawn, and the room told once", said, lambda _, times: times == 1, 3),
        Finding(
            GIVEN_UP, "what was cleared was given anew, and waited for", "1 task", again and f"{again}; done: {left}"
        ),
    ]


def _room(sandbox: Sandbox) -> dict[str, Any]:
    return sandbox.room(room(GIVEN_UP, "tasks"))


def _tasks(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [*_room(sandbox)["tasks"]]


def _open(sandbox: Sandbox, first: dict[str, int]) -> list[int]:
    tasks = _tasks(sandbox)
    return [task["task_id"] for task in tasks if task["task_id"] in first.values() and task["status"] == "open"]


def _withdrawals(sandbox: Sandbox) -> dict[str, int]:
    """How often the withdrawal of each of the first tasks was told."""
    told = withdrawals(_room(sandbox)["messages"])
    first = {task["body"]: task["message_id"] for task in reversed(_tasks(sandbox))}
    return {
        ending: told[f"{room(GIVEN_UP, 'tasks')}-{message_id}"]
        for body, message_id in first.items()
        for ending in ENDINGS
        if f"({ending})" in body
    }
