"""The texts of alert messages.

Names, errors and URLs come from machines and people. Lines are composed as plain text and made harmless with ``safe``
as a whole, before the frame is put around them. Secrets are already masked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.alerts.alert_state import (
    MAX_STORED_TEXT,
    AlertMessageState,
    Key,
    RunFailures,
    TaskFailure,
)
from airflow_provider_chatwork.alerts.event import FAILURES, AlertEvent, EventKind, as_datetime
from airflow_provider_chatwork.alerts.texts import SINGULAR, TEXTS
from airflow_provider_chatwork.api.notation import break_unpaired_tags, code, fit, hr, info, safe
from airflow_provider_chatwork.api.validation import MAX_BODY
from airflow_provider_chatwork.utils.i18n import Catalog

# The maximum lengths of a name in a title or a list, of another value, of an error in a list, and of a list of names.
_MAX_NAME = 300
_MAX_VALUE = 1000
_MAX_ERROR_IN_LIST = 200
_MAX_NAMES = 8000
# Airflow's default owner, for a task without an owner.
_DEFAULT_OWNER = "airflow"


class AlertFormatter:
    """Writes the texts of alert messages, each within the length limit of a message.

    :param lang: ``ja`` or ``en``.
    :param timezone: the IANA name of the zone for all times.
    """

    def __init__(self, lang: str, timezone: str) -> None:
        self.catalog = Catalog(lang, TEXTS, SINGULAR)
        self.timezone = timezone

    def event_text(self, event: AlertEvent, url: str | None = None) -> str:
        """Return the text of a message about one event.

        :param url: the address of the run in Airflow's UI.
        """
        text, asks = self.catalog.text, event.kind is EventKind.QUESTION
        at = self._try(event.try_number, event.tries)
        name = self._short((event.subject if asks else event.label) or "?", _MAX_NAME)
        key = "retry_unknown" if event.kind is EventKind.RETRY and at is None else event.kind.value
        title = text(key, name=name, dag=self._short(event.dag_id or "?", _MAX_NAME), at=at)
        took = "elapsed" if event.kind is EventKind.DEADLINE else "took"
        lines = [
            self.fit(event.body.strip(), MAX_STORED_TEXT) if asks and event.body else "",
            self._line("options", " / ".join(event.options)),
            self._line("answer", event.answer_url),
            self._line("dag", event.dag_id),
            self._line("task", event.label),
            self._line("tasks", ", ".join(event.sla_tasks), _MAX_NAMES),
            self._line("run", event.run_id),
            self._line("logical_date", event.logical_date and self._time(event.logical_date)),
            self._line("due", (event.deadline and self._time(as_datetime(event.deadline))) or event.deadline),
            self._line("try", at if event.kind in FAILURES else None),
            self._line(took, None if event.seconds is None else self.duration(event.seconds)),
            self._line("owner", ", ".join(owner for owner in event.owners if owner != _DEFAULT_OWNER)),
            self._line("where", event.where),
            text("killed") if event.lost_worker else "",
            self._line("reason", event.reason if event.kind is EventKind.RUN_FAILURE else None),
        ]
        log = "" if asks else self._line("log", event.log_url)
        return self._box(title, lines, event.error, [log, self._line("link", url)])

    def state_text(self, state: AlertMessageState, dag_id: str) -> str:
        """Return the text of a message with all failures of a state.

        :param dag_id: the DAG that they belong to.
        """
        runs = list(state.runs.values())
        if any(run.text or any(failure.text for failure in run.details) for run in runs):
            body = "\n".join(line for run in runs for line in self._authors_texts(run))
        else:
            event = _single_event(runs[0], dag_id) if len(runs) == 1 else None
            body = self._list(runs, dag_id) if event is None else self.event_text(event, runs[0].url)
        return self.fit("\n".join(_not_empty(state.mention_line, body, safe(state.note or ""))))

    def _authors_texts(self, run: RunFailures) -> list[str]:
        """Return the author's texts of the failures, and the names of the other failures."""
        texts = [
            break_unpaired_tags(failure.text) if failure.text else safe(self._list_item(failure))
            for failure in run.details
        ]
        if run.run_failed and run.text:
            return [*texts, *map(safe, self._names_only(run)), break_unpaired_tags(run.text)]
        return [*texts, *map(safe, _not_empty(*self._names_only(run), *self._end_of_run(run)))]

    def _list(self, runs: list[RunFailures], dag_id: str) -> str:
        text, dag = self.catalog.text, self._short(dag_id, _MAX_NAME)
        failed = sum(len(run.failed) for run in runs)
        retrying = sum(len(run.retrying) for run in runs)
        run_failed = any(run.run_failed for run in runs)
        if not (failed or retrying or run_failed):
            title = text("mended_title", dag=dag)
        elif len(runs) > 1:
            title = text("runs_failed", runs=len(runs), dag=dag)
        elif run_failed and failed <= 1:
            title = text("run_failure", dag=dag)
        elif failed:
            title = text("many_failed", count=failed, dag=dag)
        else:
            title = text("many_retrying", count=retrying, dag=dag)
        parts = (safe(self._run_lines(run, is_only_run=len(runs) == 1)) for run in runs)
        return info(hr().join(parts), title=safe(title))

    def _run_lines(self, run: RunFailures, *, is_only_run: bool) -> str:
        lines = [self._line("run", run.run_id), self._line("logical_date", self._time(as_datetime(run.logical_date)))]
        if run.failed and not is_only_run:
            lines.append(self.catalog.text("failed", count=len(run.failed)))
        lines += [self._list_item(failure) for failure in run.details]
        lines += [*self._names_only(run), *self._end_of_run(run), self._line("link", run.url)]
        return "\n".join(_not_empty(*lines))

    def _names_only(self, run: RunFailures) -> list[str]:
        """Return lines with the names of the failures that are not shown in detail."""
        lines, text = [], self.catalog.text
        shown = {failure.key for failure in run.details}
        others = [key for key in run.failed if key not in shown]
        if others and len(others) == len(run.failed):
            # No failure is shown in detail, so these are not "more" failures.
            lines.append(self._line("tasks", _task_names(others), _MAX_NAMES))
        elif others:
            lines.append(text("others", count=len(others), names=self.fit(_task_names(others), _MAX_NAMES)))
        if retrying := [key for key in run.retrying if key not in shown]:
            lines.append(text("retrying", count=len(retrying), names=self.fit(_task_names(retrying), _MAX_NAMES)))
        return lines

    def _end_of_run(self, run: RunFailures) -> list[str]:
        text = self.catalog.text
        if run.run_failed:
            reason = text("ended_reason", reason=self._short(run.reason, _MAX_VALUE)) if run.reason else ""
            took = None if run.seconds is None else self.duration(run.seconds)
            return [text("run_ended", reason=reason), self._line("took", took)]
        return [] if run.failed or run.retrying else [text("mended")]

    def _list_item(self, failure: TaskFailure) -> str:
        error = self._short(failure.error, _MAX_ERROR_IN_LIST) if failure.error else ""
        if failure.lost_worker and not error:
            error = self.catalog.text("killed")
        at = self._try(failure.try_number, failure.tries, "at_in_list")
        if failure.retrying:
            at = self.catalog.text("retrying_in_list" if at else "retrying_in_list_unknown", at=at)
        elif failure.tries == 1:
            at = None
        item = f"・{self._short(failure.name, _MAX_NAME)}{f': {error}' if error else ''}{f' ({at})' if at else ''}"
        details = _not_empty(self._line("where", failure.where), self._line("log", failure.log_url))
        return "\n   ".join([item, *details])

    def recovered_line(self, when: datetime, after: float) -> str:
        """Return the first line of the message of a resolved alert.

        :param after: the seconds since the first failure.
        """
        return self.catalog.text("recovered", at=self._recovered_at(when, after))

    def recovered_text(self, dag_id: str, run_id: str, when: datetime, after: float, runs: int, url: str | None) -> str:
        """Return the text of the reply to a resolved alert.

        :param runs: the number of failed runs.
        """
        lines = [
            self._line("recovered_at", self._recovered_at(when, after)),
            self._line("run", run_id),
            self.catalog.text("recovered_runs", count=runs) if runs > 1 else "",
            self._line("link", url),
        ]
        return self._box(self.catalog.text("recovered_title", dag=self._short(dag_id, _MAX_NAME)), lines)

    def _recovered_at(self, when: datetime, after: float) -> str:
        return self.catalog.text("when_recovered", when=self._time(when), after=self.duration(after))

    def duration(self, seconds: float) -> str:
        """Return a duration in its two largest units, for example ``1 h 5 min``."""
        whole = int(seconds)
        minutes, s = divmod(whole, 60)
        hours, m = divmod(minutes, 60)
        d, h = divmod(hours, 24)
        if whole < 60:
            # At least 0.1, so that no duration is shown as "0 s".
            return self.catalog.text("seconds", s=whole if seconds >= 10 else f"{max(round(seconds, 1), 0.1):g}")
        key = "days" if d else "hours" if h else "minutes"
        return self.catalog.text(key, d=d, h=h if d else hours, m=m, s=s)

    def _box(self, title: str, lines: Iterable[str], error: str | None = None, links: Iterable[str] = ()) -> str:
        above, below = (safe("\n".join(filter(None, part))) for part in (lines, links))
        # A block of code has line breaks of its own.
        between = code(self.fit(error, MAX_STORED_TEXT)) if error else "\n" if above and below else ""
        return self.fit(info(above + between + below, title=safe(title)))

    def _line(self, key: str, value: object, limit: int = _MAX_VALUE) -> str:
        return "" if value is None or value == "" else f"{self.catalog.text(key)}: {self._short(value, limit)}"

    def _short(self, value: object, limit: int) -> str:
        """Return a value in one line within a length limit."""
        return self.fit(" ".join(str(value).split()), limit)

    def fit(self, text: str, limit: int = MAX_BODY) -> str:
        """Return a text within a length limit, shortened in the middle."""
        return text if len(text) <= limit else fit(text, limit, self.catalog.left_out)

    def _try(self, number: int | None, of: int | None, key: str = "at") -> str | None:
        if number is None:
            return None
        return self.catalog.text("at_unknown" if of is None or of < number else key, number=number, of=of)

    def _time(self, moment: datetime | None) -> str | None:
        if moment is None:
            return None
        return f"{moment.astimezone(ZoneInfo(self.timezone)):%Y-%m-%d %H:%M} ({self.timezone})"


