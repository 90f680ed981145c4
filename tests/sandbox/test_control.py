from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Sandbox, company
from airflow_provider_chatwork.sandbox.control import ControlError, look, order

ROOM = company.DATA_ROOM


class TestOrder:
    def test_people_speak_reply_and_tick(self, sandbox: Sandbox) -> None:
        said = order(sandbox, "speak", {"room_id": ROOM, "account_id": company.YAMADA, "body": "hi"})
        given = {"room_id": ROOM, "account_id": company.SATO, "body": "yes", **said}
        assert order(sandbox, "reply", given)["message_id"] == sandbox.messages(ROOM)[-1]["message_id"]
        task = {"room_id": ROOM, "account_id": company.BOT, "to_ids": [company.SATO], "body": "x"}
        (task_id,) = order(sandbox, "assign", task)["task_ids"]
        order(sandbox, "tick", {"room_id": ROOM, "task_id": task_id})
        assert sandbox.tasks(ROOM)[-1]["status"] == "done"

    def test_the_sandbox_misbehaves_and_behaves_again(self, sandbox: Sandbox) -> None:
        order(sandbox, "misbehave", {"kind": "lost_reply", "operation": "post_message"})
        assert [fault["kind"] for fault in look(sandbox, "faults")] == ["lost_reply"]
        order(sandbox, "behave", {})
        assert look(sandbox, "faults") == []

    def test_limits_tokens_and_state_can_be_set(self, sandbox: Sandbox, api: Any) -> None:
        order(sandbox, "limits", {"requests": 5})
        assert api.get("/me").headers["x-ratelimit-limit"] == "5"
        order(sandbox, "add_token", {"token": "t", "account_id": company.YAMADA})
        api.token = "t"
        assert api.get("/me").json["account_id"] == company.YAMADA
        saved = look(sandbox, "state")
        order(sandbox, "seed", {"accounts": [{"name": "x"}]})
        order(sandbox, "restore", saved)
        assert look(sandbox, "state") == saved
        order(sandbox, "reset", {})
        assert look(sandbox, "requests") == []

    @pytest.mark.parametrize(
        ("name", "given", "status"),
        [
            ("speak", [], 400),
            ("speak", {}, 400),
            ("speak", {"room_id": "1", "account_id": 1, "body": "x"}, 400),
            ("speak", {"room_id": ROOM, "account_id": company.YAMADA, "body": 5}, 400),
            ("speak", {"room_id": 1, "account_id": 1, "body": "x"}, 404),
            ("tick", {"room_id": ROOM, "task_id": True}, 400),
            ("misbehave", {"kind": "explode"}, 400),
            ("limits", {"speed": 1}, 400),
            ("restore", {"version": 2}, 400),
            ("_start", {}, 404),
            ("handle", {}, 404),
        ],
    )
    def test_what_is_wrong_is_refused(self, sandbox: Sandbox, name: str, given: Any, status: int) -> None:
        before = sandbox.snapshot()
        with pytest.raises(ControlError) as caught:
            order(sandbox, name, given)
        assert caught.value.status == status
        assert sandbox.snapshot() == before


class TestLook:
    def test_shows_what_happened(self, sandbox: Sandbox, api: Any) -> None:
        api.post(f"/rooms/{ROOM}/messages", body="hi")
        assert look(sandbox, "acted") == {"post_message": 1}
        assert look(sandbox, "requests")[-1]["operation"] == "post_message"

    def test_there_is_nothing_else_to_see(self, sandbox: Sandbox) -> None:
        with pytest.raises(ControlError):
            look(sandbox, "token")
