from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.sandbox import Sandbox, company

ROOM = company.DATA_ROOM


def last(sandbox: Sandbox) -> str:
    return str(sandbox.messages(ROOM)[-1]["body"])


class TestPostMessage:
    def test_is_in_the_messages_of_the_bot(self, sandbox: Sandbox, api: Any) -> None:
        message_id = sandbox.post_message(ROOM, company.YAMADA, "はい")
        message = api.get(f"/rooms/{ROOM}/messages/{message_id}").json
        assert (message["account"]["account_id"], message["body"]) == (company.YAMADA, "はい")

    def test_needs_a_member_of_the_room(self, sandbox: Sandbox) -> None:
        with pytest.raises(LookupError, match="not a member of room"):
            sandbox.post_message(ROOM, company.SUZUKI, "hi")
        with pytest.raises(LookupError, match="no such room"):
            sandbox.post_message(1, company.YAMADA, "hi")


class TestReply:
    def test_has_the_link_to_the_message_and_its_author(self, sandbox: Sandbox) -> None:
        message_id = sandbox.post_message(ROOM, company.BOT, "進めますか")
        sandbox.reply(ROOM, company.YAMADA, message_id, "はい")
        assert last(sandbox) == f"[rp aid={company.BOT} to={ROOM}-{message_id}]データ連携ボットさん\nはい"

    def test_needs_an_existing_message(self, sandbox: Sandbox) -> None:
        with pytest.raises(LookupError, match="no such message"):
            sandbox.reply(ROOM, company.YAMADA, "1", "はい")


class TestEditAndDelete:
    def test_an_edit_changes_the_message(self, sandbox: Sandbox) -> None:
        message_id = sandbox.post_message(ROOM, company.YAMADA, "one")
        sandbox.edit_message(ROOM, message_id, "two")
        assert last(sandbox) == "two"
        sandbox.delete_message(ROOM, message_id)
        assert last(sandbox) == "[deleted]"


class TestTasks:
    def test_are_completed_by_their_assignee_and_reopened(self, sandbox: Sandbox) -> None:
        (task_id,) = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.complete_task(ROOM, task_id)
        assert sandbox.tasks(ROOM)[-1]["status"] == "done"
        assert sandbox.messages(ROOM)[-1]["account"]["account_id"] == company.SATO
        sandbox.reopen_task(ROOM, task_id, company.YAMADA)
        assert sandbox.tasks(ROOM)[-1]["status"] == "open"
        assert sandbox.messages(ROOM)[-1]["account"]["account_id"] == company.YAMADA

    def test_are_404_in_the_api_after_deletion(self, sandbox: Sandbox, api: Any) -> None:
        (task_id,) = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.delete_task(ROOM, task_id)
        assert api.get(f"/rooms/{ROOM}/tasks/{task_id}").status == 404
        assert "[dtext:task_deleted]" in last(sandbox)
        with pytest.raises(LookupError, match="no such task"):
            sandbox.complete_task(ROOM, task_id)


class TestMembers:
    def test_are_added_and_removed(self, sandbox: Sandbox, api: Any) -> None:
        sandbox.add_member(ROOM, company.SUZUKI, "readonly")
        assert sandbox.store.rooms[ROOM].roles[company.SUZUKI] == "readonly"
        sandbox.remove_member(ROOM, company.BOT)
        assert api.get(f"/rooms/{ROOM}").status == 403


class TestUploadFile:
    def test_adds_a_file_to_the_room(self, sandbox: Sandbox) -> None:
        file_id = sandbox.upload_file(ROOM, company.SATO, Upload("memo.txt", b"x"), "読んでください")
        assert sandbox.file_content(ROOM, file_id) == b"x"
        assert last(sandbox).endswith("読んでください")
