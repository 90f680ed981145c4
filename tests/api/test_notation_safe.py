from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.notation import BREAK, break_tags, clean, safe
from tests.api.notation_texts import hostile, tags_in

surrogates = st.lists(st.characters(categories=["Cs"]) | st.characters(), max_size=10).map("".join)
# `safe` may replace line ends other than LF, control characters and surrogates, and must keep everything else.
kept = hostile.map(lambda text: "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs")))


class TestSafe:
    @given(hostile)
    @example("[[toall]toall]")
    @example("[to[toall]all]")
    @example("[\u200d toall]")
    @example("[\x00toall]")
    @example("[")
    def test_leaves_no_tag_for_a_tolerant_parser(self, text):
        assert tags_in(safe(text)) == []

    @given(hostile, hostile)
    def test_leaves_no_tag_when_two_safe_texts_meet(self, one, other):
        assert tags_in(safe(one) + safe(other)) == []

    @given(hostile)
    @example("(^^;)")
    @example("http://[a(y)")
    def test_is_idempotent(self, text):
        assert safe(safe(text)) == safe(text)

    @given(kept)
    def test_keeps_every_visible_character(self, text):
        assert safe(text).replace(BREAK, "") == text.replace(BREAK, "")

    @given(surrogates)
    def test_can_always_be_sent_as_utf_8(self, text):
        safe(text).encode()

    @pytest.mark.parametrize("tag", ["[toall]", "[ToAll]", "[To:123]", "[rp aid=1 to=2-3]", "[/info]", "[unknown x]"])
    def test_breaks_a_tag_after_its_bracket(self, tag):
        assert safe(tag) == "[" + BREAK + tag[1:]

    @pytest.mark.parametrize("text", ["rows[0]", '["a", "b"]', "[]", "[-1]", "[(1, 2)]", '[{"a": [1]}]', "[<Task(x)>]"])
    def test_keeps_brackets_that_begin_no_tag(self, text):
        assert safe(text) == text

    def test_keeps_full_width_brackets(self):
        assert safe("［toall］") == "［toall］"

    @pytest.mark.parametrize(
        ("text", "broken"),
        [
            ("COUNT(*)", f"COUNT({BREAK}*)"),
            ("(y)", f"({BREAK}y)"),
            ("(Y)", f"({BREAK}Y)"),
            ("(cracker)", f"({BREAK}cracker)"),
            ("(^^;)", f"({BREAK}^^;{BREAK})"),
            (":)", f":{BREAK})"),
            (":-(", f":{BREAK}-("),
            (";)", f";{BREAK})"),
            (":D", f":{BREAK}D"),
            (":|", f":{BREAK}|"),
            (":*", f":{BREAK}*"),
            (":^)", f":{BREAK}^)"),
            (":#)", f":{BREAK}#)"),
            ("8-)", f"8{BREAK}-)"),
            ("8-|", f"8{BREAK}-|"),
            ("|-)", f"|{BREAK}-)"),
            ("]:)", f"]:{BREAK})"),
        ],
    )
    def test_breaks_an_emoticon_after_its_first_character(self, text, broken):
        assert safe(text) == broken

    @pytest.mark.parametrize("emoticon", [":D", ":o", ":p", ":-D", "8-)", "8-|", ":)", "(bow)"])
    @pytest.mark.parametrize("before", ["", "完了", "カ", "ー", "。", "é", " "])
    @pytest.mark.parametrize("after", ["", "です", "ノ", "、", " "])
    def test_breaks_an_emoticon_beside_japanese_letters(self, before, emoticon, after):
        assert emoticon not in safe(f"{before}{emoticon}{after}")

    @pytest.mark.parametrize("text", ["host:port", "key:Data", "f(x)", "(optional)", "18-)", "a:o", ":open"])
    def test_keeps_text_that_only_resembles_an_emoticon(self, text):
        assert safe(text) == text

    def test_keeps_emoticons_in_a_link(self):
        assert safe("see https://example.com/a(y):) (y)") == f"see https://example.com/a(y):) ({BREAK}y)"

    def test_breaks_tags_in_a_link(self):
        assert safe("https://example.com/[toall]") == f"https://example.com/[{BREAK}toall]"

    def test_accepts_any_value(self):
        assert safe(ValueError("[toall]")) == f"[{BREAK}toall]"


class TestClean:
    def test_writes_every_line_end_as_lf(self):
        assert clean("a\r\nb\rc\nd") == "a\nb\nc\nd"

    def test_shows_a_control_character_as_a_replacement(self):
        assert clean("a\x00b\x07c\x7fd\x85e\tf") == "a\ufffdb\ufffdc\ufffdd\ufffde\tf"

    def test_removes_terminal_colours(self):
        assert clean("\x1b[1;31mError\x1b[0m: x\x1b[K") == "Error: x"

    def test_replaces_a_lone_surrogate(self):
        assert clean("a\ud800b\udc00") == "a\ufffdb\ufffd"

    def test_joins_the_halves_of_a_character(self):
        assert clean("\ud83d\ude00") == "😀"

    def test_keeps_a_byte_order_mark_and_characters_beyond_the_basic_plane(self):
        assert clean("\ufeff𠮷\ud800") == "\ufeff𠮷\ufffd"


class TestBreakTags:
    @given(hostile)
    def test_leaves_no_tag(self, text):
        assert tags_in(break_tags(text)) == []

    def test_keeps_emoticons(self):
        assert break_tags("COUNT(*) :)") == "COUNT(*) :)"


class TestSafeOnLongText:
    @pytest.mark.parametrize(
        "part",
        [
            "[",
            "[ ",
            "[[toall]",
            "(",
            ":",
            "8-",
            "http://",
            "https://x[",
            "\x1b[",
            "\x1b[0",
            "\x1b[ ",
            "\ud800",
            "\r",
            "a",
        ],
    )
    def test_needs_time_in_proportion_to_the_length(self, part):
        # Without linear time this would exceed the time limit of the test run.
        text = safe(part * 300_000)
        assert tags_in(text) == []
