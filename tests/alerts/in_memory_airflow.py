"""An Airflow in memory, and alerts that are sent from its processes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_chatwork.alerts.alert_state import AlertMessageState, AlertStoreError, Key
from airflow_provider_chatwork.alerts.destination import AlertsSetting, find_route
from airflow_provider_chatwork.alerts.event import AlertEvent, EventKind
from airflow_provider_chatwork.alerts.routing import RoutingTable
from airflow_provider_chatwork.alerts.sender import AlertSender
from airflow_provider_chatwork.client import TimeLimit
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier
from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
DAG = "report"
RUN = "scheduled__2026-11-01"


@dataclass
class Clock:
    """A clock that only ``sleep`` advances."""

    now: float = START.timestamp()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class InMemoryAirflow:
    """What the stores of all processes share. Values are kept as JSON, as in Airflow."""

    variables: dict[str, str] = field(default_factory=dict)
    states: dict[str, dict[Key, str | None]] = field(default_factory=dict)
    xcoms: dict[tuple[str, str, int], str] = field(default_factory=dict)

    def store(self, run_id: str = RUN, **changes: Any) -> InMemoryAlertStore:
        """Return the store of one process."""
        return InMemoryAlertStore(self, run_id, **changes)


@dataclass
class InMemoryAlertStore:
    """The store of one process.

    :param in_task: whether this is the process of the task.
    :param knows_states: whether the states are known.
    :param failing: the methods that fail.
    :param loses_saved: whether saved values are lost silently.
    """

    airflow: InMemoryAirflow
    run_id: str
    in_task: bool = True
    knows_states: bool = True
    failing: frozenset[str] = frozenset()
    loses_saved: bool = False

    def states(self) -> Mapping[Key, str | None] | None:
        self._check("states")
        return dict(self.airflow.states.get(self.run_id, {})) if self.knows_states else None

    def save_failure(self, failure: dict[str, Any]) -> None:
        self._check("save_failure")
        if self.in_task:
            self.airflow.xcoms[self.run_id, failure["task_id"], failure.get("map_index", -1)] = json.dumps(failure)

    def load_failures(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        self._check("load_failures")
        wanted = {*task_ids}
        return [
            json.loads(saved)
            for (run_id, task_id, _), saved in self.airflow.xcoms.items()
            if run_id == self.run_id and task_id in wanted
        ]

    def load(self, name: str) -> dict[str, Any] | None:
        self._check("load")
        saved = self.airflow.variables.get(name)
        return None if saved is None else json.loads(saved)

    def save(self, name: str, value: dict[str, Any] | None) -> None:
        self._check("save")
        if self.loses_saved:
            return
        if value is None:
            self.airflow.variables.pop(name, None)
        else:
            self.airflow.variables[name] = json.dumps(value)

    def _check(self, method: str) -> None:
        if method in self.failing:
            raise AlertStoreError(f"{method} is out of order")


def failure(task_id: str = "load", *, kind: EventKind = EventKind.FAILURE, **changes: Any) -> AlertEvent:
    """Return the event of a task, by default of a failed one."""
    return AlertEvent(
        **{
            "kind": kind,
            "dag_id": DAG,
            "run_id": RUN,
            "task_id": task_id,
            "label": task_id,
            "try_number": 1,
            "tries": 1,
            "error": "ValueError: no rows",
            **changes,
        }
    )


def run_failure(**changes: Any) -> AlertEvent:
    """Return the event of a failed run."""
    return AlertEvent(
        **{"kind": EventKind.RUN_FAILURE, "dag_id": DAG, "run_id": RUN, "reason": "task_failure", **changes}
    )


def run_success(**changes: Any) -> AlertEvent:
    """Return the event of a run that succeeded."""
    return AlertEvent(**{"kind": EventKind.RUN_SUCCESS, "dag_id": DAG, "run_id": RUN, "reason": "success", **changes})


@dataclass
class AlertScenario:
    """Sends alerts to a sandbox, each from a process of its own."""

    sandbox: ServedSandbox
    room_id: int
    airflow: InMemoryAirflow = field(default_factory=InMemoryAirflow)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        rooms = (company.DATA_ROOM, company.SALES_ROOM)
        self._before = {message["message_id"] for room in rooms for message in self.sandbox.messages(room)}

    def sender(
        self,
        event: AlertEvent,
        *,
        store: Any = None,
        table: RoutingTable | None = None,
        setting: AlertsSetting | None = None,
        text: str | None = None,
        **options: Any,
    ) -> AlertSender:
        """Return the sender of an alert.

        :param options: the parameters of the notifier.
        """
        notifier = ChatworkNotifier(**{"room_id": self.room_id, "lang": "en", **options})
        route = find_route(table, notifier, event)
        return AlertSender(
            event=event,
            options=notifier,
            text=text,
            table=table,
            route=route,
            settings=_load_settings(route.chatwork_conn_id or notifier.chatwork_conn_id),
            load_settings=_load_settings,
            setting=setting or AlertsSetting(),
            run_url=None,
            store=store,
            time_limit=TimeLimit(20.0),
            log=logging.getLogger("tests.alerts"),
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def send(self, event: AlertEvent, *, state: str | None = None, store: Any = None, **more: Any) -> str | None:
        """Send an alert.

        :param state: the state of its task; the usual one for the event if not given.
        :param store: the store of its process; that of the task's process if not given.
        """
        if event.key is not None and event.run_id is not None:
            usual = {EventKind.FAILURE: "failed", EventKind.RETRY: "up_for_retry", EventKind.SUCCESS: "success"}
            self.airflow.states.setdefault(event.run_id, {})[event.key] = state or usual[event.kind]
        return self.sender(event, store=store or self.airflow.store(str(event.run_id)), **more).send()

    @property
    def calls(self) -> list[str | None]:
        """The operations of all requests, in their order."""
        return [request.operation for request in self.sandbox.requests]

    @property
    def posted(self) -> list[str]:
        """The bodies of the posted messages."""
        return [request.form["body"] for request in self.sandbox.requests if request.operation == "post_message"]

    def messages(self, room_id: int | None = None) -> dict[str, str]:
        """Return the new messages in a room: the bodies by their ids, oldest first."""
        room_id = room_id or self.room_id
        return {
            message["message_id"]: message["body"]
            for message in self.sandbox.messages(room_id)
            if message["message_id"] not in self._before
        }

    @property
    def text(self) -> str:
        """The body of the only new message."""
        return self.text_in(self.room_id)

    def text_in(self, room_id: int) -> str:
        """Return the body of the only new message in a room."""
        [text] = self.messages(room_id).values()
        return text

    def states(self) -> list[AlertMessageState]:
        """Return the stored states of messages."""
        found = [json.loads(saved) for saved in self.airflow.variables.values()]
        return [AlertMessageState.load(value) for value in found if "messages" not in value]


def _load_settings(conn_id: str) -> Any:
    return ChatworkHook(conn_id).settings
