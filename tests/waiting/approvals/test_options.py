from __future__ import annotations

import unicodedata
from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.waiting.approvals.options import (
    LONGEST_OPTION,
    POLITE,
    Answer,
    Options,
    Verdict,
    clipped,
    option_for,
    plain,
    read_options,
    tally,
)

YES, NO, MAYBE = "承認", "却下", "保留"


def answer(account_id: int, choice: str, at: int = 0) -> Answer:
    return {
        "account_id": account_id,
        "name": f"{account_id} さん",
        "choice": choice,
        "number": 1,
        "words": "",
        "message_id": str(1000 + at),
        "send_time": at,
        "update_time": 0,
    }


def count(*answers: tuple[int, str], needed: int, people: int = 3, **more: Any) -> Verdict:
    """The verdict on answers given one after the other by people numbered from 1."""
    return tally(
        [answer(account_id, choice, at) for at, (account_id, choice) in enumerate(answers)],
        **{
            "options": [YES, NO, MAYBE],
            "rejecting": [NO],
            "approvers": [*range(1, people + 1)],
            "needed": needed,
            **more,
        },
    )


class TestReadOptions:
    def test_returns_them_in_their_order_with_task_ids_as_lists(self):
        read = read_options({YES: True, NO: False, "直す": "fix", "両方": ("fix", "tell")})
        assert [*read.items()] == [(YES, True), (NO, False), ("直す", ["fix"]), ("両方", ["fix", "tell"])]

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({}, "give a mapping"),
            ([YES, NO], "give a mapping"),
            (None, "give a mapping"),
            ({"": True}, "nothing that people could write"),
            ({"。": True}, "nothing that people could write"),
            ({"\u200b": True}, "nothing that people could write"),
            ({1: True}, "nothing that people could write"),
            ({"承認\n却下": True}, "one line"),
            ({"承認\u2028": True, "\u2028承認する": False}, "one line"),
            ({"あ" * (LONGEST_OPTION + 1): True}, "one line"),
            ({"ＯＫ": True, "ok": False}, "could mean 'ＯＫ' as well as 'ok'"),
            ({"OK!": True, "OK": False}, "could mean"),
            ({"ok  go": True, "OK GO": False}, "could mean"),
            ({YES: True, "1": False}, "'1' could mean"),
            ({"２": True, YES: False}, "'2' could mean"),
            ({YES: True, "1. 承認": False}, "could mean"),
            ({YES: 1}, "does not say what follows"),
            ({YES: None}, "does not say what follows"),
            ({YES: []}, "does not say what follows"),
            ({YES: ""}, "does not say what follows"),
            ({YES: [""]}, "does not say what follows"),
            ({YES: [True]}, "does not say what follows"),
            ({YES: {"go": True}}, "does not say what follows"),
        ],
        ids=repr,
    )
    def test_refuses_what_cannot_be_right(self, options, said):
        with pytest.raises(ChatworkParameterError, match=r"^options=") as caught:
            read_options(options)
        assert said in str(caught.value.remedy)

    @pytest.mark.parametrize("text", ["{{ params.yes }}", "{% if a %}承認{% endif %}"])
    def test_refuses_templates(self, text):
        with pytest.raises(ChatworkParameterError, match="is a template"):
            read_options({text: True, NO: False})

    def test_takes_a_number_as_text_where_it_is_its_own(self):
        assert [*read_options({"1": True, "2": False})] == ["1", "2"]

    def test_takes_the_longest_option(self):
        assert read_options({"あ" * LONGEST_OPTION: True})


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
    def test_reads_an_option_however_it_is_typed(self, written, choice):
        assert self.OPTIONS.read(written) == (choice, "")

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
    def test_takes_nothing_else_for_one(self, written):
        assert self.OPTIONS.read(written)[0] is None

    def test_takes_what_is_below_the_first_line_for_a_comment(self):
        assert self.OPTIONS.read("却下\n\n数字が合いません。\n承認はできません。 ") == (
            NO,
            "数字が合いません。\n承認はできません。",
        )

    def test_does_not_look_for_an_option_below_the_first_line(self):
        assert self.OPTIONS.read("まだです\n承認") == (None, "承認")

    @given(st.text(max_size=40), st.sampled_from([YES, NO, "1", "１"]))
    def test_reads_no_option_where_anything_visible_is_added_to_it(self, more, option):
        addition = plain(more.partition("\n")[0])
        # What reads as the option once more ("1 承認"), or as a longer number, is asked about above.
        assume(addition and addition.strip("!") and addition not in (".", "。") and addition != plain(option))
        assume(not addition[0].isdigit() and "承認" not in addition and "却下" not in addition)
        assume(not addition.startswith(("!", ".", "。")))
        assert self.OPTIONS.read(option + more)[0] is None

    # What people type in between and behind without seeing it, and how else they type what they see.
    UNSEEN = st.text(st.sampled_from("\u200b\u200d\u2060\ufeff\ufe0f\u3000 \t"), max_size=3)
    MARKS = st.sampled_from(
        ["", "。", "．", ".", "!", "！！", " ！", "?", "、", "…", "しません", "です", "\n", "\u0304", "1"]
    )

    @st.composite
    @staticmethod
    def written(draw: st.DrawFn) -> str:
        """Options and numbers as people type them, in all widths, and now and then something more."""
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

    def test_reads_only_what_is_an_option_to_the_eye(self):
        hits: Counter[str | None] = Counter()

        @settings(max_examples=500, derandomize=True)
        @given(TestOptions.written())
        def check(written: str) -> None:
            choice, _ = self.OPTIONS.read(written)
            hits[choice] += 1
            if choice is None:
                return
            line = unicodedata.normalize("NFKC", written.strip()).partition("\n")[0].casefold()
            seen = "".join(letter for letter in line if letter.isalnum()).removesuffix("です")
            option, number = "".join(filter(str.isalnum, choice.casefold())), str(self.OPTIONS.number(choice))
            assert seen in (option, number, number + option)
            assert not set(line) & set("?、…")

        check()
        # That it passes means something only where options were read.
        assert all(hits[option] >= 10 for option in self.OPTIONS.texts)
        assert hits[None] >= 10

    @pytest.mark.parametrize("option", [YES, NO, "1", "１. 承認", "Go ahead"])
    @pytest.mark.parametrize("ending", POLITE)
    def test_reads_an_option_with_a_polite_ending(self, option, ending):
        assert self.OPTIONS.read(f"{option}{ending}。\n以上") == (self.OPTIONS.find(option), "以上")
        assert self.OPTIONS.read(f"{option} {ending}")[0] is not None

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
    def test_reads_no_option_in_what_does_not_affirm_it(self, written):
        assert self.OPTIONS.read(written)[0] is None

    @given(
        st.sampled_from([YES, NO, "1", "2"]),
        st.text(
            st.sampled_from("しませんなかでれすお願いねがいたくはをかよ却下承認未不?、…ー"), min_size=1, max_size=8
        ),
        st.sampled_from(["", *POLITE]),
    )
    @settings(max_examples=300)
    def test_reads_no_option_where_anything_but_an_ending_is_behind_it(self, option, between, ending):
        behind = between + ending
        assume(behind not in POLITE)
        assert self.OPTIONS.read(option + behind)[0] is None

    def test_prefers_what_is_an_option_as_it_stands(self):
        options = Options(["承認", "承認します", "却下します"])
        assert options.read("承認します")[0] == "承認します"
        assert options.read("承認です")[0] == "承認"
        assert options.read("承認しますです")[0] == "承認します"
        assert options.read("却下")[0] is None

    def test_reads_none_of_two_that_could_be_meant(self):
        assert Options(["進行", "進行と"]).read("進行とします")[0] is None

    def test_finds_an_option_without_politeness(self):
        assert self.OPTIONS.find("承認。") == YES
        assert self.OPTIONS.find("承認します") is None
        assert self.OPTIONS.find("承認" + " " * 65_000) is None

    def test_is_not_kept_busy_by_a_long_line(self):
        assert self.OPTIONS.read("承認" + "\u200b" * 65_000)[0] is None

    def test_counts_options_from_one(self):
        assert [self.OPTIONS.number(text) for text in self.OPTIONS.texts] == [1, 2, 3]


