from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.notation import code, info, quote, safe
from airflow_provider_chatwork.api.notation_parser import parse_tags
from airflow_provider_chatwork.api.truncation import fit
from tests.api.notation_texts import composed, hostile, is_whole, tags_in

SIGN = re.compile(r"… \(([0-9,]+) characters left out\) …")
limits = st.integers(min_value=1, max_value=300)


class TestFit:
    @given(hostile | composed, limits)
    def test_never_returns_more_than_the_limit(self, text, limit):
        assert len(fit(text, limit)) <= limit

    @given(hostile, limits)
    def test_does_not_change_a_text_that_fits(self, text, limit):
        assume(len(text) <= limit)
        assert fit(text, limit) == text

    def test_has_the_longest_body_as_its_limit(self):
        assert fit("a" * 65535) == "a" * 65535
        assert 65_500 < len(fit("a" * 65536)) <= 65_535

    @given(st.text("abc \n", min_size=200, max_size=2000), st.integers(min_value=80, max_value=199))
    def test_keeps_both_ends_and_states_how_much_is_missing(self, text, limit):
        head, count, tail = SIGN.split(fit(text, limit))
        assert text.startswith(head)
        assert text.endswith(tail)
        assert int(count.replace(",", "")) == len(text) - len(head) - len(tail)
        assert min(len(head), len(tail)) > 0

    @pytest.mark.parametrize("limit", [100, 105, 110])
    def test_cuts_at_a_near_line_end(self, limit):
        log = "\n".join(f"line {number:05}" for number in range(10_000))
        assert fit(log, limit) == (
            "line 00000\nline 00001\nline 00002\n… (109,933 characters left out) …\nline 09997\nline 09998\nline 09999"
        )

    def test_accepts_another_mark(self):
        assert fit("あ" * 100, 30, "…（{count}文字省略）…") == "あ" * 9 + "…（81文字省略）…" + "あ" * 10

    def test_accepts_a_mark_without_a_number(self):
        assert fit("a" * 100, 20, "[snip]") == "a" * 7 + "[snip]" + "a" * 7

    @pytest.mark.parametrize("sign", ["{}", "{length}", "{count", "{count.x}", "{count:q}"])
    def test_refuses_a_mark_with_another_placeholder(self, sign):
        with pytest.raises(ChatworkParameterError, match=r"^left_out=.*only placeholder"):
            fit("a" * 100, 50, sign)

    @pytest.mark.parametrize("limit", [0, -1, 1.5, "100", None, True])
    def test_refuses_a_limit_that_is_not_a_positive_whole_number(self, limit):
        with pytest.raises(ChatworkParameterError, match=r"^limit=.*positive whole number"):
            fit("a", limit)

    def test_accepts_any_value(self):
        assert fit(ValueError("because")) == "because"

    @pytest.mark.parametrize(
        ("limit", "fitted"), [(1, "…"), (2, "…c"), (3, "a…c"), (5, "aa…cc"), (40, "a" * 19 + "…" + "c" * 20)]
    )
    def test_uses_the_short_mark_where_the_long_one_does_not_fit(self, limit, fitted):
        assert fit("a" * 50 + "b" * 50 + "c" * 50, limit) == fitted


