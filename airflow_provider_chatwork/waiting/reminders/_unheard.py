"""Reminders and escalations that cannot come, of which the author of a DAG hears when the wait begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.waiting.reminders.schedule import (
    Calendar,
    Due,
    earliest_due,
    escalation_at,
    reminders_at,
)

if TYPE_CHECKING:
    from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
    from airflow_provider_chatwork.waiting.reminders.plan import FollowUp
    from airflow_provider_chatwork.waiting.tasks.tracking import Given


def unheard(follow_up: FollowUp, given: Given) -> str:
    """Say what of it nobody will hear, as things stand, and why; nothing where all is well or not known yet.

    :param given: the tasks as a look has shown them.
    """
    open_ = [track["terms"] for track in given["tracks"] if track["status"] == "open"]
    seen: list[Any] = [terms for terms in open_ if terms is not None]
    if not seen or len(seen) < len(open_):
        return ""
    reminders = cast("Sequence[Reminder]", follow_up.reminders)
    escalation = cast("Escalation | None", follow_up.escalation)
    due = earliest_due(seen, follow_up.zone)
    said = [*_behind_the_end(reminders, escalation, given, due, follow_up.zone)]
    if due is None:
        missing = ["before_due"] if any(reminder.before_due is not None for reminder in reminders) else []
        missing += ["escalation"] if escalation is not None else []
        if missing:
            said.append(f"{' and '.join(missing)} without a due date: nothing comes of it. Give due, or limit")
    return ". ".join(said)


def _behind_the_end(
    reminders: Sequence[Reminder], escalation: Escalation | None, given: Given, due: Due | None, zone: str
) -> Iterator[str]:
    calendar = Calendar(zone)
    first = []
    for reminder in reminders:
        moments = reminders_at([reminder], given["created_at"], due, calendar)
        first += [("reminder", moment.at) for moment in moments[:1]]
    if escalation is not None and due is not None:
        first.append(("escalation", escalation_at(escalation, due, calendar).at))
    for what, at in first:
        if at >= given["deadline"]:
            when, end = (_shown(moment, zone) for moment in (at, given["deadline"]))
            yield f"The {what} of {when} does not come, as the wait ends at {end} ({zone}): give it a longer timeout"


def _shown(moment: float, zone: str) -> str:
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
