"""Chatwork's message notation: one function for each tag, and functions that make text safe and short enough.

Notation works in messages, tasks and room descriptions. The functions return text, to be combined with ``+``, ``join``
or a template. How an argument is treated depends on its kind:

=====================  ==============================================================================================
body (info, quote,     Notation: its tags work, so the functions can be nested. Unpaired enclosing tags are broken, so
task)                  that a body cannot end its frame early or leave a frame open.
title                  One line of inline notation: mentions, avatars, names and links work, all other tags are broken,
                       and line ends become spaces.
code                   Literal text: all tags are broken, also mentions, because Chatwork does not document that they
                       have no effect there. Emoticons stay, so that code can be copied.
name, label            Literal text on one line, made safe with :func:`safe`.
=====================  ==============================================================================================

Pass text of other people and programs through :func:`safe` before it becomes a body or title: an exception text with
``[toall]`` mentions everybody in the room. Pass the finished text through :func:`fit`, which keeps its notation valid.

Numbers may be text, as templates render text. Every function raises
:class:`~airflow_provider_chatwork.api.errors.ChatworkParameterError` for an id that does not consist of digits.

**Safe text.** Chatwork has no escape character. A tag is broken by a zero-width space (U+200B) after its ``[``: all
visible characters stay, but the text no longer contains the tag. Nothing is removed, so no new tag can form around a
gap. This relies on Chatwork keeping U+200B, which is not documented. No tag begins with a digit or with ASCII
punctuation other than ``/``. A bracket before one of these is not changed, so that ``rows[0]`` and ``["a"]`` can be
copied back into an editor.

All tags: https://developer.chatwork.com/docs/message-notation. Chatwork itself writes :func:`preview`,
:func:`download`, :func:`task`, :func:`dtext` and :func:`deleted`. They are here to recognise and simulate messages; it
is not documented whether they work in a posted message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TypeAlias

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.notation_parser import BREAK, EMOTICON, parse_tags
from airflow_provider_chatwork.api.truncation import LEFT_OUT, fit

__all__ = [
    "LEFT_OUT",
    "code",
    "deleted",
    "download",
    "dtext",
    "fit",
    "hr",
    "info",
    "picon",
    "piconname",
    "pname",
    "preview",
    "quote",
    "reply",
    "safe",
    "task",
    "title",
    "to",
    "to_all",
    "url",
]

Id: TypeAlias = int | str

_INLINE_TAG = re.compile(
    r"(\[(?:(?:to|picon|piconname|pname|dtext):|rp\s)[^\[\]]*\]|\[(?:toall|deleted|/?url)\])", re.IGNORECASE
)


def to(account_ids: Id | Iterable[Id] | Mapping[Id, str], name: str | None = None) -> str:
    """Mention accounts: ``[To:123]``. Chatwork shows only an icon, so add the name.

    :param account_ids: one id; several ids, also as a comma-separated text; or a mapping of id to name, which gives one
        line for each account. No id gives an empty text.
    :param name: the name, if there is one account.
    """
    if isinstance(account_ids, Mapping):
        return "\n".join(to(account_id, of) for account_id, of in account_ids.items())
    ids = validation.identifiers("account_ids", account_ids, required=False)
    if name is not None and len(ids) != 1:
        raise ChatworkParameterError(
            "name", name, "give a name with one account id, and several names as a mapping of account id to name"
        )
    return "".join(f"[To:{account_id}]" for account_id in ids) + _named(name)


def to_all() -> str:
    """Mention everybody in the room: ``[toall]``."""
    return "[toall]"


def reply(account_id: Id, room_id: Id, message_id: Id, name: str | None = None) -> str:
    """Reply to a message: mentions its author and links to it.

    :param account_id: the author of the message.
    :param room_id: the room of the message.
    :param message_id: the message.
    :param name: the name of the author.
    """
    account = validation.identifier("account_id", account_id)
    room = validation.identifier("room_id", room_id)
    return f"[rp aid={account} to={room}-{validation.message_identifier('message_id', message_id)}]{_named(name)}"


def quote(body: str, account_id: Id, time: Id | None = None) -> str:
    """Quote a message.

    :param body: notation; unpaired enclosing tags are broken.
    :param account_id: the author.
    :param time: when it was sent, in Unix seconds.
    """
    when = "" if time is None else f" time={validation.limit('time', time)}"
    return (
        f"[qt][qtmeta aid={validation.identifier('account_id', account_id)}{when}]{break_unpaired_tags(str(body))}[/qt]"
    )


def info(body: str, title: str | None = None) -> str:
    """Put a frame around a body.

    :param body: notation; unpaired enclosing tags are broken.
    :param title: as for :func:`title`; an empty title is omitted.
    """
    return f"[info]{_title(title) if title else ''}{break_unpaired_tags(str(body))}[/info]"


def title(text: str) -> str:
    """The title of a frame: ``[title]...[/title]``, directly after ``[info]``.

    :param text: one line of inline notation; other tags are broken, line ends become spaces.
    """
    pieces = _INLINE_TAG.split(clean(text).replace("\n", " "))
    # Everything but the known inline tags is broken, so that unknown spellings of other tags are broken, too.
    inline = "".join(piece if at % 2 else break_tags(piece) for at, piece in enumerate(pieces))
    return f"[title]{break_unpaired_tags(inline)}[/title]"


_title = title


def code(text: object) -> str:
    """Show text literally, in a monospaced block.

    :param text: any value; it is converted with ``str``. Its tags are broken with U+200B, and characters that cannot be
        sent are replaced as :func:`safe` does.
    """
    return f"[code]{break_tags(clean(text))}[/code]"


def hr() -> str:
    """A horizontal rule: ``[hr]``."""
    return "[hr]"


def picon(account_id: Id) -> str:
    """Show an account's avatar."""
    return f"[picon:{validation.identifier('account_id', account_id)}]"


