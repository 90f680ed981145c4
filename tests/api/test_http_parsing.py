from __future__ import annotations

import contextlib
import json
from typing import Any, get_args, get_type_hints, is_typeddict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.http import REQUIRED, parse_list, parse_none, parse_object
from tests.clients import Scene
from tests.operations import CASES, MODULES

MODELS = [model for model in vars(models).values() if is_typeddict(model)]
TASK = {
    "task_id": 3,
    "account": {"account_id": 123, "name": "山田", "avatar_image_url": "https://example.com/a.png"},
    "assigned_by_account": {"account_id": 78, "name": "佐藤", "avatar_image_url": "https://example.com/b.png"},
    "message_id": "1234567890123456789",
    "body": "確認",
    "limit_time": 0,
    "status": "open",
    "limit_type": "none",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def needed(model: Any) -> list[str]:
    hints = get_type_hints(model, include_extras=True)
    return [name for name, hint in hints.items() if REQUIRED in get_args(hint)[1:]]


def without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key != name}


class TestParseObject:
    def test_returns_a_valid_object(self):
        assert parse_object(models.Task)(TASK) == TASK

    @pytest.mark.parametrize("name", needed(models.Task))
    def test_names_the_required_field_that_is_missing(self, name):
        with pytest.raises(ValueError, match=rf"^Task\.{name} is missing$"):
            parse_object(models.Task)(without(TASK, name))

    @pytest.mark.parametrize("name", [name for name in TASK if name not in needed(models.Task)])
    def test_accepts_an_object_without_any_other_field(self, name):
        assert parse_object(models.Task)(without(TASK, name)) == without(TASK, name)

    @given(st.dictionaries(st.text().filter(lambda name: name not in TASK), JSON))
    def test_passes_on_unknown_fields(self, more):
        assert parse_object(models.Task)({**more, **TASK}) == {**more, **TASK}

    @given(st.text(), st.text())
    def test_passes_on_unknown_values(self, status, limit_type):
        task = {**TASK, "status": status, "limit_type": limit_type}
        assert parse_object(models.Task)(task) == task

    @given(JSON)
    def test_passes_on_any_value_of_an_optional_field(self, value):
        task = {**TASK, "body": value, "assigned_by_account": value}
        assert parse_object(models.Task)(task) == task

    @given(JSON.filter(lambda value: not isinstance(value, dict)))
    def test_refuses_a_value_that_is_not_an_object(self, value):
        with pytest.raises(ValueError, match=r"^Task is .*not an object$"):
            parse_object(models.Task)(value)

    @given(JSON)
    def test_accepts_an_id_only_as_a_number_or_its_digits(self, value):
        digits = isinstance(value, str) and value.isascii() and value.isdigit()
        if type(value) is int or digits:
            assert parse_object(models.Task)({**TASK, "task_id": value})["task_id"] == int(value)
        else:
            with pytest.raises(ValueError, match=r"^Task\.task_id is "):
                parse_object(models.Task)({**TASK, "task_id": value})

    @given(JSON)
    def test_accepts_a_message_id_only_as_text_or_as_a_number(self, value):
        if isinstance(value, str) or type(value) is int:
            assert parse_object(models.Task)({**TASK, "message_id": value})["message_id"] == str(value)
        else:
            with pytest.raises(ValueError, match=r"^Task\.message_id is "):
                parse_object(models.Task)({**TASK, "message_id": value})

    @pytest.mark.parametrize("value", ["１", "²", " 1", "1.0", "-1", ""])
    def test_converts_no_other_text_to_a_number(self, value):
        with pytest.raises(ValueError, match=r"^ChangedTask\.task_id is str, not int$"):
            parse_object(models.ChangedTask)({"task_id": value})

    def test_converts_no_other_number_to_a_text(self):
        with pytest.raises(ValueError, match=r"^Task\.status is int, not str$"):
            parse_object(models.Task)({**TASK, "status": 1})

    def test_keeps_all_digits_of_a_message_id(self):
        assert parse_object(models.ChangedMessage)({"message_id": 1234567890123456789}) == {
            "message_id": "1234567890123456789"
        }

    def test_checks_nested_objects(self):
        with pytest.raises(ValueError, match=r"^Task\.account\.account_id is missing$"):
            parse_object(models.Task)({**TASK, "account": {"name": "山田"}})

    def test_checks_nested_lists(self):
        assert parse_object(models.CreatedTasks)({"task_ids": ["1", 2]}) == {"task_ids": [1, 2]}
        with pytest.raises(ValueError, match=r"^CreatedTasks\.task_ids\[1\] is float, not int$"):
            parse_object(models.CreatedTasks)({"task_ids": [1, 2.0]})

    def test_refuses_a_boolean_as_a_number(self):
        with pytest.raises(ValueError, match=r"^ChangedTask\.task_id is bool, not int$"):
            parse_object(models.ChangedTask)({"task_id": True})
        with pytest.raises(ValueError, match=r"^InviteLink\.public is int, not bool$"):
            parse_object(models.InviteLink)({"public": 1})

    def test_does_not_change_its_argument(self):
        given = {"task_id": "3"}
        assert parse_object(models.ChangedTask)(given) == {"task_id": 3}
        assert given == {"task_id": "3"}

    @given(st.sampled_from(MODELS), JSON)
    def test_raises_nothing_but_value_error(self, model, value):
        for read in (parse_object(model), parse_list(model)):
            with contextlib.suppress(ValueError):
                read(value)


class TestParseList:
    def test_parses_every_item(self):
        assert parse_list(models.ChangedTask)([{"task_id": 1}, {"task_id": "2"}]) == [{"task_id": 1}, {"task_id": 2}]

    @pytest.mark.parametrize("empty", [None, []])
    def test_returns_an_empty_list_without_a_body(self, empty):
        assert parse_list(models.Task)(empty) == []

    @pytest.mark.parametrize("value", [{}, {"items": []}, "[]", 1, True])
    def test_refuses_a_value_that_is_not_a_list(self, value):
        with pytest.raises(ValueError, match=r"^list of Task is .*, not a list$"):
            parse_list(models.Task)(value)

    def test_names_the_invalid_item(self):
        with pytest.raises(ValueError, match=r"^list of Task\[1\]\.task_id is null, not int$"):
            parse_list(models.Task)([TASK, {**TASK, "task_id": None}])


class TestParseNone:
    @given(JSON)
    def test_accepts_any_value_and_returns_none(self, value):
        assert parse_none(value) is None


class TestModels:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_have_every_field_of_the_api_reference(self, case):
        """The sandbox returns all documented fields, so a field without a model was forgotten."""
        scene = Scene()
        result = scene.run(case.call(scene.sandbox))
        if result is None:
            return
        (build,) = (getattr(module, case.operation) for module in MODULES if hasattr(module, case.operation))
        (inside,) = get_args(eval(build.__annotations__["return"], build.__globals__))
        kind = get_args(inside)[0] if isinstance(result, list) else inside
        for item in result if isinstance(result, list) else [result]:
            assert set(item) <= set(kind.__annotations__)

    def test_contain_only_json_types(self):
        for case in CASES:
            scene = Scene()
            result = scene.run(case.call(scene.sandbox))
            assert json.loads(json.dumps(result)) == result
