"""A question that waits for its answers in both modes, on one clock, with people who act at given times."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.sandbox import Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.triggers._base import WorkerWait
from tests.airflow_helpers import FakeTaskInstance
from tests.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

MODES = ("worker", "triggerer")
ROOM = company.DATA_ROOM
#: When somebody does something, in seconds from the question.
Happening = tuple[float, Callable[["Office"], object]]


@dataclass
class End:
    """How a wait ended: in a word, with the error behind it, and with what it left."""

    how: str
    error: str = ""
    cause: str | None = None
    result: Any = None
    xcoms: dict[str, Any] = field(default_factory=dict)


class Office:
    """The sandbox, its people, and the question that they are asked."""

    def __init__(self, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.monkeypatch = monkeypatch
        self.now = START
        self.deferrals = 0
        self.happenings: list[Happening] = []
        self.said: dict[int, str] = {}
        sandbox.limits = Limits.off()
        sandbox.clock = lambda: self.now
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)
        monkeypatch.setattr(WorkerWait, "run", lambda wait: self.event_of(wait._trigger))

    # --- people

    @property
    def own(self) -> list[dict[str, Any]]:
        """What the account of the token has said since, the question first."""
        return [
            message
            for message in self.sandbox.messages(ROOM)
            if message["account"]["account_id"] == company.BOT
            and message["send_time"] >= START
            and "[dtext:" not in message["body"]
        ]

    @property
    def question(self) -> str:
        """The message id of the question."""
        return self.own[0]["message_id"]

    def reply(self, person: int, text: str, to: str | None = None) -> str:
        """Answer the question, or another message."""
        self.said[person] = self.sandbox.reply(ROOM, person, to or self.question, text)
        return self.said[person]

    def edit(self, person: int, text: str) -> None:
        """Write something else into the reply."""
        message = next(m for m in self.sandbox.messages(ROOM) if m["message_id"] == self.said[person])
        self.sandbox.edit_message(ROOM, self.said[person], message["body"].partition("\n")[0] + f"\n{text}")

    def chat(self, count: int) -> None:
        """Talk about something else."""
        for index in range(count):
            self.sandbox.post_message(
                ROOM, company.SUZUKI if self._has(company.SUZUKI) else company.YAMADA, f"雑談 {index}"
            )

    def _has(self, person: int) -> bool:
        return person in self.sandbox.store.rooms[ROOM].roles

    # --- time

    def _sleep(self, seconds: float) -> None:
        assert seconds >= 0
        until = self.now + seconds
        assert until < START + 30 * 86400, "the wait goes on for ever"
        while self.happenings and START + self.happenings[0][0] <= until:
            at, act = self.happenings.pop(0)
            self.now = max(self.now, START + at)
            act(self)
        self.now = until

    # --- waiting

    def ask(self, mode: str, happenings: Sequence[Happening] = (), **arguments: Any) -> End:
        """Ask, let people act, and tell how it ended."""
        self.happenings = sorted(happenings, key=lambda happening: happening[0])
        ti = FakeTaskInstance()

        def operator() -> ChatworkApprovalOperator:
            return ChatworkApprovalOperator(
                task_id="ask",
                deferrable=mode == "triggerer",
                **{
                    "room_id": ROOM,
                    "question": "公開してよいですか",
                    "approvers": [company.SATO],
                    "poke_interval": 60,
                    "timeout": 3600,
                    **arguments,
                },
            )

        try:
            result = self._run(operator, {"ti": ti})
        except AirflowSkipException as error:
            return End("skipped", str(error), xcoms=ti.xcoms)
        except AirflowSensorTimeout as error:
            return End("timed out", str(error), xcoms=ti.xcoms)
        except AirflowFailException as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else None
            return End("failed for good", str(error), cause, xcoms=ti.xcoms)
        except AssertionError:
            raise
        except Exception as error:
            return End("failed", str(error), type(error).__name__, xcoms=ti.xcoms)
        return End("decided", result=result, xcoms=ti.xcoms)

    def resume(self, operator: ChatworkApprovalOperator, context: Any) -> Any:
        """Let a task run to its end, in the triggerer where it wants to."""
        return self._run(lambda: operator, context)

    def _run(self, operator: Callable[[], ChatworkApprovalOperator], context: Any) -> Any:
        try:
            return operator().execute(context)
        except TaskDeferred as deferred:
            waiting = deferred
        while True:
            self.deferrals += 1
            assert self.deferrals < 50, "it is handed to and fro for ever"
            event = self.trigger_event(waiting)
            kwargs = waiting.kwargs or {}
            try:
                # A new one each time, as each time it is another process.
                return operator().resume_execution(waiting.method_name, {**kwargs, "event": event}, context)
            except TaskDeferred as again:
                waiting = again

    def trigger_event(self, waiting: TaskDeferred) -> Any:
        """Let a trigger run to its event, in a triggerer of its own."""
        return self.event_of(self.trigger(waiting))

    def event_of(self, trigger: Any) -> Any:

        async def main(loop: VirtualLoop) -> Any:
            begun = self.now

            def now() -> float:
                self.now = loop.unix_time()
                return self.now

            def happen() -> None:
                _, act = self.happenings.pop(0)
                now()
                act(self)

            for at, _ in self.happenings:
                loop.happens(max(START + at - begun, 0.0), happen)
            with sandbox_pollers(self.sandbox, now):
                events = [event.payload async for event in trigger.run()]
            now()
            assert len(events) == 1
            return events[0]

        try:
            return json.loads(json.dumps(run_virtually(main, start=self.now)))
        finally:
            self.sandbox.clock = lambda: self.now

    def trigger(self, waiting: TaskDeferred) -> Any:
        """The trigger as the triggerer makes it, from what the database keeps."""
        path, arguments = json.loads(json.dumps(waiting.trigger.serialize()))
        module, _, name = path.rpartition(".")
        return getattr(import_module(module), name)(**arguments)
