"""A simulation of the callbacks of many processes at the same time, with every possible interleaving of their steps.

A process is a greenlet. Each request to Airflow or Chatwork takes a random time, takes effect halfway, and lets the
other processes run meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import greenlet

from airflow_provider_chatwork.alerts.aggregation import AlertAggregator
from airflow_provider_chatwork.alerts.alert_state import (
    AlertStoreError,
    FailureUpdate,
    Key,
    RunFailures,
    TaskFailure,
    UpdateResult,
)
from airflow_provider_chatwork.alerts.destination import Destination
from airflow_provider_chatwork.alerts.formatter import AlertFormatter
from airflow_provider_chatwork.api.call import Call, CallFlow
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError
from airflow_provider_chatwork.client import TimeLimit

START = 1_800_000_000.0
ROOM = 400000101


@dataclass
class Room:
    """A room with the messages of one account, and the operations of all calls."""

    messages: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    _ids: Any = field(default_factory=lambda: itertools.count(1900))

    def respond(self, call: Call[Any]) -> Any:
        self.calls.append(call.operation)
        form = dict(call.request.form or {})
        message_id = call.request.path.rpartition("/")[2]
        if call.operation == "post_message":
            message_id = str(next(self._ids))
            self.messages[message_id] = form["body"]
        elif message_id not in self.messages:
            raise ChatworkNotFoundError(404, ("no such message",))
        elif call.operation == "edit_message":
            self.messages[message_id] = form["body"]
        elif call.operation == "delete_message":
            del self.messages[message_id]
        else:
            raise AssertionError(f"unexpected operation {call.operation}")
        return {"message_id": message_id}


class Storm:
    """Airflow, Chatwork, and a clock for both.

    :param seed: the seed of all random times.
    :param slow: whether some requests take longer than other processes wait.
    """

    def __init__(self, seed: int, *, slow: bool = False) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.room = Room()
        self.variables: dict[str, dict[str, Any]] = {}
        self.xcoms: dict[tuple[str, Key], dict[str, Any]] = {}
        self.states: dict[str, dict[Key, str | None]] = {}
        self.results: list[UpdateResult] = []
        self._slow = slow
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._loop = greenlet.getcurrent()

    def schedule(self, seconds: float, action: Callable[[], None]) -> None:
        """Run something after so many seconds."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), action))

    def start_process(self, seconds: float, action: Callable[[], None]) -> None:
        """Start a process after so many seconds."""
        self.schedule(seconds, lambda: greenlet.greenlet(action, parent=self._loop).switch())

    def run(self) -> None:
        """Run until all processes have ended."""
        while self._queue:
            self.now, _, action = heapq.heappop(self._queue)
            action()

    def sleep(self, seconds: float) -> None:
        """Let a process wait."""
        current = greenlet.getcurrent()
        self.schedule(seconds, current.switch)
        self._loop.switch()

    def request(self, seconds: float, effect: Callable[[], Any]) -> Any:
        """Let a process wait for a request, which takes effect halfway."""
        longest = seconds * (60 if self._slow and self.random.random() < 0.1 else 2)
        self.sleep(self.random.uniform(0, longest))
        response = effect()
        self.sleep(self.random.uniform(0, longest))
        return response

    def fail_task(self, key: Key, *, run_id: str = "r", at: float = 0.0, retrying: bool = False, **more: Any) -> None:
        """Let a task fail. Its process runs the callback before the task ends."""
        states = self.states.setdefault(run_id, {})
        states[key] = "running"

        def process() -> None:
            if retrying:
                states[key] = "up_for_retry"
            failure = TaskFailure(
                task_id=key[0], map_index=key[1], error="E: x", failed_at=self.now, retrying=retrying, try_number=1
            )
            self.report(FailureUpdate(run=RunFailures(run_id=run_id), failure=failure, notifies=not retrying), **more)
            self.sleep(self.random.uniform(0, 0.5))
            if not retrying:
                states[key] = "failed"

        self.start_process(at, process)

    def kill_task(self, key: Key, *, run_id: str = "r", at: float = 0.0, **more: Any) -> None:
        """Kill a task. The DAG processor, which cannot save a failure, runs its callback."""
        states = self.states.setdefault(run_id, {})
        states[key] = "running"

        def process() -> None:
            states[key] = "failed"
            self.sleep(self.random.uniform(0, 1))
            failure = TaskFailure(task_id=key[0], map_index=key[1], failed_at=self.now)
            update = FailureUpdate(run=RunFailures(run_id=run_id), failure=failure, notifies=True)
            self.report(update, in_task=False, **more)

        self.start_process(at, process)

    def report(self, update: FailureUpdate, **more: Any) -> None:
        """Report a failure, as a callback does."""
        self.results.append(self.aggregator(update.run.run_id, **more).report(update))

    def aggregator(
        self, run_id: str, *, in_task: bool = True, knows_states: bool = True, window: float | None = None
    ) -> AlertAggregator:
        """Return the aggregator of one process."""
        return AlertAggregator(
            store=StormAlertStore(self, run_id, in_task=in_task, knows_states=knows_states),
            name="message" if window is not None else f"message {run_id}",
            client=StormClient(self),  # type: ignore[arg-type]
            destination=Destination(
                chatwork_conn_id="chatwork_default",
                room_id=ROOM,
                formatter=AlertFormatter("en", "UTC"),
                mentions=(1,),
            ),
            dag_id="report",
            time_limit=TimeLimit(float("inf")),
            clock=lambda: self.now,
            sleep=self.sleep,
            warn=lambda *args: None,
            window=window,
        )

    @property
    def text(self) -> str:
        """The body of the only message."""
        [text] = self.room.messages.values()
        return text


