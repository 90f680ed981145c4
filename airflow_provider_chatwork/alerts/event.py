"""What an alert has to tell, taken out of what Airflow gives a callback.

Which keys a context has depends on the Airflow version, the kind of callback and the process it runs in, and what an
attribute says of itself is not always there. So everything is asked for and nothing is expected: what is missing is
``None``. Nothing here imports Airflow.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any


class Kind(Enum):
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
        """How bad it is, in the words of :mod:`~airflow_provider_chatwork.alerts.routing`."""
        return _SEVERITIES.get(self, "info")


_SEVERITIES = {
    Kind.FAILURE: "error",
    Kind.RUN_FAILURE: "error",
    Kind.RETRY: "warning",
    Kind.DEADLINE: "warning",
    Kind.SLA_MISS: "warning",
}
_BY_STATE = {
    "success": Kind.SUCCESS,
    "up_for_retry": Kind.RETRY,
    "skipped": Kind.SKIPPED,
    "running": Kind.STARTED,
}
_ABOUT_RUN = frozenset({Kind.RUN_FAILURE, Kind.RUN_SUCCESS, Kind.DEADLINE, Kind.SLA_MISS})
# The texts that only are to be read; all others say which thing of Airflow it is.
_TO_BE_READ = ("label", "error", "where", "traceback", "log_url", "reason", "deadline", "subject", "body", "answer_url")
# How many lines of an error's text are its message, and not what belongs to it: a statement, a response, parameters.
_MESSAGE = 3
_FOREIGN = re.compile(r"[\\/]site-packages[\\/]|[\\/]lib(64)?[\\/]python[\d.]+[\\/]|^<frozen ")


@dataclass(frozen=True, kw_only=True)
class Story:
    """What is known of one event.

    :param try_number: which try it was, from 1 on.
    :param tries: how many tries the task has in all.
    :param seconds: how long the task, or the whole run, took; of a run that is late, since when it runs.
    :param error: the error: its class and the first lines of its text.
    :param witnessed: whether it is told by the process in which the error was raised.
    :param killed: whether nobody knows of an error, as the task was not there any more to tell it.
    :param where: where it was raised: ``load.py, line 12, in load``.
    :param traceback: the whole of it.
    :param reason: why a run ended, as Airflow names it.
    :param names: the tasks a missed SLA is about.
    """

    kind: Kind
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
    witnessed: bool = False
    killed: bool = False
    where: str | None = None
    traceback: str | None = None
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    log_url: str | None = None
    reason: str | None = None
    deadline: str | None = None
    names: tuple[str, ...] = ()
    subject: str | None = None
    body: str | None = None
    options: tuple[str, ...] = ()
    answer_url: str | None = None

    @property
    def key(self) -> tuple[str, int] | None:
        """Which task instance of the run it is about, if it is about one."""
        return None if self.task_id is None or self.about_run else (self.task_id, self.map_index)

    @property
    def about_run(self) -> bool:
        """Whether it is about a whole DAG run."""
        return self.kind in _ABOUT_RUN

    @property
    def is_foldable(self) -> bool:
        """Whether it belongs to a run's failures, or ends them."""
        return self.is_failure or self.kind in (Kind.SUCCESS, Kind.RUN_SUCCESS)

    @property
    def title(self) -> str:
        """What it is, for a log."""
        about = ".".join(part for part in (self.dag_id, None if self.about_run else self.label) if part)
        return f"{self.kind.value} of {about or 'something'}" + (f" in {self.run_id}" if self.run_id else "")

    @property
    def is_failure(self) -> bool:
        """Whether something failed, be it only for now."""
        return self.kind in (Kind.FAILURE, Kind.RETRY, Kind.RUN_FAILURE)


@dataclass
class _Source:
    context: Mapping[str, Any]
    exception: Any = field(init=False)
    ti: Any = field(init=False)
    dag: Any = field(init=False)
    dag_run: Any = field(init=False)
    task: Any = field(init=False)

    def __post_init__(self) -> None:
        exception = self.context.get("exception")
        # An exception may say of itself that it is empty, and is one all the same.
        self.exception = exception if isinstance(exception, BaseException) else exception or None
        self.ti = self.context.get("ti") or self.context.get("task_instance")
        self.dag_run = self.context.get("dag_run")
        self.task = self.context.get("task") or of(self.ti, "task")
        self.dag = self.context.get("dag") or of(self.task, "dag")


