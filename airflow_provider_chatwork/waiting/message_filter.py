"""Which message a wait is for: one set of rules for what looks in a worker and what looks in the triggerer.

What a wait sees is the *page*: the newest 100 messages of a room, oldest first, as ``list_messages`` returns them. It
has no server-side mark, so what is new is decided here, from where the wait began
(:mod:`~airflow_provider_chatwork.utils.since`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, TypedDict

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.message_text import (
    is_deleted,
    is_reply_to,
    is_system,
    names_on,
    own_text,
    reply_texts,
)
from airflow_provider_chatwork.api.messages import PAGE
from airflow_provider_chatwork.api.urls import CHATWORK_WEB, message_url
from airflow_provider_chatwork.utils.since import Since

#: Where a message stands among the others of its room.
Position: TypeAlias = tuple[int, int]

_LOSS = (
    "More than %d messages may have come into room %d since it was looked at last, which is as many as Chatwork shows: "
    "the one that is waited for may have gone by unseen. A shorter poke_interval helps."
)


class FoundMessage(TypedDict):
    """The message that a wait was for.

    ``text`` is what its author wrote, or what they wrote in answer where an answer is waited for; ``link`` opens it in
    a browser. ``possible_loss`` says that so many messages came between two looks that an earlier one may have gone by
    unseen.
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
class Wanted:
    """What a message has to be like. Every condition that is given has to hold.

    :param room_id: the room.
    :param since: where the wait begins.
    :param from_account_ids: by whom; by anybody if empty.
    :param matches: a regular expression that is found in what its author wrote; with ``reply_to``, in answer to that.
    :param reply_to: the id of the message that it answers.
    """

    room_id: int
    since: Since
    from_account_ids: tuple[int, ...] = ()
    matches: str | None = None
    reply_to: str | None = None

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return None if self.matches is None else re.compile(self.matches)

    def candidates(
        self, messages: Sequence[models.Message], page: Sequence[models.Message] | None = None
    ) -> list[models.Message]:
        """Those of some messages for which all conditions hold, be they of the token's account or not.

        Messages that Chatwork wrote by itself and deleted ones are never among them.

        :param page: the page they are on, which tells who is called by which name; the messages if not given.
        """
        names: dict[int, str] | None = None
        found = []
        for message in messages:
            if not self._may_be(message):
                continue
            names = names_on(page or messages) if names is None else names
            body = message["body"]
            if self.reply_to is not None and not is_reply_to(body, self.room_id, self.reply_to):
                continue
            if self._pattern is None or any(map(self._pattern.search, self.texts(body, names))):
                found.append(message)
        return found

    def texts(self, body: str, names: Mapping[int, str]) -> list[str]:
        """What the author of a message wrote, as far as this wait is concerned.

        :param names: names by account id, as far as they are known.
        """
        return (
            [own_text(body, names)] if self.reply_to is None else reply_texts(body, self.room_id, self.reply_to, names)
        )

    def _may_be(self, message: models.Message) -> bool:
        """Whether what costs next to nothing to ask holds: a triggerer asks it of every message for every wait."""
        return (
            is_newer(message, self.since)
            and (not self.from_account_ids or message["account"]["account_id"] in self.from_account_ids)
            and (self.reply_to is None or self.reply_to in message["body"])
            and not is_deleted(message["body"])
            and not is_system(message["body"])
        )


@dataclass
class MessageLooks:
    """The looks of one wait, one after the other.

    :param wanted: what the wait is for.
    :param seen: where the newest message stands that was seen so far; ``None`` where nobody remembers a look.
    :param possible_loss: whether messages may have gone by unseen.
    """

    wanted: Wanted
    seen: Position | None = None
    possible_loss: bool = False
    _page: Sequence[models.Message] = field(default=(), repr=False)
    _candidates: list[models.Message] = field(default_factory=list, repr=False)

    def look(self, page: Sequence[models.Message], warn: Callable[[str, int, int], object]) -> list[models.Message]:
        """Take a page in, and return the candidates on it, oldest first.

        :param warn: gets a line of a log, once, where messages may have gone by unseen.
        """
        if not self.possible_loss and may_have_lost(page, self.wanted.since, self.seen):
            self.possible_loss = True
            warn(_LOSS, PAGE, self.wanted.room_id)
        if page:
            newest = position(page[-1])
            self.seen = newest if self.seen is None else max(self.seen, newest)
        # A triggerer may have hundreds of waits on a room, so that nothing is read twice that stands as it stood.
        before = {message["message_id"]: message for message in self._page}
        changed = [message for message in page if before.get(message["message_id"]) != message]
        standing = {message["message_id"] for message in page}.difference(one["message_id"] for one in changed)
        kept = [message for message in self._candidates if message["message_id"] in standing]
        self._page = page
        self._candidates = sorted([*kept, *self.wanted.candidates(changed, page)], key=position)
        return self._candidates


def first_by_others(candidates: Sequence[models.Message], wanted: Wanted, own_account_id: int) -> models.Message | None:
    """The oldest of the candidates that the account of the token has not posted itself.

    :raises ChatworkParameterError: where nobody but that account is waited for, which would never end.
    """
    if wanted.from_account_ids == (own_account_id,):
        raise ChatworkParameterError(
            "from_account_ids",
            list(wanted.from_account_ids),
            "give the account of another person: this one is that of the API token, whose own messages never count",
        )
    return next((message for message in candidates if message["account"]["account_id"] != own_account_id), None)


def found_message(
    message: models.Message,
    page: Sequence[models.Message],
    wanted: Wanted,
    *,
    possible_loss: bool = False,
    web_url: str = CHATWORK_WEB,
) -> FoundMessage:
    """Describe the message that a wait was for, as plain JSON.

    :param page: the page it was found on, which tells who is called by which name.
    :param wanted: what the wait was for.
    :param web_url: where people open Chatwork.
    """
    return {
        "message_id": message["message_id"],
        "account_id": message["account"]["account_id"],
        "account_name": message["account"].get("name", ""),
        "body": message["body"],
        "text": "\n".join(wanted.texts(message["body"], names_on(page))),
        "send_time": message["send_time"],
        "link": message_url(wanted.room_id, message["message_id"], base=web_url),
        "possible_loss": possible_loss,
    }


def position(message: models.Message) -> Position:
    """Where a message stands in its room: by the second it was sent in, and then by its id."""
    return message["send_time"], int(message["message_id"])


def is_newer(message: models.Message, since: Since) -> bool:
    """Whether a message belongs to what a wait is about: sent behind a message, or in a second or later."""
    if isinstance(since, str):
        return int(message["message_id"]) > int(since)
    return message["send_time"] >= since


def may_have_lost(page: Sequence[models.Message], since: Since, seen: Position | None) -> bool:
    """Whether messages may have gone by between two looks, as more came than a page has room for.

    :param page: the page of this look.
    :param since: where the wait began.
    :param seen: the position of the newest message of the look before; ``None`` for the first look, and where nobody
        remembers.
    """
    if len(page) < PAGE or not is_newer(page[0], since):
        return False
    return seen is None or position(page[0]) > seen
