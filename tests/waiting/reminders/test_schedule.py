from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.utils.business_hours import QuietHours
from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders.schedule import (
    BusinessCalendar,
    DueDate,
    earliest_due,
    schedule_escalation,
    schedule_reminders,
    task_due,
    unreachable_reminders,
)
from tests.waiting.scenario import ANY_TIME, DAY, HOUR, NEW_YEAR, TOKYO, at, shown, task

CALENDAR = BusinessCalendar(TOKYO, NEW_YEAR.__contains__)
#: A Monday.
CREATED = at("2026-01-05 10:00")
#: The Friday after it.
FRIDAY = DueDate(at("2026-01-09 17:00"), False)


def moments(
    *reminders: Reminder, due: DueDate | None = None, created_at: float = CREATED
) -> list[tuple[str, int, bool]]:
    """When, which number, and whether for the due date."""
    found = schedule_reminders(reminders, created_at, due, CALENDAR)
    return [(shown(moment.at), moment.number, moment.due is not None) for moment in found]


class TestTaskDue:
    def test_is_the_moment_of_its_limit(self):
        assert task_due(task(due=FRIDAY.at), TOKYO) == FRIDAY

    def test_is_the_end_of_its_day_at_any_time_of_the_day(self):
        for clock in ("00:00", "09:30", "23:59"):
            due = task_due(task(due=at(f"2026-01-09 {clock}"), limit_type="date"), TOKYO)
            assert due == DueDate(at("2026-01-09 23:59") + 59, True)

    def test_is_the_end_of_the_day_in_the_zone(self):
        due = task_due(task(due=at("2026-01-09 23:59", "America/New_York"), limit_type="date"), "America/New_York")
        assert due is not None
        assert shown(due.at, "America/New_York") == "2026-01-09 23:59"

    @pytest.mark.parametrize(
        ("due", "limit_type"), [(0, "none"), (0, "time"), (FRIDAY.at, "none"), (-5, "time"), (FRIDAY.at * 1000, "time")]
    )
    def test_is_never_without_a_limit(self, due, limit_type):
        assert task_due(task(due=due, limit_type=limit_type), TOKYO) is None

    def test_is_none_without_limit_fields(self):
        bare = task()
        del bare["limit_time"], bare["limit_type"]
        assert task_due(bare, TOKYO) is None


class TestEarliestDue:
    def test_is_the_earliest_due_date(self):
        tasks = [task(), task(due=FRIDAY.at + 1), task(due=FRIDAY.at)]
        assert earliest_due(tasks, TOKYO) == FRIDAY
        assert earliest_due(tasks[:1], TOKYO) is None