class TestFitOfNotation:
    @given(composed, limits)
    @example("[info]" + "x" * 400 + "[/info]", 9)
    @example("[info]" * 9 + "[/info]" * 9 + "[qt]" * 9 + "[/qt]" * 9, 40)
    def test_keeps_paired_tags_paired(self, text, limit):
        assert is_whole(fit(text, limit))

    @given(hostile, limits)
    @example("[toall]" * 40, 77)
    def test_keeps_safe_text_safe(self, text, limit):
        assert tags_in(fit(safe(text * 3), limit)) == []

    @given(
        st.lists(st.sampled_from(["[To:123456789]", "[rp aid=1 to=2-34567]", "[hr]", "word", "\n"]), max_size=90),
        limits,
    )
    def test_never_leaves_half_a_tag(self, parts, limit):
        fitted = fit("".join(parts), limit)
        assert set("[]") & set(re.sub(r"\[To:123456789\]|\[rp aid=1 to=2-34567\]|\[hr\]", "", fitted)) == set()

    def test_cuts_inside_a_frame_around_both_ends(self):
        fitted = fit(info(code("a" * 500), title="見出し"), 100)
        assert fitted == (
            "[info][title]見出し[/title][code]"
            + "a" * 5
            + "… (473 characters left out) …"
            + "a" * 22
            + "[/code][/info]"
        )

    def test_closes_and_reopens_frames_that_are_cut_open(self):
        fitted = fit(info("a" * 100) + quote("b" * 200, 1, 1600000000), 150)
        assert 140 < len(fitted) <= 150
        head, _, tail = SIGN.split(fitted)
        assert re.fullmatch(r"\[info\]a+\[/info\]", head)
        assert re.fullmatch(r"\[qt\]\[qtmeta aid=1 time=1600000000\]b+\[/qt\]", tail)

    def test_closes_the_innermost_block_first(self):
        fitted = fit(info(quote("a" * 100, 1)) + "b" * 100, 100)
        assert "a[/qt][/info]…" in fitted

    def test_returns_the_mark_alone_where_no_tag_fits(self):
        assert fit("[info]" * 50 + "[/info]" * 50, 5) == "…"


class TestFitOfCharactersThatBelongTogether:
    @pytest.mark.parametrize(
        "unit",
        ["か\u3099", "ﾊﾟ", "👍🏽", "👩\u200d💻", "🇯🇵", "✈\ufe0f", "\ud83d\ude00", "[\u200b", "\r\n"],
        ids=["dakuten", "half-width", "skin", "joiner", "flag", "variation", "surrogates", "break", "crlf"],
    )
    def test_cuts_only_between_them(self, unit):
        text = unit * 100
        for limit in range(70, 90):
            head, _, tail = SIGN.split(fit(text, limit))
            assert len(head) % len(unit) == 0
            assert len(tail) % len(unit) == 0

    def test_cuts_through_a_very_long_sequence(self):
        assert len(fit("a" + "\u0301" * 1000, 500)) > 300


class TestFitOnLongText:
    @pytest.mark.parametrize(
        "part",
        [
            "[",
            "[ ",
            "[[toall]",
            "[info",
            "[info]",
            "[/info]",
            "[info][/info]",
            "[code]",
            "[code][/code]",
            "[qt][info][/qt]",
        ],
    )
    def test_needs_time_in_proportion_to_the_length(self, part):
        # Without linear time this would exceed the time limit of the test run.
        assert len(fit(part * 50_000)) <= 65535

    def test_needs_time_in_proportion_for_nested_frames(self):
        # On both sides, so that shortening the text adds as many characters in tags as it removes.
        limit = 200_000
        nested = "[info]" * (limit // 26) + "[/info]" * (limit // 26)
        for shift in range(0, 14, 2):
            assert is_whole(fit("x" * shift + nested + "x" * limit + nested, limit))


class TestJoin:
    """The two ends that remain form nothing together."""

    TAGS = ("[toall]", "[To:12]", "[info]x[/info]", "[hr]", "[rp aid=1 to=2-3]", "[qt][qtmeta aid=1 time=2]x[/qt]")

    @pytest.mark.parametrize("left_out", ["", "…", " ", "t", "a", "[", "]", "{count}"])
    @pytest.mark.parametrize("between", ["x" * 60, "1" * 60, "-" * 60])
    @pytest.mark.parametrize("tag", TAGS)
    def test_no_tag_forms_around_the_cut(self, tag, between, left_out):
        for split in range(1, len(tag)):
            for limit in range(3, len(tag) + 45):
                fitted = fit(safe(tag[:split] + between) + safe(tag[split:]), limit, left_out)
                assert len(fitted) <= limit
                assert not {each.name for each in parse_tags(fitted).tags} & {"toall", "to", "hr", "rp", "info", "qt"}

    @pytest.mark.parametrize("emoticon", [":)", ":-)", ";)", "(bow)", "8-)", "|-)", ":D", "(^^;)"])
    def test_no_emoticon_forms_around_the_cut(self, emoticon):
        for split in range(1, len(emoticon)):
            for limit in range(3, 60):
                fitted = fit(safe(emoticon[:split]) + "あ" * 60 + safe(emoticon[split:]), limit, "")
                assert len(fitted) <= limit
                assert emoticon not in fitted
