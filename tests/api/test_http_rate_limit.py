from __future__ import annotations

import os
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.http import (
    DEFAULT_RETRY_AFTER,
    ROOM_WINDOW,
    WINDOW,
    RateLimit,
    is_room_limit,
    seconds_to_wait,
    server_time,
)

NOW = 1_767_225_600
ROOM = ["Rate limit for message posting per room exceeded."]


def headers(reset: object, date: float | None = None) -> dict[str, str]:
    found = {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}
    return found if date is None else {**found, "date": formatdate(date, usegmt=True)}


class TestFromHeaders:
    def test_reads_the_three_headers(self):
        assert RateLimit.from_headers(headers(NOW)) == RateLimit(300, 0, NOW)

    @pytest.mark.parametrize("missing", ["limit", "remaining", "reset"])
    def test_is_none_where_one_is_missing(self, missing):
        found = headers(NOW)
        del found[f"x-ratelimit-{missing}"]
        assert RateLimit.from_headers(found) is None

    @given(st.text())
    def test_is_none_for_invalid_numbers_and_never_fails(self, text):
        found = RateLimit.from_headers(headers(text))
        try:
            assert found == RateLimit(300, 0, int(text))
        except ValueError:
            assert found is None


class TestServerTime:
    def test_reads_the_date_of_an_answer(self):
        assert server_time({"date": "Thu, 01 Jan 2026 00:00:00 GMT"}) == NOW

    @pytest.fixture
    def in_japan(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            assert os.environ["TZ"] == "Asia/Tokyo"
            yield
        time.tzset()

    @pytest.mark.usefixtures("in_japan")
    @pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000", ""])
    def test_treats_a_date_without_a_zone_as_utc(self, zone):
        assert server_time({"date": f"Thu, 01 Jan 2026 00:00:00 {zone}"}) == NOW

    def test_is_none_without_a_date(self):
        assert server_time({}) is None

    @given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{1,9} \d\d:\d\d:\d\d [+-]\d{1,6}"))
    def test_never_fails(self, text):
        assert isinstance(server_time({"date": text}), float | None)


class TestIsRoomLimit:
    @pytest.mark.parametrize("text", [ROOM[0], ROOM[0].upper(), "rate limit of this room"])
    def test_recognises_the_message_of_the_room_limit(self, text):
        assert is_room_limit(["something else", text])

    @pytest.mark.parametrize("said", [[], ["Rate limit exceeded"], ["No such room"], ["rate limit", "room"]])
    def test_is_false_for_other_messages(self, said):
        assert not is_room_limit(said)


class TestSecondsToWait:
    def test_is_the_time_until_the_reset(self):
        assert seconds_to_wait(headers(NOW + 120), [], NOW) == 120

    def test_uses_the_date_of_the_answer(self):
        assert seconds_to_wait(headers(NOW + 120, date=NOW + 20), [], NOW - 3600) == 100

    def test_is_the_rooms_window_whatever_the_headers_say(self):
        assert seconds_to_wait(headers(NOW + 290), ROOM, NOW) == ROOM_WINDOW
        assert seconds_to_wait({}, ROOM, NOW) == ROOM_WINDOW

    @pytest.mark.parametrize("found", [{}, headers("soon"), headers(NOW + 301), headers(NOW - 11), headers(0)])
    def test_is_the_default_where_the_headers_are_unusable(self, found):
        assert seconds_to_wait(found, ["Rate limit exceeded"], NOW) == DEFAULT_RETRY_AFTER

    @pytest.mark.parametrize("reset", [NOW, NOW - 10])
    def test_is_over_where_the_reset_has_just_passed(self, reset):
        assert seconds_to_wait(headers(reset), [], NOW) == 0

    def test_reaches_to_a_whole_window(self):
        assert seconds_to_wait(headers(NOW + 300), [], NOW) == WINDOW

    @given(st.integers(-(10**12), 10**12), st.floats(0, 4e9), st.none() | st.floats(0, 4e9))
    def test_stays_within_a_window(self, reset, now, date):
        assert 0 <= seconds_to_wait(headers(reset, date), [], now) <= WINDOW
