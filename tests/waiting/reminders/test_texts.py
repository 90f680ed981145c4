from __future__ import annotations

import string

import pytest

from airflow_provider_chatwork.api.validation import MAX_BODY
from airflow_provider_chatwork.sandbox.company import BOT, SATO, YAMADA
from airflow_provider_chatwork.utils.i18n import LANGUAGES, Catalog
from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders.schedule import DueDate, ScheduledReminder
from airflow_provider_chatwork.waiting.reminders.texts import (
    PREFIXES,
    TEXTS,
    MessageKind,
    ReminderFormatter,
    format_due,
    reminder_labels,
)
from tests.waiting.scenario import DAY, TOKYO, at, task

JA, EN = ReminderFormatter("ja", TOKYO, 9), ReminderFormatter("en", TOKYO, 9)
CREATED = at("2026-01-05 10:00")
DUE = at("2026-01-09 17:00")
LINK = "https://www.chatwork.com/#!rid100-200"
KEY_LINE = f"リマインド 1 回目: {LINK}"
QUOTE = f"[qt][qtmeta aid={BOT} time={int(CREATED)}]数字を確認してください[/qt]"


def reminder(*tasks, formatter: ReminderFormatter = JA, now: float = CREATED, text: str | None = None) -> str:
    return formatter.reminder(tasks, now, CREATED, text, KEY_LINE)


class TestReminder:
    def test_mentions_the_assignees_and_quotes_the_task_with_its_due_date(self):
        assert reminder(task(due=DUE), task(SATO, "佐藤", due=DUE)).splitlines() == [
            f"[To:{YAMADA}] 山田 太郎さん",
            f"[To:{SATO}] 佐藤さん",
            "タスクがまだ完了していません。期限は 2026-01-09 (金) 17:00 です。",
            QUOTE,
            KEY_LINE,
        ]

    def test_formats_english(self):
        assert reminder(task(name="Taro", due=DUE), formatter=EN).splitlines()[:2] == [
            f"[To:{YAMADA}] Taro",
            "This task is still open. It is due 2026-01-09 (Fri) 17:00.",
        ]

    @pytest.mark.parametrize(
        ("due", "now", "sentence"),
        [
            (0, CREATED, "タスクがまだ完了していません。"),
            (DUE, DUE, "タスクがまだ完了していません。期限は 2026-01-09 (金) 17:00 です。"),
            (DUE, DUE + 1, "タスクの期限 (2026-01-09 (金) 17:00) を過ぎていますが、まだ完了していません。"),
        ],
    )
    def test_depends_on_the_due_date(self, due, now, sentence):
        assert reminder(task(due=due), now=now).splitlines()[1] == sentence

    def test_shows_the_due_date_of_each_assignee_where_they_differ(self):
        lines = reminder(task(due=DUE + DAY), task(SATO, "佐藤", due=DUE)).splitlines()
        assert lines[:2] == [
            f"[To:{YAMADA}] 山田 太郎さん (期限 2026-01-10 (土) 17:00)",
            f"[To:{SATO}] 佐藤さん (期限 2026-01-09 (金) 17:00)",
        ]
        assert "期限は 2026-01-09 (金) 17:00 です" in lines[2]

    def test_can_have_a_text_of_the_author(self):
        text = "{names}、{due} までに {link} を。{other} {} {due!r}"
        assert reminder(task(due=DUE), text=text).splitlines() == [
            f"[To:{YAMADA}] 山田 太郎さん",
            f"山田 太郎さん、2026-01-09 (金) 17:00 までに {LINK} を。{{other}} {{}} {{due!r}}",
            QUOTE,
            KEY_LINE,
        ]

    def test_fills_in_no_placeholders_of_names(self):
        assert reminder(task(name="{link}"), text="{names}").splitlines()[1] == "{link}さん"

    def test_breaks_unpaired_tags_of_the_author(self):
        assert "[info]" not in reminder(task(), text="[info]まだです")
        assert "[info]まだです[/info]" in reminder(task(), text="[info]まだです[/info]")

    def test_escapes_untrusted_text(self):
        text = reminder(task(name="[toall]", body="[To:1]\n[/qt](y)[toall]"), text="{names}")
        assert "[toall]" not in text
        assert "[To:1]" not in text
        assert "(y)" not in text
        assert text.count("[/qt]") == 1

    def test_shortens_a_long_task(self):
        text = reminder(task(body="あ[toall]" * 9000))
        assert len(text) < 700
        assert "文字省略" in text
        assert "[toall]" not in text
        assert text.endswith(f"[/qt]\n{KEY_LINE}")

    def test_quotes_no_empty_task(self):
        assert "[qt]" not in reminder(task(body=" "))

    def test_works_without_names_and_assigner(self):
        bare = task(name="")
        bare["assigned_by_account"] = None  # type: ignore[typeddict-item]
        lines = reminder(bare).splitlines()
        assert lines[0] == f"[To:{YAMADA}] {YAMADA}さん"
        assert lines[2].startswith("[qt][qtmeta aid=9 ")

    def test_fits_into_a_message_with_its_key_line(self):
        tasks = [task(number, "名" * 300) for number in range(1, 1000)]
        text = reminder(*tasks, text="{names}")
        assert len(text) <= MAX_BODY
        assert text.endswith(KEY_LINE)


