"""Let three people review something, and go on with what two of them choose.

Each option leads to tasks of its own. Nobody has to press anything in Airflow: a reply in the room is enough, and who
changes their mind replies again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator

# The room and the people of the sandbox: put your own here, or into the form when you trigger the DAG.
PARAMS = {"room_id": 400000101, "reviewers": [1001002, 1001003, 1001005]}

with DAG(
    "chatwork_review_two_of_three",
    schedule=None,
    params=PARAMS,
    default_args={"room_id": "{{ params.room_id }}"},
    doc_md=__doc__,
    tags=["chatwork"],
):
    review = ChatworkApprovalOperator(
        task_id="review",
        question="今月の請求データの確認をお願いします。",
        options={"確定": "send", "修正": ["correct", "tell"], "中止": False},
        approvers="{{ params.reviewers }}",
        complete_when=2,
        timeout=timedelta(days=1),
        deferrable=True,
        poke_interval=5,  # seconds, to try it out; a minute or more is better manners
    )
    send = ChatworkPostMessageOperator(task_id="send", body="請求データを確定しました。")
    correct = ChatworkPostMessageOperator(task_id="correct", body="請求データを作り直します。")
    tell = ChatworkPostMessageOperator(
        task_id="tell",
        body="[info][title]修正の理由[/title]"
        "{% for vote in ti.xcom_pull('review')['decided_by'] %}"
        "{{ macros.chatwork.safe(vote['name'] ~ ': ' ~ vote['comment']) }}\n"
        "{% endfor %}[/info]",
    )

    review >> [send, correct, tell]
