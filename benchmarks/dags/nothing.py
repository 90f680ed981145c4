"""DAGs (for Airflow) whose failures are not reported."""

from __future__ import annotations

from benchmarks.failing_dags import declare

declare("nothing")
