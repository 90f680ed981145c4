from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.api.errors import ChatworkNotFoundError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.sandbox import Limits, Sandbox, company
from airflow_provider_chatwork.waiting.tasks.given_tasks import (
    facts_of,
    last_seen,
    never_seen,
    note_all,
    read_each,
    reason_of,
    was_withdrawn,
)
from airflow_provider_chatwork.waiting.tasks.room_scan import RoomTasks
from airflow_provider_chatwork.waiting.tasks.tracking import Given, new_track

ROOM = company.DATA_ROOM
PEOPLE = [company.SATO, company.YAMADA]


def given_tasks(sandbox: Sandbox) -> tuple[Given, dict[int, Any]]:
    tasks = {number: task_of(sandbox, number) for number in sandbox.create_task(ROOM, company.BOT, PEOPLE, "確認")}
    given: Given = {
        "room_id": ROOM,
        "message_id": next(iter(tasks.values()))["message_id"],
        "created_at": 1.0,
        "deadline": 2.0,
        "needed": 2,
        "tracks": [new_track(None, account_id=5), *(new_track(number) for number in tasks)],
    }
    return given, tasks


def task_of(sandbox: Sandbox, number: int) -> Any:
    return next(task for task in sandbox.tasks(ROOM) if task["task_id"] == number)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(limits=Limits.off())


class TestFactsOf:
    def test_hold_what_is_left_of_the_tasks(self, sandbox: Sandbox) -> None:
        given, tasks = given_tasks(sandbox)
        first, second = tasks
        note_all(given["tracks"], tasks, {first}, 10.0)
        facts = facts_of(given, tasks, company.BOT, "https://example.com")
        assert facts.tasks == [None, None, tasks[second]]
        assert (facts.room_id, facts.message_id, facts.created_at) == (ROOM, given["message_id"], 1.0)
        assert (facts.me, facts.web_url) == (company.BOT, "https://example.com")


class TestNoteAll:
    def test_notes_every_task_that_has_an_id(self, sandbox: Sandbox) -> None:
        given, tasks = given_tasks(sandbox)
        note_all(given["tracks"], tasks, set(), 10.0)
        assert [track["account_name"] for track in given["tracks"]] == ["", "佐藤 花子", "山田 太郎"]
        assert [track["status"] for track in given["tracks"]] == ["deleted", "open", "open"]


class TestReasonOf:
    @pytest.mark.parametrize("word", ["timed_out", "impossible", "killed"])
    def test_speaks_both_languages(self, word: str) -> None:
        assert reason_of(word, "ja").endswith("ため")
        assert reason_of(word, "en").isascii()


class TestWasWithdrawn:
    def ask(self, sandbox: Sandbox, said: str | None, chatter: int = 0, by: int = company.BOT) -> bool:
        given, tasks = given_tasks(sandbox)
        link = f"https://example.com/#!rid{ROOM}-{given['message_id']}"
        if said is not None:
            sandbox.post_message(ROOM, by, said.format(link=link))
        for index in range(chatter):
            sandbox.post_message(ROOM, company.YAMADA, str(index))
        facts = facts_of(given, tasks, company.BOT, "https://example.com")
        page: Any = sandbox.messages(ROOM)[-100:]
        return was_withdrawn(facts, page)

    @pytest.mark.parametrize("said", ["依頼の取り下げ: {link}", "Request withdrawn: {link}"])
    def test_finds_what_the_room_was_told(self, said: str, sandbox: Sandbox) -> None:
        assert self.ask(sandbox, said)

    @pytest.mark.parametrize("said", [None, "終わりました", "リマインド 1 回目: {link}", "依頼の取り下げ: {link}0"])
    def test_finds_nothing_else(self, said: str | None, sandbox: Sandbox) -> None:
        assert not self.ask(sandbox, said)

    def test_believes_only_the_account_itself(self, sandbox: Sandbox) -> None:
        assert not self.ask(sandbox, "依頼の取り下げ: {link}", by=company.YAMADA)

    def test_does_not_guess_where_the_room_shows_too_little(self, sandbox: Sandbox) -> None:
        with pytest.raises(ChatworkUnknownOutcomeError):
            self.ask(sandbox, None, chatter=100)

    def test_is_sure_while_the_room_shows_the_tasks(self, sandbox: Sandbox) -> None:
        assert not self.ask(sandbox, None, chatter=99)

    def test_is_sure_where_it_finds_it_in_a_busy_room(self, sandbox: Sandbox) -> None:
        assert self.ask(sandbox, "依頼の取り下げ: {link}", chatter=99)


class TestLastSeen:
    def test_is_what_the_tracks_still_tell(self, sandbox: Sandbox) -> None:
        given, tasks = given_tasks(sandbox)
        first, second = tasks
        sandbox.complete_task(ROOM, second)
        note_all(given["tracks"], {number: task_of(sandbox, number) for number in tasks}, set(), 10.0)
        message_id = given["message_id"]
        assert last_seen(given["tracks"]) == {
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

    def test_leaves_out_what_was_never_seen(self, sandbox: Sandbox) -> None:
        given, _ = given_tasks(sandbox)
        assert last_seen(given["tracks"]) == {}


class TestNeverSeen:
    def test_is_what_no_look_has_shown(self, sandbox: Sandbox) -> None:
        given, tasks = given_tasks(sandbox)
        first, second = tasks
        assert never_seen(given["tracks"]) == [first, second]
        note_all(given["tracks"], {first: tasks[first]}, set(), 10.0)
        assert never_seen(given["tracks"]) == [second]
        note_all(given["tracks"], {}, {second}, 20.0)
        assert never_seen(given["tracks"]) == []


class TestReadEach:
    def test_notes_those_that_are_there_and_those_that_are_not(self, sandbox: Sandbox) -> None:
        _, tasks = given_tasks(sandbox)
        first, second = tasks
        known = RoomTasks(ROOM)
        calls = read_each(known, [first, second])
        assert [call.operation for call in [next(calls), calls.send(tasks[first])]] == ["get_task", "get_task"]
        assert known.tasks == {first: tasks[first]}
        missing = ChatworkNotFoundError("get_task", 404, ())
        # One such answer may be behind with what is new.
        assert calls.throw(missing).operation == "get_task"
        assert known.deleted == set()
        with pytest.raises(StopIteration):
            calls.throw(missing)
        assert known.deleted == {second}
