from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_chatwork.alerts.texts import alert_catalog
from airflow_provider_chatwork.listener import FailedRuns, tell_of_run
from airflow_provider_chatwork.sandbox import company
from tests.airflow_helpers import connect, new_dag, one_server, run_dag, sandbox

__all__ = ["one_server", "sandbox"]

STARTED = datetime(2026, 11, 1, tzinfo=UTC)
ANNOUNCED = "Every DAG run that fails is alerted to Chatwork"
# Nothing waits this long: it is when a test that went wrong ends.
LONG = 30.0


def dag_run(run_id: str = "r", **more: Any) -> Any:
    return SimpleNamespace(**{"dag_id": "report", "run_id": run_id, "start_date": STARTED, "end_date": STARTED, **more})


class Told:
    """Notes what it is told to tell, and may take its time.

    :param hold: whether it waits until :meth:`go_on`.
    """

    def __init__(self, *, hold: bool = False) -> None:
        self.noted: list[Mapping[str, Any]] = []
        self.threads: list[threading.Thread] = []
        self._busy = threading.Event()
        self._go_on = threading.Event()
        if not hold:
            self._go_on.set()

    def __call__(self, noted: Mapping[str, Any]) -> None:
        self.threads.append(threading.current_thread())
        self._busy.set()
        assert self._go_on.wait(LONG)
        self.noted.append(noted)
        if noted["run_id"] == "broken":
            raise ValueError("読込")

    def wait_until_busy(self) -> None:
        assert self._busy.wait(LONG)

    def go_on(self) -> None:
        self._go_on.set()

    @property
    def run_ids(self) -> list[str]:
        return [noted["run_id"] for noted in self.noted]


@pytest.fixture
def held() -> Iterator[Told]:
    """One that takes its time, but not beyond the test."""
    told = Told(hold=True)
    yield told
    told.go_on()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="airflow_provider_chatwork")
    return caplog


class TestOnStarting:
    @staticmethod
    def start(monkeypatch: pytest.MonkeyPatch, listener: FailedRuns, *command: str) -> None:
        from airflow.jobs.job import Job

        monkeypatch.setattr(sys, "argv", ["airflow", *command])
        # As it is when Airflow hands it over: before it knows what kind of job it is.
        listener.on_starting(component=Job())

    def test_says_in_the_scheduler_that_it_is_on(self, monkeypatch, log):
        self.start(monkeypatch, FailedRuns(), "scheduler")
        assert ANNOUNCED in log.text

    @pytest.mark.parametrize("command", ["triggerer", "dag-processor", "tasks"])
    def test_says_nothing_elsewhere(self, monkeypatch, log, command):
        self.start(monkeypatch, FailedRuns(), command, "scheduler")
        assert ANNOUNCED not in log.text

    def test_says_nothing_in_the_workers_of_a_scheduler(self, monkeypatch, log):
        listener = FailedRuns()
        self.start(monkeypatch, listener, "scheduler")
        log.clear()
        self.start(monkeypatch, listener, "scheduler")
        assert ANNOUNCED not in log.text


