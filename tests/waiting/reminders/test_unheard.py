from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders._unheard import unheard
from airflow_provider_chatwork.waiting.reminders.plan import FollowUp
from airflow_provider_chatwork.waiting.tasks.tracking import Given, new_track

# Monday, 2026-11-23 10:00 in Tokyo, a holiday; nobody is reminded by that here.
NOW = 1_795_395_600.0
HOUR = 3600.0
ALWAYS: dict[str, Any] = {"quiet_hours": None, "business_days_only": False}


def given(*dues: float | None, lasts: float = 5 * HOUR, status: str = "open") -> Given:
    """Tasks that were given now: due so many seconds from now, not due (0), or not looked at yet (``None``)."""
    tracks = []
    for number, due in enumerate(dues, 1):
        track = new_track(number)
        track["status"] = status
        if due is not None:
            limit_type = "time" if due else "none"
            limit_time = int(NOW + due) if due else 0
            track["terms"] = {"account_id": 1, "limit_time": limit_time, "limit_type": limit_type, "text": "x"}
        tracks.append(track)
    return {
        **{"room_id": 1, "message_id": None, "needed": 1, "tracks": tracks},
        **{"created_at": NOW, "deadline": NOW + lasts},
    }  # type: ignore[typeddict-item]


def follow_up(*reminders: Reminder, escalation: Escalation | None = None, zone: str = "Asia/Tokyo") -> FollowUp:
    return FollowUp(reminders=reminders, escalation=escalation, zone=zone)


ESCALATION = Escalation(grace=HOUR, mentions=1, **ALWAYS)
BEFORE = Reminder(before_due=HOUR, **ALWAYS)


class TestUnheard:
    @pytest.mark.parametrize(
        "wishes",
        [
            follow_up(),
            follow_up(Reminder(after=HOUR, **ALWAYS)),
            follow_up(Reminder(every=HOUR, **ALWAYS), BEFORE, escalation=ESCALATION),
        ],
    )
    def test_is_nothing_where_all_comes(self, wishes: FollowUp) -> None:
        assert unheard(wishes, given(3 * HOUR, 0)) == ""

    @pytest.mark.parametrize(
        ("wishes", "what"),
        [
            (follow_up(BEFORE), "before_due"),
            (follow_up(Reminder(after=HOUR, before_due=HOUR, **ALWAYS)), "before_due"),
            (follow_up(escalation=ESCALATION), "escalation"),
            (follow_up(BEFORE, BEFORE, escalation=ESCALATION), "before_due and escalation"),
        ],
    )
    def test_is_what_needs_a_due_date(self, wishes: FollowUp, what: str) -> None:
        said = f"{what} without a due date: nothing comes of it. Give due, or limit"
        assert unheard(wishes, given(0, 0)) == said

    @pytest.mark.parametrize(
        ("zone", "when", "end"),
        [
            ("Asia/Tokyo", "2026-11-23 15:00:00", "2026-11-23 15:00:00"),
            ("UTC", "2026-11-23 06:00:00", "2026-11-23 06:00:00"),
        ],
    )
    def test_is_an_escalation_that_is_not_before_the_end(self, zone: str, when: str, end: str) -> None:
        said = f"The escalation of {when} does not come, as the wait ends at {end} ({zone}): give it a longer timeout"
        assert unheard(follow_up(escalation=ESCALATION, zone=zone), given(4 * HOUR)) == said
        assert unheard(follow_up(escalation=ESCALATION, zone=zone), given(4 * HOUR - 1)) == ""

    def test_is_what_waits_for_office_hours_until_after_the_end(self) -> None:
        escalation = Escalation(mentions=1, business_days_only=False)
        wishes = follow_up(escalation=escalation)
        said = unheard(wishes, given(10 * HOUR, lasts=12 * HOUR))
        assert said.startswith("The escalation of 2026-11-24 09:00:00 does not come, as the wait ends at 2026-11-23 22")

    @pytest.mark.parametrize("reminder", [Reminder(after=5 * HOUR, **ALWAYS), BEFORE], ids=["after", "before_due"])
    def test_is_a_reminder_whose_first_is_not_before_the_end(self, reminder: Reminder) -> None:
        said = unheard(follow_up(reminder, Reminder(after=1, **ALWAYS)), given(6 * HOUR))
        assert said.startswith("The reminder of 2026-11-23 15:00:00 does not come, as the wait ends")
        assert said.count("does not come") == 1

    def test_may_be_several_things(self) -> None:
        said = unheard(follow_up(BEFORE, escalation=ESCALATION), given(9 * HOUR))
        assert (said.count("The reminder"), said.count("The escalation")) == (1, 1)

    def test_goes_by_the_earliest_due_date(self) -> None:
        assert unheard(follow_up(BEFORE, escalation=ESCALATION), given(9 * HOUR, 3 * HOUR)) == ""

    @pytest.mark.parametrize("tasks", [given(None), given(0, None), given(0, status="done"), given()])
    def test_is_not_said_of_what_is_not_known_and_of_what_is_done(self, tasks: Given) -> None:
        assert unheard(follow_up(BEFORE, escalation=ESCALATION), tasks) == ""
