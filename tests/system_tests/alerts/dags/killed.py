"""Tasks whose processes are killed: alone, with the job above them (Airflow 2), and with the executor's worker."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta
from typing import Any

import psutil
from airflow import __version__
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from airflow_provider_chatwork.sandbox.company import TAKAHASHI
from tests.system_tests.alerts.rooms import ROOMS

# On Airflow 3 the executor's worker is the supervisor; on 2 there is the task's job between them.
KILLED = {"task": 1, "worker": 2} if int(__version__.split(".")[0]) >= 3 else {"task": 1, "job": 2, "worker": 3}


@task
def dies(generations: int, ti: Any = None) -> None:
    if ti.try_number > 1:
        return
    me = psutil.Process()
    for victim in [*reversed(me.parents()[: generations - 1]), me]:
        os.kill(victim.pid, signal.SIGKILL)
    time.sleep(60)


for killed, generations in KILLED.items():
    for retries, name in ((0, "final"), (1, "retries_left")):
        dag_id = f"killed_{killed}_{name}"
        notifier = ChatworkNotifier(room_id=ROOMS[dag_id], mentions=[TAKAHASHI])
        callbacks: dict[str, Any] = {f"on_{event}_callback": notifier for event in ("failure", "success")}
        with DAG(
            dag_id,
            start_date=datetime(2026, 1, 1),
            schedule=None,
            catchup=False,
            default_args={"on_retry_callback": notifier, "retry_delay": timedelta(seconds=1), **callbacks},
            is_paused_upon_creation=False,
            **callbacks,
        ):
            dies.override(task_id="load_orders", retries=retries)(generations)
