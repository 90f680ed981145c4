"""What happens to people while a task that was given to them stays open: reminders, escalation, withdrawal.

The values that DAG authors write are light. What sends is loaded when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_chatwork.followup.values import Escalation, Reminder

if TYPE_CHECKING:
    from airflow_provider_chatwork.followup.follow_up import Facts, FollowUp
    from airflow_provider_chatwork.followup.letters import Done, Letter, tell
    from airflow_provider_chatwork.followup.progress import Progress
    from airflow_provider_chatwork.followup.withdrawal import Withdrawal, withdraw_steps

__all__ = [
    "Done",
    "Escalation",
    "Facts",
    "FollowUp",
    "Letter",
    "Progress",
    "Reminder",
    "Withdrawal",
    "tell",
    "withdraw_steps",
]

_LATE = {
    **dict.fromkeys(("Facts", "FollowUp"), "follow_up"),
    **dict.fromkeys(("Done", "Letter", "tell"), "letters"),
    "Progress": "progress",
    **dict.fromkeys(("Withdrawal", "withdraw_steps"), "withdrawal"),
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
