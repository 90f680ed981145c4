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

from airflow_provider_chatwork.alerts.formatter import AlertFormatter
from airflow_provider_chatwork.listener import FailedRunListener, alert_failed_run
from airflow_provider_chatwork.sandbox import company
from tests.airflow_helpers import connect, new_dag, run_dag

STARTED = datetime(2026, 11, 1, tzinfo=UTC)
ANNOUNCED = "Alerts for failed DAG runs are sent to Chatwork"
# The timeout of a failing test; a passing one does not wait this long.
TIMEOUT = 30.0


def dag_run(run_id: str = "r", **more: Any) -> Any:
    return SimpleNamespace(**{"dag_id": "report", "run_id": run_id, "start_date": STARTED, "end_date": STARTED, **more})


class RecordingAlert:
    """Records the runs it gets instead of sending an alert.

    :param blocked: whether it blocks until :meth:`unblock`.
    """

    def __init__(self, *, blocked: bool = False) -> None:
        self.runs: list[Mapping[str, Any]] = []
        self.threads: list[threading.Thread] = []
        self._busy = threading.Event()
        self._unblocked = threading.Event()
        if not blocked:
            self._unblocked.set()

    def __call__(self, run: Mapping[str, Any]) -> None:
        self.threads.append(threading.current_thread())
        self._busy.set()
        assert self._unblocked.wait(TIMEOUT)
        self.runs.append(run)
        if run["run_id"] == "broken":
            raise ValueError("読込")

    def wait_until_busy(self) -> None:
        assert self._busy.wait(TIMEOUT)

    def unblock(self) -> None:
        self._unblocked.set()

    @property
    def run_ids(self) -> list[str]:
        return [run["run_id"] for run in self.runs]


@pytest.fixture
def blocked() -> Iterator[RecordingAlert]:
    """An alert that blocks until the test ends."""
    alert = RecordingAlert(blocked=True)
    yield alert
    alert.unblock()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="airflow_provider_chatwork")
    return caplog


class TestOnStarting:
    @staticmethod
    def start(monkeypatch: pytest.MonkeyPatch, listener: FailedRunListener, *command: str) -> None:
        from airflow.jobs.job import Job

        monkeypatch.setattr(sys, "argv", ["airflow", *command])
        # As it is when Airflow hands it over: before it knows what kind of job it is.
        listener.on_starting(component=Job())

    def test_the_scheduler_logs_that_the_listener_is_active(self, monkeypatch, log):
        self.start(monkeypatch, FailedRunListener(), "scheduler")
        assert ANNOUNCED in log.text

    @pytest.mark.parametrize("command", ["triggerer", "dag-processor", "tasks"])
    def test_other_components_log_nothing(self, monkeypatch, log, command):
        self.start(monkeypatch, FailedRunListener(), command, "scheduler")
        assert ANNOUNCED not in log.text

    def test_the_workers_of_a_scheduler_log_nothing(self, monkeypatch, log):
        listener = FailedRunListener()
        self.start(monkeypatch, listener, "scheduler")
        log.clear()
        self.start(monkeypatch, listener, "scheduler")
        assert ANNOUNCED not in log.text


