"""DAGs (for Airflow) whose failures are posted to Slack, with a text that names the task, the error and the log."""

from __future__ import annotations

from benchmarks.failing_dags import declare

declare(
    "slack",
    "airflow.providers.slack.notifications.slack",
    "SlackNotifier",
    channel="#data-alerts",
    text="{{ dag.dag_id }}.{{ ti.task_id }} failed on try {{ ti.try_number }}: {{ exception }}\n{{ ti.log_url }}",
)
