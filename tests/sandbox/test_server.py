from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Sandbox, company
from airflow_provider_chatwork.sandbox.server import CommandError, read_state, run_command

ROOM = company.DATA_ROOM


class TestRunCommand:
    def test_posts_replies_and_completes_tasks(self, sandbox: Sandbox) -> None:
        posted = run_command(sandbox, "post_message", {"room_id": ROOM, "account_id": company.YAMADA, "body": "hi"})
        arguments = {"room_id": ROOM, "account_id": company.SATO, "body": "yes", **posted}
        assert run_command(sandbox, "reply", arguments)["message_id"] == sandbox.messages(ROOM)[-1]["message_id"]
        task = {"room_id": ROOM, "account_id": company.BOT, "to_ids": [company.SATO], "body": "x"}
        (task_id,) = run_command(sandbox, "create_task", task)["task_ids"]
        run_command(sandbox, "complete_task", {"room_id": ROOM, "task_id": task_id})
        assert sandbox.tasks(ROOM)[-1]["status"] == "done"

    def test_adds_and_clears_faults(self, sandbox: Sandbox) -> None:
        run_command(sandbox, "add_fault", {"kind": "lost_reply", "operation": "post_message"})
        assert [fault["kind"] for fault in read_state(sandbox, "faults")] == ["lost_reply"]
        run_command(sandbox, "clear_faults", {})
        assert read_state(sandbox, "faults") == []

    def test_limits_tokens_and_state_can_be_set(self, sandbox: Sandbox, api: Any) -> None:
        run_command(sandbox, "limits", {"requests": 5})
        assert api.get("/me").headers["x-ratelimit-limit"] == "5"
        run_command(sandbox, "add_token", {"token": "t", "account_id": company.YAMADA})
        api.token = "t"
        assert api.get("/me").json["account_id"] == company.YAMADA
        saved = read_state(sandbox, "state")
        run_command(sandbox, "seed", {"accounts": [{"name": "x"}]})
        run_command(sandbox, "restore", saved)
        assert read_state(sandbox, "state") == saved
        run_command(sandbox, "reset", {})
        assert read_state(sandbox, "requests") == []

    @pytest.mark.parametrize(
        ("name", "arguments", "status"),
        [
            ("post_message", [], 400),
            ("post_message", {}, 400),
            ("post_message", {"room_id": "1", "account_id": 1, "body": "x"}, 400),
            ("post_message", {"room_id": ROOM, "account_id": company.YAMADA, "body": 5}, 400),
            ("post_message", {"room_id": 1, "account_id": 1, "body": "x"}, 404),
            ("complete_task", {"room_id": ROOM, "task_id": True}, 400),
            ("add_fault", {"kind": "explode"}, 400),
            ("limits", {"speed": 1}, 400),
            ("restore", {"version": 2}, 400),
            ("_start", {}, 404),
            ("handle", {}, 404),
        ],
    )
    def test_rejects_wrong_commands_and_changes_nothing(
        self, sandbox: Sandbox, name: str, arguments: Any, status: int
    ) -> None:
        before = sandbox.snapshot()
        with pytest.raises(CommandError) as caught:
            run_command(sandbox, name, arguments)
        assert caught.value.status == status
        assert sandbox.snapshot() == before


class TestReadState:
    def test_returns_requests_and_write_counts(self, sandbox: Sandbox, api: Any) -> None:
        api.post(f"/rooms/{ROOM}/messages", body="hi")
        assert read_state(sandbox, "write_counts") == {"post_message": 1}
        assert read_state(sandbox, "requests")[-1]["operation"] == "post_message"

    def test_rejects_unknown_names(self, sandbox: Sandbox) -> None:
        with pytest.raises(CommandError):
            read_state(sandbox, "token")
