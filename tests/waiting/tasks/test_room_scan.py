from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import (
    ChatworkApiError,
    ChatworkAuthError,
    ChatworkForbiddenError,
    ChatworkNotFoundError,
    ChatworkServerError,
    ChatworkUnexpectedResponseError,
)
from airflow_provider_chatwork.client import Client
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.sandbox import Fault, Limits, Sandbox, company
from airflow_provider_chatwork.waiting.tasks.room_scan import (
    MAX_REQUESTS,
    READS_PER_ROTATION,
    RoomTaskScanner,
    read_each,
)
from airflow_provider_chatwork.waiting.tasks.task_cache import MAX_FAILURES

ROOM = company.DATA_ROOM
BOT, SATO, YAMADA, TAKAHASHI = company.BOT, company.SATO, company.YAMADA, company.TAKAHASHI
RECHECK_EVERY = 10


class Room:
    """A room of the sandbox, and a scanner of its tasks."""

    def __init__(self) -> None:
        self.sandbox = Sandbox(limits=Limits.off())
        #: Changes responses.
        self.change_response: Callable[[Response], Response] = lambda answer: answer
        self.client = Client(Settings(self.sandbox.token, max_wait=0), self._send)
        self.scanner = RoomTaskScanner(ROOM)

    def _send(self, request: HttpRequest) -> Response:
        return self.change_response(self.sandbox.handle(request))

    def people(self, count: int) -> list[int]:
        found = self.sandbox.seed({"accounts": [{"name": f"p{number}"} for number in range(count)]})["accounts"]
        for account_id in found:
            self.sandbox.store.rooms[ROOM].roles[account_id] = "member"
        return list(found)

    def create_tasks(self, *people: int, by: int = BOT, done: bool = False) -> list[int]:
        tasks = self.sandbox.create_task(ROOM, by, [*people], "確認")
        if done:
            self.complete(*tasks)
        return tasks

    def add_tasks(self, *people: int, by: int = BOT) -> list[int]:
        tasks = self.create_tasks(*people, by=by)
        for task_id in tasks:
            self.scanner.add(task_id)
        return tasks

    def fill(self, count: int = 100, *, to: int = YAMADA, by: int = TAKAHASHI, done: bool = False) -> None:
        """Create tasks of others, which hide older ones."""
        for _ in range(count):
            self.create_tasks(to, by=by, done=done)

    def complete(self, *task_ids: int) -> None:
        for task_id in task_ids:
            self.sandbox.complete_task(ROOM, task_id)

    def delete(self, *task_ids: int) -> None:
        for task_id in task_ids:
            self.sandbox.delete_task(ROOM, task_id)

    def scan(self, *completing: Sequence[int], full: bool = True) -> list[str]:
        """Scan once; return what was requested: ``open``, ``open to``, ``open to by``, ``done``, ``read`` ..."""
        before = len(self.sandbox.requests)
        self.client.run_flow(self.scanner.scan(lambda: completing, full=full))
        return [_short(record) for record in self.sandbox.requests[before:]]

    def scan_rest(self, *completing: Sequence[int]) -> list[str]:
        """Scan what the last scan has left; return what was requested."""
        return self.scan(*completing, full=False)

    def fail(self, status: int = 503, **arguments: Any) -> None:
        """Let requests fail, as many as ``times`` says."""
        self.sandbox.add_fault(Fault("status", status=status, **arguments))

    def fail_read(self, task_id: int, status: int = 503, times: int | None = None) -> None:
        """Let reads of a task fail."""
        self.fail(status, path=f"/rooms/{ROOM}/tasks/{task_id}", times=times)

    def scan_until_finished(self, *completing: Sequence[int], at_most: int = 30) -> int:
        for count in range(1, at_most + 1):
            self.scan(*completing, full=count == 1)
            if not self.scanner.has_rest:
                return count
        raise AssertionError("the scan does not end")

    def status(self, *task_ids: int) -> list[str | None]:
        tasks, deleted = self.scanner.tasks, self.scanner.deleted
        return [
            "deleted" if task_id in deleted else tasks[task_id]["status"] if task_id in tasks else None
            for task_id in task_ids
        ]

    def changed(self) -> set[int]:
        found = {*self.scanner.changed}
        self.scanner.changed.clear()
        return found


def _short(record: Any) -> str:
    if record.operation == "get_task":
        return "read"
    assert record.operation == "list_tasks"
    short = {"status": record.query["status"], "account_id": "to", "assigned_by_account_id": "by"}
    return " ".join(short[name] for name in ("status", "account_id", "assigned_by_account_id") if name in record.query)


