from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Limits, Sandbox, company
from airflow_provider_chatwork.waiting.tasks.tracking import (
    AssignedTasks,
    assignees,
    can_be_completed,
    done_ids,
    existing_ids,
    first_message_id,
    last_seen_tasks,
    new_assigned_tasks,
    new_task_progress,
    text_hash,
    unseen_ids,
    update_all,
    update_progress,
)


def task(**changed: Any) -> Any:
    return {
        "task_id": 5,
        "account": {"account_id": 1, "name": "佐藤"},
        "message_id": "90",
        "body": "確認",
        "limit_time": 0,
        "status": "open",
        "limit_type": "none",
        **changed,
    }


def progress_after(*polls: tuple[float, Any]) -> Any:
    progress = new_task_progress(5)
    for at, seen in polls:
        update_progress(progress, seen, seen is None, at)
    return progress


class TestUpdateProgress:
    def test_keeps_how_a_task_was_first_seen(self) -> None:
        progress = progress_after((110, task()), (120, task(limit_time=9, limit_type="time")))
        assert progress["first_seen"]["limit_time"] == 0
        assert progress["last_seen"]["limit_time"] == 9
        assert progress["message_id"] == "90"
        assert json.loads(json.dumps(progress)) == progress

    def test_keeps_when_it_was_first_seen_done(self) -> None:
        progress = progress_after((110, task()), (120, task(status="done")), (130, task(status="done")))
        assert (progress["status"], progress["seen_done_at"]) == ("done", 120)

    def test_of_a_reopened_task_is_open(self) -> None:
        progress = progress_after((120, task(status="done")), (130, task()))
        assert (progress["status"], progress["seen_done_at"]) == ("open", None)
        assert progress["changes"] == ["reopened"]

    @pytest.mark.parametrize(
        ("changed", "change"),
        [
            ({"limit_time": 9}, "due_moved"),
            ({"limit_type": "date"}, "due_moved"),
            ({"body": "別"}, "text_changed"),
            ({"account": {"account_id": 2, "name": "山田"}}, "assignee_swapped"),
        ],
        ids=str,
    )
    def test_adds_a_change_once(self, changed: dict[str, Any], change: str) -> None:
        progress = progress_after((110, task()), (120, task(**changed)), (130, task(**changed)))
        assert progress["changes"] == [change]

    def test_keeps_a_change_that_was_taken_back(self) -> None:
        assert progress_after((110, task()), (120, task(body="別")), (130, task()))["changes"] == ["text_changed"]

    @pytest.mark.parametrize("same", [{"body": " 確認\r\n"}, {"status": "done"}, {"message_id": "91"}], ids=str)
    def test_adds_no_other_changes(self, same: dict[str, Any]) -> None:
        assert progress_after((110, task()), (120, task(**same)))["changes"] == []

    @pytest.mark.parametrize("name", ["body", "limit_time", "limit_type"])
    @pytest.mark.parametrize("nothing", [None, "missing"])
    def test_accepts_missing_fields(self, name: str, nothing: object) -> None:
        sparse = task(**{name: None})
        if nothing == "missing":
            del sparse[name]
        progress = progress_after((110, sparse), (120, sparse))
        assert (progress["status"], progress["changes"]) == ("open", [])

    def test_of_a_deleted_task_keeps_its_fields(self) -> None:
        progress = progress_after((110, task()), (120, None))
        assert (progress["status"], progress["account_name"], progress["last_seen"]["account_id"]) == (
            "deleted",
            "佐藤",
            1,
        )

    def test_of_a_task_that_no_poll_has_seen_is_unchanged(self) -> None:
        progress = new_task_progress(5)
        update_progress(progress, None, False, 110)
        assert progress == new_task_progress(5)


class TestNewTaskProgress:
    def test_without_an_id_is_deleted(self) -> None:
        progress = new_task_progress(None, account_id=3)
        assert progress["status"] == "deleted"
        assert progress["last_seen"] is not None
        assert progress["last_seen"]["account_id"] == 3


