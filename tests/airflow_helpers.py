"""What the tests of the Airflow side share: connections, what a task's context holds, and whole runs of DAGs."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from airflow import __version__

from airflow_provider_chatwork.sandbox import Limits
from airflow_provider_chatwork.sandbox.serving import ServedSandbox, serve

#: The running Airflow, (major, minor).
VERSION = tuple(int(part) for part in __version__.split(".")[:2])


@pytest.fixture(scope="session")
def one_server() -> Iterator[ServedSandbox]:
    """A sandbox behind a port for the whole run: the fifth of a second it takes to stop one adds up in tables."""
    sandbox = ServedSandbox()
    with serve(sandbox) as sandbox.address:
        yield sandbox


@pytest.fixture
def sandbox(one_server: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> ServedSandbox:
    """What ``chatwork_sandbox`` is, on a server shared with other tests, and with a connection without patience."""
    one_server.clock = time.time
    one_server.reset()
    one_server.limits = Limits()
    one_server.complete_tasks_after = None
    one_server.task_notices = True
    connect(monkeypatch, one_server)
    return one_server


def connect(
    monkeypatch: pytest.MonkeyPatch,
    sandbox: ServedSandbox,
    *,
    conn_id: str = "chatwork_default",
    token: str | None = None,
    **extra: Any,
) -> None:
    """Let a connection lead to the sandbox. It has no patience for waits, unless it is given some."""
    connection = {
        "conn_type": "chatwork",
        "host": sandbox.address.api,
        "password": token or sandbox.token,
        "extra": {"max_wait": 0, **extra},
    }
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


@dataclass
class FakeTaskInstance:
    """A task instance as far as operators and sensors know it."""

    dag_id: str = "report"
    task_id: str = "tell"
    run_id: str = "manual__1"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    state: str | None = None
    log_url: str = "http://localhost:8080/log?dag_id=report"
    xcoms: dict[str, Any] = field(default_factory=dict)
    waiting_since: datetime | None = None

    def xcom_push(self, key: str, value: Any) -> None:
        # As strict as the real one: what is no plain JSON does not come out as it went in.
        self.xcoms[key] = json.loads(json.dumps(value))
        assert self.xcoms[key] == value

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.waiting_since


class FakeStore:
    """The state store of one task instance, as ``TaskStateStoreAccessor`` of Airflow 3.3 behaves."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        if value is None:
            raise ValueError("Cannot set value as None")
        self.kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


def context(**more: Any) -> Any:
    """The context of a task, with a task instance."""
    return {"ti": FakeTaskInstance(), **more}


def new_dag(dag_id: str, **kwargs: Any) -> Any:
    """A DAG that runs when told to."""
    from airflow.providers.common.compat.sdk import DAG

    return DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), **kwargs)


def render(operator: Any, **values: Any) -> Any:
    """Render an operator's fields as the worker does before it executes, and return it."""
    operator.render_template_fields({"dag": operator.dag if operator.has_dag() else None, **values})
    return operator


def run_dag(dag: Any, monkeypatch: pytest.MonkeyPatch, empty_folder: os.PathLike[str], **kwargs: Any) -> Any:
    """Run a DAG that is in no file with ``dag.test()``, and return its run. It needs the fixture ``db``.

    :param empty_folder: stands for the DAGs folder, which Airflow would read as a whole on every run.
    """
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": os.fspath(empty_folder)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    if VERSION < (3, 0):
        # Its default for unit tests is one that SQLite cannot serve.
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "SequentialExecutor")
    if VERSION >= (3, 0):
        # Airflow 3.0 to 3.2 would build a new one for each task, which takes seconds.
        monkeypatch.setattr("airflow.sdk.execution_time.supervisor.in_process_api_server", _execution_api)
    with warnings.catch_warnings():
        # What Airflow's own parts have to tell each other is not this provider's business.
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="airflow_provider_chatwork")
        if VERSION >= (3, 1):
            _announce(dag)
        return dag.test(**kwargs)


@cache
def _execution_api() -> Any:
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

    return InProcessExecutionAPI()


def _announce(dag: Any) -> None:
    """Tell the database of the DAG, which Airflow would look for in the files of the DAGs folder."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    if VERSION >= (3, 2):
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    else:
        from airflow.models.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
