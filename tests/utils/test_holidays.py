from __future__ import annotations

import logging
import sys
from datetime import date

import pytest

from airflow_provider_chatwork.utils import holidays


@pytest.fixture
def afresh():
    """Nothing is known of an earlier look for the library."""
    for known in (holidays._library, holidays.is_holiday):
        known.cache_clear()
    yield
    for known in (holidays._library, holidays.is_holiday):
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
    def test_knows_those_of_japan(self, day, holiday):
        pytest.importorskip("jpholiday")
        assert holidays.is_holiday(day) is holiday

    def test_knows_none_without_the_library_and_says_so_once(self, monkeypatch, caplog):
        monkeypatch.setitem(sys.modules, "jpholiday", None)
        with caplog.at_level(logging.INFO, logger=holidays.__name__):
            assert not holidays.is_holiday(date(2026, 1, 1))
            assert not holidays.is_holiday(date(2026, 1, 12))
        (record,) = caplog.records
        assert "airflow-provider-chatwork[holidays]" in record.message