@pytest.fixture
def room() -> Room:
    return Room()


class TestScan:
    def test_sends_nothing_without_tasks(self, room):
        room.create_tasks(SATO)
        assert room.scan() == []

    def test_reads_a_single_task(self, room):
        [task_id] = room.add_tasks(SATO)
        assert room.scan() == ["read"]
        room.complete(task_id)
        assert room.scan() == ["read"]
        assert room.status(task_id) == ["done"]

    @pytest.mark.parametrize("count", [2, 3, 99])
    def test_reads_all_open_tasks_with_one_list(self, count, room):
        tasks = [task_id for _ in range(count) for task_id in room.add_tasks(SATO)]
        assert room.scan() == ["open"]
        assert room.status(*tasks) == ["open"] * count
        assert room.scan() == ["open"]

    @pytest.mark.parametrize(("ticked", "more"), [(1, ["read"]), (2, ["read"] * 2), (3, ["done"]), (50, ["done"])])
    def test_reads_changed_tasks_one_by_one_or_with_one_list(self, ticked, more, room):
        tasks = [task_id for _ in range(60) for task_id in room.add_tasks(SATO)]
        room.scan()
        room.changed()
        room.complete(*tasks[:ticked])
        assert room.scan() == ["open", *more]
        assert room.status(*tasks) == ["done"] * ticked + ["open"] * (60 - ticked)
        assert room.changed() == {*tasks[:ticked]}
        assert room.scan() == ["open"]
        assert room.changed() == set()

    def test_sees_that_a_done_task_was_opened_again(self, room):
        first, *others = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.complete(first)
        room.scan()
        room.sandbox.reopen_task(ROOM, first)
        room.changed()
        assert room.scan() == ["open"]
        assert room.status(first, *others) == ["open"] * 3
        assert room.changed() == {first}

    @pytest.mark.parametrize("others", [0, 1, 2])
    def test_sees_that_an_open_task_was_deleted(self, others, room):
        task_id, *_ = [task_id for _ in range(1 + others) for task_id in room.add_tasks(SATO)]
        room.scan()
        room.delete(task_id)
        room.changed()
        room.scan()
        assert room.status(task_id) == ["open"]
        assert room.scanner.has_rest
        assert room.scan_rest() == ["read"]
        assert room.status(task_id) == ["deleted"]
        assert room.changed() == {task_id}
        assert not room.scanner.has_rest

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("others", [0, 2])
    def test_does_not_call_a_task_deleted_after_one_404(self, others, known, room):
        task_id, *_ = [task_id for _ in range(1 + others) for task_id in room.add_tasks(SATO)]
        if known:
            room.scan()
        room.complete(task_id)
        room.fail_read(task_id, 404, times=1)
        room.scan()
        assert room.scanner.not_covered == {task_id}
        assert room.status(task_id) == ["open" if known else None]
        assert room.scan_rest() == ["read"]
        assert room.status(task_id) == ["done"]
        assert not room.scanner.not_covered

    def test_a_successful_read_resets_the_count_of_404(self, room):
        [task_id] = room.add_tasks(SATO)
        for _ in range(3):
            room.fail_read(task_id, 404, times=1)
            room.scan()
            assert room.status(task_id) != ["deleted"]
            room.scan()
            assert room.status(task_id) == ["open"]

    def test_does_not_read_deleted_tasks_again(self, room):
        first, second, *_ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.delete(first, second)
        assert room.scan() == ["open", "read", "read"]
        assert room.scan_rest() == ["read", "read"]
        assert room.scan() == ["read"]
        assert room.status(first, second) == ["deleted"] * 2

    @pytest.mark.parametrize("doing", ["delete", "untick"])
    def test_rechecks_done_tasks_every_ten_scans(self, doing, room):
        first, *_ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.complete(first)
        room.scan()
        act = room.sandbox.delete_task if doing == "delete" else room.sandbox.reopen_task
        act(ROOM, first)
        for _ in range(RECHECK_EVERY - 1):
            room.scan()
        if doing == "delete":
            assert room.scanner.has_rest
            assert room.scan_rest() == ["read"]
        assert room.status(first) == ["deleted" if doing == "delete" else "open"]

    def test_rechecks_hidden_done_tasks_in_rotation(self, room):
        tasks = [task_id for _ in range(70) for task_id in room.add_tasks(SATO)]
        room.scan()
        room.complete(*tasks[:69])
        room.scan()
        room.fill(100, to=SATO, by=BOT, done=True)
        room.delete(tasks[68], tasks[0])
        for _ in range(4 * RECHECK_EVERY):
            assert len(room.scan()) <= MAX_REQUESTS
        assert room.status(tasks[68], tasks[0]) == ["deleted"] * 2

    def test_notices_a_new_assignee_and_a_new_text(self, room):
        task_id, *_ = room.add_tasks(SATO, YAMADA)
        room.scan()
        room.changed()
        room.sandbox.store.rooms[ROOM].tasks[task_id].body = "別件"
        assert room.scan() == ["open"]
        assert room.changed() == {task_id}
        room.sandbox.store.rooms[ROOM].tasks[task_id].account_id = TAKAHASHI
        assert room.scan() == ["open"]
        assert room.scanner.tasks[task_id]["account"]["account_id"] == TAKAHASHI

    def test_raises_where_the_room_is_lost(self, room):
        room.add_tasks(SATO, YAMADA)
        room.sandbox.remove_member(ROOM, BOT)
        with pytest.raises(ChatworkForbiddenError):
            room.scan()

    def test_raises_a_transient_error_and_keeps_the_tasks(self, room):
        first, second = room.add_tasks(SATO, YAMADA)
        room.scan()
        room.complete(first)
        room.fail(operation="list_tasks")
        with pytest.raises(ChatworkServerError):
            room.scan()
        assert room.status(first, second) == ["open", "open"]
        room.scan()
        assert room.status(first, second) == ["done", "open"]

    def test_stops_where_the_room_cannot_be_listed(self, room):
        first, *_ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.complete(first)
        room.scan()
        room.fail(operation="list_tasks")
        before = len(room.sandbox.requests)
        with pytest.raises(ChatworkServerError):
            room.scan([first])
        assert len(room.sandbox.requests) == before + 1

    def test_raises_where_each_request_has_failed(self, room):
        [task_id] = room.add_tasks(SATO)
        room.fail_read(task_id, times=1)
        with pytest.raises(ChatworkServerError):
            room.scan()
        room.scan()
        assert room.status(task_id) == ["open"]

    def test_does_not_read_a_lost_body_as_an_empty_list(self, room):
        room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.scan()
        room.sandbox.add_fault(Fault("malformed", shape="empty"))
        with pytest.raises(ChatworkUnexpectedResponseError):
            room.scan()

    def test_works_without_the_assigner(self, room):
        def change_response(answer: Response) -> Response:
            body = json.loads(answer.body)
            for task in body if isinstance(body, list) else [body]:
                del task["assigned_by_account"]
            return Response(answer.status, answer.headers, json.dumps(body).encode())

        room.change_response = change_response
        tasks = [*room.add_tasks(SATO, SATO), *room.add_tasks(SATO)]
        room.fill(to=SATO, by=BOT)
        room.scan_until_finished()
        room.complete(tasks[0])
        for _ in range(3):
            room.scan()
        assert room.status(*tasks) == ["done", "open", "open"]

    def test_uses_a_list_of_more_than_100_tasks(self, room):
        tasks = [task_id for _ in range(150) for task_id in room.add_tasks(SATO)]
        pages: list[Response] = []

        def longer(answer: Response) -> Response:
            if len(json.loads(answer.body)) == 100:
                body = [task for task in room.sandbox.tasks(ROOM) if task["status"] == "open"]
                pages.append(Response(answer.status, answer.headers, json.dumps(body).encode()))
                return pages[-1]
            return answer

        room.change_response = longer
        assert room.scan() == ["open"]
        assert room.status(*tasks) == ["open"] * 150
        room.complete(tasks[7])
        room.scan()
        assert pages[1:]
        assert room.status(tasks[7]) == ["done"]


