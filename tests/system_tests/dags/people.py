"""Tasks that wait for a person, from Airflow 3.1."""

from __future__ import annotations

from datetime import datetime

from airflow import __version__
from airflow.providers.common.compat.sdk import DAG

from tests.system_tests.recording_notifier import Recorder

if tuple(int(part) for part in __version__.split(".")[:2]) >= (3, 1):
    from airflow.providers.standard.operators.hitl import HITLOperator

    with DAG("asks", start_date=datetime(2026, 1, 1), schedule=None, is_paused_upon_creation=False):
        HITLOperator(
            task_id="approve",
            subject="{{ ds }} の受注を締めますか",
            body="差額は **1,200円** です。",
            options=["締める", "待つ"],
            defaults=["待つ"],
            notifiers=[Recorder("hitl.notifier")],
            on_success_callback=Recorder("hitl.on_success"),
            owner="data-team",
        )