class TestSeveral:
    def test_have_ids_assignees_and_a_message(self) -> None:
        tasks = [new_task_progress(None, account_id=3), *(new_task_progress(number) for number in (5, 6, 7))]
        update_progress(tasks[1], task(message_id="100"), False, 10)
        update_progress(tasks[2], task(task_id=6, message_id="99", status="done"), False, 10)
        assert existing_ids(tasks) == [5, 6, 7]
        assert done_ids(tasks) == [6]
        assert assignees(tasks) == {5: 1, 6: 1}
        assert first_message_id(tasks) == "99"
        assert first_message_id([new_task_progress(5)]) is None

    def test_can_be_completed_while_enough_exist(self) -> None:
        tasks = [new_task_progress(None, account_id=3), new_task_progress(5), new_task_progress(6)]
        assert [can_be_completed(tasks, needed) for needed in (1, 2, 3)] == [True, True, False]


class TestTextHash:
    @pytest.mark.parametrize("other", ["a\nb", " a\r\nb\n", "a\nb  "])
    def test_is_the_same_for_the_same_text(self, other: str) -> None:
        assert text_hash(other) == text_hash("a\nb")

    @pytest.mark.parametrize("other", ["a b", "a\nB", "", "a\n\nb"])
    def test_is_another_for_another_text(self, other: str) -> None:
        assert text_hash(other) != text_hash("a\nb")

    def test_is_short_and_accepts_a_lone_surrogate(self) -> None:
        assert len(text_hash("x" * 65535)) == len(text_hash("\ud800")) == 16


ROOM = company.DATA_ROOM
PEOPLE = [company.SATO, company.YAMADA]


def assigned_tasks(sandbox: Sandbox) -> tuple[AssignedTasks, dict[int, Any]]:
    """Return tasks that no poll has seen, after one that was deleted, and the tasks as Chatwork returns them."""
    tasks = {task_id: read_task(sandbox, task_id) for task_id in sandbox.create_task(ROOM, company.BOT, PEOPLE, "確認")}
    assigned = new_assigned_tasks(ROOM, [None, *tasks], [5, *PEOPLE], needed=2, timeout=1.0, now=1.0)
    assigned["message_id"] = next(iter(tasks.values()))["message_id"]
    return assigned, tasks


def read_task(sandbox: Sandbox, task_id: int) -> Any:
    return next(task for task in sandbox.tasks(ROOM) if task["task_id"] == task_id)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(limits=Limits.off())


class TestUpdateAll:
    def test_updates_every_task_that_has_an_id(self, sandbox: Sandbox) -> None:
        assigned, tasks = assigned_tasks(sandbox)
        update_all(assigned["tasks"], tasks, set(), 10.0)
        assert [progress["account_name"] for progress in assigned["tasks"]] == ["", "佐藤 花子", "山田 太郎"]
        assert [progress["status"] for progress in assigned["tasks"]] == ["deleted", "open", "open"]


class TestLastSeenTasks:
    def test_are_the_tasks_as_their_progress_shows_them(self, sandbox: Sandbox) -> None:
        assigned, tasks = assigned_tasks(sandbox)
        first, second = tasks
        sandbox.complete_task(ROOM, second)
        update_all(assigned["tasks"], {number: read_task(sandbox, number) for number in tasks}, set(), 10.0)
        message_id = assigned["message_id"]
        assert last_seen_tasks(assigned["tasks"]) == {
            first: {
                "task_id": first,
                "message_id": message_id,
                "account": {"account_id": company.SATO, "name": "佐藤 花子"},
                "status": "open",
            },
            second: {
                "task_id": second,
                "message_id": message_id,
                "account": {"account_id": company.YAMADA, "name": "山田 太郎"},
                "status": "done",
            },
        }

    def test_leave_out_tasks_that_no_poll_has_seen(self, sandbox: Sandbox) -> None:
        assigned, _ = assigned_tasks(sandbox)
        assert last_seen_tasks(assigned["tasks"]) == {}


class TestUnseenIds:
    def test_are_the_open_tasks_that_no_poll_has_seen(self, sandbox: Sandbox) -> None:
        assigned, tasks = assigned_tasks(sandbox)
        first, second = tasks
        assert unseen_ids(assigned["tasks"]) == [first, second]
        update_all(assigned["tasks"], {first: tasks[first]}, set(), 10.0)
        assert unseen_ids(assigned["tasks"]) == [second]
        update_all(assigned["tasks"], {}, {second}, 20.0)
        assert unseen_ids(assigned["tasks"]) == []
