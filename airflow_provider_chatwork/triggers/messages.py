"""The trigger that waits for a message."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.triggers._event import EventStatus
from airflow_provider_chatwork.triggers._sensor import ChatworkSensorTrigger
from airflow_provider_chatwork.utils.time_arguments import Since
from airflow_provider_chatwork.waiting.message_filter import (
    MessageCursor,
    MessageFilter,
    first_by_others,
    found_message,
)
from airflow_provider_chatwork.waiting.poller.message_poller import MessageSubscription, subscribe_messages


class ChatworkMessageTrigger(ChatworkSensorTrigger[MessageSubscription]):
    """Wait for a message, and yield one event of plain JSON.

    Its ``status`` is one of :class:`~airflow_provider_chatwork.triggers._base.EventStatus`. ``done`` comes with
    ``message``, a :class:`~airflow_provider_chatwork.waiting.message_filter.FoundMessage`.

    :param since: where the wait begins: a message id as text, or a Unix time in seconds. It survives a restart of the
        triggerer.
    :param from_account_ids: the senders; anybody but the account of the token if empty.
    :param matches: a regular expression that the text has to match.
    :param reply_to: the id of the message that it has to reply to.
    :param seen: the newest message that was read before: the second it was sent in, and its id.
    :param possible_loss: whether messages may have been missed before.
    :param kwargs: those of :class:`~airflow_provider_chatwork.triggers._sensor.ChatworkSensorTrigger`.
    """

    argument_names = (
        *ChatworkSensorTrigger.argument_names,
        "since",
        "from_account_ids",
        "matches",
        "reply_to",
        "seen",
        "possible_loss",
    )

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
        conditions = MessageFilter(room_id, since, tuple(from_account_ids), matches, reply_to)
        newest = None if seen is None else (seen[0], seen[1])
        self._cursor = MessageCursor(conditions, newest, possible_loss)
        self._needs_account_id = False

    def subscribe(self, settings: Settings) -> AbstractAsyncContextManager[MessageSubscription]:
        """Return the subscription to wait with."""
        return subscribe_messages(
            settings, self.room(settings), interval=self.interval, max_interval=self.longest_interval, log=self.log
        )

    def next_action_at(self) -> float:
        """Return the Unix time at which to call :meth:`on_change`: at once if the account id is still to be read."""
        return 0.0 if self._needs_account_id else super().next_action_at()

    async def on_change(self, subscription: MessageSubscription) -> dict[str, Any] | None:
        """Return the event if the message has come."""
        candidates = self._cursor.update(subscription.page, self.log.warning)
        self._needs_account_id = bool(candidates)
        if not candidates:
            return None
        own_account_id = await subscription.account_id()
        self._needs_account_id = False
        message = first_by_others(candidates, self._cursor.filter, own_account_id)
        if message is None:
            return None
        found = found_message(
            message,
            subscription.page,
            self._cursor.filter,
            possible_loss=self._cursor.possible_loss,
            web_url=self._web_url,
        )
        return {"status": EventStatus.DONE.value, "message": found}

    def result(self, event: dict[str, Any]) -> tuple[Any, str | None]:
        """Return the message, and its id."""
        return event["message"], event["message"]["message_id"]
