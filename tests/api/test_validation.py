from __future__ import annotations

import contextlib
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError

#: Values of all types that a template or a mistake may produce.
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=30)
    | st.binary(max_size=5)
    | st.lists(st.integers() | st.text(max_size=3), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
    | st.from_regex(r"\s?-?[0-9０-９]{1,25}\s?", fullmatch=True)
)


def refused(parameter: str = "x"):
    return pytest.raises(ChatworkParameterError, match=rf"^{parameter}=")


def is_digits(value: object, longest: int) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit() and 1 <= len(value) <= longest


class Index:
    """A number such as those of numpy, which are no ``int``."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number


class TestIdentifier:
    @pytest.mark.parametrize(
        ("value", "number"), [(1, 1), ("1", 1), (" 007\n", 7), ("7\x1f", 7), (10**17, 10**17), ("9" * 18, 10**18 - 1)]
    )
    def test_accepts_a_number_and_its_digits(self, value, number):
        assert validation.identifier("x", value) == number

    @pytest.mark.parametrize(
        "value", [0, "0", -1, "-1", True, False, None, "", " ", "1.0", 1.5, "1e3", "１", "1,2", b"1", [1]]
    )
    def test_refuses_everything_else(self, value):
        with refused("room_id"):
            validation.identifier("room_id", value)

    @given(ANYTHING)
    def test_accepts_exactly_what_the_rule_allows(self, value):
        # int() does not strip every character that str.strip() strips, for example \x1f.
        bare = value.strip() if isinstance(value, str) else value
        number = (
            type(value) is int or (isinstance(value, float) and value.is_integer() and value < 2**53)
        ) and value > 0
        if number or (isinstance(value, str) and is_digits(bare, 18) and int(bare) > 0):
            assert validation.identifier("x", value) == int(bare)
        else:
            with refused():
                validation.identifier("x", value)


class TestIdentifiers:
    @pytest.mark.parametrize(
        ("value", "ids"),
        [
            ([3, "1", 3], [3, 1]),
            ("3,1,3", [3, 1]),
            (" 3 , 1 ", [3, 1]),
            ("[3, 1]", [3, 1]),
            ("['3', '1']", [3, 1]),
            ('["3", "1"]', [3, 1]),
            ("(3, 1)", [3, 1]),
            ("3,,1,", [3, 1]),
            (3, [3]),
            ("3", [3]),
            ((3, 1), [3, 1]),
            ({3: "a"}.keys(), [3]),
            ((number for number in (3, 1)), [3, 1]),
        ],
    )
    def test_accepts_several_forms_of_a_list(self, value, ids):
        assert validation.identifiers("x", value) == ids

    @pytest.mark.parametrize("value", [None, [], "", " ", "[]", (), ","])
    def test_refuses_none_where_one_is_required(self, value):
        with refused():
            validation.identifiers("x", value)
        assert validation.identifiers("x", value, required=False) == []

    @pytest.mark.parametrize("value", ["a", "1;2", [1, "a"], [1, None], [[1]], {1: 2}, b"1", "1-2", [True], 1.5, "1 2"])
    def test_refuses_a_list_with_an_invalid_id(self, value):
        with refused():
            validation.identifiers("x", value)

    @given(st.lists(st.integers(1, 10**18 - 1), min_size=1))
    def test_returns_the_same_for_every_form(self, ids):
        once = list(dict.fromkeys(ids))
        for value in (ids, tuple(ids), ",".join(map(str, ids)), str(ids), iter(map(str, ids))):
            assert validation.identifiers("x", value) == once

    @given(ANYTHING)
    def test_raises_nothing_but_a_parameter_error(self, value):
        found: list[int] = []
        with contextlib.suppress(ChatworkParameterError):
            found = validation.identifiers("x", value, required=False)
        assert all(type(number) is int and number > 0 for number in found)


class TestMessageIdentifier:
    @given(ANYTHING)
    def test_accepts_exactly_digits(self, value):
        text = str(value) if type(value) is int else value
        if isinstance(text, str) and is_digits(text.strip(), 20):
            assert validation.message_identifier("x", value) == text.strip()
        else:
            with refused():
                validation.message_identifier("x", value)

    def test_keeps_every_digit(self):
        assert validation.message_identifier("x", 1234567890123456789) == "1234567890123456789"


class TestText:
    @given(st.text(max_size=9), st.integers(1, 9))
    def test_accepts_exactly_the_allowed_lengths_of_valid_utf_8(self, value, longest):
        sendable = not any(0xD800 <= ord(character) <= 0xDFFF for character in value)
        if 1 <= len(value) <= longest and sendable:
            assert validation.text("x", value, longest=longest) == value
        else:
            with refused():
                validation.text("x", value, longest=longest)

    def test_counts_characters_and_not_bytes(self):
        assert validation.text("x", "あ" * 65535)
        with refused():
            validation.text("x", "a" * 65536)

    @pytest.mark.parametrize("value", [None, 1, b"a", ["a"], {"a": 1}])
    def test_refuses_a_value_that_is_not_a_text_and_names_its_type(self, value):
        with pytest.raises(ChatworkParameterError, match=f"not {type(value).__name__}$"):
            validation.text("body", value)

    def test_shows_only_the_beginning_of_a_long_text(self):
        with pytest.raises(ChatworkParameterError) as raised:
            validation.text("body", "x" * 70_000)
        assert len(str(raised.value)) < 300
        assert "(70002 characters)" in str(raised.value)


class TestRequireUtf8:
    def test_accepts_a_text_of_any_length(self):
        assert validation.require_utf8("x", "") == ""
        assert validation.require_utf8("x", "😀" * 70_000)

    def test_names_the_position_of_half_a_surrogate_pair(self):
        with pytest.raises(ChatworkParameterError, match="character at 2 is half a surrogate pair"):
            validation.require_utf8("x", "ab\ud83d")

    def test_refuses_a_value_that_is_not_a_text(self):
        with refused():
            validation.require_utf8("x", None)


class TestChoice:
    @given(ANYTHING | st.sampled_from(validation.LIMIT_TYPES))
    def test_accepts_exactly_the_words(self, value):
        if isinstance(value, str) and value in validation.LIMIT_TYPES:
            assert validation.choice("x", value, validation.LIMIT_TYPES) == value
        else:
            with refused():
                validation.choice("x", value, validation.LIMIT_TYPES)

    def test_lists_the_words(self):
        with pytest.raises(ChatworkParameterError, match="none, date, time"):
            validation.choice("x", "Date", validation.LIMIT_TYPES)

    def test_has_the_icons_of_the_api_reference(self):
        assert len(set(validation.ICON_PRESETS)) == 17
        assert "magcup" in validation.ICON_PRESETS


class TestFlag:
    @pytest.mark.parametrize(("value", "written"), [(True, "1"), (False, "0"), (1, "1"), (0, "0")])
    def test_writes_a_boolean_as_chatwork_does(self, value, written):
        assert validation.flag("x", value) == written

    @pytest.mark.parametrize("value", [None, "1", "0", "true", "", 2, -1, [], 0.5])
    def test_refuses_everything_else(self, value):
        with refused():
            validation.flag("x", value)


class TestLinkCode:
    @given(ANYTHING | st.from_regex(r"[A-Za-z0-9_-]{0,55}", fullmatch=True))
    def test_accepts_exactly_the_documented_characters(self, value):
        allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
        if isinstance(value, str) and 1 <= len(value) <= 50 and set(value) <= allowed:
            assert validation.link_code("x", value) == value
        else:
            with refused():
                validation.link_code("x", value)

    @pytest.mark.parametrize("value", ["code\n", "a" * 51, "", "夜間", "a.b"])
    def test_refuses_a_line_end_and_a_character_too_many(self, value):
        with refused():
            validation.link_code("x", value)
        assert validation.link_code("x", "a" * 50)


class TestMediaType:
    @pytest.mark.parametrize(
        "value",
        [
            "text/csv",
            "application/octet-stream",
            "image/svg+xml",
            "text/plain; charset=utf-8",
            "application/vnd.ms-excel",
        ],
    )
    def test_accepts_a_media_type(self, value):
        assert validation.media_type("x", value) == value

    @pytest.mark.parametrize(
        "value", ["", "csv", "text/", "/csv", "text/csv\r\nx: y", "text/csv;\n", "テキスト/csv", None, "a/b c"]
    )
    def test_refuses_an_invalid_media_type(self, value):
        with refused():
            validation.media_type("x", value)


class TestFileSize:
    def test_accepts_5_mib_and_not_a_byte_more(self):
        validation.file_size("file", 5 * 1024 * 1024)
        with pytest.raises(ChatworkParameterError, match="5 MiB"):
            validation.file_size("file", 5 * 1024 * 1024 + 1)


class TestLimit:
    @given(ANYTHING)
    def test_accepts_exactly_positive_seconds(self, value):
        text = value.strip() if isinstance(value, str) else value
        is_number = (
            is_digits(text, 18) or type(text) is int or (isinstance(text, float) and text.is_integer() and text < 2**53)
        )
        seconds = int(text) if is_number else None
        if seconds is not None and 0 < seconds < 10**11:
            assert validation.limit("x", value) == seconds
        else:
            with refused():
                validation.limit("x", value)

    def test_refuses_milliseconds(self):
        with pytest.raises(ChatworkParameterError, match="milliseconds"):
            validation.limit("limit", 1_767_225_600_000)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class TestRequireFutureDeadline:
    def test_accepts_a_later_time_and_refuses_an_earlier_one(self):
        validation.require_future_deadline("limit", 101, "time", 100.5)
        with pytest.raises(ChatworkParameterError, match=r"^limit=100: 1970-01-01T09:01:40\+09:00 is in the past"):
            validation.require_future_deadline("limit", 100, "time", 100)

    @pytest.fixture(params=["2026-01-02T00:00:00+09:00", "2026-01-02T23:59:59+09:00"])
    def now(self, request: pytest.FixtureRequest) -> float:
        return at(request.param)

    @pytest.mark.parametrize(
        "limit", ["2026-01-02T00:00:00+09:00", "2026-01-02T23:59:59+09:00", "2026-01-03T00:00:00+09:00"]
    )
    def test_accepts_a_date_until_its_day_ends_in_japan(self, now, limit):
        validation.require_future_deadline("limit", int(at(limit)), "date", now)

    def test_refuses_the_day_before_in_japan(self, now):
        with refused("limit"):
            validation.require_future_deadline("limit", int(at("2026-01-01T23:59:59+09:00")), "date", now)


class TestNoneIfBlank:
    @pytest.mark.parametrize("value", [None, "", "None"])
    def test_is_none_where_a_template_rendered_no_value(self, value):
        assert validation.none_if_blank(value) is None

    @pytest.mark.parametrize("value", [0, "0", "none", [], "date"])
    def test_is_the_value_otherwise(self, value):
        assert validation.none_if_blank(value) == value


class TestWholeNumbers:
    """What SQL and pandas give for an id."""

    @pytest.mark.parametrize("value", [7, "7", " 7 ", 7.0, Decimal(7), Decimal("7.00"), Fraction(7), Index(7)])
    def test_are_ids_and_deadlines(self, value):
        assert validation.identifier("room_id", value) == 7
        assert type(validation.identifier("room_id", value)) is int
        assert validation.identifiers("to_ids", [value, 8]) == [7, 8]
        assert validation.limit("limit", value) == 7

    @pytest.mark.parametrize("value", [19, "19", Decimal(19), Index(19)])
    def test_are_message_ids_as_text(self, value):
        assert validation.message_identifier("message_id", value) == "19"

    @pytest.mark.parametrize(
        "value",
        [
            *(True, 0, -1, 7.5, float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity"), Decimal("7.5")),
            *(2.0**53, None, b"7", [7], 7 + 0j, "7.0", "0", Index(0), Index(-1)),
        ],
    )
    def test_other_values_are_refused(self, value):
        with pytest.raises(ChatworkParameterError, match=r"^room_id="):
            validation.identifier("room_id", value)

    @pytest.mark.parametrize("value", [7.0, 1.8e18, True, None])
    def test_a_float_is_no_message_id(self, value):
        with pytest.raises(ChatworkParameterError, match=r"^message_id="):
            validation.message_identifier("message_id", value)
