from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.tasks import may_mention_task
from airflow_provider_chatwork.sandbox import Sandbox, company

ROOM = company.DATA_ROOM


def line(body: str, *, key: str = "task_done", attributes: str = "aid=1 st=done lt=0 ltype=none") -> str:
    return f"[info][title][dtext:{key}][/title][task {attributes}]{body}[/task][/info]"


class TestMayMentionTask:
    TEXT = "確認\n参照: x"

    @pytest.mark.parametrize(
        "message",
        [
            line(TEXT, key="task_added"),
            line(f" {TEXT} ".replace("\n", "\r\n"), key="task_edited"),
            line("別の作業")[: -len("[/info]")] + f"[task aid=2 lt=0]{TEXT}[/task][/info]",
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
    def test_is_true_for_the_text_and_for_system_messages_that_cannot_be_parsed(self, message: str) -> None:
        assert may_mention_task(self.TEXT, message)

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
    def test_is_false_for_other_messages(self, message: str) -> None:
        assert not may_mention_task(self.TEXT, message)

    def test_understands_the_messages_of_the_sandbox(self) -> None:
        sandbox = Sandbox()
        sandbox.create_task(ROOM, company.BOT, [company.SATO, company.YAMADA], self.TEXT)
        posted = sandbox.messages(ROOM)[-1]["body"]
        assert (may_mention_task(self.TEXT, posted), may_mention_task("別の作業", posted)) == (True, False)

    @pytest.mark.parametrize("attributes", ["st=done", "aid=x", "aid=", "aid=" + "9" * 30])
    def test_is_true_for_a_card_that_cannot_be_parsed(self, attributes: str) -> None:
        assert may_mention_task(self.TEXT, line("別の作業", attributes=attributes))

    def test_reads_every_card_of_a_message(self) -> None:
        two = line("a")[: -len("[/info]")] + "[task aid=2 st=open lt=5 ltype=time]b[/task][/info]"
        assert [may_mention_task(text, two) for text in ("a", "b", "c")] == [True, True, False]

    @pytest.mark.parametrize("text", ["[/task]", "a[/task]b", "[info]x[/info]", "[dtext:task_added]"])
    def test_reads_a_text_that_contains_tags(self, text: str) -> None:
        assert may_mention_task(text, line(text))
        assert not may_mention_task("別の作業", line(text))

    @given(st.text(st.sampled_from("[]/= taskidlnfo:01\n"), max_size=200))
    def test_accepts_any_message(self, body: str) -> None:
        may_mention_task(self.TEXT, body)
        may_mention_task(self.TEXT, line(body))

    def test_reads_a_long_message_in_linear_time(self) -> None:
        for piece in ("[task aid=1 ", "[task aid=1]", "[info]", "[/task]", "aid=1 "):
            may_mention_task(self.TEXT, line(piece * 5000))
            may_mention_task(self.TEXT, "[dtext:task" + piece * 5000)
