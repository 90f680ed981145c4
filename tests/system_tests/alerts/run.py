"""``python -m tests.system_tests alerts``: run every kind of callback and compare the rooms with what is expected."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

from airflow_provider_chatwork.sandbox.company import BOT, TAKAHASHI, YAMADA
from demo.output import say
from demo.processes import Process
from demo.time_limit import OutOfTime, Watch
from tests.system_tests.airflow_server import Airflow, Setting
from tests.system_tests.alerts import expected_texts
from tests.system_tests.alerts.cases import cases
from tests.system_tests.alerts.failure_report import traces
from tests.system_tests.alerts.observations import Evidence, look
from tests.system_tests.alerts.rooms import CONNECTION, ENV_CONNECTION, LISTENER_CONNECTION, NAMES, ROOMS, SIGNALS
from tests.system_tests.alerts.scenario import Play
from tests.system_tests.cluster import Sandbox, show_addresses, start_airflow, start_sandbox
from tests.system_tests.database import Kind

DAGS = Path(__file__).with_name("dags")
#: Seconds without anything new after which nothing is waited for any more, and those after which all that is right
#: is taken to stay so.
_QUIET = 45.0
_SETTLED = 10.0
#: Seconds without anything new after which what has not ended is taken for stuck. The longest wait for a task that has
#: died without a word is a quarter of it.
_STUCK = 180.0
#: Whose alerts go through Airflow's own, with a budget of calls of its own.
_WATCHMAN = 1_001_090


def run(
    python: Path,
    folder: Path,
    processes: list[Process],
    watch: Watch,
    database: Kind = Kind.POSTGRESQL,
    *,
    accept: bool = False,
) -> bool:
    """Start all, let it happen, and print what was found.

    :param python: the interpreter of the Airflow's environment.
    :param database: what Airflow is to run on.
    :param accept: whether the texts that are found are those that are expected from now on.
    :return: whether all was right.
    :raises NotReady: that Airflow does not run.
    """
    sandbox = start_sandbox(folder, processes, watch)
    token = f"system-test-{secrets.token_hex(12)}"
    _furnish(sandbox, token)
    airflow = Airflow(_setting(python, folder, sandbox, token, database), folder, processes)
    wanted = [case.dag_id for case in cases(airflow.version)]
    start_airflow(airflow, wanted, watch)
    show_addresses(airflow, sandbox)
    play = Play(airflow, sandbox, folder / "signals", watch)
    play.begin()
    runs = airflow.trigger([dag_id for dag_id in wanted if dag_id != "sla"], conf={"broken": True})
    watch.report(f"triggered {len(runs)} DAGs")
    play.runs = runs
    seen = _follow(airflow, sandbox, play, watch)
    if accept:
        expected_texts.accept(seen.rooms)
    say(f"\n{len(seen.requests)} requests to Chatwork; refused for their number: {len(seen.refused)}")
    return _show(seen)


def _furnish(sandbox: Sandbox, token: str) -> None:
    """Add the rooms, and an account for Airflow's own alerts."""
    roles = {str(BOT): "member", str(YAMADA): "admin", str(TAKAHASHI): "member", str(_WATCHMAN): "member"}
    listed = [{"room_id": ROOMS[name], "name": title, "roles": roles} for name, title in NAMES.items()]
    sandbox.order("seed", accounts=[{"account_id": _WATCHMAN, "name": "監視ボット"}], rooms=listed)
    sandbox.order("add_token", token=token, account_id=_WATCHMAN)