class TestFullLists:
    """In a room with more tasks than a list contains."""

    def test_lists_by_assignee(self, room):
        tasks = [*room.add_tasks(SATO), *room.add_tasks(SATO), *room.add_tasks(TAKAHASHI), *room.add_tasks(TAKAHASHI)]
        room.fill()
        room.scan_until_finished()
        assert room.scan() == ["open to", "open to"]
        assert room.status(*tasks) == ["open"] * 4

    def test_lists_by_assigner_what_lists_by_assignee_hide(self, room):
        tasks = [*room.add_tasks(SATO), *room.add_tasks(SATO)]
        room.fill(to=SATO)
        room.scan_until_finished()
        assert room.scan() == ["open to", "open to by"]
        assert room.status(*tasks) == ["open"] * 2

    def test_reads_tasks_that_no_list_contains(self, room):
        tasks = [*room.add_tasks(SATO), *room.add_tasks(SATO)]
        room.fill(to=SATO, by=BOT)
        room.scan_until_finished()
        assert room.scan() == ["open to", "open to by", "read", "read"]
        assert room.status(*tasks) == ["open"] * 2

    def test_reads_the_only_task_of_an_assignee(self, room):
        room.add_tasks(SATO, TAKAHASHI)
        room.fill()
        room.scan_until_finished()
        assert room.scan() == ["read", "read"]

    def test_uses_the_assignees_it_was_given(self, room):
        for _ in range(3):
            for task_id in room.create_tasks(SATO):
                room.scanner.add(task_id, SATO)
        room.fill()
        assert room.scan() == ["open", "open to"]

    @pytest.mark.parametrize("account_id", [YAMADA, 987_654])
    def test_does_not_rely_on_the_assignees_it_was_given(self, account_id, room):
        tasks = [*room.create_tasks(SATO), *room.create_tasks(SATO), *room.create_tasks(SATO)]
        for task_id in tasks:
            room.scanner.add(task_id, account_id)
        room.fill()
        room.scan_until_finished()
        assert room.status(*tasks) == ["open"] * 3

    def test_does_not_call_a_task_done_that_a_full_list_lacks(self, room):
        tasks = [*room.add_tasks(SATO, TAKAHASHI), *room.add_tasks(SATO, TAKAHASHI), *room.add_tasks(SATO)]
        room.scan()
        room.fill(to=SATO, by=BOT)
        room.fill()
        room.fill(done=True)
        for _ in range(2 * RECHECK_EVERY):
            room.scan()
            assert room.status(*tasks) == ["open"] * 5

    @pytest.mark.parametrize("hidden", [True, False])
    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_sees_what_was_done(self, count, hidden, room):
        tasks = [task_id for _ in range(8) for task_id in room.add_tasks(SATO)]
        room.fill()
        room.scan_until_finished()
        room.complete(*tasks[:count])
        if hidden:
            room.fill(done=True)
            room.fill(done=True, to=SATO)
        room.scan()
        assert room.status(*tasks) == ["done"] * count + ["open"] * (8 - count)

    def test_reads_ten_tasks_of_the_rotation_the_oldest_first(self, room):
        tasks = [task_id for _ in range(25) for task_id in room.add_tasks(SATO)]
        room.fill(to=SATO, by=BOT)
        room.scan_until_finished()
        room.complete(*tasks)
        # Only a read finds it, as done tasks are not listed for a task that is not known to be done.
        for number in range(1, 4):
            assert room.scan() == [
                "open to",
                "open to by",
                *["read"] * min(READS_PER_ROTATION, 25 - (number - 1) * READS_PER_ROTATION),
            ]
            assert room.status(*tasks).count("done") == min(25, number * READS_PER_ROTATION)

    def test_rotates_through_hidden_tasks(self, room):
        tasks = [task_id for _ in range(40) for task_id in room.add_tasks(SATO)]
        room.fill(to=SATO, by=BOT)
        room.scan_until_finished()
        for _ in range(2):
            before = len(room.sandbox.requests)
            for _ in range(4):
                room.scan()
            read = [record.path for record in room.sandbox.requests[before:] if record.operation == "get_task"]
            assert sorted(read) == sorted(f"/rooms/{ROOM}/tasks/{task_id}" for task_id in tasks)

    def test_rotates_through_assignees(self, room):
        people = room.people(40)
        tasks = [task_id for _ in range(2) for task_id in room.add_tasks(*people)]
        room.fill()
        room.scan_until_finished()
        seen: set[int] = set()
        for _ in range(3):
            room.scan()
            seen |= {task_id for task_id in tasks if room.scanner.is_current(task_id)}
        assert seen == {*tasks}

    def test_has_a_rest_where_unknown_tasks_are_left(self, room):
        tasks = [task_id for _ in range(70) for task_id in room.add_tasks(SATO)]
        room.fill(to=SATO, by=BOT)
        assert len(room.scan()) == MAX_REQUESTS
        assert room.scanner.has_rest
        assert room.scan_until_finished() <= 3
        assert room.status(*tasks) == ["open"] * 70
        assert not room.scanner.has_rest

    def test_lists_without_a_filter_again_where_the_room_has_become_small(self, room):
        tasks = [*room.add_tasks(SATO), *room.add_tasks(SATO), *room.add_tasks(TAKAHASHI), *room.add_tasks(TAKAHASHI)]
        room.fill()
        room.scan_until_finished()
        others = [task["task_id"] for task in room.sandbox.tasks(ROOM) if task["task_id"] not in tasks]
        for task_id in others:
            room.sandbox.delete_task(ROOM, task_id)
        for _ in range(RECHECK_EVERY):
            room.scan()
        assert room.scan() == ["open"]

    def test_lists_without_a_filter_where_only_few_are_hidden(self, room):
        hidden = room.add_tasks(SATO)
        room.fill(60)
        people = room.people(30)
        shown = [task_id for _ in range(2) for person in people for task_id in room.add_tasks(person)]
        room.scan_until_finished()
        for _ in range(2 * RECHECK_EVERY):
            assert len(room.scan()) <= 2
        assert room.status(*hidden, *shown) == ["open"] * 61

    @pytest.mark.parametrize("ticked", [1, 2, 9])
    def test_finds_done_tasks_of_one_assignee_with_very_many(self, ticked, room):
        # More people than a scan has requests.
        people = room.people(50)
        tasks = [task_id for _ in range(3) for person in people for task_id in room.add_tasks(person)]
        room.fill()
        room.scan_until_finished()
        room.complete(*tasks[:ticked])
        for _ in range(4):
            assert len(room.scan()) <= MAX_REQUESTS + 1
        assert room.status(*tasks[:ticked]) == ["done"] * ticked
        room.scan_until_finished()

    def test_finds_that_very_many_tasks_were_deleted(self, room):
        people = room.people(50)
        tasks = [task_id for _ in range(3) for person in people for task_id in room.add_tasks(person)]
        room.fill()
        room.fill(done=True)
        room.scan_until_finished()
        room.delete(*tasks)
        assert room.scan_until_finished() < 30
        for _ in range(20):
            room.scan()
        assert room.status(*tasks) == ["deleted"] * 150

    @pytest.mark.parametrize("hidden", [False, True])
    def test_sends_at_most_about_thirty_requests(self, hidden, room):
        people = room.people(40)
        tasks = [task_id for _ in range(10) for person in people for task_id in room.add_tasks(person)]
        if hidden:
            for person in people[:3]:
                room.fill(to=person, by=BOT)
        room.fill()
        for _ in range(40):
            assert len(room.scan()) <= MAX_REQUESTS + 1
        assert room.status(*tasks) == ["open"] * 400
        room.complete(*tasks)
        room.fill(done=True)
        for _ in range(60):
            assert len(room.scan()) <= MAX_REQUESTS + 1
        assert room.status(*tasks) == ["done"] * 400

    def test_has_a_rest_where_not_all_changed_tasks_were_read(self, room):
        tasks = [task_id for _ in range(60) for task_id in room.add_tasks(SATO)]
        room.scan()
        room.fill(to=TAKAHASHI)
        known = [*room.add_tasks(TAKAHASHI), *room.add_tasks(TAKAHASHI)]
        room.fill(to=TAKAHASHI, by=BOT)
        room.scan_until_finished()
        room.delete(*tasks)
        assert len(room.scan()) <= MAX_REQUESTS + 1
        assert room.scanner.has_rest
        assert room.scan_until_finished() < 10
        assert room.status(*tasks, *known) == ["deleted"] * 60 + ["open"] * 2


