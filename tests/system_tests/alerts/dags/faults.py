"""Alerts that cannot be delivered, from the middle of the run on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from tests.system_tests.alerts.rooms import ROOMS, wait_for

COMMON: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1),
    "schedule": None,
    "catchup": False,
    "is_paused_upon_creation": False,
}


@task
def fails(signal: str = "") -> None:
    if signal:
        wait_for(signal)
    raise RuntimeError("受注を読み込めません")


@task(trigger_rule="all_done")
def works(signal: str = "") -> str:
    if signal:
        wait_for(signal)
    return "ok"


for dag_id in ("chatwork_down", "chatwork_slow", "token_revoked", "no_right"):
    alerts = ChatworkNotifier(room_id=ROOMS[dag_id])
    with DAG(
        dag_id,
        default_args={"on_failure_callback": alerts, "on_success_callback": alerts},
        on_failure_callback=alerts,
        **COMMON,
    ):
        # The last one ends after the fault.
        (
            fails.override(task_id="before")()
            >> fails.override(task_id="meanwhile", trigger_rule="all_done")(f"{dag_id}.broken")
            >> works.override(task_id="after")(f"{dag_id}.mended")
            >> fails.override(task_id="last", trigger_rule="all_done")()
        )

with DAG(
    "wrong_template",
    default_args={"on_failure_callback": ChatworkNotifier("{{ nobody.knows }}", room_id=ROOMS["wrong_template"])},
    **COMMON,
):
    fails.override(task_id="load_orders")() >> works.override(task_id="after")() >> fails.override(task_id="last")()

with DAG(
    "falls_back",
    default_args={
        "on_failure_callback": ChatworkNotifier(
            # Nobody is there.
            room_id=499_999_999,
            fallback=ChatworkNotifier(room_id=ROOMS["falls_back"]),
        )
    },
    **COMMON,
):
    fails.override(task_id="load_orders")()
