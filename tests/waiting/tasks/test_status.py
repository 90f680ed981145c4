from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.api.errors import (
    ChatworkForbiddenError,
    ChatworkNotFoundError,
    ChatworkParameterError,
    ChatworkServerError,
)
from airflow_provider_chatwork.client import Client
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.sandbox import Fault, Limits, Sandbox, company
from airflow_provider_chatwork.waiting.tasks.status import (
    is_complete,
    poll_tasks,
    require_completable,
    task_state,
    tasks_needed,
)

ROOM = company.DATA_ROOM


def states(*statuses: str) -> list[Any]:
    return [{"task_id": number, "status": status} for number, status in enumerate(statuses, start=1)]


class TestTasksNeeded:
    @pytest.mark.parametrize(
        ("complete_when", "needed"), [("all", 3), ("any", 1), (1, 1), (3, 3), ("2", 2), (" 2 ", 2)]
    )
    def test_counts(self, complete_when, needed):
        assert tasks_needed(complete_when, 3) == needed

    @pytest.mark.parametrize(
        "complete_when", ["", "most", "ALL", "4", 4, 0, -1, 1.5, True, None, ["all"], "2.0"], ids=repr
    )
    def test_refuses_everything_else(self, complete_when):
        with pytest.raises(ChatworkParameterError) as caught:
            tasks_needed(complete_when, 3)
        assert caught.value.parameter == "complete_when"
        assert caught.value.value == complete_when
        assert "a number from 1 to 3" in str(caught.value)


class TestIsComplete:
    @pytest.mark.parametrize(
        ("statuses", "complete_when", "complete"),
        [
            (("done", "done"), "all", True),
            (("done", "open"), "all", False),
            (("done", "deleted"), "all", False),
            (("open", "done"), "any", True),
            (("open", "open"), "any", False),
            (("deleted", "deleted"), "any", False),
            (("deleted", "done"), "any", True),
            (("done", "open", "done"), 2, True),
            (("done", "open", "open"), "2", False),
            (("done", "done", "done"), 2, True),
        ],
    )
    def test_needs_enough_of_them(self, statuses, complete_when, complete):
        assert is_complete(states(*statuses), complete_when) is complete


class TestRequireCompletable:
    @pytest.mark.parametrize(
        ("statuses", "complete_when"),
        [
            (("open", "done"), "all"),
            (("open", "deleted"), "any"),
            (("done", "deleted", "open"), 2),
            (("deleted", "done", "deleted"), "1"),
        ],
    )
    def test_continues_a_wait_where_enough_tasks_are_left(self, statuses, complete_when):
        require_completable(ROOM, states(*statuses), complete_when)

    @pytest.mark.parametrize(
        ("statuses", "complete_when", "said"),
        [
            (("deleted",), "all", f"task 1 of room {ROOM} was deleted, or the account of the token is not in the room"),
            (("done", "deleted"), "all", f"task 2 of room {ROOM} was deleted, or"),
            (("deleted", "deleted"), "any", f"tasks 1, 2 of room {ROOM} were deleted, or.*; 1 of 2 tasks cannot be"),
            (("deleted", "open", "deleted"), 2, f"tasks 1, 3 of room {ROOM} were deleted, or.*; 2 of 3 tasks cannot"),
            (("deleted", "open", "done"), 3, f"task 1 of room {ROOM} was deleted"),
        ],
    )
    def test_names_the_deleted_tasks_where_too_few_are_left(self, statuses, complete_when, said):
        with pytest.raises(ChatworkNotFoundError, match=said) as caught:
            require_completable(ROOM, states(*statuses), complete_when)
        assert caught.value.status == 404
        assert ("cannot be done any more" in str(caught.value)) == (complete_when in ("any", 2))


class TestTaskState:
    def test_has_only_the_id_of_a_deleted_task(self):
        gone = {"task_id": 7, "status": "deleted", "account_id": 0, "account_name": "", "message_id": ""}
        assert task_state(7, None) == gone

    def test_accepts_an_account_without_a_name(self):
        task: Any = {"task_id": 7, "status": "open", "account": {"account_id": 70}, "message_id": "9"}
        open_ = {"task_id": 7, "status": "open", "account_id": 70, "account_name": "", "message_id": "9"}
        assert task_state(7, task) == open_


