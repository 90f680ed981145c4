from __future__ import annotations

import copy
import logging
import pickle
import sys
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils import business_hours
from airflow_provider_chatwork.utils.business_hours import DAYS, BusinessHours, QuietHours
from tests.waiting.scenario import DAY, NEW_YEAR, TOKYO, at, shown

NIGHT = QuietHours(start="19:00", end="09:00")
NOON = QuietHours(start="12:00", end="13:00")


def hours(quiet: QuietHours | None = NIGHT, *, business: bool = True, zone: str = TOKYO) -> BusinessHours:
    return BusinessHours(zone, business, quiet, NEW_YEAR.__contains__)


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
    def test_is_the_time_itself_or_the_next_opening(self, quiet, moment, opens):
        assert shown(hours(quiet).next_open(at(moment))) == opens

    def test_can_ignore_business_days(self):
        assert shown(hours(business=False).next_open(at("2026-01-10 03:00"))) == "2026-01-10 09:00"

    def test_uses_the_time_zone(self):
        paris = hours(zone="Europe/Paris")
        assert shown(paris.next_open(at("2026-01-06 03:00", "Europe/Paris")), "Europe/Paris") == "2026-01-06 09:00"

    def test_finds_the_end_of_hours_that_end_twice_in_one_night(self):
        quiet = QuietHours(start="01:00", end="01:30")
        once_more = datetime(2026, 10, 25, 1, 10, tzinfo=ZoneInfo("Europe/London"), fold=1).timestamp()
        opens = hours(quiet, business=False, zone="Europe/London").next_open(once_more)
        assert opens - once_more == 20 * 60

    def test_raises_where_no_hours_ever_open(self):
        with pytest.raises(ChatworkParameterError, match=r"^quiet_hours=.*some hours"):
            BusinessHours(TOKYO, is_holiday=lambda _: True).next_open(0.0)


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
    def test_are_open_at_the_next_opening(self, hours, moment):
        opens = hours.next_open(moment)
        assert opens >= moment
        assert hours.are_open(opens)
        assert hours.next_open(opens) == opens

    @given(HOURS, MOMENTS, st.floats(0, 5 * DAY))
    def test_never_open_earlier_for_a_later_time(self, hours, moment, later):
        assert hours.next_open(moment) <= hours.next_open(moment + later)

    @given(HOURS, MOMENTS, st.floats(0, 1))
    def test_are_closed_all_the_time_until_they_open(self, hours, moment, share):
        opens = hours.next_open(moment)
        between = moment + (opens - moment) * share
        # Clocks that are put forward open hours in the middle of an hour that is not there.
        if between < opens - 3600:
            assert not hours.are_open(between)


@pytest.fixture
def afresh():
    """Nothing is known of an earlier look for the library."""
    for known in (business_hours._holiday_check, business_hours.is_holiday):
        known.cache_clear()
    yield
    for known in (business_hours._holiday_check, business_hours.is_holiday):
        known.cache_clear()


@pytest.mark.usefixtures("afresh")
class TestIsHoliday:
    @pytest.mark.parametrize(
        ("day", "holiday"),
        [
            (date(2026, 1, 1), True),
            (date(2026, 5, 6), True),  # instead of a Sunday
            (date(2026, 9, 22), True),  # between two others
            (date(2026, 9, 24), False),
            (date(2026, 12, 25), False),
        ],
    )
    def test_has_japanese_holidays(self, day, holiday):
        pytest.importorskip("jpholiday")
        assert business_hours.is_holiday(day) is holiday

    def test_has_none_without_the_library_and_logs_that_once(self, monkeypatch, caplog):
        monkeypatch.setitem(sys.modules, "jpholiday", None)
        with caplog.at_level(logging.INFO, logger=business_hours.__name__):
            assert not business_hours.is_holiday(date(2026, 1, 1))
            assert not business_hours.is_holiday(date(2026, 1, 12))
        (record,) = caplog.records
        assert "airflow-provider-chatwork[holidays]" in record.message


def moment(day: str, clock: str) -> datetime:
    """A moment of the week of Monday, 2 February 2026, in Tokyo."""
    number = 2 + ("mon", "tue", "wed", "thu", "fri", "sat", "sun").index(day)
    return datetime.fromisoformat(f"2026-02-{number:02}T{clock}").replace(tzinfo=ZoneInfo(TOKYO))


def refused(parameter: str, remedy: str = ""):
    return pytest.raises(ChatworkParameterError, match=rf"^{parameter}=.*{remedy}")