class TestScanningTheRest:
    """A scan of the rest requests nothing that the last scan has read."""

    def hide(self, room: Room, count: int) -> list[int]:
        tasks = [task_id for _ in range(count) for task_id in room.add_tasks(SATO)]
        room.fill(to=SATO, by=BOT)
        room.scan_until_finished()
        return tasks

    def test_reads_all_hidden_tasks_without_listing_again(self, room):
        tasks = self.hide(room, 35)
        room.complete(*tasks)
        assert room.scan() == ["open to", "open to by", *["read"] * READS_PER_ROTATION]
        assert not room.scanner.has_rest
        for left in (25, 15, 5):
            assert room.scanner.rotation_size == len(room.scanner.not_covered) == left
            assert room.scan_rest() == ["read"] * min(left, READS_PER_ROTATION)
        assert room.scanner.rotation_size == 0
        assert not room.scanner.not_covered
        assert room.status(*tasks) == ["done"] * 35
        assert room.scan_rest() == []

    def test_lists_tasks_that_the_scan_before_did_not_come_to(self, room):
        people = room.people(40)
        tasks = [task_id for _ in range(3) for task_id in room.add_tasks(*people)]
        room.fill()
        room.scan_until_finished()
        while room.scanner.rotation_size:
            assert room.scan_rest()
        room.scan()
        room.complete(*tasks)
        asked: list[str] = []
        while room.scanner.rotation_size or room.scanner.has_rest:
            asked += room.scan_rest()
        assert asked.count("open to") >= 10
        assert {*room.status(*tasks)} == {"open", "done"}

    def test_leaves_out_tasks_that_were_removed(self, room):
        tasks = self.hide(room, 25)
        room.scan()
        for task_id in tasks:
            room.scanner.remove(task_id)
        assert room.scan_rest() == []
        assert room.scanner.rotation_size == 0

    def test_reads_the_tasks_that_complete_a_wait(self, room):
        tasks = self.hide(room, 15)
        first, second = tasks[:2]
        room.complete(first, second)
        for _ in range(2):
            room.scan()
        room.scan_rest([first, second])
        assert all(map(room.scanner.is_current, (first, second)))


