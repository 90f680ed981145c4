from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator, ChatworkSetTaskStatusOperator
from airflow_provider_chatwork.sandbox import company
from tests.airflow_helpers import connect, context, new_dag, render

ROOM = company.DATA_ROOM
TOKYO = ZoneInfo("Asia/Tokyo")
# The same in each process of a parallel run, as it is in names of tests.
SOON = datetime.now(TOKYO).replace(hour=10, minute=30, second=0, microsecond=0) + timedelta(days=3)


def create(sandbox: Any, **arguments: Any) -> list[dict[str, Any]]:
    """Execute the operator and return its tasks as the room shows them."""
    task = ChatworkCreateTaskOperator(
        task_id="t", **{"room_id": ROOM, "body": "確認", "to_ids": [company.SATO], **arguments}
    )
    made = task.execute(context())
    return sorted(
        (task for task in sandbox.tasks(ROOM) if task["task_id"] in made), key=lambda task: made.index(task["task_id"])
    )


class TestChatworkCreateTaskOperator:
    @pytest.mark.parametrize(
        "to_ids",
        [
            [company.SATO, company.YAMADA],
            (str(company.SATO), company.YAMADA),
            f"{company.SATO},{company.YAMADA}",
            f"[{company.SATO}, {company.YAMADA}]",
            f"['{company.SATO}', '{company.YAMADA}']",
        ],
        ids=["list", "texts", "csv", "rendered list", "rendered texts"],
    )
    def test_creates_a_task_for_each_assignee(self, to_ids, sandbox):
        tasks = create(sandbox, to_ids=to_ids)
        assert [task["account"]["account_id"] for task in tasks] == [company.SATO, company.YAMADA]
        assert {task["body"] for task in tasks} == {"確認"}

    def test_accepts_one_assignee_as_a_number(self, sandbox):
        assert len(create(sandbox, to_ids=company.SATO)) == 1

    def test_has_no_deadline_by_default(self, sandbox):
        [task] = create(sandbox)
        assert (task["limit_type"], task["limit_time"]) == ("none", 0)

    @pytest.mark.parametrize("empty", ["", "None"])
    def test_has_no_deadline_where_templates_render_to_nothing(self, empty, sandbox):
        [task] = create(sandbox, due=empty, limit=empty, limit_type=empty)
        assert task["limit_type"] == "none"
        [task] = create(sandbox, due=SOON, limit=empty, limit_type=empty)
        assert task["limit_time"] == int(SOON.timestamp())

    @pytest.mark.parametrize(
        ("due", "limit", "limit_type"),
        [
            (SOON, SOON, "time"),
            (SOON.astimezone(UTC), SOON, "time"),
            (SOON.replace(tzinfo=None), SOON, "time"),
            (SOON.isoformat(), SOON, "time"),
            (SOON.replace(tzinfo=None).isoformat(), SOON, "time"),
            (SOON.date(), SOON.replace(hour=23, minute=59, second=59), "date"),
            (SOON.date().isoformat(), SOON.replace(hour=23, minute=59, second=59), "date"),
        ],
        ids=repr,
    )
    def test_accepts_a_deadline_in_every_form(self, due, limit, limit_type, sandbox):
        [task] = create(sandbox, due=due)
        assert (task["limit_time"], task["limit_type"]) == (int(limit.timestamp()), limit_type)

    @pytest.mark.parametrize("due", [timedelta(hours=2), "PT2H"], ids=repr)
    def test_counts_a_duration_from_when_the_task_runs(self, due, sandbox):
        before = int(time.time())
        [task] = create(sandbox, due=due)
        assert before + 7200 <= task["limit_time"] <= time.time() + 7200
        assert task["limit_type"] == "time"

    def test_uses_the_time_zone_of_the_connection(self, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, timezone="America/New_York")
        [task] = create(sandbox, due=SOON.date())
        ends = datetime(SOON.year, SOON.month, SOON.day, 23, 59, 59, tzinfo=ZoneInfo("America/New_York"))
        assert task["limit_time"] == int(ends.timestamp())

    def test_accepts_chatworks_own_arguments(self, sandbox):
        [task] = create(sandbox, limit=str(int(SOON.timestamp())), limit_type="date")
        assert (task["limit_time"], task["limit_type"]) == (int(SOON.timestamp()), "date")

    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_renders_its_deadline(self, native, sandbox):
        with new_dag("d", render_template_as_native_obj=native):
            task = ChatworkCreateTaskOperator(
                task_id="t",
                room_id=ROOM,
                body="{{ day }} まで",
                to_ids="{{ people }}",
                due="{{ day }}",
            )
        render(task, day=SOON.date().isoformat(), people=[company.SATO, company.YAMADA])
        made = task.execute(context())
        tasks = [task for task in sandbox.tasks(ROOM) if task["task_id"] in made]
        assert {task["limit_type"] for task in tasks} == {"date"}
        assert {task["body"] for task in tasks} == {f"{SOON.date()} まで"}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"due": date(2020, 1, 1)}, "past"),
            ({"due": datetime(2020, 1, 1, tzinfo=UTC)}, "past"),
            ({"due": timedelta(hours=-1)}, "past"),
            ({"due": "2020-01-01T00:00"}, "past"),
            ({"due": "soon"}, "ISO 8601"),
            ({"due": SOON, "limit": 1}, "either due"),
            ({"due": SOON, "limit_type": "date"}, "either due"),
            ({"limit": int(SOON.timestamp() * 1000)}, "milliseconds"),
            ({"limit": "tomorrow"}, "Unix seconds"),
            ({"limit": 1}, "past"),
            ({"limit_type": "time"}, "needs a limit"),
            ({"limit": int(SOON.timestamp()), "limit_type": "day"}, "one of none, date, time"),
            ({"to_ids": []}, "at least one id"),
            ({"to_ids": ""}, "at least one id"),
            ({"to_ids": "山田"}, "whole number"),
            ({"body": ""}, "empty"),
        ],
    )
    def test_sends_nothing_with_wrong_arguments(self, arguments, said, sandbox):
        with pytest.raises(AirflowFailException, match=said):
            create(sandbox, **arguments)
        assert not sandbox.requests