@dataclass
class StormClient:
    """The client of one process."""

    storm: Storm

    def run(self, call: Call[Any]) -> Any:
        return self.storm.request(0.1, lambda: self.storm.room.respond(call))

    def run_flow(self, flow: CallFlow[Any]) -> Any:
        # A mention by account id needs no call.
        try:
            raise AssertionError(f"unexpected operation {next(flow).operation}")
        except StopIteration as end:
            return end.value


@dataclass
class StormAlertStore:
    """The store of one process."""

    storm: Storm
    run_id: str
    in_task: bool = True
    knows_states: bool = True

    def _request(self, effect: Callable[[], Any]) -> Any:
        return self.storm.request(0.01, effect)

    def states(self) -> Mapping[Key, str | None] | None:
        return self._request(lambda: dict(self.storm.states[self.run_id])) if self.knows_states else None

    def save_failure(self, failure: dict[str, Any]) -> None:
        if self.in_task:
            key = failure["task_id"], failure.get("map_index", -1)
            self._request(lambda: self.storm.xcoms.__setitem__((self.run_id, key), failure))

    def load_failures(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        wanted = {*task_ids}
        return self._request(
            lambda: [
                failure
                for (run_id, key), failure in self.storm.xcoms.items()
                if run_id == self.run_id and key[0] in wanted
            ]
        )

    def load(self, name: str) -> dict[str, Any] | None:
        return self._request(lambda: self.storm.variables.get(name))

    def save(self, name: str, value: dict[str, Any] | None) -> None:
        self._request(
            lambda: (
                self.storm.variables.pop(name, None) if value is None else self.storm.variables.__setitem__(name, value)
            )
        )


class UnavailableAlertStore:
    """The store of an Airflow that does not answer."""

    def __getattr__(self, name: str) -> Any:
        def fail(*args: Any) -> Any:
            raise AlertStoreError(name)

        return fail


def reported_keys(text: str) -> set[Key]:
    """Return every task instance that a text names."""
    found: set[Key] = set()
    for task_id, indexes in re.findall(r"\b(t\d+)(?: \[([\d, -]+)\])?", text):
        if not indexes:
            found.add((task_id, -1))
        for part in filter(None, indexes.split(", ")):
            first, _, last = part.partition("-")
            found |= {(task_id, index) for index in range(int(first), int(last or first) + 1)}
    return found
