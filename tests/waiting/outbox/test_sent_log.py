from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.waiting.outbox.sent_log import Record

ME, OTHER = 5, 6


def said(number: int, by: int = ME, body: str = "x") -> Any:
    return {"message_id": str(number), "account": {"account_id": by}, "body": body, "send_time": number}


def page(first: int, last: int) -> list[Any]:
    return [said(number, ME if number % 2 else OTHER) for number in range(first, last + 1)]


def ids(record: Record) -> list[int]:
    return [int(message["message_id"]) for message in record.messages]


@pytest.fixture
def record() -> Record:
    return Record(ME)


class TestRecord:
    def test_knows_nothing_at_first(self, record):
        assert not record.reaches_back(1e12)

    def test_knows_a_whole_room(self, record):
        record.add_page(page(2, 100), 1)
        assert record.reaches_back(0)
        assert ids(record) == [*range(3, 100, 2)]

    def test_knows_of_a_full_page_what_came_after_its_first_message(self, record):
        record.add_page(page(1, 100), 1)
        assert not record.reaches_back(1)
        assert record.reaches_back(2)

    def test_goes_back_as_far_as_the_first_of_pages_without_a_gap(self, record):
        record.add_page(page(1, 100), 1)
        record.add_page(page(100, 199), 2)
        assert record.reaches_back(2)
        assert ids(record) == [*range(1, 200, 2)]

    def test_begins_anew_after_a_gap(self, record):
        record.add_page(page(1, 100), 1)
        record.add_page(page(101, 200), 2)
        assert not record.reaches_back(101)
        assert ids(record) == [*range(101, 200, 2)]

    def test_has_what_was_said_since(self, record):
        record.add_page([], 1)
        record.add("7", "x", 7.5, after=1)
        assert ids(record) == [7]
        assert record.messages[0]["account"]["account_id"] == ME
        # This one shows it, or it is not there any more.
        record.add_page([], 2)
        assert ids(record) == []

    def test_keeps_what_was_said_while_a_look_was_under_way(self, record):
        record.add("7", "x", 7.5, after=2)
        record.add_page([], 2)
        assert ids(record) == [7]

    def test_does_not_take_what_it_has_only_said_for_a_link_between_pages(self, record):
        record.add_page(page(1, 100), 1)
        record.add("150", "x", 150, after=1)
        record.add_page(page(150, 249), 2)
        assert not record.reaches_back(150)

    def test_does_not_grow_for_ever(self, record):
        for first in range(1, 3002, 50):
            record.add_page(page(first, first + 99), first)
        assert ids(record) == [*range(1101, 3100, 2)]
        assert not record.reaches_back(1101)
        assert record.reaches_back(1102)
