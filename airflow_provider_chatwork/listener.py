"""Alerts for all failed DAG runs, with ``[chatwork] alert_failed_runs = True``.

The scheduler calls the listener and waits for it. The listener therefore only puts the run into a queue; a thread of
its own reads the database and sends the alerts. A stopping scheduler waits a few seconds for the queue.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import hookimpl

log = logging.getLogger(__name__)


class FailedRunListener:
    """Sends an alert for every failed DAG run.

    :param alert: sends the alert for one run, given the values of :meth:`on_dag_run_failed`.
    :param max_queue: the maximum number of runs in the queue.
    :param shutdown_timeout: the seconds for which a stopping scheduler waits for the queue.
    """

    def __init__(
        self,
        alert: Callable[[Mapping[str, Any]], None] | None = None,
        *,
        max_queue: int = 1000,
        shutdown_timeout: float = 10.0,
    ) -> None:
        self._alert = alert or alert_failed_run
        self._max_queue = max_queue
        self._shutdown_timeout = shutdown_timeout
        # Unlimited, so that putting a run never blocks the scheduler.
        self._queue: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._announced = False

    @hookimpl
    def on_starting(self, component: Any) -> None:
        """Log in the scheduler that the listener is active."""
        # The component does not have its type yet. Workers are forked with the scheduler's command line.
        if sys.argv[1:2] == ["scheduler"] and not self._announced:
            self._announced = True
            log.info("Alerts for failed DAG runs are sent to Chatwork: [chatwork] alert_failed_runs is on")

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        """Put a failed run into the queue. Never blocks and never raises."""
        try:
            run = {
                **{name: getattr(dag_run, name, None) for name in ("dag_id", "run_id", "start_date", "end_date")},
                # `execution_date` in Airflow 2.
                "logical_date": getattr(dag_run, "logical_date", None) or getattr(dag_run, "execution_date", None),
                "reason": msg or "failed",
            }
            if self._queue.qsize() >= self._max_queue:
                log.error("Chatwork alert lost: more than %s failed runs are in the queue: %s", self._max_queue, run)
                return
            self._queue.put(run)
            self._start_thread()
        except Exception:
            log.exception("Chatwork alert lost: a failed run could not be put into the queue: %s", msg)

    @hookimpl
    def before_stopping(self, component: Any) -> None:
        """Wait for the alerts of the runs in the queue."""
        thread = self._thread
        if thread is None:
            return
        self._queue.put(None)
        thread.join(self._shutdown_timeout)
        if thread.is_alive():
            # The queue contains the stop mark, but no longer the run whose alert is being sent.
            log.error("Chatwork alert lost: the scheduler stops with %s failed runs in the queue", self._queue.qsize())

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._send_alerts, name="chatwork-alerts", daemon=True)
                self._thread.start()

    def _send_alerts(self) -> None:
        while (run := self._queue.get()) is not None:
            try:
                self._alert(run)
            # The thread has to go on with the next run.
            except Exception:
                log.exception("Chatwork alert lost: %s", run)


def alert_failed_run(run: Mapping[str, Any]) -> None:
    """Send the alert for one failed run, from the scheduler."""
    from airflow.providers.common.compat.sdk import conf

    from airflow_provider_chatwork.alerts.airflow_store import DatabaseAlertStore
    from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

    class SchedulerNotifier(ChatworkNotifier):
        def _store(self, context: Any, event: Any) -> Any:
            return DatabaseAlertStore(run["dag_id"], run["run_id"])

    conn_id = conf.get("chatwork", "alert_conn_id", fallback=ChatworkNotifier.default_conn_name)
    context: Any = {
        "dag": _load_dag(run["dag_id"]),
        "dag_run": SimpleNamespace(**run),
        "run_id": run["run_id"],
        "reason": run["reason"],
    }
    SchedulerNotifier(chatwork_conn_id=conn_id).notify(context)


def _load_dag(dag_id: str) -> Any:
    """Return the id, owners and tags of a DAG from the database, for the routing."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        dag = session.get(DagModel, dag_id)
        return SimpleNamespace(
            dag_id=dag_id,
            owner=getattr(dag, "owners", None),
            tags=[tag.name for tag in getattr(dag, "tags", None) or ()],
        )
