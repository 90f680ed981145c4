"""Waiting for people who were given a task: the same in a worker and in the triggerer."""

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
from tests.operators.chores import MODES, PEOPLE, ROOM, Happening, Office
from tests.virtual_time import START

SATO, YAMADA, TAKAHASHI = PEOPLE
in_both_modes = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def office(sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> Office:
    sandbox.limits = Limits.off()
    return Office(sandbox, monkeypatch)


@dataclass
class Scenario:
    """What people do at which second, how the Airflow task ends, and what became of each of the tasks."""

    how: str
    statuses: str = ""
    happenings: Sequence[Happening] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[int, list[str]] = field(default_factory=dict)
    whys: Mapping[int, str] = field(default_factory=dict)
    cause: str | None = None
    outcome: str = ""


def tick(*which: int) -> Callable[[Office], object]:
    return lambda office: office.tick(*which)


def untick(index: int) -> Callable[[Office], object]:
    return lambda office: office.sandbox.reopen_task(ROOM, office.tasks[index])


def delete(index: int) -> Callable[[Office], object]:
    def act(office: Office) -> None:
        office.sandbox.delete_task(ROOM, office.tasks[index])

    return act


def change(index: int, **values: Any) -> Callable[[Office], object]:
    def act(office: Office) -> None:
        for name, value in values.items():
            setattr(office.task(index), name, value)

    return act


def leave(person: int) -> Callable[[Office], object]:
    return lambda office: office.leave(person)


def break_down(**fault: Any) -> Callable[[Office], object]:
    return lambda office: office.break_down(**fault)


def break_read(index: int, **fault: Any) -> Callable[[Office], object]:
    return lambda office: office.break_down(path=f"/rooms/{ROOM}/tasks/{office.tasks[index]}", **fault)


def hide_the_tasks(office: Office) -> None:
    """Let Chatwork answer everything but how tasks stand."""
    for operation in ("list_tasks", "get_task"):
        office.break_down(status=503, operation=operation)


def log_of(caplog: Any, capsys: Any) -> str:
    """What was logged, wherever this Airflow does that."""
    shown = capsys.readouterr()
    return max(caplog.text, shown.out + shown.err, key=len)


def recover(office: Office) -> None:
    office.sandbox.clear_faults()


def lose_the_room(office: Office) -> None:
    office.sandbox.remove_member(ROOM, company.BOT)


def reissue_the_token(office: Office) -> None:
    office.monkeypatch.setattr(office.sandbox, "_tokens", {"another-token": company.BOT})
    connect(office.monkeypatch, office.sandbox, token="another-token")


def withdraw_as_another(office: Office) -> None:
    message_id = office.sandbox.tasks(ROOM)[-1]["message_id"]
    office.sandbox.post_message(ROOM, company.BOT, f"依頼の取り下げ: https://example.com/#!rid{ROOM}-{message_id}")
    office.tick(0, 1, 2)


def chat(office: Office) -> None:
    for index in range(120):
        office.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}")


