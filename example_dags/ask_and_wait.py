"""Ask people to check something, wait until they have, and say so.

The wait is in the triggerer: it takes no worker slot, however long people need.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.files import ChatworkUploadFileOperator
from airflow_provider_chatwork.operators.messages import ChatworkEditMessageOperator, ChatworkPostMessageOperator
from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor

# The room and the people of the sandbox: put your own here, or into the form when you trigger the DAG.
PARAMS = {"room_id": 400000101, "checkers": [1001005, 1001003]}

with DAG(
    "chatwork_ask_and_wait",
    schedule=None,
    params=PARAMS,
    default_args={"room_id": "{{ params.room_id }}"},
    doc_md=__doc__,
    tags=["chatwork"],
):
    announce = ChatworkPostMessageOperator(
        task_id="announce", body="[info]売上レポートができました。確認待ちです。[/info]"
    )
    share = ChatworkUploadFileOperator(
        task_id="share", filename="売上レポート.csv", content="店舗,売上\n札幌,120000\n那覇,98000"
    )
    ask = ChatworkCreateTaskOperator(
        task_id="ask", body="売上レポートの数字を確認する", to_ids="{{ params.checkers }}", due=timedelta(days=1)
    )
    wait = ChatworkTaskDoneSensor(
        task_id="wait",
        task_ids=ask.output,
        deferrable=True,
        poke_interval=5,  # seconds, to try it out; a minute or more is better manners
        timeout=timedelta(days=2).total_seconds(),
    )
    update = ChatworkEditMessageOperator(
        task_id="update",
        message_id=announce.output,
        body="[info]売上レポートは{{ macros.chatwork.safe("
        "ti.xcom_pull('wait') | map(attribute='account_name') | join('さんと')) }}さんが確認しました。[/info]",
    )

    announce >> share >> ask >> wait >> update