class TestScheduleReminders:
    def test_come_once_after_a_while(self):
        assert moments(Reminder(after=2 * HOUR)) == [("2026-01-05 12:00", 1, False)]

    def test_come_again_and_again_up_to_a_number(self):
        assert moments(Reminder(after=2 * HOUR, every=DAY, at_most=3)) == [
            ("2026-01-05 12:00", 1, False),
            ("2026-01-06 12:00", 2, False),
            ("2026-01-07 12:00", 3, False),
        ]

    def test_come_every_so_often_from_when_the_task_was_given(self):
        assert moments(Reminder(every=DAY, at_most=2)) == [
            ("2026-01-06 10:00", 1, False),
            ("2026-01-07 10:00", 2, False),
        ]

    def test_come_once_after_a_night_or_a_weekend(self):
        assert moments(Reminder(every=6 * HOUR, at_most=7)) == [
            ("2026-01-05 16:00", 1, False),
            ("2026-01-06 09:00", 2, False),
            ("2026-01-06 16:00", 3, False),
            ("2026-01-07 09:00", 4, False),
            ("2026-01-07 16:00", 5, False),
            ("2026-01-08 09:00", 6, False),
            ("2026-01-08 16:00", 7, False),
        ]

    def test_come_once_on_the_morning_after_a_weekend(self):
        assert moments(Reminder(every=DAY), created_at=at("2026-01-09 10:00"))[:3] == [
            ("2026-01-13 09:00", 1, False),
            ("2026-01-14 10:00", 2, False),
            ("2026-01-15 10:00", 3, False),
        ]

    def test_come_twice_after_a_night_where_half_of_the_time_between_two_has_passed(self):
        half = moments(Reminder(every=6 * HOUR), created_at=at("2026-01-05 12:00"))
        assert half[:3] == [
            ("2026-01-05 18:00", 1, False),
            ("2026-01-06 09:00", 2, False),
            ("2026-01-06 12:00", 3, False),
        ]

    def test_come_before_the_task_is_due(self):
        assert moments(Reminder(before_due=2 * HOUR), due=FRIDAY) == [("2026-01-09 15:00", 1, True)]
        assert moments(Reminder(before_due=0), due=FRIDAY) == [("2026-01-09 17:00", 1, True)]

    def test_go_on_when_the_due_date_has_passed(self):
        assert moments(Reminder(before_due=DAY, every=DAY, at_most=3), due=FRIDAY) == [
            ("2026-01-08 17:00", 1, True),
            ("2026-01-09 17:00", 2, True),
            ("2026-01-13 09:00", 3, True),
        ]

    def test_do_not_come_for_a_due_date_that_is_not_there(self):
        assert moments(Reminder(before_due=DAY, every=DAY)) == []

    def test_do_not_come_right_when_a_task_is_given_that_is_due_soon(self):
        soon = DueDate(CREATED + HOUR, False)
        assert moments(Reminder(before_due=2 * HOUR), due=soon) == []
        assert moments(Reminder(before_due=2 * HOUR, every=90 * 60, at_most=1), due=soon) == [
            ("2026-01-05 10:30", 1, True)
        ]

    def test_move_to_the_next_open_hour_also_past_the_due_date(self):
        monday = DueDate(at("2026-01-12 08:00"), False)
        assert moments(Reminder(before_due=HOUR), due=monday) == [("2026-01-13 09:00", 1, True)]

    def test_come_once_after_a_night_with_the_due_date_in_it(self):
        evening = DueDate(at("2026-01-05 22:00"), False)
        assert moments(Reminder(before_due=200 * 60, every=600, at_most=4), due=evening) == [
            ("2026-01-05 18:40", 1, True),
            ("2026-01-05 18:50", 2, True),
            ("2026-01-06 09:00", 3, True),
            ("2026-01-06 09:10", 4, True),
        ]

    def test_of_both_kinds_are_numbered_together(self):
        reminders = (Reminder(after=2 * HOUR, every=2 * DAY, at_most=3), Reminder(before_due=DAY))
        assert moments(*reminders, due=FRIDAY) == [
            ("2026-01-05 12:00", 1, False),
            ("2026-01-07 12:00", 2, False),
            ("2026-01-08 17:00", 3, True),
            ("2026-01-09 12:00", 4, False),
        ]

    def test_move_with_the_due_date(self):
        moved = DueDate(FRIDAY.at + 5 * DAY, False)
        assert moments(Reminder(before_due=HOUR), due=moved) == [("2026-01-14 16:00", 1, True)]

    def test_of_several_are_counted_together(self):
        assert moments(Reminder(every=DAY, at_most=2), Reminder(after=26 * HOUR)) == [
            ("2026-01-06 10:00", 1, False),
            ("2026-01-06 12:00", 2, False),
            ("2026-01-07 10:00", 3, False),
        ]

    def test_of_several_come_once_at_one_time_and_then_for_the_due_date(self):
        both = moments(Reminder(after=96 * HOUR), Reminder(before_due=7 * HOUR), due=FRIDAY)
        assert both == moments(Reminder(before_due=7 * HOUR), Reminder(after=96 * HOUR), due=FRIDAY)
        assert both == [("2026-01-09 10:00", 1, True)]

    @pytest.mark.parametrize(
        ("reminder", "created"),
        [
            (Reminder(every=1, at_most=100, quiet_hours=None), "2026-01-09 23:59"),
            (Reminder(every=1, at_most=100), "2026-01-09 18:59"),
            (Reminder(before_due=3660 * DAY, every=1, at_most=100), "2026-01-09 18:59"),
            (Reminder(before_due=3 * DAY, every=1, at_most=100), "2026-01-09 18:59"),
            (Reminder(before_due=2 * DAY, every=1, at_most=100), "2026-01-09 12:00"),
        ],
    )
    def test_are_few_however_often_they_were_to_come(self, reminder, created):
        asked: list[date] = []
        calendar = BusinessCalendar(TOKYO, lambda day: bool(asked.append(day)) or day in NEW_YEAR)
        due = DueDate(at("2026-01-13 08:00"), False)
        assert len(schedule_reminders([reminder], at(created), due, calendar)) == 100
        # Not once for each second of a weekend.
        assert len(asked) < 2000


DURATIONS = st.timedeltas(timedelta(seconds=1), timedelta(days=20))
MANNERS = st.fixed_dictionaries(
    {
        "at_most": st.integers(1, 20),
        "business_days_only": st.booleans(),
        "quiet_hours": st.sampled_from(
            [None, ("19:00", "09:00"), ("12:00", "13:00"), QuietHours(start="22:00", end="06:00", days_off=("wed",))]
        ),
    }
)
STARTS = st.one_of(
    st.fixed_dictionaries({}, optional=dict.fromkeys((first, "every"), DURATIONS)).filter(bool)
    for first in ("after", "before_due")
)
REMINDERS = st.builds(lambda start, manner: Reminder(**start, **manner), STARTS, MANNERS)
SETS = st.lists(REMINDERS, min_size=1, max_size=3)
DUES = st.none() | st.builds(lambda away: DueDate(CREATED + away, False), st.floats(1, 30 * DAY))


