"""Scenarios of the approval operator: a question in the sandbox, events at given times, and the result, in both modes.

All of it runs on one virtual clock.
"""

from __future__ import annotations

import json
import logging
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
from airflow_provider_chatwork.sandbox import Fault, Limits, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.triggers._base import WorkerWait
from tests.airflow_helpers import FakeTaskInstance
from tests.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

MODES = ("worker", "triggerer")
ROOM = company.DATA_ROOM
SATO, YAMADA, TAKAHASHI, BOT = company.SATO, company.YAMADA, company.TAKAHASHI, company.BOT
THREE = [SATO, YAMADA, TAKAHASHI]
#: Both have to choose the same option.
BOTH: dict[str, Any] = {"approvers": [SATO, YAMADA], "complete_when": "all"}
#: What happens, and when, in seconds from the question.
Event = tuple[float, Callable[["Scenario"], object]]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return a function that returns the log lines: Airflow 3 writes the log of a task to the standard output."""
    caplog.set_level(logging.INFO)
    return lambda: capfd.readouterr().out or caplog.text


def approval(**arguments: Any) -> ChatworkApprovalOperator:
    """Return an operator. By default it gives no time to answer, and then rejects."""
    return ChatworkApprovalOperator(
        task_id="ask",
        **{
            "room_id": ROOM,
            "question": "公開してよいですか",
            "approvers": [SATO],
            "deferrable": False,
            "timeout": 0,
            "on_timeout": "却下",
            **arguments,
        },
    )


@dataclass
class Result:
    """The end of a wait: how it ended, with the error and its cause, the return value, and the XComs."""

    outcome: str
    error: str = ""
    cause: str | None = None
    value: Any = None
    xcoms: dict[str, Any] = field(default_factory=dict)


class Scenario:
    """The sandbox with its people, and the question that they are asked."""

    def __init__(self, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.now = START
        self.deferrals = 0
        self.events: list[Event] = []
        self.replies: dict[int, str] = {}
        sandbox.limits = Limits.off()
        sandbox.clock = lambda: self.now
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)
        monkeypatch.setattr(WorkerWait, "run", lambda wait: self.run_trigger(wait._trigger))

    # --- people

    @property
    def own_messages(self) -> list[dict[str, Any]]:
        """The messages that the account of the token has posted, the question first."""
        return [
            message
            for message in self.sandbox.messages(ROOM)
            if message["account"]["account_id"] == BOT
            and message["send_time"] >= START
            and "[dtext:" not in message["body"]
        ]

    @property
    def question(self) -> str:
        """The message id of the question."""
        return self.own_messages[0]["message_id"]

    def reply(self, person: int, text: str, to: str | None = None) -> None:
        """Reply to the question, or to another message."""
        self.replies[person] = self.sandbox.reply(ROOM, person, to or self.question, text)

    def edit(self, person: int, text: str) -> None:
        """Replace the text of the last reply."""
        message = next(m for m in self.sandbox.messages(ROOM) if m["message_id"] == self.replies[person])
        self.sandbox.edit_message(ROOM, self.replies[person], message["body"].partition("\n")[0] + f"\n{text}")

    def delete_reply(self, person: int) -> None:
        """Delete the last reply."""
        self.sandbox.delete_message(ROOM, self.replies[person])

    def post_chat(self, count: int) -> None:
        """Post messages that have nothing to do with the question."""
        author = company.SUZUKI if company.SUZUKI in self.sandbox.store.rooms[ROOM].roles else YAMADA
        for index in range(count):
            self.sandbox.post_message(ROOM, author, f"雑談 {index}")

    def break_down(self, **fault: Any) -> None:
        """Let requests fail from now on."""
        self.sandbox.add_fault(Fault(**{"kind": "status", "times": None, **fault}))

    # --- time

    def _sleep(self, seconds: float) -> None:
        assert seconds >= 0
        until = self.now + seconds
        assert until < START + 30 * 86400, "the wait does not end"
        while self.events and START + self.events[0][0] <= until:
            at, act = self.events.pop(0)
            self.now = max(self.now, START + at)
            act(self)
        self.now = until

    # --- waiting

    def run(self, mode: str, events: Sequence[Event] = (), **arguments: Any) -> Result:
        """Post the question, let the events happen, and return the end of the wait."""
        self.events = sorted(events, key=lambda event: event[0])
        ti = FakeTaskInstance()

        def operator() -> ChatworkApprovalOperator:
            defaults = {"poke_interval": 60, "timeout": 3600, "on_timeout": "fail"}
            return approval(deferrable=mode == "triggerer", **{**defaults, **arguments})

        try:
            value = self._run(operator, {"ti": ti})
        except AirflowSkipException as error:
            return Result("skipped", str(error), xcoms=ti.xcoms)
        except AirflowSensorTimeout as error:
            return Result("timed out", str(error), xcoms=ti.xcoms)
        except AirflowFailException as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else None
            return Result("failed for good", str(error), cause, xcoms=ti.xcoms)
        except AssertionError:
            raise
        except Exception as error:
            return Result("failed", str(error), type(error).__name__, xcoms=ti.xcoms)
        return Result("decided", value=value, xcoms=ti.xcoms)

    def execute(self, operator: ChatworkApprovalOperator, context: Any) -> Any:
        """Run a task to its end, in the triggerer if it defers."""
        return self._run(lambda: operator, context)

    def _run(self, operator: Callable[[], ChatworkApprovalOperator], context: Any) -> Any:
        try:
            return operator().execute(context)
        except TaskDeferred as deferred:
            waiting = deferred
        while True:
            self.deferrals += 1
            assert self.deferrals < 50, "the task defers endlessly"
            event = self.run_deferred(waiting)
            kwargs = waiting.kwargs or {}
            try:
                # A new operator each time, as each time it is another process.
                return operator().resume_execution(waiting.method_name, {**kwargs, "event": event}, context)
            except TaskDeferred as again:
                waiting = again

    def run_deferred(self, waiting: TaskDeferred) -> Any:
        """Run the trigger of a deferral, as the triggerer creates it from the database, and return its event."""
        path, arguments = json.loads(json.dumps(waiting.trigger.serialize()))
        module, _, name = path.rpartition(".")
        return self.run_trigger(getattr(import_module(module), name)(**arguments))

    def run_trigger(self, trigger: Any) -> Any:
        """Run a trigger in a triggerer of its own, and return its event."""

        async def main(loop: VirtualLoop) -> Any:
            started_at = self.now

            def now() -> float:
                self.now = loop.unix_time()
                return self.now

            def happen() -> None:
                _, act = self.events.pop(0)
                now()
                act(self)

            for at, _ in self.events:
                loop.happens(max(START + at - started_at, 0.0), happen)
            with sandbox_pollers(self.sandbox, now):
                payloads = [event.payload async for event in trigger.run()]
            now()
            assert len(payloads) == 1
            return payloads[0]

        try:
            return json.loads(json.dumps(run_virtually(main, start=self.now)))
        finally:
            self.sandbox.clock = lambda: self.now