class TestEscalation:
    DUE = DueDate(DUE, False)

    def escalation(self, *tasks, mentions: tuple[int, ...] = (7, 8), text: str | None = None) -> str:
        return JA.escalation(tasks, self.DUE, mentions, CREATED, text, KEY_LINE)

    def test_mentions_others_and_names_the_assignees(self):
        assert self.escalation(task(due=DUE), task(SATO, "佐藤[toall]", due=DUE)).splitlines() == [
            "[To:7][To:8]",
            "期限 (2026-01-09 (金) 17:00) を過ぎても完了していないタスクがあります。",
            "担当: 山田 太郎さん、佐藤[\u200btoall]さん",
            QUOTE,
            KEY_LINE,
        ]

    def test_can_have_no_mentions(self):
        assert self.escalation(task(due=DUE), mentions=()).startswith("期限 ")

    def test_can_have_a_text_of_the_author(self):
        assert self.escalation(task(due=DUE), text="{names} {due}").splitlines()[1] == (
            "山田 太郎さん 2026-01-09 (金) 17:00"
        )


class TestCancellation:
    def test_has_the_reason_and_no_mentions(self):
        text = JA.cancellation([task(), task(SATO, "佐藤")], "期限までに\n完了しませんでした [To:1]", KEY_LINE)
        assert text.splitlines() == [
            "この依頼を取り下げました。残っているタスクは完了にします。",
            "理由: 期限までに 完了しませんでした [\u200bTo:1]",
            "担当: 山田 太郎さん、佐藤さん",
            KEY_LINE,
        ]

    def test_shortens_a_long_reason(self):
        assert len(JA.cancellation([task()], "x" * 50_000, KEY_LINE)) < 1200


class TestReminderLabels:
    DUE = DueDate(at("2026-01-09 17:00"), False)

    def test_have_the_number_and_the_due_date_of_a_reminder(self):
        reminder = Reminder(every=5)
        assert reminder_labels(ScheduledReminder(0, 3, None, reminder), TOKYO) == ("リマインド 3 回目", "Reminder 3")
        assert reminder_labels(ScheduledReminder(0, 3, self.DUE, reminder), TOKYO) == (
            "リマインド 3 回目 (期限 2026-01-09 (金) 17:00)",
            "Reminder 3 (due 2026-01-09 (Fri) 17:00)",
        )

    def test_have_the_due_date_of_an_escalation(self):
        assert reminder_labels(ScheduledReminder(0, 1, self.DUE, Escalation(mentions=1)), TOKYO) == (
            "期限超過のお知らせ (期限 2026-01-09 (金) 17:00)",
            "Overdue notice (due 2026-01-09 (Fri) 17:00)",
        )


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


class TestTexts:
    @pytest.mark.parametrize("name", TEXTS)
    def test_have_the_same_placeholders_in_every_language(self, name):
        assert len(TEXTS[name]) == len(LANGUAGES)
        assert len({frozenset(placeholders(text)) for text in TEXTS[name]}) == 1

    @pytest.mark.parametrize("kind", MessageKind)
    def test_begins_the_labels_of_a_kind_with_its_prefix(self, kind):
        keys = [key for key in TEXTS if key.startswith(kind) and key.endswith("_label")]
        assert keys
        for key in keys:
            for lang, prefix in zip(LANGUAGES, PREFIXES[kind], strict=True):
                assert Catalog(lang, TEXTS).text(key, number=1, due="").startswith(prefix)


class TestFormatDue:
    @pytest.mark.parametrize(
        ("lang", "zone", "day", "text"),
        [
            ("ja", TOKYO, False, "2026-01-09 (金) 17:05"),
            ("en", TOKYO, False, "2026-01-09 (Fri) 17:05"),
            ("ja", TOKYO, True, "2026-01-09 (金)"),
            ("en", "Europe/Paris", False, "2026-01-09 (Fri) 09:05 CET"),
        ],
    )
    def test_shows_a_due_date_in_its_zone(self, lang, zone, day, text):
        assert format_due(Catalog(lang, TEXTS), DueDate(at("2026-01-09 17:05"), day), zone) == text

    def test_has_a_text_for_no_due_date(self):
        assert format_due(Catalog("ja", TEXTS), None, TOKYO) == "期限なし"
