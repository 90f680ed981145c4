"""A parser of message bodies.

It finds tags, pairs those that enclose text, and separates what the author wrote from what Chatwork added.
"""

from __future__ import annotations

import re
from bisect import bisect, bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from airflow_provider_chatwork.api import models

#: U+200B ZERO WIDTH SPACE, which breaks a tag.
BREAK = "\u200b"

#: The tags that enclose text. An unpaired one changes how the text around it is displayed.
ENCLOSING = frozenset({"info", "title", "code", "qt", "url", "task", "download"})

# This accepts more than Chatwork writes, because it is not documented which case and spaces Chatwork accepts. The
# [qtmeta] of a quote is part of its opening tag. Possessive repetitions keep the matching linear in the text's length.
_TAG = re.compile(
    r"\[\s*+(?P<slash>/?)\s*+(?P<name>[a-z]++)(?:[:\s][^\[\]]{0,200}+)?\](?:(?<=\[qt\])\[qtmeta\s[^\[\]]{0,200}+\])?",
    re.IGNORECASE,
)


#: The emoticons that Chatwork draws, also beside Japanese letters. The group ``first`` is missing for a link.
# Only the first character of an emoticon is consumed, so that overlapping ones are found, like `;)` in `(^^;)`.
# Links are matched first and not changed: a link that contains `(y)` must stay a link.
EMOTICON = re.compile(
    rf"""
    https?://[!-~{BREAK}]*+
    | (?P<first>
        \((?=(?:
            sweat|blush|inlove|talk|yawn|puke|emo|nod|shake|whew|clap|bow|roger|flex|dance|gogo|think|please|quick
            |anger|devil|lightbulb|cracker|eat|coffee|beer|handshake|[hfy]|[*^]|\^\^;|:/
        )\))
        | [:;](?=-?[()])
        | :(?=-?[|*]|[\^\#]\))
        | (?<![a-z0-9_]):(?=-?[dop](?![a-z0-9_]))
        | (?<![a-z0-9_])8(?=-[)|])
        | \|(?=-\))
    )
    """,
    re.IGNORECASE | re.VERBOSE,
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
    ends_of_code = [tag for tag in enclosing if tag.closes and tag.name == "code"]
    last_end_of_code = ends_of_code[-1].start if ends_of_code else -1
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
            blocks.append(Block(tag, next(other for other in remaining if other.closes and other.name == "code")))
        else:
            pending.append(tag)
            pending_names[tag.name] += 1
    blocks.sort(key=lambda block: block.opening.start)
    return ParsedTags(tags, blocks, sorted(unpaired + pending, key=lambda tag: tag.start))


def live_positions(text: str) -> set[int]:
    """The positions where tags and emoticons begin."""
    emoticons = (found.start() for found in EMOTICON.finditer(text) if found["first"])
    return {*(found.start() for found in _TAG.finditer(text)), *emoticons}


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
        if account_id is None:
            continue
        # Skip the name that Chatwork writes after a mention.
        known = names.get(account_id, "")
        patterns = [
            re.compile(rf"[^\S\n]*+{re.escape(name)}{_HONORIFIC}")
            for name in ((known,) if isinstance(known, str) else known)
            if name
        ]
        for pattern in [*patterns, *([] if strictly else [_SOMEBODY])]:
            if name_found := pattern.match(body, at):
                at = name_found.end()
                break
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
    inert, tags = _outside([block for block in found.blocks if block.opening.name in ("qt", "code")], found.tags)
    frames = [block for block in found.blocks if block.opening.name == "info"]
    notices, written = _outside([frame for frame in frames if _NOTICE.match(body, frame.opening.end)], tags)
    cuts: list[tuple[int, int, int | None]] = [
        (block.opening.start, block.closing.end, None)
        for block in (*notices, *(block for block in inert if block.opening.name == "qt"))
    ]
    for tag in written:
        if tag.name in ("rp", "to", "toall") and not tag.closes:
            called = _CALLED.search(body[tag.start : tag.end])
            cuts.append((tag.start, tag.end, int(called[1]) if called else None))
    reply_tags = [tag for tag in written if tag.name == "rp" and not tag.closes]
    # Text before the first tag is included: "not yet" before a reply is part of the reply.
    edges = [0, *(tag.start for tag in reply_tags[1:]), len(body)]
    targets = (_REPLY.fullmatch(body[tag.start : tag.end]) for tag in reply_tags)
    replies = tuple(
        _Reply(start, end, (int(target[1]), int(target[2])) if target else None)
        for start, end, target in zip(edges, edges[1:], targets, strict=False)
    )
    is_system = not replies and any(tag.name == "dtext" for tag in tags) and _is_system(body, written, notices)
    return _Parts(replies, tuple(sorted(cuts, key=lambda cut: cut[:2])), is_system)


def _is_system(body: str, written: Sequence[Tag], notices: Sequence[Block]) -> bool:
    at, rest = 0, ""
    for block in notices:
        rest += body[at : block.opening.start]
        at = block.closing.end
    return any(tag.name == "dtext" for tag in written) or not (rest + body[at:]).strip()


def _outside(blocks: Sequence[Block], tags: Sequence[Tag]) -> tuple[list[Block], list[Tag]]:
    """Return the outermost of some blocks, and the tags outside of all of them.

    :param blocks: an outer one comes before those inside it.
    """
    outer: list[Block] = []
    for block in blocks:
        if not (outer and outer[-1].contains(block.opening.start)):
            outer.append(block)
    # Bisection keeps this fast for a body with thousands of tags.
    starts = [block.opening.start for block in outer]
    positions = ((tag, bisect(starts, tag.start)) for tag in tags)
    return outer, [tag for tag, behind in positions if not (behind and outer[behind - 1].contains(tag.start))]
