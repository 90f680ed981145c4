from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.utils.task_failures import TRIGGER_FAILED, fail_permanently, trigger_timeout


class TestFailPermanently:
    @pytest.mark.parametrize(
        "error",
        [
            errors.ChatworkParameterError("body", "", "give a text"),
            errors.ChatworkInvalidRequestError("post_message", 400, ["no"]),
            errors.ChatworkAuthError("post_message", 401),
            errors.ChatworkForbiddenError("post_message", 403),
            errors.ChatworkNotFoundError("post_message", 404),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_turns_an_error_that_a_retry_cannot_cure_into_one_that_airflow_does_not_retry(self, error):
        with pytest.raises(AirflowFailException) as caught, fail_permanently():
            raise error
        assert caught.value.__cause__ is error
        assert str(caught.value) == str(error)

    @pytest.mark.parametrize(
        "error",
        [
            errors.ChatworkRateLimitError("post_message", 429),
            errors.ChatworkServerError("post_message", 500),
            errors.ChatworkNetworkError("cut"),
            errors.ChatworkUnknownOutcomeError("post_message", "?"),
            errors.ChatworkUnexpectedResponseError("post_message", 200, "?"),
            RuntimeError("not ours"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_does_not_change_any_other_error(self, error):
        with pytest.raises(type(error)) as caught, fail_permanently():
            raise error
        assert caught.value is error


class TestTriggerTimeout:
    def test_is_the_error_text_of_a_trigger_that_timed_out(self):
        assert trigger_timeout(TRIGGER_FAILED, {"error": "Trigger timeout"}) == "Trigger timeout"
        assert trigger_timeout(TRIGGER_FAILED, {"error": "Trigger/execution timeout"}) == "Trigger/execution timeout"

    @pytest.mark.parametrize("kwargs", [None, {}, {"error": "Trigger failure"}], ids=repr)
    def test_is_none_where_the_trigger_failed_otherwise(self, kwargs):
        assert trigger_timeout(TRIGGER_FAILED, kwargs) is None

    def test_is_none_where_the_trigger_sent_an_event(self):
        assert trigger_timeout("execute_complete", {"error": "Trigger timeout"}) is None
