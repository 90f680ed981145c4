"""Waiting for messages in the triggerer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.triggers._event import EventStatus, new_event
from airflow_provider_chatwork.triggers._sensor import ChatworkSensorTrigger
from airflow_provider_chatwork.utils.since import Since
from airflow_provider_chatwork.waiting.message_filter import MessageLooks, Wanted, first_by_others, found_message
from airflow_provider_chatwork.waiting.poller.subscribe import MessagesWait, watch_messages


class ChatworkMessageTrigger(ChatworkSensorTrigger[MessagesWait]):
    """Wait for a message, and yield one event of plain JSON.

    Its ``status`` is ``done`` (with ``message``, a :class:`~airflow_provider_chatwork.waiting.message_filter.FoundMessage`),
    ``timeout``, or ``refused`` (with ``error``, written by :func:`~airflow_provider_chatwork.api.errors.to_plain`).

    :param since: where the wait begins: a message id as text, or a Unix time in seconds. It survives a restart of the
        triggerer.
    :param from_account_ids: by whom; by anybody but the account of the token if empty.
    :param matches: a regular expression for what the author wrote, with ``reply_to`` in answer to that.
    :param reply_to: the id of the message that it answers.
    :param seen: where the newest message stands that was seen before: the second it was sent in, and its id.
    :param possible_loss: whether messages may have gone by unseen before.
    :param chatwork_conn_id: and the rest are those of
        :class:`~airflow_provider_chatwork.triggers._sensor.ChatworkSensorTrigger`.
    """

    def __init__(
        self,
        *,
        since: Since,
        from_account_ids: Sequence[int] = (),
        matches: str | None = None,
        reply_to: str | None = None,
        seen: Sequence[int] | None = None,
        possible_loss: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.since = since
        self.from_account_ids = list(from_account_ids)
        self.matches = matches
        self.reply_to = reply_to
        self.seen = None if seen is None else list(seen)
        self.possible_loss = possible_loss
        room_id = validation.identifier("room_id", self.room_id)
        wanted = Wanted(room_id, since, tuple(from_account_ids), matches, reply_to)
        before = None if seen is None else (seen[0], seen[1])
        self._looks = MessageLooks(wanted, before, possible_loss)
        self._is_asking = False

    def arguments(self) -> dict[str, Any]:
        """The arguments that make another one, as plain JSON."""
        return {
            **super().arguments(),
            "since": self.since,
            "from_account_ids": self.from_account_ids,
            "matches": self.matches,
            "reply_to": self.reply_to,
            "seen": self.seen,
            "possible_loss": self.possible_loss,
        }

    def watch(self, settings: Settings) -> MessagesWait:
        """Begin to look."""
        return watch_messages(
            settings, self.room(settings), interval=self.poke_interval, max_interval=self.longest_interval, log=self.log
        )

    def attend_at(self) -> float:
        """At once, where a message was seen and whose account the token is could not be asked."""
        return 0.0 if self._is_asking else super().attend_at()

    async def attend(self, wait: MessagesWait) -> dict[str, Any] | None:
        """See whether the message has come."""
        candidates = self._looks.look(wait.page, self.log.warning)
        if not candidates:
            self._is_asking = False
            return None
        self._is_asking = True
        own_account_id = await wait.account_id()
        self._is_asking = False
        message = first_by_others(candidates, self._looks.wanted, own_account_id)
        if message is None:
            return None
        found = found_message(
            message,
            wait.page,
            self._looks.wanted,
            possible_loss=self._looks.possible_loss,
            web_url=self._web_url,
        )
        return new_event(EventStatus.DONE, message=found)

    def result(self, event: dict[str, Any]) -> tuple[Any, str | None]:
        """The message, and its id."""
        return event["message"], event["message"]["message_id"]
