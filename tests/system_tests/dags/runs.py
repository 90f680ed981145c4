"""DAG runs that end in every possible way."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, task

from tests.system_tests.recording_notifier import Recorder

COMMON = {
    "start_date": datetime(2026, 1, 1),
    "schedule": None,
    "catchup": False,
    "default_args": {"owner": "data-team"},
    "tags": ["orders"],
    "is_paused_upon_creation": False,
}


@task
def other() -> str:
    return "ok"


@task
def fails() -> None:
    raise RuntimeError("受注データベースに接続できません")


@task
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


with DAG("run_succeeds", on_success_callback=Recorder("dag.on_success"), **COMMON):
    other()

with DAG("run_fails", on_failure_callback=Recorder("dag.on_failure"), **COMMON):
    # What ends last has not failed.
    other() >> fails() >> sleeps.override(task_id="never")(0)
    sleeps(12)

with DAG(
    "run_times_out",
    on_failure_callback=Recorder("dag.timed_out.on_failure"),
    dagrun_timeout=timedelta(seconds=8),
    **COMMON,
):
    sleeps(240)

with DAG(
    "run_never_starts",
    on_failure_callback=Recorder("dag.never_started.on_failure"),
    dagrun_timeout=timedelta(seconds=8),
    **COMMON,
):
    # There is no such pool.
    sleeps.override(pool="closed")(0)

with DAG("run_empty", on_success_callback=Recorder("dag.empty.on_success"), **COMMON):
    pass
