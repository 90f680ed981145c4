"""What is late: deadlines from Airflow 3.1, and the service level agreements of Airflow 2."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from airflow import __version__
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from airflow_provider_chatwork.sandbox.company import TAKAHASHI
from tests.system_tests.alerts.rooms import ENV_CONNECTION, ROOMS

VERSION = tuple(int(part) for part in __version__.split(".")[:2])
#: The run has to have begun when its time is over, and to go on until that is noticed: seconds.
ALLOWED = 15
LASTS = 40
COMMON: dict[str, Any] = {"start_date": datetime(2026, 1, 1), "schedule": None, "is_paused_upon_creation": False}


@task
def sleeps(seconds: float) -> None:
    time.sleep(seconds)


if VERSION >= (3, 1):
    from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

    def soon(callback: Any) -> DeadlineAlert:
        return DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(seconds=ALLOWED), callback=callback
        )

    with DAG(
        "deadline_async",
        deadline=soon(
            AsyncCallback(ChatworkNotifier, kwargs={"room_id": ROOMS["deadline_async"], "mentions": [TAKAHASHI]})
        ),
        **COMMON,
    ):
        sleeps(LASTS)

# There is a SyncCallback in 3.2 already, whose end is the end of the scheduler with it, on SQLite.
if VERSION >= (3, 3):
    from airflow.sdk.definitions.deadline import SyncCallback

    with DAG(
        "deadline_sync",
        deadline=soon(
            SyncCallback(
                ChatworkNotifier, kwargs={"room_id": ROOMS["deadline_sync"], "chatwork_conn_id": ENV_CONNECTION}
            )
        ),
        **COMMON,
    ):
        sleeps(LASTS)

    # Its connection is one of the database.
    with DAG(
        "deadline_unseen",
        deadline=soon(SyncCallback(ChatworkNotifier, kwargs={"room_id": ROOMS["deadline_unseen"]})),
        **COMMON,
    ):
        sleeps(LASTS)

if VERSION < (3, 0):
    with DAG(
        "sla",
        start_date=datetime(2026, 1, 1),
        schedule=timedelta(seconds=15),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        sla_miss_callback=ChatworkNotifier(room_id=ROOMS["sla"], mentions=[TAKAHASHI]),
        default_args={"owner": "data-team", "sla": timedelta(seconds=1)},
    ):
        sleeps(1) >> sleeps.override(task_id="late")(30)
