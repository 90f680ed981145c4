from __future__ import annotations

import pytest

from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.waiting.outbox.dedup_key import DedupKey
from tests.waiting.office import WEB

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
    def test_is_a_line_that_people_can_read(self, lang, label):
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
    def test_is_found_whenever_it_was_sent(self, body):
        assert KEY.find([message(body)])

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
    def test_is_not_found_in_anything_else(self, body):
        assert not KEY.find([message(body)])

    def test_is_not_found_in_what_others_say(self):
        assert not KEY.find([message(KEY.line("ja", WEB), by=6)])

    def test_is_any_of_its_kind_that_was_sent_since(self):
        another = "Reminder 7 (due …): https://www.chatwork.com/#!rid100-200"
        assert KEY.find([message(another, send_time=MOMENT)])
        assert not KEY.find([message(another, send_time=MOMENT - 1)])
        assert not KEY.find([message(another.replace("Reminder", "Overdue notice"), send_time=MOMENT)])

    def test_is_told_by_time_alone_where_that_is_asked_for(self):
        line = KEY.line("ja", WEB)
        assert not KEY.by_time_only().find([message(line, send_time=MOMENT - 1)])
        assert KEY.by_time_only().find([message(line, send_time=MOMENT)])

    def test_is_first_in_the_message_that_was_sent_first(self):
        line = KEY.line("ja", WEB)
        page = [
            message(line, send_time=9, message_id="9"),
            message(line, send_time=5, message_id="10"),
            message(line, send_time=5, message_id="7"),
        ]
        assert [each["message_id"] for each in KEY.find(page)] == ["7", "10", "9"]
