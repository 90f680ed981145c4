from __future__ import annotations

import pytest

from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.waiting.outbox.delivery import CLOCK_SKEW, DedupKey
from tests.waiting.scenario import WEB

ME, MOMENT = 5, 1000.0
KEY = DedupKey(("リマインド", "Reminder"), ("リマインド 2 回目", "Reminder 2"), 100, "200", ME, MOMENT)


def message(body: str, *, by: int = ME, send_time: float = 0, message_id: str = "1") -> Message:
    account = {"account_id": by, "name": "", "avatar_image_url": ""}
    return {
        "message_id": message_id,
        "account": account,
        "body": body,
        "send_time": int(send_time),
        "update_time": 0,
    }  # type: ignore[typeddict-item]


class TestDedupKey:
    @pytest.mark.parametrize(("lang", "label"), [("ja", "リマインド 2 回目"), ("en", "Reminder 2")])
    def test_line_is_readable(self, lang, label):
        assert KEY.line(lang, WEB) == f"{label}: https://www.chatwork.com/#!rid100-200"

    @pytest.mark.parametrize(
        "body",
        [
            KEY.line("ja", WEB),
            KEY.line("en", "https://kcw.kddi.ne.jp"),
            f"[To:6]\nまだです。\r\n{KEY.line('ja', WEB)} \r\n",
            f"{KEY.line('ja', WEB)}\nまだです。",
        ],
    )
    def test_finds_its_line_anywhere_in_a_message(self, body):
        assert KEY.find([message(body, send_time=MOMENT - CLOCK_SKEW)])

    def test_does_not_find_an_earlier_message_with_the_same_label(self):
        # The number of a reminder changes when a due date is moved.
        assert not KEY.find([message(KEY.line("ja", WEB), send_time=MOMENT - CLOCK_SKEW - 1)])

    @pytest.mark.parametrize(
        "body",
        [
            "リマインド 2 回目",
            "リマインド 3 回目: https://www.chatwork.com/#!rid100-200",
            "リマインド 2 回目: https://www.chatwork.com/#!rid100-2001",
            "リマインド 2 回目: https://www.chatwork.com/#!rid1100-200",
            "リマインド 2 回目: https://www.chatwork.com/#!rid100-200 を見てください",
            "x リマインド 2 回目: https://www.chatwork.com/#!rid100-200",
            "期限超過のお知らせ (期限 …): https://www.chatwork.com/#!rid100-200",
        ],
    )
    def test_does_not_find_other_lines(self, body):
        assert not KEY.find([message(body, send_time=MOMENT - 1)])

    def test_does_not_find_messages_of_other_accounts(self):
        assert not KEY.find([message(KEY.line("ja", WEB), by=6, send_time=MOMENT)])

    def test_finds_any_message_of_its_kind_that_was_sent_since(self):
        another = "Reminder 7 (due …): https://www.chatwork.com/#!rid100-200"
        assert KEY.find([message(another, send_time=MOMENT)])
        assert not KEY.find([message(another, send_time=MOMENT - 1)])
        assert not KEY.find([message(another.replace("Reminder", "Overdue notice"), send_time=MOMENT)])

    def test_by_time_only_ignores_the_label(self):
        line = KEY.line("ja", WEB)
        assert not KEY.by_time_only().find([message(line, send_time=MOMENT - 1)])
        assert KEY.by_time_only().find([message(line, send_time=MOMENT)])

    def test_finds_the_oldest_message_first(self):
        line = KEY.line("ja", WEB)
        page = [
            message(line, send_time=MOMENT + 9, message_id="9"),
            message(line, send_time=MOMENT + 5, message_id="10"),
            message(line, send_time=MOMENT + 5, message_id="7"),
        ]
        assert [each["message_id"] for each in KEY.find(page)] == ["7", "10", "9"]
