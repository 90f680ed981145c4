"""Chatwork's API: its 32 operations, rate limits, notation and webhook, as plain values and functions.

No module in this package reads a clock, a file, the environment or a socket, or imports Airflow.

The modules named here are imported on first use (``api.messages.post_message``), so that parsing a DAG file does not
import them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_chatwork.api import (
        account,
        contacts,
        errors,
        files,
        messages,
        models,
        notation,
        read_marks,
        rooms,
        tasks,
        urls,
        validation,
        webhook,
    )

__all__ = [
    "account",
    "contacts",
    "errors",
    "files",
    "messages",
    "models",
    "notation",
    "read_marks",
    "rooms",
    "tasks",
    "urls",
    "validation",
    "webhook",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
