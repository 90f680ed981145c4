"""The texts of reminders, escalations and cancellations.

Names, the texts of tasks and reasons are untrusted: they go through ``safe``. The author's own text is notation.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api.models import Task
from airflow_provider_chatwork.api.notation import break_unpaired_tags, fit, quote, safe, to
from airflow_provider_chatwork.api.validation import MAX_BODY
from airflow_provider_chatwork.utils.i18n import LANGUAGES, Catalog, Texts
from airflow_provider_chatwork.waiting.reminders.schedule import DueDate, ScheduledReminder, earliest_due, task_due
from airflow_provider_chatwork.waiting.reminders.spec import Reminder

# The most characters shown of a task, of a reason, and of all names together.
_TASK_TEXT_LIMIT = 300
_REASON_LIMIT = 1000
_NAMES_LIMIT = 4000
_PLACEHOLDER = re.compile(r"\{(due|names|link)\}")
_WEEKDAYS: Final = ("月火水木金土日", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
# Due dates in this zone are shown without its name.
_UNNAMED_ZONE = "Asia/Tokyo"


class MessageKind(enum.StrEnum):
    """The kinds of messages about tasks."""

    REMINDER = "reminder"
    ESCALATION = "escalation"
    CANCELLATION = "cancellation"


#: How the last line of a message of each kind begins, in each language. Messages are found again by it, so it must
#: never change.
PREFIXES: Final = {
    MessageKind.REMINDER: ("リマインド", "Reminder"),
    MessageKind.ESCALATION: ("期限超過のお知らせ", "Overdue notice"),
    MessageKind.CANCELLATION: ("依頼の取り下げ", "Request withdrawn"),
}

TEXTS: Final[Texts] = {
    # In front of the link in the last line.
    "reminder_label": ("リマインド {number} 回目", "Reminder {number}"),
    "reminder_for_due_label": ("リマインド {number} 回目 (期限 {due})", "Reminder {number} (due {due})"),
    "escalation_label": ("期限超過のお知らせ (期限 {due})", "Overdue notice (due {due})"),
    "cancellation_label": PREFIXES[MessageKind.CANCELLATION],
    "open": ("タスクがまだ完了していません。", "This task is still open."),
    "open_due": ("タスクがまだ完了していません。期限は {due} です。", "This task is still open. It is due {due}."),
    "overdue": (
        "タスクの期限 ({due}) を過ぎていますが、まだ完了していません。",
        "This task was due {due} and is still open.",
    ),
    "escalated": (
        "期限 ({due}) を過ぎても完了していないタスクがあります。\n担当: {names}",
        "A task was due {due} and is still open.\nAssigned to: {names}",
    ),
    "cancelled": (
        "この依頼を取り下げました。残っているタスクは完了にします。\n理由: {reason}\n担当: {names}",
        "This request was withdrawn. Its open tasks will be marked as done.\nReason: {reason}\nAssigned to: {names}",
    ),
    "own_due": (" (期限 {due})", " (due {due})"),
    "no_due": ("期限なし", "no due date"),
    # Why tasks are cancelled.
    "timed_out": ("期限までに終わらなかったため", "not done in time"),
    "impossible": ("必要な数のタスクが残っていないため", "too few of the tasks are left"),
    "killed": ("Airflow 側で待機が取り消されたため", "the wait was ended in Airflow"),
}


class ReminderFormatter:
    """Formats messages about tasks. Each fits into a Chatwork message, and ends with its key line.

    :param lang: ``ja`` or ``en``.
    :param zone: IANA name of the time zone of due dates.
    :param account_id: the account of the token, quoted where it is not known who assigned the task.
    """

    def __init__(self, lang: str, zone: str, account_id: int) -> None:
        self._catalog = Catalog(lang, TEXTS)
        self._zone = zone
        self._account_id = account_id

    def reminder(self, tasks: Sequence[Task], now: float, created_at: float, text: str | None, key_line: str) -> str:
        """Format a reminder for the assignees.

        :param tasks: the open tasks.
        :param now: Unix time; after the due date the tasks are overdue.
        :param created_at: Unix time when the tasks were created.
        :param text: the author's sentence.
        :param key_line: the last line.
        """
        due = earliest_due(tasks, self._zone)
        key = "open" if due is None else "open_due" if now <= due.at else "overdue"
        sentence = self._sentence(key, tasks, due, text, key_line)
        return self._message([self._mentions(tasks), sentence, self._quote(tasks, created_at)], key_line)

    def escalation(
        self,
        tasks: Sequence[Task],
        due: DueDate,
        mentions: Iterable[int],
        created_at: float,
        text: str | None,
        key_line: str,
    ) -> str:
        """Format an escalation, which names the assignees and mentions others."""
        sentence = self._sentence("escalated", tasks, due, text, key_line)
        return self._message([to(mentions), sentence, self._quote(tasks, created_at)], key_line)

    def cancellation(self, tasks: Sequence[Task], reason: str, key_line: str) -> str:
        """Format the message that tasks are cancelled, without a mention."""
        reason = self._shorten(reason, _REASON_LIMIT)
        return self._message([self._catalog.text("cancelled", reason=reason, names=self._names(tasks))], key_line)

    def _message(self, parts: Iterable[str], key_line: str) -> str:
        return fit("\n".join([part for part in parts if part] + [key_line]), MAX_BODY, self._catalog.left_out)

    def _mentions(self, tasks: Sequence[Task]) -> str:
        dues = {task_due(task, self._zone) for task in tasks}
        lines = {}
        for task in tasks:
            line = self._catalog.address(_assignee_name(task))
            if len(dues) > 1:
                line += self._catalog.text("own_due", due=self._due(task_due(task, self._zone)))
            lines[task["account"]["account_id"]] = line
        return to(lines)

    def _sentence(self, key: str, tasks: Sequence[Task], due: DueDate | None, text: str | None, key_line: str) -> str:
        values = {"due": self._due(due), "names": self._names(tasks), "link": key_line.rpartition(": ")[2]}
        if text is None:
            return self._catalog.text(key, **values)
        # Not `str.format`: authors write braces, and a name must not be read as a format.
        return _PLACEHOLDER.sub(lambda match: values[match[1]], break_unpaired_tags(text))

    def _quote(self, tasks: Sequence[Task], created_at: float) -> str:
        task = tasks[0]
        assigner = cast("Mapping[str, Any] | None", task.get("assigned_by_account")) or {}
        body = self._shorten(task.get("body") or "", _TASK_TEXT_LIMIT, one_line=False)
        return quote(body, assigner.get("account_id") or self._account_id, int(created_at)) if body else ""

    def _names(self, tasks: Sequence[Task]) -> str:
        names = dict.fromkeys(self._catalog.address(_assignee_name(task)) for task in tasks)
        return self._shorten(self._catalog.join_names([*names]), _NAMES_LIMIT)

    def _due(self, due: DueDate | None) -> str:
        return format_due(self._catalog, due, self._zone)

    def _shorten(self, text: str, limit: int, *, one_line: bool = True) -> str:
        return fit(safe(" ".join(text.split()) if one_line else text.strip()), limit, self._catalog.left_out)


def format_due(catalog: Catalog, due: DueDate | None, zone: str) -> str:
    """Format a due date in a time zone, which is named unless it is that of Japan."""
    if due is None:
        return catalog.text("no_due")
    local = datetime.fromtimestamp(due.at, ZoneInfo(zone))
    day = f"{local:%Y-%m-%d} ({_WEEKDAYS[LANGUAGES.index(catalog.lang)][local.weekday()]})"
    if due.is_day:
        return day
    return f"{day} {local:%H:%M}" if zone == _UNNAMED_ZONE else f"{day} {local:%H:%M} {local:%Z}"


def reminder_labels(scheduled: ScheduledReminder, zone: str) -> tuple[str, ...]:
    """Return what stands in front of the link in the last line of a reminder or an escalation, in each language."""
    key = "reminder_label" if scheduled.due is None else "reminder_for_due_label"
    if not isinstance(scheduled.source, Reminder):
        key = "escalation_label"
    catalogs = [Catalog(lang, TEXTS) for lang in LANGUAGES]
    return tuple(
        catalog.text(key, number=scheduled.number, due=format_due(catalog, scheduled.due, zone)) for catalog in catalogs
    )


def _assignee_name(task: Task) -> str:
    account = task["account"]
    return (account.get("name") or "").strip() or str(account["account_id"])
