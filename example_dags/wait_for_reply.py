"""Ask a question in a room, wait until somebody answers it, and go on with what they said.

The wait begins behind the question, so that an answer that is faster than the wait counts, too.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator
from airflow_provider_chatwork.sensors.messages import ChatworkMessageSensor

# The room and the people of the sandbox: put your own here, or into the form when you trigger the DAG.
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
    wait = ChatworkMessageSensor(
        task_id="wait",
        reply_to=ask.output,
        from_account_ids="{{ params.people }}",
        matches=r"[0-9０-９]",
        deferrable=True,
        poke_interval=5,  # seconds, to try it out; a minute or more is better manners
        timeout=timedelta(hours=8).total_seconds(),
    )
    tell = ChatworkPostMessageOperator(
        task_id="tell",
        # What people write may hold notation, and is made harmless.
        body="{% set answer = ti.xcom_pull('wait') %}"
        "[info]{{ macros.chatwork.safe(answer.account_name) }}さん: {{ macros.chatwork.safe(answer.text) }}\n"
        "{{ answer.link }}[/info]",
    )

    ask >> wait >> tell
