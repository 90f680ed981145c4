from __future__ import annotations

import sys
from typing import Any

import pytest

from airflow_provider_chatwork.api.notation_parser import (
    is_deleted,
    is_reply_to,
    is_system,
    names_on,
    own_text,
    reply_texts,
)

NAMES = {1: "データ連携ボット", 2: "佐藤 花子", 3: "Taro Yamada"}
FILE = "[info][title][dtext:file_uploaded][/title][preview id=1 ht=9][download:1]a.png (1 KB)[/download][/info]"
TAG = "[rp aid=1 to=400-77]データ連携ボットさん"


class TestIsDeleted:
    @pytest.mark.parametrize(
        ("body", "deleted"), [("[deleted]", True), (" [deleted]\n", True), ("[deleted] だって", False), ("", False)]
    )
    def test_is_nothing_but_the_placeholder(self, body, deleted):
        assert is_deleted(body) is deleted


class TestIsSystem:
    @pytest.mark.parametrize(
        ("body", "system"),
        [
            ("[info][title][dtext:task_added][/title][task aid=2 st=open]確認[/task][/info]", True),
            ("[info][dtext:chatroom_member_is][piconname:2][dtext:chatroom_added][/info]", True),
            ("[qt][dtext:task_done][/qt]これは？", False),
            ("[code][dtext:task_done][/code]", False),
            ("[qt][dtext:task_done][/qt][dtext:task_done]", True),
            ("dtext:task_done", False),
            (f"{FILE}", True),
            (f" {FILE}\n{FILE}", True),
            (f"[info] [title] [dtext:file_uploaded][/title]{FILE}[/info]", True),
            (f"どうぞ\n{FILE}", False),
            (f"{FILE}どうぞ", False),
            (f"[rp aid=1 to=400-77]{FILE}", False),
            (f"[qt]{FILE}[/qt]", False),
            ("[info]承認[dtext:task_done][/info]", True),
            ("承認[dtext:task_done]", True),
            ("[rp aid=1 to=400-77]承認[dtext:task_done]", False),
            ("[info][title][dtext:task_done][/title][rp aid=1 to=400-77]はい[/info]", True),
        ],
    )
    def test_is_true_for_messages_that_chatwork_writes(self, body, system):
        assert is_system(body) is system


class TestNamesOn:
    def test_are_the_names_of_the_authors(self):
        page = [{"account": {"account_id": 1, "name": "佐藤"}}, {"account": {"account_id": 2}}]
        assert names_on(page) == {1: "佐藤", 2: ""}  # type: ignore[arg-type]


class TestIsReplyTo:
    @pytest.mark.parametrize(
        ("body", "answers"),
        [
            ("[rp aid=1 to=400-77]はい", True),
            ("[To:2] [rp aid=1 to=400-77]\nはい", True),
            ("[RP aid=1 to=400-77] はい", True),
            ("[rp aid=1 to=400-78][rp aid=1 to=400-77]", True),
            ("[rp to=400-77 aid=1]", True),
            ("[info][rp aid=1 to=400-77]はい[/info]", True),
            ("[rp aid=1 to=400-770]はい", False),
            ("[rp aid=1 to=401-77]はい", False),
            ("[rp aid=1 to=1400-77]はい", False),
            ("[rp aid=1]400-77", False),
            ("[rp aid=1 x=to=400-78 to=400-77a]", False),
            ("[qt][qtmeta aid=1][rp aid=1 to=400-77]はい[/qt]", False),
            ("[qt][qt][/qt][rp aid=1 to=400-77]はい[/qt]", False),
            ("[code][rp aid=1 to=400-77][/code]", False),
            ("[code][/code][rp aid=1 to=400-77]", True),
            ("400-77", False),
            (f"[info][title][dtext:task_added][/title][task aid=2]{TAG}[/task][/info]", False),
        ],
    )
    def test_is_true_where_its_reply_tag_works(self, body, answers):
        assert is_reply_to(body, 400, "77") is answers


