"""Give people a task in Chatwork, wait until all of them have completed it, and edit the announcement.

The sensor is deferrable: it waits in the triggerer and uses no worker slot.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.files import ChatworkUploadFileOperator
from airflow_provider_chatwork.operators.messages import ChatworkEditMessageOperator, ChatworkPostMessageOperator
from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor

# A room and people of the sandbox. Replace them here, or in the form that triggers the DAG.
PARAMS = {"room_id": 400000101, "checkers": [1001005, 1001003]}

with DAG(
    "chatwork_create_task_and_wait",
    schedule=None,
    params=PARAMS,
    default_args={"room_id": "{{ params.room_id }}"},
    doc_md=__doc__,
    tags=["chatwork"],
):
    announcement = ChatworkPostMessageOperator(
        task_id="post_message", body="[info]売上レポートができました。確認待ちです。[/info]"
    )
    report = ChatworkUploadFileOperator(
        task_id="upload_file", filename="売上レポート.csv", content="店舗,売上\n札幌,120000\n那覇,98000"
    )
    create_task = ChatworkCreateTaskOperator(
        task_id="create_task",
        body="売上レポートの数字を確認する",
        to_ids="{{ params.checkers }}",
        due=timedelta(days=1),
    )
    wait_for_tasks = ChatworkTaskDoneSensor(
        task_id="wait_for_tasks",
        task_ids=create_task.output,
        deferrable=True,
        poke_interval=5,  # seconds; use 60 or more in production
        timeout=timedelta(days=2).total_seconds(),
    )
    edit_message = ChatworkEditMessageOperator(
        task_id="edit_message",
        message_id=announcement.output,
        body="[info]売上レポートは{{ macros.chatwork.safe("
        "ti.xcom_pull('wait_for_tasks') | map(attribute='account_name') | join('さんと')) }}さんが"
        "確認しました。[/info]",
    )

    announcement >> report >> create_task >> wait_for_tasks >> edit_message