def _setting(python: Path, folder: Path, sandbox: Sandbox, token: str, database: Kind) -> Setting:
    signals = folder / "signals"
    signals.mkdir()
    connection = {"conn_type": "chatwork", "host": f"{sandbox.address}/v2", "password": sandbox.token}
    everything = {**connection, "password": token}
    env = {
        SIGNALS: str(signals),
        f"AIRFLOW_CONN_{ENV_CONNECTION.upper()}": json.dumps(connection),
        # An alert takes up to 15 seconds, in which a task gives no sign of life.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        # On Airflow 2, a task that was taken for lost is taken for lost again until its callback is over, and if it is
        # being tried again by then, Airflow fails that try.
        "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "30",
        "AIRFLOW__CHATWORK__ALERT_FAILED_RUNS": "True",
        "AIRFLOW__CHATWORK__ALERT_CONN_ID": LISTENER_CONNECTION,
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        "AIRFLOW__SCHEDULER__PARSING_PROCESSES": "2",
    }
    connections: dict[str, dict[str, Any]] = {
        CONNECTION: {**connection, "extra": json.dumps({"default_room_id": ROOMS["one_line"]})},
        LISTENER_CONNECTION: {
            **everything,
            "extra": json.dumps({"default_room_id": ROOMS["listener"], "lang": "en"}),
        },
    }
    return Setting(python, DAGS, env=env, connections=connections, parallelism=8, database=database)


def _follow(airflow: Airflow, sandbox: Sandbox, play: Play, watch: Watch) -> Evidence:
    """Wait until all is as it should be and stays so, or until nothing happens any more."""
    last: list[Any] = [watch.seconds, None]
    moved: list[Any] = [watch.seconds, None]
    latest: list[Evidence] = []

    def over() -> bool:
        airflow.check_alive()
        seen = look(airflow, sandbox)
        latest[:] = [seen]
        acted = play.go_on(seen)
        # Runs that come by themselves never end.
        open_ = [dag for dag in airflow.unfinished() if dag != "sla"]
        sent = sum(len(room.sent) for room in seen.rooms.values() if room.name != "sla")
        progress_of_alerts = (sent, bool(seen.rooms["sla"].messages), len(seen.lost))
        states = [
            {dag: state for dag, state in of.items() if dag != "sla"} for of in (seen.task_states, seen.run_states)
        ]
        if (progress := (progress_of_alerts, states, play.open)) != moved[1]:
            moved[:] = [watch.seconds, progress]
        if watch.seconds - moved[0] > _STUCK:
            say(f"FAILED: nothing has happened for {_STUCK:.0f} s, and this is open: {purpose()}")
            return True
        if open_ or not acted or progress_of_alerts != last[1]:
            last[:] = [watch.seconds, progress_of_alerts]
            return False
        calm = watch.seconds - last[0]
        return calm > _QUIET or (calm > _SETTLED and not any(case.problems(seen) for case in cases(airflow.version)))

    def purpose() -> str:
        open_ = [*play.open, *airflow.unfinished()]
        return f"{len(open_)} to end, {len(latest[0].requests)} requests: {', '.join(open_[:4])}"

    try:
        watch.until(over, purpose)
    except OutOfTime as error:
        # What is there by then says what it was waited for.
        say(f"FAILED: {error}")
    return latest[0]


def _show(seen: Evidence) -> bool:
    """Print the table, and what there is to see of what is wrong; return whether all is right."""
    failed = []
    say(f"\n{'':6} {'kind':35} {'expected':33} found")
    for case in cases(seen.version):
        room = seen.rooms[case.room or case.dag_id]
        problems = case.problems(seen)
        if not problems and (different := expected_texts.problem(room)):
            problems = [different]
        if problems:
            failed.append(case)
        title = "".join(re.findall(r"\[title\](.*?)\[/title\]", room.messages[-1])[:1]) if room.messages else ""
        found = f"{len(room.messages)}: {title or room.messages[-1].partition(chr(10))[0]}" if room.messages else "-"
        say(f"{'FAILED' if problems else 'ok':6} {case.kind:35} {case.expected:33} {found[:80]}")
        for problem in problems:
            say(f"{'':7}{problem}")
    if failed:
        say("\n" + "\n".join(traces(seen, failed)))
    return not failed
