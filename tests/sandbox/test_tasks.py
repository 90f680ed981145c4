from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Limits, Sandbox, company

ROOM = f"/rooms/{company.DATA_ROOM}"


class TestCreateTask:
    def test_creates_one_task_for_each_assignee_and_one_message(self, api: Any, sandbox: Sandbox) -> None:
        to_ids = f"{company.YAMADA},{company.SATO}"
        answer = api.post(f"{ROOM}/tasks", body="確認", to_ids=to_ids, limit=1_800_086_399, limit_type="date").json
        tasks = [api.get(f"{ROOM}/tasks/{task_id}").json for task_id in answer["task_ids"]]
        assert [task["account"]["account_id"] for task in tasks] == [company.YAMADA, company.SATO]
        notice = sandbox.messages(company.DATA_ROOM)[-1]
        assert {task["message_id"] for task in tasks} == {notice["message_id"]}
        assert notice["body"] == (
            "[info][title][dtext:task_added][/title]"
            f"[task aid={company.YAMADA} st=open lt=1800086399 ltype=date]確認[/task]"
            f"[task aid={company.SATO} st=open lt=1800086399 ltype=date]確認[/task][/info]"
        )

    def test_a_task_has_these_fields(self, api: Any) -> None:
        task_id = api.post(f"{ROOM}/tasks", body="x", to_ids=company.SATO, limit=1_900_000_000).json["task_ids"][0]
        task = api.get(f"{ROOM}/tasks/{task_id}").json
        for account in (task.pop("account"), task.pop("assigned_by_account")):
            assert set(account) == {"account_id", "name", "avatar_image_url"}
        assert isinstance(task.pop("message_id"), str)
        expected = {"body": "x", "limit_time": 1_900_000_000, "status": "open", "limit_type": "time"}
        assert task == {"task_id": task_id, **expected}

    @pytest.mark.parametrize("form", [{}, {"limit": 1_900_000_000, "limit_type": "none"}, {"limit_type": "time"}])
    def test_has_no_deadline_without_a_limit(self, api: Any, form: dict[str, Any]) -> None:
        task_id = api.post(f"{ROOM}/tasks", body="x", to_ids=company.SATO, **form).json["task_ids"][0]
        task = api.get(f"{ROOM}/tasks/{task_id}").json
        assert (task["limit_time"], task["limit_type"]) == (0, "none")

    @pytest.mark.parametrize(
        "invalid",
        [
            {"body": ""},
            {"to_ids": ""},
            {"to_ids": "1,x"},
            {"to_ids": company.SUZUKI},
            {"limit": "tomorrow"},
            {"limit": 1_900_000_000_000},
            {"limit_type": "day"},
        ],
    )
    def test_rejects_invalid_parameters(self, api: Any, sandbox: Sandbox, invalid: dict[str, Any]) -> None:
        assert api.post(f"{ROOM}/tasks", **{"body": "x", "to_ids": company.SATO, **invalid}).status == 400
        assert sandbox.write_count("create_task") == 0

    def test_read_only_members_are_rejected(self, api: Any) -> None:
        assert api.post(f"/rooms/{company.NOTICE_ROOM}/tasks", body="x", to_ids=company.SATO).status == 403


class TestListTasks:
    def test_returns_open_tasks_by_default_and_done_ones_on_request(self, api: Any) -> None:
        assert {task["status"] for task in api.get(f"{ROOM}/tasks").json} == {"open"}
        assert {task["status"] for task in api.get(f"{ROOM}/tasks", status="done").json} == {"done"}

    def test_filters_by_assignee_and_requester(self, api: Any) -> None:
        mine = api.get(f"{ROOM}/tasks", account_id=company.YAMADA, assigned_by_account_id=company.BOT).json
        assert [task["account"]["account_id"] for task in mine] == [company.YAMADA]
        assert api.get(f"{ROOM}/tasks", assigned_by_account_id=company.SATO).status == 204

    def test_returns_at_most_100_tasks(self, api: Any, sandbox: Sandbox) -> None:
        for _ in range(101):
            sandbox.create_task(company.DATA_ROOM, company.BOT, [company.SATO], "x")
        assert len(api.get(f"{ROOM}/tasks", account_id=company.SATO).json) == 100

    def test_rejects_an_unknown_status(self, api: Any) -> None:
        assert api.get(f"{ROOM}/tasks", status="all").status == 400


class TestSetTaskStatus:
    def test_completes_the_task_and_posts_a_system_message(self, api: Any, sandbox: Sandbox) -> None:
        task_id = api.get(f"{ROOM}/tasks").json[0]["task_id"]
        assert api.put(f"{ROOM}/tasks/{task_id}/status", body="done").json == {"task_id": task_id}
        assert api.get(f"{ROOM}/tasks/{task_id}").json["status"] == "done"
        assert "[dtext:task_done]" in sandbox.messages(company.DATA_ROOM)[-1]["body"]

    def test_posts_no_message_without_task_notices(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.task_notices = False
        before = sandbox.messages(company.DATA_ROOM)
        api.put(f"{ROOM}/tasks/{api.get(f'{ROOM}/tasks').json[0]['task_id']}/status", body="done")
        assert sandbox.messages(company.DATA_ROOM) == before

    def test_needs_an_existing_task_and_a_valid_status(self, api: Any) -> None:
        assert api.put(f"{ROOM}/tasks/1/status", body="done").status == 404
        assert api.put(f"{ROOM}/tasks/1/status", body="finished").status == 400
        assert api.put(f"{ROOM}/tasks/1/status").errors == ["Parameter 'body' is required"]


class TestMyTasks:
    def test_has_the_room_and_not_the_assignee(self, api: Any) -> None:
        (task,) = api.get("/my/tasks").json
        assert set(task["room"]) == {"room_id", "name", "icon_path"}
        assert set(task) == {
            "task_id",
            "room",
            "assigned_by_account",
            "message_id",
            "body",
            "limit_time",
            "status",
            "limit_type",
        }

    def test_is_204_without_tasks(self, api: Any) -> None:
        assert api.get("/my/tasks", status="done").status == 204
        assert api.get("/my/tasks", assigned_by_account_id=company.SUZUKI).status == 204


class TestRoomLimit:
    def test_counts_messages_and_tasks_together(self, api: Any, sandbox: Sandbox, clock: Any) -> None:
        sandbox.limits = Limits(posts=2)
        api.post(f"{ROOM}/messages", body="x")
        api.post(f"{ROOM}/tasks", body="x", to_ids=company.SATO)
        for _ in range(2):
            reply = api.post(f"{ROOM}/messages", body="x")
            assert (reply.status, reply.errors) == (429, ["Rate limit for message posting per room exceeded."])
            assert int(reply.headers["x-ratelimit-remaining"]) > 200
        assert api.post(f"/rooms/{company.SALES_ROOM}/messages", body="x").status == 200
        clock.now += 10
        assert api.post(f"{ROOM}/messages", body="x").status == 200
