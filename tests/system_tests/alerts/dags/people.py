"""Tasks that wait for a person, from Airflow 3.1: one with Chatwork at hand, and one without."""

from __future__ import annotations

from datetime import datetime

from airflow import __version__
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from airflow_provider_chatwork.sandbox.company import YAMADA
from tests.system_tests.alerts.rooms import ROOMS

if tuple(int(part) for part in __version__.split(".")[:2]) >= (3, 1):
    from airflow.providers.standard.operators.hitl import HITLOperator

    for dag_id in ("asks", "asks_in_vain"):
        notifier = ChatworkNotifier(room_id=ROOMS[dag_id], mentions=[YAMADA])
        with DAG(
            dag_id,
            start_date=datetime(2026, 1, 1),
            schedule=None,
            default_args={"on_failure_callback": notifier, "on_success_callback": notifier},
            is_paused_upon_creation=False,
        ):
            HITLOperator(
                task_id="approve",
                subject="{{ ds }} の受注を締めますか",
                body="差額は **1,200円** です。",
                options=["締める", "待つ"],
                defaults=["待つ"],
                notifiers=[notifier],
                owner="data-team",
            )
