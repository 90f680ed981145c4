from __future__ import annotations

import json
from typing import Any

from airflow_provider_chatwork.api.errors import ChatworkForbiddenError
from airflow_provider_chatwork.waiting.tasks.result import describe, look_into_room, new_outcome
from airflow_provider_chatwork.waiting.tasks.tracking import Given, new_track, note
from tests.clients import drive

PEOPLE = {5: 1, 6: 2}


def given_to(*statuses: str, seen_done_at: float = 200.5) -> Given:
    tracks = [new_track(None, account_id=3)]
    for (task_id, account_id), status in zip(PEOPLE.items(), statuses, strict=True):
        track = new_track(task_id)
        task: Any = {
            "task_id": task_id,
            "account": {"account_id": account_id, "name": "佐藤"},
            "message_id": "77",
            "body": "確認",
            "limit_time": 0,
            "status": "done" if status == "done" else "open",
            "limit_type": "none",
        }
        note(track, task, status == "deleted", seen_done_at)
        tracks.append(track)
    return {"room_id": 9, "message_id": None, "created_at": 100.0, "deadline": 999.0, "needed": 1, "tracks": tracks}


def member(account_id: int) -> Any:
    return {"account_id": account_id}


class TestNewOutcome:
    def test_is_what_is_known_without_asking(self) -> None:
        outcome = new_outcome("done", given_to("done", "open"), "https://example.com")
        assert json.loads(json.dumps(outcome)) == outcome
        assert (outcome["outcome"], outcome["room_id"], outcome["message_id"]) == ("done", 9, "77")
        assert outcome["link"] == "https://example.com/#!rid9-77"
        assert outcome["tasks"][1] == {
            "task_id": 5,
            "account_id": 1,
            "account_name": "佐藤",
            "status": "done",
            "seen_done_at": 200,
            "changes": [],
            "why": None,
        }
        assert [(task["task_id"], task["status"], task["why"]) for task in outcome["tasks"]] == [
            (None, "deleted", "deleted"),
            (5, "done", None),
            (6, "open", None),
        ]

    def test_leads_to_the_message_that_is_given(self) -> None:
        given = given_to("open", "open")
        given["message_id"] = "33"
        assert new_outcome("done", given, "https://example.com")["message_id"] == "33"

    def test_leads_to_the_room_where_no_message_is_known(self) -> None:
        given = given_to("open", "open")
        for track in given["tracks"]:
            track["message_id"] = None
        assert new_outcome("done", given, "https://example.com")["link"] == "https://example.com/#!rid9"


class TestLookIntoRoom:
    def look(self, given: Given, *answers: Any) -> tuple[Any, list[str], Any]:
        outcome = new_outcome("done", given, "https://example.com")
        calls, error = drive(look_into_room(outcome, given), *answers)
        return outcome["tasks"], [call.operation for call in calls], error

    def test_reports_who_has_left(self) -> None:
        tasks, calls, error = self.look(given_to("deleted", "deleted"), [member(2)])
        assert [task["why"] for task in tasks] == ["left_room", "left_room", "deleted"]
        assert (calls, error) == (["list_members"], None)

    def test_returns_the_error_where_the_members_cannot_be_read(self) -> None:
        refusal = ChatworkForbiddenError("list_members", 403)
        tasks, _, error = self.look(given_to("done", "deleted"), refusal)
        assert error is refusal
        assert [task["why"] for task in tasks] == ["deleted", None, "deleted"]

    def test_sends_nothing_where_no_task_was_deleted(self) -> None:
        given = given_to("open", "done")
        del given["tracks"][0]
        assert self.look(given)[1:] == ([], None)


class TestDescribe:
    def test_says_who_is_how_far(self) -> None:
        outcome = new_outcome("timed_out", given_to("done", "open"), "https://example.com")
        outcome["tasks"][0]["why"] = "left_room"
        assert describe(outcome) == "? (3): left the room; 佐藤 (1): done; 佐藤 (2): open"
