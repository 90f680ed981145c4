"""Waits for assigned tasks in both modes, in virtual time, with people who act at given times."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.sandbox.room_changes import RoomChanges
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.triggers._base import WorkerWait
from tests.airflow_helpers import FakeTaskInstance
from tests.virtual_time import START, VirtualLoop, run_virtually, sandbox_pollers

MODES = ("worker", "triggerer")
ROOM = company.DATA_ROOM
ASSIGNEES = [company.SATO, company.YAMADA, company.TAKAHASHI]
#: What somebody does, and when, in seconds from the start.
Event = tuple[float, Callable[["Scenario"], object]]


class Killed(Exception):
    """Raised when the trigger was cancelled."""


@dataclass
class Result:
    """How a try ended, with its error, its return value and its XComs."""

    ending: str
    error: str = ""
    cause: str | None = None
    value: Any = None
    xcoms: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> Any:
        """The result of the wait: the return value, or the XCom."""
        return self.value if self.ending == "done" else self.xcoms.get("chatwork_outcome")


class Instance(FakeTaskInstance):
    """A task instance whose XComs can be pulled."""

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcoms.get(key)


class Scenario:
    """A room with people, and the Airflow task that creates tasks for them."""

    def __init__(self, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.monkeypatch = monkeypatch
        self.now = START
        self.ti = Instance()
        self.store: Any = None
        #: When the DAG run was started; ``None``: with the first try.
        self.run_started_at: float | None = None
        self.events: list[Event] = []
        self.deferred: TaskDeferred | None = None
        #: Called with a trigger that was cancelled; returns an awaitable.
        self.on_stop: Callable[[Any], Any] | None = None
        self._stop: Callable[[], object] | None = None
        self._operator: ChatworkCreateTaskOperator | None = None
        sandbox.clock = lambda: self.now
        self._given: list[int] = []
        self.before = {task["task_id"] for task in sandbox.tasks(ROOM)}
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)
        monkeypatch.setattr(WorkerWait, "run", lambda wait: self.run_trigger(wait._trigger))
        monkeypatch.setattr(WorkerWait, "cancel", lambda wait: self._stop and self._stop())

    # --- people

    @property
    def tasks(self) -> list[int]:
        """The tasks that were created first, in the order of the assignees."""
        new = [task["task_id"] for task in self.sandbox.tasks(ROOM) if task["task_id"] not in self.before]
        self._given = self._given or new
        return self._given

    def task(self, index: int) -> Any:
        """Return a task of the sandbox, to change it."""
        return self.sandbox.store.rooms[ROOM].tasks[self.tasks[index]]

    def complete(self, *which: int) -> None:
        """Set tasks to done."""
        for index in which:
            self.sandbox.complete_task(ROOM, self.tasks[index])

    def leave(self, person: int) -> None:
        """Let a person leave the room, which deletes their tasks."""
        assert self.tasks
        with self.sandbox.locked() as world:
            RoomChanges(world, self.now).leave(world.rooms[ROOM], person)

    def fail_requests(self, **fault: Any) -> None:
        """Let requests fail."""
        self.sandbox.add_fault(Fault(**{"kind": "status", "times": None, **fault}))

    @property
    def posted(self) -> list[str]:
        """The messages of the account since the start."""
        return [
            message["body"]
            for message in self.sandbox.messages(ROOM)
            if message["account"]["account_id"] == company.BOT
            and message["send_time"] >= START
            and "[dtext:" not in message["body"]
        ]

    # --- time

    def _sleep(self, seconds: float) -> None:
        assert seconds >= 0
        until = self.now + seconds
        assert until < START + 30 * 86400, "the wait goes on for ever"
        while self.events and START + self.events[0][0] <= until:
            at, act = self.events.pop(0)
            self.now = max(self.now, START + at)
            act(self)
        self.now = until

    # --- Airflow

    def operator(self, mode: str, **arguments: Any) -> ChatworkCreateTaskOperator:
        """Return the operator, a new one for each process."""
        return ChatworkCreateTaskOperator(
            task_id="ask",
            deferrable=mode == "triggerer",
            **{
                "room_id": ROOM,
                "body": "マスタを更新する",
                "to_ids": ASSIGNEES,
                "wait_for_completion": True,
                "poke_interval": 60,
                "timeout": 3600,
                **arguments,
            },
        )

    def run(self, mode: str, events: Sequence[Event] = (), **arguments: Any) -> Result:
        """Run one try of the Airflow task while people act."""
        self.events = sorted(events, key=lambda event: event[0])
        self.ti.xcoms.clear()
        self.run_started_at = self.now if self.run_started_at is None else self.run_started_at
        run = SimpleNamespace(start_date=datetime.fromtimestamp(self.run_started_at, UTC))
        context = {"ti": self.ti, "task_state_store": self.store, "dag_run": run}
        try:
            result = self._run(lambda: self.operator(mode, **arguments), context)
        except AirflowSkipException as error:
            return Result("skipped", str(error), xcoms=self.ti.xcoms)
        except AirflowSensorTimeout as error:
            return Result("timed out", str(error), xcoms=self.ti.xcoms)
        except AirflowFailException as error:
            cause = type(error.__cause__).__name__ if error.__cause__ else None
            return Result("failed for good", str(error), cause, xcoms=self.ti.xcoms)
        except AssertionError:
            raise
        except Exception as error:
            return Result("failed", str(error), type(error).__name__, xcoms=self.ti.xcoms)
        return Result("done", value=json.loads(json.dumps(result)), xcoms=self.ti.xcoms)

    def kill_worker(self) -> None:
        """Stop the worker as Airflow 3 does."""
        assert self._operator is not None
        self._operator.on_kill()

    def stop_triggerer(self) -> None:
        """Cancel the trigger. Another triggerer takes over at once, unless ``on_stop`` is set."""
        assert self._stop is not None
        self._stop()

    def _run(self, operator: Callable[[], ChatworkCreateTaskOperator], context: Any) -> Any:
        self._operator = operator()
        try:
            return self._operator.execute(context)
        except TaskDeferred as deferred:
            waiting = self.deferred = deferred
        event = None
        while event is None:
            event = self.trigger_event(waiting)
            if event is None and self.on_stop is not None:
                raise Killed
        # A new operator, as this is another process.
        return operator().resume_execution(waiting.method_name, {"event": event}, context)

    def trigger_event(self, waiting: TaskDeferred) -> Any:
        """Run a trigger to its event; ``None`` if it was cancelled."""
        return self.run_trigger(self.trigger(waiting))

    def run_trigger(self, trigger: Any) -> Any:

        async def main(loop: VirtualLoop) -> Any:
            begun = self.now

            def now() -> float:
                self.now = loop.unix_time()
                return self.now

            def happen() -> None:
                _, act = self.events.pop(0)
                now()
                act(self)

            async def run() -> list[Any]:
                return [event.payload async for event in trigger.run()]

            for at, _ in self.events:
                loop.happens(max(START + at - begun, 0.0), happen)
            with sandbox_pollers(self.sandbox, now):
                running = asyncio.create_task(run())
                self._stop = running.cancel
                events = []
                with suppress(asyncio.CancelledError):
                    events = await running
                if running.cancelled() and self.on_stop is not None:
                    await self.on_stop(trigger)
                await trigger.cleanup()
                now()
            return events

        try:
            events = json.loads(json.dumps(run_virtually(main, start=self.now)))
        finally:
            self.sandbox.clock = lambda: self.now
        assert len(events) <= 1
        return events[0] if events else None

    def trigger(self, waiting: TaskDeferred) -> Any:
        """Return the trigger as the triggerer makes it of its serialized form."""
        path, arguments = json.loads(json.dumps(waiting.trigger.serialize()))
        module, _, name = path.rpartition(".")
        return getattr(import_module(module), name)(**arguments)
