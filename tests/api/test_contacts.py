from __future__ import annotations

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.contacts import accept_incoming_request, list_contacts, reject_incoming_request
from tests.clients import drive


class TestListContacts:
    def test_requires_the_ids(self):
        with pytest.raises(ValueError, match=r"\[0\]\.room_id is missing"):
            list_contacts().read([{"account_id": 1}])


class TestAcceptIncomingRequest:
    def search(self, *waiting: int):
        return drive(accept_incoming_request(7).find_executed(0, 1), [{"request_id": number} for number in waiting])

    def test_is_not_executed_while_the_request_is_pending(self):
        asked, traces = self.search(3, 7)
        assert [call.operation for call in asked] == ["list_incoming_requests"]
        assert traces == []

    def test_is_unknown_outcome_where_the_request_is_not_pending_any_more(self):
        with pytest.raises(errors.ChatworkUnknownOutcomeError, match="not pending any more"):
            self.search(3)

    @pytest.mark.parametrize("build", [accept_incoming_request, reject_incoming_request])
    def test_refuses_an_invalid_request_id(self, build):
        with pytest.raises(errors.ChatworkParameterError, match=r"^request_id="):
            build("x")


class TestRejectIncomingRequest:
    def test_was_executed_where_the_second_try_gets_a_404(self):
        confirm_already_done = reject_incoming_request(7).confirm_already_done
        assert drive(confirm_already_done(errors.ChatworkNotFoundError("x", 404))) == ([], [None])

    def test_was_not_executed_where_the_second_try_gets_a_403(self):
        confirm_already_done = reject_incoming_request(7).confirm_already_done
        assert drive(confirm_already_done(errors.ChatworkForbiddenError("x", 403))) == ([], [])

    def test_ignores_the_body_of_a_success(self):
        assert reject_incoming_request(7).read({"any": 1}) is None