DONE3 = "done done done"
SCENARIOS = {
    "all": Scenario("done", DONE3, [(100, tick(1)), (200, tick(0)), (400, tick(2))]),
    "all at once": Scenario("done", DONE3, [(100, tick(0, 1, 2))]),
    "one person": Scenario("done", "done", [(100, tick(0))], {"to_ids": SATO}),
    "any": Scenario("done", "open open done", [(200, tick(2))], {"complete_when": "any"}),
    "two of three": Scenario("done", "done open done", [(100, tick(2)), (500, tick(0))], {"complete_when": 2}),
    "two as text": Scenario("done", "open done done", [(100, tick(1, 2))], {"complete_when": "2"}),
    "a task is opened again": Scenario(
        "done",
        DONE3,
        [(100, tick(0)), (200, untick(0)), (300, tick(1, 2)), (1000, tick(0))],
        changes={0: ["reopened"]},
    ),
    "the due date is moved": Scenario(
        "done",
        DONE3,
        [(100, change(0, limit_time=1_800_500_000, limit_type="time")), (300, tick(0, 1, 2))],
        changes={0: ["due_moved"]},
    ),
    "the text is changed": Scenario(
        "done", DONE3, [(100, change(1, body="別の作業")), (300, tick(0, 1, 2))], changes={1: ["text_changed"]}
    ),
    "the task is handed on": Scenario(
        "done",
        DONE3,
        [(100, change(1, account_id=company.SUZUKI)), (300, tick(0, 1, 2))],
        changes={1: ["assignee_swapped"]},
    ),
    "everything is changed": Scenario(
        "done",
        "done",
        [
            (100, change(0, account_id=YAMADA, body="別の作業", limit_time=1_800_500_000, limit_type="date")),
            (300, tick(0)),
        ],
        {"to_ids": SATO},
        changes={0: ["due_moved", "text_changed", "assignee_swapped"]},
    ),
    "a task is deleted": Scenario("failed for good", "open deleted open", [(100, delete(1))], whys={1: "deleted"}),
    "a task is deleted and not needed": Scenario(
        "done", "done deleted open", [(100, delete(1)), (300, tick(0))], {"complete_when": "any"}, whys={1: "deleted"}
    ),
    "too few are left": Scenario(
        "failed for good",
        "done deleted deleted",
        [(100, tick(0)), (200, delete(2)), (200, delete(1))],
        {"complete_when": 2},
        whys={1: "deleted", 2: "deleted"},
    ),
    "somebody leaves the room": Scenario(
        "failed for good", "deleted open open", [(100, leave(SATO))], whys={0: "left_room"}
    ),
    "somebody leaves who is not needed": Scenario(
        "done",
        "done deleted done",
        [(100, leave(YAMADA)), (200, tick(0, 2))],
        {"complete_when": 2},
        whys={1: "left_room"},
    ),
    "the only one leaves": Scenario(
        "failed for good", "deleted", [(100, leave(SATO))], {"to_ids": SATO}, whys={0: "left_room"}
    ),
    "timeout": Scenario("timed out", "done open open", [(100, tick(0))]),
    "timeout, to be skipped": Scenario("skipped", "open open open", [], {"on_timeout": "skip"}),
    "no time at all": Scenario("timed out", "open open open", [], {"timeout": 0}),
    "done in the last moment": Scenario("done", DONE3, [(3595, tick(0, 1, 2))], {"poke_interval": 600}),
    "withdrawn at the timeout": Scenario("timed out", "done withdrawn withdrawn", [(100, tick(0))], {"withdraw": True}),
    "withdrawn where too few are left": Scenario(
        "failed for good", "withdrawn deleted withdrawn", [(100, delete(1))], {"withdraw": True}, whys={1: "deleted"}
    ),
    "withdrawn by another run": Scenario(
        "failed for good", DONE3, [(100, withdraw_as_another)], {"withdraw": True}, outcome="withdrawn"
    ),
    "withdrawn without a list of the tasks": Scenario(
        "timed out",
        "done done withdrawn",
        [(100, tick(0)), (3500, break_down(status=503, operation="list_tasks")), (3550, tick(1))],
        {"withdraw": True},
    ),
    "withdrawn as last seen": Scenario(
        "timed out", "done withdrawn withdrawn", [(100, tick(0)), (3500, hide_the_tasks)], {"withdraw": True}
    ),
    "done without a list of the tasks": Scenario(
        "done", DONE3, [(100, tick(0)), (3500, break_down(status=503, operation="list_tasks")), (3550, tick(1, 2))]
    ),
    "deleted without a list of the tasks": Scenario(
        "failed for good",
        "withdrawn deleted withdrawn",
        [(3500, break_down(status=503, operation="list_tasks")), (3550, delete(1))],
        {"withdraw": True},
        whys={1: "deleted"},
    ),
    "not withdrawn in an outage": Scenario(
        "timed out", "done open open", [(100, tick(0)), (3500, break_down(status=503))], {"withdraw": True}
    ),
    "done in a busy room": Scenario("done", DONE3, [(100, tick(0, 1, 2)), (100, chat)], {"withdraw": True}),
    "outage": Scenario("done", DONE3, [(100, break_down(status=503)), (400, tick(0, 1, 2)), (1000, recover)]),
    "outage over the end of the time": Scenario(
        "done",
        DONE3,
        [(3500, break_down(status=503)), (3550, tick(0, 1, 2)), (3700, recover)],
        {"withdraw": True},
    ),
    "a task is not known once": Scenario(
        "done", DONE3, [(100, break_read(1, status=404, times=1)), (110, tick(1)), (400, tick(0, 2))]
    ),
    "a task cannot be read for a while": Scenario(
        "done",
        "done done open",
        [(100, break_read(1, status=503)), (110, tick(1)), (300, tick(0)), (1000, recover)],
        {"complete_when": 2},
    ),
    "others are done while a task cannot be read": Scenario(
        "done",
        "done open done",
        [(100, break_read(1, status=503)), (110, tick(1)), (300, tick(0)), (400, tick(2))],
        {"complete_when": 2},
    ),
    "a task is refused": Scenario(
        "failed for good",
        happenings=[(100, break_read(1, status=400)), (110, tick(1))],
        cause="ChatworkInvalidRequestError",
    ),
    "no network up to the timeout": Scenario(
        "timed out", "open open open", [(100, break_down(kind="refuse")), (200, tick(0, 1, 2))]
    ),
    "rate limit": Scenario("done", DONE3, [(100, break_down(status=429)), (400, recover), (500, tick(0, 1, 2))]),
    "re-issued token": Scenario("done", DONE3, [(100, reissue_the_token), (500, tick(0, 1, 2))], changes={}),
    "lost room": Scenario("failed for good", happenings=[(100, lose_the_room)], cause="ChatworkForbiddenError"),
    "revoked token": Scenario("failed for good", happenings=[(100, break_down(status=401))], cause="ChatworkAuthError"),
    "redirect": Scenario(
        "failed for good", happenings=[(100, break_down(status=302))], cause="ChatworkUnexpectedResponseError"
    ),
}


