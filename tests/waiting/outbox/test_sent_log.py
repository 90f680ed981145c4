from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.waiting.outbox.sent_log import SentLog

ME, OTHER = 5, 6


def said(number: int, by: int = ME, body: str = "x") -> Any:
    return {"message_id": str(number), "account": {"account_id": by}, "body": body, "send_time": number}


def page(first: int, last: int) -> list[Any]:
    return [said(number, ME if number % 2 else OTHER) for number in range(first, last + 1)]


def ids(sent_log: SentLog) -> list[int]:
    return [int(message["message_id"]) for message in sent_log.messages]


@pytest.fixture
def sent_log() -> SentLog:
    return SentLog(ME)


class TestSentLog:
    def test_knows_nothing_at_first(self, sent_log):
        assert not sent_log.reaches_back(1e12)

    def test_knows_a_whole_room(self, sent_log):
        sent_log.add_page(page(2, 100), 1)
        assert sent_log.reaches_back(0)
        assert ids(sent_log) == [*range(3, 100, 2)]

    def test_knows_of_a_full_page_what_came_after_its_first_message(self, sent_log):
        sent_log.add_page(page(1, 100), 1)
        assert not sent_log.reaches_back(1)
        assert sent_log.reaches_back(2)

    def test_goes_back_as_far_as_the_first_of_pages_without_a_gap(self, sent_log):
        sent_log.add_page(page(1, 100), 1)
        sent_log.add_page(page(100, 199), 2)
        assert sent_log.reaches_back(2)
        assert ids(sent_log) == [*range(1, 200, 2)]

    def test_begins_anew_after_a_gap(self, sent_log):
        sent_log.add_page(page(1, 100), 1)
        sent_log.add_page(page(101, 200), 2)
        assert not sent_log.reaches_back(101)
        assert ids(sent_log) == [*range(101, 200, 2)]

    def test_has_what_was_said_since(self, sent_log):
        sent_log.add_page([], 1)
        sent_log.add("7", "x", 7.5, after=1)
        assert ids(sent_log) == [7]
        assert sent_log.messages[0]["account"]["account_id"] == ME
        # This one shows it, or it is not there any more.
        sent_log.add_page([], 2)
        assert ids(sent_log) == []

    def test_keeps_what_was_said_while_a_look_was_under_way(self, sent_log):
        sent_log.add("7", "x", 7.5, after=2)
        sent_log.add_page([], 2)
        assert ids(sent_log) == [7]

    def test_does_not_take_what_it_has_only_said_for_a_link_between_pages(self, sent_log):
        sent_log.add_page(page(1, 100), 1)
        sent_log.add("150", "x", 150, after=1)
        sent_log.add_page(page(150, 249), 2)
        assert not sent_log.reaches_back(150)

    def test_does_not_grow_for_ever(self, sent_log):
        for first in range(1, 3002, 50):
            sent_log.add_page(page(first, first + 99), first)
        assert ids(sent_log) == [*range(1101, 3100, 2)]
        assert not sent_log.reaches_back(1101)
        assert sent_log.reaches_back(1102)
