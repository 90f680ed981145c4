"""``python -m tests.system_tests storm``."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from airflow_provider_chatwork.sandbox.company import DATA_ROOM, TAKAHASHI
from demo.output import say
from demo.processes import Process
from demo.time_limit import Watch
from tests.system_tests.airflow_server import Airflow, Setting
from tests.system_tests.cluster import Sandbox, show_addresses, start_airflow, start_sandbox
from tests.system_tests.database import Kind
from tests.system_tests.storm.named_tasks import named

DAGS = Path(__file__).with_name("dags")
DAG_ID = "storm"
TASKS = "REHEARSAL_STORM_TASKS"
#: Seconds without another request after which no alert is expected any more: where every callback has ended, and where
#: one of them may just be slow to begin.
_QUIET = 8.0
_LOST = 90.0
#: What the log of an alert says about how it was sent.
_HOW = {
    "posted": r"Alert message \d+ in room \d+ was posted",
    "edited": r"Alert message \d+ in room \d+ was edited",
    "already reported": r"Alert message \d+ in room \d+ already reports it",
    "lost": r"Chatwork alert (?:perhaps )?lost",
    "on its own": r"Posting a separate alert message",
    "incomplete": r"its last update may be missing",
}


def storm(
    python: Path,
    folder: Path,
    processes: list[Process],
    watch: Watch,
    tasks: int,
    parallelism: int,
    database: Kind = Kind.POSTGRESQL,
) -> bool:
    """Let many tasks fail, half of them mapped, and print what came of it.

    :param python: the interpreter of the Airflow's environment.
    :param tasks: how many.
    :param parallelism: how many of them run at a time.
    :param database: what Airflow is to run on.
    :return: whether one message reports all of them.
    :raises NotReady: that Airflow does not run.
    """
    sandbox = start_sandbox(folder, processes, watch)
    connection = {
        "conn_type": "chatwork",
        "host": f"{sandbox.address}/v2",
        "password": sandbox.token,
        "extra": json.dumps({"default_room_id": DATA_ROOM}),
    }
    setting = Setting(
        python,
        DAGS,
        env={TASKS: str(tasks)},
        connections={"chatwork_default": connection},
        parallelism=parallelism,
        database=database,
    )
    airflow = Airflow(setting, folder, processes)
    start_airflow(airflow, [DAG_ID], watch)
    show_addresses(airflow, sandbox)
    before = len(_messages(sandbox))
    [run_id] = airflow.trigger([DAG_ID]).values()
    began = watch.seconds
    watch.report(f"triggered a run of {tasks} tasks, {parallelism} at a time")
    last = _wait(airflow, sandbox, tasks, watch)
    return _show(airflow, sandbox, run_id, tasks, before, last - began)


def _messages(sandbox: Sandbox) -> list[str]:
    return [message["body"] for message in sandbox.room(DATA_ROOM)["messages"]]


def _wait(airflow: Airflow, sandbox: Sandbox, tasks: int, watch: Watch) -> float:
    """Wait until no request follows; returns when the last one was."""
    last = [watch.seconds, 0.0]

    def over() -> bool:
        airflow.check_alive()
        requests = len(sandbox.read("requests"))
        if airflow.unfinished() or requests != last[1]:
            last[:] = [watch.seconds, requests]
        calm = watch.seconds - last[0]
        return calm > _LOST or (calm > _QUIET and sum(_count_in_logs(airflow).values()) >= tasks + 1)

    def progress() -> str:
        states = Counter(airflow.task_states(DAG_ID).values())
        return f"{states['failed']} failed, {states['running']} running, {len(sandbox.read('requests'))} requests"

    watch.until(over, progress)
    return last[0]


def _show(airflow: Airflow, sandbox: Sandbox, run_id: str, tasks: int, before: int, seconds: float) -> bool:
    alerts = _messages(sandbox)[before:]
    requests = sandbox.read("requests")
    operations = Counter(request["operation"] for request in requests)
    statuses = Counter(request["status"] for request in requests)
    states = airflow.task_states(DAG_ID)
    failed = {key for name, state in states.items() if state == "failed" for key in named(name.replace("[", " ["))}
    found = named(alerts[0]) if alerts else set()
    how = _count_in_logs(airflow)
    locked = len(
        re.findall("database is locked", "".join(path.read_text("utf-8", "replace") for path in airflow.component_logs))
    )
    say(f"\n{alerts[0] if alerts else 'no message'}\n")
    say(f"messages         {len(alerts)}, with mentions: {sum(f'[To:{TAKAHASHI}]' in text for text in alerts)}")
    say(f"requests         {sum(operations.values())}: {_counted(operations)}; by status: {_counted(statuses)}")
    say(f"callbacks        {sum(how.values())}: {_counted(how)}")
    say(f"failed tasks     {len(failed)}, named in the message: {len(found & failed)}")
    say(f"wall time        {seconds:.0f} s from the trigger to the last request")
    say(f"database locked  {locked} times in the logs of the components")
    checks = {
        f"{tasks} tasks have failed": len(failed) == tasks,
        "one message": len(alerts) == 1,
        "it mentions the right person once": len(alerts) == 1 and alerts[0].count("[To:") == 1,
        "it names every failure, and nothing else": found == failed,
        "it says that the run has failed": bool(alerts) and "この実行は失敗に終わりました" in alerts[0],
        "no request was refused": set(statuses) <= {200, 204},
        "every callback reported its failure, or found it reported": sum(how.values()) == tasks + 1 and not how["lost"],
    }
    say("")
    for expectation, good in checks.items():
        say(f"{'ok' if good else 'FAILED':6} {expectation}")
    return all(checks.values())


def _count_in_logs(airflow: Airflow) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in (airflow.home / "logs").rglob("*.log"):
        text = path.read_text("utf-8", "replace")
        for how, pattern in _HOW.items():
            found[how] += len(re.findall(pattern, text))
    return +found


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())