class TestBothModes:
    @in_both_modes
    @pytest.mark.parametrize("name", SCENARIOS)
    def test_end_alike(self, mode: str, name: str, office: Office) -> None:
        scenario = SCENARIOS[name]
        end = office.ask(mode, scenario.happenings, **scenario.arguments)
        assert (end.how, end.cause) == (scenario.how, scenario.cause), end.error
        if scenario.cause is not None:
            assert office.now < START + 300
        assert (end.outcome is None) == (not scenario.statuses)
        if end.outcome is None:
            return
        tasks = end.outcome["tasks"]
        assert " ".join(task["status"] for task in tasks) == scenario.statuses
        assert {at: task["changes"] for at, task in enumerate(tasks) if task["changes"]} == scenario.changes
        assert {at: task["reason"] for at, task in enumerate(tasks) if task["reason"]} == scenario.whys
        words = {"done": "done", "timed out": "timed_out", "skipped": "timed_out", "failed for good": "impossible"}
        assert end.outcome["outcome"] == (scenario.outcome or words[end.how])
        assert office.sandbox.write_count("create_task") == 1


class TestTheResult:
    @in_both_modes
    def test_says_all_of_each_task(self, mode: str, office: Office) -> None:
        end = office.ask(mode, [(100, tick(0)), (200, tick(1))], to_ids=[SATO, YAMADA])
        message_id = office.sandbox.tasks(ROOM)[-1]["message_id"]
        first, second = office.tasks
        assert end.result == {
            "outcome": "done",
            "room_id": ROOM,
            "message_id": message_id,
            "link": f"{office.sandbox.address}/#!rid{ROOM}-{message_id}",
            "tasks": [
                {
                    "task_id": first,
                    "account_id": SATO,
                    "account_name": "佐藤 花子",
                    "status": "done",
                    "seen_done_at": end.result["tasks"][0]["seen_done_at"],
                    "changes": [],
                    "reason": None,
                },
                {
                    "task_id": second,
                    "account_id": YAMADA,
                    "account_name": "山田 太郎",
                    "status": "done",
                    "seen_done_at": end.result["tasks"][1]["seen_done_at"],
                    "changes": [],
                    "reason": None,
                },
            ],
        }
        for task, done_at in zip(end.result["tasks"], (100, 200), strict=True):
            assert 0 <= task["seen_done_at"] - START - done_at <= 61

    @in_both_modes
    def test_is_as_good_where_the_room_cannot_be_read(self, mode: str, office: Office) -> None:
        office.sandbox.add_fault(Fault("status", operation="list_members", status=500, times=None))
        people = {"to_ids": [SATO, YAMADA], "complete_when": "any"}
        end = office.ask(mode, [(100, delete(1)), (200, tick(0))], **people)
        assert [(task["status"], task["reason"]) for task in end.result["tasks"]] == [
            ("done", None),
            ("deleted", "deleted"),
        ]

    @in_both_modes
    def test_asks_for_the_room_only_what_it_needs(self, mode: str, office: Office) -> None:
        office.ask(mode, [(100, tick(0))], to_ids=SATO)
        operations = [request.operation for request in office.sandbox.requests]
        assert "list_messages" not in operations
        assert "list_members" not in operations
        assert "get_me" not in operations

    @in_both_modes
    def test_comes_at_the_look_that_sees_it(self, mode: str, office: Office) -> None:
        office.ask(mode, [(100, tick(0)), (200, tick(1)), (1000, tick(2))])
        assert START + 1000 <= office.now <= START + 1062

    @in_both_modes
    def test_is_the_same_where_somebody_uploads_a_file_at_that_time(self, mode: str, office: Office) -> None:
        def upload(office: Office) -> None:
            office.sandbox.upload_file(ROOM, YAMADA, Upload("a.csv", b"1"))

        end = office.ask(mode, [(100, tick(0)), (101, upload)], to_ids=SATO)
        assert (end.how, end.result["tasks"][0]["status"]) == ("done", "done")

    @in_both_modes
    def test_links_to_the_message(self, mode: str, office: Office) -> None:
        end = office.ask(mode, [(100, tick(0))], to_ids=SATO)
        assert end.xcoms[PLACE_KEY] == {
            "web_url": str(office.sandbox.address),
            "room_id": str(ROOM),
            "message_id": end.result["message_id"],
        }

    @in_both_modes
    def test_is_not_changed_by_an_outage_at_the_beginning(self, mode: str, office: Office) -> None:
        office.sandbox.add_fault(Fault("status", method="GET", status=503, times=2))
        end = office.ask(mode, [(100, tick(0))], to_ids=SATO)
        assert end.how == "done"
        assert end.result["message_id"] == end.xcoms[PLACE_KEY]["message_id"]
        assert office.sandbox.write_count("create_task") == 1


