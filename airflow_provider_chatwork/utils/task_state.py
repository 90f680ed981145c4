"""What the tries of a task instance know of each other: Airflow's state store, and the number of tries and clears."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_CLEAR = "clear_number"


class TaskState:
    """Values that one try of a task instance stores for the next ones.

    Before Airflow 3.3 there is no store: nothing is kept, and :meth:`get` returns an empty dict.

    :param context: the context of the task.
    :param retries: the ``retries`` of the task; needed for :attr:`first_try_of_clear` and :attr:`is_retry`.
    """

    def __init__(self, context: Context, retries: int | None = None) -> None:
        self._store: Any = context.get("task_state_store")
        self._ti: Any = context.get("ti")
        self._retries = retries or 0

    @property
    def has_store(self) -> bool:
        """Whether this Airflow keeps values from one try to the next."""
        return self._store is not None

    @property
    def clear_number(self) -> int | None:
        """A number that is larger after each clear of the task. ``None`` outside a task instance."""
        # A clear adds the number of tries so far to ``max_tries``; a retry does not change it.
        number: int | None = getattr(self._ti, "max_tries", None)
        return number

    @property
    def first_try_of_clear(self) -> int:
        """The number of the first try since the last clear; 1 if the task was never cleared."""
        number = self.clear_number
        return 1 if number is None else max(1, number - self._retries + 1)

    @property
    def is_retry(self) -> bool:
        """Whether there was another try since the last clear."""
        return (getattr(self._ti, "try_number", None) or 1) > self.first_try_of_clear

    def get(self, key: str) -> dict[str, Any]:
        """The value that :meth:`set` stored since the last clear, or an empty dict."""
        value = None if self._store is None else self._store.get(key, None)
        if not isinstance(value, dict) or value.get(_CLEAR) != self.clear_number:
            return {}
        return {name: each for name, each in value.items() if name != _CLEAR}

    def set(self, key: str, value: Mapping[str, Any]) -> None:
        """Store a value: plain JSON."""
        if self._store is not None:
            self._store.set(key, {**value, _CLEAR: self.clear_number})

    def delete(self, key: str) -> None:
        """Delete a value."""
        if self._store is not None:
            self._store.delete(key)
