from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent

from airflow_provider_chatwork.links import PLACE_KEY
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.triggers.tasks import ChatworkTaskDoneTrigger
from tests.airflow_helpers import connect
from tests.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

ROOM = company.DATA_ROOM


@pytest.fixture
def task_id(sandbox: Any) -> int:
    return sandbox.create_task(ROOM, company.BOT, [company.SATO], "確認")[0]


def trigger(task_ids: Any, **arguments: Any) -> ChatworkTaskDoneTrigger:
    given = {
        "chatwork_conn_id": "chatwork_default",
        "room_id": ROOM,
        "task_ids": task_ids,
        "complete_when": "all",
        "poke_interval": 60.0,
        "deadline": START + 600,
    }
    made = ChatworkTaskDoneTrigger(**{**given, **arguments})
    path, kept = json.loads(json.dumps(made.serialize()))
    assert path.endswith("ChatworkTaskDoneTrigger")
    return ChatworkTaskDoneTrigger(**kept)


def event_of(waiting: ChatworkTaskDoneTrigger, sandbox: Any) -> tuple[Any, float]:
    """Return the event, and after how many seconds it came."""

    async def first(loop: VirtualLoop) -> Any:
        with sandbox_pollers(sandbox, loop.unix_time):
            [event] = [event async for event in waiting.run()]
        return event, loop.time()

    return run_virtually(first)


class TestEndFromTrigger:
    def test_pushes_the_result_and_the_links(self, sandbox, task_id):
        sandbox.complete_task(ROOM, task_id)
        event, _ = event_of(trigger([task_id], end_from_trigger=True), sandbox)
        [task] = [task for task in sandbox.tasks(ROOM) if task["task_id"] == task_id]
        assert type(event) is TaskSuccessEvent
        state = {"task_id": task_id, "status": "done", "account_id": company.SATO, "message_id": task["message_id"]}
        assert event.xcoms == {
            "return_value": [{**state, "account_name": task["account"]["name"]}],
            PLACE_KEY: {
                "web_url": str(sandbox.address),
                "room_id": str(ROOM),
                "message_id": task["message_id"],
            },
        }

    def test_pushes_no_result_without_do_xcom_push(self, sandbox, task_id):
        sandbox.complete_task(ROOM, task_id)
        event, _ = event_of(trigger([task_id], end_from_trigger=True, do_xcom_push=False), sandbox)
        assert [*event.xcoms] == [PLACE_KEY]

    @pytest.mark.parametrize(
        ("arguments", "end"),
        [({}, TaskFailedEvent), ({"soft_fail": True}, TaskSkippedEvent), ({"never_fail": True}, TaskSkippedEvent)],
    )
    def test_ends_at_the_deadline_as_in_a_worker(self, arguments, end, sandbox, task_id):
        event, seconds = event_of(trigger([task_id], end_from_trigger=True, **arguments), sandbox)
        assert type(event) is end
        assert 600 <= seconds < 605

    @pytest.mark.parametrize(
        ("arguments", "end"),
        [({}, TaskFailedEvent), ({"soft_fail": True}, TaskFailedEvent), ({"never_fail": True}, TaskSkippedEvent)],
    )
    def test_ends_after_a_refusal_as_in_a_worker(self, arguments, end, sandbox, task_id):
        sandbox.add_fault(Fault("status", status=401, body={"errors": ["Invalid API token"]}, times=None))
        event, _ = event_of(trigger([task_id], end_from_trigger=True, **arguments), sandbox)
        assert type(event) is end


class TestStartFromTrigger:
    """Airflow gives rendered templates and its own timeout to a trigger that no worker has made."""

    def test_takes_rendered_templates(self, sandbox, task_id):
        sandbox.complete_task(ROOM, task_id)
        event, _ = event_of(trigger(f"[{task_id}]", room_id=str(ROOM), complete_when="1"), sandbox)
        assert event.payload["status"] == "done"

    def test_uses_the_default_room_of_the_connection(self, sandbox, task_id, monkeypatch):
        sandbox.complete_task(ROOM, task_id)
        connect(monkeypatch, sandbox, default_room_id=ROOM)
        event, _ = event_of(trigger([task_id], room_id=None), sandbox)
        assert event.payload["status"] == "done"

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ({"room_id": None}, "room_id"),
            ({"task_ids": "None"}, "task_ids"),
            ({"complete_when": "most"}, "complete_when"),
        ],
    )
    def test_rejects_invalid_arguments(self, arguments, named, sandbox, task_id):
        event, _ = event_of(trigger(**{"task_ids": [task_id], **arguments}), sandbox)
        assert event.payload["status"] == "error"
        assert event.payload["error"]["args"][0] == named
        assert not sandbox.requests

    def test_ends_before_the_timeout_of_the_airflow_trigger(self, sandbox, task_id):
        waiting = trigger([task_id], deadline=None, before_timeout=300.0)
        waiting.timeout_after = datetime.fromtimestamp(START + 900, UTC)  # type: ignore[attr-defined]
        event, seconds = event_of(waiting, sandbox)
        assert event.payload == {"status": "timeout"}
        assert 600 <= seconds < 605


class TestLastPoll:
    def test_happens_although_others_have_polled_a_while_ago(self, sandbox):
        first, second = sandbox.create_task(ROOM, company.BOT, [company.SATO, company.YAMADA], "確認")

        async def play(loop: VirtualLoop) -> Any:
            async def end(waiting: ChatworkTaskDoneTrigger) -> Any:
                [event] = [event.payload async for event in waiting.run()]
                return event

            with sandbox_pollers(sandbox, loop.unix_time):
                other = asyncio.create_task(end(trigger([first, second], complete_when="all", deadline=START + 3600)))
                await asyncio.sleep(10)
                sandbox.complete_task(ROOM, first)
                await asyncio.sleep(10)
                # Its triggerer was down at the deadline. The last poll of the others shows the task open.
                ended = await end(trigger([first], deadline=START + 15))
                other.cancel()
                return ended

        assert run_virtually(play)["status"] == "done"
