"""Select the message that a sensor waits for, in the worker and in the triggerer.

Both read the *page*: the newest 100 messages of a room, oldest first, as ``list_messages`` returns them. Chatwork keeps
no cursor for it, so messages before the start of the wait are filtered out here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, TypedDict

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.messages import PAGE, position
from airflow_provider_chatwork.api.notation_parser import (
    is_deleted,
    is_reply_to,
    is_system,
    names_on,
    own_text,
    reply_texts,
)
from airflow_provider_chatwork.api.urls import CHATWORK_WEB, message_url
from airflow_provider_chatwork.utils.time_arguments import Since

#: The order of messages in a room: the send time and the message id.
Position: TypeAlias = tuple[int, int]

_LOSS = (
    "More than %d messages may have come into room %d since the last poll, which is as many as Chatwork returns: the "
    "message that is waited for may have been missed. A shorter poke_interval helps."
)


class FoundMessage(TypedDict):
    """The message that a sensor waited for, as plain JSON.

    ``text`` is what its author wrote; with ``reply_to``, the part that replies to that message. ``link`` is its URL in
    the browser. ``possible_loss`` is true if an earlier message may have left the page between two polls.
    """

    message_id: str
    account_id: int
    account_name: str
    body: str
    text: str
    send_time: int
    link: str
    possible_loss: bool


@dataclass(frozen=True)
class MessageFilter:
    """The conditions on a message. All that are given have to hold.

    :param room_id: the room.
    :param since: the start of the wait.
    :param from_account_ids: the authors; anybody if empty.
    :param matches: a regular expression that is found in the author's text; with ``reply_to``, in the part that replies
        to that message.
    :param reply_to: the id of the message that it replies to.
    """

    room_id: int
    since: Since
    from_account_ids: tuple[int, ...] = ()
    matches: str | None = None
    reply_to: str | None = None

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return None if self.matches is None else re.compile(self.matches)

    def select(
        self, messages: Sequence[models.Message], page: Sequence[models.Message] | None = None
    ) -> list[models.Message]:
        """Return the messages for which all conditions hold, also those of the token's account.

        System messages and deleted messages are left out.

        :param page: the page that they are from, which has the names of accounts; the messages if not given.
        """
        names: dict[int, str] | None = None
        selected = []
        for message in messages:
            if not self._may_match(message):
                continue
            names = names_on(page or messages) if names is None else names
            body = message["body"]
            if self.reply_to is not None and not is_reply_to(body, self.room_id, self.reply_to):
                continue
            if self._pattern is None or any(map(self._pattern.search, self.texts(body, names))):
                selected.append(message)
        return selected

    def texts(self, body: str, names: Mapping[int, str]) -> list[str]:
        """Return what the author of a message wrote; with ``reply_to``, the parts that reply to that message.

        :param names: the known names, by account id.
        """
        if self.reply_to is None:
            return [own_text(body, names)]
        return reply_texts(body, self.room_id, self.reply_to, names)

    def _may_match(self, message: models.Message) -> bool:
        """Check the cheap conditions first: a triggerer checks every message for every subscription."""
        return (
            is_newer(message, self.since)
            and (not self.from_account_ids or message["account"]["account_id"] in self.from_account_ids)
            and (self.reply_to is None or self.reply_to in message["body"])
            and not is_deleted(message["body"])
            and not is_system(message["body"])
        )


@dataclass
class MessageCursor:
    """What the polls of one wait have seen.

    :param filter: the conditions.
    :param seen: the position of the newest message seen; ``None`` if no poll is known.
    :param possible_loss: whether messages may have been missed.
    """

    filter: MessageFilter
    seen: Position | None = None
    possible_loss: bool = False
    _page: Sequence[models.Message] = field(default=(), repr=False)
    _candidates: list[models.Message] = field(default_factory=list, repr=False)

    def update(self, page: Sequence[models.Message], warn: Callable[[str, int, int], object]) -> list[models.Message]:
        """Read a page, and return the messages on it for which the conditions hold, oldest first.

        :param warn: logs a warning, once, if messages may have been missed.
        """
        if not self.possible_loss and may_have_missed(page, self.filter.since, self.seen):
            self.possible_loss = True
            warn(_LOSS, PAGE, self.filter.room_id)
        if page:
            newest = position(page[-1])
            self.seen = newest if self.seen is None else max(self.seen, newest)
        # A triggerer may have hundreds of waits on a room, so unchanged messages are not checked again.
        before = {message["message_id"]: message for message in self._page}
        changed = [message for message in page if before.get(message["message_id"]) != message]
        unchanged = {message["message_id"] for message in page}.difference(one["message_id"] for one in changed)
        kept = [message for message in self._candidates if message["message_id"] in unchanged]
        self._page = page
        self._candidates = sorted([*kept, *self.filter.select(changed, page)], key=position)
        return self._candidates


def first_by_others(
    candidates: Sequence[models.Message], message_filter: MessageFilter, own_account_id: int
) -> models.Message | None:
    """Return the oldest candidate that the account of the token has not posted itself.

    :raises ChatworkParameterError: if the filter accepts only that account, so that the wait would never end.
    """
    if message_filter.from_account_ids == (own_account_id,):
        raise ChatworkParameterError(
            "from_account_ids",
            list(message_filter.from_account_ids),
            "give the account of another person: this one is that of the API token, whose own messages never count",
        )
    return next((message for message in candidates if message["account"]["account_id"] != own_account_id), None)


def found_message(
    message: models.Message,
    page: Sequence[models.Message],
    message_filter: MessageFilter,
    *,
    possible_loss: bool = False,
    web_url: str = CHATWORK_WEB,
) -> FoundMessage:
    """Return the result of a wait.

    :param page: the page that the message is from, which has the names of accounts.
    :param web_url: the base URL of Chatwork's web client.
    """
    return {
        "message_id": message["message_id"],
        "account_id": message["account"]["account_id"],
        "account_name": message["account"].get("name", ""),
        "body": message["body"],
        "text": "\n".join(message_filter.texts(message["body"], names_on(page))),
        "send_time": message["send_time"],
        "link": message_url(message_filter.room_id, message["message_id"], base=web_url),
        "possible_loss": possible_loss,
    }


def is_newer(message: models.Message, since: Since) -> bool:
    """Whether a message was sent after another message, given by its id, or at or after a Unix time."""
    if isinstance(since, str):
        return int(message["message_id"]) > int(since)
    return message["send_time"] >= since


def may_have_missed(page: Sequence[models.Message], since: Since, seen: Position | None) -> bool:
    """Whether messages may have left the page unread between two polls.

    :param page: the current page.
    :param since: the start of the wait.
    :param seen: the position of the newest message of the poll before; ``None`` if there was none or it is unknown.
    """
    if len(page) < PAGE or not is_newer(page[0], since):
        return False
    return seen is None or position(page[0]) > seen
