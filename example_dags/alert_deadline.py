"""Tell a room when a run is late (Airflow 3.1 and later).

The notifier runs in the triggerer. It gets the run and the deadline, and no task, so a text of your own can use
``dag_run`` (a dict) and ``deadline``. Its connection has to be one that the triggerer can read.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, task
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

# The room and the person of the sandbox: put your own here.
PARAMS = {"room_id": 400000101, "on_duty": 1001005}

with DAG(
    "chatwork_alert_deadline",
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
    def take_too_long() -> str:
        return "sleep 15"

    take_too_long()