class TestAllMoments:
    @given(SETS, DUES)
    def test_come_one_after_the_other_and_after_the_task(self, reminders, due):
        found = [moment.at for moment in schedule_reminders(reminders, CREATED, due, CALENDAR)]
        assert found == sorted(set(found))
        assert all(each > CREATED for each in found)

    @given(SETS, DUES)
    def test_are_in_open_hours(self, reminders, due):
        for moment in schedule_reminders(reminders, CREATED, due, CALENDAR):
            assert CALENDAR.hours(moment.source).are_open(moment.at)

    @given(SETS, DUES)
    def test_are_as_many_as_wanted_at_most(self, reminders, due):
        found = schedule_reminders(reminders, CREATED, due, CALENDAR)
        for reminder in reminders:
            assert sum(moment.source == reminder for moment in found) <= reminder.at_most

    @given(SETS, DUES)
    def test_are_numbered_in_their_order(self, reminders, due):
        found = schedule_reminders(reminders, CREATED, due, CALENDAR)
        assert [each.number for each in found] == [*range(1, len(found) + 1)]

    @given(SETS, DUES, DUES)
    def test_keep_the_times_that_do_not_depend_on_the_due_date(self, reminders, due, moved):
        def times(due: DueDate | None) -> set[float]:
            found = schedule_reminders(reminders, CREATED, due, CALENDAR)
            return {each.at for each in found if each.due is None}

        assert times(due) <= times(None)
        assert times(moved) <= times(None)


class TestScheduleEscalation:
    def test_is_a_while_after_the_due_date(self):
        moment = schedule_escalation(Escalation(grace=HOUR, mentions=1), FRIDAY, CALENDAR)
        assert (shown(moment.at), moment.due) == ("2026-01-09 18:00", FRIDAY)

    def test_waits_for_open_hours(self):
        assert (
            shown(schedule_escalation(Escalation(grace=2 * HOUR, mentions=1), FRIDAY, CALENDAR).at)
            == "2026-01-13 09:00"
        )
        at_night = Escalation(grace=2 * HOUR, mentions=1, quiet_hours=None)
        assert shown(schedule_escalation(at_night, FRIDAY, CALENDAR).at) == "2026-01-09 19:00"


class TestUnreachableReminders:
    ESCALATION = Escalation(grace=HOUR, mentions=1, **ANY_TIME)
    BEFORE = Reminder(before_due=HOUR, **ANY_TIME)

    def sentences(self, *sources, due: float | None, timeout: float = 5 * HOUR, zone: str = TOKYO) -> list[str]:
        """What is reported of tasks that are due this many seconds after their creation."""
        due_date = None if due is None else DueDate(CREATED + due, False)
        return unreachable_reminders(sources, CREATED, CREATED + timeout, due_date, BusinessCalendar(zone))

    @pytest.mark.parametrize(
        ("sources", "due"),
        [
            ((), None),
            ((Reminder(after=HOUR, **ANY_TIME),), None),
            ((Reminder(every=HOUR, **ANY_TIME), BEFORE, ESCALATION), 3 * HOUR),
        ],
    )
    def test_are_none_where_everything_is_sent(self, sources, due):
        assert self.sentences(*sources, due=due) == []

    @pytest.mark.parametrize(("source", "name"), [(BEFORE, "reminder"), (ESCALATION, "escalation")])
    def test_are_those_that_need_a_due_date(self, source, name):
        sentence = f"The {name} is not sent, as the task has no due date: give due, or limit"
        assert self.sentences(source, due=None) == [sentence]

    @pytest.mark.parametrize(
        ("zone", "at", "end"),
        [
            (TOKYO, "2026-01-05 15:00:00", "2026-01-05 15:00:00"),
            ("UTC", "2026-01-05 06:00:00", "2026-01-05 06:00:00"),
        ],
    )
    def test_are_an_escalation_that_is_not_before_the_deadline(self, zone, at, end):
        sentence = f"The escalation of {at} is not sent, as the wait ends at {end} ({zone}): give a longer timeout"
        assert self.sentences(self.ESCALATION, due=4 * HOUR, zone=zone) == [sentence]
        assert self.sentences(self.ESCALATION, due=4 * HOUR - 1, zone=zone) == []

    def test_are_those_that_wait_for_business_hours_until_after_the_deadline(self):
        escalation = Escalation(mentions=1, business_days_only=False)
        [sentence] = self.sentences(escalation, due=10 * HOUR, timeout=12 * HOUR)
        assert sentence.startswith(
            "The escalation of 2026-01-06 09:00:00 is not sent, as the wait ends at 2026-01-05 22"
        )

    @pytest.mark.parametrize("reminder", [Reminder(after=5 * HOUR, **ANY_TIME), BEFORE], ids=["after", "before_due"])
    def test_are_a_reminder_whose_first_is_not_before_the_deadline(self, reminder):
        [sentence] = self.sentences(reminder, Reminder(after=1, **ANY_TIME), due=6 * HOUR)
        assert sentence.startswith("The reminder of 2026-01-05 15:00:00 is not sent, as the wait ends")

    def test_are_all_that_there_are(self):
        sentences = self.sentences(self.BEFORE, self.ESCALATION, due=9 * HOUR)
        assert [sentence.split()[1] for sentence in sentences] == ["reminder", "escalation"]
