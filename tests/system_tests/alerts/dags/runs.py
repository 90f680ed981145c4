"""DAG runs that end in every way a run can."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from airflow_provider_chatwork.sandbox.company import TAKAHASHI
from tests.system_tests.alerts.rooms import LISTENER_CONNECTION, ROOMS

COMMON: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1),
    "schedule": None,
    "catchup": False,
    "is_paused_upon_creation": False,
}


@task
def fails(what: str) -> None:
    raise RuntimeError(f"{what}を読み込めません")


@task
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


NIGHTLY = ChatworkNotifier(room_id=ROOMS["nightly_orders"], mentions=[TAKAHASHI])
with DAG(
    "nightly_orders",
    default_args={"owner": "data-team", "on_failure_callback": NIGHTLY},
    on_failure_callback=NIGHTLY,
    **COMMON,
):
    # One after the other, so that the text is the same every time; for many at once there is the storm.
    last = None
    for task_id, what in {"load_orders": "受注", "load_stock": "在庫", "load_sales": "売上"}.items():
        step = fails.override(task_id=task_id, trigger_rule="all_done")(what)
        step >> sleeps.override(task_id=f"{task_id}_done")(0)
        if last is not None:
            last >> step
        last = step

with DAG("run_only", on_failure_callback=ChatworkNotifier(room_id=ROOMS["run_only"]), **COMMON):
    # What ends last has not failed.
    fails.override(task_id="load_orders")("受注") >> sleeps.override(task_id="never")(0)
    fails.override(task_id="load_stock")("在庫")
    sleeps(8)

with DAG(
    "run_times_out",
    on_failure_callback=ChatworkNotifier(room_id=ROOMS["run_times_out"]),
    dagrun_timeout=timedelta(seconds=8),
    **COMMON,
):
    sleeps(240)

with DAG(
    "run_never_starts",
    on_failure_callback=ChatworkNotifier(room_id=ROOMS["run_never_starts"]),
    dagrun_timeout=timedelta(seconds=8),
    **COMMON,
):
    # There is no such pool.
    sleeps.override(pool="closed")(0)

SALES = ChatworkNotifier(room_id=ROOMS["sales_report"], mentions=[TAKAHASHI])
with DAG(
    "sales_report",
    default_args={"owner": "data-team", "on_failure_callback": SALES},
    on_failure_callback=SALES,
    on_success_callback=SALES,
    **COMMON,
):

    @task
    def collect(dag_run: Any = None) -> None:
        if (dag_run.conf or {}).get("broken"):
            raise ConnectionError("売上データベースに接続できません")

    collect() >> sleeps.override(task_id="publish")(0)

# The runs below fail and are reported by the listener. One of them is also reported by its task.
with DAG("no_callback", **COMMON):
    fails("請求")

with DAG(
    "also_told",
    default_args={
        "on_failure_callback": ChatworkNotifier(room_id=ROOMS["listener"], chatwork_conn_id=LISTENER_CONNECTION)
    },
    **COMMON,
):
    fails("支払")
