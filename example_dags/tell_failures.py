"""Tell a room when something fails, and when it works again.

One notifier serves every task and the DAG itself. All that fails in one run is told in one message, which is edited;
when a later run succeeds, that message is marked and answered. The error holds ``[toall]``, which would call everyone
in the room: the notifier breaks it, so nobody is called.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

# The room of the sandbox: put your own here, or into the form when you trigger the DAG. With a default room in the
# connection, ChatworkNotifier() is all it takes.
PARAMS = {"room_id": 400000101, "broken": True}

alerts = ChatworkNotifier(room_id="{{ params.room_id }}")

with DAG(
    "chatwork_tell_failures",
    schedule=None,
    params=PARAMS,
    default_args={"on_failure_callback": alerts},
    on_success_callback=alerts,
    doc_md=__doc__,
    tags=["chatwork"],
):

    @task
    def load_orders(broken: bool | str) -> None:
        if str(broken) == "True":
            raise ConnectionError("[toall] 受注データベースに接続できません")

    load_orders("{{ params.broken }}")
