"""Text in which nothing may act as notation.

Chatwork knows no escape, so a tag is broken instead: a zero-width space (U+200B) behind its ``[`` leaves every visible
character where it was, yet the text no longer holds the tag. Nothing is cut out to break a tag, so no new tag can
close up around a removed one. This takes for granted that Chatwork leaves U+200B where it is, of which its
documentation says nothing.

No tag begins with a digit or with ASCII punctuation other than ``/``. A bracket followed by one of these stays as it
is, so that ``rows[0]`` and ``["a"]`` can be copied back into an editor.
"""

from __future__ import annotations

import re

#: U+200B ZERO WIDTH SPACE, what breaks a tag.
BREAK = "\u200b"

# A bracket at the very end is broken too: whatever the text is put in front of could complete a tag.
_TAG_START = re.compile(rf"\[(?!{BREAK}|[!-.0-@\[-^`{{-~])")

# Only the first character of an emoticon is consumed, so that those that overlap, like `;)` in `(^^;)`, are all found.
# Links are matched first and left alone: a link that holds `(y)` must stay a link. Possessive, hence linear.
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
    """Return untrusted text such that nothing in it acts: no mention, no frame, no other tag, no emoticon.

    Meant for what people and machines wrote without knowing of Chatwork: exception texts, SQL, log lines, display
    names. It reads as before; taking U+200B out again gives the original. Exceptions: CR LF and CR become LF,
    terminal colours go, and every other control character and lone surrogate becomes U+FFFD, so that the result can
    be sent. Emoticons inside an http(s) link are left alone. ``safe(safe(x)) == safe(x)``.

    :param text: any value; it is turned into text with ``str``.
    """
    return break_tags(_EMOTICON.sub(_break_emoticon, clean(text)))


def break_tags(text: str) -> str:
    """Break every tag, known or not, and leave emoticons as they are."""
    return _TAG_START.sub(f"[{BREAK}", text)


def clean(text: object) -> str:
    """Return text that can be sent: LF line ends, no control characters but tab and LF, encodable as UTF-8."""
    text = str(text)
    if _SURROGATE.search(text):
        # Two halves that stand side by side are one character that was decoded wrongly, not two errors.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("\ufffd", _TERMINAL_COLOUR.sub("", text))


def _break_emoticon(match: re.Match[str]) -> str:
    return match[0] + BREAK if match["first"] else match[0]