class TestOnDagRunFailed:
    def test_the_alert_is_sent_in_a_thread(self):
        alert = RecordingAlert()
        listener = FailedRunListener(alert)
        listener.on_dag_run_failed(dag_run=dag_run(logical_date=STARTED), msg="task_failure")
        listener.before_stopping(component=None)
        assert alert.runs == [
            {
                "dag_id": "report",
                "run_id": "r",
                "start_date": STARTED,
                "end_date": STARTED,
                "logical_date": STARTED,
                "reason": "task_failure",
            }
        ]
        assert alert.threads[0] is not threading.current_thread()
        assert alert.threads[0].daemon

    def test_the_execution_date_of_airflow_2_is_read(self):
        alert = RecordingAlert()
        listener = FailedRunListener(alert)
        listener.on_dag_run_failed(dag_run=dag_run(execution_date=STARTED), msg="")
        listener.before_stopping(component=None)
        assert alert.runs[0]["logical_date"] == STARTED

    def test_a_run_without_a_message_has_the_reason_failed(self):
        alert = RecordingAlert()
        listener = FailedRunListener(alert)
        listener.on_dag_run_failed(dag_run=dag_run(), msg="")
        listener.before_stopping(component=None)
        assert alert.runs[0]["reason"] == "failed"

    def test_the_scheduler_does_not_wait_for_the_alerts(self, blocked):
        listener = FailedRunListener(blocked)
        for at in range(3):
            listener.on_dag_run_failed(dag_run=dag_run(f"r{at}"), msg="")
        assert blocked.run_ids == []
        blocked.unblock()
        listener.before_stopping(component=None)
        assert blocked.run_ids == ["r0", "r1", "r2"]
        assert len({*blocked.threads}) == 1

    def test_a_run_beyond_the_maximum_is_logged_as_lost(self, blocked, log):
        listener = FailedRunListener(blocked, max_queue=2)
        listener.on_dag_run_failed(dag_run=dag_run("r0"), msg="")
        blocked.wait_until_busy()
        for at in range(1, 4):
            listener.on_dag_run_failed(dag_run=dag_run(f"r{at}"), msg="")
        assert "Chatwork alert lost: more than 2 failed runs are in the queue" in log.text
        assert "'run_id': 'r3'" in log.text
        blocked.unblock()
        listener.before_stopping(component=None)
        assert blocked.run_ids == ["r0", "r1", "r2"]

    def test_a_run_that_cannot_be_read_is_logged(self, log):
        class Detached:
            @property
            def dag_id(self) -> str:
                raise RuntimeError("no session")

        alert = RecordingAlert()
        listener = FailedRunListener(alert)
        listener.on_dag_run_failed(dag_run=Detached(), msg="")
        assert "Chatwork alert lost: a failed run could not be put into the queue" in log.text
        assert "no session" in log.text
        listener.on_dag_run_failed(dag_run=dag_run(), msg="")
        listener.before_stopping(component=None)
        assert alert.run_ids == ["r"]

    def test_the_thread_goes_on_after_an_error(self, log):
        alert = RecordingAlert()
        listener = FailedRunListener(alert)
        for run_id in ("broken", "r"):
            listener.on_dag_run_failed(dag_run=dag_run(run_id), msg="")
        listener.before_stopping(component=None)
        assert alert.run_ids == ["broken", "r"]
        assert len({*alert.threads}) == 1
        assert "Chatwork alert lost: {'dag_id': 'report', 'run_id': 'broken'" in log.text
        assert "ValueError: 読込" in log.text


class TestBeforeStopping:
    def test_nothing_happens_without_failed_runs(self, log):
        FailedRunListener(RecordingAlert()).before_stopping(component=None)
        assert log.text == ""

    def test_nothing_is_logged_if_every_alert_was_sent(self, log):
        listener = FailedRunListener(RecordingAlert())
        listener.on_dag_run_failed(dag_run=dag_run(), msg="")
        listener.before_stopping(component=None)
        assert "lost" not in log.text

    def test_the_number_of_lost_alerts_is_logged(self, blocked, log):
        listener = FailedRunListener(blocked, max_queue=2, shutdown_timeout=0.0)
        for at in range(3):
            listener.on_dag_run_failed(dag_run=dag_run(f"r{at}"), msg="")
            blocked.wait_until_busy()
        # Also where there is no place left in the queue.
        listener.before_stopping(component=None)
        assert "Chatwork alert lost: the scheduler stops with 3 failed runs in the queue" in log.text

    def test_a_new_thread_is_started_after_stopping(self):
        alert = RecordingAlert()
        listener = FailedRunListener(alert)
        for at in range(2):
            listener.on_dag_run_failed(dag_run=dag_run(f"r{at}"), msg="")
            listener.before_stopping(component=None)
        assert alert.run_ids == ["r0", "r1"]
        assert len({*alert.threads}) == 2


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

    def test_the_configuration_enables_the_listener(self, tmp_path):
        found = self.found(tmp_path, AIRFLOW__CHATWORK__ALERT_FAILED_RUNS="True")
        assert found == {"loaded": True, "listens": ["FailedRunListener"]}

    @pytest.mark.parametrize("environment", [{}, {"AIRFLOW__CHATWORK__ALERT_FAILED_RUNS": "False"}], ids=str)
    def test_the_listener_is_not_loaded_by_default(self, tmp_path, environment):
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
    alert = RecordingAlert()
    listener = FailedRunListener(alert)
    manager = get_listener_manager()
    manager.add_listener(listener)
    try:
        run_dag(dag, monkeypatch, tmp_path)
    finally:
        manager.pm.unregister(listener)
        listener.before_stopping(component=None)
    [run] = alert.runs
    return run


