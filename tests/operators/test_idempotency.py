"""No second task for people: what a later try, and a run after a clear, know of the tasks of those before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.waiting.reminders import Reminder
from tests.airflow_helpers import FakeStore, connect
from tests.operators.chores import MODES, PEOPLE, ROOM, End, Office
from tests.virtual_time import START

SATO, YAMADA, TAKAHASHI = PEOPLE
in_both_modes = pytest.mark.parametrize("mode", MODES)
#: What only an Airflow knows that keeps a state, and what every Airflow can find in Chatwork.
MEMORIES = ("store", "reference")
with_both_memories = pytest.mark.parametrize("memory", MEMORIES)


class Runs:
    """The tries of one task instance, which fail in the middle of a wait where they are told to."""

    def __init__(self, office: Office, memory: str, mode: str, **arguments: Any) -> None:
        self.office = office
        self.mode = mode
        self.arguments = {"to_ids": [SATO, YAMADA], **arguments}
        if memory == "store":
            office.store = FakeStore()
        else:
            self.arguments["reference"] = "weekly/2026-11-23"
        office.ti.max_tries = 2
        self.retries = 2

    def go(self, *happenings: Any, **changed: Any) -> End:
        return self.office.ask(self.mode, happenings, retries=self.retries, **{**self.arguments, **changed})

    def go_and_fail(self, at: float = 100, *happenings: Any, **changed: Any) -> End:
        """Let a try fail with something that Airflow tries again."""
        end = self.go(*happenings, (at, redirect), **changed)
        assert end.how == "failed", end.error
        self.office.sandbox.clear_faults()
        self.office.ti.try_number += 1
        return end

    def clear(self) -> None:
        """Do as Airflow does where a user clears the task."""
        self.office.ti.max_tries = self.office.ti.try_number + self.retries
        self.office.ti.try_number += 1


def redirect(office: Office) -> None:
    office.break_down(status=302)


def tick(*which: int) -> Callable[[Office], object]:
    return lambda office: office.tick(*which)


def tick_newest(office: Office) -> None:
    for task in office.sandbox.tasks(ROOM)[-2:]:
        office.sandbox.complete_task(ROOM, task["task_id"])


def new_tasks(office: Office) -> list[Any]:
    return [task for task in office.sandbox.tasks(ROOM) if task["task_id"] not in office.before]


@pytest.fixture
def office(sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> Office:
    sandbox.limits = Limits.off()
    return Office(sandbox, monkeypatch)


class TestARetry:
    @in_both_modes
    @with_both_memories
    def test_goes_on_waiting_for_the_same_tasks(self, mode: str, memory: str, office: Office) -> None:
        runs = Runs(office, memory, mode)
        runs.go_and_fail(300, (100, tick(0)))
        end = runs.go((900, tick(1)))
        assert end.how == "done"
        assert [task["task_id"] for task in end.result["tasks"]] == office.tasks
        assert len(new_tasks(office)) == 2

    @in_both_modes
    @with_both_memories
    def test_ends_at_the_deadline_of_the_first(self, mode: str, memory: str, office: Office) -> None:
        runs = Runs(office, memory, mode)
        runs.go_and_fail(1000)
        office.now = START + 2000
        assert runs.go().how == "timed out"
        assert START + 3600 <= office.now <= START + 3700

    @in_both_modes
    @with_both_memories
    def test_that_comes_too_late_sees_what_was_done_in_time(self, mode: str, memory: str, office: Office) -> None:
        runs = Runs(office, memory, mode)
        runs.go_and_fail(1000)
        office.tick(0, 1)
        office.now = START + 9000
        assert runs.go().how == "done"

    @in_both_modes
    @with_both_memories
    def test_repeats_no_reminder(self, mode: str, memory: str, office: Office) -> None:
        reminder = Reminder(after=600, every=1200, quiet_hours=None, business_days_only=False)
        runs = Runs(office, memory, mode, reminders=reminder)
        runs.go_and_fail(900)
        assert len(office.said) == 1
        office.now = START + 1000
        runs.go((1900, tick(0, 1)))
        assert len(office.said) == 2

    @in_both_modes
    def test_still_knows_what_was_asked(self, mode: str, office: Office) -> None:
        runs = Runs(office, "store", mode)
        runs.go_and_fail()
        office.task(0).limit_time = int(START + 9999)
        end = runs.go((900, tick(0, 1)))
        assert [task["changes"] for task in end.result["tasks"]] == [["due_moved"], []]

    @in_both_modes
    def test_fails_for_good_where_nothing_could_find_the_tasks(self, mode: str, office: Office) -> None:
        end = office.ask(mode, [(100, redirect)])
        assert end.how == "failed for good"
        assert "twice" in end.error

    @with_both_memories
    def test_withdraws_nothing_by_failing(self, memory: str, office: Office) -> None:
        runs = Runs(office, memory, "worker", withdraw=True)
        runs.go_and_fail()
        assert {task["status"] for task in new_tasks(office)} == {"open"}

    @in_both_modes
    @with_both_memories
    def test_does_not_take_what_was_withdrawn_for_done(self, mode: str, memory: str, office: Office) -> None:
        runs = Runs(office, memory, mode, withdraw=True)
        office.on_stop = lambda trigger: trigger.on_kill()
        stop = Office.kill_worker if mode == "worker" else Office.stop_triggerer
        runs.go((100, stop))
        office.ti.try_number += 1
        assert {task["status"] for task in new_tasks(office)} == {"done"}
        withdrawn = {task["task_id"] for task in new_tasks(office)}
        end = runs.go((1000, tick_newest))
        assert end.how == "done"
        assert len(new_tasks(office)) == 4
        assert not {task["task_id"] for task in end.result["tasks"]} & withdrawn

    @in_both_modes
    @with_both_memories
    @pytest.mark.parametrize("closed", [0, 1])
    def test_ends_a_withdrawal_that_was_interrupted(self, closed: int, mode: str, memory: str, office: Office) -> None:
        def interrupt(office: Office) -> None:
            office.break_down(operation="set_task_status", status=503, after=closed)
            (Office.kill_worker if mode == "worker" else Office.stop_triggerer)(office)

        runs = Runs(office, memory, mode, withdraw=True)
        office.on_stop = lambda trigger: trigger.on_kill()
        runs.go((100, interrupt))
        withdrawn = [task["task_id"] for task in new_tasks(office)]
        assert [task["status"] for task in new_tasks(office)].count("open") == 2 - closed
        office.sandbox.clear_faults()
        office.ti.try_number += 1
        end = runs.go((1000, tick_newest))
        assert end.how == "done"
        assert len(new_tasks(office)) == 4
        assert not {task["task_id"] for task in end.result["tasks"]} & {*withdrawn}
        assert {task["status"] for task in new_tasks(office)} == {"done"}
        assert len(office.said) == 1

    @in_both_modes
    @with_both_memories
    def test_goes_on_with_open_tasks_in_a_busy_room(self, mode: str, memory: str, office: Office) -> None:
        runs = Runs(office, memory, mode, withdraw=True)
        runs.go_and_fail()
        for index in range(101):
            office.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}")
        assert runs.go((900, tick(0, 1))).how == "done"
        assert len(new_tasks(office)) == 2

    @with_both_memories
    def test_finds_the_newest_where_earlier_ones_were_withdrawn(self, memory: str, office: Office) -> None:
        runs = Runs(office, memory, "worker", withdraw=True)
        runs.go((100, Office.kill_worker))
        office.ti.try_number += 1
        runs.go_and_fail(200)
        end = runs.go((1000, tick_newest))
        assert end.how == "done"
        assert len(new_tasks(office)) == 4

    @in_both_modes
    def test_is_refused_where_done_and_withdrawn_cannot_be_told_apart(self, mode: str, office: Office) -> None:
        runs = Runs(office, "reference", mode, withdraw=True)
        runs.go_and_fail()
        office.tick(0, 1)
        for index in range(101):
            office.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}")
        end = runs.go()
        assert "look into the room" in end.error
        assert len(new_tasks(office)) == 2

    @in_both_modes
    @with_both_memories
    def test_believes_what_people_ticked_in_between(self, mode: str, memory: str, office: Office) -> None:
        runs = Runs(office, memory, mode, withdraw=True)
        runs.go_and_fail()
        office.tick(0, 1)
        assert runs.go().how == "done"
        assert len(new_tasks(office)) == 2


class TestTheReference:
    @pytest.mark.parametrize(("lang", "line"), [("ja", "参照: a b"), ("en", "Reference: a b")])
    def test_ends_the_text(self, lang: str, line: str, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        connect(monkeypatch, office.sandbox, lang=lang)
        office.ask("worker", reference="a b", wait_for_completion=False)
        assert {task["body"] for task in new_tasks(office)} == {f"マスタを更新する\n{line}"}

    def test_does_not_act(self, office: Office) -> None:
        office.ask("worker", reference="[toall]", wait_for_completion=False)
        assert "[toall]" not in new_tasks(office)[0]["body"]

    def test_finds_tasks_for_those_who_do_not_wait(self, office: Office) -> None:
        runs = Runs(office, "reference", "worker", wait_for_completion=False)
        first = runs.go().result
        office.ti.try_number += 1
        assert runs.go().result == first
        assert office.sandbox.write_count("create_task") == 1

    def test_is_looked_for_once_by_an_airflow_that_remembers(self, office: Office) -> None:
        runs = Runs(office, "reference", "worker", wait_for_completion=False)
        first = runs.go().result
        # Such as where the state was cleaned up.
        office.store = FakeStore()
        office.ti.try_number += 1
        assert [runs.go().result, runs.go().result] == [first, first]
        assert [request.operation for request in office.sandbox.requests].count("list_tasks") == 2

    def test_is_looked_for_by_no_first_try(self, office: Office) -> None:
        runs = Runs(office, "reference", "worker", wait_for_completion=False)
        runs.go()
        assert "list_tasks" not in [request.operation for request in office.sandbox.requests]
        # The run was deleted and made anew.
        runs.go()
        assert office.sandbox.write_count("create_task") == 2

    def test_of_another_task_is_not_taken(self, office: Office) -> None:
        runs = Runs(office, "reference", "worker", wait_for_completion=False)
        runs.go()
        office.ti.try_number += 1
        runs.go(reference="another")
        runs.go(body="別の作業")
        assert office.sandbox.write_count("create_task") == 3

    def test_of_somebody_else_is_not_taken(self, office: Office) -> None:
        office.sandbox.create_task(ROOM, YAMADA, [SATO, YAMADA], "マスタを更新する\n参照: weekly/2026-11-23")
        runs = Runs(office, "reference", "worker", wait_for_completion=False)
        office.ti.try_number += 1
        runs.go()
        assert office.sandbox.write_count("create_task") == 1

    def test_finds_what_was_lost_on_the_way(self, office: Office) -> None:
        runs = Runs(office, "reference", "worker", wait_for_completion=False)
        office.sandbox.add_fault(Fault("lost_reply", operation="create_task"))
        office.sandbox.add_fault(Fault("status", method="GET", status=500, times=None))
        assert runs.go().how == "failed"
        office.sandbox.clear_faults()
        office.ti.try_number += 1
        assert runs.go().how == "done"
        assert office.sandbox.write_count("create_task") == 1

    @in_both_modes
    def test_finds_the_rest_where_one_was_deleted(self, mode: str, office: Office) -> None:
        runs = Runs(office, "reference", mode, complete_when="any")
        runs.go_and_fail()
        office.sandbox.delete_task(ROOM, office.tasks[0])
        end = runs.go((900, tick(1)))
        assert [(task["account_id"], task["status"]) for task in end.result["tasks"]] == [
            (SATO, "deleted"),
            (YAMADA, "done"),
        ]

    @in_both_modes
    def test_fails_for_good_where_too_few_are_found(self, mode: str, office: Office) -> None:
        runs = Runs(office, "reference", mode)
        runs.go_and_fail()
        office.sandbox.delete_task(ROOM, office.tasks[0])
        end = runs.go()
        assert (end.how, end.outcome["outcome"]) == ("failed for good", "impossible")
        assert len(new_tasks(office)) == 1

    @in_both_modes
    def test_finds_what_was_handed_on(self, mode: str, office: Office) -> None:
        runs = Runs(office, "reference", mode)
        runs.go_and_fail()
        office.task(0).account_id = company.SUZUKI
        end = runs.go((900, tick(0, 1)))
        assert [task["account_id"] for task in end.result["tasks"]] == [company.SUZUKI, YAMADA]
        assert len(new_tasks(office)) == 2

    def test_is_found_in_a_full_room(self, office: Office) -> None:
        runs = Runs(office, "reference", "worker")
        runs.go_and_fail(300, (50, tick(0)))
        for status in ("open", "done"):
            fill(office, status, company.SUZUKI, 120)
        end = runs.go((900, tick(1)))
        assert end.how == "done"
        assert office.sandbox.write_count("create_task") == 1

    def test_behind_a_hundred_tasks_of_one_person_is_not_given_again(self, office: Office) -> None:
        runs = Runs(office, "reference", "worker", to_ids=[SATO])
        runs.go_and_fail()
        fill(office, "open", SATO, 100)
        end = runs.go()
        assert "look into the room" in end.error
        assert office.sandbox.write_count("create_task") == 1


def fill(office: Office, status: str, person: int, count: int) -> None:
    """Hide all tasks of the room behind as many others by the account of the token."""
    room = office.sandbox.store.rooms[ROOM]
    if person not in room.roles:
        office.sandbox.add_member(ROOM, person)
    for index in range(count):
        [task_id] = office.sandbox.create_task(ROOM, company.BOT, [person], f"{index}")
        room.tasks[task_id].status = status
        office.before.add(task_id)


class TestAClear:
    @in_both_modes
    @with_both_memories
    def test_gives_the_tasks_anew(self, mode: str, memory: str, office: Office) -> None:
        runs = Runs(office, memory, mode)
        assert runs.go((100, tick(0, 1))).how == "done"
        runs.clear()
        end = runs.go((office.now - START + 500, tick_newest))
        assert end.how == "done"
        assert len(new_tasks(office)) == 4

    def test_shows_in_the_reference(self, office: Office) -> None:
        runs = Runs(office, "reference", "worker")
        runs.go((100, tick(0, 1)))
        runs.clear()
        runs.go((office.now - START + 500, tick_newest))
        bodies = [task["body"].splitlines()[-1] for task in new_tasks(office)]
        assert bodies == ["参照: weekly/2026-11-23"] * 2 + ["参照: weekly/2026-11-23 (2)"] * 2

    @in_both_modes
    def test_does_not_make_its_retries_find_the_old_ones(self, mode: str, office: Office) -> None:
        runs = Runs(office, "reference", mode)
        runs.go((100, tick(0, 1)))
        runs.clear()
        runs.go_and_fail(office.now - START + 100)
        end = runs.go((office.now - START + 500, tick_newest))
        assert end.how == "done"
        assert len(new_tasks(office)) == 4

    @in_both_modes
    @with_both_memories
    def test_gives_its_retries_no_more_time(self, mode: str, memory: str, office: Office) -> None:
        runs = Runs(office, memory, mode)
        assert runs.go().how == "timed out"
        runs.clear()
        begun = office.run_began = office.now = office.now + 5000
        runs.go_and_fail(begun - START + 1000)
        office.now += 1000
        assert runs.go().how == "timed out"
        assert begun + 3600 <= office.now <= begun + 3700


class TestARoomFullOfDoneTasks:
    """A bot's done tasks pile up for years, and Chatwork shows no more than 100 of them."""

    @pytest.fixture
    def full(self, office: Office) -> Office:
        fill(office, "done", SATO, 100)
        office.now += 86400
        for index in range(5):
            office.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}")
        return office

    def tick_later(self, office: Office) -> Any:
        return (office.now - START + 200, tick(0))

    @pytest.mark.parametrize("memory", [*MEMORIES, "none"])
    def test_is_given_another_in_spite_of_an_error(
        self, memory: str, full: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(monkeypatch, full.sandbox, max_wait=300)
        full.sandbox.add_fault(Fault("status", operation="create_task", status=503, times=1))
        runs = Runs(full, "reference" if memory == "none" else memory, "worker", to_ids=[SATO])
        end = runs.go(self.tick_later(full), **({"reference": None} if memory == "none" else {}))
        assert end.how == "done"
        assert full.sandbox.write_count("create_task") == 1

    @pytest.mark.parametrize(
        "fault", [{"kind": "refuse"}, {"status": 429}, {"operation": "create_task", "status": 503}], ids=str
    )
    @with_both_memories
    def test_is_given_another_by_a_retry(self, memory: str, fault: dict[str, Any], full: Office) -> None:
        runs = Runs(full, memory, "worker", to_ids=[SATO])
        full.break_down(**fault)
        assert runs.go().how == "failed"
        full.sandbox.clear_faults()
        full.ti.try_number += 1
        full.now += 60
        assert runs.go(self.tick_later(full)).how == "done"
        assert full.sandbox.write_count("create_task") == 1

    @with_both_memories
    def test_is_not_given_another_where_the_answer_was_lost(self, memory: str, full: Office) -> None:
        runs = Runs(full, memory, "worker", to_ids=[SATO])
        full.sandbox.add_fault(Fault("lost_reply", operation="create_task"))
        full.sandbox.add_fault(Fault("status", method="GET", status=500, times=None))
        assert runs.go().how == "failed"
        full.sandbox.clear_faults()
        full.ti.try_number += 1
        full.now += 60
        assert runs.go(self.tick_later(full)).how == "done"
        assert full.sandbox.write_count("create_task") == 1
