from __future__ import annotations

from datetime import timedelta

import pendulum
import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.durations import LONGEST, duration

NOTHING = timedelta(0)


class TestDuration:
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
    def test_reads_what_authors_json_and_templates_write(self, value, seconds):
        assert duration("after", value, least=NOTHING) == timedelta(seconds=seconds)

    def test_keeps_a_plain_timedelta_whatever_was_given(self):
        assert type(duration("after", pendulum.duration(hours=4), least=NOTHING)) is timedelta

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
            (timedelta(days=LONGEST, seconds=1), "at most"),
        ],
    )
    def test_refuses_what_is_no_while(self, value, remedy):
        with pytest.raises(ChatworkParameterError, match=rf"^after=.*{remedy}"):
            duration("after", value, least=timedelta(seconds=1))
