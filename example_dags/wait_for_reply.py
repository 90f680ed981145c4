"""Ask a question in a room, wait for a reply, and use its text in the next task.

The sensor starts at the question, so a reply that comes before the sensor runs is found as well.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator
from airflow_provider_chatwork.sensors.messages import ChatworkMessageSensor

# A room and people of the sandbox. Replace them here, or in the form that triggers the DAG.
PARAMS = {"room_id": 400000101, "people": [1001002, 1001003]}

with DAG(
    "chatwork_wait_for_reply",
    schedule=None,
    params=PARAMS,
    default_args={"room_id": "{{ params.room_id }}"},
    doc_md=__doc__,
    tags=["chatwork"],
):
    ask = ChatworkPostMessageOperator(
        task_id="ask",
        body="{{ macros.chatwork.to(params.people) }}\n"
        "今日の締めの売上はいくらですか？このメッセージに返信してください（例: 1,234,500 円）。",
    )
    wait_for_reply = ChatworkMessageSensor(
        task_id="wait_for_reply",
        reply_to=ask.output,
        from_account_ids="{{ params.people }}",
        matches=r"[0-9０-９]",
        deferrable=True,
        poke_interval=5,  # seconds; use 60 or more in production
        timeout=timedelta(hours=8).total_seconds(),
    )
    post_answer = ChatworkPostMessageOperator(
        task_id="post_answer",
        # A reply can contain notation; safe() breaks its tags.
        body="{% set answer = ti.xcom_pull('wait_for_reply') %}"
        "[info]{{ macros.chatwork.safe(answer.account_name) }}さん: {{ macros.chatwork.safe(answer.text) }}\n"
        "{{ answer.link }}[/info]",
    )

    ask >> wait_for_reply >> post_answer
