"""The texts of the alerts: from what is known to what is posted.

Names, errors and addresses come from machines and people. Lines are put together as plain text and go through ``safe``
as a whole, right before they are framed, so that nothing acts that stands in them or only arises between them. Secrets
are masked before: what is masked must still be whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.alerts.alert_state import LONGEST_TEXT, Board, Entry, Key, RunPart
from airflow_provider_chatwork.alerts.event import Kind, Story
from airflow_provider_chatwork.alerts.texts import duration
from airflow_provider_chatwork.api.notation import code, fit, hr, info, safe
from airflow_provider_chatwork.api.notation_parser import break_unpaired_tags
from airflow_provider_chatwork.api.validation import MAX_BODY
from airflow_provider_chatwork.utils.i18n import Catalog

# How many characters are shown of a name in a title or list, of any other value, of an error in a list, and of all
# names together.
_NAME = 300
_VALUE = 1000
_ERROR_IN_LIST = 200
_NAMES = 8000
# What Airflow has for an owner where the author names none.
_NOBODY = "airflow"


@dataclass(frozen=True)
class Writer:
    """Puts texts together. None is longer than a message may be.

    :param catalog: the texts.
    :param timezone: the IANA name of the zone that times are shown in.
    :param style: ``full``, or ``short`` for what failed and why, and nothing else.
    """

    catalog: Catalog
    timezone: str
    style: str = "full"

    def story(self, story: Story, url: str | None = None) -> str:
        """The text of one event, in a message of its own.

        :param url: where the run can be seen.
        """
        title = self._title(story)
        link = self._line("link", url)
        if story.kind is Kind.QUESTION:
            log, detail = "", self._line("answer", story.answer_url)
        else:
            log, detail = ("" if story.about_run else self._line("log", story.log_url)), ""
        if self.style == "short":
            return self._fit(safe("\n".join(_filled(title, self._why(story), detail or log or link))))
        lines = [*self._question(story, detail), *self._about(story), *self._how(story)]
        return self._fit(self._box(title, lines, story.error, [log, link]))

    def _question(self, story: Story, answer: str) -> list[str]:
        if story.kind is not Kind.QUESTION:
            return []
        body = self._fit(story.body.strip(), LONGEST_TEXT) if story.body else ""
        return [body, self._line("options", " / ".join(story.options)), answer]

    def _about(self, story: Story) -> list[str]:
        return [
            self._line("dag", story.dag_id),
            self._line("task", None if story.about_run else story.label),
            self._line("tasks", ", ".join(story.names), _NAMES),
            self._line("run", story.run_id),
            self._line("logical_date", self._time(story.logical_date)),
            self._due(story),
        ]

    def _how(self, story: Story) -> list[str]:
        catalog = self.catalog
        took = "elapsed" if story.kind is Kind.DEADLINE else "took"
        return [
            self._line("try", self._try(story.try_number, story.tries) if story.is_failure else None),
            self._line(took, None if story.seconds is None else duration(catalog, story.seconds)),
            self._line("owner", ", ".join(owner for owner in story.owners if owner != _NOBODY)),
            self._line("where", story.where),
            catalog.text("killed") if story.killed else "",
            self._reason(story),
        ]

    def _why(self, story: Story) -> str:
        """What a short text says beside its title, in one line."""
        if story.error:
            return self._one_line(story.error, _ERROR_IN_LIST)
        if story.killed:
            return self.catalog.text("killed")
        return self._reason(story) or self._due(story) or self._line("tasks", ", ".join(story.names), _NAMES)

    def _reason(self, story: Story) -> str:
        return self._line("reason", story.reason if story.kind is Kind.RUN_FAILURE else None)

    def _due(self, story: Story) -> str:
        return self._line("due", self._time(_moment(story.deadline)) or story.deadline)

    def _title(self, story: Story) -> str:
        name = self._one_line((story.subject if story.kind is Kind.QUESTION else story.label) or "?", _NAME)
        at = self._try(story.try_number, story.tries)
        sentence = "retry_unknown" if story.kind is Kind.RETRY and at is None else story.kind.value
        return self.catalog.text(sentence, name=name, dag=self._one_line(story.dag_id or "?", _NAME), at=at)

    def board(self, board: Board, dag_id: str) -> str:
        """The text of everything on a board.

        :param dag_id: whose failures it is about.
        """
        runs = list(board.runs.values())
        if any(run.text or any(entry.text for entry in run.details) for run in runs):
            body = "\n".join(line for run in runs for line in self._authors(run))
        else:
            alone = self._alone(runs[0], dag_id) if len(runs) == 1 else None
            body = self._list(runs, dag_id) if alone is None else alone
        return self._fit("\n".join(_filled(board.to, body, safe(board.note or ""))))

    def _authors(self, run: RunPart) -> list[str]:
        """What the author has written of each failure, and the names of those for which there is no room."""
        told = [break_unpaired_tags(entry.text) if entry.text else safe(self._item(entry)) for entry in run.details]
        if run.ended and run.text:
            return [*told, *map(safe, self._unshown(run)), break_unpaired_tags(run.text)]
        return [*told, *map(safe, _filled(*self._unshown(run), *self._end(run)))]

    def _alone(self, run: RunPart, dag_id: str) -> str | None:
        """The text of one failure, or of a run that failed with nothing to show for it; ``None`` for any more."""
        logical_date = _moment(run.logical_date)
        if run.ended and not run.failed and not run.retrying:
            return self.story(
                Story(
                    kind=Kind.RUN_FAILURE,
                    dag_id=dag_id,
                    run_id=run.run_id,
                    logical_date=logical_date,
                    seconds=run.seconds,
                    reason=run.reason,
                ),
                run.url,
            )
        if run.ended or len(run.failed) + len(run.retrying) != 1 or not run.details:
            return None
        entry = run.details[0]
        return self.story(
            Story(
                kind=Kind.RETRY if entry.retrying else Kind.FAILURE,
                dag_id=dag_id,
                run_id=run.run_id,
                label=entry.name,
                logical_date=logical_date,
                try_number=entry.try_number,
                tries=entry.tries,
                seconds=entry.seconds,
                error=entry.error,
                killed=entry.killed,
                where=entry.where,
                owners=tuple(entry.owners),
                log_url=entry.log_url,
            ),
            run.url,
        )

    def _list(self, runs: list[RunPart], dag_id: str) -> str:
        catalog = self.catalog
        dag = self._one_line(dag_id, _NAME)
        failed = sum(len(run.failed) for run in runs)
        retrying = sum(len(run.retrying) for run in runs)
        ended = any(run.ended for run in runs)
        if not (failed or retrying or ended):
            title = catalog.text("mended_title", dag=dag)
        elif len(runs) > 1:
            title = catalog.text("runs_failed", runs=len(runs), dag=dag)
        elif ended and failed <= 1:
            title = catalog.text("run_failure", dag=dag)
        elif failed:
            title = catalog.text("many_failed", count=failed, dag=dag)
        else:
            title = catalog.text("many_retrying", count=retrying, dag=dag)
        return info(hr().join(safe(self._run(run, alone=len(runs) == 1)) for run in runs), title=safe(title))

    def _run(self, run: RunPart, *, alone: bool) -> str:
        catalog = self.catalog
        lines = [self._line("run", run.run_id), self._line("logical_date", self._time(_moment(run.logical_date)))]
        if run.failed and not alone:
            lines.append(catalog.text("failed", count=len(run.failed)))
        lines += [self._item(entry) for entry in run.details]
        lines += [*self._unshown(run), *self._end(run), self._line("link", run.url)]
        return "\n".join(_filled(*lines))

    def _unshown(self, run: RunPart) -> list[str]:
        """The names of those that are told without their errors."""
        catalog, lines = self.catalog, []
        shown = {entry.key for entry in run.details}
        others = [key for key in run.failed if key not in shown]
        if others and len(others) == len(run.failed):
            # These are all, and no "more".
            lines.append(self._line("tasks", _names(others), _NAMES))
        elif others:
            lines.append(catalog.text("others", count=len(others), names=self._fit(_names(others), _NAMES)))
        waiting = [key for key in run.retrying if key not in shown]
        if waiting:
            lines.append(catalog.text("retrying", count=len(waiting), names=self._fit(_names(waiting), _NAMES)))
        return lines

    def _end(self, run: RunPart) -> list[str]:
        """How the run ended, or that all is well by now."""
        catalog = self.catalog
        if run.ended:
            reason = catalog.text("ended_reason", reason=self._one_line(run.reason, _VALUE)) if run.reason else ""
            took = None if run.seconds is None else duration(catalog, run.seconds)
            return [catalog.text("run_ended", reason=reason), self._line("took", took)]
        return [] if run.failed or run.retrying else [catalog.text("mended")]

    def _item(self, entry: Entry) -> str:
        error = self._one_line(entry.error, _ERROR_IN_LIST) if entry.error else ""
        if entry.killed and not error:
            error = self.catalog.text("killed")
        at = self._note(entry)
        item = f"・{self._one_line(entry.name, _NAME)}{f': {error}' if error else ''}{f' ({at})' if at else ''}"
        if self.style == "short":
            return item
        details = _filled(self._line("where", entry.where), self._line("log", entry.log_url))
        return "\n   ".join([item, *details])

    def _note(self, entry: Entry) -> str:
        at = self._try(entry.try_number, entry.tries, "at_in_list")
        if entry.retrying:
            return self.catalog.text("retrying_in_list" if at else "retrying_in_list_unknown", at=at)
        # That it was the only try is worth no word.
        return "" if at is None or entry.tries == 1 else at

    def recovered_line(self, when: datetime, after: float) -> str:
        """The line that heads an alert which is over.

        :param after: seconds since the alert.
        """
        return self.catalog.text("recovered", at=self._recovery(when, after))

    def recovered(self, dag_id: str, run_id: str, when: datetime, after: float, runs: int, url: str | None) -> str:
        """The answer to an alert which is over.

        :param runs: how many runs had failed.
        """
        lines = [
            self._line("recovered_at", self._recovery(when, after)),
            self._line("run", run_id),
            self.catalog.text("recovered_runs", count=runs) if runs > 1 else "",
            self._line("link", url),
        ]
        title = self.catalog.text("recovered_title", dag=self._one_line(dag_id, _NAME))
        return self._fit(self._box(title, lines, None, []))

    def _recovery(self, when: datetime, after: float) -> str:
        return self.catalog.text("when_recovered", when=self._time(when), after=duration(self.catalog, after))

    def _box(self, title: str, lines: Iterable[str], error: str | None, links: Iterable[str]) -> str:
        above, below = (safe("\n".join(_filled(*part))) for part in (lines, links))
        # A block of code stands on lines of its own.
        between = code(self._fit(error, LONGEST_TEXT)) if error else "\n" if above and below else ""
        return info(above + between + below, title=safe(title))

    def _line(self, name: str, value: object, limit: int = _VALUE) -> str:
        return "" if value is None or value == "" else f"{self.catalog.text(name)}: {self._one_line(value, limit)}"

    def _one_line(self, value: object, limit: int) -> str:
        return self._fit(" ".join(str(value).split()), limit)

    def _fit(self, text: str, limit: int = MAX_BODY) -> str:
        return fit(text, limit, self.catalog.left_out)

    def _try(self, number: int | None, of: int | None, sentence: str = "at") -> str | None:
        if number is None:
            return None
        return self.catalog.text("at_unknown" if of is None or of < number else sentence, number=number, of=of)

    def _time(self, moment: datetime | None) -> str | None:
        if moment is None:
            return None
        return f"{moment.astimezone(ZoneInfo(self.timezone)):%Y-%m-%d %H:%M} ({self.timezone})"


def _filled(*texts: str) -> list[str]:
    return [text for text in texts if text]


def _names(keys: Iterable[Key]) -> str:
    """Name task instances, those of a mapped task together: ``load [0-3, 7]``."""
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


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
