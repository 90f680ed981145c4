"""Make text safe to post: nothing in it acts as notation.

Chatwork has no escape character. A tag is broken by a zero-width space (U+200B) after its ``[``: all visible characters
stay, but the text no longer contains the tag. Nothing is removed, so no new tag can form around a gap. This relies on
Chatwork keeping U+200B, which is not documented.

No tag begins with a digit or with ASCII punctuation other than ``/``. A bracket before one of these is not changed, so
that ``rows[0]`` and ``["a"]`` can be copied back into an editor.
"""

from __future__ import annotations

import re

#: U+200B ZERO WIDTH SPACE, which breaks a tag.
BREAK = "\u200b"

# A bracket at the end of the text is broken too: text that is appended later could complete a tag.
_TAG_START = re.compile(rf"\[(?!{BREAK}|[!-.0-@\[-^`{{-~])")

# Only the first character of an emoticon is consumed, so that overlapping ones are found, like `;)` in `(^^;)`.
# Links are matched first and not changed: a link that contains `(y)` must stay a link.
_EMOTICON = re.compile(
    rf"""
    https?://[!-~{BREAK}]*+
    | (?P<first>
        \((?=(?:
            sweat|blush|inlove|talk|yawn|puke|emo|nod|shake|whew|clap|bow|roger|flex|dance|gogo|think|please|quick
            |anger|devil|lightbulb|cracker|eat|coffee|beer|handshake|[hfy]|[*^]|\^\^;|:/
        )\))
        | [:;](?=-?[()])
        | :(?=-?[|*]|[\^\#]\))
        | (?<!\w):(?=-?[dop](?!\w))
        | (?<!\w)8(?=-[)|])
        | \|(?=-\))
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)

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
    return break_tags(_EMOTICON.sub(_break_emoticon, clean(text)))


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


def _break_emoticon(match: re.Match[str]) -> str:
    return match[0] + BREAK if match["first"] else match[0]
