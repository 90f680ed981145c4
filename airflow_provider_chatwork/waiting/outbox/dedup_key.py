"""What shows that a message of the follow-up was sent: its last line, which people can read.

``リマインド 2 回目: https://www.chatwork.com/#!rid100-200`` names the reminder and leads to the task. Whoever runs the
wait, and however often it was started anew, finds by it what was sent before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from airflow_provider_chatwork.api.models import Message
from airflow_provider_chatwork.api.urls import message_url
from airflow_provider_chatwork.api.validation import LANGUAGES
from airflow_provider_chatwork.waiting.reminders.schedule import Moment
from airflow_provider_chatwork.waiting.reminders.words import KINDS, say, when


@dataclass(frozen=True)
class Trace:
    """The last line of a message, and how to know it again.

    :param kind: ``reminder``, ``escalation`` or ``withdrawal``.
    :param labels: what stands in front of the link, in each language.
    :param room_id: the room of the task.
    :param message_id: the task's message.
    :param me: the account that sends it.
    :param since: Unix time from which any message of this kind about the task will do, whatever its number: the
        calendar, the time zone or the due date may have changed, and people have been told all the same.
    """

    kind: str
    labels: tuple[str, ...]
    room_id: int
    message_id: str
    me: int
    since: float

    def line(self, lang: str, web_url: str) -> str:
        """The line to end a message with."""
        return f"{self.labels[LANGUAGES.index(lang)]}: {message_url(self.room_id, self.message_id, web_url)}"

    def found_in(self, page: Sequence[Message]) -> list[Message]:
        """The messages that bear it, oldest first."""
        found = [message for message in page if message["account"]["account_id"] == self.me and self._is_in(message)]
        return sorted(found, key=lambda message: (message["send_time"], int(message["message_id"])))

    def by_time(self) -> Trace:
        """The same, where one with the same label but sent before `since` is about another time."""
        return replace(self, labels=())

    def _is_in(self, message: Message) -> bool:
        # Chatwork keeps whole seconds.
        recent = message["send_time"] >= math.floor(self.since)
        return any(
            label in self.labels or (recent and label.startswith(KINDS[self.kind]))
            for label in self._labels_of(message["body"])
        )

    def _labels_of(self, body: str) -> Iterator[str]:
        # The address of the web client may have changed; what it leads to has not.
        place = f"/#!rid{self.room_id}-{self.message_id}"
        if place not in body:
            # Hundreds of messages are looked through for each of hundreds of tasks.
            return
        for line in body.splitlines():
            label, separator, address = line.strip().rpartition(": ")
            if separator and address.endswith(place):
                yield label


def labels_of(moment: Moment, kind: str, zone: str) -> tuple[str, ...]:
    """The labels of a reminder or escalation, in each language."""
    name = "reminder_for_due" if kind == "reminder" and moment.due is not None else kind
    return tuple(say(lang, name, number=moment.number, due=when(lang, moment.due, zone)) for lang in LANGUAGES)