class TestReminders:
    NAG: ClassVar[dict[str, Any]] = {"quiet_hours": None, "business_days_only": False}

    @in_both_modes
    def test_come_while_people_are_not_done(self, mode: str, office: Office) -> None:
        reminder = Reminder(after=600, every=600, **self.NAG)
        end = office.ask(mode, [(100, tick(0)), (1300, tick(1, 2))], reminders=reminder)
        assert end.how == "done"
        assert [f"[To:{person}]" in office.said[0] for person in PEOPLE] == [False, True, True]
        assert len(office.said) == 2

    @in_both_modes
    def test_look_into_the_room_only_when_they_are_due(self, mode: str, office: Office) -> None:
        office.ask(mode, [(3000, tick(0, 1, 2))], reminders=Reminder(after=600, **self.NAG))
        looks = sum(request.operation == "list_messages" for request in office.sandbox.requests)
        # Before and after the reminder, and once at the end.
        assert looks <= 3

    @in_both_modes
    def test_may_be_several_and_plain_json(self, mode: str, office: Office) -> None:
        reminders = [Reminder(after=600, **self.NAG), {"after": "PT20M", **self.NAG}]
        office.ask(mode, [(1900, tick(0, 1, 2))], reminders=reminders)
        assert len(office.said) == 2

    @in_both_modes
    def test_do_not_come_to_those_who_were_done_just_before(self, mode: str, office: Office) -> None:
        reminder = Reminder(after=650, **self.NAG)
        office.ask(mode, [(640, tick(0)), (1900, tick(1, 2))], reminders=reminder, poke_interval=500)
        [said] = office.said
        assert f"[To:{SATO}]" not in said
        assert f"[To:{YAMADA}]" in said

    @in_both_modes
    def test_do_not_come_where_all_were_done_just_before(self, mode: str, office: Office) -> None:
        reminder = Reminder(after=650, **self.NAG)
        end = office.ask(mode, [(640, tick(0, 1, 2))], reminders=reminder, poke_interval=500)
        assert (end.how, office.said) == ("done", [])

    @in_both_modes
    def test_go_by_the_due_date_as_it_is_moved(self, mode: str, office: Office) -> None:
        reminder = Reminder(before_due=600, **self.NAG)
        moved = change(0, limit_time=int(START + 2000), limit_type="time")
        said: list[int] = []
        count = [(at, lambda office: said.append(len(office.said))) for at in (1390, 1500)]
        office.ask(mode, [(100, moved), *count, (1600, tick(0))], to_ids=SATO, due="PT3H", reminders=reminder)
        assert said == [0, 1]

    @in_both_modes
    def test_come_when_chatwork_is_back(self, mode: str, office: Office) -> None:
        reminder = Reminder(after=600, **self.NAG)
        end = office.ask(
            mode, [(500, break_down(status=503)), (900, recover), (3000, tick(0, 1, 2))], reminders=reminder
        )
        assert (end.how, len(office.said)) == ("done", 1)

    @in_both_modes
    def test_do_not_come_before_chatwork_tells_who_is_done(self, mode: str, office: Office) -> None:
        said: list[int] = []
        happenings: list[Happening] = [
            (500, hide_the_tasks),
            (520, tick(0)),
            (1490, lambda office: said.append(len(office.said))),
            (1500, recover),
            (3000, tick(1, 2)),
        ]
        end = office.ask(mode, happenings, reminders=Reminder(after=600, **self.NAG))
        assert (end.how, said) == ("done", [0])
        [reminder] = office.said
        assert [f"[To:{person}]" in reminder for person in PEOPLE] == [False, True, True]
        looks = [request for request in office.sandbox.requests if request.operation == "list_tasks"]
        assert len(looks) <= 3000 / 60 + 20

    @in_both_modes
    def test_that_are_refused_do_not_end_the_wait(self, mode: str, office: Office) -> None:
        office.sandbox.add_fault(Fault("status", operation="post_message", status=403, times=None))
        reminder = Reminder(after=600, **self.NAG)
        end = office.ask(mode, [(1000, tick(0, 1, 2))], reminders=reminder)
        assert (end.how, office.said) == ("done", [])

    @in_both_modes
    def test_escalation_comes_once(self, mode: str, office: Office) -> None:
        escalation = Escalation(grace=60, mentions=company.SUZUKI, **self.NAG)
        office.ask(mode, [(2000, tick(0))], to_ids=SATO, due="PT10M", escalation=escalation)
        [said] = office.said
        assert f"[To:{company.SUZUKI}]" in said

    @in_both_modes
    def test_do_not_come_after_the_deadline(self, mode: str, office: Office) -> None:
        end = office.ask(mode, reminders=Reminder(after=3600, **self.NAG))
        assert (end.how, office.said) == ("timed out", [])