class TestFailedRequests:
    """A failed request concerns only its tasks."""

    @pytest.mark.parametrize("fault", [{"status": 503}, {"kind": "malformed"}, {"kind": "lost_reply"}])
    def test_leave_a_single_task_for_the_next_scan(self, fault, room):
        broken, other, *_ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.scan()
        room.changed()
        room.complete(broken, other)
        path = f"/rooms/{ROOM}/tasks/{broken}"
        room.sandbox.add_fault(Fault(**{"kind": "status", "path": path, "times": 2, **fault}))
        assert room.scan() == ["open", "read", "read"]
        assert room.status(broken, other) == ["open", "done"]
        assert room.changed() == {other}
        assert room.scanner.unanswered == room.scanner.not_covered == {broken}
        assert room.scanner.error is not None
        # Not at once, as nobody knows when it will work again.
        assert not room.scanner.has_rest
        assert room.scan_rest() == ["read"]
        assert room.scanner.unanswered == {broken}
        assert room.scan_rest() == ["read"]
        assert room.status(broken) == ["done"]
        assert room.scanner.error is None
        assert not room.scanner.not_covered

    def test_of_a_filtered_list_do_not_stop_single_reads(self, room):
        tasks = [*room.add_tasks(SATO, TAKAHASHI), *room.add_tasks(SATO, TAKAHASHI)]
        room.fill()
        room.scan_until_finished()
        room.complete(*tasks)
        room.fail(operation="list_tasks")
        assert room.scan() == ["open to", "open to", "read", "read", "read", "read"]
        assert room.status(*tasks) == ["done"] * 4
        assert not room.scanner.unanswered

    def test_do_not_stop_the_rotation(self, room):
        bad = [task_id for _ in range(MAX_FAILURES) for task_id in room.add_tasks(SATO)]
        good = [task_id for _ in range(3) for task_id in room.add_tasks(SATO)]
        room.fill(to=SATO, by=BOT)
        room.scan_until_finished()
        for task_id in bad:
            room.fail_read(task_id)
        room.complete(*good)
        for _ in range(4):
            room.scan()
            room.scan_rest()
        assert room.status(*good) == ["done"] * 3

    def test_of_the_list_of_done_tasks_do_not_stop_single_reads(self, room):
        tasks = [task_id for _ in range(9) for task_id in room.add_tasks(SATO)]
        room.scan()
        room.complete(*tasks[:5])
        room.fail(operation="list_tasks", after=1)
        assert room.scan() == ["open", "done", *["read"] * 5]
        assert not room.scanner.unanswered
        assert room.status(*tasks) == ["done"] * 5 + ["open"] * 4

    @pytest.mark.parametrize(("status", "asked"), [(503, MAX_FAILURES), (429, 1)])
    def test_end_the_scan_where_there_are_many(self, status, asked, room):
        people = room.people(8)
        tasks = [task_id for _ in range(2) for task_id in room.add_tasks(*people)]
        room.fill()
        room.scan_until_finished()
        room.complete(tasks[7])
        room.fail(status, operation="list_tasks", after=1, times=None)
        assert room.scan() == ["open to"] * (1 + asked)
        assert len(room.scanner.unanswered) == 14
        room.sandbox.clear_faults()
        room.scan_rest()
        assert not room.scanner.not_covered
        assert room.status(*tasks) == ["open"] * 7 + ["done"] + ["open"] * 8

    def test_do_not_stop_the_scan_of_the_rest(self, room):
        tasks = [task_id for _ in range(60) for task_id in room.add_tasks(SATO)]
        room.scan()
        room.delete(*tasks)
        room.fail_read(tasks[0])
        assert len(room.scan()) == MAX_REQUESTS
        assert room.scanner.has_rest
        assert room.scan_until_finished() < 10
        assert room.status(*tasks) == ["open"] + ["deleted"] * 59
        assert room.scanner.not_covered == {tasks[0]}

    def test_do_not_complete_a_wait(self, room):
        first, second, _ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.complete(first)
        room.scan()
        room.fail_read(first)
        room.complete(second)
        assert room.scan([first, second]) == ["open", "read", "read"]
        assert not room.scanner.is_current(first)
        assert room.scanner.failed_for([first])
        assert not room.scanner.failed_for([second])
        assert not room.scanner.has_rest

    @pytest.mark.parametrize("status", [400, 403, 405])
    def test_that_are_permanent_refuse_a_single_task(self, status, room):
        broken, other, *_ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.scan()
        room.complete(broken, other)
        room.fail_read(broken, status, times=1)
        room.scan()
        assert room.status(broken, other) == ["open", "done"]
        assert [error.status for error in room.scanner.refused.values()] == [status]
        assert room.scanner.refused.keys() == room.scanner.not_covered == {broken}
        assert room.scanner.error is None
        assert not room.scanner.has_rest
        with pytest.raises(ChatworkApiError, match=str(status)):
            room.scanner.raise_refusals()
        room.scan()
        room.scanner.raise_refusals()
        assert room.status(broken) == ["done"]

    def test_that_are_permanent_refuse_an_unknown_task_until_the_next_scan(self, room):
        broken, *_ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.scan()
        room.complete(broken)
        room.fail_read(broken, 404, times=1)
        room.scan()
        assert room.scanner.has_rest
        room.fail_read(broken, 403)
        assert room.scan_rest() == ["read"]
        assert room.scanner.refused.keys() == {broken}
        assert not room.scanner.has_rest

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_that_are_permanent_in_a_filtered_list_do_not_stop_single_reads(self, status, room):
        tasks = [*room.add_tasks(SATO, TAKAHASHI), *room.add_tasks(SATO, TAKAHASHI)]
        room.fill()
        room.scan_until_finished()
        room.complete(tasks[0])
        room.fail(status, operation="list_tasks")
        assert sorted(room.scan()) == ["open to", "open to", "read", "read"]
        assert room.status(*tasks) == ["done"] + ["open"] * 3
        assert not room.scanner.refused

    @pytest.mark.parametrize("operation", ["get_task", "list_tasks"])
    def test_raise_where_the_token_is_revoked(self, operation, room):
        first, *_ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.scan()
        room.complete(first)
        room.fail(401, operation=operation)
        with pytest.raises(ChatworkAuthError):
            room.scan()

    def test_raise_where_another_server_answers(self, room):
        first, *_ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.scan()
        room.complete(first)
        room.fail(302, operation="get_task")
        with pytest.raises(ChatworkUnexpectedResponseError):
            room.scan()


