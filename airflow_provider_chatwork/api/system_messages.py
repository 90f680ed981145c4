"""The messages that Chatwork itself posts about tasks (a task was assigned, completed, deleted).

Their form is not documented; it was read from real rooms. Code that uses them must work without them, so everything
unexpected counts as "may mention the task".
"""

from __future__ import annotations

import re

# Part of every system message about tasks.
_ABOUT_TASKS = "[dtext:task"
_HEADING = re.compile(r"\A\s*\[info\]\s*\[title\]\s*\[dtext:[a-z0-9_]{1,50}\]\s*\[/title\]")
_TRUNCATION_MARK = re.compile(r"(\[?(\.{2,}|…+)\]?)\Z")
_CARD = re.compile(r"\[task (?P<attributes>[^\[\]]{0,200})\]")
_ACCOUNT = re.compile(r"(?:^| )aid=[0-9]{1,18}(?= |$)")


def may_mention_task(text: str, message: str) -> bool:
    """Whether a message may be about a task with this text.

    True for a message that contains the text, or its beginning and a truncation mark; white space is ignored. Also true
    for a system message about tasks that cannot be parsed.

    :param text: the whole text of the task.
    :param message: the body of the message.
    """
    wanted = _without_spaces(text)
    contains = wanted in _without_spaces(message)
    if _ABOUT_TASKS not in message:
        return contains
    shown = _task_texts(message)
    # A task text that contains tags may be parsed as several cards.
    if not shown or (contains and "[" in wanted):
        return True
    return any(_is_same_or_truncated(wanted, _without_spaces(each)) for each in shown)


def _task_texts(message: str) -> list[str]:
    """The texts of the task cards of a system message. Empty if it cannot be parsed.

    A task text may contain tags like those of a card, so a card ends where the next one begins.
    """
    heading = _HEADING.match(message)
    if heading is None:
        return []
    cards = list(_CARD.finditer(message, heading.end()))
    ends = [*(card.start() for card in cards), len(message)][1:]
    texts = []
    for card, end in zip(cards, ends, strict=True):
        text, closing, _ = message[card.end() : end].rpartition("[/task]")
        if closing and _ACCOUNT.search(card["attributes"]):
            texts.append(text)
    return texts


def _is_same_or_truncated(wanted: str, shown: str) -> bool:
    beginning = _TRUNCATION_MARK.sub("", shown)
    # Without a truncation mark, a text with the same beginning is another one: a reference may end in 1 or in 10.
    return shown == wanted or ((not shown or beginning != shown) and wanted.startswith(beginning))


def _without_spaces(text: str) -> str:
    return "".join(text.split())
