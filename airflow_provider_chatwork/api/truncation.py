"""Shorten text in the middle without breaking its notation."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.notation_parser import BREAK, ParsedTags, live_positions, parse_tags
from airflow_provider_chatwork.api.validation import MAX_BODY

#: Replaces the text that was cut out; ``{count}`` is the number of characters.
LEFT_OUT = "… ({count:,} characters left out) …"

_SHORTEST_MARK = "…"
# How far a cut moves to reach a line end, and the longest sequence of combined characters that it keeps together.
_LINE_REACH = 200
_JOIN_REACH = 64
# No tag is longer.
_TAG_REACH = 500

_ZERO_WIDTH_JOINER = "\u200d"
_HALF_WIDTH_VOICE_MARKS = "\uff9e\uff9f"


def fit(text: object, limit: int = MAX_BODY, left_out: str = LEFT_OUT) -> str:
    """Return the text if it has at most ``limit`` characters, else its beginning and its end with a mark between.

    The end is kept because a report has its cause there. No tag, surrogate pair or combined character is cut, and a cut
    moves to a near line end. A block that is cut is closed before the mark and opened again after it, so notation stays
    valid, and text that :func:`~airflow_provider_chatwork.api.notation.safe` made safe stays safe. Call this last: tags
    around a shortened text make it too long again.

    If the mark needs more than half of ``limit``, it is ``…``. If not even the tags around the cut fit, the result is
    ``…`` only.

    :param text: plain text or notation; any other value is converted with ``str``.
    :param limit: the largest length of the result, at least 1, in Unicode code points. Chatwork documents "65535
        characters" and not how it counts them.
    :param left_out: the mark; ``{count}`` in it is the number of characters left out.
    :raises ChatworkParameterError: for a limit below 1, or a mark with another placeholder than ``{count}``.
    """
    text = str(text)
    _check_limit(limit)
    if len(text) <= limit:
        return text
    longest_mark = len(_mark(left_out, len(text)))
    if 2 * longest_mark > limit:
        left_out, longest_mark = _SHORTEST_MARK, len(_SHORTEST_MARK)
    found = parse_tags(text)
    keep, tries = limit - longest_mark, 0
    while keep > 0:
        result = _cut(text, found, keep, left_out)
        excess = len(result) - limit
        if excess <= 0:
            return result
        # The tags that close and reopen blocks add to the length, and depend on the place of the cut. After a few
        # exact steps the kept length is halved, which limits the work for deep nesting.
        tries += 1
        keep = keep - excess if tries < 8 else keep // 2
    return _SHORTEST_MARK


def _check_limit(limit: object) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ChatworkParameterError("limit", limit, "give the number of characters as a positive whole number")


def _mark(left_out: str, count: int) -> str:
    try:
        return left_out.format(count=count)
    except (LookupError, ValueError, AttributeError) as error:
        remedy = "give a text with {count} as its only placeholder"
        raise ChatworkParameterError("left_out", left_out, remedy) from error


def _cut(text: str, found: ParsedTags, keep: int, left_out: str) -> str:
    head = _end_of_head(text, found, keep // 2)
    tail = _start_of_tail(text, found, len(text) - (keep - keep // 2))
    closed = [block for block in found.blocks if block.contains(head) and not block.contains(tail)]
    opened = [block for block in found.blocks if block.contains(tail) and not block.contains(head)]
    before = text[:head] + "".join(text[block.closing.start : block.closing.end] for block in reversed(closed))
    mark = _mark(left_out, tail - head)
    after = "".join(text[block.opening.start : block.opening.end] for block in opened) + text[tail:]
    # The two ends may form a tag or an emoticon together, which is broken.
    near, near_after = before[-_TAG_REACH:], after[:_TAG_REACH]
    known, at = set(), 0
    for part in (near, mark, near_after):
        known |= {at + position for position in live_positions(part)}
        at += len(part)
    if live_positions(near + mark + near_after) - known:
        mark = f"{BREAK}{mark}{BREAK}"
    return before + mark + after


def _end_of_head(text: str, found: ParsedTags, position: int) -> int:
    """The best place for a cut at or before the position."""
    reach = min(_LINE_REACH, position // 4)
    position = text.rfind("\n", position - reach, position) + 1 or position
    for _ in range(_JOIN_REACH):
        if not _is_inside_character(text, position):
            break
        position -= 1
    tag = bisect_left(found.tags, position, key=lambda tag: tag.start) - 1
    return found.tags[tag].start if tag >= 0 and found.tags[tag].end > position else position


def _start_of_tail(text: str, found: ParsedTags, position: int) -> int:
    """The best place for a cut at or after the position."""
    reach = min(_LINE_REACH, (len(text) - position) // 4)
    line_end = text.find("\n", position, position + reach)
    position = position if line_end < 0 else line_end
    for _ in range(_JOIN_REACH):
        if not _is_inside_character(text, position):
            break
        position += 1
    tag = bisect_left(found.tags, position, key=lambda tag: tag.start) - 1
    return found.tags[tag].end if tag >= 0 and found.tags[tag].end > position else position


def _is_inside_character(text: str, position: int) -> bool:
    """Whether the code points before and after the position form one visible character."""
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
