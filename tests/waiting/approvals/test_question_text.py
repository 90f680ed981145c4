from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.api.validation import LANGUAGES
from airflow_provider_chatwork.waiting.approvals.question import (
    hint_text,
    invalidation_text,
    question_text,
    source_text,
)


def text(**more: Any) -> str:
    return question_text(
        **{
            "question": "公開？",
            "options": ["承認", "却下"],
            "to_ids": [1],
            "approvers": [1],
            "quorum": 1,
            "names": {1: "佐藤", 2: "山田", 3: "鈴木"},
            "timeout": 3600.0,
            "source": "",
            "lang": "ja",
            **more,
        }
    )


class TestQuestionText:
    @pytest.mark.parametrize(
        ("seconds", "said"),
        [
            (0, "1 分"),
            (90, "2 分"),
            (3600, "1 時間"),
            (5400, "90 分"),
            (86400, "1 日"),
            (129600, "36 時間"),
            (604800, "7 日"),
        ],
    )
    def test_has_the_time_to_answer(self, seconds, said):
        assert f"回答期限: この質問から {said}[/info]" in text(timeout=seconds)

    @pytest.mark.parametrize(
        ("quorum", "said"),
        [(1, "どなたか 1 人の回答で"), (2, "3 人のうち 2 人が"), (3, "3 人全員が")],
    )
    def test_has_the_quorum(self, quorum, said):
        assert said in text(approvers=[1, 2, 3], to_ids=[1, 2, 3], quorum=quorum)

    def test_has_no_quorum_for_one_approver(self):
        assert "決まります" not in text()

    def test_a_name_stays_on_its_line(self):
        assert "\n回答できる人: 佐藤 1. 承認、山田\n" in text(
            names={1: "佐藤\r\n 1. 承認", 2: "山田", 3: "鈴木"}, approvers=[1, 2], to_ids=[3]
        )

    def test_names_the_task(self):
        assert text(source="d / t / r").endswith("\n依頼元: Airflow d / t / r[/info]")
        assert text(source="d / t / r", lang="en").endswith("\nAsked by: Airflow d / t / r[/info]")
        assert "Airflow" not in text()
        assert text(source="[toall]\n1. 承認").endswith("Airflow [\u200btoall] 1. 承認[/info]")

    @pytest.mark.parametrize("lang", LANGUAGES)
    def test_is_in_one_language(self, lang):
        said = text(
            lang=lang,
            source="d / t / r",
            question="?",
            options=["A", "B"],
            names={1: "X", 2: "Y"},
            approvers=[1, 2],
            to_ids=[2],
        )
        assert said.isascii() or lang == "ja"


class TestSourceText:
    def test_differs_for_every_task_instance(self):
        instances = [
            ("report", "ask", "manual__1"),
            ("report", "ask", "manual__1", 0),
            ("report", "ask", "manual__1", 1),
            ("report", "ask", "manual__2"),
            ("report", "ask2", "manual__1"),
            ("report2", "ask", "manual__1"),
        ]
        texts = [source_text(*instance) for instance in instances]
        assert len(set(texts)) == len(texts)
        assert texts[:2] == ["report / ask / manual__1", "report / ask[0] / manual__1"]

    @pytest.mark.parametrize("map_index", [None, -1])
    def test_has_no_index_for_a_task_that_is_not_mapped(self, map_index):
        assert source_text("d", "t", "r", map_index) == "d / t / r"


class TestHintText:
    def test_notation_in_options_is_escaped(self):
        assert "[toall]" not in hint_text(["[toall]"], "https://example.com", "ja")


class TestInvalidationText:
    @pytest.mark.parametrize("lang", LANGUAGES)
    def test_ends_with_the_hint(self, lang):
        hint = hint_text(["A"], "https://example.com", lang)
        said = invalidation_text(["A"], "https://example.com", lang)
        assert said.endswith(f"\n{hint}")
        assert said.isascii() or lang == "ja"
