"""Give somebody a chore every Monday morning, remind them of it, and go on when it is done.

It is due at the end of Thursday. From Wednesday on, whoever is on duty is reminded once a day, in business hours; on
Friday at nine the lead is told that it is past due, once. If it is still open on Sunday, the run fails, and the task is
withdrawn in Chatwork before the next one comes. The wait is in the triggerer: it takes no worker slot.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from pendulum import datetime

from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator
from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
from airflow_provider_chatwork.waiting.reminders import Reminder

# A room and people of the sandbox: put your own here, or into the form when you trigger the DAG.
PARAMS = {"room_id": 400000101, "on_duty": 1001005, "lead": 1001002}

with DAG(
    "chatwork_weekly_chore",
    schedule="0 9 * * MON",
    start_date=datetime(2026, 1, 5, tz="Asia/Tokyo"),
    catchup=False,
    params=PARAMS,
    default_args={"room_id": "{{ params.room_id }}"},
    doc_md=__doc__,
    tags=["chatwork"],
):
    ask = ChatworkCreateTaskOperator(
        task_id="ask",
        to_ids="{{ params.on_duty }}",
        body="週次レポートのマスタを更新する",
        # A day alone is due when it ends, in the connection's time zone. Airflow's days are those of UTC, and in Japan
        # it is nine hours later.
        due="{{ macros.ds_add((dag_run.start_date + macros.timedelta(hours=9)) | ds, 3) }}",
        wait_for_completion=True,
        deferrable=True,
        reminders=Reminder(after=timedelta(days=2), every=timedelta(days=1)),
        escalation={"mentions": "{{ params.lead }}"},
        # A business day after the due date is left for the escalation.
        timeout=timedelta(days=6),
        withdraw=True,
        # Lets a retry find the task, on an Airflow before 3.3, instead of giving it once more.
        reference="{{ ti.dag_id }}/{{ ti.task_id }}/{{ run_id }}/{{ ti.map_index }}",
    )
    thank = ChatworkPostMessageOperator(
        task_id="thank",
        body="{{ macros.chatwork.safe(ti.xcom_pull('ask').tasks[0].account_name) }}さん、"
        "マスタの更新ありがとうございます。\n{{ ti.xcom_pull('ask').link }}",
    )

    ask >> thank
