"""An alert for every DAG run that fails, whatever its DAG declares: ``[chatwork] alert_failed_runs = True``.

The scheduler calls the listener, and waits for it. So it only notes which run it was and hands that to a thread of its
own, which asks the database and Chatwork. What the thread has not told when the scheduler stops is told within
seconds, or logged as lost.
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


class FailedRuns:
    """Hears of failed runs and has them told.

    :param tell: tells of one; given what :meth:`on_dag_run_failed` notes.
    :param waiting: how many failed runs wait at the most.
    :param last_words: seconds that a scheduler which stops waits for them.
    """

    def __init__(
        self, tell: Callable[[Mapping[str, Any]], None] | None = None, *, waiting: int = 1000, last_words: float = 10.0
    ) -> None:
        self._tell = tell or tell_of_run
        self._waiting = waiting
        self._last_words = last_words
        # Without a limit of its own, so that nobody ever waits for a place.
        self._queue: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._announced = False

    @hookimpl
    def on_starting(self, component: Any) -> None:
        """Say that it is on, in the process that will hear of the runs."""
        # What kind of job it is going to be does not stand in it yet. The jobs of workers that are forked later start
        # with the same command line.
        if sys.argv[1:2] == ["scheduler"] and not self._announced:
            self._announced = True
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
            if self._queue.qsize() >= self._waiting:
                log.error(
                    "Chatwork alert lost: more than %s failed runs are waiting to be told: %s", self._waiting, noted
                )
                return
            self._queue.put(noted)
            self._begin()
        except Exception:
            log.exception("Chatwork alert lost: a failed run could not be noted")

    @hookimpl
    def before_stopping(self, component: Any) -> None:
        """Tell what is still to be told."""
        thread = self._thread
        if thread is None:
            return
        self._queue.put(None)
        thread.join(self._last_words)
        if thread.is_alive():
            # The one that is being told counts for the word to stop, which waits as well.
            log.error("Chatwork alert lost: %s failed runs could not be told before the end", self._queue.qsize())

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

    from airflow_provider_chatwork.alerts.airflow_store import DatabaseLedger
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
