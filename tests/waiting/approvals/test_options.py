from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.waiting.approvals.options import (
    MAX_OPTION_LENGTH,
    POLITE_ENDINGS,
    Options,
    normalize,
    parse_options,
    timeout_option,
    truncate_comment,
)

YES, NO, MAYBE = "承認", "却下", "保留"


class TestParseOptions:
    def test_keeps_the_order_and_returns_task_ids_as_lists(self):
        read = parse_options({YES: True, NO: False, "直す": "fix", "両方": ("fix", "tell")})
        assert [*read.items()] == [(YES, True), (NO, False), ("直す", ["fix"]), ("両方", ["fix", "tell"])]

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({}, "give a mapping"),
            ([YES, NO], "give a mapping"),
            (None, "give a mapping"),
            ({"": True}, "not an answer that people can write"),
            ({"。": True}, "not an answer that people can write"),
            ({"\u200b": True}, "not an answer that people can write"),
            ({1: True}, "not an answer that people can write"),
            ({"承認\n却下": True}, "one line"),
            ({"承認\u2028": True, "\u2028承認する": False}, "one line"),
            ({"あ" * (MAX_OPTION_LENGTH + 1): True}, "one line"),
            ({"ＯＫ": True, "ok": False}, "could mean 'ＯＫ' as well as 'ok'"),
            ({"OK!": True, "OK": False}, "could mean"),
            ({"ok  go": True, "OK GO": False}, "could mean"),
            ({YES: True, "1": False}, "'1' could mean"),
            ({"２": True, YES: False}, "'2' could mean"),
            ({YES: True, "1. 承認": False}, "could mean"),
            ({YES: 1}, "is not an effect"),
            ({YES: None}, "is not an effect"),
            ({YES: []}, "is not an effect"),
            ({YES: ""}, "is not an effect"),
            ({YES: [""]}, "is not an effect"),
            ({YES: [True]}, "is not an effect"),
            ({YES: {"go": True}}, "is not an effect"),
        ],
        ids=repr,
    )
    def test_invalid_options_are_refused(self, options, said):
        with pytest.raises(ChatworkParameterError, match=r"^options=") as caught:
            parse_options(options)
        assert said in str(caught.value.remedy)

    @pytest.mark.parametrize("text", ["{{ params.yes }}", "{% if a %}承認{% endif %}"])
    def test_templates_are_refused(self, text):
        with pytest.raises(ChatworkParameterError, match="is a template"):
            parse_options({text: True, NO: False})

    def test_a_number_is_valid_if_it_is_the_options_own(self):
        assert [*parse_options({"1": True, "2": False})] == ["1", "2"]

    def test_an_option_of_the_maximum_length_is_valid(self):
        assert parse_options({"あ" * MAX_OPTION_LENGTH: True})


