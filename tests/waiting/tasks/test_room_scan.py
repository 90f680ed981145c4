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
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.client import Client
from airflow_provider_chatwork.sandbox import Fault, Limits, Sandbox, company
from airflow_provider_chatwork.waiting.tasks.room_scan import IN_TURN, LONGEST_LOOK, RoomTasks, read_each
from airflow_provider_chatwork.waiting.tasks.task_cache import MOST_FAILURES

ROOM = company.DATA_ROOM
BOT, SATO, YAMADA, TAKAHASHI = company.BOT, company.SATO, company.YAMADA, company.TAKAHASHI
THOROUGH = 10


class Room:
    """A room of the sandbox, and what is known of its tasks."""

    def __init__(self) -> None:
        self.sandbox = Sandbox(limits=Limits.off())
        #: Changes answers on their way.
        self.spoil: Callable[[Response], Response] = lambda answer: answer
        self.client = Client(Settings(self.sandbox.token, max_wait=0), self._send)
        self.tasks = RoomTasks(ROOM)

    def _send(self, request: HttpRequest) -> Response:
        return self.spoil(self.sandbox.handle(request))

    def people(self, count: int) -> list[int]:
        found = self.sandbox.seed({"accounts": [{"name": f"p{number}"} for number in range(count)]})["accounts"]
        for account_id in found:
            self.sandbox.store.rooms[ROOM].roles[account_id] = "member"
        return list(found)

    def assign(self, *people: int, by: int = BOT, done: bool = False) -> list[int]:
        tasks = self.sandbox.create_task(ROOM, by, [*people], "確認")
        if done:
            self.tick(*tasks)
        return tasks

    def want(self, *people: int, by: int = BOT) -> list[int]:
        tasks = self.assign(*people, by=by)
        for task_id in tasks:
            self.tasks.want(task_id)
        return tasks

    def fill(self, count: int = 100, *, to: int = YAMADA, by: int = TAKAHASHI, done: bool = False) -> None:
        """Let others give tasks, which hide what is older."""
        for _ in range(count):
            self.assign(to, by=by, done=done)

    def tick(self, *task_ids: int) -> None:
        for task_id in task_ids:
            self.sandbox.complete_task(ROOM, task_id)

    def delete(self, *task_ids: int) -> None:
        for task_id in task_ids:
            self.sandbox.delete_task(ROOM, task_id)

    def look(self, *ending: Sequence[int], whole: bool = True) -> list[str]:
        """Look once, and tell what was asked for: ``open``, ``open to``, ``open to by``, ``done``, ``read`` ..."""
        before = len(self.sandbox.requests)
        self.client.run_flow(self.tasks.look(lambda: ending, whole=whole))
        return [_short(record) for record in self.sandbox.requests[before:]]

    def go_on(self, *ending: Sequence[int]) -> list[str]:
        """Look at what the last look has left, and tell what was asked for."""
        return self.look(*ending, whole=False)

    def break_down(self, status: int = 503, **arguments: Any) -> None:
        """Let answers fail, with as many of them as ``times`` says."""
        self.sandbox.add_fault(Fault("status", status=status, **arguments))

    def break_read(self, task_id: int, status: int = 503, times: int | None = None) -> None:
        """Let a task not be read."""
        self.break_down(status, path=f"/rooms/{ROOM}/tasks/{task_id}", times=times)

    def look_until_finished(self, *ending: Sequence[int], at_most: int = 30) -> int:
        for count in range(1, at_most + 1):
            self.look(*ending, whole=count == 1)
            if not self.tasks.unfinished:
                return count
        raise AssertionError("there is always something left")

    def status(self, *task_ids: int) -> list[str | None]:
        tasks, deleted = self.tasks.tasks, self.tasks.deleted
        return [
            "deleted" if task_id in deleted else tasks[task_id]["status"] if task_id in tasks else None
            for task_id in task_ids
        ]

    def changed(self) -> set[int]:
        found = {*self.tasks.changed}
        self.tasks.changed.clear()
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


