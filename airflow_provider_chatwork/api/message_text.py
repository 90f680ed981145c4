"""What people wrote in a message, and what Chatwork wrote there by itself."""

from __future__ import annotations

import re
from bisect import bisect, bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.messages import PAGE
from airflow_provider_chatwork.api.notation_parser import Block, Tag, parse_tags

#: What accounts are called, by their ids: each by a name or by any of several.
Names: TypeAlias = Mapping[int, str | tuple[str, ...]]

_DELETED = "[deleted]"
_REPLY = re.compile(r"\[\s*rp\s[^\[\]]*?\bto=([0-9]{1,20})-([0-9]{1,20})\b[^\[\]]*\]", re.IGNORECASE)
_CALLED = re.compile(r"(?:to:|\baid=)\s*([0-9]{1,18})", re.IGNORECASE)
# Chatwork puts the name of who is called behind the tag, on a line of its own, and in Japanese with an honorific.
_SOMEBODY = re.compile(r"[^\S\n]*+[^\n\[\]、。,.!?！？]{1,100}?さん[^\S\n]*+(?=\n)")
# Chatwork's own frame begins with words that it shows in the language of whoever reads them.
_NOTICE = re.compile(r"\s*+(?:\[title\]\s*+)?\[dtext:", re.IGNORECASE)
_HONORIFIC = r"(?:[^\S\n]*+(?:さん|さま|様)|(?!\w))"


def is_deleted(body: str) -> bool:
    """Whether a body is what Chatwork leaves of a deleted message."""
    return body.strip() == _DELETED


def is_system(body: str) -> bool:
    """Whether Chatwork wrote a message by itself: somebody joined, a task was added or done, a file was uploaded.

    Chatwork's own words (``[dtext:...]``) inside a quote or code do not make it one, and neither do those that stand in
    a frame of their own where a person wrote something beside it: words that go with a file, or an answer.
    """
    return "[dtext:" in body and _parts(body).is_system


def is_reply_to(body: str, room_id: int, message_id: str) -> bool:
    """Whether a message answers another one: ``[rp aid=... to=room-message]``, and not in a quote or code."""
    return any(reply.to == (room_id, int(message_id)) for reply in _parts(body).replies)


def own_text(body: str, names: Names | None = None) -> str:
    """What its author wrote in a message.

    That is without quotes, without reply and To tags and the names behind these, and without what Chatwork adds for a
    file. All other notation stays as it is. A name is known by ``names``, or by standing alone on its line with the
    honorific that Chatwork writes behind it. A name that is neither stays.

    :param names: names by account id, as far as they are known.
    """
    return _text(body, _parts(body), 0, len(body), names or {})


def reply_texts(
    body: str, room_id: int, message_id: str, names: Names | None = None, *, strictly: bool = False
) -> list[str]:
    """What its author wrote in a message in answer to another one, read like :func:`own_text`.

    A message may answer several. What belongs to one of them goes from its reply tag to the next reply tag, of
    whatever message; what stands before all of them belongs to the first. More than one text comes out where a message
    is answered more than once.

    :param room_id: the room of the message that is answered.
    :param message_id: its id.
    :param names: names by account id, as far as they are known.
    :param strictly: whether to know names by ``names`` alone, where nothing of what was said must be taken for one.
    """
    parts = _parts(body)
    return [
        _text(body, parts, reply.start, reply.end, names or {}, strictly=strictly)
        for reply in parts.replies
        if reply.to == (room_id, int(message_id))
    ]


def names_on(page: Sequence[models.Message]) -> dict[int, str]:
    """The names of those who have written on a page, by account id."""
    return {message["account"]["account_id"]: message["account"].get("name", "") for message in page}


def _behind_name(body: str, at: int, names: str | tuple[str, ...], *, strictly: bool) -> int:
    """Where what was written begins, behind a tag that calls somebody."""
    for name in (names,) if isinstance(names, str) else names:
        if name and (known := re.compile(rf"[^\S\n]*+{re.escape(name)}{_HONORIFIC}").match(body, at)):
            return known.end()
    if strictly:
        return at
    somebody = _SOMEBODY.match(body, at)
    return somebody.end() if somebody else at


