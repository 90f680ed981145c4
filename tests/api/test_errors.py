from __future__ import annotations

import copy
import json
import pickle
import re
from datetime import datetime

import pytest

from airflow_provider_chatwork.api import errors

EXAMPLES = [
    errors.ChatworkParameterError("room_id", "x", "give the id"),
    errors.ChatworkNetworkError("ReadTimeout", sent=True, timed_out=True),
    errors.ChatworkNetworkError("refused", sent=False),
    errors.ChatworkUnknownOutcomeError("post_message", "nothing was found"),
    errors.ChatworkUnexpectedResponseError("get_me", 200, "no JSON"),
    errors.ChatworkInvalidRequestError("post_message", 400, ["Parameter 'body' is required"]),
    errors.ChatworkAuthError("get_me", 401, ("Invalid API token",)),
    errors.ChatworkForbiddenError("post_message", 403),
    errors.ChatworkNotFoundError("get_task", 404, ["Task not found"]),
    errors.ChatworkNotFoundError("get_message", 404, hidden_by_plan=True),
    errors.ChatworkRateLimitError("post_message", 429, ["per room"], retry_after=10.0, per_room=True),
    errors.ChatworkServerError("post_message", 502),
    errors.ChatworkSetupError("the proxy refused", "give a password"),
]
IDS = [f"{index}-{type(error).__name__}" for index, error in enumerate(EXAMPLES)]


def subclasses(cls: type) -> set[type]:
    return {cls, *(deeper for direct in cls.__subclasses__() for deeper in subclasses(direct))}


class TestTheTree:
    def test_is_the_same_in_the_docstring(self):
        drawn = re.findall(r"^\W*(Chatwork\w+)", errors.__doc__ or "", re.MULTILINE)
        assert sorted(drawn) == sorted(cls.__name__ for cls in subclasses(errors.ChatworkError))

    def test_has_an_example_of_every_class(self):
        raised = subclasses(errors.ChatworkError) - {errors.ChatworkError, errors.ChatworkApiError}
        assert raised == {type(error) for error in EXAMPLES}

    def test_makes_an_invalid_argument_a_value_error(self):
        assert issubclass(errors.ChatworkParameterError, ValueError)


@pytest.mark.parametrize("error", EXAMPLES, ids=IDS)
class TestEveryError:
    @pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
    def test_can_be_copied_and_pickled(self, error, way):
        again = way(error)
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))

    def test_can_be_converted_to_plain_json_and_back(self, error):
        again = errors.from_plain(json.loads(json.dumps(errors.to_plain(error))))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))

    def test_is_one_line_of_text(self, error):
        assert "\n" not in str(error)
        assert len(str(error)) > 10


class TestToPlain:
    def test_converts_any_value_of_an_invalid_argument(self):
        error = errors.ChatworkParameterError("limit", datetime(2026, 1, 1), "give Unix seconds")
        again = errors.from_plain(json.loads(json.dumps(errors.to_plain(error))))
        assert "limit=" in str(again)
        assert "2026" in str(again)


class TestStr:
    def test_of_a_parameter_error_names_parameter_value_and_remedy(self):
        assert str(EXAMPLES[0]) == "room_id='x': give the id"

    def test_of_an_unknown_outcome_advises_to_look_into_the_room(self):
        assert "look into the room before you repeat it" in str(EXAMPLES[3])

    def test_of_a_refusal_names_operation_status_message_and_remedy(self):
        assert str(EXAMPLES[6]).startswith("get_me: Chatwork answered 401: Invalid API token. Check the password")

    def test_of_a_refusal_without_a_message_says_so(self):
        assert "403: no reason given. Check that" in str(EXAMPLES[7])

    def test_of_a_rate_limit_names_the_seconds_to_wait(self):
        assert str(EXAMPLES[10]).endswith("Try again in 10 s")

    def test_adds_no_second_full_stop(self):
        error = errors.ChatworkForbiddenError("post_message", 403, ["You don't have permission."])
        assert "permission. Check" in str(error)
