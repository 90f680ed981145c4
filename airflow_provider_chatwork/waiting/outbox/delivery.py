"""Messages that are sent once, also when two processes send them and when a process starts again."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict

from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.messages import (
    PAGE,
    delete_message,
    list_messages,
    position,
    post_message,
    reaches_back,
)
from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.api.retry import is_transient
from airflow_provider_chatwork.api.urls import message_url
from airflow_provider_chatwork.api.validation import LANGUAGES


class DeliveryOutcome(enum.StrEnum):
    """What happened to a message."""

    SENT = "sent"
    #: It was sent before, by an earlier run or another process.
    FOUND = "found"
    #: It was sent and deleted again, as another process had sent it at the same time.
    DUPLICATE_DELETED = "duplicate_deleted"
    #: It was not sent. It may have been sent before the 100 messages that the room shows.
    NOT_SENT = "not_sent"
    #: The answer was lost, so it may have been sent. It is not sent again.
    UNKNOWN = "unknown"
    #: Chatwork refused it for good.
    REJECTED = "rejected"


class PostResult(NamedTuple):
    """What happened to a message, and its id if it is in the room."""

    outcome: DeliveryOutcome
    message_id: str | None


class DeliveryReport(TypedDict):
    """What happened to an :class:`OutboxMessage`, as plain JSON; ``outcome`` is a :class:`DeliveryOutcome`.

    ``error`` says why Chatwork rejected it. With another ``outcome`` it says why the message went to the room of the
    tasks instead of its own.
    """

    kind: str
    number: int
    due_at: float
    room_id: int
    message_id: str | None
    outcome: str
    error: str | None


@dataclass(frozen=True)
class OutboxMessage:
    """A message to be sent once.

    :param kind: ``reminder`` or ``escalation``.
    :param number: the number in its text.
    :param due_at: the Unix time when it was due.
    :param room_id: where to send it.
    :param fallback_room_id: where to send it if Chatwork refuses the other room: the room of the tasks.
    :param body: the whole message. Its last line is that of the key.
    :param dedup_key: finds it in the room.
    :param error: why it does not go to its own room.
    """

    kind: str
    number: int
    due_at: float
    room_id: int
    fallback_room_id: int
    body: str
    dedup_key: DedupKey
    error: str | None = None

    @property
    def key(self) -> tuple[str, float]:
        """What it is, whatever its text is."""
        return self.kind, self.due_at

    def report(self, result: PostResult) -> DeliveryReport:
        """Return the report about it."""
        return DeliveryReport(
            kind=self.kind,
            number=self.number,
            due_at=self.due_at,
            room_id=self.room_id,
            message_id=result.message_id,
            outcome=result.outcome.value,
            error=self.error,
        )

    def after_error(self, error: ChatworkError) -> OutboxMessage | DeliveryReport:
        """Return the message to send to the fallback room instead, or the report if there is no other room.

        :raises ChatworkError: the error may pass, or there may be another token by now.
        """
        if is_transient(error) or isinstance(error, ChatworkAuthError):
            raise error
        if self.room_id != self.fallback_room_id:
            return replace(self, room_id=self.fallback_room_id, error=str(error))
        reasons = [reason for reason in (self.error, str(error)) if reason]
        rejected = PostResult(DeliveryOutcome.REJECTED, None)
        return replace(self, error="; ".join(dict.fromkeys(reasons))).report(rejected)


def log_report(log: Any, report: DeliveryReport) -> None:
    """Log what happened to a message, as a warning if it may not have reached people."""
    what = f"{report['kind'].capitalize()} {report['number']}"
    error = report["error"]
    match report["outcome"]:
        case DeliveryOutcome.NOT_SENT:
            reason = "the room shows no more than 100 messages, and it may have been sent before these"
            log.warning("%s was not sent: %s. %s", what, reason, report)
        case DeliveryOutcome.UNKNOWN:
            log.warning("%s may not have been sent: the answer was lost, and it is not sent again. %s", what, report)
        case DeliveryOutcome.REJECTED:
            log.warning("%s was not sent, as Chatwork refused it: %s. %s", what, error, report)
        case _ if error is not None:
            log.warning("%s went to the room of the task, as the other room refused it: %s. %s", what, error, report)
        case _:
            log.info("%s: %s. %s", what, report["outcome"], report)


def post_once(room_id: int, body: str, dedup_key: DedupKey, *, since: float | None) -> CallFlow[PostResult]:
    """Post a message unless the room has one with the same key.

    :param body: ends with the line of the key.
    :param since: Unix time before which it cannot have been sent. If the room does not show messages back to then, it
        is not sent. ``None`` sends it also then.
    """
    page = yield strict_empty_list(list_messages(room_id))
    sent = find_sent(dedup_key, page, is_complete=since is None or reaches_back(page, since - CLOCK_SKEW))
    if sent is not None:
        return sent
    message_id = yield from post(room_id, body)
    if message_id is None:
        return PostResult(DeliveryOutcome.UNKNOWN, None)
    try:
        page = yield list_messages(room_id)
    except ChatworkError:
        # The message was sent. Only a duplicate cannot be found.
        return PostResult(DeliveryOutcome.SENT, message_id)
    return (yield from delete_duplicate(room_id, dedup_key, message_id, page))


def find_sent(dedup_key: DedupKey, messages: Sequence[Message], *, is_complete: bool) -> PostResult | None:
    """Return the result for a message that is not to be sent; ``None`` for one that is.

    :param is_complete: whether it would be among the messages if it had been sent.
    """
    found = dedup_key.find(messages)
    if found:
        return PostResult(DeliveryOutcome.FOUND, found[0]["message_id"])
    return None if is_complete else PostResult(DeliveryOutcome.NOT_SENT, None)


def post(room_id: int, body: str) -> CallFlow[str | None]:
    """Post a message, and return its id; ``None`` if it is unknown whether it was posted."""
    try:
        message_id: str = (yield post_message(room_id, body))["message_id"]
    except ChatworkUnknownOutcomeError:
        return None
    return message_id


def delete_duplicate(
    room_id: int, dedup_key: DedupKey, message_id: str, page: Sequence[Message]
) -> CallFlow[PostResult]:
    """Delete a message if another process has sent the same one a little earlier.

    Two triggerers may run one wait for a moment, and send in the same second. Both find both messages here, and both
    keep the older one.

    :param page: the messages of the room after it was sent.
    """
    first = next(iter(dedup_key.find(page)), None)
    if first is None or first["message_id"] == message_id:
        return PostResult(DeliveryOutcome.SENT, message_id)
    try:
        yield delete_message(room_id, message_id)
    except ChatworkError:
        return PostResult(DeliveryOutcome.SENT, message_id)
    return PostResult(DeliveryOutcome.DUPLICATE_DELETED, first["message_id"])


#: How many seconds the clock of this machine may be ahead of Chatwork's.
CLOCK_SKEW = 60.0


@dataclass(frozen=True)
class DedupKey:
    """The last line of a message: a label and a link to the task.

    :param prefixes: how every label of this kind of message begins, in each language.
    :param labels: the label of this message, in each language. An earlier message may have the same one, as the number
        of a reminder changes when a due date is moved.
    :param room_id: the room of the task.
    :param message_id: the message of the task.
    :param account_id: the account that sends.
    :param since: a message of this kind about the task that was sent since this Unix time is this message, whatever its
        label says. The calendar, the time zone or the due date may have changed meanwhile.
    """

    prefixes: tuple[str, ...]
    labels: tuple[str, ...]
    room_id: int
    message_id: str
    account_id: int
    since: float

    def line(self, lang: str, web_url: str) -> str:
        """Return the last line of the message."""
        return f"{self.labels[LANGUAGES.index(lang)]}: {message_url(self.room_id, self.message_id, web_url)}"

    def find(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages that have this key, oldest first."""
        found = [m for m in messages if m["account"]["account_id"] == self.account_id and self._is_in(m)]
        return sorted(found, key=position)

    def by_time_only(self) -> DedupKey:
        """Return a key that no message from before ``since`` has, whatever its label is."""
        return replace(self, labels=())

    def _is_in(self, message: Message) -> bool:
        # Chatwork's times are whole seconds.
        since, sent_at = math.floor(self.since), message["send_time"]
        return any(
            (sent_at >= since and label.startswith(self.prefixes))
            or (sent_at >= since - CLOCK_SKEW and label in self.labels)
            for label in self._labels_in(message["body"])
        )

    def _labels_in(self, body: str) -> Iterator[str]:
        # The address of the web client may have changed, this part of it has not.
        place = f"/#!rid{self.room_id}-{self.message_id}"
        if place not in body:
            # Faster, as hundreds of messages are searched for each of hundreds of tasks.
            return
        for line in body.splitlines():
            label, separator, address = line.strip().rpartition(": ")
            if separator and address.endswith(place):
                yield label


