from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.utils.quiet_hours import QuietHours
from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders.schedule import (
    Calendar,
    Due,
    earliest_due,
    escalation_at,
    reminders_at,
    task_due,
)
from tests.waiting.office import DAY, HOUR, NEW_YEAR, TOKYO, at, shown, task

CALENDAR = Calendar(TOKYO, NEW_YEAR.__contains__)
#: A Monday.
CREATED = at("2026-01-05 10:00")
#: The Friday after it.
FRIDAY = Due(at("2026-01-09 17:00"), False)


def moments(*reminders: Reminder, due: Due | None = None, created_at: float = CREATED) -> list[tuple[str, int, bool]]:
    """When, which number, and whether for the due date."""
    found = reminders_at(reminders, created_at, due, CALENDAR)
    return [(shown(moment.at), moment.number, moment.due is not None) for moment in found]


class TestTaskDue:
    def test_is_the_moment_of_its_limit(self):
        assert task_due(task(due=FRIDAY.at), TOKYO) == FRIDAY

    def test_is_the_end_of_its_day_whatever_time_of_the_day_chatwork_tells(self):
        for clock in ("00:00", "09:30", "23:59"):
            due = task_due(task(due=at(f"2026-01-09 {clock}"), limit_type="date"), TOKYO)
            assert due == Due(at("2026-01-09 23:59") + 59, True)

    def test_is_the_end_of_the_day_in_the_zone(self):
        due = task_due(task(due=at("2026-01-09 23:59", "America/New_York"), limit_type="date"), "America/New_York")
        assert due is not None
        assert shown(due.at, "America/New_York") == "2026-01-09 23:59"

    @pytest.mark.parametrize(
        ("due", "limit_type"), [(0, "none"), (0, "time"), (FRIDAY.at, "none"), (-5, "time"), (FRIDAY.at * 1000, "time")]
    )
    def test_is_never_without_a_limit(self, due, limit_type):
        assert task_due(task(due=due, limit_type=limit_type), TOKYO) is None

    def test_is_never_where_chatwork_tells_nothing(self):
        bare = task()
        del bare["limit_time"], bare["limit_type"]
        assert task_due(bare, TOKYO) is None


class TestEarliestDue:
    def test_is_the_first_of_those_there_are(self):
        tasks = [task(), task(due=FRIDAY.at + 1), task(due=FRIDAY.at)]
        assert earliest_due(tasks, TOKYO) == FRIDAY
        assert earliest_due(tasks[:1], TOKYO) is None


