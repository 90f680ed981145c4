"""Give somebody a task every Monday morning, due at the end of Friday."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG
from pendulum import datetime

from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator

# A room and a person of the sandbox: put your own here, or into the form when you trigger the DAG.
PARAMS = {"room_id": 400000101, "on_duty": 1001005}

with DAG(
    "chatwork_weekly_chore",
    schedule="0 9 * * MON",
    start_date=datetime(2026, 1, 5, tz="Asia/Tokyo"),
    catchup=False,
    params=PARAMS,
    doc_md=__doc__,
    tags=["chatwork"],
):
    ChatworkCreateTaskOperator(
        task_id="ask",
        room_id="{{ params.room_id }}",
        to_ids="{{ params.on_duty }}",
        body="週次レポートのマスタを更新する",
        # A day alone is due when it ends, in the connection's time zone.
        due="{{ macros.ds_add(dag_run.start_date | ds, 4) }}",
    )
