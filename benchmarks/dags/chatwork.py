"""DAGs (for Airflow) whose failures are posted to Chatwork by the notifier with its defaults."""

from __future__ import annotations

from benchmarks.failing_dags import declare

declare("chatwork", "airflow_provider_chatwork.notifications.chatwork", "ChatworkNotifier")
