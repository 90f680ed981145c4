"""The sentences of the follow-up, in Japanese and English."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.waiting.reminders.schedule import Due

#: The kinds of messages, by the word that their last line begins with in every language. It is what a later run knows
#: them by, so it never changes.
KINDS: Final = {
    "reminder": ("リマインド", "Reminder"),
    "escalation": ("期限超過のお知らせ", "Overdue notice"),
    "withdrawal": ("依頼の取り下げ", "Request withdrawn"),
}

_WORDS: Final[dict[str, tuple[str, str]]] = {
    # What stands in front of the link.
    "reminder": ("リマインド {number} 回目", "Reminder {number}"),
    "reminder_for_due": ("リマインド {number} 回目 (期限 {due})", "Reminder {number} (due {due})"),
    "escalation": ("期限超過のお知らせ (期限 {due})", "Overdue notice (due {due})"),
    "withdrawal": ("依頼の取り下げ", "Request withdrawn"),
    # Sentences.
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
    "withdrawn": (
        "この依頼を取り下げました。残っているタスクは完了にします。\n理由: {reason}\n担当: {names}",
        "This request was withdrawn. Its open tasks will be marked as done.\nReason: {reason}\nAssigned to: {names}",
    ),
    # Parts of them.
    "name": ("{name}さん", "{name}"),
    "own_due": (" (期限 {due})", " (due {due})"),
    "no_due": ("期限なし", "no due date"),
    "and": ("、", ", "),
    "left_out": ("… ({{count:,}} 文字省略) …", "… ({{count:,}} characters left out) …"),
}
_DAYS: Final = ("月火水木金土日", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
_HONORIFICS = ("さん", "様", "さま")
_HOME = "Asia/Tokyo"


def say(lang: str, name: str, /, **values: object) -> str:
    """The sentence of a name, with the values filled in."""
    return _WORDS[name][validation.LANGUAGES.index(lang)].format(**values)


def polite(lang: str, name: str) -> str:
    """A name as one calls somebody."""
    return name if not name or name.endswith(_HONORIFICS) else say(lang, "name", name=name)


def when(lang: str, due: Due | None, zone: str) -> str:
    """A due date, in a time zone that is named unless it is that of Japan."""
    if due is None:
        return say(lang, "no_due")
    there = datetime.fromtimestamp(due.at, ZoneInfo(zone))
    day = f"{there:%Y-%m-%d} ({_DAYS[validation.LANGUAGES.index(lang)][there.weekday()]})"
    if due.day:
        return day
    return f"{day} {there:%H:%M}" if zone == _HOME else f"{day} {there:%H:%M} {there:%Z}"
