from __future__ import annotations

import string
from typing import Any

import pytest

from airflow_provider_chatwork.alerts import texts as module
from airflow_provider_chatwork.alerts.texts import LANGUAGES, Words, check_language
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.notation import LEFT_OUT, safe

SENTENCES = module._WORDS
OF_ONE = module._OF_ONE


def placeholders(sentence: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


class TestSentences:
    @pytest.mark.parametrize("name", SENTENCES)
    def test_have_the_same_placeholders_in_every_language(self, name):
        assert len(SENTENCES[name]) == len(LANGUAGES)
        assert len({frozenset(placeholders(sentence)) for sentence in SENTENCES[name]}) == 1

    @pytest.mark.parametrize("name", OF_ONE)
    def test_have_the_same_placeholders_for_one(self, name):
        assert placeholders(OF_ONE[name]) == placeholders(SENTENCES[name][1])

    @pytest.mark.parametrize("name", SENTENCES)
    def test_hold_nothing_that_acts_themselves(self, name):
        for sentence in SENTENCES[name]:
            assert safe(sentence) == sentence

    def test_know_one_from_many_in_english(self):
        # "{runs} runs" are at least two.
        assert {name for name, (_, english) in SENTENCES.items() if "{count} tasks" in english} == {*OF_ONE}
        assert not [name for name, english in OF_ONE.items() if "tasks" in english]

    def test_are_written_in_their_language(self):
        letters = {name: SENTENCES[name][1] for name in SENTENCES}
        assert [name for name, english in letters.items() if not english.isascii()] == ["left_out"]
        same = {name for name, (japanese, english) in SENTENCES.items() if japanese == english}
        assert same == {"dag", "ended_reason"}


class TestWords:
    @pytest.mark.parametrize(
        ("lang", "count", "sentence"),
        [
            ("ja", 1, "1 件のタスクが失敗しました: d"),
            ("ja", 2, "2 件のタスクが失敗しました: d"),
            ("en", 1, "1 task failed: d"),
            ("en", 2, "2 tasks failed: d"),
        ],
    )
    def test_counts(self, lang, count, sentence):
        assert Words(lang)("many_failed", count=count, dag="d") == sentence

    @pytest.mark.parametrize("name", ["{", "}", "{0}", "{count}", "{name.__class__}", "%s", "100%", "{{}}"])
    @pytest.mark.parametrize("lang", LANGUAGES)
    def test_take_what_looks_like_a_placeholder_as_it_is(self, lang, name):
        assert Words(lang)("failure", name=name).endswith(f": {name}")
        assert name in Words(lang)("others", count=1, names=name)

    @pytest.mark.parametrize(("lang", "sign"), [("ja", "… (1,234 文字省略) …"), ("en", LEFT_OUT.format(count=1234))])
    def test_say_what_was_left_out(self, lang, sign):
        assert Words(lang).left_out.format(count=1234) == sign

    @pytest.mark.parametrize("lang", ["fr", "", "JA", None, 1])
    def test_know_no_other_language(self, lang):
        with pytest.raises(ChatworkParameterError, match="lang"):
            Words(lang)


class TestDuration:
    @pytest.mark.parametrize(
        ("seconds", "japanese", "english"),
        [
            (0, "0.1 秒", "0.1 s"),
            (0.04, "0.1 秒", "0.1 s"),
            (1, "1 秒", "1 s"),
            (1.25, "1.2 秒", "1.2 s"),
            (9.94, "9.9 秒", "9.9 s"),
            (9.96, "10 秒", "10 s"),
            (10, "10 秒", "10 s"),
            (59.9, "59 秒", "59 s"),
            (60, "1 分 0 秒", "1 min 0 s"),
            (3599, "59 分 59 秒", "59 min 59 s"),
            (3600, "1 時間 0 分", "1 h 0 min"),
            (86399, "23 時間 59 分", "23 h 59 min"),
            (86400, "1 日 0 時間", "1 d 0 h"),
            (200000, "2 日 7 時間", "2 d 7 h"),
        ],
    )
    def test_names_the_two_largest_units(self, seconds, japanese, english):
        assert Words("ja").duration(seconds) == japanese
        assert Words("en").duration(seconds) == english


class TestCheckLanguage:
    @pytest.mark.parametrize("lang", LANGUAGES)
    def test_returns_a_language_there_is(self, lang):
        assert check_language("lang", lang) == lang

    @pytest.mark.parametrize("value", ["de", "", 5, None, ["ja"]])
    def test_names_the_parameter_and_the_choice(self, value: Any):
        with pytest.raises(ChatworkParameterError, match=r"rules\[0\]\.lang.*ja.*en"):
            check_language("rules[0].lang", value)
