"""How tasks fail: which errors Airflow does not retry, and how it reports a trigger that failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_chatwork.api import errors

#: How long after the deadline of a wait Airflow times out its trigger. A triggerer that was down until then polls once
#: more, and what was done before the deadline counts.
TRIGGER_TIMEOUT_GRACE = timedelta(hours=1)
#: Airflow's ``next_method`` of a task whose trigger failed or timed out.
TRIGGER_FAILED = "__fail__"

_PERMANENT = (
    errors.ChatworkParameterError,
    errors.ChatworkSetupError,
    errors.ChatworkInvalidRequestError,
    errors.ChatworkAuthError,
    errors.ChatworkForbiddenError,
    errors.ChatworkNotFoundError,
)


@contextmanager
def fail_permanently() -> Iterator[None]:
    """Turn an error that a retry cannot cure into ``AirflowFailException``. Other errors are raised unchanged."""
    try:
        yield
    except _PERMANENT as error:
        raise AirflowFailException(str(error)) from error


def trigger_timeout(next_method: str, next_kwargs: Mapping[str, Any] | None) -> str | None:
    """Airflow's error text if a task resumes because its trigger timed out, else ``None``."""
    error = str((next_kwargs or {}).get("error", ""))
    return error if next_method == TRIGGER_FAILED and "timeout" in error.lower() else None
