"""Many waits at a time, in two ways."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor
from tests.system_tests.waits.fixtures import BY_TRIGGERER, MANY_EVERY, WAYS, dags_of, plan

for way in WAYS:
    without_a_worker = way == BY_TRIGGERER
    waits = plan()[way]
    for dag_id, share in dags_of(way, len(waits)).items():
        with DAG(dag_id, start_date=datetime(2026, 1, 1), schedule=None, is_paused_upon_creation=False):
            for room_id, task_id in waits[share]:
                ChatworkTaskDoneSensor(
                    task_id=f"wait_{task_id}",
                    chatwork_conn_id=way,
                    room_id=room_id,
                    task_ids=[task_id],
                    poke_interval=MANY_EVERY,
                    deferrable=True,
                    start_from_trigger=without_a_worker,
                    end_from_trigger=without_a_worker,
                    owner="data-team",
                )