def _text(body: str, parts: _Parts, start: int, end: int, names: Names, *, strictly: bool = False) -> str:
    kept, at = [], start
    # By bisection: a body of nothing but reply tags must not keep a triggerer busy.
    for index in range(bisect_left(parts.cuts, start, key=lambda cut: cut[0]), len(parts.cuts)):
        begin, until, account_id = parts.cuts[index]
        if begin >= end:
            break
        if begin < at:
            continue
        kept.append(body[at:begin])
        at = until
        if account_id is not None:
            at = _behind_name(body, until, names.get(account_id, ""), strictly=strictly)
    return ("".join(kept) + body[at:end]).strip()


class _Reply(NamedTuple):
    """A part of a body that answers a message, and room and id of that; ``None`` for a tag that cannot be read."""

    start: int
    end: int
    to: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What notation says about a body.

    :param replies: the parts that answer messages, in order.
    :param cuts: where quotes, Chatwork's own frames and the tags that call people are, and who is called; by start.
    :param is_system: whether nothing of it is by a person.
    """

    replies: tuple[_Reply, ...]
    cuts: tuple[tuple[int, int, int | None], ...]
    is_system: bool


# All waits of a triggerer on one room ask about the same messages.
@lru_cache(maxsize=2 * PAGE)
def _parts(body: str) -> _Parts:
    found = parse_tags(body)
    inert = _Blocks(block for block in found.blocks if block.opening.name in ("qt", "code"))
    tags = [tag for tag in found.tags if not inert.contain(tag.start)]
    frames = (block for block in found.blocks if block.opening.name == "info")
    notices = _Blocks(frame for frame in frames if _NOTICE.match(body, frame.opening.end))
    written = [tag for tag in tags if not notices.contain(tag.start)]
    cuts: list[tuple[int, int, int | None]] = [
        (block.opening.start, block.closing.end, None)
        for block in (*notices.outer, *(block for block in inert.outer if block.opening.name == "qt"))
    ]
    for tag in written:
        if tag.name in ("rp", "to", "toall") and not tag.closes:
            called = _CALLED.search(body[tag.start : tag.end])
            cuts.append((tag.start, tag.end, int(called[1]) if called else None))
    replies = _replies(body, [tag for tag in written if tag.name == "rp" and not tag.closes])
    is_system = not replies and _is_system(body, tags, written, notices)
    return _Parts(replies, tuple(sorted(cuts, key=lambda cut: cut[:2])), is_system)


def _replies(body: str, tags: Sequence[Tag]) -> tuple[_Reply, ...]:
    # What stands before the first tag is not left out: "not yet" in front of an answer is a part of the answer.
    edges = [0, *(tag.start for tag in tags[1:]), len(body)]
    read = (_REPLY.fullmatch(body[tag.start : tag.end]) for tag in tags)
    return tuple(
        _Reply(start, end, (int(reply[1]), int(reply[2])) if reply else None)
        for start, end, reply in zip(edges, edges[1:], read, strict=False)
    )


def _is_system(body: str, tags: Sequence[Tag], written: Sequence[Tag], notices: _Blocks) -> bool:
    if not any(tag.name == "dtext" for tag in tags):
        return False
    at, rest = 0, ""
    for block in notices.outer:
        rest += body[at : block.opening.start]
        at = block.closing.end
    return any(tag.name == "dtext" for tag in written) or not (rest + body[at:]).strip()


class _Blocks:
    """Blocks of a body, without those inside others of them.

    :param blocks: an outer one before those inside it.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        self.outer: list[Block] = []
        for block in blocks:
            if not (self.outer and self.outer[-1].contains(block.opening.start)):
                self.outer.append(block)
        self._starts = [block.opening.start for block in self.outer]

    def contain(self, position: int) -> bool:
        """Whether something at a position is inside one of them."""
        behind = bisect(self._starts, position)
        return bool(behind) and self.outer[behind - 1].contains(position)