def piconname(account_id: Id) -> str:
    """Show an account's avatar and name."""
    return f"[piconname:{validation.identifier('account_id', account_id)}]"


def pname(account_id: Id) -> str:
    """Show an account's name."""
    return f"[pname:{validation.identifier('account_id', account_id)}]"


def url(address: str) -> str:
    """A link. Chatwork also links URLs without this tag.

    :param address: an http or https URL without spaces; square brackets are percent-encoded.
    """
    if not re.fullmatch(r"https?://[^\s\x00-\x1f\x7f]+", str(address), re.IGNORECASE):
        raise ChatworkParameterError("address", address, "give an http or https URL without spaces")
    return f"[url]{address.replace('[', '%5B').replace(']', '%5D')}[/url]"


def preview(file_id: Id, height: Id | None = None) -> str:
    """Show an uploaded image.

    :param file_id: the file.
    :param height: its height in pixels.
    """
    tall = "" if height is None else f" ht={validation.identifier('height', height)}"
    return f"[preview id={validation.identifier('file_id', file_id)}{tall}]"


def download(file_id: Id, label: str) -> str:
    """Link to an uploaded file.

    :param file_id: the file.
    :param label: its name and size, as Chatwork writes them: ``report.csv (1.2 KB)``.
    """
    name = safe(label).replace("\n", " ")
    return f"[download:{validation.identifier('file_id', file_id)}]{name}[/download]"


def task(
    body: str, account_id: Id, status: str = "open", limit: Id | None = None, limit_type: str | None = None
) -> str:
    """Show a task card. It does not create a task; ``create_task`` does.

    :param body: notation; unpaired enclosing tags are broken.
    :param account_id: the assignee.
    :param status: ``open`` or ``done``.
    :param limit: the deadline in Unix seconds.
    :param limit_type: ``date`` or ``time``.
    """
    attributes = [
        f"aid={validation.identifier('account_id', account_id)}",
        f"st={validation.choice('status', status, validation.TASK_STATUSES)}",
    ]
    if limit is not None:
        attributes.append(f"lt={validation.limit('limit', limit)}")
    if limit_type is not None:
        attributes.append(f"ltype={validation.choice('limit_type', limit_type, ('date', 'time'))}")
    return f"[task {' '.join(attributes)}]{break_unpaired_tags(str(body))}[/task]"


def dtext(key: str) -> str:
    """Show one of Chatwork's own texts in the reader's language.

    :param key: for example ``task_added``, ``task_done``, ``file_uploaded`` or ``chatroom_deleted``.
    """
    if not re.fullmatch("[a-z][a-z0-9_]*", str(key)):
        raise ChatworkParameterError("key", key, "give a key of lower-case letters and underscores, such as task_done")
    return f"[dtext:{key}]"


def deleted() -> str:
    """The body of a deleted message: ``[deleted]``."""
    return "[deleted]"


def _named(name: str | None) -> str:
    return "" if name is None else " " + safe(name).replace("\n", " ")


# A bracket at the end of the text is broken too: text that is appended later could complete a tag.
_TAG_START = re.compile(rf"\[(?!{BREAK}|[!-.0-@\[-^`{{-~])")

_SURROGATE = re.compile("[\ud800-\udfff]")
_TERMINAL_COLOUR = re.compile(r"\x1b\[[0-?]*+[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def safe(text: object) -> str:
    """Return untrusted text with every tag and emoticon broken: no mention, no frame, no link by a tag.

    For text that was not written for Chatwork: exception texts, SQL, log lines, display names. The visible text stays
    the same, with these exceptions: CR LF and CR become LF, terminal colours are removed, and other control characters
    and lone surrogates become U+FFFD. Emoticons inside an http(s) link are not changed. ``safe(safe(x)) == safe(x)``.

    :param text: any value; it is converted with ``str``.
    """
    return break_tags(EMOTICON.sub(lambda found: found[0] + BREAK if found["first"] else found[0], clean(text)))


def break_unpaired_tags(text: str) -> str:
    """Break every unpaired enclosing tag, so that the text cannot end a frame around it or leave one open."""
    cuts = [0, *(tag.start + 1 for tag in parse_tags(text).unpaired), len(text)]
    return BREAK.join(text[start:end] for start, end in pairwise(cuts))


def break_tags(text: str) -> str:
    """Break every tag, known or unknown. Emoticons are not changed."""
    return _TAG_START.sub(f"[{BREAK}", text)


def clean(text: object) -> str:
    """Return text with LF line ends, without control characters other than tab and LF, encodable as UTF-8."""
    text = str(text)
    if _SURROGATE.search(text):
        # Two adjacent halves of a surrogate pair are one character that was decoded wrongly.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("\ufffd", _TERMINAL_COLOUR.sub("", text))