class TestOnDagRunFailed:
    def test_has_the_run_told_in_a_thread_of_its_own(self):
        told = Told()
        listener = FailedRuns(told)
        listener.on_dag_run_failed(dag_run=dag_run(logical_date=STARTED), msg="task_failure")
        listener.before_stopping(component=None)
        assert told.noted == [
            {
                "dag_id": "report",
                "run_id": "r",
                "start_date": STARTED,
                "end_date": STARTED,
                "logical_date": STARTED,
                "reason": "task_failure",
            }
        ]
        assert told.threads[0] is not threading.current_thread()
        assert told.threads[0].daemon

    def test_knows_what_airflow_2_calls_the_logical_date(self):
        told = Told()
        listener = FailedRuns(told)
        listener.on_dag_run_failed(dag_run=dag_run(execution_date=STARTED), msg="")
        listener.before_stopping(component=None)
        assert told.noted[0]["logical_date"] == STARTED

    def test_takes_a_run_that_somebody_marked_for_failed(self):
        told = Told()
        listener = FailedRuns(told)
        listener.on_dag_run_failed(dag_run=dag_run(), msg="")
        listener.before_stopping(component=None)
        assert told.noted[0]["reason"] == "failed"

    def test_waits_for_nobody(self, held):
        listener = FailedRuns(held)
        for at in range(3):
            listener.on_dag_run_failed(dag_run=dag_run(f"r{at}"), msg="")
        assert held.run_ids == []
        held.go_on()
        listener.before_stopping(component=None)
        assert held.run_ids == ["r0", "r1", "r2"]
        assert len({*held.threads}) == 1

    def test_loses_what_is_too_much_and_says_so(self, held, log):
        listener = FailedRuns(held, waiting=2)
        listener.on_dag_run_failed(dag_run=dag_run("r0"), msg="")
        held.wait_until_busy()
        for at in range(1, 4):
            listener.on_dag_run_failed(dag_run=dag_run(f"r{at}"), msg="")
        assert "Chatwork alert lost: more than 2 failed runs are waiting to be told" in log.text
        assert "'run_id': 'r3'" in log.text
        held.go_on()
        listener.before_stopping(component=None)
        assert held.run_ids == ["r0", "r1", "r2"]

    def test_raises_nothing_for_a_run_that_cannot_be_read(self, log):
        class Detached:
            @property
            def dag_id(self) -> str:
                raise RuntimeError("no session")

        told = Told()
        listener = FailedRuns(told)
        listener.on_dag_run_failed(dag_run=Detached(), msg="")
        assert "Chatwork alert lost: a failed run could not be noted" in log.text
        assert "no session" in log.text
        listener.on_dag_run_failed(dag_run=dag_run(), msg="")
        listener.before_stopping(component=None)
        assert told.run_ids == ["r"]

    def test_goes_on_after_one_that_could_not_be_told(self, log):
        told = Told()
        listener = FailedRuns(told)
        for run_id in ("broken", "r"):
            listener.on_dag_run_failed(dag_run=dag_run(run_id), msg="")
        listener.before_stopping(component=None)
        assert told.run_ids == ["broken", "r"]
        assert len({*told.threads}) == 1
        assert "Chatwork alert lost: {'dag_id': 'report', 'run_id': 'broken'" in log.text
        assert "ValueError: 読込" in log.text


class TestBeforeStopping:
    def test_does_nothing_where_nothing_had_failed(self, log):
        FailedRuns(Told()).before_stopping(component=None)
        assert log.text == ""

    def test_says_nothing_where_everything_was_told(self, log):
        listener = FailedRuns(Told())
        listener.on_dag_run_failed(dag_run=dag_run(), msg="")
        listener.before_stopping(component=None)
        assert "lost" not in log.text

    def test_tells_how_many_could_not_be_told(self, held, log):
        listener = FailedRuns(held, waiting=2, last_words=0.0)
        for at in range(3):
            listener.on_dag_run_failed(dag_run=dag_run(f"r{at}"), msg="")
            held.wait_until_busy()
        # Also where there is no place left in the queue.
        listener.before_stopping(component=None)
        assert "Chatwork alert lost: 3 failed runs could not be told before the end" in log.text

    def test_lets_the_next_one_begin_anew(self):
        told = Told()
        listener = FailedRuns(told)
        for at in range(2):
            listener.on_dag_run_failed(dag_run=dag_run(f"r{at}"), msg="")
            listener.before_stopping(component=None)
        assert told.run_ids == ["r0", "r1"]
        assert len({*told.threads}) == 2


# A process of its own, as Airflow reads its plugins once per process.
REGISTERED = """
import json, sys
from airflow_provider_chatwork.plugin import ChatworkPlugin
loaded = "airflow_provider_chatwork.listener" in sys.modules
from airflow.listeners.listener import get_listener_manager

impls = get_listener_manager().hook.on_dag_run_failed.get_hookimpls()
print("FOUND" + json.dumps({"loaded": loaded, "listens": [type(impl.plugin).__name__ for impl in impls]}))
"""


