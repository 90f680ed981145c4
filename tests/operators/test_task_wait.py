"""Waits for assigned tasks have the same result in a worker and in the triggerer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_chatwork.api.call import Upload
from airflow_provider_chatwork.links import PLACE_KEY
from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders.plan import ReminderPlan
from tests.airflow_helpers import FakeStore, connect, new_dag, render
from tests.operators.task_scenarios import ASSIGNEES, MODES, ROOM, Event, Scenario
from tests.virtual_time import START

SATO, YAMADA, TAKAHASHI = ASSIGNEES
in_both_modes = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def scenario(sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    sandbox.limits = Limits.off()
    return Scenario(sandbox, monkeypatch)


@dataclass
class Case:
    """What people do at which second, how the Airflow task ends, and the result of each task."""

    ending: str
    statuses: str = ""
    events: Sequence[Event] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[int, list[str]] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    cause: str | None = None
    outcome: str = ""


def complete(*which: int) -> Callable[[Scenario], object]:
    return lambda scenario: scenario.complete(*which)


def reopen(index: int) -> Callable[[Scenario], object]:
    return lambda scenario: scenario.sandbox.reopen_task(ROOM, scenario.tasks[index])


def delete(index: int) -> Callable[[Scenario], object]:
    def act(scenario: Scenario) -> None:
        scenario.sandbox.delete_task(ROOM, scenario.tasks[index])

    return act


def change(index: int, **values: Any) -> Callable[[Scenario], object]:
    def act(scenario: Scenario) -> None:
        for name, value in values.items():
            setattr(scenario.task(index), name, value)

    return act


def leave(person: int) -> Callable[[Scenario], object]:
    return lambda scenario: scenario.leave(person)


def fail_requests(**fault: Any) -> Callable[[Scenario], object]:
    return lambda scenario: scenario.fail_requests(**fault)


def fail_read(index: int, **fault: Any) -> Callable[[Scenario], object]:
    return lambda scenario: scenario.fail_requests(path=f"/rooms/{ROOM}/tasks/{scenario.tasks[index]}", **fault)


def hide_tasks(scenario: Scenario) -> None:
    """Let all requests for tasks fail."""
    for operation in ("list_tasks", "get_task"):
        scenario.fail_requests(status=503, operation=operation)


def log_of(caplog: Any, capsys: Any) -> str:
    """Return the log, wherever this Airflow writes it."""
    shown = capsys.readouterr()
    return max(caplog.text, shown.out + shown.err, key=len)


def recover(scenario: Scenario) -> None:
    scenario.sandbox.clear_faults()


def remove_from_room(scenario: Scenario) -> None:
    scenario.sandbox.remove_member(ROOM, company.BOT)


def reissue_token(scenario: Scenario) -> None:
    scenario.monkeypatch.setattr(scenario.sandbox, "_tokens", {"another-token": company.BOT})
    connect(scenario.monkeypatch, scenario.sandbox, token="another-token")


def withdraw_as_another_try(scenario: Scenario) -> None:
    message_id = scenario.sandbox.tasks(ROOM)[-1]["message_id"]
    scenario.sandbox.post_message(ROOM, company.BOT, f"依頼の取り下げ: https://example.com/#!rid{ROOM}-{message_id}")
    scenario.complete(0, 1, 2)


def chat(scenario: Scenario) -> None:
    for index in range(120):
        scenario.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}")


DONE3 = "done done done"
CASES = {
    "all": Case("done", DONE3, [(100, complete(1)), (200, complete(0)), (400, complete(2))]),
    "all at once": Case("done", DONE3, [(100, complete(0, 1, 2))]),
    "one person": Case("done", "done", [(100, complete(0))], {"to_ids": SATO}),
    "any": Case("done", "open open done", [(200, complete(2))], {"complete_when": "any"}),
    "two of three": Case("done", "done open done", [(100, complete(2)), (500, complete(0))], {"complete_when": 2}),
    "two as text": Case("done", "open done done", [(100, complete(1, 2))], {"complete_when": "2"}),
    "a task is opened again": Case(
        "done",
        DONE3,
        [(100, complete(0)), (200, reopen(0)), (300, complete(1, 2)), (1000, complete(0))],
        changes={0: ["reopened"]},
    ),
    "the due date is moved": Case(
        "done",
        DONE3,
        [(100, change(0, limit_time=1_800_500_000, limit_type="time")), (300, complete(0, 1, 2))],
        changes={0: ["due_moved"]},
    ),
    "the text is changed": Case(
        "done", DONE3, [(100, change(1, body="別の作業")), (300, complete(0, 1, 2))], changes={1: ["text_changed"]}
    ),
    "the task is handed on": Case(
        "done",
        DONE3,
        [(100, change(1, account_id=company.SUZUKI)), (300, complete(0, 1, 2))],
        changes={1: ["assignee_swapped"]},
    ),
    "everything is changed": Case(
        "done",
        "done",
        [
            (100, change(0, account_id=YAMADA, body="別の作業", limit_time=1_800_500_000, limit_type="date")),
            (300, complete(0)),
        ],
        {"to_ids": SATO},
        changes={0: ["due_moved", "text_changed", "assignee_swapped"]},
    ),
    "a task is deleted": Case("failed for good", "open deleted open", [(100, delete(1))], reasons={1: "deleted"}),
    "a task is deleted and not needed": Case(
        "done",
        "done deleted open",
        [(100, delete(1)), (300, complete(0))],
        {"complete_when": "any"},
        reasons={1: "deleted"},
    ),
    "too few are left": Case(
        "failed for good",
        "done deleted deleted",
        [(100, complete(0)), (200, delete(2)), (200, delete(1))],
        {"complete_when": 2},
        reasons={1: "deleted", 2: "deleted"},
    ),
    "somebody leaves the room": Case(
        "failed for good", "deleted open open", [(100, leave(SATO))], reasons={0: "left_room"}
    ),
    "somebody leaves who is not needed": Case(
        "done",
        "done deleted done",
        [(100, leave(YAMADA)), (200, complete(0, 2))],
        {"complete_when": 2},
        reasons={1: "left_room"},
    ),
    "the only one leaves": Case(
        "failed for good", "deleted", [(100, leave(SATO))], {"to_ids": SATO}, reasons={0: "left_room"}
    ),
    "timeout": Case("timed out", "done open open", [(100, complete(0))]),
    "timeout, to be skipped": Case("skipped", "open open open", [], {"on_timeout": "skip"}),
    "no time at all": Case("timed out", "open open open", [], {"timeout": 0}),
    "done in the last moment": Case("done", DONE3, [(3595, complete(0, 1, 2))], {"poke_interval": 600}),
    "withdrawn at the timeout": Case("timed out", "done withdrawn withdrawn", [(100, complete(0))], {"withdraw": True}),
    "withdrawn where too few are left": Case(
        "failed for good", "withdrawn deleted withdrawn", [(100, delete(1))], {"withdraw": True}, reasons={1: "deleted"}
    ),
    "withdrawn by another run": Case(
        "failed for good", DONE3, [(100, withdraw_as_another_try)], {"withdraw": True}, outcome="withdrawn"
    ),
    "withdrawn without a list of the tasks": Case(
        "timed out",
        "done done withdrawn",
        [(100, complete(0)), (3500, fail_requests(status=503, operation="list_tasks")), (3550, complete(1))],
        {"withdraw": True},
    ),
    "withdrawn as last seen": Case(
        "timed out", "done withdrawn withdrawn", [(100, complete(0)), (3500, hide_tasks)], {"withdraw": True}
    ),
    "done without a list of the tasks": Case(
        "done",
        DONE3,
        [(100, complete(0)), (3500, fail_requests(status=503, operation="list_tasks")), (3550, complete(1, 2))],
    ),
    "deleted without a list of the tasks": Case(
        "failed for good",
        "withdrawn deleted withdrawn",
        [(3500, fail_requests(status=503, operation="list_tasks")), (3550, delete(1))],
        {"withdraw": True},
        reasons={1: "deleted"},
    ),
    "not withdrawn in an outage": Case(
        "timed out", "done open open", [(100, complete(0)), (3500, fail_requests(status=503))], {"withdraw": True}
    ),
    "done in a busy room": Case("done", DONE3, [(100, complete(0, 1, 2)), (100, chat)], {"withdraw": True}),
    "outage": Case("done", DONE3, [(100, fail_requests(status=503)), (400, complete(0, 1, 2)), (1000, recover)]),
    "outage over the end of the time": Case(
        "done",
        DONE3,
        [(3500, fail_requests(status=503)), (3550, complete(0, 1, 2)), (3700, recover)],
        {"withdraw": True},
    ),
    "a task is not known once": Case(
        "done", DONE3, [(100, fail_read(1, status=404, times=1)), (110, complete(1)), (400, complete(0, 2))]
    ),
    "a task cannot be read for a while": Case(
        "done",
        "done done open",
        [(100, fail_read(1, status=503)), (110, complete(1)), (300, complete(0)), (1000, recover)],
        {"complete_when": 2},
    ),
    "others are done while a task cannot be read": Case(
        "done",
        "done open done",
        [(100, fail_read(1, status=503)), (110, complete(1)), (300, complete(0)), (400, complete(2))],
        {"complete_when": 2},
    ),
    "a task is refused": Case(
        "failed for good",
        events=[(100, fail_read(1, status=400)), (110, complete(1))],
        cause="ChatworkInvalidRequestError",
    ),
    "no network up to the timeout": Case(
        "timed out", "open open open", [(100, fail_requests(kind="refuse")), (200, complete(0, 1, 2))]
    ),
    "rate limit": Case("done", DONE3, [(100, fail_requests(status=429)), (400, recover), (500, complete(0, 1, 2))]),
    "re-issued token": Case("done", DONE3, [(100, reissue_token), (500, complete(0, 1, 2))], changes={}),
    "lost room": Case("failed for good", events=[(100, remove_from_room)], cause="ChatworkForbiddenError"),
    "revoked token": Case("failed for good", events=[(100, fail_requests(status=401))], cause="ChatworkAuthError"),
    "redirect": Case(
        "failed for good", events=[(100, fail_requests(status=302))], cause="ChatworkUnexpectedResponseError"
    ),
}


class TestBothModes:
    @in_both_modes
    @pytest.mark.parametrize("name", CASES)
    def test_have_the_same_result(self, mode: str, name: str, scenario: Scenario) -> None:
        case = CASES[name]
        result = scenario.run(mode, case.events, **case.arguments)
        assert (result.ending, result.cause) == (case.ending, case.cause), result.error
        if case.cause is not None:
            assert scenario.now < START + 300
        assert (result.outcome is None) == (not case.statuses)
        if result.outcome is None:
            return
        tasks = result.outcome["tasks"]
        assert " ".join(task["status"] for task in tasks) == case.statuses
        assert {at: task["changes"] for at, task in enumerate(tasks) if task["changes"]} == case.changes
        assert {at: task["reason"] for at, task in enumerate(tasks) if task["reason"]} == case.reasons
        words = {"done": "done", "timed out": "timed_out", "skipped": "timed_out", "failed for good": "impossible"}
        assert result.outcome["outcome"] == (case.outcome or words[result.ending])
        assert scenario.sandbox.write_count("create_task") == 1


class TestResult:
    @in_both_modes
    def test_has_all_fields_of_each_task(self, mode: str, scenario: Scenario) -> None:
        result = scenario.run(mode, [(100, complete(0)), (200, complete(1))], to_ids=[SATO, YAMADA])
        message_id = scenario.sandbox.tasks(ROOM)[-1]["message_id"]
        first, second = scenario.tasks
        assert result.value == {
            "outcome": "done",
            "room_id": ROOM,
            "message_id": message_id,
            "link": f"{scenario.sandbox.address}/#!rid{ROOM}-{message_id}",
            "tasks": [
                {
                    "task_id": first,
                    "account_id": SATO,
                    "account_name": "佐藤 花子",
                    "status": "done",
                    "seen_done_at": result.value["tasks"][0]["seen_done_at"],
                    "changes": [],
                    "reason": None,
                },
                {
                    "task_id": second,
                    "account_id": YAMADA,
                    "account_name": "山田 太郎",
                    "status": "done",
                    "seen_done_at": result.value["tasks"][1]["seen_done_at"],
                    "changes": [],
                    "reason": None,
                },
            ],
        }
        for task, done_at in zip(result.value["tasks"], (100, 200), strict=True):
            assert 0 <= task["seen_done_at"] - START - done_at <= 61

    @in_both_modes
    def test_is_complete_where_the_members_cannot_be_read(self, mode: str, scenario: Scenario) -> None:
        scenario.sandbox.add_fault(Fault("status", operation="list_members", status=500, times=None))
        people = {"to_ids": [SATO, YAMADA], "complete_when": "any"}
        result = scenario.run(mode, [(100, delete(1)), (200, complete(0))], **people)
        assert [(task["status"], task["reason"]) for task in result.value["tasks"]] == [
            ("done", None),
            ("deleted", "deleted"),
        ]

    @in_both_modes
    def test_requests_no_messages_and_members_without_need(self, mode: str, scenario: Scenario) -> None:
        scenario.run(mode, [(100, complete(0))], to_ids=SATO)
        operations = [request.operation for request in scenario.sandbox.requests]
        assert "list_messages" not in operations
        assert "list_members" not in operations
        assert "get_me" not in operations

    @in_both_modes
    def test_comes_at_the_next_poll(self, mode: str, scenario: Scenario) -> None:
        scenario.run(mode, [(100, complete(0)), (200, complete(1)), (1000, complete(2))])
        assert START + 1000 <= scenario.now <= START + 1062

    @in_both_modes
    def test_is_the_same_where_somebody_uploads_a_file_at_that_time(self, mode: str, scenario: Scenario) -> None:
        def upload(scenario: Scenario) -> None:
            scenario.sandbox.upload_file(ROOM, YAMADA, Upload("a.csv", b"1"))

        result = scenario.run(mode, [(100, complete(0)), (101, upload)], to_ids=SATO)
        assert (result.ending, result.value["tasks"][0]["status"]) == ("done", "done")

    @in_both_modes
    def test_links_to_the_message(self, mode: str, scenario: Scenario) -> None:
        result = scenario.run(mode, [(100, complete(0))], to_ids=SATO)
        assert result.xcoms[PLACE_KEY] == {
            "web_url": str(scenario.sandbox.address),
            "room_id": str(ROOM),
            "message_id": result.value["message_id"],
        }

    @in_both_modes
    def test_is_the_same_after_an_outage_at_the_beginning(self, mode: str, scenario: Scenario) -> None:
        scenario.sandbox.add_fault(Fault("status", method="GET", status=503, times=2))
        result = scenario.run(mode, [(100, complete(0))], to_ids=SATO)
        assert result.ending == "done"
        assert result.value["message_id"] == result.xcoms[PLACE_KEY]["message_id"]
        assert scenario.sandbox.write_count("create_task") == 1


class TestReminders:
    NAG: ClassVar[dict[str, Any]] = {"quiet_hours": None, "business_days_only": False}

    @in_both_modes
    def test_are_sent_while_tasks_are_open(self, mode: str, scenario: Scenario) -> None:
        reminder = Reminder(after=600, every=600, **self.NAG)
        result = scenario.run(mode, [(100, complete(0)), (1300, complete(1, 2))], reminders=reminder)
        assert result.ending == "done"
        assert [f"[To:{person}]" in scenario.posted[0] for person in ASSIGNEES] == [False, True, True]
        assert len(scenario.posted) == 2

    @in_both_modes
    def test_read_messages_only_when_they_are_due(self, mode: str, scenario: Scenario) -> None:
        scenario.run(mode, [(3000, complete(0, 1, 2))], reminders=Reminder(after=600, **self.NAG))
        looks = sum(request.operation == "list_messages" for request in scenario.sandbox.requests)
        # Before and after the reminder, and once at the result.
        assert looks <= 3

    @in_both_modes
    def test_may_be_several_and_plain_json(self, mode: str, scenario: Scenario) -> None:
        reminders = [Reminder(after=600, **self.NAG), {"after": "PT20M", **self.NAG}]
        scenario.run(mode, [(1900, complete(0, 1, 2))], reminders=reminders)
        assert len(scenario.posted) == 2

    @in_both_modes
    def test_do_not_mention_people_who_were_done_just_before(self, mode: str, scenario: Scenario) -> None:
        reminder = Reminder(after=650, **self.NAG)
        scenario.run(mode, [(640, complete(0)), (1900, complete(1, 2))], reminders=reminder, poke_interval=500)
        [posted] = scenario.posted
        assert f"[To:{SATO}]" not in posted
        assert f"[To:{YAMADA}]" in posted

    @in_both_modes
    def test_are_not_sent_where_all_tasks_were_done_just_before(self, mode: str, scenario: Scenario) -> None:
        reminder = Reminder(after=650, **self.NAG)
        result = scenario.run(mode, [(640, complete(0, 1, 2))], reminders=reminder, poke_interval=500)
        assert (result.ending, scenario.posted) == ("done", [])

    @in_both_modes
    def test_follow_a_moved_due_date(self, mode: str, scenario: Scenario) -> None:
        reminder = Reminder(before_due=600, **self.NAG)
        moved = change(0, limit_time=int(START + 2000), limit_type="time")
        posted: list[int] = []
        count = [(at, lambda scenario: posted.append(len(scenario.posted))) for at in (1390, 1500)]
        scenario.run(mode, [(100, moved), *count, (1600, complete(0))], to_ids=SATO, due="PT3H", reminders=reminder)
        assert posted == [0, 1]

    @in_both_modes
    def test_are_sent_after_an_outage(self, mode: str, scenario: Scenario) -> None:
        reminder = Reminder(after=600, **self.NAG)
        result = scenario.run(
            mode, [(500, fail_requests(status=503)), (900, recover), (3000, complete(0, 1, 2))], reminders=reminder
        )
        assert (result.ending, len(scenario.posted)) == ("done", 1)

    @in_both_modes
    def test_are_not_sent_before_the_tasks_can_be_read(self, mode: str, scenario: Scenario) -> None:
        posted: list[int] = []
        events: list[Event] = [
            (500, hide_tasks),
            (520, complete(0)),
            (1490, lambda scenario: posted.append(len(scenario.posted))),
            (1500, recover),
            (3000, complete(1, 2)),
        ]
        result = scenario.run(mode, events, reminders=Reminder(after=600, **self.NAG))
        assert (result.ending, posted) == ("done", [0])
        [reminder] = scenario.posted
        assert [f"[To:{person}]" in reminder for person in ASSIGNEES] == [False, True, True]
        looks = [request for request in scenario.sandbox.requests if request.operation == "list_tasks"]
        assert len(looks) <= 3000 / 60 + 20

    @in_both_modes
    def test_that_are_refused_do_not_end_the_wait(self, mode: str, scenario: Scenario) -> None:
        scenario.sandbox.add_fault(Fault("status", operation="post_message", status=403, times=None))
        reminder = Reminder(after=600, **self.NAG)
        result = scenario.run(mode, [(1000, complete(0, 1, 2))], reminders=reminder)
        assert (result.ending, scenario.posted) == ("done", [])

    @in_both_modes
    def test_escalation_is_sent_once(self, mode: str, scenario: Scenario) -> None:
        escalation = Escalation(grace=60, mentions=company.SUZUKI, **self.NAG)
        scenario.run(mode, [(2000, complete(0))], to_ids=SATO, due="PT10M", escalation=escalation)
        [posted] = scenario.posted
        assert f"[To:{company.SUZUKI}]" in posted

    @in_both_modes
    def test_are_not_sent_after_the_deadline(self, mode: str, scenario: Scenario) -> None:
        result = scenario.run(mode, reminders=Reminder(after=3600, **self.NAG))
        assert (result.ending, scenario.posted) == ("timed out", [])


class TestUnreachableReminders:
    """The sentences are tested with ``unreachable_reminders``."""

    NAG = TestReminders.NAG

    @in_both_modes
    def test_are_logged_as_warnings(self, mode: str, scenario: Scenario, caplog: Any, capsys: Any) -> None:
        wishes = {"reminders": Reminder(before_due=600, **self.NAG), "escalation": Escalation(mentions=1, **self.NAG)}
        scenario.run(mode, [(100, complete(0))], to_ids=SATO, **wishes)
        log = log_of(caplog, capsys)
        for name in ("reminder", "escalation"):
            assert log.count(f"The {name} is not sent, as the task has no due date") == 1

    @in_both_modes
    def test_are_not_logged_where_all_are_sent(self, mode: str, scenario: Scenario, caplog: Any, capsys: Any) -> None:
        wishes = {"reminders": Reminder(before_due=600, **self.NAG), "escalation": Escalation(mentions=1, **self.NAG)}
        scenario.run(mode, [(100, complete(0))], to_ids=SATO, due="PT30M", **wishes)
        assert "is not sent" not in log_of(caplog, capsys)


class TestFailedWithdrawal:
    @in_both_modes
    def test_reports_the_tasks_it_has_closed(self, mode: str, scenario: Scenario, caplog: Any, capsys: Any) -> None:
        cut = fail_requests(operation="set_task_status", status=503, after=1)
        result = scenario.run(mode, [(3500, cut)], withdraw=True)
        assert result.ending == "timed out"
        assert [task["status"] for task in result.outcome["tasks"]] == ["withdrawn", "open", "open"]
        assert statuses(scenario) == ["done", "open", "open"]
        assert log_of(caplog, capsys).count("Some open tasks could not be withdrawn") == 1

    @in_both_modes
    @pytest.mark.parametrize("since", ["the end", "the beginning"])
    def test_is_one_error_in_the_log(self, mode: str, since: str, scenario: Scenario, caplog: Any, capsys: Any) -> None:
        if since == "the beginning":
            hide_tasks(scenario)
            result = scenario.run(mode, withdraw=True)
        else:
            result = scenario.run(mode, [(3500, fail_requests(status=503))], withdraw=True)
        assert result.ending == "timed out"
        assert [task["status"] for task in result.outcome["tasks"]] == ["open"] * 3
        assert scenario.posted == []
        log = log_of(caplog, capsys)
        assert log.count("could not be withdrawn") == 1
        assert "the wait goes on" not in log.partition("at the end of the wait")[2]


class TestRestartOfTheTriggerer:
    def test_keeps_the_deadline_and_sends_no_reminder_again(self, scenario: Scenario) -> None:
        stop = [(at, Scenario.stop_triggerer) for at in (700, 1300, 1310)]
        reminder = Reminder(after=600, every=600, at_most=2, **TestReminders.NAG)
        result = scenario.run("triggerer", [*stop, (100, complete(0))], reminders=reminder)
        assert result.ending == "timed out"
        assert START + 3600 <= scenario.now <= START + 3700
        assert len(scenario.posted) == 2
        assert [task["status"] for task in result.outcome["tasks"]] == ["done", "open", "open"]

    def test_keeps_the_fields_that_were_seen_first(self, scenario: Scenario) -> None:
        moved = change(0, limit_time=1_800_500_000, limit_type="time")
        result = scenario.run(
            "triggerer", [(100, moved), (700, Scenario.stop_triggerer), (900, complete(0))], to_ids=SATO
        )
        assert result.value["tasks"][0]["changes"] == ["due_moved"]

    def test_sends_nothing_to_chatwork(self, scenario: Scenario) -> None:
        stop = [(at, Scenario.stop_triggerer) for at in (700, 1300, 1310)]
        scenario.run("triggerer", [*stop, (1800, complete(0, 1, 2))], withdraw=True)
        written = [request.operation for request in scenario.sandbox.requests if request.method != "GET"]
        assert written == ["create_task"]


def statuses(scenario: Scenario) -> list[str]:
    by_id = {task["task_id"]: task["status"] for task in scenario.sandbox.tasks(ROOM)}
    return [by_id[task_id] for task_id in scenario.tasks]


class TestOnKill:
    def kill(self, scenario: Scenario, mode: str, **arguments: Any) -> Any:
        """Mark the Airflow task as failed while it waits."""
        scenario.on_stop = lambda trigger: trigger.on_kill()
        act = Scenario.kill_worker if mode == "worker" else Scenario.stop_triggerer
        return scenario.run(mode, [(100, complete(0)), (200, act)], **arguments)

    @in_both_modes
    def test_withdraws_open_tasks_and_posts_why(self, mode: str, scenario: Scenario) -> None:
        result = self.kill(scenario, mode, withdraw=True)
        assert result.ending == ("failed for good" if mode == "worker" else "failed")
        assert statuses(scenario) == ["done", "done", "done"]
        [posted] = scenario.posted
        assert "Airflow 側で待機が取り消されたため" in posted
        ticked = [request.path for request in scenario.sandbox.requests if request.operation == "set_task_status"]
        assert len(ticked) == 2

    @in_both_modes
    def test_leaves_the_tasks_without_withdraw(self, mode: str, scenario: Scenario) -> None:
        self.kill(scenario, mode)
        assert scenario.now < START + 300
        assert statuses(scenario) == ["done", "open", "open"]
        assert scenario.posted == []

    @in_both_modes
    def test_leaves_the_tasks_of_others_open_where_enough_are_done(self, mode: str, scenario: Scenario) -> None:
        self.kill(scenario, mode, withdraw=True, complete_when="any", poke_interval=600)
        assert statuses(scenario) == ["done", "open", "open"]
        assert scenario.posted == []

    @pytest.mark.parametrize("withdraw", [False, True])
    def test_leaves_a_worker_to_the_retries_of_airflow(self, withdraw: bool, scenario: Scenario) -> None:
        scenario.store = FakeStore()
        result = self.kill(scenario, "worker", withdraw=withdraw)
        assert (result.ending, result.error) == ("failed", f"The wait for tasks in room {ROOM} was ended in Airflow")

    def test_during_a_poll_withdraws_the_tasks_as_well(
        self, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(monkeypatch, scenario.sandbox, max_wait=300)
        scenario.store = FakeStore()
        fail_once = lambda scenario: scenario.fail_requests(operation="list_tasks", status=503, times=1)  # noqa: E731
        result = scenario.run("worker", [(100, fail_once), (120.5, Scenario.kill_worker)], withdraw=True)
        assert (result.ending, result.error) == ("failed", f"The wait for tasks in room {ROOM} was ended in Airflow")
        assert statuses(scenario) == ["done"] * 3

    def test_fails_a_worker_permanently_where_a_retry_cannot_find_the_tasks(self, scenario: Scenario) -> None:
        result = self.kill(scenario, "worker")
        assert (result.ending, result.error) == (
            "failed for good",
            f"The wait for tasks in room {ROOM} was ended in Airflow. "
            "It is not retried, as people would get the task twice.",
        )

    @in_both_modes
    def test_never_ends_as_done(self, mode: str, scenario: Scenario) -> None:
        assert self.kill(scenario, mode, withdraw=True).ending != "done"

    @pytest.mark.parametrize("mode", [*MODES, "another triggerer"])
    def test_withdraws_the_tasks_as_last_seen_where_they_cannot_be_read(self, mode: str, scenario: Scenario) -> None:
        def kill(scenario: Scenario) -> None:
            hide_tasks(scenario)
            (Scenario.kill_worker if mode == "worker" else Scenario.stop_triggerer)(scenario)

        def on_kill(trigger: Any) -> Any:
            # Another one has nothing but its arguments.
            return (type(trigger)(**trigger.serialize()[1]) if mode == "another triggerer" else trigger).on_kill()

        scenario.on_stop = on_kill
        scenario.run("worker" if mode == "worker" else "triggerer", [(100, complete(0)), (200, kill)], withdraw=True)
        assert statuses(scenario) == ["done", "done", "done"]
        assert len(scenario.posted) == 1

    @in_both_modes
    def test_withdraws_the_rest_where_some_were_deleted(self, mode: str, scenario: Scenario) -> None:
        scenario.on_stop = lambda trigger: trigger.on_kill()

        def delete_and_kill(scenario: Scenario) -> None:
            delete(1)(scenario)
            (Scenario.kill_worker if mode == "worker" else Scenario.stop_triggerer)(scenario)

        scenario.run(mode, [(200, delete_and_kill)], withdraw=True)
        assert {task["status"] for task in scenario.sandbox.tasks(ROOM) if task["task_id"] in scenario.tasks} == {
            "done"
        }

    def test_posts_why_in_english(self, scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
        connect(monkeypatch, scenario.sandbox, lang="en")
        self.kill(scenario, "triggerer", withdraw=True)
        assert "the wait was ended in Airflow" in scenario.posted[0]

    def test_before_or_after_the_wait_sends_nothing(self, scenario: Scenario) -> None:
        operator = scenario.operator("worker", withdraw=True)
        operator.on_kill()
        assert scenario.run("worker", [(100, complete(0, 1, 2))], withdraw=True).ending == "done"
        scenario.kill_worker()
        assert [request for request in scenario.sandbox.requests if request.operation == "set_task_status"] == []


class TestTriggerWithoutAnEvent:
    """Airflow resumes the task with an error text and without an event."""

    def defer(self, scenario: Scenario, **arguments: Any) -> Callable[[dict[str, Any]], Any]:
        context: Any = {"ti": scenario.ti}
        with pytest.raises(TaskDeferred):
            scenario.operator("triggerer", **arguments).execute(context)
        return lambda kwargs: scenario.operator("triggerer", **arguments).resume_execution("__fail__", kwargs, context)

    # The first is how Airflow 3 says it, the second how 2.11 does.
    @pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
    @pytest.mark.parametrize(
        ("on_timeout", "end"), [("fail", AirflowSensorTimeout), ("skip", AirflowSkipException)], ids=str
    )
    def test_long_after_the_deadline_is_a_timeout(
        self, error: str, on_timeout: str, end: type[Exception], scenario: Scenario
    ) -> None:
        resume = self.defer(scenario, on_timeout=on_timeout, withdraw=True)
        scenario.complete(0)
        scenario.now += 5000
        with pytest.raises(end):
            resume({"error": error})
        outcome = scenario.ti.xcoms["chatwork_outcome"]
        assert [task["status"] for task in outcome["tasks"]] == ["done", "withdrawn", "withdrawn"]
        assert statuses(scenario) == ["done"] * 3

    def test_counts_what_people_have_done(self, scenario: Scenario) -> None:
        resume = self.defer(scenario)
        scenario.complete(0, 1, 2)
        scenario.now += 5000
        assert resume({"error": "Trigger timeout"})["outcome"] == "done"

    def test_because_it_failed_fails_the_task_permanently(self, scenario: Scenario) -> None:
        resume = self.defer(scenario)
        with pytest.raises(AirflowFailException, match="twice"):
            resume({"error": "Trigger failure", "traceback": ["..."]})

    @pytest.mark.parametrize("memory", ["store", "reference"])
    def test_because_it_failed_is_retried_where_the_tasks_can_be_found(self, memory: str, scenario: Scenario) -> None:
        context: Any = {"ti": scenario.ti, "task_state_store": FakeStore() if memory == "store" else None}
        operator = scenario.operator("triggerer", reference="x" if memory == "reference" else None)
        with pytest.raises(TaskDeferred):
            operator.execute(context)
        with pytest.raises(Exception, match="Trigger failure") as caught:
            operator.resume_execution("__fail__", {"error": "Trigger failure"}, context)
        assert not isinstance(caught.value, AirflowFailException)


class TestDeferral:
    def deferred(self, scenario: Scenario, **arguments: Any) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            scenario.operator("triggerer", **arguments).execute({"ti": scenario.ti})
        return caught.value

    def test_passes_every_option_to_the_trigger(
        self, scenario: Scenario, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(monkeypatch, sandbox, conn_id="chatwork_second", lang="en", timezone="UTC")
        reminder, escalation = Reminder(after=600), Escalation(mentions=company.SUZUKI)
        deferred = self.deferred(
            scenario,
            chatwork_conn_id="chatwork_second",
            reminders=reminder,
            escalation=escalation,
            complete_when=2,
            poke_interval="PT2M",
            timeout=timedelta(hours=2),
            withdraw=True,
            due="P1D",
        )
        _, arguments = deferred.trigger.serialize()
        given = arguments.pop("assigned")
        assert json.loads(json.dumps(arguments)) == {
            "chatwork_conn_id": "chatwork_second",
            "poke_interval": 120.0,
            "deadline": START + 7200,
            "exponential_backoff": False,
            "max_interval": None,
            "silent_fail": False,
            "plan": ReminderPlan(reminders=reminder, escalation=escalation, zone="UTC", lang="en").to_plain(),
            "withdraw": True,
        }
        assert (given["room_id"], given["needed"], given["created_at"]) == (ROOM, 2, START)
        assert given["message_id"] == sandbox.tasks(ROOM)[-1]["message_id"]
        assert [track["task_id"] for track in given["tasks"]] == scenario.tasks
        assert [track["first_seen"]["limit_time"] for track in given["tasks"]] == [START + 86400] * 3

    def test_has_a_later_timeout_than_the_trigger(self, scenario: Scenario) -> None:
        assert self.deferred(scenario, timeout=60).timeout > timedelta(seconds=60)

    def test_contains_no_token(self, scenario: Scenario) -> None:
        deferred = self.deferred(scenario)
        assert scenario.sandbox.token not in json.dumps(deferred.trigger.serialize())

    def test_is_not_needed_where_the_tasks_are_done_already(self, scenario: Scenario) -> None:
        scenario.sandbox.complete_tasks_after = 0
        assert scenario.operator("triggerer").execute({"ti": scenario.ti})["outcome"] == "done"

    def test_is_not_needed_without_a_wait(self, scenario: Scenario) -> None:
        assert scenario.operator("triggerer", wait_for_completion=False).execute({"ti": scenario.ti}) == scenario.tasks


class TestArguments:
    @in_both_modes
    @pytest.mark.parametrize(
        ("arguments", "posted"),
        [
            ({"complete_when": 4}, "complete_when=4: give 'all', 'any' or a number from 1 to 3"),
            ({"complete_when": "most"}, "complete_when='most'"),
            ({"poke_interval": "often"}, "poke_interval='often'"),
            ({"poke_interval": -1}, "poke_interval=-1"),
            ({"timeout": "P1M"}, "^timeout=.*give days"),
            ({"timeout": -1}, "timeout=-1"),
            ({"on_timeout": "approve"}, "on_timeout='approve': give one of fail, skip"),
            ({"reminders": {"after": "soon"}}, "after='soon'"),
            ({"reminders": {"often": True}}, "reminders.often"),
            ({"escalation": {}}, "mentions"),
            ({"reference": "a\nb"}, "reference='a\\\\nb': give one line"),
            ({"reference": " "}, "reference=' ': give one line"),
            ({"reference": "x" * 1001}, "at most 1000 characters"),
            ({"body": ""}, "body=''"),
            ({"body": "", "reference": "x"}, "body=''"),
            ({"body": "x" * 65535, "reference": "x"}, "at most 65535"),
            ({"to_ids": []}, "at least one id"),
            ({"room_id": "x"}, "room_id='x'"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_that_are_wrong_send_nothing(
        self, mode: str, arguments: dict[str, Any], posted: str, scenario: Scenario
    ) -> None:
        result = scenario.run(mode, **arguments)
        assert (result.ending, result.cause) == ("failed for good", "ChatworkParameterError")
        assert re.search(posted, result.error), result.error
        assert scenario.sandbox.requests == []

    @pytest.mark.parametrize(
        "arguments",
        [{"reminders": Reminder(after=600)}, {"escalation": Escalation(mentions=1)}, {"withdraw": True}],
        ids=lambda arguments: next(iter(arguments)),
    )
    def test_of_a_wait_are_refused_without_one(self, arguments: dict[str, Any], scenario: Scenario) -> None:
        result = scenario.run("worker", wait_for_completion=False, **arguments)
        assert f"{next(iter(arguments))}=" in result.error
        assert "wait_for_completion" in result.error
        assert scenario.sandbox.requests == []

    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_may_be_templates(self, native: bool, scenario: Scenario) -> None:
        values = {
            "complete_when": 2,
            "timeout": 1800,
            "poke_interval": 30,
            "on_timeout": "skip",
            "reference": "{{ r }}",
            "after": "PT10M",
        }
        templates = {name: f"{{{{ v['{name}'] }}}}" for name in values}
        after = templates.pop("after")
        reminders = {"after": after, "quiet_hours": None, "business_days_only": False}
        with new_dag("d", render_template_as_native_obj=native):
            operator = scenario.operator("worker", **templates, reminders=[reminders])
        with pytest.raises(AirflowSkipException):
            render(operator, v=values).execute({"ti": scenario.ti})
        assert scenario.now == START + 1800
        assert len(scenario.posted) == 1
        assert scenario.sandbox.tasks(ROOM)[-1]["body"].endswith("参照: {{ r }}")

    @in_both_modes
    def test_poll_at_most_once_a_second(self, mode: str, scenario: Scenario) -> None:
        scenario.run(mode, [(10, complete(0))], to_ids=SATO, poke_interval=0)
        assert sum(request.operation == "get_task" for request in scenario.sandbox.requests) <= 14
