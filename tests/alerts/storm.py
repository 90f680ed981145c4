"""Callbacks of many processes at once, on a time that is not ours: every step of each may come between any of another.

A process here is a greenlet. Whatever it asks of Airflow or Chatwork takes a time drawn by chance, takes effect
somewhere within it, and lets the others go on meanwhile.
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

from airflow_provider_chatwork.alerts.aggregation import Fold, LedgerError, News, Told
from airflow_provider_chatwork.alerts.alert_state import Board, Entry, Key, RunPart
from airflow_provider_chatwork.alerts.formatter import Writer
from airflow_provider_chatwork.alerts.texts import alert_catalog
from airflow_provider_chatwork.api.call import Call
from airflow_provider_chatwork.api.errors import ChatworkNotFoundError

START = 1_800_000_000.0
ROOM = "400000101"


@dataclass
class Room:
    """A room that keeps an account's messages, and every call that came."""

    messages: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    _ids: Any = field(default_factory=lambda: itertools.count(1900))

    def answer(self, call: Call[Any]) -> Any:
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
            raise AssertionError(f"nobody asked for {call.operation}")
        return {"message_id": message_id}


class Storm:
    """Airflow, Chatwork, and the time both live in.

    :param seed: what chance draws from.
    :param hasty: whether it may also take so long that others no longer wait.
    """

    def __init__(self, seed: int, *, hasty: bool = False) -> None:
        self.chance = random.Random(seed)
        self.now = START
        self.room = Room()
        self.variables: dict[str, dict[str, Any]] = {}
        self.xcoms: dict[tuple[str, Key], dict[str, Any]] = {}
        self.states: dict[str, dict[Key, str | None]] = {}
        self.told: list[Told] = []
        self._hasty = hasty
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._loop = greenlet.getcurrent()

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Let something happen after so many seconds."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), act))

    def process(self, seconds: float, act: Callable[[], None]) -> None:
        """Begin a process after so many seconds."""
        self.at(seconds, lambda: greenlet.greenlet(act, parent=self._loop).switch())

    def run(self) -> None:
        """Let time pass until nothing happens any more."""
        while self._queue:
            self.now, _, act = heapq.heappop(self._queue)
            act()

    def sleep(self, seconds: float) -> None:
        """What a process does to wait."""
        current = greenlet.getcurrent()
        self.at(seconds, current.switch)
        self._loop.switch()

    def take(self, seconds: float, effect: Callable[[], Any]) -> Any:
        """What a process does to ask somebody: it takes effect halfway."""
        longest = seconds * (60 if self._hasty and self.chance.random() < 0.1 else 2)
        self.sleep(self.chance.uniform(0, longest))
        answer = effect()
        self.sleep(self.chance.uniform(0, longest))
        return answer

    def fails(self, key: Key, *, run_id: str = "r", at: float = 0.0, retrying: bool = False, **more: Any) -> None:
        """Let a task fail: its process calls back, and is over only then."""
        states = self.states.setdefault(run_id, {})
        states[key] = "running"

        def act() -> None:
            if retrying:
                states[key] = "up_for_retry"
            entry = Entry(task_id=key[0], map_index=key[1], error="E: x", at=self.now, retrying=retrying, try_number=1)
            self.tell(News(part=RunPart(run_id=run_id), entry=entry, rings=not retrying), **more)
            self.sleep(self.chance.uniform(0, 0.5))
            if not retrying:
                states[key] = "failed"

        self.process(at, act)

    def is_killed(self, key: Key, *, run_id: str = "r", at: float = 0.0, **more: Any) -> None:
        """Let a task be killed: the DAG processor, which cannot record anything, tells of it."""
        states = self.states.setdefault(run_id, {})
        states[key] = "running"

        def act() -> None:
            states[key] = "failed"
            self.sleep(self.chance.uniform(0, 1))
            entry = Entry(task_id=key[0], map_index=key[1], at=self.now)
            self.tell(News(part=RunPart(run_id=run_id), entry=entry, rings=True), records=False, **more)

        self.process(at, act)

    def tell(self, news: News, **more: Any) -> None:
        """Tell news, as a callback does."""
        self.told.append(self.fold(news.part.run_id, **more).tell(news))

    def fold(self, run_id: str, *, records: bool = True, asks: bool = True, window: float | None = None) -> Fold:
        """The fold of one process."""
        writer = Writer(alert_catalog("en"), "UTC")
        return Fold(
            ledger=StormLedger(self, run_id, records=records, asks=asks),
            name="board" if window is not None else f"board {run_id}",
            new_board=lambda: Board(since=self.now, room_id=ROOM),
            run=lambda call: self.take(0.1, lambda: self.room.answer(call)),
            compose=lambda board: writer.board(board, "report"),
            call_line=lambda: "[To:1]",
            clock=lambda: self.now,
            sleep=self.sleep,
            log=lambda text: None,
            window=window,
        )

    @property
    def text(self) -> str:
        """The one message there is."""
        [text] = self.room.messages.values()
        return text


@dataclass
class StormLedger:
    """What one process sees of the storm's Airflow."""

    storm: Storm
    run_id: str
    records: bool = True
    asks: bool = True

    @property
    def in_task(self) -> bool:
        return self.records

    def _take(self, effect: Callable[[], Any]) -> Any:
        return self.storm.take(0.01, effect)

    def states(self) -> Mapping[Key, str | None] | None:
        return self._take(lambda: dict(self.storm.states[self.run_id])) if self.asks else None

    def record(self, entry: dict[str, Any]) -> None:
        if self.records:
            key = entry["task_id"], entry["map_index"]
            self._take(lambda: self.storm.xcoms.__setitem__((self.run_id, key), entry))

    def recorded(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        wanted = {*task_ids}
        return self._take(
            lambda: [
                entry for (run_id, key), entry in self.storm.xcoms.items() if run_id == self.run_id and key[0] in wanted
            ]
        )

    def load(self, name: str) -> dict[str, Any] | None:
        return self._take(lambda: self.storm.variables.get(name))

    def save(self, name: str, value: dict[str, Any] | None) -> None:
        self._take(
            lambda: (
                self.storm.variables.pop(name, None) if value is None else self.storm.variables.__setitem__(name, value)
            )
        )


class DeafLedger:
    """An Airflow that does not answer."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*args: Any) -> Any:
            raise LedgerError(name)

        return refuse


def named(text: str) -> set[Key]:
    """Every task instance that a text names."""
    found: set[Key] = set()
    for task_id, indexes in re.findall(r"\b(t\d+)(?: \[([\d, -]+)\])?", text):
        if not indexes:
            found.add((task_id, -1))
        for part in filter(None, indexes.split(", ")):
            first, _, last = part.partition("-")
            found |= {(task_id, index) for index in range(int(first), int(last or first) + 1)}
    return found
