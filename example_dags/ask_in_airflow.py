"""Tell a room that Airflow waits for somebody's decision, with a link to the page to decide on (Airflow 3.1 and later).

The notifier recognises Airflow's own human-in-the-loop operators and posts their subject, body and options. Whatever
happens to Chatwork, the task goes on waiting.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

# The room and the person of the sandbox: put your own here, or into the form when you trigger the DAG.
PARAMS = {"room_id": 400000101, "approver": 1001002}

with DAG("chatwork_ask_in_airflow", schedule=None, params=PARAMS, doc_md=__doc__, tags=["chatwork"]):
    ApprovalOperator(
        task_id="release",
        subject="本番に公開してよいですか",
        body="夜間バッチの結果: 警告 0 件",
        notifiers=[ChatworkNotifier(room_id="{{ params.room_id }}", mentions="{{ params.approver }}")],
    )