class TestPollTasks:
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return Sandbox(limits=Limits.off())

    def poll(self, sandbox: Sandbox, *task_ids: int) -> list[Any]:
        client = Client(Settings(token=sandbox.token, max_wait=0), sandbox.handle)
        return client.run_flow(poll_tasks(ROOM, task_ids))

    def test_returns_assignee_and_status_of_each_task(self, sandbox):
        [first, second] = sandbox.create_task(ROOM, company.BOT, [company.SATO, company.YAMADA], "確認")
        sandbox.complete_task(ROOM, second)
        message_id = next(task["message_id"] for task in sandbox.tasks(ROOM) if task["task_id"] == first)
        assert self.poll(sandbox, second, first) == [
            {
                "task_id": second,
                "status": "done",
                "account_id": company.YAMADA,
                "account_name": "山田 太郎",
                "message_id": message_id,
            },
            {
                "task_id": first,
                "status": "open",
                "account_id": company.SATO,
                "account_name": "佐藤 花子",
                "message_id": message_id,
            },
        ]

    @pytest.mark.parametrize(
        ("count", "operations"), [(1, ["get_task"]), (2, ["get_task"] * 2), (3, ["list_tasks"] * 2)]
    )
    def test_sends_two_requests_for_many_tasks_of_a_small_room(self, count, operations, sandbox):
        task_ids = [sandbox.create_task(ROOM, company.BOT, [company.SATO], str(index))[0] for index in range(count)]
        sandbox.complete_task(ROOM, task_ids[0])
        assert [state["status"] for state in self.poll(sandbox, *task_ids)] == ["done", *["open"] * (count - 1)]
        assert [request.operation for request in sandbox.requests] == operations

    def test_does_not_count_tasks_as_done_that_a_full_list_does_not_contain(self, sandbox):
        mine = sandbox.create_task(ROOM, company.BOT, [company.SATO, company.YAMADA, company.TAKAHASHI], "mine")
        sandbox.complete_task(ROOM, mine[1])
        for index in range(70):
            others = sandbox.create_task(ROOM, company.YAMADA, [company.SATO, company.TAKAHASHI], f"later {index}")
            if index % 2:
                for task_id in others:
                    sandbox.complete_task(ROOM, task_id)
        for _ in range(40):
            for task_id in sandbox.create_task(ROOM, company.YAMADA, [company.SATO, company.TAKAHASHI], "and later"):
                sandbox.complete_task(ROOM, task_id)
        seen = {task["task_id"] for status in ("open", "done") for task in self.listed(sandbox, status)}
        assert not set(mine) <= seen, "the lists show all of them, so that nothing is tested here"
        assert [state["status"] for state in self.poll(sandbox, *mine)] == ["open", "done", "open"]

    def listed(self, sandbox: Sandbox, status: str) -> list[Any]:
        from airflow_provider_chatwork.api.tasks import list_tasks

        return Client(Settings(token=sandbox.token), sandbox.handle).run(list_tasks(ROOM, status=status))

    def test_sees_a_task_that_is_ticked_between_its_two_questions(self, sandbox):
        task_ids = sandbox.create_task(ROOM, company.BOT, [company.SATO, company.YAMADA, company.TAKAHASHI], "確認")
        client = Client(Settings(token=sandbox.token), sandbox.handle)
        steps = poll_tasks(ROOM, task_ids)
        first = client.run(next(steps))
        sandbox.complete_task(ROOM, task_ids[0])
        second = client.run(steps.send(first))
        with pytest.raises(StopIteration) as end:
            steps.send(second)
        assert [state["status"] for state in end.value.value] == ["done", "open", "open"]

    @pytest.mark.parametrize("count", [1, 3])
    def test_shows_that_a_task_was_deleted(self, count, sandbox):
        task_ids = [sandbox.create_task(ROOM, company.BOT, [company.SATO], str(index))[0] for index in range(count)]
        sandbox.delete_task(ROOM, task_ids[0])
        found = self.poll(sandbox, *task_ids)
        assert [state["status"] for state in found] == ["deleted"] + ["open"] * (count - 1)
        assert [state["task_id"] for state in found] == task_ids

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_does_not_say_so_of_what_one_answer_did_not_know(self, count, sandbox):
        task_ids = [sandbox.create_task(ROOM, company.BOT, [company.SATO], str(index))[0] for index in range(count)]
        # The lists of tasks are behind as well.
        sandbox.add_fault(Fault("malformed", operation="list_tasks", body=[], times=None))
        sandbox.add_fault(Fault("status", status=404, path=f"/rooms/{ROOM}/tasks/{task_ids[0]}"))
        assert [state["status"] for state in self.poll(sandbox, *task_ids)] == ["open"] * count

    def test_repeats_only_the_requests_for_missing_tasks(self, sandbox):
        task_ids = [sandbox.create_task(ROOM, company.BOT, [company.SATO], str(index))[0] for index in range(2)]
        sandbox.delete_task(ROOM, task_ids[0])
        self.poll(sandbox, *task_ids)
        asked = [request.path for request in sandbox.requests]
        assert asked == [f"/rooms/{ROOM}/tasks/{task_ids[index]}" for index in (0, 1, 0)]

    def test_counts_a_task_that_the_free_plan_hides_as_deleted(self):
        steps = poll_tasks(ROOM, [5])
        next(steps)
        steps.throw(ChatworkNotFoundError("get_task", 404, ["Task not found"], True))
        with pytest.raises(StopIteration) as end:
            steps.throw(ChatworkNotFoundError("get_task", 404, ["Task not found"], True))
        assert [state["status"] for state in end.value.value] == ["deleted"]

    @pytest.mark.parametrize("count", [1, 3])
    def test_passes_on_that_the_room_is_lost(self, count, sandbox):
        task_ids = [sandbox.create_task(ROOM, company.BOT, [company.SATO], str(index))[0] for index in range(count)]
        sandbox.remove_member(ROOM, company.BOT)
        with pytest.raises(ChatworkForbiddenError):
            self.poll(sandbox, *task_ids)

    def test_passes_every_other_error_on(self, sandbox):
        [task_id] = sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")
        sandbox.add_fault(Fault("status", status=503))
        with pytest.raises(ChatworkServerError):
            self.poll(sandbox, task_id)
