"""Create a Chatwork task every Monday, send reminders and an escalation, and continue when it is done.

The task is due at the end of Thursday. The assignee gets one reminder a day from Wednesday on, in business hours. On
Friday at 9:00 the lead gets one escalation. If the task is still open on Sunday, the run fails and the task is
cancelled in Chatwork. The operator is deferrable: it waits in the triggerer and uses no worker slot.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from pendulum import datetime

from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator
from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
from airflow_provider_chatwork.waiting.reminders import Reminder

# A room and people of the sandbox. Replace them here, or in the form that triggers the DAG.
PARAMS = {"room_id": 400000101, "on_duty": 1001005, "lead": 1001002}

with DAG(
    "chatwork_weekly_task",
    schedule="0 9 * * MON",
    start_date=datetime(2026, 1, 5, tz="Asia/Tokyo"),
    catchup=False,
    params=PARAMS,
    default_args={"room_id": "{{ params.room_id }}"},
    doc_md=__doc__,
    tags=["chatwork"],
):
    create_task = ChatworkCreateTaskOperator(
        task_id="create_task",
        to_ids="{{ params.on_duty }}",
        body="週次レポートのマスタを更新する",
        # A date is due at its end, in the connection's time zone. Airflow's dates are in UTC, nine hours behind.
        due="{{ macros.ds_add((dag_run.start_date + macros.timedelta(hours=9)) | ds, 3) }}",
        wait_for_completion=True,
        deferrable=True,
        reminders=Reminder(after=timedelta(days=2), every=timedelta(days=1)),
        escalation={"mentions": "{{ params.lead }}"},
        # Leaves one business day after the due date for the escalation.
        timeout=timedelta(days=6),
        withdraw=True,
        # Before Airflow 3.3, a retry finds the task by this reference and does not create it again.
        reference="{{ ti.dag_id }}/{{ ti.task_id }}/{{ run_id }}/{{ ti.map_index }}",
    )
    post_thanks = ChatworkPostMessageOperator(
        task_id="post_thanks",
        body="{{ macros.chatwork.safe(ti.xcom_pull('create_task').tasks[0].account_name) }}さん、"
        "マスタの更新ありがとうございます。\n{{ ti.xcom_pull('create_task').link }}",
    )

    create_task >> post_thanks