class TestLook:
    def test_asks_nothing_where_nobody_waits(self, room):
        room.assign(SATO)
        assert room.look() == []

    def test_reads_a_single_task(self, room):
        [task_id] = room.want(SATO)
        assert room.look() == ["read"]
        room.tick(task_id)
        assert room.look() == ["read"]
        assert room.status(task_id) == ["done"]

    @pytest.mark.parametrize("count", [2, 3, 99])
    def test_asks_once_for_all_that_are_open(self, count, room):
        tasks = [task_id for _ in range(count) for task_id in room.want(SATO)]
        assert room.look() == ["open"]
        assert room.status(*tasks) == ["open"] * count
        assert room.look() == ["open"]

    @pytest.mark.parametrize(("ticked", "more"), [(1, ["read"]), (2, ["read"] * 2), (3, ["done"]), (50, ["done"])])
    def test_asks_for_what_changed_one_by_one_or_with_one_list(self, ticked, more, room):
        tasks = [task_id for _ in range(60) for task_id in room.want(SATO)]
        room.look()
        room.changed()
        room.tick(*tasks[:ticked])
        assert room.look() == ["open", *more]
        assert room.status(*tasks) == ["done"] * ticked + ["open"] * (60 - ticked)
        assert room.changed() == {*tasks[:ticked]}
        assert room.look() == ["open"]
        assert room.changed() == set()

    def test_sees_that_a_done_task_was_opened_again(self, room):
        first, *others = room.want(SATO, YAMADA, TAKAHASHI)
        room.tick(first)
        room.look()
        room.sandbox.reopen_task(ROOM, first)
        room.changed()
        assert room.look() == ["open"]
        assert room.status(first, *others) == ["open"] * 3
        assert room.changed() == {first}

    @pytest.mark.parametrize("others", [0, 1, 2])
    def test_sees_that_an_open_task_was_deleted(self, others, room):
        task_id, *_ = [task_id for _ in range(1 + others) for task_id in room.want(SATO)]
        room.look()
        room.delete(task_id)
        room.changed()
        room.look()
        assert room.status(task_id) == ["open"]
        assert room.tasks.unfinished
        assert room.go_on() == ["read"]
        assert room.status(task_id) == ["deleted"]
        assert room.changed() == {task_id}
        assert not room.tasks.unfinished

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize("others", [0, 2])
    def test_does_not_call_deleted_what_one_answer_did_not_know(self, others, known, room):
        task_id, *_ = [task_id for _ in range(1 + others) for task_id in room.want(SATO)]
        if known:
            room.look()
        room.tick(task_id)
        room.break_read(task_id, 404, times=1)
        room.look()
        assert room.tasks.unseen == {task_id}
        assert room.status(task_id) == ["open" if known else None]
        assert room.go_on() == ["read"]
        assert room.status(task_id) == ["done"]
        assert not room.tasks.unseen

    def test_forgets_such_an_answer_with_the_next_good_one(self, room):
        [task_id] = room.want(SATO)
        for _ in range(3):
            room.break_read(task_id, 404, times=1)
            room.look()
            assert room.status(task_id) != ["deleted"]
            room.look()
            assert room.status(task_id) == ["open"]

    def test_asks_no_more_for_what_was_deleted(self, room):
        first, second, *_ = room.want(SATO, YAMADA, TAKAHASHI)
        room.delete(first, second)
        assert room.look() == ["open", "read", "read"]
        assert room.go_on() == ["read", "read"]
        assert room.look() == ["read"]
        assert room.status(first, second) == ["deleted"] * 2

    @pytest.mark.parametrize("doing", ["delete", "untick"])
    def test_sees_before_long_what_became_of_a_done_task(self, doing, room):
        first, *_ = room.want(SATO, YAMADA, TAKAHASHI)
        room.tick(first)
        room.look()
        act = room.sandbox.delete_task if doing == "delete" else room.sandbox.reopen_task
        act(ROOM, first)
        for _ in range(THOROUGH - 1):
            room.look()
        if doing == "delete":
            assert room.tasks.unfinished
            assert room.go_on() == ["read"]
        assert room.status(first) == ["deleted" if doing == "delete" else "open"]

    def test_checks_in_turn_whether_done_tasks_that_are_hidden_are_still_there(self, room):
        tasks = [task_id for _ in range(70) for task_id in room.want(SATO)]
        room.look()
        room.tick(*tasks[:69])
        room.look()
        room.fill(100, to=SATO, by=BOT, done=True)
        room.delete(tasks[68], tasks[0])
        for _ in range(4 * THOROUGH):
            assert len(room.look()) <= LONGEST_LOOK
        assert room.status(tasks[68], tasks[0]) == ["deleted"] * 2

    def test_notices_a_new_assignee_and_a_new_text(self, room):
        task_id, *_ = room.want(SATO, YAMADA)
        room.look()
        room.changed()
        room.sandbox.store.rooms[ROOM].tasks[task_id].body = "別件"
        assert room.look() == ["open"]
        assert room.changed() == {task_id}
        room.sandbox.store.rooms[ROOM].tasks[task_id].account_id = TAKAHASHI
        assert room.look() == ["open"]
        assert room.tasks.tasks[task_id]["account"]["account_id"] == TAKAHASHI

    def test_lets_a_lost_room_come_out(self, room):
        room.want(SATO, YAMADA)
        room.sandbox.remove_member(ROOM, BOT)
        with pytest.raises(ChatworkForbiddenError):
            room.look()

    def test_lets_what_passes_come_out_and_keeps_what_it_knew(self, room):
        first, second = room.want(SATO, YAMADA)
        room.look()
        room.tick(first)
        room.break_down(operation="list_tasks")
        with pytest.raises(ChatworkServerError):
            room.look()
        assert room.status(first, second) == ["open", "open"]
        room.look()
        assert room.status(first, second) == ["done", "open"]

    def test_asks_nothing_more_where_the_list_of_the_room_is_not_to_be_had(self, room):
        first, *_ = room.want(SATO, YAMADA, TAKAHASHI)
        room.tick(first)
        room.look()
        room.break_down(operation="list_tasks")
        before = len(room.sandbox.requests)
        with pytest.raises(ChatworkServerError):
            room.look([first])
        assert len(room.sandbox.requests) == before + 1

    def test_lets_it_come_out_where_it_is_all_there_was_to_ask(self, room):
        [task_id] = room.want(SATO)
        room.break_read(task_id, times=1)
        with pytest.raises(ChatworkServerError):
            room.look()
        room.look()
        assert room.status(task_id) == ["open"]

    def test_does_not_take_a_lost_body_for_an_empty_list(self, room):
        room.want(SATO, YAMADA, TAKAHASHI)
        room.look()
        room.sandbox.add_fault(Fault("malformed", shape="empty"))
        with pytest.raises(ChatworkUnexpectedResponseError):
            room.look()

    def test_does_without_who_gave_a_task(self, room):
        def spoil(answer: Response) -> Response:
            body = json.loads(answer.body)
            for task in body if isinstance(body, list) else [body]:
                del task["assigned_by_account"]
            return Response(answer.status, answer.headers, json.dumps(body).encode())

        room.spoil = spoil
        tasks = [*room.want(SATO, SATO), *room.want(SATO)]
        room.fill(to=SATO, by=BOT)
        room.look_until_finished()
        room.tick(tasks[0])
        for _ in range(3):
            room.look()
        assert room.status(*tasks) == ["done", "open", "open"]

    def test_makes_use_of_a_list_of_more_than_100(self, room):
        tasks = [task_id for _ in range(150) for task_id in room.want(SATO)]
        pages: list[Response] = []

        def longer(answer: Response) -> Response:
            if len(json.loads(answer.body)) == 100:
                body = [task for task in room.sandbox.tasks(ROOM) if task["status"] == "open"]
                pages.append(Response(answer.status, answer.headers, json.dumps(body).encode()))
                return pages[-1]
            return answer

        room.spoil = longer
        assert room.look() == ["open"]
        assert room.status(*tasks) == ["open"] * 150
        room.tick(tasks[7])
        room.look()
        assert pages[1:]
        assert room.status(tasks[7]) == ["done"]


