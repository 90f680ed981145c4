"""Tasks whose processes are killed: only the task's, also its supervisor's, also the executor's worker."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta
from typing import Any

import psutil
from airflow import __version__
from airflow.providers.common.compat.sdk import DAG, task

from tests.system_tests.recording_notifier import Recorder

# On Airflow 3 the executor's worker is the supervisor; on 2 there is the task's job between them.
KILLED = {"task": 1, "worker": 2} if int(__version__.split(".")[0]) >= 3 else {"task": 1, "job": 2, "worker": 3}

with DAG(
    "killed",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    default_args={"owner": "data-team", "retry_delay": timedelta(seconds=1)},
    is_paused_upon_creation=False,
):
    for what, generations in KILLED.items():
        for retries, name in ((0, "final"), (1, "retries_left")):
            kind = f"killed.{what}.{name}"

            @task(
                task_id=f"{what}_{name}",
                retries=retries,
                on_failure_callback=Recorder(f"{kind}.on_failure"),
                on_retry_callback=Recorder(f"{kind}.on_retry"),
                on_success_callback=Recorder(f"{kind}.on_success"),
            )
            def dies(generations: int, ti: Any = None) -> None:
                if ti.try_number > 1:
                    return
                me = psutil.Process()
                for victim in [*reversed(me.parents()[: generations - 1]), me]:
                    os.kill(victim.pid, signal.SIGKILL)
                time.sleep(60)

            dies(generations)
