"""What the author of a DAG wants of a wait for people who were given a task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.utils.durations import duration
from airflow_provider_chatwork.waiting.reminders.plan import FollowUp
from airflow_provider_chatwork.waiting.tasks.status import tasks_needed

if TYPE_CHECKING:
    from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator

#: However often a wait may look, the account's budget is shared with everything else that uses it; in seconds.
SHORTEST_INTERVAL = 1.0
_AT_TIMEOUT = ("fail", "skip")


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the author of a DAG wants of a wait, checked. ``interval`` and ``timeout`` are seconds."""

    needed: int
    interval: float
    timeout: float
    follow_up: FollowUp
    on_timeout: str
    withdraw: bool


def wishes_of(operator: ChatworkCreateTaskOperator) -> Wishes:
    """Check what an operator says of its wait; its fields are rendered by now.

    :raises ChatworkParameterError: naming the field that cannot be right.
    """
    settings = operator.hook.settings
    people = validation.identifiers("to_ids", operator.to_ids)
    interval = duration("poke_interval", operator.poke_interval, least=timedelta(0)).total_seconds()
    return Wishes(
        needed=tasks_needed(operator.complete_when, len(people)),
        interval=max(interval, SHORTEST_INTERVAL),
        timeout=duration("timeout", operator.timeout, least=timedelta(0)).total_seconds(),
        follow_up=FollowUp(
            reminders=validation.none_if_blank(operator.reminders),
            escalation=validation.none_if_blank(operator.escalation),
            zone=settings.timezone,
            lang=settings.lang,
        ),
        on_timeout=validation.choice("on_timeout", operator.on_timeout, _AT_TIMEOUT),
        withdraw=operator.withdraw,
    )