class TestPlugin:
    @staticmethod
    def found(tmp_path: Any, **environment: str) -> Any:
        # Its own home, and nothing of a configuration of tests.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        environment = {**kept, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **environment}
        done = subprocess.run(
            [sys.executable, "-c", REGISTERED], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
        return json.loads(line.removeprefix("FOUND"))

    def test_listens_where_the_configuration_asks_for_it(self, tmp_path):
        found = self.found(tmp_path, AIRFLOW__CHATWORK__ALERT_FAILED_RUNS="True")
        assert found == {"loaded": True, "listens": ["FailedRuns"]}

    @pytest.mark.parametrize("environment", [{}, {"AIRFLOW__CHATWORK__ALERT_FAILED_RUNS": "False"}], ids=str)
    def test_does_not_even_load_it_otherwise(self, tmp_path, environment):
        assert self.found(tmp_path, **environment) == {"loaded": False, "listens": []}


@pytest.fixture
def failed_run(db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Mapping[str, Any]:
    """What the listener notes of a run that really failed."""
    from airflow.listeners.listener import get_listener_manager
    from airflow.providers.common.compat.sdk import BaseOperator

    class Fails(BaseOperator):
        def execute(self, context: Any) -> None:
            raise ValueError("読込")

    with new_dag("listener_report", tags=["batch"], default_args={"owner": "aozora-yamada"}) as dag:
        Fails(task_id="load")
    told = Told()
    listener = FailedRuns(told)
    manager = get_listener_manager()
    manager.add_listener(listener)
    try:
        run_dag(dag, monkeypatch, tmp_path)
    finally:
        manager.pm.unregister(listener)
        listener.before_stopping(component=None)
    [noted] = told.noted
    return noted


class TestTellOfRun:
    @pytest.fixture(autouse=True)
    def forget(self, db: None) -> Iterator[None]:
        """Take away what the alerts have left in the database."""
        yield
        from airflow.models import Variable
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            session.execute(delete(Variable))

    def test_tells_of_a_run_that_failed(self, failed_run, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, default_room_id=company.DATA_ROOM, lang="en")
        tell_of_run(failed_run)
        [posted] = sandbox.requests
        assert posted.operation == "post_message"
        text = posted.form["body"]
        assert alert_catalog("en").text("run_failure", dag="listener_report") in text
        assert f"Run: {failed_run['run_id']}" in text
        assert "load" in text
        assert failed_run["reason"] == "task_failure"

    def test_tells_once(self, failed_run, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, default_room_id=company.DATA_ROOM)
        for _ in range(2):
            tell_of_run(failed_run)
        assert [request.operation for request in sandbox.requests] == ["post_message"]

    def test_goes_through_the_connection_that_the_configuration_names(self, failed_run, sandbox, monkeypatch):
        sandbox.add_token("another", company.YAMADA)
        connect(monkeypatch, sandbox, conn_id="another", token="another", default_room_id=company.SALES_ROOM)
        monkeypatch.setenv("AIRFLOW__CHATWORK__ALERT_CONN_ID", "another")
        tell_of_run(failed_run)
        [posted] = sandbox.requests
        assert posted.account_id == company.YAMADA
        assert posted.path == f"/rooms/{company.SALES_ROOM}/messages"

    @pytest.mark.parametrize(
        "condition", [{"owner": "aozora-yamada"}, {"tag": "batch"}, {"dag_id": "listener_*"}], ids=str
    )
    def test_is_routed_by_what_the_database_says_of_the_dag(self, failed_run, sandbox, monkeypatch, condition):
        self.announce()
        routing = [{**condition, "room_id": company.SALES_ROOM, "mentions": ["owner"]}]
        connect(monkeypatch, sandbox, default_room_id=company.DATA_ROOM, routing=routing)
        tell_of_run(failed_run)
        posted = sandbox.requests[-1]
        assert posted.path == f"/rooms/{company.SALES_ROOM}/messages"
        assert posted.form["body"].startswith(f"[To:{company.YAMADA}] 山田 太郎\n")

    @staticmethod
    def announce() -> None:
        """Let the database know of the DAG, as it would if it were in a file."""
        from airflow.models.dag import DagModel, DagTag
        from airflow.utils.session import create_session

        with create_session() as session:
            model = session.get(DagModel, "listener_report") or DagModel(dag_id="listener_report")
            model.owners = "aozora-yamada"
            model.tags = [DagTag(name="batch", dag_id="listener_report")]
            session.merge(model)

    def test_makes_do_where_the_database_knows_nothing_of_the_dag(self, db, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, default_room_id=company.DATA_ROOM, lang="en")
        noted = {"dag_id": "unknown", "run_id": "r", "start_date": None, "end_date": None, "logical_date": None}
        tell_of_run({**noted, "reason": "failed"})
        [posted] = sandbox.requests
        assert alert_catalog("en").text("run_failure", dag="unknown") in posted.form["body"]

    def test_raises_nothing_where_chatwork_is_down(self, failed_run, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, conn_id="chatwork_default", token="wrong", default_room_id=company.DATA_ROOM)
        tell_of_run(failed_run)
        assert [request.status for request in sandbox.requests] == [401]