class TestFullLists:
    """In a room with more tasks than a list shows."""

    def test_narrows_by_assignee(self, room):
        tasks = [*room.want(SATO), *room.want(SATO), *room.want(TAKAHASHI), *room.want(TAKAHASHI)]
        room.fill()
        room.look_until_finished()
        assert room.look() == ["open to", "open to"]
        assert room.status(*tasks) == ["open"] * 4

    def test_narrows_by_giver_what_is_hidden_even_so(self, room):
        tasks = [*room.want(SATO), *room.want(SATO)]
        room.fill(to=SATO)
        room.look_until_finished()
        assert room.look() == ["open to", "open to by"]
        assert room.status(*tasks) == ["open"] * 2

    def test_reads_what_no_list_shows(self, room):
        tasks = [*room.want(SATO), *room.want(SATO)]
        room.fill(to=SATO, by=BOT)
        room.look_until_finished()
        assert room.look() == ["open to", "open to by", "read", "read"]
        assert room.status(*tasks) == ["open"] * 2

    def test_reads_the_only_task_of_somebody(self, room):
        room.want(SATO, TAKAHASHI)
        room.fill()
        room.look_until_finished()
        assert room.look() == ["read", "read"]

    def test_knows_whom_to_ask_for_from_those_who_wait(self, room):
        for _ in range(3):
            for task_id in room.assign(SATO):
                room.tasks.want(task_id, SATO)
        room.fill()
        assert room.look() == ["open", "open to"]

    @pytest.mark.parametrize("account_id", [YAMADA, 987_654])
    def test_does_not_rely_on_what_it_is_told_of_assignees(self, account_id, room):
        tasks = [*room.assign(SATO), *room.assign(SATO), *room.assign(SATO)]
        for task_id in tasks:
            room.tasks.want(task_id, account_id)
        room.fill()
        room.look_until_finished()
        assert room.status(*tasks) == ["open"] * 3

    def test_calls_nothing_done_that_a_full_list_does_not_show(self, room):
        tasks = [*room.want(SATO, TAKAHASHI), *room.want(SATO, TAKAHASHI), *room.want(SATO)]
        room.look()
        room.fill(to=SATO, by=BOT)
        room.fill()
        room.fill(done=True)
        for _ in range(2 * THOROUGH):
            room.look()
            assert room.status(*tasks) == ["open"] * 5

    @pytest.mark.parametrize("hidden", [True, False])
    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_sees_what_was_done(self, count, hidden, room):
        tasks = [task_id for _ in range(8) for task_id in room.want(SATO)]
        room.fill()
        room.look_until_finished()
        room.tick(*tasks[:count])
        if hidden:
            room.fill(done=True)
            room.fill(done=True, to=SATO)
        room.look()
        assert room.status(*tasks) == ["done"] * count + ["open"] * (8 - count)

    def test_reads_ten_known_ones_a_look_the_longest_unseen_first(self, room):
        tasks = [task_id for _ in range(25) for task_id in room.want(SATO)]
        room.fill(to=SATO, by=BOT)
        room.look_until_finished()
        room.tick(*tasks)
        # Nothing but a read tells, as the list of the done is not asked for what is not known to be done.
        for number in range(1, 4):
            assert room.look() == ["open to", "open to by", *["read"] * min(IN_TURN, 25 - (number - 1) * IN_TURN)]
            assert room.status(*tasks).count("done") == min(25, number * IN_TURN)

    def test_comes_to_each_that_is_hidden_in_turn(self, room):
        tasks = [task_id for _ in range(40) for task_id in room.want(SATO)]
        room.fill(to=SATO, by=BOT)
        room.look_until_finished()
        for _ in range(2):
            before = len(room.sandbox.requests)
            for _ in range(4):
                room.look()
            read = [record.path for record in room.sandbox.requests[before:] if record.operation == "get_task"]
            assert sorted(read) == sorted(f"/rooms/{ROOM}/tasks/{task_id}" for task_id in tasks)

    def test_comes_to_each_assignee_in_turn(self, room):
        people = room.people(40)
        tasks = [task_id for _ in range(2) for task_id in room.want(*people)]
        room.fill()
        room.look_until_finished()
        seen: set[int] = set()
        for _ in range(3):
            room.look()
            seen |= {task_id for task_id in tasks if room.tasks.is_fresh(task_id)}
        assert seen == {*tasks}

    def test_soon_goes_on_where_there_is_something_unknown_left(self, room):
        tasks = [task_id for _ in range(70) for task_id in room.want(SATO)]
        room.fill(to=SATO, by=BOT)
        assert len(room.look()) == LONGEST_LOOK
        assert room.tasks.unfinished
        assert room.look_until_finished() <= 3
        assert room.status(*tasks) == ["open"] * 70
        assert not room.tasks.unfinished

    def test_asks_for_all_again_where_the_room_has_become_small(self, room):
        tasks = [*room.want(SATO), *room.want(SATO), *room.want(TAKAHASHI), *room.want(TAKAHASHI)]
        room.fill()
        room.look_until_finished()
        others = [task["task_id"] for task in room.sandbox.tasks(ROOM) if task["task_id"] not in tasks]
        for task_id in others:
            room.sandbox.delete_task(ROOM, task_id)
        for _ in range(THOROUGH):
            room.look()
        assert room.look() == ["open"]

    def test_asks_for_all_where_only_few_are_hidden(self, room):
        hidden = room.want(SATO)
        room.fill(60)
        people = room.people(30)
        shown = [task_id for _ in range(2) for person in people for task_id in room.want(person)]
        room.look_until_finished()
        for _ in range(2 * THOROUGH):
            assert len(room.look()) <= 2
        assert room.status(*hidden, *shown) == ["open"] * 61

    @pytest.mark.parametrize("ticked", [1, 2, 9])
    def test_gets_to_know_what_was_done_by_one_of_very_many(self, ticked, room):
        # More people than a look has requests.
        people = room.people(50)
        tasks = [task_id for _ in range(3) for person in people for task_id in room.want(person)]
        room.fill()
        room.look_until_finished()
        room.tick(*tasks[:ticked])
        for _ in range(4):
            assert len(room.look()) <= LONGEST_LOOK + 1
        assert room.status(*tasks[:ticked]) == ["done"] * ticked
        room.look_until_finished()

    def test_gets_to_know_that_very_many_of_very_many_were_deleted(self, room):
        people = room.people(50)
        tasks = [task_id for _ in range(3) for person in people for task_id in room.want(person)]
        room.fill()
        room.fill(done=True)
        room.look_until_finished()
        room.delete(*tasks)
        assert room.look_until_finished() < 30
        for _ in range(20):
            room.look()
        assert room.status(*tasks) == ["deleted"] * 150

    @pytest.mark.parametrize("hidden", [False, True])
    def test_asks_at_most_thirty_questions_a_look_however_many_there_are(self, hidden, room):
        people = room.people(40)
        tasks = [task_id for _ in range(10) for person in people for task_id in room.want(person)]
        if hidden:
            for person in people[:3]:
                room.fill(to=person, by=BOT)
        room.fill()
        for _ in range(40):
            assert len(room.look()) <= LONGEST_LOOK + 1
        assert room.status(*tasks) == ["open"] * 400
        room.tick(*tasks)
        room.fill(done=True)
        for _ in range(60):
            assert len(room.look()) <= LONGEST_LOOK + 1
        assert room.status(*tasks) == ["done"] * 400

    def test_says_that_something_is_left_where_what_changed_did_not_all_fit(self, room):
        tasks = [task_id for _ in range(60) for task_id in room.want(SATO)]
        room.look()
        room.fill(to=TAKAHASHI)
        known = [*room.want(TAKAHASHI), *room.want(TAKAHASHI)]
        room.fill(to=TAKAHASHI, by=BOT)
        room.look_until_finished()
        room.delete(*tasks)
        assert len(room.look()) <= LONGEST_LOOK + 1
        assert room.tasks.unfinished
        assert room.look_until_finished() < 10
        assert room.status(*tasks, *known) == ["deleted"] * 60 + ["open"] * 2


