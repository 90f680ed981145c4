"""An alert for every DAG run that fails, whatever its DAG declares: ``[chatwork] alert_failed_runs = True``.

The scheduler calls the listener, and waits for it. So it only notes which run it was and hands that to a thread of its
own, which asks the database and Chatwork. What the thread has not told when the scheduler stops is told within
seconds, or logged as lost.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import hookimpl

log = logging.getLogger(__name__)

# How many failed runs wait at the most, and how long the scheduler waits for them when it stops, in seconds.
_WAITING = 1000
_LAST_WORDS = 10.0


class FailedRuns:
    """Hears of failed runs and has them told.

    :param tell: tells of one; given what :meth:`on_dag_run_failed` notes.
    """

    def __init__(self, tell: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        self._tell = tell or tell_of_run
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @hookimpl
    def on_starting(self, component: Any) -> None:
        """Say that it is on, in the process that will hear of the runs."""
        if getattr(component, "job_type", None) == "SchedulerJob":
            log.info("Every DAG run that fails is alerted to Chatwork: [chatwork] alert_failed_runs is on")

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        """Note a failed run. Nothing in here waits for anybody, or raises."""
        try:
            noted = {
                **{name: getattr(dag_run, name, None) for name in ("dag_id", "run_id", "start_date", "end_date")},
                # Airflow 2 has another name for it.
                "logical_date": getattr(dag_run, "logical_date", None) or getattr(dag_run, "execution_date", None),
                "reason": msg or "failed",
            }
            self._queue.put_nowait(noted)
        except queue.Full:
            log.error("Chatwork alert lost: more than %s failed runs are waiting to be told", _WAITING)
        except Exception:
            log.exception("Chatwork alert lost: a failed run could not be noted")
        else:
            self._begin()

    @hookimpl
    def before_stopping(self, component: Any) -> None:
        """Tell what is still to be told."""
        thread = self._thread
        if thread is not None:
            self._queue.put(None)
            thread.join(_LAST_WORDS)
            if left := self._queue.qsize():
                log.error("Chatwork alert lost: %s failed runs could not be told before the end", left)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="chatwork-alerts", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while (noted := self._queue.get()) is not None:
            try:
                self._tell(noted)
            # The thread has to live on, for the next ones.
            except Exception:
                log.exception("Chatwork alert lost: %s", noted)


def tell_of_run(noted: Mapping[str, Any]) -> None:
    """Tell of one failed run, from the scheduler."""
    from airflow.providers.common.compat.sdk import conf

    from airflow_provider_chatwork.alerts.ledger import DatabaseLedger
    from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

    class Notifier(ChatworkNotifier):
        def _ledger(self, context: Any, delivery: Any) -> Any:
            return DatabaseLedger(noted["dag_id"], noted["run_id"])

    conn_id = conf.get("chatwork", "alert_conn_id", fallback=ChatworkNotifier.default_conn_name)
    context: Any = {
        "dag": _dag_of(noted["dag_id"]),
        "dag_run": SimpleNamespace(**noted),
        "run_id": noted["run_id"],
        "reason": noted["reason"],
    }
    Notifier(chatwork_conn_id=conn_id).notify(context)


def _dag_of(dag_id: str) -> Any:
    """What the database says of a DAG, for the routing."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        dag = session.get(DagModel, dag_id)
        return SimpleNamespace(
            dag_id=dag_id,
            owner=getattr(dag, "owners", None),
            tags=[tag.name for tag in getattr(dag, "tags", None) or ()],
        )
