from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Fault, Limits, Sandbox, company
from airflow_provider_chatwork.triggers._base import ChatworkTrigger
from airflow_provider_chatwork.triggers.approval import ChatworkApprovalTrigger
from airflow_provider_chatwork.waiting.approvals.question import new_state
from tests.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

ROOM, BOT, SATO, YAMADA = company.DATA_ROOM, company.BOT, company.SATO, company.YAMADA
QUESTION: dict[str, Any] = {
    "room_id": ROOM,
    "message_id": "1",
    "options": ["承認", "却下"],
    "rejecting": ["却下"],
    "approvers": [SATO, YAMADA],
    "quorum": 2,
    "account_id": BOT,
    "account_name": "データ連携ボット",
    "lang": "ja",
    "web_url": "https://www.chatwork.com",
}
# Every argument, none with its default value.
ARGUMENTS: dict[str, Any] = {
    "question": QUESTION,
    "state": {
        "votes": [],
        "hinted": {"5": "7"},
        "invalidated": {"5": None},
        "seen": [5, 6],
        "possible_loss": True,
        "ineligible": [5],
        "members_at": 1_800_000_000.5,
    },
    "chatwork_conn_id": "chatwork_second",
    "poke_interval": 11.5,
    "deadline": 1_800_000_000.25,
    "exponential_backoff": True,
    "max_interval": 90.0,
    "silent_fail": True,
}


