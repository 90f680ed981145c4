from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.waiting.outbox.delivery import SentLog

ME, OTHER = 5, 6


def message(number: int, by: int = ME, body: str = "x") -> Any:
    return {"message_id": str(number), "account": {"account_id": by}, "body": body, "send_time": number}


def page(first: int, last: int) -> list[Any]:
    return [message(number, ME if number % 2 else OTHER) for number in range(first, last + 1)]


def ids(sent_log: SentLog) -> list[int]:
    return [int(message["message_id"]) for message in sent_log.messages]


@pytest.fixture
def sent_log() -> SentLog:
    return SentLog(ME)


class TestSentLog:
    def test_is_incomplete_at_first(self, sent_log):
        assert not sent_log.reaches_back(1e12)

    def test_has_all_messages_of_a_short_room(self, sent_log):
        sent_log.add_page(page(2, 100), 1)
        assert sent_log.reaches_back(0)
        assert ids(sent_log) == [*range(3, 100, 2)]

    def test_a_full_page_reaches_back_to_its_first_message(self, sent_log):
        sent_log.add_page(page(1, 100), 1)
        assert not sent_log.reaches_back(1)
        assert sent_log.reaches_back(2)

    def test_overlapping_pages_reach_back_to_the_first_one(self, sent_log):
        sent_log.add_page(page(1, 100), 1)
        sent_log.add_page(page(100, 199), 2)
        assert sent_log.reaches_back(2)
        assert ids(sent_log) == [*range(1, 200, 2)]

    def test_a_gap_between_pages_drops_older_messages(self, sent_log):
        sent_log.add_page(page(1, 100), 1)
        sent_log.add_page(page(101, 200), 2)
        assert not sent_log.reaches_back(101)
        assert ids(sent_log) == [*range(101, 200, 2)]

    def test_has_messages_that_were_added_after_a_page(self, sent_log):
        sent_log.add_page([], 1)
        sent_log.add("7", "x", 7.5, after=1)
        assert ids(sent_log) == [7]
        assert sent_log.messages[0]["account"]["account_id"] == ME
        # A later page replaces it.
        sent_log.add_page([], 2)
        assert ids(sent_log) == []

    def test_keeps_messages_that_were_added_while_a_page_was_read(self, sent_log):
        sent_log.add("7", "x", 7.5, after=2)
        sent_log.add_page([], 2)
        assert ids(sent_log) == [7]

    def test_an_added_message_does_not_connect_pages(self, sent_log):
        sent_log.add_page(page(1, 100), 1)
        sent_log.add("150", "x", 150, after=1)
        sent_log.add_page(page(150, 249), 2)
        assert not sent_log.reaches_back(150)

    def test_keeps_a_limited_number_of_messages(self, sent_log):
        for first in range(1, 3002, 50):
            sent_log.add_page(page(first, first + 99), first)
        assert ids(sent_log) == [*range(1101, 3100, 2)]
        assert not sent_log.reaches_back(1101)
        assert sent_log.reaches_back(1102)
