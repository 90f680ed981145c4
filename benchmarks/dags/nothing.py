"""DAGs (for Airflow) whose failures are told to nobody."""

from __future__ import annotations

from benchmarks.failing_dags import declare

declare("nothing")