class TestCompleting:
    """Done tasks that complete a wait are read, if the scan has not read them."""

    def test_reads_what_this_scan_has_not_read(self, room):
        first, second, third = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.complete(first)
        room.scan()
        room.complete(second)
        assert room.scan([first, second]) == ["open", "read", "read"]
        assert all(map(room.scanner.is_current, (first, second, third)))

    def test_sends_nothing_for_what_this_scan_has_read(self, room):
        first, second, _ = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.complete(first, second)
        assert room.scan([first, second]) == ["open", "read", "read"]

    def test_reads_many_tasks_with_one_list(self, room):
        tasks = [task_id for _ in range(40) for task_id in room.add_tasks(SATO)]
        room.complete(*tasks[:20])
        room.scan()
        room.complete(*tasks[20:])
        assert room.scan(tasks) == ["open", "done"]
        assert all(map(room.scanner.is_current, tasks))

    def test_reads_many_tasks_that_were_done_long_ago_with_one_list(self, room):
        *tasks, last = [task_id for _ in range(40) for task_id in room.add_tasks(SATO)]
        room.complete(*tasks)
        room.scan()
        room.complete(last)
        assert room.scan([*tasks, last]) == ["read", "done"]
        assert all(map(room.scanner.is_current, [*tasks, last]))

    def test_finds_that_a_task_was_opened_again_or_deleted_meanwhile(self, room):
        first, second, third = room.add_tasks(SATO, YAMADA, TAKAHASHI)
        room.complete(first, second)
        room.scan()
        room.delete(first)
        room.complete(third)
        room.sandbox.reopen_task(ROOM, second)
        room.scan([first, second, third])
        assert room.status(second, third) == ["open", "done"]
        assert room.scanner.has_rest
        room.scan_rest()
        assert room.status(first, second, third) == ["deleted", "open", "done"]

    @pytest.mark.parametrize("many", [40, 90])
    def test_reads_all_tasks_of_one_wait_in_one_scan_also_without_lists(self, many, room):
        people = room.people(many)
        tasks = [task_id for person in people for task_id in room.add_tasks(person)]
        room.scan()
        room.complete(*tasks)
        room.scan()
        room.fill(done=True)
        for _ in range(2):
            room.scan(tasks)
            assert all(map(room.scanner.is_current, tasks))

    def test_takes_several_scans_for_several_waits(self, room):
        people = room.people(30)
        waits = [[task_id for person in people for task_id in room.add_tasks(person)] for _ in range(4)]
        room.scan()
        for tasks in waits:
            room.complete(*tasks)
        room.scan()
        for person in people:
            room.fill(to=person, by=BOT, done=True)
        left = [*waits]
        for _ in range(12):
            assert len(room.scan(*left)) <= 2 * MAX_REQUESTS + 1
            ended = [tasks for tasks in left if all(map(room.scanner.is_current, tasks))]
            assert ended
            left = [tasks for tasks in left if tasks not in ended]
            assert room.scanner.has_rest == bool(left)
            if not left:
                break
        assert not left


