"""What a room tells of its tasks by itself: the lines Chatwork writes when somebody gives, ticks or deletes one.

That they look like this is known from what people have seen in their rooms and is in no description of the API. So
whatever is built on them has to do without them, too, and anything unexpected is no line at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What every such line holds, whatever else may be different in it.
_ABOUT_TASKS = "[dtext:task"
_KEY = re.compile(r"\A\s*\[info\]\s*\[title\]\s*\[dtext:(?P<key>[a-z0-9_]{1,50})\]\s*\[/title\]")
_CUT = re.compile(r"(\[?(\.{2,}|…+)\]?)\Z")
_OPENING = re.compile(r"\[task (?P<attributes>[^\[\]]{0,200})\]")
_ATTRIBUTE = re.compile(r"(?P<name>[a-z]{1,10})=(?P<value>[^ ]{1,30})")


@dataclass(frozen=True, slots=True)
class Card:
    """A task as such a line shows it. ``limit_time`` is in Unix seconds, 0 without a deadline."""

    account_id: int
    limit_time: int
    body: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One such line: what it says (``task_done``), and of which tasks."""

    key: str
    cards: tuple[Card, ...]


def read_notice(body: str) -> Notice | None:
    """Read a message that Chatwork wrote about tasks; ``None`` for every other.

    The text of a task may hold anything, such as tags that look like another card. A card ends where the next begins.
    """
    heading = _KEY.match(body)
    if heading is None:
        return None
    openings = list(_OPENING.finditer(body, heading.end()))
    # A line may have none, such as that of a file.
    bounds = [*(opening.start() for opening in openings), len(body)]
    cards = [
        _card(opening["attributes"], body[opening.end() : end])
        for opening, end in zip(openings, bounds[1:], strict=True)
    ]
    return Notice(heading["key"], tuple(card for card in cards if card is not None))


def may_tell_of(text: str, message: str) -> bool:
    """Whether a message may be the line that tells of a task with this text.

    In doubt it may: what holds the text does, whatever became of its white space, or its beginning and a sign that it
    was cut; and so does a line about tasks that cannot be read.

    :param text: the whole text of the task.
    :param message: the body of the message.
    """
    wanted = _letters(text)
    holds = wanted in _letters(message)
    if _ABOUT_TASKS not in message:
        return holds
    notice = read_notice(message)
    # A text with tags of its own may look like several cards.
    if notice is None or not notice.cards or (holds and "[" in wanted):
        return True
    return any(_may_show(wanted, _letters(card.body)) for card in notice.cards)


def _may_show(wanted: str, shown: str) -> bool:
    beginning = _CUT.sub("", shown)
    # Without such a sign it is another text that begins alike: one reference may end in 1, and another in 10.
    return shown == wanted or ((not shown or beginning != shown) and wanted.startswith(beginning))


def _letters(text: str) -> str:
    return "".join(text.split())


def _card(attributes: str, rest: str) -> Card | None:
    named = {match["name"]: match["value"] for match in _ATTRIBUTE.finditer(attributes)}
    account, limit = named.get("aid", ""), named.get("lt", "0")
    body, closing, _ = rest.rpartition("[/task]")
    if not (closing and _is_number(account) and _is_number(limit)):
        return None
    return Card(int(account), int(limit), body)


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]{1,18}", text) is not None
