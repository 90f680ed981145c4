"""An Airflow that is a few dictionaries, and alerts told from its processes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_chatwork.alerts import destination as planning
from airflow_provider_chatwork.alerts.aggregation import LedgerError
from airflow_provider_chatwork.alerts.alert_state import Board, Key
from airflow_provider_chatwork.alerts.destination import Switch
from airflow_provider_chatwork.alerts.event import Kind, Story
from airflow_provider_chatwork.alerts.routing import RoutingTable
from airflow_provider_chatwork.alerts.sender import Delivery
from airflow_provider_chatwork.alerts.time_limited_client import Budget
from airflow_provider_chatwork.alerts.wishes import Wishes
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
DAG = "report"
RUN = "scheduled__2026-11-01"


@dataclass
class Clock:
    """A time that only goes on when told to, or when somebody sleeps."""

    now: float = START.timestamp()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class MemoryAirflow:
    """What the ledgers of all processes share. Values are kept as JSON, as Airflow does."""

    variables: dict[str, str] = field(default_factory=dict)
    states: dict[str, dict[Key, str | None]] = field(default_factory=dict)
    xcoms: dict[tuple[str, str, int], str] = field(default_factory=dict)

    def ledger(self, run_id: str = RUN, **more: Any) -> MemoryLedger:
        """What one process sees of it."""
        return MemoryLedger(self, run_id, **more)


@dataclass
class MemoryLedger:
    """One process's ledger.

    :param in_task: whether it is the process of the task.
    :param asks: whether the states can be asked for.
    :param broken: the methods that fail.
    :param forgetful: whether what is saved is lost without a word.
    """

    airflow: MemoryAirflow
    run_id: str
    in_task: bool = True
    asks: bool = True
    broken: frozenset[str] = frozenset()
    forgetful: bool = False

    def states(self) -> Mapping[Key, str | None] | None:
        self._work("states")
        return dict(self.airflow.states.get(self.run_id, {})) if self.asks else None

    def record(self, entry: dict[str, Any]) -> None:
        self._work("record")
        if self.in_task:
            self.airflow.xcoms[self.run_id, entry["task_id"], entry.get("map_index", -1)] = json.dumps(entry)

    def recorded(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        self._work("recorded")
        wanted = {*task_ids}
        return [
            json.loads(kept)
            for (run_id, task_id, _), kept in self.airflow.xcoms.items()
            if run_id == self.run_id and task_id in wanted
        ]

    def load(self, name: str) -> dict[str, Any] | None:
        self._work("load")
        kept = self.airflow.variables.get(name)
        return None if kept is None else json.loads(kept)

    def save(self, name: str, value: dict[str, Any] | None) -> None:
        self._work("save")
        if self.forgetful:
            return
        if value is None:
            self.airflow.variables.pop(name, None)
        else:
            self.airflow.variables[name] = json.dumps(value)

    def _work(self, method: str) -> None:
        if method in self.broken:
            raise LedgerError(f"{method} is out of order")


def failure(task_id: str = "load", *, kind: Kind = Kind.FAILURE, **more: Any) -> Story:
    """A task that failed."""
    return Story(
        **{
            "kind": kind,
            "dag_id": DAG,
            "run_id": RUN,
            "task_id": task_id,
            "label": task_id,
            "try_number": 1,
            "tries": 1,
            "error": "ValueError: no rows",
            **more,
        }
    )


def run_failure(**more: Any) -> Story:
    """A run that failed."""
    return Story(**{"kind": Kind.RUN_FAILURE, "dag_id": DAG, "run_id": RUN, "reason": "task_failure", **more})


def run_success(**more: Any) -> Story:
    """A run that succeeded."""
    return Story(**{"kind": Kind.RUN_SUCCESS, "dag_id": DAG, "run_id": RUN, "reason": "success", **more})


@dataclass
class Teller:
    """Tells stories to a sandbox, each in a process of its own."""

    sandbox: ServedSandbox
    room_id: int
    airflow: MemoryAirflow = field(default_factory=MemoryAirflow)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        rooms = (company.DATA_ROOM, company.SALES_ROOM)
        self._before = {message["message_id"] for room in rooms for message in self.sandbox.messages(room)}

    def delivery(
        self, story: Story, *, table: RoutingTable | None = None, switch: Switch | None = None, **wishes: Any
    ) -> Delivery:
        """What tells a story."""
        wanted = Wishes(**{"chatwork_conn_id": "chatwork_default", "room_id": self.room_id, "lang": "en", **wishes})
        route = planning.route_of(table, wanted, story)
        return Delivery(
            wishes=wanted,
            story=story,
            table=table,
            route=route,
            settings=_settings(route.chatwork_conn_id or wanted.chatwork_conn_id),
            connect=_settings,
            switch=switch or Switch(),
            run_url=None,
            log=logging.getLogger("tests.alerts"),
            budget=Budget(20.0),
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def tell(self, story: Story, *, state: str | None = None, ledger: Any = None, **more: Any) -> str | None:
        """Tell a story.

        :param state: of its task; what fits its kind if not given.
        :param ledger: what its process can ask; that of the task itself if not given.
        """
        if story.key is not None and story.run_id is not None:
            usual = {Kind.FAILURE: "failed", Kind.RETRY: "up_for_retry", Kind.SUCCESS: "success"}
            self.airflow.states.setdefault(story.run_id, {})[story.key] = state or usual[story.kind]
        return self.delivery(story, **more).tell(ledger or self.airflow.ledger(str(story.run_id)))

    @property
    def calls(self) -> list[str | None]:
        """Which operations of Chatwork were asked for, in that order."""
        return [request.operation for request in self.sandbox.requests]

    @property
    def posted(self) -> list[str]:
        """The bodies as they were posted."""
        return [request.form["body"] for request in self.sandbox.requests if request.operation == "post_message"]

    def messages(self, room_id: int | None = None) -> dict[str, str]:
        """What stands in a room that did not stand there before: the texts by their ids, oldest first."""
        room_id = room_id or self.room_id
        return {
            message["message_id"]: message["body"]
            for message in self.sandbox.messages(room_id)
            if message["message_id"] not in self._before
        }

    @property
    def text(self) -> str:
        """The one message there is."""
        return self.text_in(self.room_id)

    def text_in(self, room_id: int) -> str:
        """The one message there is in a room."""
        [text] = self.messages(room_id).values()
        return text

    def boards(self) -> list[Board]:
        """The boards that are kept."""
        found = [json.loads(kept) for kept in self.airflow.variables.values()]
        return [Board.from_json(value) for value in found if "boards" not in value]


def _settings(conn_id: str) -> Any:
    return ChatworkHook(conn_id).settings
