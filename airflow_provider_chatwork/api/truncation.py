"""Text cut to a length, in the middle, without breaking what is left."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.notation_parser import Outline, outline
from airflow_provider_chatwork.api.validation import MAX_BODY

#: Stands where text was cut out; ``{count}`` is the number of characters.
LEFT_OUT = "… ({count:,} characters left out) …"

_SHORTEST_SIGN = "…"
# How far a cut moves to a line end, and how long a run of joined characters it respects.
_LINE_REACH = 200
_JOIN_REACH = 64

_ZERO_WIDTH_JOINER = "\u200d"
_HALF_WIDTH_VOICE_MARKS = "\uff9e\uff9f"


def fit(text: object, limit: int = MAX_BODY, left_out: str = LEFT_OUT) -> str:
    """Return the text if it has at most ``limit`` characters, otherwise its beginning and end with a sign between.

    Both ends are kept because a report says at its beginning what it is about, and at its end what the cause was.

    The result never has more than ``limit`` characters. No tag, surrogate pair or combining sequence is cut in half,
    and cuts move to a near line end. Every block that is closed in ``text`` is closed in the result: one that is cut
    open is closed before the sign, or opened again behind it, with its own tags. Composed notation therefore stays
    whole, and what :func:`~airflow_provider_chatwork.api.notation.safe` made harmless stays harmless. So compose
    first and call this last: tags put around a text that just fits make it too long again.

    Where the sign would take more than half of ``limit`` a plain ``…`` stands for it; where not even the tags around
    a cut fit, ``…`` is all that is returned.

    :param text: plain text or notation; any other value is turned into text with ``str``.
    :param limit: the most characters to return, at least 1. Characters are Unicode code points: Chatwork documents
        "65535 characters", and whether it counts otherwise is not known.
    :param left_out: the sign; ``{count}`` in it is the number of characters left out.
    :raises ChatworkParameterError: for a limit under 1, or a sign with another placeholder than ``{count}``.
    """
    text = str(text)
    _check_limit(limit)
    if len(text) <= limit:
        return text
    longest_sign = len(_sign(left_out, len(text)))
    if 2 * longest_sign > limit:
        left_out, longest_sign = _SHORTEST_SIGN, len(_SHORTEST_SIGN)
    found = outline(text)
    keep, tries = limit - longest_sign, 0
    while keep > 0:
        result = _cut(text, found, keep, left_out)
        excess = len(result) - limit
        if excess <= 0:
            return result
        # The tags that close and reopen blocks come on top of what is kept, and change with the place of the cut.
        # Halving after a few exact steps bounds the work for any nesting.
        tries += 1
        keep = keep - excess if tries < 8 else keep // 2
    return _SHORTEST_SIGN


def _check_limit(limit: object) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ChatworkParameterError("limit", limit, "give the number of characters as a positive whole number")


def _sign(left_out: str, count: int) -> str:
    try:
        return left_out.format(count=count)
    except (LookupError, ValueError, AttributeError) as error:
        remedy = "give a text with {count} as its only placeholder"
        raise ChatworkParameterError("left_out", left_out, remedy) from error


def _cut(text: str, found: Outline, keep: int, left_out: str) -> str:
    head = _end_of_head(text, found, keep // 2)
    tail = _start_of_tail(text, found, len(text) - (keep - keep // 2))
    closed = [block for block in found.blocks if block.holds(head) and not block.holds(tail)]
    opened = [block for block in found.blocks if block.holds(tail) and not block.holds(head)]
    return "".join(
        [
            text[:head],
            *(text[block.closing.start : block.closing.end] for block in reversed(closed)),
            _sign(left_out, tail - head),
            *(text[block.opening.start : block.opening.end] for block in opened),
            text[tail:],
        ]
    )


def _end_of_head(text: str, found: Outline, position: int) -> int:
    """Return the best place at or before the position for a cut."""
    reach = min(_LINE_REACH, position // 4)
    position = text.rfind("\n", position - reach, position) + 1 or position
    for _ in range(_JOIN_REACH):
        if not _joined(text, position):
            break
        position -= 1
    tag = bisect_left(found.tags, position, key=lambda tag: tag.start) - 1
    return found.tags[tag].start if tag >= 0 and found.tags[tag].end > position else position


def _start_of_tail(text: str, found: Outline, position: int) -> int:
    """Return the best place at or behind the position for a cut."""
    reach = min(_LINE_REACH, (len(text) - position) // 4)
    line_end = text.find("\n", position, position + reach)
    position = position if line_end < 0 else line_end
    for _ in range(_JOIN_REACH):
        if not _joined(text, position):
            break
        position += 1
    tag = bisect_left(found.tags, position, key=lambda tag: tag.start) - 1
    return found.tags[tag].end if tag >= 0 and found.tags[tag].end > position else position


def _joined(text: str, position: int) -> bool:
    """Whether the characters on both sides of the position are one to the reader, or to the encoder."""
    if not 0 < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    return (
        unicodedata.category(after) in ("Mn", "Mc", "Me", "Cf")
        or after in _HALF_WIDTH_VOICE_MARKS
        or before == _ZERO_WIDTH_JOINER
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or ("\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff")
        or ("\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff")
        or (before == "\r" and after == "\n")
    )
