"""Ask three people for approval and branch on the option that two of them choose.

Each option runs its own downstream tasks; the others are skipped. People vote with a reply in the room, and can change
their vote with another reply.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator

# A room and people of the sandbox. Replace them here, or in the form that triggers the DAG.
PARAMS = {"room_id": 400000101, "reviewers": [1001002, 1001003, 1001005]}

with DAG(
    "chatwork_approve_two_of_three",
    schedule=None,
    params=PARAMS,
    default_args={"room_id": "{{ params.room_id }}"},
    doc_md=__doc__,
    tags=["chatwork"],
):
    review = ChatworkApprovalOperator(
        task_id="review",
        question="今月の請求データの確認をお願いします。",
        options={"確定": "send", "修正": ["correct", "post_reasons"], "中止": False},
        approvers="{{ params.reviewers }}",
        complete_when=2,
        timeout=timedelta(days=1),
        deferrable=True,
        poke_interval=5,  # seconds; use 60 or more in production
    )
    send = ChatworkPostMessageOperator(task_id="send", body="請求データを確定しました。")
    correct = ChatworkPostMessageOperator(task_id="correct", body="請求データを作り直します。")
    post_reasons = ChatworkPostMessageOperator(
        task_id="post_reasons",
        body="[info][title]修正の理由[/title]"
        "{% for vote in ti.xcom_pull('review')['decided_by'] %}"
        "{{ macros.chatwork.safe(vote['name'] ~ ': ' ~ vote['comment']) }}\n"
        "{% endfor %}[/info]",
    )

    review >> [send, correct, post_reasons]
