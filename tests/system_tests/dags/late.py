"""DAGs that are late: deadlines from Airflow 3.1, service level agreements of Airflow 2."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from airflow import __version__
from airflow.providers.common.compat.sdk import DAG, task

from tests.system_tests.recording_notifier import Recorder

VERSION = tuple(int(part) for part in __version__.split(".")[:2])
SOON = timedelta(seconds=3)


@task
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


def common() -> dict[str, Any]:
    return {"start_date": datetime(2026, 1, 1), "schedule": None, "is_paused_upon_creation": False}


if VERSION >= (3, 1):
    from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

    with DAG(
        "deadline_async",
        deadline=DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=SOON,
            callback=AsyncCallback(Recorder, kwargs={"kind": "deadline.async"}),
        ),
        **common(),
    ):
        sleeps(25)

if VERSION >= (3, 3):
    from airflow.sdk.definitions.deadline import SyncCallback

    with DAG(
        "deadline_sync",
        deadline=DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=SOON,
            callback=SyncCallback(Recorder, kwargs={"kind": "deadline.sync"}),
        ),
        **common(),
    ):
        sleeps(25)

if VERSION < (3, 0):
    with DAG(
        "sla",
        start_date=datetime(2026, 1, 1),
        schedule=timedelta(seconds=15),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        sla_miss_callback=Recorder("sla"),
        default_args={"owner": "data-team", "sla": timedelta(seconds=1)},
    ):
        sleeps(1) >> sleeps.override(task_id="late")(40)
