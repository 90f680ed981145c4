"""Notify a room of a human-in-the-loop task, with a link to its page in Airflow (Airflow 3.1 and later).

The notifier posts subject, body and options of Airflow's human-in-the-loop operators. If posting fails, the task still
waits for the decision.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

# A room and a person of the sandbox. Replace them here, or in the form that triggers the DAG.
PARAMS = {"room_id": 400000101, "approver": 1001002}

with DAG("chatwork_notify_human_in_the_loop", schedule=None, params=PARAMS, doc_md=__doc__, tags=["chatwork"]):
    ApprovalOperator(
        task_id="release",
        subject="本番に公開してよいですか",
        body="夜間バッチの結果: 警告 0 件",
        notifiers=[ChatworkNotifier(room_id="{{ params.room_id }}", mentions="{{ params.approver }}")],
    )
