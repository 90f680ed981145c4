from __future__ import annotations

import string

import pytest

from airflow_provider_chatwork.alerts.texts import SINGULAR, TEXTS
from airflow_provider_chatwork.api.notation import safe
from airflow_provider_chatwork.utils.i18n import LANGUAGES, Catalog


def placeholders(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


class TestTexts:
    @pytest.mark.parametrize("key", TEXTS)
    def test_the_texts_of_a_key_have_the_same_placeholders(self, key):
        assert len(TEXTS[key]) == len(LANGUAGES)
        assert len({frozenset(placeholders(text)) for text in TEXTS[key]}) == 1

    @pytest.mark.parametrize("key", SINGULAR)
    def test_the_singular_has_the_same_placeholders(self, key):
        assert placeholders(SINGULAR[key]) == placeholders(TEXTS[key][1])

    @pytest.mark.parametrize("key", TEXTS)
    def test_no_text_contains_notation(self, key):
        for text in TEXTS[key]:
            assert safe(text) == text

    def test_every_english_text_that_counts_tasks_has_a_singular(self):
        # "{runs} runs" are at least two.
        assert {key for key, (_, english) in TEXTS.items() if "{count} tasks" in english} == {*SINGULAR}
        assert not [key for key, english in SINGULAR.items() if "tasks" in english]

    def test_each_text_is_in_its_language(self):
        assert [key for key, (_, english) in TEXTS.items() if not english.isascii()] == []
        assert {key for key, (japanese, english) in TEXTS.items() if japanese == english} == {"dag", "ended_reason"}

    @pytest.mark.parametrize(
        ("lang", "count", "text"),
        [
            ("ja", 1, "1 件のタスクが失敗しました: d"),
            ("ja", 2, "2 件のタスクが失敗しました: d"),
            ("en", 1, "1 task failed: d"),
            ("en", 2, "2 tasks failed: d"),
        ],
    )
    def test_a_count_of_one_is_singular_in_english(self, lang, count, text):
        assert Catalog(lang, TEXTS, SINGULAR).text("many_failed", count=count, dag="d") == text