class TestAdd:
    def test_keeps_the_assignee_it_was_given_before(self, room):
        for _ in range(3):
            for task_id in room.create_tasks(SATO):
                room.scanner.add(task_id, SATO)
                room.scanner.add(task_id)
        room.fill()
        assert room.scan() == ["open", "open to"]

    def test_accepts_an_assignee_later(self, room):
        for _ in range(3):
            for task_id in room.create_tasks(SATO):
                room.scanner.add(task_id)
                room.scanner.add(task_id, SATO)
        room.fill()
        assert room.scan() == ["open", "open to"]


class TestRemove:
    def test_leaves_nothing_of_a_task(self, room):
        first, second = room.add_tasks(SATO, YAMADA)
        room.delete(second)
        room.scan()
        room.scan_rest()
        for task_id in (first, second):
            room.scanner.remove(task_id)
            assert not room.scanner.is_known(task_id)
            assert not room.scanner.is_current(task_id)
        assert room.status(first, second) == [None, None]
        assert room.changed() == set()
        assert room.scan() == []

    @pytest.mark.parametrize("full", [False, True])
    def test_is_possible_during_a_scan(self, full, room):
        tasks = [*room.add_tasks(SATO), *room.add_tasks(SATO), *room.add_tasks(TAKAHASHI), *room.add_tasks(TAKAHASHI)]
        room.scan()
        room.delete(tasks[0])
        room.complete(tasks[1])
        if full:
            room.fill()
        for number in range(1, 8):
            again = RoomTaskScanner(ROOM)
            for task_id in tasks:
                again.add(task_id)
            steps = again.scan(list)
            before = len(room.sandbox.requests)
            room.client.run_flow(_interrupted(steps, number, lambda scanner=again: [*map(scanner.remove, tasks)]))
            assert number > 1 or len(room.sandbox.requests) == before + 1
            assert not again.tasks
            assert not again.deleted
            assert not again.changed


