"""One run whose tasks all fail, many of them in the same instant; half of them are mapped."""

from __future__ import annotations

import os
import time
from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from airflow_provider_chatwork.sandbox.company import TAKAHASHI

TASKS = int(os.environ["REHEARSAL_STORM_TASKS"])
#: Seconds between two gusts: whoever has begun fails with all others who have.
GUST = 5
alerts = ChatworkNotifier(mentions=[TAKAHASHI])

with DAG(
    "storm",
    start_date=datetime(2026, 1, 1),
    schedule=None,
    catchup=False,
    default_args={"owner": "data-team", "on_failure_callback": alerts},
    on_failure_callback=alerts,
    is_paused_upon_creation=False,
):

    @task
    def fails(shop: int) -> None:
        time.sleep(GUST - time.time() % GUST)
        raise ConnectionError(f"店舗 {shop} の売上データベースに接続できません")

    for number in range(TASKS // 2):
        fails.override(task_id=f"plain_{number}")(number)
    fails.override(task_id="mapped").expand(shop=list(range(TASKS - TASKS // 2)))
