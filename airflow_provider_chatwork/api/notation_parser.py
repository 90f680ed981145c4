"""A parser of Chatwork's message notation: it finds tags, and pairs those that enclose text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

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
