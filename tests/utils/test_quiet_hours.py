from __future__ import annotations

import copy
import pickle
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.quiet_hours import QuietHours

TOKYO = ZoneInfo("Asia/Tokyo")


def moment(day: str, clock: str) -> datetime:
    """A moment of the week of Monday, 2 February 2026, in Tokyo."""
    number = 2 + ("mon", "tue", "wed", "thu", "fri", "sat", "sun").index(day)
    return datetime.fromisoformat(f"2026-02-{number:02}T{clock}").replace(tzinfo=TOKYO)


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
    def test_refuses_hours_that_cannot_be_meant(self, fields, parameter, remedy):
        with refused(parameter, remedy):
            QuietHours(**fields)

    def test_takes_days_in_any_order_case_and_shape(self):
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

    def test_knows_that_the_night_to_monday_starts_on_sunday(self):
        hours = QuietHours(start="22:00", end="07:00", days=["sun"])
        assert hours.contains(moment("mon", "06:00"))

    def test_looks_at_the_day_of_hours_within_one_day(self):
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

    def test_reads_the_clock_in_the_zone_of_the_moment(self):
        hours = QuietHours(start="22:00", end="07:00")
        tokyo = moment("wed", "23:00")
        assert hours.contains(tokyo)
        assert not hours.contains(tokyo.astimezone(ZoneInfo("UTC")))

    def test_refuses_a_moment_without_a_zone(self):
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
    def test_says_what_was_given(self, fields):
        assert QuietHours(**fields).to_json() == fields