class Room:
    """A question in a room of the sandbox, and triggers in a triggerer of their own."""

    def __init__(self) -> None:
        self.now = START
        self.sandbox = Sandbox(clock=lambda: self.now, limits=Limits.off())
        self.sandbox.add_member(ROOM, SATO)
        self.sandbox.add_member(ROOM, YAMADA)
        self.question = self.sandbox.post_message(ROOM, BOT, "公開してよいですか")

    def arguments(self, **more: Any) -> dict[str, Any]:
        return {
            "question": {**QUESTION, "message_id": self.question},
            "state": new_state(START),
            "chatwork_conn_id": "chatwork_default",
            "poke_interval": 60,
            "deadline": START + 3600,
            **more,
        }

    def reply(self, person: int, text: str) -> None:
        self.sandbox.reply(ROOM, person, self.question, text)

    def wait(
        self, arguments: dict[str, Any], *actions: tuple[float, Callable[[], object]], killed_at: float | None = None
    ) -> Any:
        """Return the event of a trigger; ``None`` if the triggerer is killed before."""

        async def main(loop: VirtualLoop) -> Any:
            begun = self.now

            def now() -> float:
                self.now = loop.unix_time()
                return self.now

            for at, act in actions:
                if START + at >= begun:
                    loop.happens(START + at - begun, lambda act=act: (now(), act()))  # type: ignore[misc]

            async def events() -> list[Any]:
                return [event.payload async for event in ChatworkApprovalTrigger(**arguments).run()]

            with sandbox_pollers(self.sandbox, now):
                waiting = asyncio.create_task(events())
                left = None if killed_at is None else START + killed_at - begun
                done, _ = await asyncio.wait([waiting], timeout=left)
                if not done:
                    waiting.cancel()
                    await asyncio.wait([waiting])
                    assert waiting.cancelled()
                    now()
                    return None
                now()
                [event] = waiting.result()
                return event

        event = run_virtually(main, start=self.now)
        self.sandbox.clock = lambda: self.now
        assert json.loads(json.dumps(event)) == event
        return event

    @property
    def posts(self) -> int:
        return self.sandbox.write_count("post_message")


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room()
    connection = {"conn_type": "chatwork", "password": room.sandbox.token, "extra": {"max_wait": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_DEFAULT", json.dumps(connection))
    return room


class TestSerialize:
    def test_keeps_every_argument(self):
        parameters = {
            **inspect.signature(ChatworkTrigger.__init__).parameters,
            **inspect.signature(ChatworkApprovalTrigger.__init__).parameters,
        }
        assert set(ARGUMENTS) == set(parameters) - {"self", "kwargs"}
        assert all(parameters[name].default != value for name, value in ARGUMENTS.items())
        path, arguments = json.loads(json.dumps(ChatworkApprovalTrigger(**ARGUMENTS).serialize()))
        assert path == "airflow_provider_chatwork.triggers.approval.ChatworkApprovalTrigger"
        assert arguments == ARGUMENTS
        assert ChatworkApprovalTrigger(**arguments).serialize() == (path, ARGUMENTS)

    def test_keeps_the_state_that_it_was_created_with(self, room):
        # A new state goes into the event; Airflow serializes the trigger only once.
        trigger = ChatworkApprovalTrigger(**room.arguments())
        assert trigger.serialize()[1]["state"] == new_state(START)


class TestRun:
    def test_a_decision_ends_it(self, room):
        event = room.wait(
            room.arguments(question={**QUESTION, "message_id": room.question, "quorum": 1}),
            (90, lambda: room.reply(SATO, "却下\nまだです")),
        )
        assert (event["outcome"], event["choice"]) == ("decided", "却下")
        assert [answer["comment"] for answer in event["state"]["votes"]] == ["まだです"]
        assert (event["question"]["message_id"], event["deadline"]) == (room.question, START + 3600)

    def test_a_vote_that_does_not_decide_is_a_checkpoint(self, room):
        event = room.wait(room.arguments(), (90, lambda: room.reply(SATO, "承認")))
        assert event["status"] == "checkpoint"
        assert [answer["account_id"] for answer in event["state"]["votes"]] == [SATO]

    def test_a_vote_outlives_a_restart_although_it_left_the_page(self, room):
        event = room.wait(room.arguments(), (90, lambda: room.reply(SATO, "承認")))
        arguments = room.arguments(state=event["state"])
        assert room.wait(arguments, killed_at=300) is None
        for index in range(60):
            room.sandbox.post_message(ROOM, company.TAKAHASHI, f"雑談 {index}")
        assert room.wait(arguments, killed_at=600) is None
        for index in range(60):
            room.sandbox.post_message(ROOM, company.TAKAHASHI, f"雑談 {index}")
        event = room.wait(arguments, (900, lambda: room.reply(YAMADA, "承認")))
        assert (event["outcome"], event["choice"]) == ("decided", "承認")

    def test_a_restart_keeps_the_deadline(self, room):
        assert room.wait(room.arguments(), killed_at=3000) is None
        event = room.wait(room.arguments())
        assert event["status"] == "timeout"
        assert START + 3600 <= room.now < START + 3660

    def test_a_vote_that_came_while_no_triggerer_ran_counts(self, room):
        assert room.wait(room.arguments(), killed_at=300) is None
        room.reply(SATO, "承認")
        room.reply(YAMADA, "承認")
        room.now = START + 9000
        assert room.wait(room.arguments())["outcome"] == "decided"

    def test_a_restart_does_not_repeat_the_hint(self, room):
        # The triggerer is killed right after it posted the hint, before it stored that.
        room.sandbox.add_fault(Fault("lost_reply", operation="post_message"))
        assert room.wait(room.arguments(), (90, lambda: room.reply(SATO, "良いです")), killed_at=121) is None
        assert room.posts == 1
        event = room.wait(room.arguments())
        assert event["status"] == "checkpoint"
        assert event["state"]["hinted"] == {str(SATO): room.sandbox.messages(ROOM)[-1]["message_id"]}
        assert room.wait(room.arguments(state=event["state"]))["status"] == "timeout"
        assert room.posts == 1

    def test_a_failed_hint_is_posted_again_at_each_interval(self, room):
        def break_down() -> None:
            room.sandbox.add_fault(Fault("status", operation="post_message", status=503, executed=False, times=None))

        event = room.wait(room.arguments(), (80, break_down), (90, lambda: room.reply(SATO, "良いです")))
        assert (event["status"], event["state"]["hinted"]) == ("timeout", {})
        posts = [request for request in room.sandbox.requests if request.operation == "post_message"]
        assert 50 <= len(posts) <= 60

    def test_posting_a_hint_does_not_count_as_the_last_poll(self, room):
        def break_down() -> None:
            room.sandbox.add_fault(Fault("refuse", times=None))

        event = room.wait(room.arguments(), (90, lambda: room.reply(SATO, "良いです")), (119, break_down))
        assert (event["status"], event["last_poll_failed"]) == ("timeout", True)
        other = Room()
        other.sandbox.add_fault(Fault("status", operation="post_message", status=503, executed=False, times=None))
        event = other.wait(
            other.arguments(),
            (90, lambda: other.reply(SATO, "良いです")),
            (3550, lambda: other.sandbox.add_fault(Fault("refuse", times=None))),
        )
        assert (event["status"], event["last_poll_failed"]) == ("timeout", True)

    def test_no_second_hint_is_posted_if_the_page_is_older_than_the_first(self, room):
        # The reply to the first trigger's post is lost; the next trigger gets the page from before it.
        room.sandbox.add_fault(Fault("lost_reply", operation="post_message"))
        room.reply(SATO, "承認")
        room.reply(SATO, "良いです")
        # Keeps the shared page alive.
        another = room.arguments(question={**QUESTION, "message_id": "1"}, deadline=START + 9000)

        async def main(loop: VirtualLoop) -> list[Any]:
            def now() -> float:
                room.now = loop.unix_time()
                return room.now

            with sandbox_pollers(room.sandbox, now):
                events = []

                async def keep_waiting() -> None:
                    async for _ in ChatworkApprovalTrigger(**another).run():
                        pass

                other = asyncio.create_task(keep_waiting())
                state = new_state(START)
                for _ in range(3):
                    trigger = ChatworkApprovalTrigger(**room.arguments(state=state))
                    [event] = [event.payload async for event in trigger.run()]
                    events.append(event)
                    state = event["state"]
                other.cancel()
                await asyncio.wait([other])
                return events

        events = run_virtually(main, start=room.now)
        assert events[-1]["status"] == "timeout"
        assert room.posts == 1

    def test_changes_nothing_in_the_room_when_cancelled(self, room):
        assert room.wait(room.arguments(), killed_at=300) is None
        assert {request.method for request in room.sandbox.requests} == {"GET"}

    def test_a_timeout_says_whether_the_last_poll_failed(self, room):
        assert room.wait(room.arguments())["last_poll_failed"] is False
        other = Room()
        event = other.wait(other.arguments(), (90, lambda: other.sandbox.add_fault(Fault("refuse", times=None))))
        assert event["last_poll_failed"] is True

    def test_all_questions_of_a_room_share_one_poll(self, room):
        def both() -> Any:
            async def main(loop: VirtualLoop) -> list[Any]:
                with sandbox_pollers(room.sandbox, loop.unix_time):
                    waits = [ChatworkApprovalTrigger(**room.arguments()) for _ in range(20)]

                    async def first(trigger: ChatworkApprovalTrigger) -> Any:
                        [event] = [event.payload async for event in trigger.run()]
                        return event

                    return await asyncio.gather(*map(first, waits))

            return run_virtually(main)

        assert {event["status"] for event in both()} == {"timeout"}
        operations = [request.operation for request in room.sandbox.requests]
        assert operations.count("list_messages") <= 3600 / 60 + 2
        # The members are listed after an hour, for each question, which is the deadline.
        assert len(operations) - operations.count("list_messages") == operations.count("list_members") == 20

    def test_a_change_of_members_is_found_without_a_new_message(self, room):
        # Chatwork posts no message when a member may only read.
        event = room.wait(
            room.arguments(deadline=START + 30_000),
            (90, lambda: room.sandbox.add_member(ROOM, YAMADA, "readonly")),
        )
        assert (event["outcome"], event["state"]["ineligible"]) == ("quorum_impossible", [YAMADA])
        assert START + 3600 <= room.now < START + 3600 + 120
        operations = [request.operation for request in room.sandbox.requests]
        assert operations.count("list_members") == 1

    def test_a_failed_list_of_members_is_requested_again_at_the_next_interval(self, room):
        def break_down() -> None:
            room.sandbox.add_fault(Fault("status", operation="list_members", status=503, times=3))

        event = room.wait(
            room.arguments(deadline=START + 30_000),
            (80, break_down),
            (90, lambda: room.sandbox.add_member(ROOM, YAMADA, "readonly")),
        )
        assert event["outcome"] == "quorum_impossible"
        asked = [request.time for request in room.sandbox.requests if request.operation == "list_members"]
        assert len(asked) == 4
        assert all(later - earlier >= 59 for earlier, later in pairwise(asked))

    def test_a_failed_recheck_is_repeated_at_the_next_interval(self, room):
        room.reply(SATO, "承認")
        event = room.wait(room.arguments())
        for index in range(120):
            room.sandbox.post_message(ROOM, company.TAKAHASHI, f"雑談 {index}")
        room.reply(YAMADA, "承認")
        room.sandbox.add_fault(Fault("status", operation="get_message", status=503, times=3))
        event = room.wait(room.arguments(state=event["state"]))
        while event["status"] == "checkpoint":
            event = room.wait(room.arguments(state=event["state"]))
        assert (event["outcome"], event["choice"]) == ("decided", "承認")
        assert room.now < START + 600

    def test_a_failed_recheck_at_the_deadline_decides_nothing(self, room):
        room.reply(SATO, "承認")
        state = room.wait(room.arguments())["state"]
        for index in range(120):
            room.sandbox.post_message(ROOM, company.TAKAHASHI, f"雑談 {index}")
        room.reply(YAMADA, "承認")
        room.sandbox.add_fault(Fault("status", operation="get_message", status=503, times=None))
        event = room.wait(room.arguments(state=state))
        while event["status"] == "checkpoint":
            event = room.wait(room.arguments(state=event["state"]))
        assert (event["status"], event["last_poll_failed"]) == ("timeout", True)