class TestQuietHours:
    @pytest.mark.parametrize(
        ("fields", "parameter", "remedy"),
        [
            ({}, "start", "give start and end, days_off"),
            ({"start": "22:00"}, "end", "both start and end"),
            ({"end": "22:00"}, "start", "both start and end"),
            ({"start": "22:00", "days_off": ["sat"]}, "end", "both start and end"),
            ({"start": "22:00", "end": "22:00"}, "end", "give days_off"),
            ({"start": "7:00", "end": "08:00"}, "start", "HH:MM"),
            ({"start": "07:00", "end": "24:00"}, "end", "00:00 to 23:59"),
            ({"start": "07:00", "end": "07:60"}, "end", "HH:MM"),
            ({"start": "07:00", "end": "08:00\n"}, "end", "HH:MM"),
            ({"start": 1320, "end": "08:00"}, "start", "HH:MM"),
            ({"start": "07:00", "end": "08:00", "below": "info"}, "below", "warning, error, critical"),
            ({"start": "07:00", "end": "08:00", "below": "high"}, "below", "warning, error, critical"),
            ({"start": "07:00", "end": "08:00", "days": []}, "days", "mon, tue"),
            ({"start": "07:00", "end": "08:00", "days": [0]}, "days", "mon, tue"),
            ({"start": "07:00", "end": "08:00", "days": 5}, "days", "mon, tue"),
            ({"days_off": ["holiday"]}, "days_off", "mon, tue"),
            ({"days": ["mon"], "days_off": ["sat"]}, "days", "start and end too"),
        ],
    )
    def test_refuses_wrong_fields(self, fields, parameter, remedy):
        with refused(parameter, remedy):
            QuietHours(**fields)

    def test_accepts_days_in_any_order_case_and_form(self):
        expected = QuietHours(days_off=("sat", "sun"))
        assert QuietHours(days_off=["Sun", "SAT", "sat"]) == expected
        assert QuietHours(days_off="sun, sat") == expected

    def test_can_be_copied_and_pickled(self):
        hours = QuietHours(start="22:00", end="07:00", below="critical", days=["fri"], days_off=["sun"])
        assert copy.deepcopy(hours) == hours
        assert pickle.loads(pickle.dumps(hours)) == hours
        assert hash(hours) == hash(copy.copy(hours))


class TestContains:
    @pytest.mark.parametrize(
        ("clock", "quiet"),
        [
            ("11:59:59.999999", False),
            ("12:00:00", True),
            ("12:59:59.999999", True),
            ("13:00:00", False),
            ("00:00:00", False),
        ],
    )
    def test_is_quiet_from_the_start_up_to_the_end_of_one_day(self, clock, quiet):
        assert QuietHours(start="12:00", end="13:00").contains(moment("wed", clock)) is quiet

    @pytest.mark.parametrize(
        ("clock", "quiet"),
        [
            ("21:59:59", False),
            ("22:00:00", True),
            ("23:59:59", True),
            ("00:00:00", True),
            ("06:59:59", True),
            ("07:00:00", False),
        ],
    )
    def test_is_quiet_over_midnight(self, clock, quiet):
        assert QuietHours(start="22:00", end="07:00").contains(moment("wed", clock)) is quiet

    @pytest.mark.parametrize(
        ("day", "clock", "quiet"),
        [
            ("sun", "23:00", False),
            ("mon", "06:00", False),
            ("fri", "06:00", False),
            ("fri", "23:00", True),
            ("sat", "06:00", True),
            ("sat", "08:00", False),
            ("sat", "23:00", False),
            ("sun", "06:00", False),
        ],
    )
    def test_counts_a_night_to_the_day_on_which_it_starts(self, day, clock, quiet):
        hours = QuietHours(start="22:00", end="07:00", days=["fri"])
        assert hours.contains(moment(day, clock)) is quiet

    def test_counts_the_night_to_monday_to_sunday(self):
        hours = QuietHours(start="22:00", end="07:00", days=["sun"])
        assert hours.contains(moment("mon", "06:00"))

    def test_depends_on_the_day(self):
        hours = QuietHours(start="12:00", end="13:00", days=["mon"])
        assert hours.contains(moment("mon", "12:30"))
        assert not hours.contains(moment("tue", "12:30"))

    def test_is_quiet_until_midnight_if_it_ends_there(self):
        hours = QuietHours(start="22:00", end="00:00")
        assert hours.contains(moment("mon", "23:59"))
        assert not hours.contains(moment("tue", "00:00"))

    @pytest.mark.parametrize(
        ("day", "clock", "quiet"),
        [
            ("fri", "23:59", False),
            ("sat", "00:00", True),
            ("sat", "12:00", True),
            ("sun", "23:59", True),
            ("mon", "00:00", False),
        ],
    )
    def test_is_quiet_all_of_a_day_off(self, day, clock, quiet):
        assert QuietHours(days_off=("sat", "sun")).contains(moment(day, clock)) is quiet

    def test_is_quiet_in_the_hours_and_on_days_off(self):
        hours = QuietHours(start="22:00", end="07:00", days_off=["sat"])
        quiet = [hours.contains(moment(day, "12:00")) for day in ("fri", "sat")]
        assert quiet == [False, True]
        assert hours.contains(moment("sun", "06:00"))

    def test_uses_the_time_zone_of_the_datetime(self):
        hours = QuietHours(start="22:00", end="07:00")
        tokyo = moment("wed", "23:00")
        assert hours.contains(tokyo)
        assert not hours.contains(tokyo.astimezone(ZoneInfo("UTC")))

    def test_refuses_a_datetime_without_a_zone(self):
        with refused("now", "time zone"):
            QuietHours(days_off=["sat"]).contains(datetime(2026, 2, 7))


class TestToJson:
    @pytest.mark.parametrize(
        "fields",
        [
            {"start": "22:00", "end": "07:00", "below": "error"},
            {"start": "22:00", "end": "07:00", "below": "critical", "days": ["fri"], "days_off": ["sat", "sun"]},
            {"below": "warning", "days_off": ["sun"]},
        ],
    )
    def test_has_the_fields_that_are_set(self, fields):
        assert QuietHours(**fields).to_json() == fields