def _interrupted(steps: Any, after: int, act: Callable[[], object]) -> Any:
    """Run the same calls, and ``act`` before the response to one of them."""
    answer: Any = None
    count = 0
    send: Callable[[Any], Any] = steps.send
    while True:
        try:
            call = send(answer)
        except StopIteration:
            if count < after:
                act()
            return
        count += 1
        try:
            answer = yield call
            send = steps.send
        except Exception as error:
            answer, send = error, steps.throw
        if count == after:
            act()


class TestReadEach:
    def test_stores_tasks_and_deletions(self) -> None:
        sandbox = Sandbox(limits=Limits.off())
        first, second = sandbox.create_task(ROOM, BOT, [SATO, YAMADA], "確認")
        task: Any = next(task for task in sandbox.tasks(ROOM) if task["task_id"] == first)
        known = RoomTaskScanner(ROOM)
        calls = read_each(known, [first, second])
        assert [call.operation for call in [next(calls), calls.send(task)]] == ["get_task", "get_task"]
        assert known.tasks == {first: task}
        missing = ChatworkNotFoundError("get_task", 404, ())
        # Chatwork may not return a new task at once.
        assert calls.throw(missing).operation == "get_task"
        assert known.deleted == set()
        with pytest.raises(StopIteration):
            calls.throw(missing)
        assert known.deleted == {second}
