from __future__ import annotations

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.read_marks import mark_messages_read, mark_messages_unread
from tests.clients import drive

REFUSED = errors.ChatworkInvalidRequestError("x", 400)


class TestMarkMessagesRead:
    def test_marks_all_messages_unless_one_is_given(self):
        assert mark_messages_read(1).request.form == {}
        assert mark_messages_read(1, "22").request.form == {"message_id": "22"}

    @pytest.mark.parametrize("build", [mark_messages_read, mark_messages_unread])
    def test_refuses_an_invalid_message_id(self, build):
        with pytest.raises(errors.ChatworkParameterError, match=r"^message_id="):
            build(1, "x")


@pytest.mark.parametrize("call", [mark_messages_read(1), mark_messages_unread(1, "22")], ids=["read", "unread"])
class TestConfirmAlreadyDone:
    def test_reads_the_unread_counts_of_the_room(self, call):
        room = {"room_id": 1, "unread_num": 3, "mention_num": 1}
        (asked, traces) = drive(call.confirm_already_done(REFUSED), room)
        assert [(step.operation, step.request.path) for step in asked] == [("get_room", "/rooms/1")]
        assert traces == [{"unread_num": 3, "mention_num": 1}]

    def test_accepts_a_room_without_unread_counts(self, call):
        assert drive(call.confirm_already_done(REFUSED), {"room_id": 1})[1] == [{"unread_num": 0, "mention_num": 0}]

    def test_raises_every_other_refusal(self, call):
        assert drive(call.confirm_already_done(errors.ChatworkForbiddenError("x", 403))) == ([], [])
