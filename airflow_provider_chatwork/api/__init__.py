"""What Chatwork is: its 32 operations, its rules and its notation, as plain values and functions.

Nothing below this package reads a clock, a file, the environment or a socket, and nothing in it knows Airflow.

The modules named here are loaded when something of them is used (``api.messages.post_message``), so that a DAG file,
which is parsed again and again and sends nothing, does not load them.
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
        invite_links,
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
    "invite_links",
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
