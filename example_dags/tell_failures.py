"""Tell a room when a task fails: which one, why, and where its log is.

The error holds ``[toall]``, which would call everyone in the room. The notifier breaks it, so nobody is called.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

# The room of the sandbox: put your own here, or into the form when you trigger the DAG.
PARAMS = {"room_id": 400000101}

with DAG(
    "chatwork_tell_failures",
    schedule=None,
    params=PARAMS,
    default_args={"on_failure_callback": ChatworkNotifier(room_id="{{ params.room_id }}")},
    doc_md=__doc__,
    tags=["chatwork"],
):

    @task
    def load_orders() -> None:
        raise ConnectionError("[toall] 受注データベースに接続できません")

    load_orders()
