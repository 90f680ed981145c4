"""The state of an alert message, and the store that keeps it between processes.

The state is JSON in an Airflow Variable: the one place that workers and the DAG processor of every Airflow version can
read and write.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Protocol, Self, TypeAlias

from pydantic import BaseModel, PlainSerializer, ValidationError

from airflow_provider_chatwork.alerts.event import AlertEvent, EventKind
from airflow_provider_chatwork.api.notation import fit

#: The number of failures in a message that are shown with their error. The others are only named.
DETAILED = 5
#: The maximum length of an error or of the author's text in the store: MySQL keeps at most 64 KB in a Variable.
MAX_STORED_TEXT = 2000

#: The task id and the map index, which is -1 for a task that is not mapped.
Key: TypeAlias = tuple[str, int]
_StoredText = Annotated[
    str | None,
    PlainSerializer(lambda text: fit(text, MAX_STORED_TEXT) if text and len(text) > MAX_STORED_TEXT else text),
]


_MAX_NAME = 250
# The states of a task whose callback may still run.
_UNFINISHED = frozenset(
    {"running", "up_for_retry", "queued", "scheduled", "restarting", "deferred", "up_for_reschedule"}
)
# The maximum number of open messages of a DAG that are kept.
_MAX_OPEN = 20
_TRIES = 3


class AlertStoreError(Exception):
    """Airflow does not answer, or what it has stored cannot be read."""


class AlertStore(Protocol):
    """What Airflow knows of one DAG run, and what it stores for alerts. Every method may raise AlertStoreError."""

    @property
    def in_task(self) -> bool:
        """Whether this is the process of the task, which knows for sure how the task ended."""

    def states(self) -> Mapping[Key, str | None] | None:
        """Return the state of every task instance of the run; ``None`` if this process cannot ask for them."""

    def save_failure(self, failure: dict[str, Any]) -> None:
        """Save a failure with the task instance of this process, if there is one."""

    def load_failures(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return the failures that task instances of these tasks have saved."""

    def load(self, name: str) -> dict[str, Any] | None:
        """Return a saved value."""

    def save(self, name: str, value: dict[str, Any] | None) -> None:
        """Save a value; ``None`` deletes it."""


class _Stored(BaseModel):
    @classmethod
    def load(cls, value: Mapping[str, Any]) -> Self:
        """Read a stored value. Unknown keys are ignored.

        :raises AlertStoreError: if it cannot be read.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise AlertStoreError(f"the stored alert cannot be read: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Return the value as plain JSON, without default values."""
        return self.model_dump(mode="json", exclude_defaults=True)


class TaskFailure(_Stored):
    """A failed task instance.

    :param failed_at: Unix time.
    :param retrying: whether Airflow will retry it.
    :param lost_worker: whether the task failed without reporting an error.
    :param text: the author's text for this failure.
    """

    task_id: str
    map_index: int = -1
    label: str | None = None
    error: _StoredText = None
    lost_worker: bool = False
    where: str | None = None
    try_number: int | None = None
    tries: int | None = None
    seconds: float | None = None
    owners: list[str] = []
    log_url: str | None = None
    failed_at: float = 0.0
    retrying: bool = False
    text: _StoredText = None

    @property
    def key(self) -> Key:
        """The task instance within its run."""
        return self.task_id, self.map_index

    @property
    def name(self) -> str:
        """The name to show."""
        return self.label or (self.task_id if self.map_index < 0 else f"{self.task_id} [{self.map_index}]")

    @classmethod
    def from_event(cls, event: AlertEvent, failed_at: float, text: str | None = None) -> Self | None:
        """Return the failure of an event; ``None`` for an event that is not about a task.

        :param failed_at: Unix time.
        :param text: the author's text for it.
        """
        if event.key is None or event.task_id is None:
            return None
        return cls(
            task_id=event.task_id,
            map_index=event.map_index,
            label=event.label,
            error=event.error,
            lost_worker=event.lost_worker,
            where=event.where,
            try_number=event.try_number,
            tries=event.tries,
            seconds=None if event.seconds is None else round(event.seconds, 1),
            owners=list(event.owners),
            log_url=event.log_url,
            failed_at=failed_at,
            retrying=event.kind is EventKind.RETRY,
            text=text,
        )


class RunFailures(_Stored):
    """The failures of one run.

    :param failed: the task instances that failed and will not be retried, in the order in which this became known.
    :param retrying: those that Airflow will retry.
    :param details: the first of both.
    :param run_failed: whether the run itself has failed, with ``reason``, and ``seconds`` for its duration.
    :param text: the author's text for the failed run.
    """

    run_id: str
    logical_date: str | None = None
    url: str | None = None
    failed: list[Key] = []
    retrying: list[Key] = []
    details: list[TaskFailure] = []
    run_failed: bool = False
    reason: str | None = None
    seconds: float | None = None
    text: _StoredText = None

    def reported(self) -> set[tuple[str, Any]]:
        """Return the facts that a message about this run reports."""
        facts: set[tuple[str, Any]] = {("failed", key) for key in self.failed}
        facts |= {("retrying", key) for key in self.retrying}
        return facts | ({("run_failed", True)} if self.run_failed else set())


