"""Retries and clears of an Airflow task, and the tasks that earlier tries have created."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.waiting.reminders import Reminder
from tests.airflow_helpers import FakeStore, connect
from tests.operators.task_scenarios import ASSIGNEES, MODES, ROOM, Result, Scenario
from tests.virtual_time import START

SATO, YAMADA, TAKAHASHI = ASSIGNEES
in_both_modes = pytest.mark.parametrize("mode", MODES)
#: What only an Airflow knows that keeps a state, and what every Airflow can find in Chatwork.
MEMORIES = ("store", "reference")
with_both_memories = pytest.mark.parametrize("memory", MEMORIES)


class Runs:
    """The tries of one task instance. They can fail during the wait."""

    def __init__(self, scenario: Scenario, memory: str, mode: str, **arguments: Any) -> None:
        self.scenario = scenario
        self.mode = mode
        self.arguments = {"to_ids": [SATO, YAMADA], **arguments}
        if memory == "store":
            scenario.store = FakeStore()
        else:
            self.arguments["reference"] = "weekly/2026-11-23"
        scenario.ti.max_tries = 2
        self.retries = 2

    def run(self, *events: Any, **changed: Any) -> Result:
        return self.scenario.run(self.mode, events, retries=self.retries, **{**self.arguments, **changed})

    def run_and_fail(self, at: float = 100, *events: Any, **changed: Any) -> Result:
        """Run a try that fails with an error that Airflow retries."""
        result = self.run(*events, (at, redirect), **changed)
        assert result.ending == "failed", result.error
        self.scenario.sandbox.clear_faults()
        self.scenario.ti.try_number += 1
        return result

    def clear(self) -> None:
        """Clear the task, as Airflow does."""
        self.scenario.ti.max_tries = self.scenario.ti.try_number + self.retries
        self.scenario.ti.try_number += 1


def redirect(scenario: Scenario) -> None:
    scenario.fail_requests(status=302)


def complete(*which: int) -> Callable[[Scenario], object]:
    return lambda scenario: scenario.complete(*which)


def complete_newest(scenario: Scenario) -> None:
    for task in scenario.sandbox.tasks(ROOM)[-2:]:
        scenario.sandbox.complete_task(ROOM, task["task_id"])


def new_tasks(scenario: Scenario) -> list[Any]:
    return [task for task in scenario.sandbox.tasks(ROOM) if task["task_id"] not in scenario.before]


@pytest.fixture
def scenario(sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    sandbox.limits = Limits.off()
    return Scenario(sandbox, monkeypatch)


class TestRetry:
    @in_both_modes
    @with_both_memories
    def test_continues_the_wait_for_the_same_tasks(self, mode: str, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, mode)
        runs.run_and_fail(300, (100, complete(0)))
        result = runs.run((900, complete(1)))
        assert result.ending == "done"
        assert [task["task_id"] for task in result.value["tasks"]] == scenario.tasks
        assert len(new_tasks(scenario)) == 2

    @in_both_modes
    @with_both_memories
    def test_ends_at_the_deadline_of_the_first(self, mode: str, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, mode)
        runs.run_and_fail(1000)
        scenario.now = START + 2000
        assert runs.run().ending == "timed out"
        assert START + 3600 <= scenario.now <= START + 3700

    @in_both_modes
    @with_both_memories
    def test_after_the_deadline_counts_what_was_done_in_time(self, mode: str, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, mode)
        runs.run_and_fail(1000)
        scenario.complete(0, 1)
        scenario.now = START + 9000
        assert runs.run().ending == "done"

    @in_both_modes
    @with_both_memories
    def test_sends_no_reminder_again(self, mode: str, memory: str, scenario: Scenario) -> None:
        reminder = Reminder(after=600, every=1200, quiet_hours=None, business_days_only=False)
        runs = Runs(scenario, memory, mode, reminders=reminder)
        runs.run_and_fail(900)
        assert len(scenario.posted) == 1
        scenario.now = START + 1000
        runs.run((1900, complete(0, 1)))
        assert len(scenario.posted) == 2

    @in_both_modes
    def test_keeps_the_fields_that_the_first_try_has_seen(self, mode: str, scenario: Scenario) -> None:
        runs = Runs(scenario, "store", mode)
        runs.run_and_fail()
        scenario.task(0).limit_time = int(START + 9999)
        result = runs.run((900, complete(0, 1)))
        assert [task["changes"] for task in result.value["tasks"]] == [["due_moved"], []]

    @in_both_modes
    def test_fails_permanently_where_a_retry_cannot_find_the_tasks(self, mode: str, scenario: Scenario) -> None:
        result = scenario.run(mode, [(100, redirect)])
        assert result.ending == "failed for good"
        assert "twice" in result.error

    @with_both_memories
    def test_a_failed_try_withdraws_nothing(self, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, "worker", withdraw=True)
        runs.run_and_fail()
        assert {task["status"] for task in new_tasks(scenario)} == {"open"}

    @in_both_modes
    @with_both_memories
    def test_does_not_count_withdrawn_tasks_as_done(self, mode: str, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, mode, withdraw=True)
        scenario.on_stop = lambda trigger: trigger.on_kill()
        stop = Scenario.kill_worker if mode == "worker" else Scenario.stop_triggerer
        runs.run((100, stop))
        scenario.ti.try_number += 1
        assert {task["status"] for task in new_tasks(scenario)} == {"done"}
        withdrawn = {task["task_id"] for task in new_tasks(scenario)}
        result = runs.run((1000, complete_newest))
        assert result.ending == "done"
        assert len(new_tasks(scenario)) == 4
        assert not {task["task_id"] for task in result.value["tasks"]} & withdrawn

    @in_both_modes
    @with_both_memories
    @pytest.mark.parametrize("closed", [0, 1])
    def test_completes_an_interrupted_withdrawal(self, closed: int, mode: str, memory: str, scenario: Scenario) -> None:
        def interrupt(scenario: Scenario) -> None:
            scenario.fail_requests(operation="set_task_status", status=503, after=closed)
            (Scenario.kill_worker if mode == "worker" else Scenario.stop_triggerer)(scenario)

        runs = Runs(scenario, memory, mode, withdraw=True)
        scenario.on_stop = lambda trigger: trigger.on_kill()
        runs.run((100, interrupt))
        withdrawn = [task["task_id"] for task in new_tasks(scenario)]
        assert [task["status"] for task in new_tasks(scenario)].count("open") == 2 - closed
        scenario.sandbox.clear_faults()
        scenario.ti.try_number += 1
        result = runs.run((1000, complete_newest))
        assert result.ending == "done"
        assert len(new_tasks(scenario)) == 4
        assert not {task["task_id"] for task in result.value["tasks"]} & {*withdrawn}
        assert {task["status"] for task in new_tasks(scenario)} == {"done"}
        assert len(scenario.posted) == 1

    @in_both_modes
    @with_both_memories
    def test_continues_with_open_tasks_in_a_busy_room(self, mode: str, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, mode, withdraw=True)
        runs.run_and_fail()
        for index in range(101):
            scenario.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}")
        assert runs.run((900, complete(0, 1))).ending == "done"
        assert len(new_tasks(scenario)) == 2

    @with_both_memories
    def test_finds_the_newest_tasks_where_earlier_ones_were_withdrawn(self, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, "worker", withdraw=True)
        runs.run((100, Scenario.kill_worker))
        scenario.ti.try_number += 1
        runs.run_and_fail(200)
        result = runs.run((1000, complete_newest))
        assert result.ending == "done"
        assert len(new_tasks(scenario)) == 4

    @in_both_modes
    def test_fails_where_done_and_withdrawn_tasks_cannot_be_distinguished(self, mode: str, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", mode, withdraw=True)
        runs.run_and_fail()
        scenario.complete(0, 1)
        for index in range(101):
            scenario.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}")
        result = runs.run()
        assert "look into the room" in result.error
        assert len(new_tasks(scenario)) == 2

    @in_both_modes
    @with_both_memories
    def test_counts_what_people_have_done_between_the_tries(self, mode: str, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, mode, withdraw=True)
        runs.run_and_fail()
        scenario.complete(0, 1)
        assert runs.run().ending == "done"
        assert len(new_tasks(scenario)) == 2


class TestReference:
    @pytest.mark.parametrize(("lang", "line"), [("ja", "参照: a b"), ("en", "Reference: a b")])
    def test_is_the_last_line(self, lang: str, line: str, scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
        connect(monkeypatch, scenario.sandbox, lang=lang)
        scenario.run("worker", reference="a b", wait_for_completion=False)
        assert {task["body"] for task in new_tasks(scenario)} == {f"マスタを更新する\n{line}"}

    def test_is_escaped(self, scenario: Scenario) -> None:
        scenario.run("worker", reference="[toall]", wait_for_completion=False)
        assert "[toall]" not in new_tasks(scenario)[0]["body"]

    def test_finds_tasks_without_a_wait(self, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", "worker", wait_for_completion=False)
        first = runs.run().value
        scenario.ti.try_number += 1
        assert runs.run().value == first
        assert scenario.sandbox.write_count("create_task") == 1

    def test_is_searched_once_with_a_state_store(self, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", "worker", wait_for_completion=False)
        first = runs.run().value
        # Such as where the state was cleaned up.
        scenario.store = FakeStore()
        scenario.ti.try_number += 1
        assert [runs.run().value, runs.run().value] == [first, first]
        assert [request.operation for request in scenario.sandbox.requests].count("list_tasks") == 2

    def test_is_not_searched_by_a_first_try(self, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", "worker", wait_for_completion=False)
        runs.run()
        assert "list_tasks" not in [request.operation for request in scenario.sandbox.requests]
        # The run was deleted and made anew.
        runs.run()
        assert scenario.sandbox.write_count("create_task") == 2

    def test_of_another_task_does_not_match(self, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", "worker", wait_for_completion=False)
        runs.run()
        scenario.ti.try_number += 1
        runs.run(reference="another")
        runs.run(body="別の作業")
        assert scenario.sandbox.write_count("create_task") == 3

    def test_of_another_account_does_not_match(self, scenario: Scenario) -> None:
        scenario.sandbox.create_task(ROOM, YAMADA, [SATO, YAMADA], "マスタを更新する\n参照: weekly/2026-11-23")
        runs = Runs(scenario, "reference", "worker", wait_for_completion=False)
        scenario.ti.try_number += 1
        runs.run()
        assert scenario.sandbox.write_count("create_task") == 1

    def test_finds_tasks_whose_response_was_lost(self, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", "worker", wait_for_completion=False)
        scenario.sandbox.add_fault(Fault("lost_reply", operation="create_task"))
        scenario.sandbox.add_fault(Fault("status", method="GET", status=500, times=None))
        assert runs.run().ending == "failed"
        scenario.sandbox.clear_faults()
        scenario.ti.try_number += 1
        assert runs.run().ending == "done"
        assert scenario.sandbox.write_count("create_task") == 1

    @in_both_modes
    def test_finds_the_other_tasks_where_one_was_deleted(self, mode: str, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", mode, complete_when="any")
        runs.run_and_fail()
        scenario.sandbox.delete_task(ROOM, scenario.tasks[0])
        result = runs.run((900, complete(1)))
        assert [(task["account_id"], task["status"]) for task in result.value["tasks"]] == [
            (SATO, "deleted"),
            (YAMADA, "done"),
        ]

    @in_both_modes
    def test_fails_permanently_where_too_few_tasks_are_found(self, mode: str, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", mode)
        runs.run_and_fail()
        scenario.sandbox.delete_task(ROOM, scenario.tasks[0])
        result = runs.run()
        assert (result.ending, result.outcome["outcome"]) == ("failed for good", "impossible")
        assert len(new_tasks(scenario)) == 1

    @in_both_modes
    def test_finds_a_task_with_another_assignee(self, mode: str, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", mode)
        runs.run_and_fail()
        scenario.task(0).account_id = company.SUZUKI
        result = runs.run((900, complete(0, 1)))
        assert [task["account_id"] for task in result.value["tasks"]] == [company.SUZUKI, YAMADA]
        assert len(new_tasks(scenario)) == 2

    def test_is_found_in_a_full_room(self, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", "worker")
        runs.run_and_fail(300, (50, complete(0)))
        for status in ("open", "done"):
            fill(scenario, status, company.SUZUKI, 120)
        result = runs.run((900, complete(1)))
        assert result.ending == "done"
        assert scenario.sandbox.write_count("create_task") == 1

    def test_behind_a_hundred_tasks_of_one_person_creates_no_second_task(self, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", "worker", to_ids=[SATO])
        runs.run_and_fail()
        fill(scenario, "open", SATO, 100)
        result = runs.run()
        assert "look into the room" in result.error
        assert scenario.sandbox.write_count("create_task") == 1


def fill(scenario: Scenario, status: str, person: int, count: int) -> None:
    """Hide all tasks of the room behind as many others by the account of the token."""
    room = scenario.sandbox.store.rooms[ROOM]
    if person not in room.roles:
        scenario.sandbox.add_member(ROOM, person)
    for index in range(count):
        [task_id] = scenario.sandbox.create_task(ROOM, company.BOT, [person], f"{index}")
        room.tasks[task_id].status = status
        scenario.before.add(task_id)


class TestClear:
    @in_both_modes
    @with_both_memories
    def test_creates_the_tasks_again(self, mode: str, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, mode)
        assert runs.run((100, complete(0, 1))).ending == "done"
        runs.clear()
        result = runs.run((scenario.now - START + 500, complete_newest))
        assert result.ending == "done"
        assert len(new_tasks(scenario)) == 4

    def test_appends_its_number_to_the_reference(self, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", "worker")
        runs.run((100, complete(0, 1)))
        runs.clear()
        runs.run((scenario.now - START + 500, complete_newest))
        bodies = [task["body"].splitlines()[-1] for task in new_tasks(scenario)]
        assert bodies == ["参照: weekly/2026-11-23"] * 2 + ["参照: weekly/2026-11-23 (2)"] * 2

    @in_both_modes
    def test_keeps_its_retries_from_finding_the_old_tasks(self, mode: str, scenario: Scenario) -> None:
        runs = Runs(scenario, "reference", mode)
        runs.run((100, complete(0, 1)))
        runs.clear()
        runs.run_and_fail(scenario.now - START + 100)
        result = runs.run((scenario.now - START + 500, complete_newest))
        assert result.ending == "done"
        assert len(new_tasks(scenario)) == 4

    @in_both_modes
    @with_both_memories
    def test_gives_its_retries_no_more_time(self, mode: str, memory: str, scenario: Scenario) -> None:
        runs = Runs(scenario, memory, mode)
        assert runs.run().ending == "timed out"
        runs.clear()
        begun = scenario.run_started_at = scenario.now = scenario.now + 5000
        runs.run_and_fail(begun - START + 1000)
        scenario.now += 1000
        assert runs.run().ending == "timed out"
        assert begun + 3600 <= scenario.now <= begun + 3700


class TestRoomFullOfDoneTasks:
    """An account may have many done tasks, of which Chatwork lists no more than 100."""

    @pytest.fixture
    def full(self, scenario: Scenario) -> Scenario:
        fill(scenario, "done", SATO, 100)
        scenario.now += 86400
        for index in range(5):
            scenario.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}")
        return scenario

    def tick_later(self, scenario: Scenario) -> Any:
        return (scenario.now - START + 200, complete(0))

    @pytest.mark.parametrize("memory", [*MEMORIES, "none"])
    def test_gets_a_task_in_spite_of_an_error(
        self, memory: str, full: Scenario, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(monkeypatch, full.sandbox, max_wait=300)
        full.sandbox.add_fault(Fault("status", operation="create_task", status=503, times=1))
        runs = Runs(full, "reference" if memory == "none" else memory, "worker", to_ids=[SATO])
        result = runs.run(self.tick_later(full), **({"reference": None} if memory == "none" else {}))
        assert result.ending == "done"
        assert full.sandbox.write_count("create_task") == 1

    @pytest.mark.parametrize(
        "fault", [{"kind": "refuse"}, {"status": 429}, {"operation": "create_task", "status": 503}], ids=str
    )
    @with_both_memories
    def test_gets_a_task_by_a_retry(self, memory: str, fault: dict[str, Any], full: Scenario) -> None:
        runs = Runs(full, memory, "worker", to_ids=[SATO])
        full.fail_requests(**fault)
        assert runs.run().ending == "failed"
        full.sandbox.clear_faults()
        full.ti.try_number += 1
        full.now += 60
        assert runs.run(self.tick_later(full)).ending == "done"
        assert full.sandbox.write_count("create_task") == 1

    @with_both_memories
    def test_gets_no_second_task_where_the_response_was_lost(self, memory: str, full: Scenario) -> None:
        runs = Runs(full, memory, "worker", to_ids=[SATO])
        full.sandbox.add_fault(Fault("lost_reply", operation="create_task"))
        full.sandbox.add_fault(Fault("status", method="GET", status=500, times=None))
        assert runs.run().ending == "failed"
        full.sandbox.clear_faults()
        full.ti.try_number += 1
        full.now += 60
        assert runs.run(self.tick_later(full)).ending == "done"
        assert full.sandbox.write_count("create_task") == 1
