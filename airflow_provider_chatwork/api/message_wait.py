"""Which message a wait is for: one set of rules for what looks in a worker and what looks in the triggerer.

What a wait sees is the *page*: the newest 100 messages of a room, oldest first, as ``list_messages`` returns them. It
has no server-side mark, so what is new is decided here, from where the wait began
(:mod:`~airflow_provider_chatwork.api.since`).
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TypeAlias, TypedDict

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.links import CHATWORK_WEB, message_url
from airflow_provider_chatwork.api.messages import PAGE
from airflow_provider_chatwork.api.outline import Block, Tag, outline
from airflow_provider_chatwork.api.since import Since

#: Where a message stands among the others of its room.
Position: TypeAlias = tuple[int, int]

_LOSS = (
    "More than %d messages may have come into room %d since it was looked at last, which is as many as Chatwork shows: "
    "the one that is waited for may have gone by unseen. A shorter poke_interval helps."
)

_DELETED = "[deleted]"
_REPLY = re.compile(r"\[\s*rp\s[^\[\]]*?\bto=([0-9]{1,20})-([0-9]{1,20})\b[^\[\]]*\]", re.IGNORECASE)
_CALLED = re.compile(r"(?:to:|\baid=)\s*([0-9]{1,18})", re.IGNORECASE)
# Chatwork puts the name of who is called behind the tag, on a line of its own, and in Japanese with an honorific.
_SOMEBODY = re.compile(r"[^\S\n]*+[^\n\[\]、。,.!?！？]{1,100}?さん[^\S\n]*+(?=\n)")
_HONORIFIC = r"(?:[^\S\n]*+(?:さん|さま|様)|(?!\w))"


class FoundMessage(TypedDict):
    """The message that a wait was for.

    ``text`` is what its author wrote, see :func:`own_text`; ``link`` opens it in a browser. ``possible_loss`` says that
    so many messages came between two looks that an earlier one may have gone by unseen.
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
    :param matches: a regular expression that is found in the message's :func:`own_text`.
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
            if self._pattern is None or self._pattern.search(own_text(body, names)):
                found.append(message)
        return found

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
    room_id: int,
    *,
    possible_loss: bool = False,
    web_url: str = CHATWORK_WEB,
) -> FoundMessage:
    """Describe the message that a wait was for, as plain JSON.

    :param page: the page it was found on, which tells who is called by which name.
    :param web_url: where people open Chatwork.
    """
    return {
        "message_id": message["message_id"],
        "account_id": message["account"]["account_id"],
        "account_name": message["account"].get("name", ""),
        "body": message["body"],
        "text": own_text(message["body"], names_on(page)),
        "send_time": message["send_time"],
        "link": message_url(room_id, message["message_id"], base=web_url),
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


def is_deleted(body: str) -> bool:
    """Whether a body is what Chatwork leaves of a deleted message."""
    return body.strip() == _DELETED


def is_system(body: str) -> bool:
    """Whether Chatwork wrote a message by itself: somebody joined, a task was added or done, a file was uploaded.

    Chatwork's own words (``[dtext:...]``) inside a quote or code do not make it one.
    """
    return "[dtext:" in body and any(tag.name == "dtext" for tag in _parts(body).tags)


def is_reply_to(body: str, room_id: int, message_id: str) -> bool:
    """Whether a message answers another one: ``[rp aid=... to=room-message]``, and not in a quote or code."""
    return (room_id, int(message_id)) in _parts(body).answered


def own_text(body: str, names: Mapping[int, str] | None = None) -> str:
    """What its author wrote in a message: without quotes, without reply and To tags, without the names behind these.

    All other notation stays as it is. A name is known by ``names``, or by standing alone on its line with the honorific
    that Chatwork writes behind it. A name that is neither stays.

    :param names: names by account id, as far as they are known.
    """
    parts = _parts(body)
    kept, at = [], 0
    for start, end, account_id in parts.calls:
        kept.append(body[at:start])
        at = end
        if account_id is not None:
            at = _behind_name(body, end, (names or {}).get(account_id))
    return ("".join(kept) + body[at:]).strip()


def names_on(page: Sequence[models.Message]) -> dict[int, str]:
    """The names of those who have written on a page, by account id."""
    return {message["account"]["account_id"]: message["account"].get("name", "") for message in page}


def _behind_name(body: str, at: int, name: str | None) -> int:
    """Where what was written begins, behind a tag that calls somebody."""
    if name and (known := re.compile(rf"[^\S\n]*+{re.escape(name)}{_HONORIFIC}").match(body, at)):
        return known.end()
    somebody = _SOMEBODY.match(body, at)
    return somebody.end() if somebody else at


@dataclass(frozen=True, slots=True)
class _Parts:
    """What notation says about a body.

    :param tags: the tags that act: none of those in quotes and code.
    :param answered: room and message id of what it answers.
    :param calls: where quotes and the tags that call people are, and who is called; from start to end.
    """

    tags: tuple[Tag, ...]
    answered: frozenset[tuple[int, int]]
    calls: tuple[tuple[int, int, int | None], ...]


# All waits of a triggerer on one room ask about the same messages.
@lru_cache(maxsize=2 * PAGE)
def _parts(body: str) -> _Parts:
    found = outline(body)
    inert: list[Block] = []
    for block in found.blocks:
        # An outer one comes before those inside it.
        if block.opening.name in ("qt", "code") and not (inert and inert[-1].holds(block.opening.start)):
            inert.append(block)
    starts = [block.opening.start for block in inert]
    # By bisection: a body of nothing but quotes must not keep a triggerer busy.
    tags = tuple(
        tag for tag in found.tags if not ((behind := bisect(starts, tag.start)) and inert[behind - 1].holds(tag.start))
    )
    calls: list[tuple[int, int, int | None]] = [
        (block.opening.start, block.closing.end, None) for block in inert if block.opening.name == "qt"
    ]
    answered = set()
    for tag in tags:
        text = body[tag.start : tag.end]
        if tag.name == "rp" and (reply := _REPLY.fullmatch(text)):
            answered.add((int(reply[1]), int(reply[2])))
        if tag.name in ("rp", "to", "toall") and not tag.closes:
            called = _CALLED.search(text)
            calls.append((tag.start, tag.end, int(called[1]) if called else None))
    return _Parts(tags, frozenset(answered), tuple(sorted(calls, key=lambda call: call[0])))