class TestGoingOn:
    """What a look has left is asked for without asking for the rest again."""

    def hide(self, room: Room, count: int) -> list[int]:
        tasks = [task_id for _ in range(count) for task_id in room.want(SATO)]
        room.fill(to=SATO, by=BOT)
        room.look_until_finished()
        return tasks

    def test_comes_to_all_that_is_hidden_and_lists_nothing_again(self, room):
        tasks = self.hide(room, 35)
        room.tick(*tasks)
        assert room.look() == ["open to", "open to by", *["read"] * IN_TURN]
        assert not room.tasks.unfinished
        for left in (25, 15, 5):
            assert room.tasks.in_turn == len(room.tasks.unseen) == left
            assert room.go_on() == ["read"] * min(left, IN_TURN)
        assert room.tasks.in_turn == 0
        assert not room.tasks.unseen
        assert room.status(*tasks) == ["done"] * 35
        assert room.go_on() == []

    def test_lists_what_there_was_no_time_to_ask_for(self, room):
        people = room.people(40)
        tasks = [task_id for _ in range(3) for task_id in room.want(*people)]
        room.fill()
        room.look_until_finished()
        while room.tasks.in_turn:
            assert room.go_on()
        room.look()
        room.tick(*tasks)
        asked: list[str] = []
        while room.tasks.in_turn or room.tasks.unfinished:
            asked += room.go_on()
        assert asked.count("open to") >= 10
        assert {*room.status(*tasks)} == {"open", "done"}

    def test_lets_those_wait_no_longer_that_were_forgotten(self, room):
        tasks = self.hide(room, 25)
        room.look()
        for task_id in tasks:
            room.tasks.forget(task_id)
        assert room.go_on() == []
        assert room.tasks.in_turn == 0

    def test_sees_what_a_wait_would_end_by(self, room):
        tasks = self.hide(room, 15)
        first, second = tasks[:2]
        room.tick(first, second)
        for _ in range(2):
            room.look()
        room.go_on([first, second])
        assert all(map(room.tasks.is_fresh, (first, second)))


