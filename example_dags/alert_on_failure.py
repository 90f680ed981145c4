"""Post an alert when a task fails, and a second message when the DAG works again.

One notifier is the callback of every task and of the DAG. All failures of a run share one message, which is edited.
When a later run succeeds, the message is marked as recovered and gets a reply. The error contains ``[toall]``, which
would mention the whole room. The notifier breaks the tag, so nobody is mentioned.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

# A room of the sandbox. Replace it here, or in the form that triggers the DAG. If the connection has a default room,
# ChatworkNotifier() needs no argument.
PARAMS = {"room_id": 400000101, "fail": True}

alerts = ChatworkNotifier(room_id="{{ params.room_id }}")

with DAG(
    "chatwork_alert_on_failure",
    schedule=None,
    params=PARAMS,
    default_args={"on_failure_callback": alerts},
    on_success_callback=alerts,
    doc_md=__doc__,
    tags=["chatwork"],
):

    @task
    def load_orders(fail: bool | str) -> None:
        if str(fail) == "True":
            raise ConnectionError("[toall] 受注データベースに接続できません")

    load_orders("{{ params.fail }}")
