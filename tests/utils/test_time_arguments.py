from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pendulum
import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.time_arguments import MAX_DAYS, parse_due, parse_duration, parse_since

TOKYO = ZoneInfo("Asia/Tokyo")
# 30 January 2026, 12:00 in Tokyo.
NOW = datetime(2026, 1, 30, 12, tzinfo=TOKYO).timestamp()


def unix(*moment: int, zone: str = "Asia/Tokyo") -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp())


class TestParseDue:
    @pytest.mark.parametrize(
        "due",
        [date(2026, 12, 1), "2026-12-01", " 2026-12-01 ", "20261201", "2026-W49-2", pendulum.date(2026, 12, 1)],
        ids=repr,
    )
    def test_a_day_is_due_at_its_last_second(self, due):
        assert parse_due(due, "Asia/Tokyo", NOW) == (unix(2026, 12, 1, 23, 59, 59), "date")

    def test_a_day_ends_in_the_time_zone(self):
        ends = unix(2026, 12, 1, 23, 59, 59, zone="America/New_York")
        assert parse_due("2026-12-01", "America/New_York", NOW) == (ends, "date")

    @pytest.mark.parametrize(
        "due",
        [
            datetime(2026, 12, 1, 18),
            datetime(2026, 12, 1, 18, tzinfo=TOKYO),
            datetime(2026, 12, 1, 9, tzinfo=UTC),
            pendulum.datetime(2026, 12, 1, 18, tz="Asia/Tokyo"),
            "2026-12-01T18:00",
            "2026-12-01 18:00:00",
            "2026-12-01T18:00+09:00",
            "2026-12-01T09:00Z",
            "2026-12-01T04:00-05:00",
        ],
        ids=repr,
    )
    def test_a_time_is_in_its_own_zone_or_in_the_given_one(self, due):
        assert parse_due(due, "Asia/Tokyo", NOW) == (unix(2026, 12, 1, 18), "time")

    def test_a_time_without_a_zone_is_in_the_given_one(self):
        expected = unix(2026, 7, 1, 18, zone="America/New_York")
        for due in (datetime(2026, 7, 1, 18), "2026-07-01T18:00"):
            assert parse_due(due, "America/New_York", NOW) == (expected, "time")

    @pytest.mark.parametrize(
        ("due", "expected"),
        [
            (timedelta(hours=2), unix(2026, 1, 30, 14)),
            (timedelta(days=2), unix(2026, 2, 1, 12)),
            ("PT90M", unix(2026, 1, 30, 13, 30)),
            ("P2D", unix(2026, 2, 1, 12)),
            ("P1W", unix(2026, 2, 6, 12)),
            ("P1M", unix(2026, 2, 28, 12)),
            ("P1Y", unix(2027, 1, 30, 12)),
            (pendulum.duration(months=1), unix(2026, 2, 28, 12)),
        ],
    )
    def test_a_duration_counts_from_now(self, due, expected):
        assert parse_due(due, "Asia/Tokyo", NOW) == (expected, "time")

    @pytest.mark.parametrize(
        "due",
        [
            *("", "tomorrow", "18:00", "12/01/2026", "1764547200", "2026-13-01", "2026-12-01/2026-12-03", "-P1D"),
            # What a parser would make a first of January, a first of December, or the past of.
            *("2026", "2026-12", "202612", "now"),
            *(1764547200, 1.5, ["2026-12-01"], pendulum.time(18)),
        ],
        ids=repr,
    )
    def test_refuses_everything_else_with_a_remedy(self, due):
        with pytest.raises(ChatworkParameterError, match="ISO 8601") as caught:
            parse_due(due, "Asia/Tokyo", NOW)
        assert (caught.value.parameter, caught.value.value) == ("due", due)


NOTHING = timedelta(0)