class TestAnswersThatTellNothing:
    """One bad answer is about the tasks that were asked for, and about no others."""

    @pytest.mark.parametrize("fault", [{"status": 503}, {"kind": "malformed"}, {"kind": "lost_reply"}])
    def test_leave_a_single_task_for_the_next_look(self, fault, room):
        broken, other, *_ = room.want(SATO, YAMADA, TAKAHASHI)
        room.look()
        room.changed()
        room.tick(broken, other)
        path = f"/rooms/{ROOM}/tasks/{broken}"
        room.sandbox.add_fault(Fault(**{"kind": "status", "path": path, "times": 2, **fault}))
        assert room.look() == ["open", "read", "read"]
        assert room.status(broken, other) == ["open", "done"]
        assert room.changed() == {other}
        assert room.tasks.unanswered == room.tasks.unseen == {broken}
        assert room.tasks.trouble is not None
        # Not at once: it is not known when it passes.
        assert not room.tasks.unfinished
        assert room.go_on() == ["read"]
        assert room.tasks.unanswered == {broken}
        assert room.go_on() == ["read"]
        assert room.status(broken) == ["done"]
        assert room.tasks.trouble is None
        assert not room.tasks.unseen

    def test_do_not_keep_those_of_one_assignee_from_being_read(self, room):
        tasks = [*room.want(SATO, TAKAHASHI), *room.want(SATO, TAKAHASHI)]
        room.fill()
        room.look_until_finished()
        room.tick(*tasks)
        room.break_down(operation="list_tasks")
        assert room.look() == ["open to", "open to", "read", "read", "read", "read"]
        assert room.status(*tasks) == ["done"] * 4
        assert not room.tasks.unanswered

    def test_do_not_keep_others_that_are_hidden_from_their_turn(self, room):
        bad = [task_id for _ in range(MOST_FAILURES) for task_id in room.want(SATO)]
        good = [task_id for _ in range(3) for task_id in room.want(SATO)]
        room.fill(to=SATO, by=BOT)
        room.look_until_finished()
        for task_id in bad:
            room.break_read(task_id)
        room.tick(*good)
        for _ in range(4):
            room.look()
            room.go_on()
        assert room.status(*good) == ["done"] * 3

    def test_do_not_keep_what_changed_from_being_read_where_the_list_of_the_done_is_not_to_be_had(self, room):
        tasks = [task_id for _ in range(9) for task_id in room.want(SATO)]
        room.look()
        room.tick(*tasks[:5])
        room.break_down(operation="list_tasks", after=1)
        assert room.look() == ["open", "done", *["read"] * 5]
        assert not room.tasks.unanswered
        assert room.status(*tasks) == ["done"] * 5 + ["open"] * 4

    @pytest.mark.parametrize(("status", "asked"), [(503, MOST_FAILURES), (429, 1)])
    def test_end_the_look_where_there_are_many(self, status, asked, room):
        people = room.people(8)
        tasks = [task_id for _ in range(2) for task_id in room.want(*people)]
        room.fill()
        room.look_until_finished()
        room.tick(tasks[7])
        room.break_down(status, operation="list_tasks", after=1, times=None)
        assert room.look() == ["open to"] * (1 + asked)
        assert len(room.tasks.unanswered) == 14
        room.sandbox.clear_faults()
        room.go_on()
        assert not room.tasks.unseen
        assert room.status(*tasks) == ["open"] * 7 + ["done"] + ["open"] * 8

    def test_do_not_keep_what_is_left_from_being_gone_on_with(self, room):
        tasks = [task_id for _ in range(60) for task_id in room.want(SATO)]
        room.look()
        room.delete(*tasks)
        room.break_read(tasks[0])
        assert len(room.look()) == LONGEST_LOOK
        assert room.tasks.unfinished
        assert room.look_until_finished() < 10
        assert room.status(*tasks) == ["open"] + ["deleted"] * 59
        assert room.tasks.unseen == {tasks[0]}

    def test_do_not_end_a_wait_by_what_they_did_not_tell(self, room):
        first, second, _ = room.want(SATO, YAMADA, TAKAHASHI)
        room.tick(first)
        room.look()
        room.break_read(first)
        room.tick(second)
        assert room.look([first, second]) == ["open", "read", "read"]
        assert not room.tasks.is_fresh(first)
        assert room.tasks.asked_in_vain([first])
        assert not room.tasks.asked_in_vain([second])
        assert not room.tasks.unfinished

    @pytest.mark.parametrize("status", [400, 403, 405])
    def test_refuse_a_single_task_and_no_other(self, status, room):
        broken, other, *_ = room.want(SATO, YAMADA, TAKAHASHI)
        room.look()
        room.tick(broken, other)
        room.break_read(broken, status, times=1)
        room.look()
        assert room.status(broken, other) == ["open", "done"]
        assert [error.status for error in room.tasks.refused.values()] == [status]
        assert room.tasks.refused.keys() == room.tasks.unseen == {broken}
        assert room.tasks.trouble is None
        assert not room.tasks.unfinished
        with pytest.raises(ChatworkApiError, match=str(status)):
            room.tasks.check()
        room.look()
        room.tasks.check()
        assert room.status(broken) == ["done"]

    def test_refuse_for_an_interval_what_was_not_known_before(self, room):
        broken, *_ = room.want(SATO, YAMADA, TAKAHASHI)
        room.look()
        room.tick(broken)
        room.break_read(broken, 404, times=1)
        room.look()
        assert room.tasks.unfinished
        room.break_read(broken, 403)
        assert room.go_on() == ["read"]
        assert room.tasks.refused.keys() == {broken}
        assert not room.tasks.unfinished

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_let_those_of_an_assignee_be_read_who_cannot_be_asked_for(self, status, room):
        tasks = [*room.want(SATO, TAKAHASHI), *room.want(SATO, TAKAHASHI)]
        room.fill()
        room.look_until_finished()
        room.tick(tasks[0])
        room.break_down(status, operation="list_tasks")
        assert sorted(room.look()) == ["open to", "open to", "read", "read"]
        assert room.status(*tasks) == ["done"] + ["open"] * 3
        assert not room.tasks.refused

    @pytest.mark.parametrize("operation", ["get_task", "list_tasks"])
    def test_come_out_where_the_token_is_not_good_any_more(self, operation, room):
        first, *_ = room.want(SATO, YAMADA, TAKAHASHI)
        room.look()
        room.tick(first)
        room.break_down(401, operation=operation)
        with pytest.raises(ChatworkAuthError):
            room.look()

    def test_come_out_where_something_else_answers(self, room):
        first, *_ = room.want(SATO, YAMADA, TAKAHASHI)
        room.look()
        room.tick(first)
        room.break_down(302, operation="get_task")
        with pytest.raises(ChatworkUnexpectedResponseError):
            room.look()


