from __future__ import annotations

import string

import pytest

from airflow_provider_chatwork.api.validation import LANGUAGES
from airflow_provider_chatwork.waiting.reminders.schedule import Due
from airflow_provider_chatwork.waiting.reminders.words import _WORDS, KINDS, polite, say, when
from tests.waiting.office import TOKYO, at


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


class TestSay:
    @pytest.mark.parametrize("name", _WORDS)
    def test_says_the_same_in_every_language(self, name):
        assert len(_WORDS[name]) == len(LANGUAGES)
        assert len({frozenset(placeholders(text)) for text in _WORDS[name]}) == 1

    def test_begins_the_labels_of_a_kind_as_those_are_found(self):
        for kind, names in KINDS.items():
            for name in [each for each in _WORDS if each.split("_")[0] == kind]:
                for lang, word in zip(LANGUAGES, names, strict=True):
                    assert say(lang, name, number=1, due="").startswith(word)


class TestPolite:
    @pytest.mark.parametrize(
        ("lang", "name", "called"),
        [
            ("ja", "山田", "山田さん"),
            ("ja", "山田さん", "山田さん"),
            ("ja", "田中様", "田中様"),
            ("en", "Bob", "Bob"),
            ("ja", "", ""),
        ],
    )
    def test_calls_people_as_is_usual(self, lang, name, called):
        assert polite(lang, name) == called


class TestWhen:
    @pytest.mark.parametrize(
        ("lang", "zone", "day", "text"),
        [
            ("ja", TOKYO, False, "2026-01-09 (金) 17:05"),
            ("en", TOKYO, False, "2026-01-09 (Fri) 17:05"),
            ("ja", TOKYO, True, "2026-01-09 (金)"),
            ("en", "Europe/Paris", False, "2026-01-09 (Fri) 09:05 CET"),
        ],
    )
    def test_shows_a_due_date_in_its_zone(self, lang, zone, day, text):
        assert when(lang, Due(at("2026-01-09 17:05"), day), zone) == text

    def test_says_that_there_is_none(self):
        assert when("ja", None, TOKYO) == "期限なし"
