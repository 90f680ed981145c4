"""The checks after the demo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_chatwork.sandbox import company

MAIN = "chatwork_create_task_and_wait"
FAILING = "chatwork_alert_on_failure"
DAGS = (MAIN, FAILING)
WAIT = "wait_for_tasks"

_ENDS = {
    (MAIN, "post_message"): "success",
    (MAIN, "upload_file"): "success",
    (MAIN, "create_task"): "success",
    (MAIN, WAIT): "success",
    (MAIN, "edit_message"): "success",
    (FAILING, "load_orders"): "failed",
}
_RUNS = {MAIN: "success", FAILING: "failed"}
_ANNOUNCED = "[info]売上レポートは高橋 美咲さんと佐藤 花子さんが確認しました。[/info]"
_FILE = ("売上レポート.csv", "店舗,売上\n札幌,120000\n那覇,98000".encode())
_ERROR = "受注データベースに接続できません"
#: The operations that change the room, and how often each is expected.
_ACTED = {"post_message": 2, "edit_message": 1, "create_task": 1, "upload_file": 1}
#: The announcement, the file, two tasks assigned and completed, the failure.
_MESSAGES = 6


@dataclass
class Evidence:
    """What a run of the demo has left to check.

    :param passed: the states every task instance was seen in, by DAG and task.
    :param seconds: how long each of them took.
    :param messages: new in the room, as in the state of the sandbox; so are ``tasks`` and ``files``.
    :param requests: the sandbox's log of all requests.
    :param acted: how often each operation changed something.
    :param leaks: files of Airflow that hold the token.
    """

    room_name: str = ""
    names: dict[int, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    passed: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    tries: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: dict[tuple[str, str], float] = field(default_factory=lambda: dict.fromkeys(_ENDS, 0.0))
    messages: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    acted: dict[str, int] = field(default_factory=dict)
    leaks: list[Path] = field(default_factory=list)
    log_folders: dict[str, Path] = field(default_factory=dict)
    sandbox_log: Path = Path()


@dataclass(frozen=True)
class Finding:
    """An expectation, and what is wrong with it; ``problem`` is empty where it is met."""

    expectation: str
    problem: str
    where: str


def check(evidence: Evidence) -> list[Finding]:
    """Compare the evidence with what is expected."""
    return [*_airflow(evidence), *_chatwork(evidence), *_requests(evidence)]


def unexpected_tasks(seen: Evidence) -> list[tuple[str, str]]:
    """Return the DAG and task id of each task that ended in another state than expected."""
    return [key for key, states in seen.passed.items() if states[-1] != _ENDS.get(key)]


def _airflow(seen: Evidence) -> Iterator[Finding]:
    main, failing = (str(seen.log_folders.get(dag_id, "Airflow's logs")) for dag_id in DAGS)
    both = f"{main} and {failing}"
    yield _equal(f"{MAIN} succeeds, {FAILING} fails", seen.runs, _RUNS, both)
    ends = {key: states[-1] for key, states in seen.passed.items()}
    yield _equal("every task ends in its expected state", ends, _ENDS, both)
    yield _equal("... at its first try", {*seen.tries.values()}, {1}, both)
    passed = seen.passed.get((MAIN, WAIT), [])
    problem = "" if "deferred" in passed else f"it was never deferred: {' > '.join(passed)}"
    yield Finding("the wait runs in the triggerer, without a worker", problem, f"{main} and triggerer.log")


def _chatwork(seen: Evidence) -> Iterator[Finding]:
    room = "the transcript above"
    edited = [message["body"] for message in seen.messages if message["update_time"]]
    yield _equal("the announcement was edited and names who has checked", edited, [_ANNOUNCED], room)
    people = [(task["account_id"], task["status"]) for task in seen.tasks]
    expected = [(company.TAKAHASHI, "done"), (company.SATO, "done")]
    yield _equal("both people have done their task", people, expected, room)
    files = [(file["filename"], file["content"]) for file in seen.files]
    yield _equal("the file is there, with its name and content", files, [_FILE], room)
    alerts = [message["body"] for message in seen.messages if FAILING in message["body"]]
    problem = "" if len(alerts) == 1 else f"{len(alerts)} messages name {FAILING}"
    for needed in ("load_orders", _ERROR):
        if alerts and needed not in alerts[0]:
            problem = f"{needed} is not in: {alerts[0]}"
    yield Finding("the alert names DAG, task and error", problem, room)
    loud = [message["body"] for message in seen.messages if "[toall]" in message["body"].lower()]
    yield Finding("the [toall] in the error mentions nobody", f"this message does: {loud}" if loud else "", room)


def _requests(seen: Evidence) -> Iterator[Finding]:
    log = str(seen.sandbox_log)
    refused = [
        f"{request['method']} {request['path']}: {request['status']}"
        for request in seen.requests
        if request["status"] is None or request["status"] >= 400
    ]
    yield Finding("no request is answered with an error", "; ".join(refused), log)
    yield _equal("nothing is done twice", seen.acted, _ACTED, log)
    asked = Counter(request["operation"] for request in seen.requests if request["operation"] in _ACTED)
    yield _equal("... or requested twice", dict(asked), _ACTED, log)
    yield _equal("there is nothing else in the room", len(seen.messages), _MESSAGES, "the transcript above")
    leaks = ", ".join(str(path) for path in seen.leaks)
    yield Finding("the API token is in no log and no row of Airflow's", leaks, leaks)


def _equal(expectation: str, found: object, expected: object, where: str) -> Finding:
    return Finding(expectation, "" if found == expected else f"expected {expected}, found {found}", where)