class TestEnding:
    """What a wait would end by is looked at once more, where the look did not see it."""

    def test_asks_for_what_was_not_seen_in_this_look(self, room):
        first, second, third = room.want(SATO, YAMADA, TAKAHASHI)
        room.tick(first)
        room.look()
        room.tick(second)
        assert room.look([first, second]) == ["open", "read", "read"]
        assert all(map(room.tasks.is_fresh, (first, second, third)))

    def test_asks_nothing_for_what_was(self, room):
        first, second, _ = room.want(SATO, YAMADA, TAKAHASHI)
        room.tick(first, second)
        assert room.look([first, second]) == ["open", "read", "read"]

    def test_asks_for_many_with_one_list(self, room):
        tasks = [task_id for _ in range(40) for task_id in room.want(SATO)]
        room.tick(*tasks[:20])
        room.look()
        room.tick(*tasks[20:])
        assert room.look(tasks) == ["open", "done"]
        assert all(map(room.tasks.is_fresh, tasks))

    def test_asks_for_many_that_were_done_long_ago_with_one_list(self, room):
        *tasks, last = [task_id for _ in range(40) for task_id in room.want(SATO)]
        room.tick(*tasks)
        room.look()
        room.tick(last)
        assert room.look([*tasks, last]) == ["read", "done"]
        assert all(map(room.tasks.is_fresh, [*tasks, last]))

    def test_finds_that_one_was_opened_again_or_deleted_meanwhile(self, room):
        first, second, third = room.want(SATO, YAMADA, TAKAHASHI)
        room.tick(first, second)
        room.look()
        room.delete(first)
        room.tick(third)
        room.sandbox.reopen_task(ROOM, second)
        room.look([first, second, third])
        assert room.status(second, third) == ["open", "done"]
        assert room.tasks.unfinished
        room.go_on()
        assert room.status(first, second, third) == ["deleted", "open", "done"]

    @pytest.mark.parametrize("many", [40, 90])
    def test_sees_all_of_one_wait_in_one_look_even_where_nothing_but_reads_shows_them(self, many, room):
        people = room.people(many)
        tasks = [task_id for person in people for task_id in room.want(person)]
        room.look()
        room.tick(*tasks)
        room.look()
        room.fill(done=True)
        for _ in range(2):
            room.look(tasks)
            assert all(map(room.tasks.is_fresh, tasks))

    def test_takes_several_looks_for_several_waits(self, room):
        people = room.people(30)
        waits = [[task_id for person in people for task_id in room.want(person)] for _ in range(4)]
        room.look()
        for tasks in waits:
            room.tick(*tasks)
        room.look()
        for person in people:
            room.fill(to=person, by=BOT, done=True)
        left = [*waits]
        for _ in range(12):
            assert len(room.look(*left)) <= 2 * LONGEST_LOOK + 1
            ended = [tasks for tasks in left if all(map(room.tasks.is_fresh, tasks))]
            assert ended
            left = [tasks for tasks in left if tasks not in ended]
            assert room.tasks.unfinished == bool(left)
            if not left:
                break
        assert not left