class TestParseDuration:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (timedelta(hours=4), 14400),
            (14400, 14400),
            (1.5, 1.5),
            ("14400", 14400),
            (" 14400.5 ", 14400.5),
            ("PT4H", 14400),
            (" PT4H ", 14400),
            ("P1D", 86400),
            ("P1DT30M", 88200),
            (pendulum.duration(hours=4), 14400),
            (0, 0),
        ],
    )
    def test_accepts_what_authors_json_and_templates_write(self, value, seconds):
        assert parse_duration("after", value, least=NOTHING) == timedelta(seconds=seconds)

    def test_is_always_a_plain_timedelta(self):
        assert type(parse_duration("after", pendulum.duration(hours=4), least=NOTHING)) is timedelta

    @pytest.mark.parametrize(
        ("value", "remedy"),
        [
            ("tomorrow", "PT4H"),
            ("2026-01-05", "PT4H"),
            ("2026-01-05/2026-01-06", "PT4H"),
            ("", "PT4H"),
            (True, "PT4H"),
            ([1], "PT4H"),
            (float("nan"), "PT4H"),
            (float("inf"), "PT4H"),
            ("inf", "PT4H"),
            ("P1M", "days instead of months"),
            (pendulum.duration(years=1), "days instead of months"),
            (0.5, "at least 1 seconds"),
            (timedelta(days=-1), "at least 1 seconds"),
            (timedelta(days=MAX_DAYS, seconds=1), "at most"),
        ],
    )
    def test_refuses_what_is_no_duration(self, value, remedy):
        with pytest.raises(ChatworkParameterError, match=rf"^after=.*{remedy}"):
            parse_duration("after", value, least=timedelta(seconds=1))


MESSAGE = "1900000000000000123"
NOON = 1_796_094_000  # 2026-12-01T12:00:00+09:00


class TestParseSince:
    @pytest.mark.parametrize("since", [None, "", " ", "None"], ids=repr)
    def test_an_empty_value_is_none(self, since):
        assert parse_since(since, "Asia/Tokyo") is None

    @pytest.mark.parametrize("since", [MESSAGE, f" {MESSAGE} ", int(MESSAGE)], ids=repr)
    def test_many_digits_are_a_message_id(self, since):
        assert parse_since(since, "Asia/Tokyo") == MESSAGE

    @pytest.mark.parametrize(
        "since",
        [
            *(NOON, str(NOON), NOON + 0.9, f"{NOON}.25", f"{NOON}."),
            datetime(2026, 12, 1, 12, tzinfo=timezone(timedelta(hours=9))),
            datetime(2026, 12, 1, 3, 0, 0, 999_999, tzinfo=UTC),
            datetime(2026, 12, 1, 12, tzinfo=ZoneInfo("Asia/Tokyo")),
            datetime(2026, 12, 1, 12),
            *("2026-12-01T12:00+09:00", "2026-12-01T03:00:00Z", "2026-12-01 03:00:00.123456+00:00"),
            *("2026-12-01T12:00", "2026-12-01T12:00:00.9"),
        ],
        ids=repr,
    )
    def test_a_time_is_rounded_down_to_a_second(self, since):
        assert parse_since(since, "Asia/Tokyo") == NOON

    @pytest.mark.parametrize("since", [date(2026, 12, 1), "2026-12-01", datetime(2026, 12, 1)], ids=repr)
    def test_a_day_begins_in_the_zone_of_the_connection(self, since):
        assert parse_since(since, "Asia/Tokyo") == NOON - 12 * 3600
        assert parse_since(since, "UTC") == NOON - 3 * 3600

    @pytest.mark.parametrize(
        ("since", "remedy"),
        [
            ("yesterday", "ISO 8601"),
            ("20261201", "ISO 8601"),
            (20261201, "ISO 8601"),
            (0, "ISO 8601"),
            (-NOON, "ISO 8601"),
            (True, "ISO 8601"),
            (float("nan"), "ISO 8601"),
            (float("inf"), "ISO 8601"),
            ([MESSAGE], "ISO 8601"),
            (timedelta(hours=1), "ISO 8601"),
            (f"{MESSAGE}00", "ISO 8601"),
            (NOON * 1000, "milliseconds"),
            (str(NOON * 1000), "milliseconds"),
            (float(MESSAGE), "float"),
            (f"{MESSAGE}.0", "float"),
        ],
        ids=repr,
    )
    def test_refuses_everything_else(self, since, remedy):
        with pytest.raises(ChatworkParameterError, match=remedy) as caught:
            parse_since(since, "Asia/Tokyo")
        assert caught.value.parameter == "since"
        assert caught.value.value is since