class TestOwnText:
    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ("承認", "承認"),
            ("  承認\n", "承認"),
            ("[rp aid=1 to=400-77]データ連携ボットさん\n承認", "承認"),
            ("[rp aid=1 to=400-77] データ連携ボット さん\r\n承認", "承認"),
            ("[rp aid=1 to=400-77]データ連携ボット\n承認", "承認"),
            ("[rp aid=1 to=400-77]データ連携ボットさん 承認", "承認"),
            ("[rp aid=1 to=400-77]データ連携ボットさん", ""),
            ("[rp aid=1 to=400-77] 承認", "承認"),
            ("[rp aid=1 to=400-77]承認\nよろしく", "承認\nよろしく"),
            ("[rp aid=9 to=400-77]だれかさん\n承認", "承認"),
            ("[rp aid=9 to=400-77]だれかさん", "だれかさん"),
            ("[rp aid=9 to=400-77]了解です、だれかさん\nまた明日", "了解です、だれかさん\nまた明日"),
            ("[rp aid=9 to=400-77]Anybody\nyes", "Anybody\nyes"),
            ("[To:3]Taro Yamada\n[To:2]佐藤 花子さん\n承認", "承認"),
            ("[To:3] Taro Yamadas idea", "Taro Yamadas idea"),
            ("[To:3][To:2]承認", "承認"),
            ("[toall]\n承認", "承認"),
            ("お願いします [To:2]佐藤 花子さん", "お願いします"),
            ("[qt][qtmeta aid=1 time=5]承認しますか？[/qt]いいえ", "いいえ"),
            ("[qt]外[qt]内[/qt]外[/qt]いいえ", "いいえ"),
            ("[qt][rp aid=1 to=400-77]データ連携ボットさん\nはい[/qt]\nいいえ", "いいえ"),
            ("[qt]閉じていない", "[qt]閉じていない"),
            ("[code][To:2] [qt]x[/qt][/code]", "[code][To:2] [qt]x[/qt][/code]"),
            ("[info][title]決定[/title]承認[/info]", "[info][title]決定[/title]承認[/info]"),
            ("[picon:2] 承認 [hr]", "[picon:2] 承認 [hr]"),
            ("rows[0] to:2", "rows[0] to:2"),
            (f"承認\n{FILE}", "承認"),
            (f"{FILE}承認{FILE}\nよろしく", "承認\nよろしく"),
            ("[info][title][dtext:task_added][/title][task aid=2][qt]引用[/qt]確認[/task][/info]承認", "承認"),
            (f"[qt]{FILE}外[/qt]承認", "承認"),
        ],
    )
    def test_is_what_its_author_wrote(self, body, text):
        assert own_text(body, NAMES) == text

    def test_needs_no_names(self):
        assert own_text("[rp aid=1 to=400-77]データ連携ボットさん\n承認") == "承認"

    @pytest.mark.parametrize(
        "piece",
        [
            "[qt][/qt]",
            "[code][/code]",
            "[qt]",
            "[/qt]",
            "[To:2]",
            "[To:2]佐藤 花子さん\n",
            "[rp aid=1 to=400-77]はい",
            "[info][dtext:a][/info]",
        ],
    )
    def test_needs_time_in_proportion_to_the_length(self, piece):
        assert self.calls(piece * 2_000) < 3 * self.calls(piece * 1_000)

    def calls(self, body: str) -> int:
        """The number of function calls for a body."""
        called = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal called
            called += event in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            own_text(body, NAMES)
            is_reply_to(body, 400, "77")
            reply_texts(body, 400, "77", NAMES)
        finally:
            sys.setprofile(before)
        return called

    @pytest.mark.parametrize(
        "body",
        [
            "[To:2]" + " " * 65_000 + "x",
            "[rp aid=1 to=400-77]" + "さん" * 32_000,
            "[rp aid=1 to=400-" * 3_800,
            "[rp " + "to=" * 20_000,
        ],
        ids=lambda body: body[:10],
    )
    def test_is_fast_for_a_body_of_reply_tags(self, body):
        # Without linear time this would take minutes.
        assert own_text(body, NAMES)
        assert not is_reply_to(body, 400, "7")


class TestReplyTexts:
    @pytest.mark.parametrize(
        ("written", "text"),
        [
            ("データ連携ボットさん\n承認", "承認"),
            ("Data Botさん\n承認", "承認"),
            ("Data Bot\n承認", "承認"),
            ("\n承認", "承認"),
            ("まだ承認しないでください鈴木さん\n承認", "まだ承認しないでください鈴木さん\n承認"),
            ("データ連携ボットさん まだです鈴木さん\n承認", "まだです鈴木さん\n承認"),
            ("データ連携ボットさん\n[To:2]まだです鈴木さん\n承認", "まだです鈴木さん\n承認"),
            ("だれかさん\n承認", "だれかさん\n承認"),
        ],
    )
    def test_keep_unknown_names_when_strict(self, written, text):
        names = {1: ("Data Bot", "データ連携ボット"), 2: "佐藤 花子"}
        body = f"[rp aid=1 to=400-77]{written}"
        assert reply_texts(body, 400, "77", names, strictly=True) == [text]

    OTHER = "[rp aid=1 to=400-78]データ連携ボットさん"

    @pytest.mark.parametrize(
        ("body", "texts"),
        [
            (f"{TAG}\n却下", ["却下"]),
            (f"{OTHER}\n承認\n\n{TAG}\n却下", ["却下"]),
            (f"{TAG}\n却下\n\n{OTHER}\n承認", ["却下"]),
            (f"{TAG}\n却下\n[rp aid=1 to=401-77]\n承認", ["却下"]),
            (f"{TAG}\n却下\n[rp aid=1]\n承認", ["却下"]),
            (f"{OTHER}\n承認", []),
            (f"{TAG}\n承認\n{OTHER}\nはい\n{TAG}\n却下", ["承認", "却下"]),
            (f"[To:2]佐藤 花子さん\n{TAG}\n却下", ["却下"]),
            (f"まだです\n{TAG}\n承認", ["まだです\n\n承認"]),
            (f"まだです\n{OTHER}\nはい\n{TAG}\n承認", ["承認"]),
            (f"{OTHER}\nはい\n[qt]{TAG}\n承認[/qt]", []),
            (f"{TAG}\n[qt]{OTHER}\nはい[/qt]却下\nどうぞ", ["却下\nどうぞ"]),
            (f"{TAG}\n却下\n{FILE}\n{OTHER}\n承認", ["却下"]),
            (f"{TAG}{FILE}", [""]),
            (f"[info][title][dtext:task_done][/title]{TAG}承認[/info]", []),
            ("承認", []),
        ],
    )
    def test_are_the_replies_to_the_message(self, body, texts):
        assert reply_texts(body, 400, "77", NAMES) == texts