class TestWhatCannotCome:
    """What is said of it when the wait begins; what exactly is in ``test_unheard``."""

    NAG = TestReminders.NAG

    @in_both_modes
    def test_is_a_warning_for_each(self, mode: str, office: Office, caplog: Any, capsys: Any) -> None:
        wishes = {"reminders": Reminder(before_due=600, **self.NAG), "escalation": Escalation(mentions=1, **self.NAG)}
        office.ask(mode, [(100, tick(0))], to_ids=SATO, **wishes)
        log = log_of(caplog, capsys)
        for name in ("reminder", "escalation"):
            assert log.count(f"The {name} is not sent, as the task has no due date") == 1

    @in_both_modes
    def test_is_not_said_of_what_comes(self, mode: str, office: Office, caplog: Any, capsys: Any) -> None:
        wishes = {"reminders": Reminder(before_due=600, **self.NAG), "escalation": Escalation(mentions=1, **self.NAG)}
        office.ask(mode, [(100, tick(0))], to_ids=SATO, due="PT30M", **wishes)
        assert "is not sent" not in log_of(caplog, capsys)


class TestAWithdrawalThatCannotBe:
    @in_both_modes
    def test_counts_as_far_as_it_came(self, mode: str, office: Office, caplog: Any, capsys: Any) -> None:
        cut = break_down(operation="set_task_status", status=503, after=1)
        end = office.ask(mode, [(3500, cut)], withdraw=True)
        assert end.how == "timed out"
        assert [task["status"] for task in end.outcome["tasks"]] == ["withdrawn", "open", "open"]
        assert statuses(office) == ["done", "open", "open"]
        assert log_of(caplog, capsys).count("Some open tasks could not be withdrawn") == 1

    @in_both_modes
    @pytest.mark.parametrize("since", ["the end", "the beginning"])
    def test_is_one_error_in_the_log(self, mode: str, since: str, office: Office, caplog: Any, capsys: Any) -> None:
        if since == "the beginning":
            hide_the_tasks(office)
            end = office.ask(mode, withdraw=True)
        else:
            end = office.ask(mode, [(3500, break_down(status=503))], withdraw=True)
        assert end.how == "timed out"
        assert [task["status"] for task in end.outcome["tasks"]] == ["open"] * 3
        assert office.said == []
        log = log_of(caplog, capsys)
        assert log.count("could not be withdrawn") == 1
        assert "the wait goes on" not in log.partition("at the end of the wait")[2]