class TestOptions:
    OPTIONS = Options([YES, NO, "Go ahead!"])

    @pytest.mark.parametrize(
        ("written", "choice"),
        [
            (YES, YES),
            (f"  {YES}\u3000", YES),
            (f"\n\n{YES}", YES),
            ("承認。", YES),
            ("承認．", YES),
            ("承認!", YES),
            ("承認！！", YES),
            ("承認 ！", YES),
            ("承\u200b認", YES),
            ("1", YES),
            ("１", YES),
            ("①", YES),
            ("1.", YES),
            ("2", NO),
            ("２。", NO),
            ("1. 承認", YES),
            ("１．承認", YES),
            ("1 承認", YES),
            ("go ahead", "Go ahead!"),
            ("GO   AHEAD.", "Go ahead!"),
            ("ｇｏ　ａｈｅａｄ！", "Go ahead!"),
            ("3", "Go ahead!"),
        ],
    )
    def test_differences_of_typing_do_not_matter(self, written, choice):
        assert self.OPTIONS.parse(written) == (choice, "")

    @pytest.mark.parametrize(
        "written",
        [
            "",
            "承認しません",
            "承認 できません",
            "承認、できません",
            "承認\tしません",
            "承認\u2028しません",
            "承認\u200bしません",
            "承認\x0bしません",
            "承認?",
            "承認？",
            "承認…",
            "承認...",
            "承認、",
            "承認(bow)",
            "承認(shake)",
            "承認?です",
            "承認。です",
            "ですです",
            "です",
            "未承認",
            "不承認",
            "非承認",
            "「承認」",
            "承認/却下",
            "承認 却下",
            "承̶認̶",
            "1. 却下",
            "2 承認",
            "1.1",
            "11",
            "12",
            "-1",
            "0",
            "4",
            "1 2",
            "1か2",
            "go",
            "no go ahead",
            "[code]承認[/code]",
            "[info]承認",
        ],
        ids=repr,
    )
    def test_other_texts_name_no_option(self, written):
        assert self.OPTIONS.parse(written)[0] is None

    def test_the_lines_below_the_first_are_a_comment(self):
        assert self.OPTIONS.parse("却下\n\n数字が合いません。\n承認はできません。 ") == (
            NO,
            "数字が合いません。\n承認はできません。",
        )

    def test_an_option_below_the_first_line_does_not_count(self):
        assert self.OPTIONS.parse("まだです\n承認") == (None, "承認")

    @given(st.text(max_size=40), st.sampled_from([YES, NO, "1", "１"]))
    def test_an_option_with_any_visible_addition_names_no_option(self, more, option):
        addition = normalize(more.partition("\n")[0])
        # Additions that form an option again ("1 承認"), or a longer number, are tested above.
        assume(addition and addition.strip("!") and addition not in (".", "。") and addition != normalize(option))
        assume(not addition[0].isdigit() and "承認" not in addition and "却下" not in addition)
        assume(not addition.startswith(("!", ".", "。")))
        assert self.OPTIONS.parse(option + more)[0] is None

    # Invisible characters, and other ways to type the same visible text.
    UNSEEN = st.text(st.sampled_from("\u200b\u200d\u2060\ufeff\ufe0f\u3000 \t"), max_size=3)
    MARKS = st.sampled_from(
        ["", "。", "．", ".", "!", "！！", " ！", "?", "、", "…", "しません", "です", "\n", "\u0304", "1"]
    )

    @st.composite
    @staticmethod
    def written(draw: st.DrawFn) -> str:
        """Options and numbers in all widths, sometimes with additions."""
        unseen = TestOptions.UNSEEN
        forms = [
            "承認",
            "1",
            "１",
            "①",
            "1. 承認",
            "１．承認",
            "却下",
            "２",
            "2 却下",
            "go ahead",
            "ＧＯ　ａｈｅａｄ",
            "3",
        ]
        core = draw(st.sampled_from([*forms, "承", "承認 却下", "2 承認", "4"]))
        letters = [draw(unseen) + letter for letter in core] if draw(st.booleans()) else [core]
        return "".join(letters) + draw(unseen) + draw(TestOptions.MARKS) + draw(unseen)

    def test_only_a_text_that_looks_like_an_option_names_it(self):
        hits: Counter[str | None] = Counter()

        @settings(max_examples=500, derandomize=True)
        @given(TestOptions.written())
        def check(written: str) -> None:
            choice, _ = self.OPTIONS.parse(written)
            hits[choice] += 1
            if choice is None:
                return
            line = unicodedata.normalize("NFKC", written.strip()).partition("\n")[0].casefold()
            seen = "".join(letter for letter in line if letter.isalnum()).removesuffix("です")
            option, number = "".join(filter(str.isalnum, choice.casefold())), str(self.OPTIONS.number(choice))
            assert seen in (option, number, number + option)
            assert not set(line) & set("?、…")

        check()
        # Otherwise the test would pass without any answer.
        assert all(hits[option] >= 10 for option in self.OPTIONS.texts)
        assert hits[None] >= 10

    @pytest.mark.parametrize("option", [YES, NO, "1", "１. 承認", "Go ahead"])
    @pytest.mark.parametrize("ending", POLITE_ENDINGS)
    def test_a_polite_ending_does_not_matter(self, option, ending):
        assert self.OPTIONS.parse(f"{option}{ending}。\n以上") == (self.OPTIONS.find(option), "以上")
        assert self.OPTIONS.parse(f"{option} {ending}")[0] is not None

    @pytest.mark.parametrize(
        "written",
        [
            *(
                "承認しません",
                "承認しない",
                "承認できません",
                "承認できない",
                "承認しますか",
                "承認しますか?",
                "承認です?",
            ),
            *(
                "承認しかねます",
                "承認しかねました",
                "承認いたしかねます",
                "承認いたしません",
                "承認はしません",
                "承認ではないです",
            ),
            *(
                "承認しないです",
                "承認でしょうか",
                "承認していません",
                "承認しましたか",
                "承認しましょうか",
                "承認取り消します",
            ),
            *(
                "承認ですが",
                "承認しますが条件があります",
                "承認します、いや却下します",
                "承認しますね?",
                "承認お願いします",
            ),
            *("未承認です", "不承認とします", "承認却下します", "承認です却下です", "承認しますしません"),
            *(
                "承認お願いいたします",
                "承認を撤回します",
                "承認は保留でお願いします",
                "どちらでもいいです",
                "承認\u200bしません",
            ),
        ],
    )
    def test_an_ending_that_does_not_affirm_names_no_option(self, written):
        assert self.OPTIONS.parse(written)[0] is None

    @given(
        st.sampled_from([YES, NO, "1", "2"]),
        st.text(
            st.sampled_from("しませんなかでれすお願いねがいたくはをかよ却下承認未不?、…ー"), min_size=1, max_size=8
        ),
        st.sampled_from(["", *POLITE_ENDINGS]),
    )
    @settings(max_examples=300)
    def test_a_text_before_a_polite_ending_names_no_option(self, option, between, ending):
        behind = between + ending
        assume(behind not in POLITE_ENDINGS)
        assert self.OPTIONS.parse(option + behind)[0] is None

    def test_an_option_that_has_a_polite_ending_wins(self):
        options = Options(["承認", "承認します", "却下します"])
        assert options.parse("承認します")[0] == "承認します"
        assert options.parse("承認です")[0] == "承認"
        assert options.parse("承認しますです")[0] == "承認します"
        assert options.parse("却下")[0] is None

    def test_an_ambiguous_polite_answer_names_no_option(self):
        assert Options(["進行", "進行と"]).parse("進行とします")[0] is None

    def test_find_accepts_no_polite_endings(self):
        assert self.OPTIONS.find("承認。") == YES
        assert self.OPTIONS.find("承認します") is None
        assert self.OPTIONS.find("承認" + " " * 65_000) is None

    def test_a_long_line_names_no_option(self):
        assert self.OPTIONS.parse("承認" + "\u200b" * 65_000)[0] is None

    def test_numbers_start_at_one(self):
        assert [self.OPTIONS.number(text) for text in self.OPTIONS.texts] == [1, 2, 3]


