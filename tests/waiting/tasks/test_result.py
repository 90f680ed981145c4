from __future__ import annotations

import json
from typing import Any

from airflow_provider_chatwork.api.errors import ChatworkForbiddenError
from airflow_provider_chatwork.waiting.tasks.result import TaskWaitOutcome, add_room_details, describe, new_result
from airflow_provider_chatwork.waiting.tasks.tracking import AssignedTasks, new_task_progress, update_progress
from tests.clients import drive

PEOPLE = {5: 1, 6: 2}


def assigned_to(*statuses: str, seen_done_at: float = 200.5) -> AssignedTasks:
    progress_list = [new_task_progress(None, account_id=3)]
    for (task_id, account_id), status in zip(PEOPLE.items(), statuses, strict=True):
        progress = new_task_progress(task_id)
        task: Any = {
            "task_id": task_id,
            "account": {"account_id": account_id, "name": "佐藤"},
            "message_id": "77",
            "body": "確認",
            "limit_time": 0,
            "status": "done" if status == "done" else "open",
            "limit_type": "none",
        }
        update_progress(progress, task, status == "deleted", seen_done_at)
        progress_list.append(progress)
    return {
        "room_id": 9,
        "message_id": None,
        "created_at": 100.0,
        "deadline": 999.0,
        "needed": 1,
        "tasks": progress_list,
    }


def member(account_id: int) -> Any:
    return {"account_id": account_id}


class TestNewResult:
    def test_needs_no_requests(self) -> None:
        result = new_result(TaskWaitOutcome.DONE, assigned_to("done", "open"), "https://example.com")
        assert json.loads(json.dumps(result)) == result
        assert (result["outcome"], result["room_id"], result["message_id"]) == ("done", 9, "77")
        assert result["link"] == "https://example.com/#!rid9-77"
        assert result["tasks"][1] == {
            "task_id": 5,
            "account_id": 1,
            "account_name": "佐藤",
            "status": "done",
            "seen_done_at": 200,
            "changes": [],
            "reason": None,
        }
        assert [(task["task_id"], task["status"], task["reason"]) for task in result["tasks"]] == [
            (None, "deleted", "deleted"),
            (5, "done", None),
            (6, "open", None),
        ]

    def test_leads_to_the_message_that_is_given(self) -> None:
        assigned = assigned_to("open", "open")
        assigned["message_id"] = "33"
        assert new_result(TaskWaitOutcome.DONE, assigned, "https://example.com")["message_id"] == "33"

    def test_leads_to_the_room_where_no_message_is_known(self) -> None:
        assigned = assigned_to("open", "open")
        for progress in assigned["tasks"]:
            progress["message_id"] = None
        assert new_result(TaskWaitOutcome.DONE, assigned, "https://example.com")["link"] == "https://example.com/#!rid9"


class TestAddRoomDetails:
    def look(self, assigned: AssignedTasks, *answers: Any) -> tuple[Any, list[str], Any]:
        result = new_result(TaskWaitOutcome.DONE, assigned, "https://example.com")
        calls, error = drive(add_room_details(result), *answers)
        return result["tasks"], [call.operation for call in calls], error

    def test_reports_who_has_left(self) -> None:
        tasks, calls, error = self.look(assigned_to("deleted", "deleted"), [member(2)])
        assert [task["reason"] for task in tasks] == ["left_room", "left_room", "deleted"]
        assert (calls, error) == (["list_members"], None)

    def test_returns_the_error_where_the_members_cannot_be_read(self) -> None:
        refusal = ChatworkForbiddenError("list_members", 403)
        tasks, _, error = self.look(assigned_to("done", "deleted"), refusal)
        assert error is refusal
        assert [task["reason"] for task in tasks] == ["deleted", None, "deleted"]

    def test_sends_nothing_where_no_task_was_deleted(self) -> None:
        assigned = assigned_to("open", "done")
        del assigned["tasks"][0]
        assert self.look(assigned)[1:] == ([], None)


class TestDescribe:
    def test_has_the_status_of_each_person(self) -> None:
        result = new_result(TaskWaitOutcome.TIMED_OUT, assigned_to("done", "open"), "https://example.com")
        result["tasks"][0]["reason"] = "left_room"
        assert describe(result) == "? (3): left the room; 佐藤 (1): done; 佐藤 (2): open"
