from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pendulum
import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.time_arguments import limit_of

TOKYO = ZoneInfo("Asia/Tokyo")
# 30 January 2026, 12:00 in Tokyo.
NOW = datetime(2026, 1, 30, 12, tzinfo=TOKYO).timestamp()


def unix(*moment: int, zone: str = "Asia/Tokyo") -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp())


class TestLimitOf:
    @pytest.mark.parametrize(
        "due",
        [date(2026, 12, 1), "2026-12-01", " 2026-12-01 ", "20261201", "2026-W49-2", pendulum.date(2026, 12, 1)],
        ids=repr,
    )
    def test_a_day_is_due_at_its_last_second(self, due):
        assert limit_of(due, "Asia/Tokyo", NOW) == (unix(2026, 12, 1, 23, 59, 59), "date")

    def test_a_day_ends_where_the_connection_says(self):
        ends = unix(2026, 12, 1, 23, 59, 59, zone="America/New_York")
        assert limit_of("2026-12-01", "America/New_York", NOW) == (ends, "date")

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
    def test_a_moment_is_meant_in_its_own_zone_or_in_that_of_the_connection(self, due):
        assert limit_of(due, "Asia/Tokyo", NOW) == (unix(2026, 12, 1, 18), "time")

    def test_a_moment_without_a_zone_follows_the_connection(self):
        expected = unix(2026, 7, 1, 18, zone="America/New_York")
        for due in (datetime(2026, 7, 1, 18), "2026-07-01T18:00"):
            assert limit_of(due, "America/New_York", NOW) == (expected, "time")

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
    def test_a_while_is_counted_from_now(self, due, expected):
        assert limit_of(due, "Asia/Tokyo", NOW) == (expected, "time")

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
    def test_refuses_everything_else_and_says_what_to_give(self, due):
        with pytest.raises(ChatworkParameterError, match="ISO 8601") as caught:
            limit_of(due, "Asia/Tokyo", NOW)
        assert (caught.value.parameter, caught.value.value) == ("due", due)
