"""The steps of the demo, from the empty database to the last message."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path

from airflow_provider_chatwork.sandbox import company
from demo.airflow import AirflowServer, NotReady
from demo.checks import DAGS, MAIN, WAIT, Evidence, unexpected_tasks
from demo.sandbox import SandboxServer
from demo.time_limit import Watch

ROOM = company.DATA_ROOM
CONNECTION = "chatwork_default"
#: Seconds that a person takes to complete a task.
_PERSON = 2.0
#: Seconds after which a deferral without an entry in the scheduler's log counts as noted: it may overlook one.
_OVERLOOKED = 15.0
_ENDS = ("success", "failed")


def run(airflow: AirflowServer, sandbox: SandboxServer, watch: Watch) -> Evidence:
    """Start everything, run the DAGs, and return what can be checked."""
    _start(airflow, sandbox, watch)
    before = sandbox.room(ROOM)
    evidence = Evidence(room_name=before["name"], names=sandbox.names())
    runs = {dag_id: airflow.trigger(dag_id) for dag_id in DAGS}
    for dag_id, run_id in runs.items():
        watch.report(f"triggered {dag_id}")
        evidence.log_folders[dag_id] = airflow.log_folder(dag_id, run_id)
    _watch_runs(airflow, sandbox, watch, runs, evidence)
    for dag_id, task_id in unexpected_tasks(evidence):
        airflow.show_logs(dag_id, runs[dag_id], task_id)
    _collect_evidence(sandbox, before, evidence)
    evidence.leaks = find_in_files(airflow.home, sandbox.token)
    return evidence


def _start(airflow: AirflowServer, sandbox: SandboxServer, watch: Watch) -> None:
    airflow.make_database()
    watch.until(lambda: _sandbox_up(sandbox), lambda: "the sandbox")
    watch.report(f"the sandbox is at {sandbox.address}")
    watch.until(airflow.database_ready, lambda: "Airflow's database")
    watch.report("Airflow has a database; starting scheduler, triggerer, dag-processor, api-server")
    airflow.start()
    missing = ["all of Airflow"]

    def up() -> bool:
        missing[:] = airflow.not_up()
        return not missing

    watch.until(up, lambda: ", ".join(missing))
    watch.report(f"Airflow is up at {airflow.address}")
    airflow.connect(CONNECTION, f"{sandbox.address}/v2", sandbox.token)
    watch.until(lambda: airflow.has_dags(*DAGS), lambda: "the DAGs to be read")


def _sandbox_up(sandbox: SandboxServer) -> bool:
    if sandbox.process.status is not None:
        raise NotReady(f"the sandbox ended with status {sandbox.process.status}: see {sandbox.process.log}")
    return sandbox.ready()


def _watch_runs(
    airflow: AirflowServer, sandbox: SandboxServer, watch: Watch, runs: dict[str, str], evidence: Evidence
) -> None:
    known = {task["task_id"] for task in sandbox.room(ROOM)["tasks"]}

    deferred_at: list[float] = []

    def may_continue() -> bool:
        # Airflow fails a task that continues before the scheduler has noted the end of the process that deferred it.
        deferred_at.append(watch.seconds)
        return airflow.has_noted_end(MAIN, WAIT) or watch.seconds - deferred_at[0] > _OVERLOOKED

    def all_ended() -> bool:
        airflow.check_alive()
        for dag_id, run_id in runs.items():
            # The run first: after its end no task can change its state.
            evidence.runs[dag_id] = airflow.run_state(dag_id, run_id)
            for instance in airflow.task_instances(dag_id, run_id):
                _record(watch, evidence, dag_id, instance)
        if evidence.passed.get((MAIN, WAIT), [""])[-1] == "deferred" and may_continue():
            _act_as_people(sandbox, watch, evidence, known)
        return all(state in _ENDS for state in evidence.runs.values())

    def unfinished() -> str:
        open_ = {task_id: states[-1] for (_, task_id), states in evidence.passed.items() if states[-1] not in _ENDS}
        return ", ".join(f"{task_id} ({state})" for task_id, state in open_.items()) or "the scheduler"

    watch.until(all_ended, unfinished)


def _record(watch: Watch, evidence: Evidence, dag_id: str, instance: dict[str, str | None]) -> None:
    task_id, state = str(instance["task_id"]), instance["state"]
    if state is None:
        return
    states = evidence.passed.setdefault((dag_id, task_id), [])
    if [state] != states[-1:]:
        states.append(state)
        if state not in ("scheduled", "queued"):
            watch.report(f"{dag_id}.{task_id}: {state}")
    evidence.tries[dag_id, task_id] = int(instance["try_number"] or 0)
    started, ended = instance["start_date"], instance["end_date"]
    if started and ended:
        length = datetime.fromisoformat(ended) - datetime.fromisoformat(started)
        evidence.seconds[dag_id, task_id] = length.total_seconds()


def _act_as_people(sandbox: SandboxServer, watch: Watch, evidence: Evidence, known: set[int]) -> None:
    """Complete the next open task, as a person would, but only while the wait is deferred."""
    for task in sandbox.room(ROOM)["tasks"]:
        if task["task_id"] not in known:
            known.add(task["task_id"])
            watch.pause(_PERSON, "people to complete their tasks")
            sandbox.complete_task(ROOM, task["task_id"])
            watch.report(f"{evidence.names[task['account_id']]} has completed: {task['body']}")
            return


def _collect_evidence(sandbox: SandboxServer, before: dict[str, list[dict[str, object]]], evidence: Evidence) -> None:
    room = sandbox.room(ROOM)
    for kind, key in (("messages", "message_id"), ("tasks", "task_id"), ("files", "file_id")):
        old = {thing[key] for thing in before[kind]}
        setattr(evidence, kind, [thing for thing in room[kind] if thing[key] not in old])
    for file in evidence.files:
        file["content"] = base64.b64decode(file["content"])
    evidence.requests = sandbox.read("requests")
    evidence.acted = sandbox.read("write_counts")
    evidence.sandbox_log = sandbox.process.log


def find_in_files(folder: Path, text: str) -> list[Path]:
    """Return the files below a folder that contain a text, such as logs and the database."""
    wanted = text.encode()
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and wanted in path.read_bytes()]
