from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.since import read_since

MESSAGE = "1900000000000000123"
NOON = 1_796_094_000  # 2026-12-01T12:00:00+09:00


class TestReadSince:
    @pytest.mark.parametrize("since", [None, "", " ", "None"], ids=repr)
    def test_nothing_is_none(self, since):
        assert read_since(since, "Asia/Tokyo") is None

    @pytest.mark.parametrize("since", [MESSAGE, f" {MESSAGE} ", int(MESSAGE)], ids=repr)
    def test_many_digits_are_a_message(self, since):
        assert read_since(since, "Asia/Tokyo") == MESSAGE

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
    def test_a_moment_is_the_second_that_it_is_in(self, since):
        assert read_since(since, "Asia/Tokyo") == NOON

    @pytest.mark.parametrize("since", [date(2026, 12, 1), "2026-12-01", datetime(2026, 12, 1)], ids=repr)
    def test_a_day_begins_in_the_zone_of_the_connection(self, since):
        assert read_since(since, "Asia/Tokyo") == NOON - 12 * 3600
        assert read_since(since, "UTC") == NOON - 3 * 3600

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
            read_since(since, "Asia/Tokyo")
        assert caught.value.parameter == "since"
        assert caught.value.value is since
