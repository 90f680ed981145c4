"""The events of the triggers, which the operators and sensors read."""

from __future__ import annotations

import enum
from typing import Any

from airflow_provider_chatwork.api.errors import ChatworkError, to_plain

#: The log line of an error that does not end a wait: the connection and the error.
SILENT_FAILURE = "Sensor poke failed (connection %s); the wait continues, as silent_fail is set: %s"


class EventStatus(enum.StrEnum):
    """The ``status`` of an event, how a wait ended. Events are plain JSON, so it is written as text."""

    #: What the trigger waited for is there.
    DONE = "done"
    #: The deadline has passed.
    TIMEOUT = "timeout"
    #: Chatwork refused for good. The event has the ``error``, written by ``api.errors.to_plain``.
    ERROR = "error"
    #: The wait has not ended. The event holds the state of the wait, to be saved before the next trigger begins.
    CHECKPOINT = "checkpoint"


def error_event(error: ChatworkError) -> dict[str, Any]:
    """Return the event of a wait that Chatwork refused for good."""
    return {"status": EventStatus.ERROR.value, "error": to_plain(error)}
