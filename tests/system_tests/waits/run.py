"""``python -m tests.system_tests load``, ``restart`` and ``failover``."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from pathlib import Path
from typing import Any

from airflow_provider_chatwork.sandbox.company import BOT
from demo.airflow import NotReady
from demo.output import say
from demo.processes import Process
from demo.time_limit import OutOfTime, Watch
from tests.system_tests.airflow_server import Airflow, Setting
from tests.system_tests.alerts.failure_report import trouble
from tests.system_tests.cluster import Sandbox, show_addresses, start_airflow, start_sandbox
from tests.system_tests.database import Kind
from tests.system_tests.waits import cancelled_waits, load
from tests.system_tests.waits.assertions import judge
from tests.system_tests.waits.check_results import Finding, show
from tests.system_tests.waits.fixtures import (
    ASSIGNEE,
    BY_TRIGGERER,
    BY_WORKER,
    CONNECTION,
    GIVEN_UP,
    KILLED_WORKERS,
    ONE_TRIGGERER,
    PEOPLE,
    PLAN,
    SCENARIOS,
    SENSORS,
    TWO_TRIGGERERS,
    WAYS,
    all_rooms,
    dags_of,
    late,
    room,
    rooms_of,
)
from tests.system_tests.waits.scenarios import Scenario

DAGS = Path(__file__).with_name("dags")
#: How long a triggerer is taken for alive without a sign of life, in seconds; by default it is 30.
_PATIENCE = 20
#: How many lines of logs are printed of a system test that failed.
_LINES = 120
# The accounts of the many waits, each with a budget of its own.
_ACCOUNTS = {BY_TRIGGERER: 1_001_091, BY_WORKER: 1_001_092}

Plan = dict[str, list[list[int]]]


def waits(
    python: Path,
    folder: Path,
    processes: list[Process],
    watch: Watch,
    part: str,
    tasks: int,
    by_worker: int,
    database: Kind = Kind.POSTGRESQL,
) -> bool:
    """Let an Airflow wait, and print what was found.

    :param python: the interpreter of the Airflow's environment.
    :param part: ``load`` for many waits at a time and for waits that a user ends, ``restart`` for one triggerer that is
        killed and started again, ``failover`` for two of them, of which the other continues.
    :param tasks: how many wait at a time without a worker in ``load``, and ``by_worker`` how many begin and end in one.
    :param database: what Airflow is to run on.
    :return: whether all was right.
    :raises NotReady: that Airflow does not run.
    """
    scenarios = {"restart": ONE_TRIGGERER, "failover": TWO_TRIGGERERS}
    sandbox = start_sandbox(folder, processes, watch)
    tokens = {way: f"system-test-{secrets.token_hex(12)}" for way in WAYS}
    counts = {BY_TRIGGERER: tasks, BY_WORKER: by_worker} if part == "load" else dict.fromkeys(WAYS, 0)
    plan = _furnish(sandbox, tokens, counts)
    file = folder / "plan.json"
    file.write_text(json.dumps(plan), "utf-8")
    airflow = Airflow(_setting(python, file, sandbox, tokens, database), folder, processes)
    if airflow.version < (3, 3):
        raise NotReady(f"Airflow 3.3 is needed, and this is {airflow.setting.version}")
    if part == "failover" and airflow.database.title != Kind.POSTGRESQL.value:
        say(f"NOT TESTED: two triggerers need PostgreSQL, and this is {airflow.database.title}")
        return True
    many_dags = [dag_id for way in WAYS for dag_id in dags_of(way, len(plan[way]))]
    others = [scenarios[part], late(scenarios[part])] if part in scenarios else [GIVEN_UP, KILLED_WORKERS]
    start_airflow(airflow, [*many_dags, *others], watch)
    show_addresses(airflow, sandbox)
    findings: list[Finding] = []
    try:
        for way in WAYS:
            if plan[way]:
                findings += load.play(airflow, sandbox, watch, way, plan[way], _ACCOUNTS[way])
        # What follows is about what is said, and not about how often one may ask.
        sandbox.order("limits", requests=5000)
        if part == "load":
            findings += cancelled_waits.cancel_in_triggerer(airflow, sandbox, watch)
            findings += cancelled_waits.cancel_in_worker(airflow, sandbox, watch)
        else:
            play = _one if part == "restart" else _two
            findings += play(airflow, sandbox, watch, plan)
    except (OutOfTime, NotReady, AssertionError) as error:
        findings.append(Finding("the system test", "it comes to its end", "", str(error)))
    return _show(airflow, sandbox, findings)


def _furnish(sandbox: Sandbox, tokens: dict[str, str], waits_of: dict[str, int]) -> Plan:
    """Add rooms and accounts, and give people the tasks that sensors wait for."""
    accounts = [{"account_id": _ACCOUNTS[way], "name": f"監視ボット {way}"} for way in WAYS]
    bots = (BOT, *_ACCOUNTS.values())
    roles = {str(account_id): "admin" for account_id in (*bots, *PEOPLE)}
    rooms = [{"room_id": room_id, "name": f"待つ部屋 {room_id}", "roles": roles} for room_id in all_rooms()]
    sandbox.order("seed", accounts=accounts, rooms=rooms)
    for way, token in tokens.items():
        sandbox.order("add_token", token=token, account_id=_ACCOUNTS[way])
    wanted = {way: _spread(rooms_of(way), count) for way, count in waits_of.items()}
    wanted |= {scenario: [room(scenario, "tasks")] * SENSORS for scenario in SCENARIOS}
    wanted |= {late(scenario): [room(scenario, "late")] for scenario in SCENARIOS}
    return {
        dag_id: [[room_id, _give(sandbox, room_id, number)] for number, room_id in enumerate(room_ids)]
        for dag_id, room_ids in wanted.items()
    }


def _spread(rooms: list[int], count: int) -> list[int]:
    return [rooms[number % len(rooms)] for number in range(count)]


def _give(sandbox: Sandbox, room_id: int, number: int) -> int:
    order: dict[str, Any] = {"account_id": BOT, "to_ids": [ASSIGNEE], "body": f"納品書 {number} 番を確認する"}
    [task_id] = sandbox.order("create_task", room_id=room_id, **order)["task_ids"]
    return int(task_id)


def _setting(python: Path, plan: Path, sandbox: Sandbox, tokens: dict[str, str], database: Kind) -> Setting:
    connection = {"conn_type": "chatwork", "host": f"{sandbox.address}/v2"}
    connections = {way: {**connection, "password": token} for way, token in tokens.items()}
    connections[CONNECTION] = {**connection, "password": sandbox.token}
    env = {
        PLAN: str(plan),
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(_PATIENCE),
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
    }
    return Setting(python, DAGS, env=env, connections=connections, parallelism=4, database=database)


def _one(airflow: Airflow, sandbox: Sandbox, watch: Watch, plan: Plan) -> list[Finding]:
    """One triggerer, which dies and is started again."""
    scenario = Scenario(airflow, sandbox, watch, ONE_TRIGGERER, plan[ONE_TRIGGERER])
    scenario.begin()
    scenario.begin_late()
    scenario.kill("triggerer")
    scenario.go_on()
    airflow.start_one("triggerer")
    scenario.end()
    return judge(scenario)


def _two(airflow: Airflow, sandbox: Sandbox, watch: Watch, plan: Plan) -> list[Finding]:
    """Two triggerers, of which one stands still for a while, and then one dies."""
    query = "SELECT MAX(id) FROM job WHERE job_type = 'TriggererJob'"
    [(one,)] = airflow.query(query)
    airflow.start_one("triggerer-2")
    watch.until(lambda: airflow.query(query) != [(one,)], lambda: "another triggerer")
    [(other,)] = airflow.query(query)
    jobs = {one: "triggerer", other: "triggerer-2"}
    scenario = Scenario(airflow, sandbox, watch, TWO_TRIGGERERS, plan[TWO_TRIGGERERS])
    scenario.begin()
    owner = _owner(airflow, watch)
    scenario.freeze(jobs[owner], owner)
    scenario.begin_late()
    scenario.kill(jobs[_owner(airflow, watch)])
    scenario.go_on()
    scenario.end()
    return judge(scenario)


def _owner(airflow: Airflow, watch: Watch) -> int:
    """The triggerer that reminds people, or most of them."""
    query = (
        "SELECT triggerer_id FROM trigger JOIN task_instance ti ON ti.trigger_id = trigger.id"
        " WHERE ti.dag_id = ? AND ti.task_id LIKE ? AND triggerer_id IS NOT NULL"
    )
    owners = Counter(triggerer for (triggerer,) in airflow.query(query, (TWO_TRIGGERERS, "give%")))
    watch.report(f"{TWO_TRIGGERERS}: so many of the tasks are whose: {dict(owners)}")
    [(owner, _)] = owners.most_common(1)
    return int(owner)


def _show(airflow: Airflow, sandbox: Sandbox, findings: list[Finding]) -> bool:
    others = [request for request in sandbox.read("requests") if request["account_id"] not in _ACCOUNTS.values()]
    refused = sum(request["status"] == 429 for request in others)
    findings.append(
        Finding("the scenarios", "no request was refused for its number", "", f"{refused} were" if refused else "")
    )
    if show(findings):
        return True
    for dag_id in sorted({finding.scenario for finding in findings if finding.problem}):
        say(f"\n--- {dag_id}")
        rows = airflow.query(
            "SELECT task_id, state, try_number FROM task_instance WHERE dag_id LIKE ? AND state != 'success'",
            (f"{dag_id}%",),
        )
        say("\n".join(f"  {task_id} {state} at try {tries}" for task_id, state, tries in rows[:20]))
    say("\n".join(trouble([airflow.home / "logs", *airflow.component_logs], _LINES)))
    return False
