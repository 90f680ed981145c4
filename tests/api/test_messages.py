from __future__ import annotations

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.messages import (
    PAGE,
    delete_message,
    edit_message,
    get_message,
    list_messages,
    position,
    post_message,
    reaches_back,
    same_text,
)
from tests.clients import drive

ME = 7
SINCE = 1000.0


def message(number: int | str, body: str = "完了", account_id: int = ME, send_time: int = 1001) -> dict:
    account = {"account_id": account_id, "name": "a", "avatar_image_url": ""}
    return {"message_id": str(number), "account": account, "body": body, "send_time": send_time, "update_time": 0}


class TestListMessages:
    def test_reads_the_newest_messages_with_force_by_default(self):
        call = list_messages(1)
        assert (call.request.query, call.repeatable) == ({"force": "1"}, True)

    def test_is_not_repeatable_where_it_moves_the_cursor(self):
        call = list_messages(1, force=False)
        assert (call.request.query, call.repeatable, call.find_executed) == ({"force": "0"}, False, None)

    def test_sorts_by_time_and_then_by_id(self):
        page = [message("10", send_time=5), message("9", send_time=5), message("200", send_time=4)]
        assert [item["message_id"] for item in list_messages(1).read(page)] == ["200", "9", "10"]

    @pytest.mark.parametrize("empty", [None, []])
    def test_treats_no_body_as_an_empty_list(self, empty):
        assert list_messages(1).read(empty) == []

    def test_cannot_parse_an_id_that_is_not_a_number(self):
        with pytest.raises(ValueError, match="abc"):
            list_messages(1).read([message("abc"), message("1")])


class TestPostMessage:
    @pytest.mark.parametrize("body", ["", "あ" * 65536, None, "\ud800"])
    def test_refuses_a_body_chatwork_would_refuse(self, body):
        with pytest.raises(errors.ChatworkParameterError, match=r"^body="):
            post_message(1, body)

    def test_sends_the_body_as_it_is(self):
        assert post_message("1", " [toall] \n").request.form == {"body": " [toall] \n", "self_unread": "0"}

    def test_needs_the_id_of_the_message(self):
        with pytest.raises(ValueError, match="message_id is missing"):
            post_message(1, "a").read({})


class TestFindingAPostedMessage:
    def search(self, *page: dict, body: str = "完了"):
        return drive(post_message(1, body).find_executed(SINCE, ME), list(page))

    def test_reads_the_newest_messages_without_moving_the_cursor(self):
        ((call,), _) = self.search()
        assert (call.request.path, dict(call.request.query)) == ("/rooms/1/messages", {"force": "1"})

    def test_finds_own_messages_of_the_same_text_since_then_oldest_first(self):
        page = [
            message(1, send_time=999),
            message(2, account_id=8),
            message(3, body="失敗"),
            message(4, send_time=1000),
            message(5),
        ]
        assert self.search(*page)[1] == [{"message_id": "4"}, {"message_id": "5"}]

    def test_ignores_line_ends_and_white_space_at_the_ends(self):
        assert self.search(message(1, body="一\n二"), body="一\r\n二 \n")[1] == [{"message_id": "1"}]

    def test_finds_nothing_in_a_page_that_reaches_back(self):
        page = [message(0, send_time=999), *(message(number, account_id=8) for number in range(1, PAGE))]
        assert self.search(*page)[1] == []

    def test_cannot_decide_from_a_full_page_that_does_not_reach_back(self):
        with pytest.raises(errors.ChatworkUnknownOutcomeError, match="more than 100"):
            self.search(*(message(number, account_id=8) for number in range(PAGE)))

    def test_finds_the_message_in_a_full_page(self):
        page = [*(message(number, account_id=8) for number in range(PAGE - 1)), message(200)]
        assert self.search(*page)[1] == [{"message_id": "200"}]


class TestEditMessage:
    def test_refuses_an_empty_body_and_a_wrong_id(self):
        with pytest.raises(errors.ChatworkParameterError, match=r"^body="):
            edit_message(1, "2", "")
        with pytest.raises(errors.ChatworkParameterError, match=r"^message_id="):
            edit_message(1, "2/3", "a")


class TestGetMessage:
    def test_keeps_ids_that_a_float_cannot_hold(self):
        assert get_message(1, "1234567890123456789").request.path == "/rooms/1/messages/1234567890123456789"


class TestDeleteMessage:
    def test_parses_an_answer_with_and_without_a_body(self):
        assert delete_message(1, "22").read(None) == {"message_id": "22"}
        assert delete_message(1, "22").read({"message_id": "22"}) == {"message_id": "22"}

    @pytest.mark.parametrize(
        ("refusal", "traces"),
        [
            (errors.ChatworkNotFoundError("x", 404), [{"message_id": "22"}]),
            (errors.ChatworkForbiddenError("x", 403), []),
        ],
    )
    def test_was_executed_where_the_second_try_gets_a_404(self, refusal, traces):
        assert drive(delete_message(1, "22").confirm_already_done(refusal)) == ([], traces)


class TestSameText:
    @pytest.mark.parametrize(("one", "other"), [("a", "a"), ("a\r\nb", "a\nb"), (" a\n", "a"), ("", " ")])
    def test_is_true_for_changes_that_a_server_may_make(self, one, other):
        assert same_text(one, other)

    @pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a b", "a  b"), ("a\n\nb", "a\nb"), ("A", "a")])
    def test_is_false_for_different_texts(self, one, other):
        assert not same_text(one, other)


class TestReachesBack:
    def test_is_true_for_a_page_that_is_not_full(self):
        assert reaches_back([], SINCE)
        assert reaches_back([message(1)] * (PAGE - 1), SINCE)

    def test_is_true_for_a_full_page_with_an_older_message(self):
        assert reaches_back([message(0, send_time=999)] + [message(1)] * (PAGE - 1), SINCE)
        assert not reaches_back([message(0, send_time=1000)] + [message(1)] * (PAGE - 1), SINCE)


class TestPosition:
    def test_is_ordered_by_time_and_then_by_id(self):
        early, late, later = message(999), message(1000), message(5, send_time=1002)
        assert sorted([later, late, early], key=position) == [early, late, later]
