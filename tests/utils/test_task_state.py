from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.utils.task_state import TaskState
from tests.airflow_helpers import FakeStore, FakeTaskInstance


class TestNumbersOfTries:
    @pytest.mark.parametrize(
        ("retries", "max_tries", "try_number", "first"),
        [
            (0, 0, 1, 1),
            (2, 2, 1, 1),
            (2, 2, 3, 1),
            (0, 1, 2, 2),
            (2, 3, 2, 2),
            (2, 3, 4, 2),
            (2, 6, 5, 5),
            (3, 2, 2, 1),
        ],
    )
    def test_count_from_the_last_clear(self, retries: int, max_tries: int, try_number: int, first: int) -> None:
        context: Any = {"ti": FakeTaskInstance(try_number=try_number, max_tries=max_tries)}
        state = TaskState(context, retries)
        assert state.first_try_of_clear == first
        assert state.is_retry == (try_number > first)
        assert state.clear_number == max_tries

    def test_are_those_of_a_first_try_without_a_task_instance(self) -> None:
        nothing: Any = {}
        state = TaskState(nothing, 3)
        assert (state.first_try_of_clear, state.is_retry, state.clear_number) == (1, False, None)


class TestValues:
    @pytest.fixture
    def store(self) -> FakeStore:
        return FakeStore()

    def state(self, store: FakeStore | None, max_tries: int = 2) -> TaskState:
        context: Any = {"ti": FakeTaskInstance(max_tries=max_tries), "task_state_store": store}
        return TaskState(context, 2)

    def test_are_returned_to_a_later_try(self, store: FakeStore) -> None:
        self.state(store).set("key", {"message_id": "7"})
        assert self.state(store).get("key") == {"message_id": "7"}
        assert self.state(store).get("another key") == {}

    def test_are_not_returned_after_a_clear(self, store: FakeStore) -> None:
        self.state(store).set("key", {"message_id": "7"})
        assert self.state(store, max_tries=3).get("key") == {}

    def test_can_be_deleted(self, store: FakeStore) -> None:
        self.state(store).set("key", {"message_id": "7"})
        self.state(store).delete("key")
        assert self.state(store).get("key") == {}

    def test_that_another_version_wrote_in_another_form_are_ignored(self, store: FakeStore) -> None:
        store.set("key", ["message_id", "7"])
        assert self.state(store).get("key") == {}

    @pytest.mark.parametrize("context", [{}, {"task_state_store": None}], ids=["no key", "none"])
    def test_are_not_kept_where_airflow_has_no_store(self, context: Any) -> None:
        state = TaskState(context)
        state.set("key", {"message_id": "7"})
        state.delete("key")
        assert state.get("key") == {}
        assert state.has_store is False

    def test_are_kept_where_airflow_has_a_store(self, store: FakeStore) -> None:
        assert self.state(store).has_store is True
