"""The messages of the follow-up.

Names, the text of tasks and reasons come from people and machines: they go through ``safe``. The author's own text is
notation, as every body is that an author writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from airflow_provider_chatwork.api.models import Task
from airflow_provider_chatwork.api.notation import fit, quote, safe, to
from airflow_provider_chatwork.api.notation_parser import break_unpaired_tags
from airflow_provider_chatwork.api.validation import LANGUAGES, MAX_BODY
from airflow_provider_chatwork.waiting.reminders.schedule import Due, Moment, earliest_due, task_due
from airflow_provider_chatwork.waiting.reminders.words import polite, say, when

# How many characters are shown of a task, of a reason, and of all names together.
_QUOTED = 300
_REASON = 1000
_NAMES = 4000
_PLACEHOLDER = re.compile(r"\{(due|names|link)\}")


@dataclass(frozen=True)
class Writer:
    """Puts messages together. None is longer than a message may be, and each ends with the line it is found by.

    :param lang: the language.
    :param zone: the IANA name of the zone that due dates are shown in.
    :param me: who quotes where it is not known who gave the task.
    """

    lang: str
    zone: str
    me: int

    def reminder(self, tasks: Sequence[Task], now: float, created_at: float, text: str | None, trace: str) -> str:
        """Remind those who have the tasks.

        :param tasks: those that are open.
        :param now: Unix time, to tell whether it is too late.
        :param created_at: when the tasks were given.
        :param text: the author's sentence.
        :param trace: the last line.
        """
        due = earliest_due(tasks, self.zone)
        sentence = "open" if due is None else "open_due" if now <= due.at else "overdue"
        return self._message(
            [self._calls(tasks), self._sentence(sentence, tasks, due, text, trace), self._quote(tasks, created_at)],
            trace,
        )

    def escalation(
        self, tasks: Sequence[Task], due: Due, mentions: Iterable[int], created_at: float, text: str | None, trace: str
    ) -> str:
        """Tell somebody else of those who have the tasks."""
        sentence = self._sentence("escalated", tasks, due, text, trace)
        return self._message([to(mentions), sentence, self._quote(tasks, created_at)], trace)

    def withdrawal(self, tasks: Sequence[Task], reason: str, trace: str) -> str:
        """Say why nobody waits for the tasks any more. Calls nobody."""
        why = self._short(reason, _REASON)
        return self._message([say(self.lang, "withdrawn", reason=why, names=self._names(tasks))], trace)

    def _message(self, parts: Iterable[str], trace: str) -> str:
        return fit("\n".join([part for part in parts if part] + [trace]), MAX_BODY, self._left_out)

    def _calls(self, tasks: Sequence[Task]) -> str:
        dues = {task_due(task, self.zone) for task in tasks}
        lines = {}
        for task in tasks:
            name = polite(self.lang, self._name(task))
            if len(dues) > 1:
                name += say(self.lang, "own_due", due=when(self.lang, task_due(task, self.zone), self.zone))
            lines[task["account"]["account_id"]] = name
        return to(lines)

    def _sentence(self, name: str, tasks: Sequence[Task], due: Due | None, text: str | None, trace: str) -> str:
        values = {
            "due": when(self.lang, due, self.zone),
            "names": self._names(tasks),
            "link": trace.rpartition(": ")[2],
        }
        if text is None:
            return say(self.lang, name, **values)
        # Not `str.format`: braces are common in what authors write, and a name must not be read as a format.
        return _PLACEHOLDER.sub(lambda match: values[match[1]], break_unpaired_tags(text))

    def _quote(self, tasks: Sequence[Task], created_at: float) -> str:
        task = tasks[0]
        by = cast("Mapping[str, Any] | None", task.get("assigned_by_account")) or {}
        body = self._short(task.get("body") or "", _QUOTED, one_line=False)
        return quote(body, by.get("account_id") or self.me, int(created_at)) if body else ""

    def _names(self, tasks: Sequence[Task]) -> str:
        names = dict.fromkeys(polite(self.lang, self._name(task)) for task in tasks)
        return self._short(say(self.lang, "and").join(names), _NAMES)

    def _name(self, task: Task) -> str:
        account = task["account"]
        return (account.get("name") or "").strip() or str(account["account_id"])

    def _short(self, text: str, limit: int, *, one_line: bool = True) -> str:
        return fit(safe(" ".join(text.split()) if one_line else text.strip()), limit, self._left_out)

    @property
    def _left_out(self) -> str:
        return say(self.lang, "left_out")


def labels_of(moment: Moment, kind: str, zone: str) -> tuple[str, ...]:
    """Return the label of a reminder or escalation, in each language."""
    name = "reminder_for_due" if kind == "reminder" and moment.due is not None else kind
    return tuple(say(lang, name, number=moment.number, due=when(lang, moment.due, zone)) for lang in LANGUAGES)