class TestChatworkSetTaskStatusOperator:
    @pytest.mark.parametrize("status", ["done", "open"])
    def test_sets_the_status_and_returns_the_task_id(self, status, sandbox):
        [task_id] = sandbox.create_task(ROOM, company.BOT, [company.BOT], "確認")
        if status == "open":
            sandbox.complete_task(ROOM, task_id)
        task = ChatworkSetTaskStatusOperator(task_id="t", room_id=ROOM, chatwork_task_id=str(task_id), status=status)
        assert task.execute(context()) == task_id
        assert [task["status"] for task in sandbox.tasks(ROOM) if task["task_id"] == task_id] == [status]

    def test_sets_done_by_default(self, sandbox):
        [task_id] = sandbox.create_task(ROOM, company.BOT, [company.BOT], "確認")
        ChatworkSetTaskStatusOperator(task_id="t", room_id=ROOM, chatwork_task_id=task_id).execute(context())
        assert [task["status"] for task in sandbox.tasks(ROOM) if task["task_id"] == task_id] == ["done"]

    def test_can_be_repeated(self, sandbox):
        [task_id] = sandbox.create_task(ROOM, company.BOT, [company.BOT], "確認")
        task = ChatworkSetTaskStatusOperator(task_id="t", room_id=ROOM, chatwork_task_id=task_id)
        assert [task.execute(context()), task.execute(context())] == [task_id, task_id]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [({"status": "closed"}, "one of open, done"), ({"chatwork_task_id": "first"}, "whole number")],
        ids=repr,
    )
    def test_sends_nothing_with_wrong_arguments(self, arguments, said, sandbox):
        task = ChatworkSetTaskStatusOperator(task_id="t", room_id=ROOM, **{"chatwork_task_id": 1, **arguments})
        with pytest.raises(AirflowFailException, match=said):
            task.execute(context())
        assert not sandbox.requests