def _single_event(run: RunFailures, dag_id: str) -> AlertEvent | None:
    """Return the only failure in a run as an event; ``None`` if there are more."""
    logical_date = as_datetime(run.logical_date)
    if run.run_failed and not run.failed and not run.retrying:
        return AlertEvent(
            kind=EventKind.RUN_FAILURE,
            dag_id=dag_id,
            run_id=run.run_id,
            logical_date=logical_date,
            seconds=run.seconds,
            reason=run.reason,
        )
    if run.run_failed or len(run.failed) + len(run.retrying) != 1 or not run.details:
        return None
    failure = run.details[0]
    return AlertEvent(
        kind=EventKind.RETRY if failure.retrying else EventKind.FAILURE,
        dag_id=dag_id,
        run_id=run.run_id,
        label=failure.name,
        logical_date=logical_date,
        try_number=failure.try_number,
        tries=failure.tries,
        seconds=failure.seconds,
        error=failure.error,
        lost_worker=failure.lost_worker,
        where=failure.where,
        owners=tuple(failure.owners),
        log_url=failure.log_url,
    )


def _not_empty(*texts: str) -> list[str]:
    return [text for text in texts if text]


def _task_names(keys: Iterable[Key]) -> str:
    """Return the names of task instances, with the indexes of a mapped task together: ``load [0-3, 7]``."""
    indexes: dict[str, set[int]] = {}
    for task_id, index in keys:
        indexes.setdefault(task_id, set()).add(index)
    return ", ".join(task_id + _ranges(sorted(found)) for task_id, found in indexes.items())


def _ranges(indexes: list[int]) -> str:
    mapped = [index for index in indexes if index >= 0]
    if not mapped:
        return ""
    ranges = []
    for _, group in groupby(enumerate(mapped), key=lambda pair: pair[1] - pair[0]):
        found = [index for _, index in group]
        ranges.append(str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}")
    return f" [{', '.join(ranges)}]"
