"""Reminders and escalation for open tasks: the values that DAG authors write."""

from __future__ import annotations

from airflow_provider_chatwork.waiting.reminders.spec import Escalation, Reminder

__all__ = ["Escalation", "Reminder"]
