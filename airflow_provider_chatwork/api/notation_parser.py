"""Where the tags of a text are, and which of them belong together."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from airflow_provider_chatwork.api.notation_escaping import BREAK

#: The tags that enclose something. One of them left alone swallows or ends what other people wrote.
ENCLOSING = frozenset({"info", "title", "code", "qt", "url", "task", "download"})

# Wider than what Chatwork writes, as its own tolerance for case and blanks is not documented. The data of a quote is
# taken as part of the quote's opening tag. Every repetition is possessive or ends at the next bracket, hence linear.
_TAG = re.compile(
    r"\[\s*+(?P<slash>/?)\s*+(?P<name>[a-z]++)(?:[:\s][^\[\]]{0,200}+)?\](?:(?<=\[qt\])\[qtmeta\s[^\[\]]{0,200}+\])?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: ``text[start:end]``, its name in lower case, and whether it closes."""

    start: int
    end: int
    name: str
    closes: bool


@dataclass(frozen=True, slots=True)
class Block:
    """Two tags that belong together, and so what is between them."""

    opening: Tag
    closing: Tag

    def holds(self, position: int) -> bool:
        """Whether something put at this position would be inside the block."""
        return self.opening.end <= position <= self.closing.start


@dataclass(frozen=True, slots=True)
class Outline:
    """The tags of a text.

    :param tags: all of them, in order.
    :param blocks: the pairs, an outer one before those inside it.
    :param strays: enclosing tags without a partner, in order.
    """

    tags: list[Tag]
    blocks: list[Block]
    strays: list[Tag]


def outline(text: str) -> Outline:
    """Find the tags of a text and pair the enclosing ones. In ``[code]`` all tags but the one that ends it are text."""
    tags = [
        Tag(match.start(), match.end(), match["name"].lower(), bool(match["slash"])) for match in _TAG.finditer(text)
    ]
    blocks: list[Block] = []
    strays: list[Tag] = []
    pending: list[Tag] = []
    pending_names: Counter[str] = Counter()
    enclosing = [tag for tag in tags if tag.name in ENCLOSING]
    last_end_of_code = max((tag.start for tag in enclosing if _ends_code(tag)), default=-1)
    remaining = iter(enclosing)
    for tag in remaining:
        if tag.closes and pending_names[tag.name]:
            while (opening := pending.pop()).name != tag.name:
                pending_names[opening.name] -= 1
                strays.append(opening)
            pending_names[tag.name] -= 1
            blocks.append(Block(opening, tag))
        elif tag.closes:
            strays.append(tag)
        elif tag.name == "code" and tag.start < last_end_of_code:
            blocks.append(Block(tag, next(filter(_ends_code, remaining))))
        else:
            pending.append(tag)
            pending_names[tag.name] += 1
    blocks.sort(key=lambda block: block.opening.start)
    return Outline(tags, blocks, sorted(strays + pending, key=lambda tag: tag.start))


def balanced(text: str) -> str:
    """Break every enclosing tag that has no partner, so that the text can neither end nor outlast a frame around it."""
    cuts = [0, *(tag.start + 1 for tag in outline(text).strays), len(text)]
    return BREAK.join(text[start:end] for start, end in pairwise(cuts))


def _ends_code(tag: Tag) -> bool:
    return tag.closes and tag.name == "code"