class TestAlertFailedRun:
    @pytest.fixture(autouse=True)
    def forget(self, db: None) -> Iterator[None]:
        """Take away what the alerts have left in the database."""
        yield
        from airflow.models import Variable
        from airflow.utils.session import create_session
        from sqlalchemy import delete

        with create_session() as session:
            session.execute(delete(Variable))

    def test_a_failed_run_is_posted(self, failed_run, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, default_room_id=company.DATA_ROOM, lang="en")
        alert_failed_run(failed_run)
        [posted] = sandbox.requests
        assert posted.operation == "post_message"
        text = posted.form["body"]
        assert AlertFormatter("en", "UTC").catalog.text("run_failure", dag="listener_report") in text
        assert f"Run: {failed_run['run_id']}" in text
        assert "load" in text
        assert failed_run["reason"] == "task_failure"

    def test_a_failed_run_is_posted_once(self, failed_run, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, default_room_id=company.DATA_ROOM)
        for _ in range(2):
            alert_failed_run(failed_run)
        assert [request.operation for request in sandbox.requests] == ["post_message"]

    def test_the_configured_connection_is_used(self, failed_run, sandbox, monkeypatch):
        sandbox.add_token("another", company.YAMADA)
        connect(monkeypatch, sandbox, conn_id="another", token="another", default_room_id=company.SALES_ROOM)
        monkeypatch.setenv("AIRFLOW__CHATWORK__ALERT_CONN_ID", "another")
        alert_failed_run(failed_run)
        [posted] = sandbox.requests
        assert posted.account_id == company.YAMADA
        assert posted.path == f"/rooms/{company.SALES_ROOM}/messages"

    @pytest.mark.parametrize(
        "condition", [{"owner": "aozora-yamada"}, {"tag": "batch"}, {"dag_id": "listener_*"}], ids=str
    )
    def test_the_owners_and_tags_of_the_database_are_routed(self, failed_run, sandbox, monkeypatch, condition):
        self.announce()
        routing = [{**condition, "room_id": company.SALES_ROOM, "mentions": ["owner"]}]
        connect(monkeypatch, sandbox, default_room_id=company.DATA_ROOM, routing=routing)
        alert_failed_run(failed_run)
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

    def test_a_dag_that_is_not_in_the_database_is_posted(self, db, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, default_room_id=company.DATA_ROOM, lang="en")
        run = {"dag_id": "unknown", "run_id": "r", "start_date": None, "end_date": None, "logical_date": None}
        alert_failed_run({**run, "reason": "failed"})
        [posted] = sandbox.requests
        assert AlertFormatter("en", "UTC").catalog.text("run_failure", dag="unknown") in posted.form["body"]

    def test_an_error_of_chatwork_is_not_raised(self, failed_run, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, conn_id="chatwork_default", token="wrong", default_room_id=company.DATA_ROOM)
        alert_failed_run(failed_run)
        assert [request.status for request in sandbox.requests] == [401]
