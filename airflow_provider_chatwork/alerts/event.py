"""The event an alert reports, read from the context that Airflow passes to a callback.

Which keys a context has depends on the Airflow version, the kind of callback and the process. A missing value is
``None``. This module does not import Airflow.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self


class EventKind(StrEnum):
    """What happened."""

    FAILURE = "failure"
    RETRY = "retry"
    SUCCESS = "success"
    SKIPPED = "skipped"
    STARTED = "started"
    RUN_FAILURE = "run_failure"
    RUN_SUCCESS = "run_success"
    DEADLINE = "deadline"
    SLA_MISS = "sla_miss"
    QUESTION = "question"

    @property
    def severity(self) -> str:
        """The severity of :mod:`~airflow_provider_chatwork.alerts.routing` for this kind."""
        return _SEVERITIES.get(self, "info")


FAILURES = frozenset({EventKind.FAILURE, EventKind.RETRY, EventKind.RUN_FAILURE})
SUCCESSES = frozenset({EventKind.SUCCESS, EventKind.RUN_SUCCESS})
_OF_A_RUN = frozenset({EventKind.RUN_FAILURE, EventKind.RUN_SUCCESS, EventKind.DEADLINE, EventKind.SLA_MISS})
_SEVERITIES = {
    EventKind.FAILURE: "error",
    EventKind.RUN_FAILURE: "error",
    EventKind.RETRY: "warning",
    EventKind.DEADLINE: "warning",
    EventKind.SLA_MISS: "warning",
}
_BY_STATE = {
    "success": EventKind.SUCCESS,
    "up_for_retry": EventKind.RETRY,
    "skipped": EventKind.SKIPPED,
    "running": EventKind.STARTED,
}
# The maximum number of lines of an error message. Further lines are mostly statements, responses and parameters.
_MAX_ERROR_LINES = 3
_LIBRARY = re.compile(r"[\\/]site-packages[\\/]|[\\/]lib(64)?[\\/]python[\d.]+[\\/]|^<frozen ")


@dataclass(frozen=True, kw_only=True)
class AlertEvent:
    """One event. Secrets are masked in all texts but the ids, owners and tags, which routing and storage need.

    :param label: the task id, with the label of the map index for a mapped task.
    :param try_number: the number of the try, from 1.
    :param tries: the number of tries that the task has.
    :param seconds: the duration of the task or the run; for a missed deadline the time since the start of the run.
    :param error: the class and the first lines of the message of the exception.
    :param has_exception: whether the context contains the exception object, as in the process of the task.
    :param lost_worker: whether the task failed without reporting an error.
    :param where: the place of the exception, such as ``load.py, line 12, in load``.
    :param reason: Airflow's reason for the end of a run.
    :param sla_tasks: the tasks that missed their SLA.
    """

    kind: EventKind
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int = -1
    label: str | None = None
    logical_date: datetime | None = None
    run_started: datetime | None = None
    try_number: int | None = None
    tries: int | None = None
    seconds: float | None = None
    error: str | None = None
    has_exception: bool = False
    lost_worker: bool = False
    where: str | None = None
    traceback: str | None = None
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    log_url: str | None = None
    reason: str | None = None
    deadline: str | None = None
    sla_tasks: tuple[str, ...] = ()
    subject: str | None = None
    body: str | None = None
    options: tuple[str, ...] = ()
    answer_url: str | None = None

    @classmethod
    def from_context(
        cls,
        context: Mapping[str, Any],
        mask: Callable[[str], str] = str,
        base_url: str | None = None,
        now: datetime | None = None,
    ) -> Self:
        """Read the context of a callback, and mask the secrets in it.

        :param context: the context; it may be empty.
        :param mask: masks the secrets in a text. It gets whole texts, because Airflow only recognizes whole secrets.
        :param base_url: the address of Airflow's UI, without a slash at the end.
        :param now: the end of durations that have no end yet; the current time if not given.
        """

        def text(value: Any) -> str | None:
            return None if value is None or value == "" else mask(str(value))

        exception = context.get("exception")
        if not isinstance(exception, BaseException):
            # An exception object may be falsy, a text may be empty.
            exception = exception or None
        instance = context.get("ti") or context.get("task_instance")
        run = context.get("dag_run")
        task = context.get("task") or safe_get(instance, "task")
        dag = context.get("dag") or safe_get(task, "dag")
        kind = _kind(context, instance, task, exception)
        # A callback of a run comes with the task instance that ended last, which is not what it reports.
        of_run = kind in _OF_A_RUN
        ti = None if of_run else instance
        error, where, trace = _read_exception(exception, mask)
        owner = (None if of_run else safe_get(task, "owner")) or safe_get(dag, "owner") or ""
        task_id, index, label = safe_get(ti, "task_id"), safe_get(ti, "map_index"), safe_get(ti, "task_id")
        map_index = index if isinstance(index, int) else -1
        if task_id is not None and map_index >= 0:
            shown = safe_get(ti, "rendered_map_index")
            label = f"{task_id} [{map_index if shown in (None, '') else shown}]"
        retries = safe_get(ti, "max_tries")
        if not isinstance(retries, int):
            retries = safe_get(task, "retries") if ti is not None else None
        logical_date = as_datetime(safe_get(run, "logical_date"))
        if run is None:
            # Missed SLAs may be of several runs.
            dates = {as_datetime(safe_get(sla, "execution_date")) for sla in context.get("slas") or ()}
            logical_date = dates.pop() if len(dates) == 1 else None
        timed = kind not in (EventKind.STARTED, EventKind.QUESTION)
        log_url = text(safe_get(ti, "log_url"))
        if log_url and base_url and log_url.startswith(f"{base_url}dags/"):
            # Airflow 3.0 omits the slash behind a base URL that has none at its end.
            log_url = f"{base_url}/{log_url.removeprefix(base_url)}"
        question: dict[str, Any] = {}
        if kind is EventKind.QUESTION:
            page = (log_url or "").partition("?")[0]
            question = {
                "subject": text(safe_get(task, "subject")),
                "body": text(safe_get(task, "body")),
                "options": tuple(mask(str(option)) for option in safe_get(task, "options") or ()),
                # The operator's own link lacks the path of the base URL.
                "answer_url": f"{page}/required_actions" if page else None,
            }
        return cls(
            kind=kind,
            dag_id=safe_get(dag, "dag_id") or safe_get(instance, "dag_id") or safe_get(run, "dag_id"),
            run_id=safe_get(run, "run_id")
            or safe_get(run, "dag_run_id")
            or context.get("run_id")
            or safe_get(instance, "run_id"),
            task_id=task_id,
            map_index=map_index,
            label=text(label),
            logical_date=logical_date,
            run_started=as_datetime(safe_get(run, "start_date")),
            try_number=safe_get(ti, "try_number"),
            tries=retries + 1 if isinstance(retries, int) else None,
            seconds=_seconds(run if of_run else ti, now or datetime.now(UTC)) if timed else None,
            error=text(error),
            has_exception=isinstance(exception, BaseException),
            where=text(where),
            traceback=text(trace),
            owners=tuple(dict.fromkeys(name.strip() for name in str(owner).split(",") if name.strip())),
            tags=tuple(sorted(str(tag) for tag in safe_get(dag, "tags") or ())),
            log_url=log_url,
            reason=text(context.get("reason")),
            deadline=text(safe_get(context.get("deadline"), "deadline_time")),
            sla_tasks=tuple(map(mask, _sla_tasks(context))) if kind is EventKind.SLA_MISS else (),
            **question,
        )

    @property
    def key(self) -> tuple[str, int] | None:
        """The task id and the map index; ``None`` for an event of a run."""
        return None if self.task_id is None or self.kind in _OF_A_RUN else (self.task_id, self.map_index)

    @property
    def of_run(self) -> bool:
        """Whether this is an event of a whole DAG run."""
        return self.kind in _OF_A_RUN

    @property
    def title(self) -> str:
        """A short description for the log."""
        name = ".".join(part for part in (self.dag_id, None if self.of_run else self.label) if part)
        return f"{self.kind} of {name or 'something'}" + (f" in {self.run_id}" if self.run_id else "")


def describe(context: Any, mask: Callable[[str], str]) -> str:
    """Return a short description of the event of a context for the log. Never raises."""
    try:
        return mask(AlertEvent.from_context(context if isinstance(context, Mapping) else {}).title)
    # Objects in a context may raise anything.
    except Exception:
        return "an event that cannot be read"


def safe_get(source: Any, name: str) -> Any:
    """Return an attribute or an item, or ``None`` if it is missing or reading it fails."""
    if source is None:
        return None
    if isinstance(source, Mapping):
        return source.get(name)
    try:
        return getattr(source, name, None)
    # Some properties of a task instance query the database or the API.
    except Exception:
        return None


def _kind(context: Mapping[str, Any], ti: Any, task: Any, exception: Any) -> EventKind:
    if "deadline" in context:
        return EventKind.DEADLINE
    if "task_list" in context:
        return EventKind.SLA_MISS
    # Only the context of a DAG's callback has a reason.
    if ti is None or (context.get("reason") and exception is None):
        return EventKind.RUN_SUCCESS if context.get("reason") == "success" else EventKind.RUN_FAILURE
    state = safe_get(ti, "state")
    kind = _BY_STATE.get(str(getattr(state, "value", state) or ""), EventKind.FAILURE)
    if kind is EventKind.STARTED and exception is not None:
        # The callback ran before the state was changed.
        return EventKind.FAILURE
    if kind is EventKind.STARTED and None not in (safe_get(task, "subject"), safe_get(task, "options")):
        return EventKind.QUESTION
    return kind


def _read_exception(exception: Any, mask: Callable[[str], str]) -> tuple[str | None, str | None, str | None]:
    """Return the message, the place and the traceback."""
    if exception is None:
        return None, None, None
    try:
        lines = [line.rstrip() for line in mask(str(exception)).strip().splitlines() if line.strip()]
    # The `__str__` of an exception class may fail.
    except Exception:
        lines = []
    if lines and lines[0].startswith("Traceback (most recent call last)"):
        # A traceback of another process as text: its last line is the message.
        lines = [lines[-1].strip()]
    elif len(lines) > _MAX_ERROR_LINES:
        # The first lines mostly name the problem, the last line mostly names the cause.
        lines = [*lines[: _MAX_ERROR_LINES - 1], "…", lines[-1]]
    message = "\n".join(lines)
    if not isinstance(exception, BaseException):
        # Airflow 2 passes this text for a task whose process is gone.
        return (None if message.startswith("{'DAG Id': ") else message or None), None, None
    where = None
    if frames := traceback.extract_tb(exception.__traceback__):
        # The innermost frame of the DAG author's own code, or else the innermost frame.
        frame = ([frame for frame in frames if not _LIBRARY.search(frame.filename)] or frames)[-1]
        where = f"{frame.filename.replace(chr(92), '/').rpartition('/')[2]}, line {frame.lineno}, in {frame.name}"
    name = type(exception).__name__
    return f"{name}: {message}" if message else name, where, "".join(traceback.format_exception(exception))


def _seconds(timed: Any, now: datetime) -> float | None:
    start, end = as_datetime(safe_get(timed, "start_date")), as_datetime(safe_get(timed, "end_date"))
    if start is None:
        duration = safe_get(timed, "duration")
        return float(duration) if isinstance(duration, (int, float)) else None
    # Without an end, the duration in Airflow 2 is still that of the previous try.
    return max(((end or now) - start).total_seconds(), 0.0)


def as_datetime(value: Any) -> datetime | None:
    """Return a datetime, or an ISO 8601 text, as a datetime; ``None`` for another value or without a time zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) and value.tzinfo is not None else None


def _sla_tasks(context: Mapping[str, Any]) -> tuple[str, ...]:
    if slas := context.get("slas"):
        return tuple(dict.fromkeys(str(safe_get(sla, "task_id")) for sla in slas))
    # Airflow passes the tasks as one text with a line for each.
    return tuple(line.split(" on ")[0].strip() for line in str(context.get("task_list") or "").splitlines() if line)