class TestWant:
    def test_does_not_forget_an_assignee_that_was_told_before(self, room):
        for _ in range(3):
            for task_id in room.assign(SATO):
                room.tasks.want(task_id, SATO)
                room.tasks.want(task_id)
        room.fill()
        assert room.look() == ["open", "open to"]

    def test_takes_an_assignee_that_is_told_later(self, room):
        for _ in range(3):
            for task_id in room.assign(SATO):
                room.tasks.want(task_id)
                room.tasks.want(task_id, SATO)
        room.fill()
        assert room.look() == ["open", "open to"]


class TestForget:
    def test_leaves_nothing_of_a_task(self, room):
        first, second = room.want(SATO, YAMADA)
        room.delete(second)
        room.look()
        room.go_on()
        for task_id in (first, second):
            room.tasks.forget(task_id)
            assert not room.tasks.is_known(task_id)
            assert not room.tasks.is_fresh(task_id)
        assert room.status(first, second) == [None, None]
        assert room.changed() == set()
        assert room.look() == []

    @pytest.mark.parametrize("full", [False, True])
    def test_may_happen_in_the_middle_of_a_look(self, full, room):
        tasks = [*room.want(SATO), *room.want(SATO), *room.want(TAKAHASHI), *room.want(TAKAHASHI)]
        room.look()
        room.delete(tasks[0])
        room.tick(tasks[1])
        if full:
            room.fill()
        for number in range(1, 8):
            again = RoomTasks(ROOM)
            for task_id in tasks:
                again.want(task_id)
            steps = again.look(list)
            before = len(room.sandbox.requests)
            room.client.run_flow(_interrupted(steps, number, lambda kept=again: [*map(kept.forget, tasks)]))
            assert number > 1 or len(room.sandbox.requests) == before + 1
            assert not again.tasks
            assert not again.deleted
            assert not again.changed


def _interrupted(steps: Any, after: int, act: Callable[[], object]) -> Any:
    """The same calls, with something done before the answer of one of them arrives."""
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
    def test_notes_those_that_are_there_and_those_that_are_not(self) -> None:
        sandbox = Sandbox(limits=Limits.off())
        first, second = sandbox.create_task(ROOM, BOT, [SATO, YAMADA], "確認")
        task: Any = next(task for task in sandbox.tasks(ROOM) if task["task_id"] == first)
        known = RoomTasks(ROOM)
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