class TestClipped:
    @pytest.mark.parametrize(("people", "longest"), [(1, 1000), (5, 1000), (10, 500), (100, 50)])
    def test_keeps_less_of_each_where_there_are_more(self, people, longest):
        assert clipped("あ" * longest, people) == "あ" * longest
        assert clipped("あ" * (longest + 1), people) == "あ" * (longest - 1) + "…"


class TestPlain:
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
    def test_leaves_what_does_not_depend_on_typing(self, text, left):
        assert plain(text) == left

    @given(st.text(max_size=20))
    def test_changes_nothing_but_one_more_mark_at_the_end_the_second_time(self, text):
        once = plain(text)
        assert once.startswith(plain(once))


class TestOptionFor:
    @pytest.mark.parametrize(
        ("on_timeout", "option"), [("fail", None), ("skip", None), (NO, NO), ("却下。", NO), ("go", "Go")]
    )
    def test_tells_an_option_from_what_is_none(self, on_timeout, option):
        assert option_for(on_timeout, [YES, NO, "Go"]) == option

    @pytest.mark.parametrize("on_timeout", ["", "Fail", "retry", "承認しない", "承認します", None, True, 3])
    def test_refuses_everything_else_and_names_what_there_is(self, on_timeout):
        with pytest.raises(ChatworkParameterError, match="give one of 'fail', 'skip', '承認', '却下'"):
            option_for(on_timeout, [YES, NO])

    def test_refuses_what_can_be_meant_in_two_ways(self):
        with pytest.raises(ChatworkParameterError, match="an option has the same name"):
            option_for("skip", ["Go", "Skip"])
        assert option_for("fail", ["Go", "Skip"]) is None


