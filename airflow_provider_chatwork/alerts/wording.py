"""The texts of the alerts: from what is known to what is posted.

Names, errors and addresses come from machines and people, so each goes through ``safe`` here, at the one place where
text is put together. Secrets are masked before: what is masked must still be whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.alerts.board import Board, Entry, Key, RunPart
from airflow_provider_chatwork.alerts.story import Kind, Story
from airflow_provider_chatwork.alerts.words import Words
from airflow_provider_chatwork.api.notation import code, fit, hr, info, safe

# How much of an error's last line is shown where it stands alone, and in a list; how much of all names together.
_ERROR = 2000
_ERROR_IN_LIST = 200
_NAMES = 8000
_NAME = 300


@dataclass(frozen=True)
class Writer:
    """Puts texts together.

    :param words: the language.
    :param timezone: the IANA name of the zone that times are shown in.
    :param style: ``full``, or ``short`` for what failed and why, and nothing else.
    """

    words: Words
    timezone: str
    style: str = "full"

    def story(self, story: Story, url: str | None = None) -> str:
        """The text of one event, in a message of its own.

        :param url: where the run can be seen.
        """
        words = self.words
        lines = [
            self._line("dag", story.dag_id),
            self._line("task", None if story.about_run else story.label),
            self._line("tasks", ", ".join(story.names) or None),
            self._line("run", story.run_id),
            self._line("logical_date", self._time(story.logical_date)),
            self._line("due", self._time(_moment(story.deadline)) or story.deadline),
            self._line("try", self._try(story.try_number, story.tries) if story.is_failure else None),
            self._line("took", None if story.seconds is None else words.duration(story.seconds)),
            self._line("owner", ", ".join(story.owners) or None),
            self._line("where", story.where),
            words("killed") if story.killed else "",
            self._line("reason", story.reason if story.kind is Kind.RUN_FAILURE else None),
        ]
        if story.kind is Kind.QUESTION:
            lines = [
                safe(fit(story.body, _ERROR)) if story.body else "",
                self._line("options", " / ".join(story.options) or None),
                self._line("answer", story.answer_url),
                *lines[:5],
            ]
        error = code(fit(story.error, _ERROR)) if story.error else ""
        log = self._line("log", None if story.about_run else story.log_url)
        if self.style == "short":
            return self._short(self._title_of(story), story.error or story.reason, log or self._line("link", url))
        return _box(self._title_of(story), lines, error, [log, self._line("link", url)])

    def board(self, board: Board, dag_id: str) -> str:
        """The text of everything on a board.

        :param dag_id: whose failures it is about.
        """
        runs = list(board.runs.values())
        body = self._single(runs[0], dag_id) if len(runs) == 1 else None
        if body is None or board.head is not None:
            list_of_all = self._list(runs, dag_id)
            if board.head is None:
                body = list_of_all
            else:
                # What the author wrote tells of the first failure.
                lone = len(runs) == 1 and len(runs[0].failed) + len(runs[0].retrying) <= 1 and not runs[0].ended
                body = board.head if lone else f"{board.head}\n{list_of_all}"
        return fit("\n".join(part for part in (board.to, body, board.note or "") if part))

    def _single(self, run: RunPart, dag_id: str) -> str | None:
        """The text of one failure that stands alone, or of a run that has failed with nothing to show for it."""
        if len(run.failed) + len(run.retrying) > 1 or (run.ended and run.failed):
            return None
        entry = run.details[0] if run.details else None
        if entry is None:
            return None if run.failed or run.retrying else self._run_alone(run, dag_id)
        words = self.words
        at = self._try(entry.try_number, entry.tries)
        if entry.retrying:
            title = words("retry", name=_name(entry.name), at=at or "?")
        else:
            title = words("failure", name=_name(entry.name))
        lines = [
            self._line("dag", dag_id),
            self._line("task", entry.name),
            self._line("run", run.run_id),
            self._line("logical_date", self._time(_moment(run.logical_date))),
            self._line("try", at),
            self._line("took", None if entry.seconds is None else words.duration(entry.seconds)),
            self._line("owner", ", ".join(entry.owners) or None),
            self._line("where", entry.where),
            words("killed") if entry.killed else "",
        ]
        log = self._line("log", entry.log_url)
        if self.style == "short":
            return self._short(title, entry.error, log or self._line("link", run.url))
        error = code(fit(entry.error, _ERROR)) if entry.error else ""
        return _box(title, lines, error, [log, self._line("link", run.url)])

    def _short(self, title: str, error: str | None, link: str) -> str:
        reason = safe(fit(" ".join(error.split()), _ERROR_IN_LIST)) if error else ""
        return "\n".join(line for line in (title, reason, link) if line)

    def _run_alone(self, run: RunPart, dag_id: str) -> str:
        words = self.words
        if not run.ended:
            title = words("run", run="") + f": {_name(dag_id)}"
            lines = [self._line("run", run.run_id), words("mended")]
        else:
            title = words("run_failure", dag=_name(dag_id))
            lines = [
                self._line("run", run.run_id),
                self._line("logical_date", self._time(_moment(run.logical_date))),
                self._line("took", None if run.seconds is None else words.duration(run.seconds)),
                self._line("reason", run.reason),
            ]
        return _box(title, [self._line("dag", dag_id), *lines], "", [self._line("link", run.url)])

    def _list(self, runs: list[RunPart], dag_id: str) -> str:
        words = self.words
        failed = sum(len(run.failed) for run in runs)
        if len(runs) > 1:
            title = words("runs_failed", runs=len(runs), dag=_name(dag_id))
        elif runs[0].ended and failed <= 1:
            title = words("run_failure", dag=_name(dag_id))
        elif failed or not runs[0].retrying:
            title = words("many_failed", count=failed, dag=_name(dag_id))
        else:
            title = words("many_retrying", count=len(runs[0].retrying), dag=_name(dag_id))
        return info(hr().join(self._run(run, alone=len(runs) == 1) for run in runs), title=title)

    def _run(self, run: RunPart, *, alone: bool) -> str:
        words = self.words
        lines = [self._line("run", run.run_id), self._line("logical_date", self._time(_moment(run.logical_date)))]
        if not alone:
            lines.append(words("many_failed", count=len(run.failed), dag="").rstrip(": "))
        shown = {entry.key for entry in run.details}
        lines += [self._item(entry) for entry in run.details]
        others = [key for key in run.failed if key not in shown]
        if others:
            # Where none is shown with its error, these are all, and no "more".
            sentence = "others" if any(key in shown for key in run.failed) else "tasks"
            names = _names(others)
            lines.append(
                words(sentence, count=len(others), names=names) if sentence == "others" else self._raw(sentence, names)
            )
        waiting = [key for key in run.retrying if key not in shown]
        if waiting:
            lines.append(words("retrying", count=len(waiting), names=_names(waiting)))
        if run.ended:
            reason = words("ended_reason", reason=safe(run.reason)) if run.reason else ""
            lines.append(words("run_ended", reason=reason))
            lines.append(self._line("took", None if run.seconds is None else words.duration(run.seconds)))
        elif not run.failed and not run.retrying:
            lines.append(words("mended"))
        lines.append(self._line("link", run.url))
        return "\n".join(line for line in lines if line)

    def _item(self, entry: Entry) -> str:
        words = self.words
        error = f": {safe(fit(' '.join(entry.error.split()), _ERROR_IN_LIST))}" if entry.error else ""
        if entry.killed:
            error = f": {words('killed')}"
        at = self._try(entry.try_number, entry.tries)
        if entry.retrying:
            at = words("retry", name="", at=at or "?").rstrip(": ")
        where = f"\n   {self._line('where', entry.where)}" if entry.where else ""
        log = f"\n   {self._line('log', entry.log_url)}" if entry.log_url else ""
        return f"・{_name(entry.name)}{error}{f' ({at})' if at else ''}{where}{log}"

    def recovered_line(self, when: datetime, after: float) -> str:
        """The line that heads an alert which is over.

        :param after: seconds since the alert.
        """
        return self.words("recovered", when=self._time(when), after=self.words.duration(after))

    def recovered(self, dag_id: str, run_id: str, when: datetime, after: float, runs: int, url: str | None) -> str:
        """The answer to an alert which is over.

        :param runs: how many runs had failed.
        """
        lines = [
            self.recovered_line(when, after),
            self._line("run", run_id),
            self.words("recovered_runs", count=runs) if runs > 1 else "",
            self._line("link", url),
        ]
        return _box(self.words("recovered_title", dag=_name(dag_id)), lines, "", [])

    def _title_of(self, story: Story) -> str:
        name = story.subject if story.kind is Kind.QUESTION else story.label
        at = self._try(story.try_number, story.tries) or "?"
        return self.words(story.kind.value, name=_name(name or "?"), dag=_name(story.dag_id or "?"), at=at)

    def _line(self, name: str, value: object) -> str:
        return "" if value is None or value == "" else self._raw(name, safe(fit(value, _NAMES)))

    def _raw(self, name: str, value: str) -> str:
        return f"{self.words(name)}: {value}"

    def _try(self, number: int | None, of: int | None) -> str | None:
        if number is None:
            return None
        return self.words("at_unknown" if of is None or of < number else "at", number=number, of=of)

    def _time(self, moment: datetime | None) -> str | None:
        if moment is None:
            return None
        return f"{moment.astimezone(ZoneInfo(self.timezone)):%Y-%m-%d %H:%M} ({self.timezone})"


def _box(title: str, lines: Iterable[str], error: str, links: Iterable[str]) -> str:
    above = "\n".join(line for line in lines if line)
    below = "\n".join(line for line in links if line)
    # A block of code stands on lines of its own.
    return info(above + (error or ("\n" if above and below else "")) + below, title=title)


def _name(name: str) -> str:
    return safe(fit(" ".join(name.split()), _NAME))


def _names(keys: Iterable[Key]) -> str:
    """Name task instances, those of a mapped task together: ``load [0-3, 7]``."""
    indexes: dict[str, list[int]] = {}
    for task_id, index in keys:
        indexes.setdefault(task_id, []).append(index)
    named = (safe(task_id) + _ranges(found) for task_id, found in _in_order(indexes).items())
    return fit(", ".join(named), _NAMES)


def _in_order(indexes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {task_id: sorted({*found}) for task_id, found in indexes.items()}


def _ranges(indexes: list[int]) -> str:
    mapped = [index for index in indexes if index >= 0]
    if not mapped:
        return ""
    ranges = []
    for _, group in groupby(enumerate(mapped), key=lambda pair: pair[1] - pair[0]):
        found = [index for _, index in group]
        ranges.append(str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}")
    return f" [{', '.join(ranges)}]"


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
