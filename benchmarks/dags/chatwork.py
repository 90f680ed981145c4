"""DAGs (for Airflow) whose failures are told to Chatwork, as the notifier does it when nothing is asked of it."""

from __future__ import annotations

from benchmarks.failing_dags import declare

declare("chatwork", "airflow_provider_chatwork.notifications.chatwork", "ChatworkNotifier")
