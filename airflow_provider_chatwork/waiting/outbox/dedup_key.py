"""The last line of a message, by which it is found in the room again.

``リマインド 2 回目: https://www.chatwork.com/#!rid100-200`` names the reminder and links to the task. People can read
it, and a later process finds by it what was sent before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from airflow_provider_chatwork.api.messages import position
from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.api.urls import message_url
from airflow_provider_chatwork.api.validation import LANGUAGES

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
