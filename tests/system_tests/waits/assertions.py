"""What must be true after a triggerer was killed."""

from __future__ import annotations

from collections import Counter

from airflow_provider_chatwork.sandbox.company import BOT
from tests.system_tests.waits.check_results import Finding, each
from tests.system_tests.waits.fixtures import (
    GIVEN,
    ONE_TRIGGERER,
    SAID,
    SENSORS,
    TOO_SHORT,
    TWO_TRIGGERERS,
    late,
    processes_of,
    room,
)
from tests.system_tests.waits.observations import Instance, reminders, results, withdrawals
from tests.system_tests.waits.scenarios import Scenario

_ALL = SENSORS + GIVEN + SAID + 2 + 2
#: Unix seconds are whole in Chatwork.
_SECOND = 1.0


def judge(scenario: Scenario) -> list[Finding]:
    """Say what is so, and what is not."""
    name = scenario.name
    found = scenario.instances
    ended = {task: instance for task, instance in found.items() if not task.startswith("late.")}
    lates = {task: instance for task, instance in found.items() if task.startswith("late.")}
    taken_back = [message for message in scenario.messages("given_0", "given_1") if message["deleted"]]
    seen = scenario.reminded() - reminders(taken_back)
    return [
        Finding(
            name,
            "the triggerer died between a reminder and the answer to it",
            f"{scenario.under_way} on their way",
            "" if scenario.under_way else "no reminder was on its way",
        ),
        each(name, "every wait has ended with success, at its first try", ended, _is_success, _ALL - 2),
        each(
            name,
            "every wait has begun and ended once",
            scenario.processes(),
            lambda task, count: count in processes_of(task),
        ),
        each(name, "every wait has its result", _results(scenario), lambda _, result: result == "right", _ALL - 2),
        each(name, "no reminder came twice", seen, lambda _, times: times == 1),
        Finding(
            name,
            "no reminder had to be taken back, where one triggerer sends them",
            f"{len(taken_back)} of {seen.total() + len(taken_back)} were",
            # Of two, the one that is taken for dead may live.
            f"{len(taken_back)} were" if taken_back and name == ONE_TRIGGERER else "",
        ),
        _nobody_asked_twice(scenario),
        _nothing_withdrawn(scenario),
        each(name, "the deadlines are those from before", lates, lambda _, each: _is_in_time(scenario, each), 2),
        _withdrawn_once(scenario),
    ]


def _is_success(_: str, instance: Instance) -> bool:
    return instance.state == "success" and instance.tries <= 1


def _results(scenario: Scenario) -> dict[str, str]:
    returned = results(scenario.airflow, scenario.name)
    found = {}
    for task in scenario.instances:
        if task.startswith("late."):
            continue
        kind, _, rest = task.rpartition("_")
        value = returned.get(task)
        try:
            if kind == "give":
                right = value["outcome"] == "done" and [one["status"] for one in value["tasks"]] == ["done"]
            elif kind == "hear":
                right = f"入荷 {rest} 番" in value["text"]
            elif kind == "ask":
                right = value["choice"] == "承認" and len(value["decided_by"]) == {"any": 1, "all": 2}[rest]
            else:
                right = [(str(one["task_id"]), one["status"]) for one in value] == [(rest, "done")]
        except (TypeError, KeyError):
            right = False
        found[task] = "right" if right else str(value)
    return found


def _nobody_asked_twice(scenario: Scenario) -> Finding:
    rooms = {room(scenario.name, f"given_{number}") for number in range(2)}
    state = scenario.sandbox.read("state")["rooms"]
    given = Counter(task["body"] for each in state if each["room_id"] in rooms for task in each["tasks"])
    # A hint how to answer would be one more.
    asked = Counter(message["body"] for message in scenario.messages("talk") if message["account_id"] == BOT)
    twice = [body for body, times in (given + asked).items() if times > 1]
    problem = f"twice: {twice[:2]}" if twice else ""
    if len(given) != GIVEN or len(asked) != 2:
        problem = problem or f"{len(given)} tasks and {len(asked)} questions, expected {GIVEN} and 2"
    return Finding(
        scenario.name, "nobody was given a task or asked twice", f"{len(given)} tasks, {len(asked)} questions", problem
    )


def _nothing_withdrawn(scenario: Scenario) -> Finding:
    said = withdrawals(scenario.messages("given_0", "given_1"))
    problem = f"{said.total()} were" if said else ""
    if scenario.name == TWO_TRIGGERERS and not scenario.taken_away:
        problem = problem or "no wait was taken from the triggerer that stood still"
    expected = "no task was withdrawn for which somebody still waits"
    return Finding(
        scenario.name, expected, f"{scenario.taken_away} waits were taken from a triggerer that lived", problem
    )


def _is_in_time(scenario: Scenario, instance: Instance) -> bool:
    if instance.state != "skipped" or instance.began is None or instance.ended is None:
        return False
    # A clock that had started anew would have shown the end only so long after the death.
    started_anew = scenario.killed_at + TOO_SHORT
    due = instance.began + TOO_SHORT
    return scenario.killed_at < due and due - _SECOND <= instance.ended < started_anew


def _withdrawn_once(scenario: Scenario) -> Finding:
    expected = "open tasks were withdrawn at the deadline, with one message"
    said = withdrawals(scenario.messages("late"))
    [tasks] = [
        each["tasks"]
        for each in scenario.sandbox.read("state")["rooms"]
        if each["room_id"] == room(scenario.name, "late")
    ]
    left = [task["task_id"] for task in tasks if task["body"] == "誰もしない棚卸し" and task["status"] != "done"]
    problem = "" if said.total() == 1 and not left else f"{said.total()} messages; open: {left}"
    return Finding(scenario.name, expected, f"in {late(scenario.name)}", problem)
