"""Texts for tests of the notation, and parsers of tags and frames that share no code with the package."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import strategies as st

from airflow_provider_chatwork.api.notation import BREAK, code, download, info, quote, task, title, to

FRAGMENTS = (
    *(
        "[",
        "]",
        "/",
        "[/",
        ":",
        " ",
        "\n",
        "\t",
        "\u3000",
        "\u00ad",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\x00",
        "\x1b[",
        "\r",
    ),
    *("[toall]", "[TOALL]", "[ toall ]", "[to", "all]", "[To:1]", "[to:1]", "[rp aid=1 to=2-3]", "[info]", "[/info]"),
    *(
        "[code]",
        "[/code]",
        "[qt]",
        "[qtmeta aid=1]",
        "[hr]",
        "[deleted]",
        "[x-y]",
        "[_a]",
        "[日本]",
        "[0]",
        '["a"]',
        "［toall］",
    ),
    *("(y)", "(^^;)", "(*)", ":)", ":D", ":-p", "8-)", "|-)", ":#)", "(", ")", "8", "-", "|", "D", "y", "*", "^", ";"),
    *("https://", "http://example.com/(y)", "\ud83d", "\ude00", "\udc80", "が", "か\u3099"),
)
hostile = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=20).map("".join)

_FRAME = re.compile(r"\[\s*(/?)\s*(info|title|code|qt|url|task|download)(?:[:\s][^\[\]]{0,200})?\]", re.IGNORECASE)


def could_be_tag(text: str, bracket: int) -> bool:
    """Parse tolerantly: spaces, invisible characters and a slash before the name are skipped."""
    for position in range(bracket + 1, len(text)):
        character = text[position]
        invisible = character.isspace() or unicodedata.category(character) in ("Cc", "Cf")
        if character == BREAK or not (invisible or character == "/"):
            return character.isalpha() or character == "_"
    return True  # what follows the text decides


def tags_in(text: str) -> list[str]:
    """Return the positions of everything that could be a tag."""
    brackets = [at for at, character in enumerate(text) if character == "["]
    return [text[at : at + 20] for at in brackets if could_be_tag(text, at)]


def depths(text: str) -> list[tuple[int, int]] | None:
    """Return the nesting depth after each frame tag, as (position, depth); ``None`` if a tag is unpaired."""
    found = []
    opened: list[str] = []
    for match in _FRAME.finditer(text):
        slash, name = match[1], match[2].lower()
        if opened and opened[-1] == "code" and (slash, name) != ("/", "code"):
            continue
        if not slash:
            opened.append(name)
        elif not opened or opened.pop() != name:
            return None
        found.append((match.end(), len(opened)))
    return None if opened else found


def is_whole(text: str) -> bool:
    """Whether all frame tags are paired and nested correctly."""
    return depths(text) is not None


def is_one_frame(text: str) -> bool:
    """Whether the text is exactly one frame."""
    found = depths(text)
    return bool(found) and [position for position, depth in found if depth == 0] == [len(text)]


_leaves = st.one_of(
    st.builds(code, hostile),
    st.builds(title, hostile),
    st.builds(info, hostile, st.none() | hostile),
    st.builds(quote, hostile, st.just(1)),
    st.builds(download, st.just(1), hostile),
    st.builds(to, st.just(1), hostile),
)
#: Notation built with the package's functions from hostile texts.
composed = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(info, inner, st.none() | inner),
        st.builds(quote, inner, st.just("1"), st.just("1600000000")),
        st.builds(task, inner, st.just(1)),
        st.lists(inner, max_size=4).map("\n".join),
    ),
    max_leaves=8,
)
