"""A parser of message bodies.

It finds tags, pairs those that enclose text, and separates what the author wrote from what Chatwork added.
"""

from __future__ import annotations

import re
from bisect import bisect, bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.notation_escaping import BREAK

#: The tags that enclose text. An unpaired one changes how the text around it is displayed.
ENCLOSING = frozenset({"info", "title", "code", "qt", "url", "task", "download"})

# This accepts more than Chatwork writes, because it is not documented which case and spaces Chatwork accepts. The
# [qtmeta] of a quote is part of its opening tag. Possessive repetitions keep the matching linear in the text's length.
_TAG = re.compile(
    r"\[\s*+(?P<slash>/?)\s*+(?P<name>[a-z]++)(?:[:\s][^\[\]]{0,200}+)?\](?:(?<=\[qt\])\[qtmeta\s[^\[\]]{0,200}+\])?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: ``text[start:end]``, its name in lower case, and whether it is a closing tag."""

    start: int
    end: int
    name: str
    closes: bool


@dataclass(frozen=True, slots=True)
class Block:
    """An opening tag with its closing tag."""

    opening: Tag
    closing: Tag

    def contains(self, position: int) -> bool:
        """Whether a position is inside the block."""
        return self.opening.end <= position <= self.closing.start


@dataclass(frozen=True, slots=True)
class ParsedTags:
    """The tags of a text.

    :param tags: all of them, in order.
    :param blocks: the pairs of enclosing tags; an outer pair comes before the pairs inside it.
    :param unpaired: enclosing tags without a partner, in order.
    """

    tags: list[Tag]
    blocks: list[Block]
    unpaired: list[Tag]


def parse_tags(text: str) -> ParsedTags:
    """Find the tags of a text and pair the enclosing ones. Inside ``[code]`` only the tag that ends it is a tag."""
    tags = [
        Tag(match.start(), match.end(), match["name"].lower(), bool(match["slash"])) for match in _TAG.finditer(text)
    ]
    blocks: list[Block] = []
    unpaired: list[Tag] = []
    pending: list[Tag] = []
    pending_names: Counter[str] = Counter()
    enclosing = [tag for tag in tags if tag.name in ENCLOSING]
    last_end_of_code = max((tag.start for tag in enclosing if _is_end_of_code(tag)), default=-1)
    remaining = iter(enclosing)
    for tag in remaining:
        if tag.closes and pending_names[tag.name]:
            while (opening := pending.pop()).name != tag.name:
                pending_names[opening.name] -= 1
                unpaired.append(opening)
            pending_names[tag.name] -= 1
            blocks.append(Block(opening, tag))
        elif tag.closes:
            unpaired.append(tag)
        elif tag.name == "code" and tag.start < last_end_of_code:
            blocks.append(Block(tag, next(filter(_is_end_of_code, remaining))))
        else:
            pending.append(tag)
            pending_names[tag.name] += 1
    blocks.sort(key=lambda block: block.opening.start)
    return ParsedTags(tags, blocks, sorted(unpaired + pending, key=lambda tag: tag.start))


def break_unpaired_tags(text: str) -> str:
    """Break every unpaired enclosing tag, so that the text cannot end a frame around it or leave one open."""
    cuts = [0, *(tag.start + 1 for tag in parse_tags(text).unpaired), len(text)]
    return BREAK.join(text[start:end] for start, end in pairwise(cuts))


def _is_end_of_code(tag: Tag) -> bool:
    return tag.closes and tag.name == "code"


#: Names by account id; an account may have several.
Names: TypeAlias = Mapping[int, str | tuple[str, ...]]

_DELETED = "[deleted]"
_REPLY = re.compile(r"\[\s*rp\s[^\[\]]*?\bto=([0-9]{1,20})-([0-9]{1,20})\b[^\[\]]*\]", re.IGNORECASE)
_CALLED = re.compile(r"(?:to:|\baid=)\s*([0-9]{1,18})", re.IGNORECASE)
# Chatwork writes the name of a mentioned account after the tag, on the same line, in Japanese with an honorific.
_SOMEBODY = re.compile(r"[^\S\n]*+[^\n\[\]、。,.!?！？]{1,100}?さん[^\S\n]*+(?=\n)")
# A frame that Chatwork writes begins with a [dtext:] tag, which is displayed in the reader's language.
_NOTICE = re.compile(r"\s*+(?:\[title\]\s*+)?\[dtext:", re.IGNORECASE)
_HONORIFIC = r"(?:[^\S\n]*+(?:さん|さま|様)|(?!\w))"


def is_deleted(body: str) -> bool:
    """Whether a body is that of a deleted message."""
    return body.strip() == _DELETED


def is_system(body: str) -> bool:
    """Whether a message is a system message: somebody joined, a task was added or done, a file was uploaded.

    A ``[dtext:...]`` tag inside a quote or code does not count. A message with text beside Chatwork's frame, such as a
    comment on a file, is not a system message.
    """
    return "[dtext:" in body and _parts(body).is_system


def is_reply_to(body: str, room_id: int, message_id: str) -> bool:
    """Whether a message replies to another one by ``[rp aid=... to=room-message]`` outside quotes and code."""
    return any(reply.to == (room_id, int(message_id)) for reply in _parts(body).replies)


def own_text(body: str, names: Names | None = None) -> str:
    """The text that the author of a message wrote.

    It is without quotes, reply tags, To tags and the names after them, and without the frame of a file. Other notation
    stays. A name is removed if it is in ``names``, or if it is the rest of its line and ends with an honorific.

    :param names: the known names by account id.
    """
    return _text(body, _parts(body), 0, len(body), names or {})


def reply_texts(
    body: str, room_id: int, message_id: str, names: Names | None = None, *, strictly: bool = False
) -> list[str]:
    """The texts that the author of a message wrote in reply to another message; see :func:`own_text`.

    A message may reply to several messages. A reply goes from its reply tag to the next reply tag; text before the
    first reply tag belongs to the first reply. There are several texts if a message replies to the same one repeatedly.

    :param room_id: the room of the other message.
    :param message_id: the id of the other message.
    :param names: the known names by account id.
    :param strictly: remove only names that are in ``names``.
    """
    parts = _parts(body)
    return [
        _text(body, parts, reply.start, reply.end, names or {}, strictly=strictly)
        for reply in parts.replies
        if reply.to == (room_id, int(message_id))
    ]


def names_on(page: Sequence[models.Message]) -> dict[int, str]:
    """The names of the authors of the messages, by account id."""
    return {message["account"]["account_id"]: message["account"].get("name", "") for message in page}


def _end_of_name(body: str, at: int, names: str | tuple[str, ...], *, strictly: bool) -> int:
    """The position after the name that follows a mention at position ``at``."""
    for name in (names,) if isinstance(names, str) else names:
        if name and (known := re.compile(rf"[^\S\n]*+{re.escape(name)}{_HONORIFIC}").match(body, at)):
            return known.end()
    if strictly:
        return at
    somebody = _SOMEBODY.match(body, at)
    return somebody.end() if somebody else at


def _text(body: str, parts: _Parts, start: int, end: int, names: Names, *, strictly: bool = False) -> str:
    kept, at = [], start
    # Bisection keeps this fast for a body with thousands of reply tags.
    for index in range(bisect_left(parts.cuts, start, key=lambda cut: cut[0]), len(parts.cuts)):
        begin, until, account_id = parts.cuts[index]
        if begin >= end:
            break
        if begin < at:
            continue
        kept.append(body[at:begin])
        at = until
        if account_id is not None:
            at = _end_of_name(body, until, names.get(account_id, ""), strictly=strictly)
    return ("".join(kept) + body[at:end]).strip()


class _Reply(NamedTuple):
    """A part of a body that replies to a message. ``to`` is its room id and message id; ``None`` for an invalid tag."""

    start: int
    end: int
    to: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Parts:
    """A parsed body.

    :param replies: the parts that reply to messages, in order.
    :param cuts: start, end and mentioned account of each quote, Chatwork frame and mention, in order.
    :param is_system: whether it is a system message.
    """

    replies: tuple[_Reply, ...]
    cuts: tuple[tuple[int, int, int | None], ...]
    is_system: bool


# All waits of a triggerer on one room read the same messages. A page has 100.
@lru_cache(maxsize=200)
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
    # Text before the first tag is included: "not yet" before a reply is part of the reply.
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
    """The outermost of some blocks.

    :param blocks: the blocks; an outer one comes before those inside it.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        self.outer: list[Block] = []
        for block in blocks:
            if not (self.outer and self.outer[-1].contains(block.opening.start)):
                self.outer.append(block)
        self._starts = [block.opening.start for block in self.outer]

    def contain(self, position: int) -> bool:
        """Whether a position is inside one of the blocks."""
        behind = bisect(self._starts, position)
        return bool(behind) and self.outer[behind - 1].contains(position)