class TestTruncateComment:
    @pytest.mark.parametrize(("people", "longest"), [(1, 1000), (5, 1000), (10, 500), (100, 50)])
    def test_more_approvers_shorten_each_comment(self, people, longest):
        assert truncate_comment("あ" * longest, people) == "あ" * longest
        assert truncate_comment("あ" * (longest + 1), people) == "あ" * (longest - 1) + "…"


class TestNormalize:
    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("㎆", "mb"),
            ("ẞ", "ss"),
            ("ﾊﾝｶｸ｡", "ハンカク"),
            ("✅\ufe0f", "✅"),
            ("  a \u3000b\t", "a b"),
            ("!", ""),
            ("OK!?", "ok!?"),
        ],
    )
    def test_removes_differences_of_typing(self, text, left):
        assert normalize(text) == left

    @given(st.text(max_size=20))
    def test_a_second_call_only_removes_one_more_final_mark(self, text):
        once = normalize(text)
        assert once.startswith(normalize(once))


class TestTimeoutOption:
    @pytest.mark.parametrize(
        ("on_timeout", "option"), [("fail", None), ("skip", None), (NO, NO), ("却下。", NO), ("go", "Go")]
    )
    def test_returns_an_option_or_none(self, on_timeout, option):
        assert timeout_option(on_timeout, [YES, NO, "Go"]) == option

    @pytest.mark.parametrize("on_timeout", ["", "Fail", "retry", "承認しない", "承認します", None, True, 3])
    def test_other_values_are_refused_with_the_valid_ones(self, on_timeout):
        with pytest.raises(ChatworkParameterError, match="give one of 'fail', 'skip', '承認', '却下'"):
            timeout_option(on_timeout, [YES, NO])

    def test_an_option_named_like_an_action_is_refused(self):
        with pytest.raises(ChatworkParameterError, match="an option has the same name"):
            timeout_option("skip", ["Go", "Skip"])
        assert timeout_option("fail", ["Go", "Skip"]) is None
