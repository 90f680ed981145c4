"""What the author of a DAG wants of its alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_chatwork.alerts.routing import RoutingTable


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """See :class:`~airflow_provider_chatwork.notifications.chatwork.ChatworkNotifier`, which has the same names.

    :param text: the message, rendered; ``None`` for the one of this package.
    """

    text: str | None = None
    room_id: int | str | None = None
    chatwork_conn_id: str
    style: str = "full"
    lang: str | None = None
    mentions: Any = None
    when: str = "final"
    fold: str = "run"
    fold_window: float = 3600.0
    severity: str | None = None
    routing: RoutingTable | str | None = None
    attach_traceback: bool = False
