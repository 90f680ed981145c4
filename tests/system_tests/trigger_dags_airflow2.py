"""Trigger DAGs on Airflow 2 without a web server.

``python -m tests.system_tests.trigger_dags_airflow2 '{"dag_id": {...}}'``
"""

from __future__ import annotations

import json
import sys

if __name__ == "__main__":
    from airflow.api.client.local_client import Client

    client = Client(None, None)
    for dag_id, order in json.loads(sys.argv[1]).items():
        client.trigger_dag(dag_id, **order)
