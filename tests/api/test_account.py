from __future__ import annotations

import pytest

from airflow_provider_chatwork.api.account import get_my_tasks
from airflow_provider_chatwork.api.errors import ChatworkParameterError


class TestGetMyTasks:
    def test_sends_no_filter_that_was_not_given(self):
        assert get_my_tasks().request.query == {}

    def test_accepts_the_account_as_text(self):
        assert get_my_tasks(assigned_by_account_id="78").request.query == {"assigned_by_account_id": "78"}

    @pytest.mark.parametrize("arguments", [{"assigned_by_account_id": 0}, {"status": "closed"}, {"status": ""}])
    def test_refuses_values_that_chatwork_does_not_know(self, arguments):
        with pytest.raises(ChatworkParameterError, match=rf"^{next(iter(arguments))}="):
            get_my_tasks(**arguments)

    def test_reads_a_missing_body_as_an_empty_list(self):
        assert get_my_tasks().read(None) == []
