"""What is to be said, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, TypedDict

from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkError
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.waiting.outbox.dedup_key import Trace
from airflow_provider_chatwork.waiting.outbox.posting import Posted


class Log(Protocol):
    """A logger, of the standard library or of Airflow."""

    def info(self, event: Any, /, *values: Any) -> Any:
        """Tell how things go."""

    def warning(self, event: Any, /, *values: Any) -> Any:
        """Tell what somebody should look into."""


class Done(TypedDict):
    """What became of something that was due, as plain JSON.

    ``kind`` is ``reminder`` or ``escalation``, ``number`` that in its message, ``moment`` the Unix time when it was
    due, ``message_id`` the message that tells it, if there is one. ``outcome`` is

    * ``sent``;
    * ``found``: sent before, by an earlier run or another process;
    * ``withdrawn``: sent, and deleted again, as another process had sent it at the same time;
    * ``untold``: not sent, as the room shows no more than 100 messages, and it may have been sent before these;
    * ``unknown``: perhaps sent; the answer was lost, and it is not sent again;
    * ``refused``: Chatwork refused for good.

    ``error`` says why Chatwork refused it, or, with another ``outcome``, why it went to the room of the tasks instead
    of the one that it was meant for.
    """

    kind: str
    number: int
    moment: float
    room_id: int
    message_id: str | None
    outcome: str
    error: str | None


@dataclass(frozen=True)
class Letter:
    """Something to say, once.

    :param kind: ``reminder`` or ``escalation``.
    :param number: that in its message.
    :param moment: the Unix time when it was due.
    :param room_id: where to say it.
    :param home: the room of the tasks.
    :param body: the whole message, which ends with the line of the trace.
    :param trace: how to know it again.
    :param error: why it does not go to the room it was meant for.
    """

    kind: str
    number: int
    moment: float
    room_id: int
    home: int
    body: str
    trace: Trace
    error: str | None = None

    @property
    def key(self) -> tuple[str, float]:
        """What it is, whatever it says."""
        return self.kind, self.moment

    def done(self, posted: Posted) -> Done:
        """What became of it."""
        return Done(
            kind=self.kind,
            number=self.number,
            moment=self.moment,
            room_id=self.room_id,
            message_id=posted.message_id,
            outcome=posted.outcome,
            error=self.error,
        )

    def failed(self, error: ChatworkError) -> Letter | Done:
        """What to do about an error: say it in the room of the tasks instead, or nothing any more.

        :raises ChatworkError: one that passes.
        """
        # Another token may be there, and the letter is still to be said.
        if is_transient(error) or isinstance(error, ChatworkAuthError):
            raise error
        if self.room_id != self.home:
            return replace(self, room_id=self.home, error=str(error))
        reasons = [reason for reason in (self.error, str(error)) if reason]
        return replace(self, error="; ".join(dict.fromkeys(reasons))).done(Posted("refused", None))


def tell(log: Log, done: Done) -> None:
    """Say in a log what became of something that was due: a warning where somebody may not have heard of it."""
    what = f"{done['kind'].capitalize()} {done['number']}"
    error = done["error"]
    match done["outcome"]:
        case "untold":
            reason = "the room shows no more than 100 messages, and it may have been sent before these"
            log.warning("%s was not sent: %s. %s", what, reason, done)
        case "unknown":
            log.warning("%s may not have been sent: the answer was lost, and it is not sent again. %s", what, done)
        case "refused":
            log.warning("%s was not sent, as Chatwork refused it: %s. %s", what, error, done)
        case _ if error is not None:
            log.warning("%s went to the room of the task, as the other room refused it: %s. %s", what, error, done)
        case _:
            log.info("Followed up: %s", done)