# How many messages are kept, as a triggerer may run for months.
_MAX_MESSAGES = 1_000


class SentLog:
    """The messages that an account has sent to a room, without a gap since some time.

    :param account_id: the account.
    """

    def __init__(self, account_id: int) -> None:
        self._account_id = account_id
        self._page_ids: set[str] = set()
        self._from_pages: list[Message] = []
        # Messages that no page shows yet, each with the number of the last page that was requested before.
        self._not_in_pages: list[tuple[int, Message]] = []
        self._begins_at = float("inf")

    @property
    def messages(self) -> list[Message]:
        """The messages, oldest first."""
        return [*self._from_pages, *(message for _, message in self._not_in_pages)]

    def reaches_back(self, since: float) -> bool:
        """Return whether it has every message since a Unix time."""
        return self._begins_at < since

    def add_page(self, page: Sequence[Message], number: int) -> None:
        """Add the newest messages of the room, oldest first.

        :param number: the number of the page.
        """
        ids = {message["message_id"] for message in page}
        own = [message for message in page if message["account"]["account_id"] == self._account_id]
        if len(page) < PAGE:
            self._begins_at, earlier = float("-inf"), []
        elif ids & self._page_ids:
            # The pages overlap, so no message between them is missing.
            oldest = position(page[0])
            earlier = [message for message in self._from_pages if position(message) < oldest]
        else:
            self._begins_at, earlier = page[0]["send_time"], []
        self._from_pages = (earlier + own)[-_MAX_MESSAGES:]
        if len(earlier) + len(own) > _MAX_MESSAGES:
            self._begins_at = self._from_pages[0]["send_time"]
        self._page_ids = ids
        self._not_in_pages = [(after, message) for after, message in self._not_in_pages if after >= number]

    def add(self, message_id: str, body: str, unix_now: float, after: int) -> None:
        """Add a message that was just sent.

        :param after: the number of the last page that was requested before.
        """
        account = {"account_id": self._account_id, "name": "", "avatar_image_url": ""}
        message = {"message_id": message_id, "account": account, "body": body, "send_time": int(unix_now)}
        self._not_in_pages.append((after, {**message, "update_time": 0}))  # type: ignore[typeddict-item]