class TestTally:
    @pytest.mark.parametrize(
        ("answers", "needed", "verdict"),
        [
            ([], 1, Verdict("open")),
            ([(1, YES)], 1, Verdict("decided", YES)),
            ([(1, NO)], 1, Verdict("decided", NO)),
            ([(2, NO), (1, YES)], 1, Verdict("decided", NO)),
            ([(1, YES)], 2, Verdict("open")),
            ([(1, YES), (1, YES)], 2, Verdict("open")),
            ([(1, YES), (2, YES)], 2, Verdict("decided", YES)),
            ([(1, YES), (2, NO)], 2, Verdict("open")),
            ([(1, YES), (2, NO), (3, YES)], 2, Verdict("decided", YES)),
            ([(1, YES), (2, NO), (3, NO)], 2, Verdict("decided", NO)),
            ([(1, YES), (2, NO), (3, MAYBE)], 2, Verdict("decided", NO)),
            ([(1, YES), (2, YES)], 3, Verdict("open")),
            ([(1, YES), (2, YES), (3, YES)], 3, Verdict("decided", YES)),
            ([(1, NO)], 3, Verdict("decided", NO)),
            ([(1, YES), (2, YES), (3, NO)], 3, Verdict("decided", NO)),
            ([(1, YES), (2, MAYBE)], 3, Verdict("split")),
            ([(1, YES), (2, MAYBE), (3, NO)], 3, Verdict("decided", NO)),
            # Whoever changes their mind means the latest.
            ([(1, YES), (1, NO), (2, YES)], 2, Verdict("open")),
            ([(1, NO), (1, YES), (2, YES)], 2, Verdict("decided", YES)),
            ([(1, YES), (2, YES), (2, NO)], 2, Verdict("open")),
            # Strangers and unknown options do not count.
            ([(9, YES), (8, YES), (7, YES)], 1, Verdict("open")),
            ([(1, "賛成")], 1, Verdict("open")),
        ],
    )
    def test_counts(self, answers, needed, verdict):
        assert count(*answers, needed=needed) == verdict

    def test_goes_by_when_the_answer_was_given_that_counts(self):
        # The first had another mind first, and so was the last to agree.
        votes = [(1, NO), (2, YES), (3, NO), (4, NO), (1, YES)]
        assert count(*votes, needed=2, people=4) == Verdict("decided", NO)

    def test_waits_for_the_first_answer_also_where_no_option_goes_on(self):
        none = {"options": [NO, MAYBE], "rejecting": [NO, MAYBE]}
        assert count(needed=2, **none) == Verdict("open")
        assert count((1, MAYBE), needed=2, **none) == Verdict("decided", MAYBE)

    def test_rejects_as_most_do_and_as_the_first_where_they_are_equal(self):
        both = {"options": [YES, NO, "延期"], "rejecting": [NO, "延期"]}
        assert count((1, "延期"), (2, NO), (3, YES), needed=3, **both).choice == "延期"
        assert count((1, "延期"), (2, NO), (3, NO), needed=3, **both).choice == NO
        assert count((1, NO), (2, "延期"), (3, "延期"), (4, NO), needed=3, people=4, **both).choice == NO
        assert count((1, YES), (2, "延期"), (3, NO), (4, NO), needed=3, people=4, **both).choice == NO

    ANSWERS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([YES, NO, MAYBE])), max_size=12)
    SETTINGS = st.integers(1, 5).flatmap(lambda people: st.tuples(st.just(people), st.integers(1, people)))

    @given(ANSWERS, SETTINGS, st.randoms())
    def test_does_not_depend_on_the_order_they_come_in(self, answers, settings, random):
        people, needed = settings
        given_ = [answer(account_id, choice, at) for at, (account_id, choice) in enumerate(answers)]
        shuffled = [*given_]
        random.shuffle(shuffled)
        arguments: Any = {
            "options": [YES, NO, MAYBE],
            "rejecting": [NO],
            "approvers": [*range(1, people + 1)],
            "needed": needed,
        }
        assert tally(shuffled, **arguments) == tally(given_, **arguments)

    @given(ANSWERS, SETTINGS)
    def test_never_goes_on_without_as_many_approvers_as_are_needed(self, answers, settings):
        people, needed = settings
        verdict = count(*answers, needed=needed, people=people)
        latest = Counter(choice for account_id, choice in dict(answers).items() if account_id <= people)
        if verdict.choice in (YES, MAYBE):
            assert latest[verdict.choice] >= needed
        if verdict.choice is not None:
            assert latest[verdict.choice] >= 1
        if max(latest.values(), default=0) >= needed:
            assert verdict.outcome == "decided"

    @given(ANSWERS, SETTINGS)
    def test_ends_no_later_than_when_all_have_answered(self, answers, settings):
        people, needed = settings
        everybody = [(account_id, YES if account_id % 2 else MAYBE) for account_id in range(1, people + 1)]
        assert count(*everybody, *answers, needed=needed, people=people).outcome != "open"

    @given(ANSWERS, SETTINGS)
    def test_is_split_only_where_nobody_rejects(self, answers, settings):
        people, needed = settings
        if count(*answers, needed=needed, people=people).outcome == "split":
            assert not any(choice == NO for account_id, choice in dict(answers).items() if account_id <= people)

    @given(ANSWERS, SETTINGS)
    def test_waits_on_only_while_those_who_are_silent_could_still_decide(self, answers, settings):
        people, needed = settings
        if count(*answers, needed=needed, people=people).outcome == "open":
            silent = [account_id for account_id in range(1, people + 1) if account_id not in dict(answers)]
            ends = {
                count(*answers, *((account_id, choice) for account_id in silent), needed=needed, people=people)
                for choice in (YES, NO, MAYBE)
            }
            assert any(end.outcome == "decided" for end in ends)