class TestARestartOfTheTriggerer:
    def test_goes_on_with_the_same_deadline_and_repeats_no_reminder(self, office: Office) -> None:
        stop = [(at, Office.stop_triggerer) for at in (700, 1300, 1310)]
        reminder = Reminder(after=600, every=600, at_most=2, **TestReminders.NAG)
        end = office.ask("triggerer", [*stop, (100, tick(0))], reminders=reminder)
        assert end.how == "timed out"
        assert START + 3600 <= office.now <= START + 3700
        assert len(office.said) == 2
        assert [task["status"] for task in end.outcome["tasks"]] == ["done", "open", "open"]

    def test_still_knows_what_was_asked(self, office: Office) -> None:
        moved = change(0, limit_time=1_800_500_000, limit_type="time")
        end = office.ask("triggerer", [(100, moved), (700, Office.stop_triggerer), (900, tick(0))], to_ids=SATO)
        assert end.result["tasks"][0]["changes"] == ["due_moved"]

    def test_touches_nothing_in_chatwork(self, office: Office) -> None:
        stop = [(at, Office.stop_triggerer) for at in (700, 1300, 1310)]
        office.ask("triggerer", [*stop, (1800, tick(0, 1, 2))], withdraw=True)
        written = [request.operation for request in office.sandbox.requests if request.method != "GET"]
        assert written == ["create_task"]


def statuses(office: Office) -> list[str]:
    by_id = {task["task_id"]: task["status"] for task in office.sandbox.tasks(ROOM)}
    return [by_id[task_id] for task_id in office.tasks]