class AlertMessageState(_Stored):
    """One message and all that it reports.

    :param opened_at: the Unix time of the first failure.
    :param mention_line: the mentions at the top of the message, as notation.
    :param notified: whether the message was posted for a failure that will not be retried. An edit notifies nobody.
    :param note: the last line of the message, in its language.
    :param lease: the id of the process that may write, and the Unix time at which the lease ends.
    :param runs: the failures by run id.
    """

    opened_at: float = 0.0
    room_id: str | None = None
    message_id: str | None = None
    chatwork_conn_id: str | None = None
    lang: str | None = None
    mention_line: str = ""
    notified: bool = False
    note: str | None = None
    lease: tuple[str, float] | None = None
    runs: dict[str, RunFailures] = {}

    def reported(self) -> set[tuple[str, str, Any]]:
        """Return the facts that the message reports, with their run ids."""
        return {(run_id, *fact) for run_id, run in self.runs.items() for fact in run.reported()}

    def is_leased_to_another(self, owner: str, now: float) -> bool:
        """Whether another process may write."""
        return self.lease is not None and self.lease[0] != owner and now < self.lease[1]

    def merge(self, other: AlertMessageState | None, run_id: str) -> AlertMessageState:
        """Return this state with the runs of another one, except for one run."""
        if other is None:
            return self
        return self.model_copy(update={"runs": {**other.runs, run_id: self.runs[run_id]}})


class UpdateOutcome(StrEnum):
    """What was done to report a failure."""

    POSTED = "posted"
    EDITED = "edited"
    ALREADY_REPORTED = "already_reported"


@dataclass(frozen=True, kw_only=True)
class FailureUpdate:
    """What one callback reports.

    :param run: the run, without its failures.
    :param failure: the task instance that failed, if any.
    :param notifies: whether people are mentioned for it.
    """

    run: RunFailures
    failure: TaskFailure | None
    notifies: bool

    @property
    def is_final(self) -> bool:
        """Whether this is a failure without a retry to come."""
        return self.run.run_failed or (self.failure is not None and not self.failure.retrying)

    def required(self) -> set[tuple[str, str, Any]]:
        """Return the facts that the message must report."""
        if self.failure is None:
            return {(self.run.run_id, *fact) for fact in self.run.reported()}
        return {(self.run.run_id, "retrying" if self.failure.retrying else "failed", self.failure.key)}

    def is_reported_in(self, state: AlertMessageState) -> bool:
        """Whether a message reports this try already, and has notified people if it should."""
        run = state.runs.get(self.run.run_id)
        if run is not None and self.failure is not None:
            tries = [shown.try_number for shown in run.details if shown.key == self.failure.key]
            if tries and self.failure.try_number not in tries:
                return False
        return state.reported() >= self.required() and (state.notified or not self.is_final)

    def has_failed_before(self, state: AlertMessageState) -> bool:
        """Whether a message reports a final failure of an earlier try: the task was cleared and failed again."""
        failure, run = self.failure, state.runs.get(self.run.run_id)
        if failure is None or failure.retrying or run is None:
            return False
        return any(
            shown.key == failure.key and not shown.retrying and (shown.try_number or 0) < (failure.try_number or 0)
            for shown in run.details
        )


@dataclass(frozen=True)
class UpdateResult:
    """The outcome, and the state of the message that reports the failure."""

    outcome: UpdateOutcome
    state: AlertMessageState


def variable_name(*parts: object) -> str:
    """Return the name of the Variable for a DAG, a run and a room: unique, readable, at most 250 characters.

    It consists of ASCII letters, digits, ``-`` and ``_``, because Airflow 3 uses it in URLs.
    """
    texts = [str(part) for part in parts]
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
    name = re.sub(r"[^A-Za-z0-9_-]", "_", "_".join(["chatwork_alert", *texts]))
    return f"{name[: _MAX_NAME - len(digest) - 1]}_{digest}"


def remember_open(store: AlertStore, dag_id: str, name: str, now: float) -> None:
    """Add a state to the list of open messages of its DAG.

    :param now: Unix time.
    :raises AlertStoreError: if Airflow does not store it.
    """
    index = variable_name(dag_id)
    for _ in range(_TRIES):
        # Another process may overwrite the list at the same time, so it is loaded again.
        opened = dict((store.load(index) or {}).get("messages") or {})
        if name in opened:
            return
        opened[name] = now
        for oldest in sorted(opened, key=opened.__getitem__)[:-_MAX_OPEN]:
            del opened[oldest]
            store.save(oldest, None)
        store.save(index, {"messages": opened})


def open_alerts(store: AlertStore, dag_id: str) -> list[tuple[str, AlertMessageState]]:
    """Return the names and states of the open messages of a DAG, oldest first.

    :raises AlertStoreError: if Airflow does not answer.
    """
    opened = dict((store.load(variable_name(dag_id)) or {}).get("messages") or {})
    found = ((name, store.load(name)) for name in sorted(opened, key=opened.__getitem__))
    return [(name, AlertMessageState.load(saved)) for name, saved in found if saved is not None]


def is_only_failure(
    store: AlertStore,
    states: Mapping[Key, str | None] | None,
    own: Key | None,
    reported: RunFailures | None = None,
) -> bool:
    """Whether no other process can have a failure of this run to report. This is the usual case.

    :param states: the states of the task instances; ``None`` if they are unknown.
    :param own: the task instance of this process.
    :param reported: the failures that the message reports already.
    """
    if states is None or not store.in_task:
        return False
    return not any(
        state in _UNFINISHED or (state == "failed" and (reported is None or key not in reported.failed))
        for key, state in states.items()
        if key != own
    )
