from __future__ import annotations

import pytest

from airflow_provider_chatwork.api.notation import LEFT_OUT
from airflow_provider_chatwork.utils.i18n import LANGUAGES, Catalog

TEXTS = {"failed": ("失敗: {name}", "Failed: {name}"), "many": ("{count} 件: {names}", "{count} tasks: {names}")}
SINGULAR = {"many": "{count} task: {names}"}


class TestCatalog:
    @pytest.mark.parametrize(("lang", "text"), [("ja", "失敗: load"), ("en", "Failed: load")])
    def test_a_text_is_in_the_language_of_the_catalog(self, lang, text):
        assert Catalog(lang, TEXTS).text("failed", name="load") == text

    @pytest.mark.parametrize(
        ("lang", "count", "text"),
        [("ja", 1, "1 件: a"), ("en", 1, "1 task: a"), ("en", 0, "0 tasks: a"), ("en", 2, "2 tasks: a")],
    )
    def test_a_count_of_one_is_singular_in_english(self, lang, count, text):
        assert Catalog(lang, TEXTS, SINGULAR).text("many", count=count, names="a") == text

    @pytest.mark.parametrize("name", ["{", "}", "{0}", "{count}", "{name.__class__}", "%s", "100%", "{{}}"])
    @pytest.mark.parametrize("lang", LANGUAGES)
    def test_braces_in_a_value_are_not_placeholders(self, lang, name):
        assert Catalog(lang, TEXTS).text("failed", name=name).endswith(f": {name}")
        assert name in Catalog(lang, TEXTS, SINGULAR).text("many", count=1, names=name)

    @pytest.mark.parametrize(("lang", "mark"), [("ja", "… (1,234 文字省略) …"), ("en", LEFT_OUT.format(count=1234))])
    def test_the_mark_for_text_cut_out_takes_a_count(self, lang, mark):
        assert Catalog(lang, TEXTS).left_out.format(count=1234) == mark

    @pytest.mark.parametrize("name", ["田中さん", "田中様", "田中さま", ""])
    def test_a_name_with_an_honorific_stays(self, name):
        assert Catalog("ja", TEXTS).address(name) == name

    def test_only_japanese_adds_an_honorific(self):
        assert Catalog("ja", TEXTS).address("田中") == "田中さん"
        assert Catalog("en", TEXTS).address("Tanaka") == "Tanaka"

    @pytest.mark.parametrize(("lang", "text"), [("ja", "a、b"), ("en", "a, b")])
    def test_names_are_joined_as_in_the_language(self, lang, text):
        assert Catalog(lang, TEXTS).join_names(["a", "b"]) == text

    def test_an_unknown_key_is_an_error(self):
        with pytest.raises(KeyError):
            Catalog("ja", TEXTS).text("missing")
