from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent

from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkParameterError, from_plain
from airflow_provider_chatwork.links import PLACE_KEY
from airflow_provider_chatwork.sandbox import Fault, Limits, Sandbox, company
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers._sensor import ChatworkSensorTrigger
from airflow_provider_chatwork.triggers.messages import ChatworkMessageTrigger
from tests.airflow_helpers import connect
from tests.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

ROOM = company.DATA_ROOM
BOT, SATO, YAMADA = company.BOT, company.SATO, company.YAMADA
# Every argument, each with another value than its default.
ARGUMENTS: dict[str, Any] = {
    "chatwork_conn_id": "chatwork_second",
    "room_id": 5,
    "since": "1900000000000000123",
    "from_account_ids": [7, 8],
    "matches": "承認",
    "reply_to": "1900000000000000123",
    "seen": [1_800_000_000, 1_900_000_000_000_000_999],
    "possible_loss": True,
    "poke_interval": 11.5,
    "deadline": 1_800_000_000.25,
    "exponential_backoff": True,
    "max_interval": 90.0,
    "silent_fail": True,
    "before_timeout": 300.0,
    "end_from_trigger": True,
    "soft_fail": True,
    "never_fail": True,
    "do_xcom_push": False,
}
Event = Callable[[], object]


class Room:
    """A room in which people post at given times while a trigger waits."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        sandbox.limits = Limits.off()
        sandbox.clock = lambda: START - 60
        self.question = sandbox.post_message(ROOM, BOT, "リリースしますか？")
        self.asked = 0
        connect(monkeypatch, sandbox)  # type: ignore[arg-type]

    def trigger(self, **arguments: Any) -> ChatworkMessageTrigger:
        return ChatworkMessageTrigger(
            **{
                "chatwork_conn_id": "chatwork_default",
                "room_id": ROOM,
                "since": self.question,
                "poke_interval": 5.0,
                "deadline": START + 3600,
                **arguments,
            }
        )

    def say(self, body: str, by: int = SATO) -> Event:
        return lambda: self.sandbox.post_message(ROOM, by, body)

    def chat(self, count: int) -> Event:
        return lambda: [self.sandbox.post_message(ROOM, YAMADA, f"雑談 {index}") for index in range(count)]

    def end(
        self, trigger: ChatworkMessageTrigger, *events: tuple[float, Event], start: float = START
    ) -> dict[str, Any]:
        """Run a trigger, and return its event."""
        event = self.event(trigger, *events, start=start).payload
        assert json.loads(json.dumps(event)) == event
        return event  # type: ignore[no-any-return]

    def event(
        self, trigger: ChatworkMessageTrigger, *events: tuple[float, Event], start: float = START
    ) -> TriggerEvent:
        async def main(loop: VirtualLoop) -> Sequence[TriggerEvent]:
            for at, happen in events:
                loop.happens(at, happen)
            with sandbox_pollers(self.sandbox, loop.unix_time):
                return [event async for event in trigger.run()]

        [event] = run_virtually(main, start=start)
        return event

    def operations(self) -> list[str]:
        return [request.operation for request in self.sandbox.requests]


@pytest.fixture
def room(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(sandbox, monkeypatch)


class TestSerialize:
    def test_keeps_every_argument(self):
        parameters: dict[str, Any] = {}
        for kind in (ChatworkTrigger, ChatworkSensorTrigger, ChatworkMessageTrigger):
            parameters |= inspect.signature(kind.__init__).parameters
        assert set(ARGUMENTS) == set(parameters) - {"self", "kwargs"}
        for name, argument in ARGUMENTS.items():
            assert parameters[name].default != argument, f"{name} is what it is by itself"
        path, arguments = json.loads(json.dumps(ChatworkMessageTrigger(**ARGUMENTS).serialize()))
        assert path == f"{ChatworkMessageTrigger.__module__}.{ChatworkMessageTrigger.__name__}"
        assert arguments == ARGUMENTS
        assert ChatworkMessageTrigger(**arguments).serialize() == (path, ARGUMENTS)

    def test_has_the_id_of_the_connection_and_no_secret(self, room):
        assert room.sandbox.token not in json.dumps(room.trigger().serialize())


class TestRun:
    def test_ends_with_one_event_of_plain_json(self, room):
        event = room.end(room.trigger(), (12, room.say("はい")))
        [message] = [one for one in room.sandbox.messages(ROOM) if one["body"] == "はい"]
        assert event == {
            "status": "done",
            "message": {
                "message_id": message["message_id"],
                "account_id": SATO,
                "account_name": "佐藤 花子",
                "body": "はい",
                "text": "はい",
                "send_time": START + 12,
                "link": f"{room.sandbox.address}/#!rid{ROOM}-{message['message_id']}",
                "possible_loss": False,
            },
        }

    def test_a_poll_is_one_request_and_a_match_one_more(self, room):
        room.end(room.trigger(), (6, room.say("はい", by=BOT)), (12, room.say("はい")))
        assert room.operations() == ["list_messages"] * 3 + ["get_me", "list_messages"]

    def test_a_task_that_ends_without_a_worker_has_the_message(self, room):
        event = room.event(room.trigger(end_from_trigger=True), (6, room.say("はい")))
        message_id = room.sandbox.messages(ROOM)[-1]["message_id"]
        assert type(event) is TaskSuccessEvent
        assert (event.xcoms["return_value"]["message_id"], event.xcoms["return_value"]["text"]) == (message_id, "はい")
        assert event.xcoms[PLACE_KEY]["message_id"] == message_id

    def test_since_is_the_start_of_the_wait(self, room):
        room.say("まえ")()
        assert room.end(room.trigger(since=room.question))["message"]["text"] == "まえ"
        assert room.end(room.trigger(since=int(START)), (8, room.say("あと")))["message"]["text"] == "あと"

    @pytest.mark.parametrize(
        ("condition", "value"), [("from_account_ids", [SATO]), ("matches", "^はい$"), ("reply_to", "question")]
    )
    def test_the_conditions_have_to_hold(self, condition, value, room):
        value = room.question if value == "question" else value
        wrong = room.say("いいえ", by=YAMADA)
        right = lambda: room.sandbox.reply(ROOM, SATO, room.question, "はい")  # noqa: E731
        event = room.end(room.trigger(**{condition: value}), (6, wrong), (12, right))
        assert (event["message"]["account_id"], event["message"]["text"]) == (SATO, "はい")

    def test_a_restart_of_the_triggerer_keeps_start_and_deadline(self, room):
        _, arguments = room.trigger(deadline=START + 100).serialize()
        room.sandbox.clock = lambda: START + 5
        room.say("停止中")()
        again = ChatworkMessageTrigger(**arguments)
        assert room.end(again, start=START + 30)["message"]["text"] == "停止中"
        waiting = ChatworkMessageTrigger(**{**arguments, "matches": "なにか"})
        assert room.end(waiting, start=START + 90) == {"status": "timeout"}

    def test_a_message_that_came_while_no_triggerer_ran_counts(self, room):
        room.say("停止中")()
        assert room.end(room.trigger(), start=START + 10_000)["status"] == "done"

    def test_the_last_poll_can_find_the_message(self, room):
        event = room.end(room.trigger(poke_interval=60.0, deadline=START + 90), (80, room.say("はい")))
        assert event["status"] == "done"

    def test_a_failed_request_for_the_own_account_is_repeated(self, room):
        room.say("はい")()
        room.sandbox.add_fault(Fault("status", operation="get_me", status=503, times=3))
        assert room.end(room.trigger(deadline=START + 30))["status"] == "done"
        assert room.operations().count("get_me") == 4

    def test_a_permanent_error_is_in_the_event(self, room):
        room.say("はい")()
        room.sandbox.add_fault(Fault("status", operation="get_me", status=401, times=None))
        event = room.end(room.trigger())
        assert event["status"] == "error"
        assert type(from_plain(event["error"])) is ChatworkAuthError

    def test_a_wait_for_the_own_account_alone_is_an_error(self, room):
        event = room.end(room.trigger(from_account_ids=[BOT]), (6, room.say("はい", by=BOT)))
        assert event["status"] == "error"
        assert type(from_plain(event["error"])) is ChatworkParameterError

    @pytest.mark.parametrize(
        ("chats", "lost"), [((60, 60, 60), False), ((60, 140, 60), True), ((101,), True), ((99,), False)], ids=str
    )
    def test_missed_messages_are_in_the_event(self, chats, lost, room):
        events = [(6 + 5 * index, room.chat(count)) for index, count in enumerate(chats)]
        event = room.end(room.trigger(matches="はい"), *events, (6 + 5 * len(chats), room.say("はい")))
        assert event["message"]["possible_loss"] is lost

    def test_continues_after_the_messages_that_the_worker_has_seen(self, room):
        room.chat(120)()
        newest = room.sandbox.messages(ROOM)[-1]
        seen = [newest["send_time"], int(newest["message_id"])]
        for known, lost in (({"seen": seen}, False), ({}, True), ({"seen": seen, "possible_loss": True}, True)):
            event = room.end(room.trigger(matches="はい", **known), (6, room.say("はい")))
            assert event["message"]["possible_loss"] is lost
