from __future__ import annotations

from datetime import UTC, datetime

from tests.system_tests.waits.check_results import Finding, each, show
from tests.system_tests.waits.fixtures import SCENARIOS, all_rooms, dags_of, late, room, rooms_of
from tests.system_tests.waits.observations import (
    Instance,
    blocks,
    calls_alone,
    ended_processes,
    noted_ends,
    reminders,
    unix,
    withdrawals,
)


class TestCallsAlone:
    def test_one_at_once_and_one_each_interval(self) -> None:
        waits = [Instance("success", 1, 100.0, 131.0), Instance("success", 1, 100.0, 101.0)]
        assert calls_alone(waits, 15) == 4

    def test_of_what_has_not_ended_nothing_is_known(self) -> None:
        assert calls_alone([Instance("deferred", 1, 100.0, None)], 15) == 0


class TestEndedProcesses:
    def test_by_the_task_instance(self) -> None:
        line = "2026-11-23T06:02:27Z [info] Workload finished [supervisor] exit_code=0 workload_id={} workload_type=x\n"
        log = "".join(line.format(instance) for instance in ("01a2-ff", "01a2-ff", "01a3-00")) + "workload_id=01a2-ff\n"
        assert ended_processes(log) == {"01a2ff": 2, "01a300": 1}


class TestNotedEnds:
    log = (
        "[info] TaskInstance Finished: dag_id=a_1, task_id=one, run_id=x\n"
        "[info] TaskInstance Finished: dag_id=a_2, task_id=two, run_id=x\n"
        "[info] TaskInstance Finished: dag_id=b_1, task_id=three, run_id=x\n"
    )

    def test_those_of_one_dag_are_found(self) -> None:
        assert noted_ends(self.log, "a_1") == {"one"}

    def test_those_of_all_dags_with_a_prefix_are_found(self) -> None:
        assert noted_ends(self.log, "a_%") == {"one", "two"}


class TestBlocks:
    def test_the_seconds_are_parsed(self) -> None:
        assert blocks("Triggerer's async thread was blocked for 1.25 seconds, exceeding\nall is well") == [1.25]


class TestReminders:
    line = "リマインド 2 回目: https://www.chatwork.com/#!rid7-100"

    def test_they_are_counted_by_task_and_number(self) -> None:
        assert reminders([{"body": f"[To:1]\nまだです\n{self.line}"}]) == {("7-100", 2): 1}

    def test_a_duplicate_is_counted_twice(self) -> None:
        assert reminders([{"body": self.line}, {"body": self.line}]) == {("7-100", 2): 2}

    def test_a_message_of_a_person_is_no_reminder(self) -> None:
        assert reminders([{"body": "リマインド 2 回目が来ました"}]) == {}


class TestWithdrawals:
    def test_they_are_counted_by_task(self) -> None:
        body = "取り下げました。\n依頼の取り下げ: http://127.0.0.1:1/#!rid7-100"
        assert withdrawals([{"body": body}, {"body": "依頼の取り下げ: ありがとう"}]) == {"7-100": 1}


class TestUnix:
    def test_a_datetime_of_postgresql_is_converted(self) -> None:
        assert unix(datetime(2027, 1, 15, 8, 0, tzinfo=UTC)) == 1_800_000_000

    def test_a_text_of_sqlite_is_converted(self) -> None:
        assert unix("2027-01-15 08:00:00.500000") == 1_800_000_000.5

    def test_a_missing_time_stays_none(self) -> None:
        assert unix(None) is None


class TestEach:
    def test_values_that_all_hold_are_counted(self) -> None:
        assert each("a", "positive", {"x": 1, "y": 2}, lambda _, value: value > 0) == Finding("a", "positive", "2 of 2")

    def test_values_that_do_not_hold_are_named(self) -> None:
        found = each("a", "positive", {"x": 1, "y": -2}, lambda _, value: value > 0)
        assert found.problem == "1 of 2 are not so: y: -2"

    def test_too_few_values_are_a_problem(self) -> None:
        assert each("a", "positive", {"x": 1}, lambda _, value: value > 0, 2).problem == "1, expected 2"

    def test_no_value_at_all_is_a_problem(self) -> None:
        empty: dict[str, int] = {}
        assert each("a", "positive", empty, lambda _, value: value > 0).problem == "there is none"


class TestShow:
    def test_one_problem_is_enough(self) -> None:
        assert show([Finding("a", "b")])
        assert not show([Finding("a", "b", problem="c"), Finding("a", "b")])


class TestDagsOf:
    def test_each_wait_is_in_one_dag(self) -> None:
        shares = dags_of("a", 60)
        assert list(shares) == ["a_0", "a_1", "a_2"]
        assert [number for share in shares.values() for number in range(60)[share]] == [*range(60)]

    def test_no_waits_need_no_dag(self) -> None:
        assert dags_of("a", 0) == {}


class TestRooms:
    def test_every_scenario_has_a_room_of_its_own(self) -> None:
        assert len({*all_rooms()}) == len(all_rooms())
        assert {*rooms_of("waits_by_worker")}.isdisjoint(rooms_of("waits_by_triggerer"))
        assert {room(scenario, "late") for scenario in SCENARIOS} <= {*all_rooms()}
        assert {*map(late, SCENARIOS)}.isdisjoint(SCENARIOS)
