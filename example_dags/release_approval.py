"""Ask people in a room whether to release, and release only if one of them says so.

The wait is in the triggerer: it takes no worker slot, however long people need. Whoever is asked replies with an option
or its number; "却下" skips the release, and so does no answer within two days.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator

# The room and the people of the sandbox: put your own here, or into the form when you trigger the DAG.
PARAMS = {"room_id": 400000101, "approvers": [1001002, 1001005]}

with DAG(
    "chatwork_release_approval",
    schedule=None,
    params=PARAMS,
    default_args={"room_id": "{{ params.room_id }}"},
    doc_md=__doc__,
    tags=["chatwork"],
):
    ask = ChatworkApprovalOperator(
        task_id="ask",
        question="売上ダッシュボードを本番に公開します。よろしいですか？",
        options={"承認": True, "却下": False},
        approvers="{{ params.approvers }}",
        timeout=timedelta(days=2),
        on_timeout="却下",
        deferrable=True,
        poke_interval=5,  # seconds, to try it out; a minute or more is better manners
    )
    # Stands for whatever releases.
    release = ChatworkPostMessageOperator(
        task_id="release",
        body="[info]公開しました。承認: {{ macros.chatwork.safe("
        "ti.xcom_pull('ask')['decided_by'] | map(attribute='name') | join('、')) }}さん[/info]",
    )

    ask >> release
