from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.business_hours import BEFORE_CLOSING, Hours
from airflow_provider_chatwork.utils.quiet_hours import DAYS, QuietHours
from tests.waiting.office import DAY, NEW_YEAR, TOKYO, at, shown

NIGHT = QuietHours(start="19:00", end="09:00")
NOON = QuietHours(start="12:00", end="13:00")


def hours(quiet: QuietHours | None = NIGHT, *, business: bool = True, zone: str = TOKYO) -> Hours:
    return Hours(zone, business, quiet, NEW_YEAR.__contains__)


class TestNextOpen:
    @pytest.mark.parametrize(
        ("quiet", "moment", "opens"),
        [
            (NIGHT, "2026-01-06 10:00", "2026-01-06 10:00"),
            (NIGHT, "2026-01-06 09:00", "2026-01-06 09:00"),
            (NIGHT, "2026-01-06 08:59", "2026-01-06 09:00"),
            (NIGHT, "2026-01-06 18:59", "2026-01-06 18:59"),
            (NIGHT, "2026-01-06 19:00", "2026-01-07 09:00"),
            (NIGHT, "2026-01-09 19:00", "2026-01-13 09:00"),  # a Friday, and a Monday that is a holiday
            (NIGHT, "2026-01-10 12:00", "2026-01-13 09:00"),
            (NIGHT, "2026-01-01 00:00", "2026-01-02 09:00"),
            (NOON, "2026-01-10 12:30", "2026-01-13 00:00"),
            (NOON, "2026-01-06 12:30", "2026-01-06 13:00"),
            (None, "2026-01-06 03:00", "2026-01-06 03:00"),
            (None, "2026-01-10 03:00", "2026-01-13 00:00"),
        ],
    )
    def test_is_the_moment_itself_or_when_hours_open(self, quiet, moment, opens):
        assert shown(hours(quiet).next_open(at(moment))) == opens

    def test_takes_every_day_for_open_where_business_days_do_not_matter(self):
        assert shown(hours(business=False).next_open(at("2026-01-10 03:00"))) == "2026-01-10 09:00"

    def test_reads_the_clock_of_the_zone(self):
        paris = hours(zone="Europe/Paris")
        assert shown(paris.next_open(at("2026-01-06 03:00", "Europe/Paris")), "Europe/Paris") == "2026-01-06 09:00"

    def test_finds_the_end_of_hours_that_end_twice_in_one_night(self):
        quiet = QuietHours(start="01:00", end="01:30")
        once_more = datetime(2026, 10, 25, 1, 10, tzinfo=ZoneInfo("Europe/London"), fold=1).timestamp()
        opens = hours(quiet, business=False, zone="Europe/London").next_open(once_more)
        assert opens - once_more == 20 * 60

    def test_says_that_no_hours_ever_open(self):
        with pytest.raises(ChatworkParameterError, match=r"^quiet_hours=.*some hours"):
            Hours(TOKYO, holiday=lambda _: True).next_open(0.0)


class TestLastOpen:
    @pytest.mark.parametrize(
        ("quiet", "moment", "closed"),
        [
            (NIGHT, "2026-01-06 10:00", "2026-01-06 10:00"),
            (NIGHT, "2026-01-06 22:00", "2026-01-06 18:45"),
            (NIGHT, "2026-01-07 08:00", "2026-01-06 18:45"),
            (NIGHT, "2026-01-13 08:00", "2026-01-09 18:45"),
            (NOON, "2026-01-06 12:30", "2026-01-06 11:45"),
            (None, "2026-01-11 03:00", "2026-01-09 23:45"),
            (QuietHours(start="09:10", end="09:00"), "2026-01-06 10:00", "2026-01-06 09:09"),
        ],
    )
    def test_is_the_moment_itself_or_a_while_before_hours_closed(self, quiet, moment, closed):
        assert shown(hours(quiet).last_open(at(moment))) == closed

    def test_says_that_no_hours_were_ever_open(self):
        with pytest.raises(ChatworkParameterError, match=r"^quiet_hours=.*some hours"):
            Hours(TOKYO, holiday=lambda _: True).last_open(0.0)


CLOCKS = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 1, 30, 59]))
QUIET = st.one_of(
    st.none(),
    st.tuples(CLOCKS, CLOCKS, st.sets(st.sampled_from(DAYS), max_size=3))
    .filter(lambda given: given[0] != given[1])
    .map(lambda given: QuietHours(start=given[0], end=given[1], days_off=[*given[2]] or None)),
)
ZONES = st.sampled_from([TOKYO, "UTC", "America/New_York", "Europe/London", "Africa/Cairo", "Australia/Lord_Howe"])
#: Some weeks around the days when clocks are changed.
MOMENTS = st.floats(at("2026-03-01 00:00"), at("2026-11-20 00:00"))
HOURS = st.builds(lambda quiet, business, zone: hours(quiet, business=business, zone=zone), QUIET, st.booleans(), ZONES)


class TestHours:
    @given(HOURS, MOMENTS)
    def test_are_open_when_they_are_said_to_be_next(self, hours, moment):
        opens = hours.next_open(moment)
        assert opens >= moment
        assert hours.are_open(opens)
        assert hours.next_open(opens) == opens

    @given(HOURS, MOMENTS)
    def test_are_open_when_they_are_said_to_have_been_last(self, hours, moment):
        closed = hours.last_open(moment)
        assert closed <= moment
        assert hours.are_open(closed)

    @given(HOURS, MOMENTS, st.floats(0, 5 * DAY))
    def test_never_open_earlier_for_a_later_moment(self, hours, moment, later):
        assert hours.next_open(moment) <= hours.next_open(moment + later)

    @given(HOURS, MOMENTS, st.floats(0, 1))
    def test_are_closed_all_the_time_until_they_open(self, hours, moment, share):
        opens = hours.next_open(moment)
        between = moment + (opens - moment) * share
        # Clocks that are put forward open hours in the middle of an hour that is not there.
        if between < opens - 3600:
            assert not hours.are_open(between)

    @given(HOURS, MOMENTS)
    def test_are_closed_soon_after_they_were_last_open(self, hours, moment):
        closed = hours.last_open(moment)
        if closed < moment - BEFORE_CLOSING - 3600:
            assert not hours.are_open(closed + BEFORE_CLOSING + 1)