def read(context: Mapping[str, Any], *, now: datetime, mask: Callable[[str], str] = str) -> Story:
    """Read a callback's context.

    :param context: what Airflow gives a callback; an empty one will do.
    :param now: for how long something took that has no end yet.
    :param mask: takes the secrets out of an error, before that is shortened; :func:`masked` does the rest.
    """
    source = _Source(context)
    kind = _kind_of(source)
    about_task = kind not in _ABOUT_RUN
    ti = source.ti if about_task else None
    error, where, trace = _error_of(source.exception, mask)
    timed = ti if about_task else source.dag_run
    return Story(
        kind=kind,
        dag_id=_first(of(source.dag, "dag_id"), of(source.ti, "dag_id"), of(source.dag_run, "dag_id")),
        run_id=_first(
            of(source.dag_run, "run_id"),
            of(source.dag_run, "dag_run_id"),
            context.get("run_id"),
            of(source.ti, "run_id"),
        ),
        task_id=of(ti, "task_id"),
        map_index=_map_index(ti),
        label=_label(ti),
        logical_date=_logical_date(source),
        run_started=_moment(of(source.dag_run, "start_date")),
        try_number=of(ti, "try_number"),
        tries=_tries(ti, source.task),
        seconds=None if kind in (Kind.STARTED, Kind.QUESTION) else _seconds(timed, now),
        error=error,
        witnessed=isinstance(source.exception, BaseException),
        where=where,
        traceback=trace,
        owners=_owners(source, about_task=about_task),
        tags=tuple(sorted(str(tag) for tag in of(source.dag, "tags") or ())),
        log_url=_text(of(ti, "log_url")),
        reason=_text(context.get("reason")),
        deadline=_text(of(context.get("deadline"), "deadline_time")),
        names=_missed(context),
        **_question(source, kind),
    )


def masked(story: Story, mask: Callable[[str], str]) -> Story:
    """The story without secrets.

    What a DAG, a run, a task, its owners and tags are called stays: alerts are routed and kept by it.

    :param mask: takes the secrets out of a text. They are known as a whole only, so nothing may be cut before.
    """
    changes: dict[str, Any] = {}
    for name in _TO_BE_READ:
        value = getattr(story, name)
        changes[name] = mask(value) if value is not None else None
    for name in ("names", "options"):
        changes[name] = tuple(mask(value) for value in getattr(story, name))
    return replace(story, **changes)


def of(thing: Any, name: str) -> Any:
    """An attribute or item of whatever there is, or ``None``. What fails when it is asked for is not there."""
    if thing is None:
        return None
    if isinstance(thing, Mapping):
        return thing.get(name)
    try:
        return getattr(thing, name, None)
    # Some of a task instance's properties ask the database or the API, which may be gone.
    except Exception:
        return None


def _kind_of(source: _Source) -> Kind:
    context, ti = source.context, source.ti
    if "deadline" in context:
        return Kind.DEADLINE
    if "task_list" in context:
        return Kind.SLA_MISS
    # Only the context of a DAG's callback names a reason, mostly beside the task instance that ended last.
    if ti is None or (context.get("reason") and source.exception is None):
        return Kind.RUN_SUCCESS if context.get("reason") == "success" else Kind.RUN_FAILURE
    kind = _BY_STATE.get(str(getattr(of(ti, "state"), "value", of(ti, "state")) or ""), Kind.FAILURE)
    if kind is Kind.STARTED and source.exception is not None:
        # Where the callback is faster than the state.
        return Kind.FAILURE
    if kind is Kind.STARTED and of(source.task, "subject") is not None and of(source.task, "options") is not None:
        return Kind.QUESTION
    return kind