class TestBeingKilled:
    def kill(self, office: Office, mode: str, **arguments: Any) -> Any:
        """Mark the Airflow task as failed while it waits."""
        office.on_stop = lambda trigger: trigger.on_kill()
        act = Office.kill_worker if mode == "worker" else Office.stop_triggerer
        return office.ask(mode, [(100, tick(0)), (200, act)], **arguments)

    @in_both_modes
    def test_withdraws_what_is_open_and_says_why(self, mode: str, office: Office) -> None:
        end = self.kill(office, mode, withdraw=True)
        assert end.how == ("failed for good" if mode == "worker" else "failed")
        assert statuses(office) == ["done", "done", "done"]
        [said] = office.said
        assert "Airflow 側で待機が取り消されたため" in said
        ticked = [request.path for request in office.sandbox.requests if request.operation == "set_task_status"]
        assert len(ticked) == 2

    @in_both_modes
    def test_leaves_the_tasks_as_they_are_unless_told_otherwise(self, mode: str, office: Office) -> None:
        self.kill(office, mode)
        assert office.now < START + 300
        assert statuses(office) == ["done", "open", "open"]
        assert office.said == []

    @in_both_modes
    def test_leaves_the_tasks_of_others_open_where_enough_are_done(self, mode: str, office: Office) -> None:
        self.kill(office, mode, withdraw=True, complete_when="any", poke_interval=600)
        assert statuses(office) == ["done", "open", "open"]
        assert office.said == []

    @pytest.mark.parametrize("withdraw", [False, True])
    def test_leaves_a_worker_to_the_retries_of_airflow(self, withdraw: bool, office: Office) -> None:
        office.store = FakeStore()
        end = self.kill(office, "worker", withdraw=withdraw)
        assert (end.how, end.error) == ("failed", f"The wait for tasks in room {ROOM} was ended in Airflow")

    def test_in_the_middle_of_a_look_is_no_work_of_another_run(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(monkeypatch, office.sandbox, max_wait=300)
        office.store = FakeStore()
        fail_once = lambda office: office.break_down(operation="list_tasks", status=503, times=1)  # noqa: E731
        end = office.ask("worker", [(100, fail_once), (120.5, Office.kill_worker)], withdraw=True)
        assert (end.how, end.error) == ("failed", f"The wait for tasks in room {ROOM} was ended in Airflow")
        assert statuses(office) == ["done"] * 3

    def test_of_a_worker_is_final_where_nothing_could_find_the_tasks(self, office: Office) -> None:
        end = self.kill(office, "worker")
        assert (end.how, end.error) == (
            "failed for good",
            f"The wait for tasks in room {ROOM} was ended in Airflow. "
            "It is not retried, as people would get the task twice.",
        )

    @in_both_modes
    def test_is_never_taken_for_done(self, mode: str, office: Office) -> None:
        assert self.kill(office, mode, withdraw=True).how != "done"

    @pytest.mark.parametrize("mode", [*MODES, "another triggerer"])
    def test_withdraws_by_what_was_last_known_where_chatwork_does_not_tell(self, mode: str, office: Office) -> None:
        def kill(office: Office) -> None:
            hide_the_tasks(office)
            (Office.kill_worker if mode == "worker" else Office.stop_triggerer)(office)

        def on_kill(trigger: Any) -> Any:
            # Another one has nothing but its arguments.
            return (type(trigger)(**trigger.serialize()[1]) if mode == "another triggerer" else trigger).on_kill()

        office.on_stop = on_kill
        office.ask("worker" if mode == "worker" else "triggerer", [(100, tick(0)), (200, kill)], withdraw=True)
        assert statuses(office) == ["done", "done", "done"]
        assert len(office.said) == 1

    @in_both_modes
    def test_withdraws_the_rest_where_some_were_deleted(self, mode: str, office: Office) -> None:
        office.on_stop = lambda trigger: trigger.on_kill()

        def delete_and_kill(office: Office) -> None:
            delete(1)(office)
            (Office.kill_worker if mode == "worker" else Office.stop_triggerer)(office)

        office.ask(mode, [(200, delete_and_kill)], withdraw=True)
        assert {task["status"] for task in office.sandbox.tasks(ROOM) if task["task_id"] in office.tasks} == {"done"}

    def test_in_english_says_why_in_english(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        connect(monkeypatch, office.sandbox, lang="en")
        self.kill(office, "triggerer", withdraw=True)
        assert "the wait was ended in Airflow" in office.said[0]

    def test_before_or_after_the_wait_touches_nothing(self, office: Office) -> None:
        operator = office.operator("worker", withdraw=True)
        operator.on_kill()
        assert office.ask("worker", [(100, tick(0, 1, 2))], withdraw=True).how == "done"
        office.kill_worker()
        assert [request for request in office.sandbox.requests if request.operation == "set_task_status"] == []


class TestATriggererThatDoesNotAnswer:
    """Airflow says so with no more than a text, and has forgotten the rest."""

    def defer(self, office: Office, **arguments: Any) -> Callable[[dict[str, Any]], Any]:
        context: Any = {"ti": office.ti}
        with pytest.raises(TaskDeferred):
            office.operator("triggerer", **arguments).execute(context)
        return lambda kwargs: office.operator("triggerer", **arguments).resume_execution("__fail__", kwargs, context)

    # The first is how Airflow 3 says it, the second how 2.11 does.
    @pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
    @pytest.mark.parametrize(
        ("on_timeout", "end"), [("fail", AirflowSensorTimeout), ("skip", AirflowSkipException)], ids=str
    )
    def test_until_long_after_the_deadline_is_a_timeout(
        self, error: str, on_timeout: str, end: type[Exception], office: Office
    ) -> None:
        resume = self.defer(office, on_timeout=on_timeout, withdraw=True)
        office.tick(0)
        office.now += 5000
        with pytest.raises(end):
            resume({"error": error})
        outcome = office.ti.xcoms["chatwork_outcome"]
        assert [task["status"] for task in outcome["tasks"]] == ["done", "withdrawn", "withdrawn"]
        assert statuses(office) == ["done"] * 3

    def test_does_not_undo_what_people_have_done(self, office: Office) -> None:
        resume = self.defer(office)
        office.tick(0, 1, 2)
        office.now += 5000
        assert resume({"error": "Trigger timeout"})["outcome"] == "done"

    def test_because_it_failed_ends_the_task_for_good(self, office: Office) -> None:
        resume = self.defer(office)
        with pytest.raises(AirflowFailException, match="twice"):
            resume({"error": "Trigger failure", "traceback": ["..."]})

    @pytest.mark.parametrize("memory", ["store", "reference"])
    def test_because_it_failed_is_tried_again_where_the_tasks_are_found(self, memory: str, office: Office) -> None:
        context: Any = {"ti": office.ti, "task_state_store": FakeStore() if memory == "store" else None}
        operator = office.operator("triggerer", reference="x" if memory == "reference" else None)
        with pytest.raises(TaskDeferred):
            operator.execute(context)
        with pytest.raises(Exception, match="Trigger failure") as caught:
            operator.resume_execution("__fail__", {"error": "Trigger failure"}, context)
        assert not isinstance(caught.value, AirflowFailException)


class TestTheDeferral:
    def deferred(self, office: Office, **arguments: Any) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            office.operator("triggerer", **arguments).execute({"ti": office.ti})
        return caught.value

    def test_hands_every_wish_to_the_trigger(
        self, office: Office, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(monkeypatch, sandbox, conn_id="chatwork_second", lang="en", timezone="UTC")
        reminder, escalation = Reminder(after=600), Escalation(mentions=company.SUZUKI)
        deferred = self.deferred(
            office,
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
        assert [track["task_id"] for track in given["tasks"]] == office.tasks
        assert [track["first_seen"]["limit_time"] for track in given["tasks"]] == [START + 86400] * 3

    def test_leaves_airflow_a_later_deadline_than_the_trigger(self, office: Office) -> None:
        assert self.deferred(office, timeout=60).timeout > timedelta(seconds=60)

    def test_says_nothing_secret(self, office: Office) -> None:
        deferred = self.deferred(office)
        assert office.sandbox.token not in json.dumps(deferred.trigger.serialize())

    def test_does_not_happen_where_people_are_done_already(self, office: Office) -> None:
        office.sandbox.complete_tasks_after = 0
        assert office.operator("triggerer").execute({"ti": office.ti})["outcome"] == "done"

    def test_does_not_happen_unless_it_is_to_wait(self, office: Office) -> None:
        assert office.operator("triggerer", wait_for_completion=False).execute({"ti": office.ti}) == office.tasks


class TestArguments:
    @in_both_modes
    @pytest.mark.parametrize(
        ("arguments", "said"),
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
    def test_that_cannot_be_right_send_nothing(
        self, mode: str, arguments: dict[str, Any], said: str, office: Office
    ) -> None:
        end = office.ask(mode, **arguments)
        assert (end.how, end.cause) == ("failed for good", "ChatworkParameterError")
        assert re.search(said, end.error), end.error
        assert office.sandbox.requests == []

    @pytest.mark.parametrize(
        "arguments",
        [{"reminders": Reminder(after=600)}, {"escalation": Escalation(mentions=1)}, {"withdraw": True}],
        ids=lambda arguments: next(iter(arguments)),
    )
    def test_of_a_wait_are_not_left_unheard(self, arguments: dict[str, Any], office: Office) -> None:
        end = office.ask("worker", wait_for_completion=False, **arguments)
        assert f"{next(iter(arguments))}=" in end.error
        assert "wait_for_completion" in end.error
        assert office.sandbox.requests == []

    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_may_be_templates(self, native: bool, office: Office) -> None:
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
            operator = office.operator("worker", **templates, reminders=[reminders])
        with pytest.raises(AirflowSkipException):
            render(operator, v=values).execute({"ti": office.ti})
        assert office.now == START + 1800
        assert len(office.said) == 1
        assert office.sandbox.tasks(ROOM)[-1]["body"].endswith("参照: {{ r }}")

    @in_both_modes
    def test_never_look_more_often_than_once_a_second(self, mode: str, office: Office) -> None:
        office.ask(mode, [(10, tick(0))], to_ids=SATO, poke_interval=0)
        assert sum(request.operation == "get_task" for request in office.sandbox.requests) <= 14
