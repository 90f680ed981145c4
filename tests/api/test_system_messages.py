from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.system_messages import (
    Card,
    Notice,
    may_tell_of,
    read_notice,
)
from airflow_provider_chatwork.sandbox import Sandbox, company

ROOM = company.DATA_ROOM


def line(body: str, *, key: str = "task_done", attributes: str = "aid=1 st=done lt=0 ltype=none") -> str:
    return f"[info][title][dtext:{key}][/title][task {attributes}]{body}[/task][/info]"


class TestReadNotice:
    def test_reads_what_it_says_and_of_which_task(self) -> None:
        found = read_notice(line("確認", attributes="aid=7 st=done lt=1800000000 ltype=date"))
        assert found == Notice("task_done", (Card(7, 1_800_000_000, "確認"),))

    def test_reads_several_tasks(self) -> None:
        body = line("a")[: -len("[/info]")] + "[task aid=2 st=open lt=5 ltype=time]b[/task][/info]"
        found = read_notice(body)
        assert found is not None
        assert found.cards == (Card(1, 0, "a"), Card(2, 5, "b"))

    @pytest.mark.parametrize("body", ["[/task]", "a[/task]b", "[info]x[/info]", "", "\n", "[dtext:task_added]"])
    def test_takes_any_text_of_a_task(self, body: str) -> None:
        found = read_notice(line(body))
        assert found is not None
        assert found.cards == (Card(1, 0, body),)

    @pytest.mark.parametrize("attributes", ["st=done", "aid=x", "aid=", "aid=1 lt=soon", "aid=" + "9" * 30])
    def test_leaves_out_a_card_it_cannot_read(self, attributes: str) -> None:
        assert read_notice(line("a", attributes=attributes)) == Notice("task_done", ())

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "完了しました",
            "[dtext:task_done]",
            "よろしく " + line("a"),
            "[info][title]task_done[/title][/info]",
            "[info][dtext:chatroom_member_is][piconname:1][dtext:chatroom_added][/info]",
        ],
    )
    def test_is_nothing_of_other_messages(self, body: str) -> None:
        assert read_notice(body) is None

    @pytest.mark.parametrize("key", ["task_done", "file_uploaded"])
    def test_needs_no_card(self, key: str) -> None:
        body = f"[info][title][dtext:{key}][/title][download:1]a.csv (1 KB)[/download][/info]"
        assert read_notice(body) == Notice(key, ())

    def test_reads_what_the_sandbox_writes(self) -> None:
        sandbox = Sandbox()
        [task_id] = sandbox.create_task(
            ROOM, company.BOT, [company.SATO], "確認\n[code]x[/code]", 1_900_000_000, "time"
        )
        sandbox.complete_task(ROOM, task_id)
        found = read_notice(sandbox.messages(ROOM)[-1]["body"])
        assert found == Notice("task_done", (Card(company.SATO, 1_900_000_000, "確認\n[code]x[/code]"),))

    @given(st.text(st.sampled_from("[]/= taskidlnfo:01\n"), max_size=200))
    def test_takes_anything(self, body: str) -> None:
        read_notice(body)
        read_notice(line(body))

    def test_takes_a_long_text_in_no_time(self) -> None:
        for piece in ("[task aid=1 ", "[task aid=1]", "[info]", "[/task]", "aid=1 "):
            read_notice(line(piece * 5000))
            read_notice(piece * 5000)


class TestMayTellOf:
    TEXT = "確認\n参照: x"

    @pytest.mark.parametrize(
        "message",
        [
            line(TEXT, key="task_added"),
            line(f" {TEXT} ".replace("\n", "\r\n"), key="task_edited"),
            line("別の作業", key="task_added")[: -len("[/info]")] + f"[task aid=2 lt=0]{TEXT}[/task][/info]",
            f"{TEXT} をお願いします",
            line("確認\n参…", key="task_added"),
            line("確認 [...]", key="task_added"),
            line("確認 参照: x", key="task_added"),
            line("確認\r参照: x", key="task_added"),
            line("", key="task_added"),
            line("別の作業", key="task_added", attributes="who=1"),
            "[info][title][dtext:task_added][/title][/info]",
            "[dtext:task_given] 佐藤",
        ],
    )
    def test_is_so_of_what_holds_the_text_and_of_lines_that_cannot_be_read(self, message: str) -> None:
        assert may_tell_of(self.TEXT, message)

    @pytest.mark.parametrize(
        "message",
        [
            "",
            "確認",
            "おはよう",
            line("別の作業", key="task_added"),
            line("確認\n参照: y", key="task_added"),
            line("確認\n参照: x0", key="task_added"),
            line("確認\n参照:", key="task_added"),
            "[info][title][dtext:file_uploaded][/title][download:1]a.csv (1 KB)[/download][/info]",
        ],
    )
    def test_is_not_so_of_others(self, message: str) -> None:
        assert not may_tell_of(self.TEXT, message)

    def test_is_so_of_what_the_sandbox_writes(self) -> None:
        sandbox = Sandbox()
        sandbox.create_task(ROOM, company.BOT, [company.SATO, company.YAMADA], self.TEXT)
        told = sandbox.messages(ROOM)[-1]["body"]
        assert (may_tell_of(self.TEXT, told), may_tell_of("別の作業", told)) == (True, False)
