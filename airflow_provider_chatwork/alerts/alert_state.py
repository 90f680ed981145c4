"""The state of an alert message, and the store that keeps it between processes.

The state is JSON in an Airflow Variable: the one place that workers and the DAG processor of every Airflow version can
read and write.
"""

from __future__ import annotations

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
# The states of a task whose callback may be running.
_MAY_BE_IN_CALLBACK = frozenset({"running", "failed", "up_for_retry"})
_StoredText = Annotated[
    str | None,
    PlainSerializer(lambda text: fit(text, MAX_STORED_TEXT) if text and len(text) > MAX_STORED_TEXT else text),
]


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


def collect_failures(
    store: AlertStore,
    name: str,
    update: FailureUpdate,
    state: AlertMessageState,
    states: Mapping[Key, str | None] | None,
) -> RunFailures:
    """Return all failures of a run that are known now.

    :param name: the name of the state of the message.
    :param state: what the message reports already.
    :param states: the states of the task instances; ``None`` if they are unknown.
    :raises AlertStoreError: if Airflow does not answer.
    """
    run, own = update.run, update.failure
    before = state.runs.get(run.run_id) or RunFailures(run_id=run.run_id)
    known = {failure.key: failure for failure in before.details}
    if own is not None:
        known[own.key] = own
    if states is None:
        failed = list(before.failed)
        retrying = [key for key in before.retrying if own is None or key != own.key]
        if own is not None and own.key not in (keys := retrying if own.retrying else failed):
            keys.append(own.key)
    else:
        failed, retrying, known = _collect_from_states(store, name, states, known, before, own)
    return RunFailures(
        run_id=run.run_id,
        logical_date=run.logical_date or before.logical_date,
        url=run.url or before.url,
        failed=failed,
        retrying=retrying,
        details=[known[key] for key in (*failed, *retrying) if key in known][:DETAILED],
        run_failed=run.run_failed or before.run_failed,
        reason=run.reason or before.reason,
        seconds=run.seconds if run.run_failed else before.seconds,
        text=run.text or before.text,
    )


def _collect_from_states(
    store: AlertStore,
    name: str,
    states: Mapping[Key, str | None],
    known: dict[Key, TaskFailure],
    before: RunFailures,
    own: TaskFailure | None,
) -> tuple[list[Key], list[Key], dict[Key, TaskFailure]]:
    """Return the keys of failed and of retrying task instances, and the known failures by key.

    The state of a task whose callback is running may be out of date. What the task has saved is up to date.
    """
    reported = {*known, *before.failed, *before.retrying}
    own_key = own.key if own else None
    others = {key: state for key, state in states.items() if key != own_key}
    # A running task is in its callback, or Airflow is trying it again and has deleted what it had saved.
    running = {key for key, state in others.items() if state == "running"}
    wanted = running | {key for key, state in others.items() if state in _MAY_BE_IN_CALLBACK and key not in reported}
    # A task that was cleared after its final failure and will be retried.
    wanted |= {key for key in before.failed if others.get(key) == "up_for_retry"}
    known = {key: failure for key, failure in known.items() if key not in running}
    for saved in store.load_failures({task_id for task_id, _ in wanted}) if wanted else ():
        failure = TaskFailure.load(saved)
        if failure.key in wanted:
            # The author's text for one message must not appear in another one.
            is_here = saved.get("message") == name
            known[failure.key] = failure if is_here else failure.model_copy(update={"text": None})
    failed: list[Key] = []
    retrying: list[Key] = []
    by_time = [failure.key for failure in sorted(known.values(), key=lambda failure: failure.failed_at)]
    for key in dict.fromkeys((*before.failed, *before.retrying, *by_time, *states)):
        found, state = known.get(key), states.get(key)
        if own is not None and key == own_key:
            (retrying if own.retrying else failed).append(key)
        elif state == "failed":
            failed.append(key)
        elif state in _MAY_BE_IN_CALLBACK and found is not None:
            (retrying if found.retrying else failed).append(key)
        elif state == "up_for_retry" and key in reported:
            retrying.append(key)
    return failed, retrying, known
