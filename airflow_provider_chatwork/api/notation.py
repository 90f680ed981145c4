"""Chatwork's message notation: one function for every tag, and what makes text fit to be sent.

Notation works in messages, tasks and room descriptions. The functions return text, to be put together with ``+``,
``join`` or a template. What an argument may hold depends on what it is:

=====================  ==============================================================================================
body (info, quote,     Notation: tags in it act, so results of these functions can be nested. Enclosing tags without
task)                  a partner are broken, so that no body can end its frame early or leave one open behind it.
title                  One line of inline notation: mentions, avatars, names and links act, all other tags are broken
                       (a title can thus not close itself), and line ends become spaces.
code                   Literal text: all tags in it are broken, also mentions, as Chatwork does not say that these
                       are without effect there. Emoticons stay, so that code can be copied.
name, label            Literal text on one line, made harmless with :func:`safe`.
=====================  ==============================================================================================

Text that people or machines wrote belongs through :func:`safe` before it becomes a body or title: an exception text
with ``[toall]`` in it calls everyone in the room. What is finished goes through :func:`fit`, which keeps it whole.

Numbers may come as text, as they do from templates. Every function raises
:class:`~airflow_provider_chatwork.api.errors.ChatworkParameterError` for an id that is not made of digits.

Which tags there are: https://developer.chatwork.com/docs/message-notation. The tags that Chatwork itself writes into
messages (:func:`preview`, :func:`download`, :func:`task`, :func:`dtext`, :func:`deleted`) are here to be recognised
and simulated; whether Chatwork lets them act when a client sends them is not documented.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.notation_escaping import break_tags, clean, safe
from airflow_provider_chatwork.api.notation_parser import break_unpaired_tags
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
    """Call accounts: ``[To:123]``. Chatwork shows an icon only, so give the name to be read as well.

    :param account_ids: one id; several, also as a comma-separated text; or a mapping of id to name, which gives one
        line for each. Nobody gives an empty text.
    :param name: the name of the one account.
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
    """Call everyone in the room: ``[toall]``."""
    return "[toall]"


def reply(account_id: Id, room_id: Id, message_id: Id, name: str | None = None) -> str:
    """Answer a message: calls its author and links to it.

    :param account_id: who wrote the message.
    :param room_id: where it is.
    :param message_id: which one it is.
    :param name: the author's name, to be read.
    """
    account = validation.identifier("account_id", account_id)
    room = validation.identifier("room_id", room_id)
    return f"[rp aid={account} to={room}-{validation.message_identifier('message_id', message_id)}]{_named(name)}"


def quote(body: str, account_id: Id, time: Id | None = None) -> str:
    """Quote what somebody said.

    :param body: notation; enclosing tags without a partner are broken.
    :param account_id: who said it.
    :param time: when, in Unix seconds.
    """
    when = "" if time is None else f" time={validation.limit('time', time)}"
    return (
        f"[qt][qtmeta aid={validation.identifier('account_id', account_id)}{when}]{break_unpaired_tags(str(body))}[/qt]"
    )


def info(body: str, title: str | None = None) -> str:
    """Put a frame around a body.

    :param body: notation; enclosing tags without a partner are broken.
    :param title: what :func:`title` takes; an empty one is left away.
    """
    return f"[info]{_title(title) if title else ''}{break_unpaired_tags(str(body))}[/info]"


def title(text: str) -> str:
    """Head the frame that the text is put in: ``[title]...[/title]``, right behind ``[info]``.

    :param text: one line of inline notation; other tags are broken, line ends become spaces.
    """
    pieces = _INLINE_TAG.split(_one_line(clean(text)))
    # Whatever is not known to be inline is broken, and not the reverse: that stays right for tags written oddly.
    inline = "".join(piece if at % 2 else break_tags(piece) for at, piece in enumerate(pieces))
    return f"[title]{break_unpaired_tags(inline)}[/title]"


_title = title


def code(text: object) -> str:
    """Show text literally, in a monospaced block that ends at its end and nowhere before.

    :param text: any value; it is turned into text with ``str``. Tags in it are broken with U+200B, and what cannot
        be sent is replaced as :func:`safe` does.
    """
    return f"[code]{break_tags(clean(text))}[/code]"


def hr() -> str:
    """Draw a rule: ``[hr]``."""
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
    """Mark a link. Chatwork links bare addresses too.

    :param address: http or https, without blanks; square brackets are percent-encoded.
    """
    if not re.fullmatch(r"https?://[^\s\x00-\x1f\x7f]+", str(address), re.IGNORECASE):
        raise ChatworkParameterError("address", address, "give an http or https address without blanks")
    return f"[url]{address.replace('[', '%5B').replace(']', '%5D')}[/url]"


def preview(file_id: Id, height: Id | None = None) -> str:
    """Show an uploaded image.

    :param file_id: the file.
    :param height: in pixels.
    """
    tall = "" if height is None else f" ht={validation.identifier('height', height)}"
    return f"[preview id={validation.identifier('file_id', file_id)}{tall}]"


def download(file_id: Id, label: str) -> str:
    """Link to an uploaded file.

    :param file_id: the file.
    :param label: its name and size, as Chatwork writes them: ``report.csv (1.2 KB)``.
    """
    return f"[download:{validation.identifier('file_id', file_id)}]{_one_line(safe(label))}[/download]"


def task(
    body: str, account_id: Id, status: str = "open", limit: Id | None = None, limit_type: str | None = None
) -> str:
    """Show a task card. It is only the picture of a task; ``create_task`` makes one.

    :param body: notation; enclosing tags without a partner are broken.
    :param account_id: whose task it is.
    :param status: ``open`` or ``done``.
    :param limit: the deadline in Unix seconds.
    :param limit_type: what the deadline says: ``date`` or ``time``.
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
    """Show one of Chatwork's own sentences in the reader's language.

    :param key: such as ``task_added``, ``task_done``, ``file_uploaded`` or ``chatroom_deleted``.
    """
    if not re.fullmatch("[a-z][a-z0-9_]*", str(key)):
        raise ChatworkParameterError("key", key, "give a key of small letters and underscores, such as task_done")
    return f"[dtext:{key}]"


def deleted() -> str:
    """Stand for a deleted message: ``[deleted]``."""
    return "[deleted]"


def _named(name: str | None) -> str:
    return "" if name is None else f" {_one_line(safe(name))}"


def _one_line(text: str) -> str:
    return text.replace("\n", " ")
