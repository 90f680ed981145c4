"""Post an alert when a DAG run misses its deadline (Airflow 3.1 and later).

The notifier runs in the triggerer, which must be able to read the connection. The context has no task: a text of your
own can use ``dag_run`` (a dict) and ``deadline``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

# A room and a person of the sandbox. Replace them.
PARAMS = {"room_id": 400000101, "on_duty": 1001005}

with DAG(
    "chatwork_alert_on_deadline",
    schedule=None,
    params=PARAMS,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=5),
        callback=AsyncCallback(
            ChatworkNotifier, kwargs={"room_id": PARAMS["room_id"], "mentions": [PARAMS["on_duty"]]}
        ),
    ),
    doc_md=__doc__,
    tags=["chatwork"],
):

    @task.bash
    def run_longer_than_the_deadline() -> str:
        return "sleep 15"

    run_longer_than_the_deadline()