class TestRemindersAt:
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
        soon = Due(CREATED + HOUR, False)
        assert moments(Reminder(before_due=2 * HOUR), due=soon) == []
        assert moments(Reminder(before_due=2 * HOUR, every=90 * 60, at_most=1), due=soon) == [
            ("2026-01-05 10:30", 1, True)
        ]

    def test_come_earlier_rather_than_after_the_due_date(self):
        monday = Due(at("2026-01-12 08:00"), False)
        assert moments(Reminder(before_due=HOUR), due=monday) == [("2026-01-09 18:45", 1, True)]

    def test_come_one_after_the_other_where_one_of_them_comes_earlier(self):
        evening = Due(at("2026-01-05 22:00"), False)
        assert moments(Reminder(before_due=200 * 60, every=600, at_most=4), due=evening) == [
            ("2026-01-05 18:40", 1, True),
            ("2026-01-05 18:50", 2, True),
            ("2026-01-06 09:00", 3, True),
            ("2026-01-06 09:10", 4, True),
        ]

    def test_come_late_where_there_was_no_open_hour_before_the_due_date(self):
        due = Due(at("2026-01-05 23:00"), False)
        assert moments(Reminder(before_due=HOUR), due=due, created_at=at("2026-01-05 20:00")) == [
            ("2026-01-06 09:00", 1, True)
        ]

    def test_come_at_the_due_date_too_where_the_one_before_came_earlier(self):
        due = Due(at("2026-01-13 10:00"), False)
        quiet = ("11:00", "10:00")
        assert moments(Reminder(before_due=2 * HOUR, every=2 * HOUR, at_most=2, quiet_hours=quiet), due=due) == [
            ("2026-01-09 10:45", 1, True),
            ("2026-01-13 10:00", 2, True),
        ]

    def test_come_from_both_ends_where_both_are_given(self):
        reminder = Reminder(after=2 * HOUR, every=2 * DAY, before_due=DAY, at_most=3)
        assert moments(reminder, due=FRIDAY) == [
            ("2026-01-05 12:00", 1, False),
            ("2026-01-07 12:00", 2, False),
            ("2026-01-08 17:00", 1, True),
        ]

    def test_keep_their_numbers_when_a_due_date_is_set_or_moved(self):
        reminder = Reminder(after=2 * HOUR, every=DAY, before_due=DAY)
        for due in (None, FRIDAY, Due(at("2026-01-06 17:00"), False), Due(at("2026-01-28 17:00"), False)):
            numbers = {when: number for when, number, for_due in moments(reminder, due=due) if not for_due}
            assert numbers["2026-01-05 12:00"] == 1
            assert numbers["2026-01-13 09:00"] == 6

    def test_move_with_the_due_date(self):
        moved = Due(FRIDAY.at + 5 * DAY, False)
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
        calendar = Calendar(TOKYO, lambda day: bool(asked.append(day)) or day in NEW_YEAR)
        due = Due(at("2026-01-13 08:00"), False)
        assert len(reminders_at([reminder], at(created), due, calendar)) == 100
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
STARTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("after", "every", "before_due"), DURATIONS)).filter(bool)
REMINDERS = st.builds(lambda start, manner: Reminder(**start, **manner), STARTS, MANNERS)
SETS = st.lists(REMINDERS, min_size=1, max_size=3)
DUES = st.none() | st.builds(lambda away: Due(CREATED + away, False), st.floats(1, 30 * DAY))


class TestAllMoments:
    @given(SETS, DUES)
    def test_come_one_after_the_other_and_after_the_task(self, reminders, due):
        found = [moment.at for moment in reminders_at(reminders, CREATED, due, CALENDAR)]
        assert found == sorted(set(found))
        assert all(each > CREATED for each in found)

    @given(SETS, DUES)
    def test_are_in_open_hours(self, reminders, due):
        for moment in reminders_at(reminders, CREATED, due, CALENDAR):
            assert CALENDAR.hours(moment.source).are_open(moment.at)

    @given(SETS, DUES)
    def test_are_as_many_as_wanted_at_most(self, reminders, due):
        found = reminders_at(reminders, CREATED, due, CALENDAR)
        for reminder in reminders:
            assert sum(moment.source == reminder for moment in found) <= reminder.at_most

    @given(SETS, DUES)
    def test_have_numbers_that_tell_them_apart(self, reminders, due):
        numbers = [(moment.due, moment.number) for moment in reminders_at(reminders, CREATED, due, CALENDAR)]
        assert len(set(numbers)) == len(numbers)
        for kind in (None, due):
            counted = [number for of, number in numbers if of == kind]
            assert counted == sorted(counted)

    @given(SETS, DUES, DUES)
    def test_keep_time_and_number_of_those_that_do_not_depend_on_the_due_date(self, reminders, due, moved):
        def numbers(due: Due | None) -> dict[float, int]:
            found = reminders_at(reminders, CREATED, due, CALENDAR)
            return {moment.at: moment.number for moment in found if moment.due is None}

        one, other = numbers(due), numbers(moved)
        assert all(one[each] == other[each] for each in one.keys() & other.keys())


class TestEscalationAt:
    def test_is_a_while_after_the_due_date(self):
        moment = escalation_at(Escalation(grace=HOUR, mentions=1), FRIDAY, CALENDAR)
        assert (shown(moment.at), moment.due) == ("2026-01-09 18:00", FRIDAY)

    def test_waits_for_open_hours(self):
        assert shown(escalation_at(Escalation(grace=2 * HOUR, mentions=1), FRIDAY, CALENDAR).at) == "2026-01-13 09:00"
        at_night = Escalation(grace=2 * HOUR, mentions=1, quiet_hours=None)
        assert shown(escalation_at(at_night, FRIDAY, CALENDAR).at) == "2026-01-09 19:00"
