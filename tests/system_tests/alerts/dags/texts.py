"""Texts of the author's own, from one notifier that serves all tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from tests.system_tests.alerts.rooms import ROOMS

COMMON: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1),
    "schedule": None,
    "catchup": False,
    "is_paused_upon_creation": False,
}
OWN = "{{ ti.task_id }} が失敗: {{ macros.chatwork.safe(exception) }}"


@task
def fails(table: str) -> None:
    raise RuntimeError(f"{table} がありません [toall]")


with DAG(
    "own_text",
    default_args={"on_failure_callback": ChatworkNotifier(OWN, room_id=ROOMS["own_text"], fold="none")},
    **COMMON,
):
    for name in ("orders", "stock", "sales"):
        fails.override(task_id=name)(name)

with DAG(
    "own_text_together",
    default_args={"on_failure_callback": ChatworkNotifier(OWN, room_id=ROOMS["own_text_together"])},
    **COMMON,
):
    for name in ("orders", "stock", "sales"):
        fails.override(task_id=name)(name)

with DAG(
    "native_objects",
    render_template_as_native_obj=True,
    params={"amount": "12.50", "room": ROOMS["native_objects"]},
    default_args={
        "on_failure_callback": ChatworkNotifier("{{ params.amount }}", room_id="{{ params.room }}", fold="none")
    },
    **COMMON,
):
    fails("orders")