def _error_of(exception: Any, mask: Callable[[str], str]) -> tuple[str | None, str | None, str | None]:
    if exception is None:
        return None, None, None
    message = _message(exception, mask)
    if not isinstance(exception, BaseException):
        # What Airflow 2 says of a task that it lost sight of.
        return (None if message.startswith("{'DAG Id': ") else message or None), None, None
    name = type(exception).__name__
    frames = traceback.extract_tb(exception.__traceback__)
    where = None
    if frames:
        frame = _own_frame(frames)
        where = f"{frame.filename.replace(chr(92), '/').rpartition('/')[2]}, line {frame.lineno}, in {frame.name}"
    whole = "".join(traceback.format_exception(exception))
    return f"{name}: {message}" if message else name, where, whole


def _message(exception: Any, mask: Callable[[str], str]) -> str:
    try:
        # Before anything is taken out of it: a secret of several lines is only known as a whole.
        text = mask(str(exception))
    # A class of its own may fail to say what is wrong.
    except Exception:
        return ""
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    if lines and lines[0].startswith("Traceback (most recent call last)"):
        # One that came from another process, which ends with what happened.
        return lines[-1].strip()
    # What it is about stands at the beginning, and often what the cause was at the end.
    return "\n".join(lines if len(lines) <= _MESSAGE else [*lines[: _MESSAGE - 1], "…", lines[-1]])


def _own_frame(frames: traceback.StackSummary) -> traceback.FrameSummary:
    """The innermost frame of the author's own code; where there is none, the innermost of all."""
    own = [frame for frame in frames if not _FOREIGN.search(frame.filename)]
    return (own or frames)[-1]


def _map_index(ti: Any) -> int:
    index = of(ti, "map_index")
    return index if isinstance(index, int) else -1


def _label(ti: Any) -> str | None:
    task_id, index = of(ti, "task_id"), _map_index(ti)
    if task_id is None or index < 0:
        return _text(task_id)
    named = of(ti, "rendered_map_index")
    return f"{task_id} [{index if named in (None, '') else named}]"


def _tries(ti: Any, task: Any) -> int | None:
    most = of(ti, "max_tries")
    if not isinstance(most, int):
        most = of(task, "retries") if ti is not None else None
    return most + 1 if isinstance(most, int) else None


def _seconds(timed: Any, now: datetime) -> float | None:
    start, end = _moment(of(timed, "start_date")), _moment(of(timed, "end_date"))
    if start is None:
        duration = of(timed, "duration")
        return float(duration) if isinstance(duration, (int, float)) else None
    # Before the end is noted, the duration that Airflow 2 shows is that of the try before.
    return max(((end or now) - start).total_seconds(), 0.0)


def _logical_date(source: _Source) -> datetime | None:
    run = source.dag_run
    if run is None:
        # Missed SLAs may be of several runs.
        dates = {_moment(of(sla, "execution_date")) for sla in source.context.get("slas") or ()}
        return dates.pop() if len(dates) == 1 else None
    return _moment(of(run, "logical_date"))


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) and value.tzinfo is not None else None


def _owners(source: _Source, *, about_task: bool) -> tuple[str, ...]:
    owner = (of(source.task, "owner") if about_task else None) or of(source.dag, "owner") or ""
    return tuple(dict.fromkeys(part.strip() for part in str(owner).split(",") if part.strip()))


def _missed(context: Mapping[str, Any]) -> tuple[str, ...]:
    slas = context.get("slas")
    if slas:
        return tuple(dict.fromkeys(str(of(sla, "task_id")) for sla in slas))
    # Airflow hands the tasks over as one text, a line each.
    return tuple(line.split(" on ")[0].strip() for line in str(context.get("task_list") or "").splitlines() if line)


def _question(source: _Source, kind: Kind) -> dict[str, Any]:
    if kind is not Kind.QUESTION:
        return {}
    # The page to answer on is beside that of the log. The operator's own link forgets the path of Airflow's address.
    page = (_text(of(source.ti, "log_url")) or "").partition("?")[0]
    return {
        "subject": _text(of(source.task, "subject")),
        "body": _text(of(source.task, "body")),
        "options": tuple(str(option) for option in of(source.task, "options") or ()),
        "answer_url": f"{page}/required_actions" if page else None,
    }


def _first(*values: Any) -> str | None:
    return next((str(value) for value in values if value is not None), None)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
