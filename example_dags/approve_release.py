"""Ask two people for approval in a room; the first vote decides whether the release task runs or is skipped.

The approvers reply with an option or its number. "却下" or a timeout of two days skips the release. The operator is
deferrable: it waits in the triggerer and uses no worker slot.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator

# A room and people of the sandbox. Replace them here, or in the form that triggers the DAG.
PARAMS = {"room_id": 400000101, "approvers": [1001002, 1001005]}

with DAG(
    "chatwork_approve_release",
    schedule=None,
    params=PARAMS,
    default_args={"room_id": "{{ params.room_id }}"},
    doc_md=__doc__,
    tags=["chatwork"],
):
    approve = ChatworkApprovalOperator(
        task_id="approve",
        question="売上ダッシュボードを本番に公開します。よろしいですか？",
        options={"承認": True, "却下": False},
        approvers="{{ params.approvers }}",
        timeout=timedelta(days=2),
        on_timeout="却下",
        deferrable=True,
        poke_interval=5,  # seconds; use 60 or more in production
    )
    # Replace this task with your release.
    release = ChatworkPostMessageOperator(
        task_id="release",
        body="[info]公開しました。承認: {{ macros.chatwork.safe("
        "ti.xcom_pull('approve')['decided_by'] | map(attribute='name') | join('、')) }}さん[/info]",
    )

    approve >> release
