"""Helpers for tests that need Airflow: connections, task contexts and DAG runs."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from airflow import __version__

from airflow_provider_chatwork.sandbox.serving import ServedSandbox

#: The running Airflow, (major, minor).
VERSION = tuple(int(part) for part in __version__.split(".")[:2])


def connect(
    monkeypatch: pytest.MonkeyPatch,
    sandbox: ServedSandbox,
    *,
    conn_id: str = "chatwork_default",
    token: str | None = None,
    **extra: Any,
) -> None:
    """Set the environment variable of a connection to the sandbox, with ``max_wait`` 0 unless given."""
    connection = {
        "conn_type": "chatwork",
        "host": sandbox.address.api,
        "password": token or sandbox.token,
        "extra": {"max_wait": 0, **extra},
    }
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


@dataclass
class FakeTaskInstance:
    """The part of a task instance that operators and sensors use."""

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
        # The value must be plain JSON, as in Airflow.
        self.xcoms[key] = json.loads(json.dumps(value))
        assert self.xcoms[key] == value

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.waiting_since


class FakeStore:
    """A state store of one task instance with the interface of Airflow 3.3's ``TaskStateStoreAccessor``."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        if value is None:
            raise ValueError("Cannot set value as None")
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


def context(**more: Any) -> Any:
    """Return a task context with a task instance."""
    return {"ti": FakeTaskInstance(), **more}


def new_dag(dag_id: str, **kwargs: Any) -> Any:
    """Return a DAG without a schedule."""
    from airflow.providers.common.compat.sdk import DAG

    return DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), **kwargs)


def render(operator: Any, **values: Any) -> Any:
    """Render the template fields of an operator, as a worker does, and return the operator."""
    operator.render_template_fields({"dag": operator.dag if operator.has_dag() else None, **values})
    return operator


def run_dag(dag: Any, monkeypatch: pytest.MonkeyPatch, empty_folder: os.PathLike[str], **kwargs: Any) -> Any:
    """Run a DAG that has no file with ``dag.test()`` and return its run. This needs the fixture ``db``.

    :param empty_folder: used as the DAGs folder; Airflow reads all its files on every run.
    """
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": os.fspath(empty_folder)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    if VERSION < (3, 0):
        # The default executor of the unit test mode does not work with SQLite.
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "SequentialExecutor")
    if VERSION >= (3, 0):
        # Airflow 3.0 to 3.2 create a new one for each task, which takes seconds.
        monkeypatch.setattr("airflow.sdk.execution_time.supervisor.in_process_api_server", _execution_api)
    with warnings.catch_warnings():
        # Warnings of Airflow's own code are no errors here.
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="airflow_provider_chatwork")
        if VERSION >= (3, 1):
            _register(dag)
        return dag.test(**kwargs)


@cache
def _execution_api() -> Any:
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

    return InProcessExecutionAPI()


def _register(dag: Any) -> None:
    """Write the DAG to the database; Airflow would search it in the files of the DAGs folder."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    if VERSION >= (3, 2):
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    else:
        from airflow.models.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
