"""Everything that can be waited for, in all ways."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
from airflow_provider_chatwork.sensors.messages import ChatworkMessageSensor
from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor
from airflow_provider_chatwork.waiting.reminders import Reminder
from tests.system_tests.waits.fixtures import (
    APPROVERS,
    ASSIGNEE,
    ENDINGS,
    EVERY,
    GIVEN,
    GIVEN_UP,
    KILLED_WORKERS,
    REMINDER_EVERY,
    SAID,
    SCENARIOS,
    TOO_SHORT,
    WORKER_ENDINGS,
    YAMADA,
    late,
    plan,
    room,
)

COMMON: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1),
    "schedule": None,
    "is_paused_upon_creation": False,
    "default_args": {"owner": "data-team", "poke_interval": EVERY, "deferrable": True, "retries": 0},
}
WAYS = (
    ("in_workers", {}),
    ("from_trigger", {"start_from_trigger": True}),
    ("in_triggerer", {"start_from_trigger": True, "end_from_trigger": True}),
)
OFTEN = Reminder(after=REMINDER_EVERY, every=REMINDER_EVERY, at_most=99, business_days_only=False, quiet_hours=None)

for scenario in SCENARIOS:
    with DAG(scenario, **COMMON):
        for number, (room_id, task_id) in enumerate(plan()[scenario]):
            name, way = WAYS[number % len(WAYS)]
            ChatworkTaskDoneSensor(task_id=f"{name}_{task_id}", room_id=room_id, task_ids=[task_id], **way)
        for number in range(GIVEN):
            ChatworkCreateTaskOperator(
                task_id=f"give_{number}",
                room_id=room(scenario, f"given_{number % 2}"),
                body=f"棚卸し {number} 番の表を埋めてください",
                to_ids=[ASSIGNEE],
                wait_for_completion=True,
                reminders=OFTEN,
                withdraw=True,
            )
        for number in range(SAID):
            ChatworkMessageSensor(
                task_id=f"hear_{number}",
                room_id=room(scenario, "talk"),
                from_account_ids=[YAMADA],
                matches=rf"入荷 {number} 番",
                end_from_trigger=number % 2 == 1,
            )
        for needed in ("any", "all"):
            ChatworkApprovalOperator(
                task_id=f"ask_{needed}",
                room_id=room(scenario, "talk"),
                question=f"在庫の差異を確定しますか ({needed})",
                approvers=APPROVERS,
                complete_when=needed,
            )

    with DAG(late(scenario), **COMMON):
        [(room_id, task_id)] = plan()[late(scenario)]
        ChatworkTaskDoneSensor(
            task_id="sensor",
            room_id=room_id,
            task_ids=[task_id],
            timeout=TOO_SHORT,
            soft_fail=True,
            start_from_trigger=True,
            end_from_trigger=True,
        )
        ChatworkCreateTaskOperator(
            task_id="give",
            room_id=room_id,
            body="誰もしない棚卸し",
            to_ids=[ASSIGNEE],
            wait_for_completion=True,
            timeout=TOO_SHORT,
            on_timeout="skip",
            withdraw=True,
        )

for dag_id, endings in ((GIVEN_UP, ENDINGS), (KILLED_WORKERS, WORKER_ENDINGS)):
    with DAG(dag_id, **COMMON):
        for ending in endings:
            ChatworkCreateTaskOperator(
                task_id=ending,
                room_id=room(dag_id, "tasks"),
                body=f"取り下げられる棚卸し ({ending})",
                to_ids=[ASSIGNEE],
                wait_for_completion=True,
                withdraw=True,
                deferrable=dag_id == GIVEN_UP,
            )
