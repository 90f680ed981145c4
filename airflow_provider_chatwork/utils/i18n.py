"""Texts in Japanese and English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from airflow_provider_chatwork.api import validation

#: The supported languages, in the order of the texts in a catalog.
LANGUAGES = validation.LANGUAGES

#: The Japanese and the English text of each key, with the placeholders of ``str.format``.
Texts: TypeAlias = Mapping[str, tuple[str, str]]

_HONORIFICS = ("さん", "さま", "様")
_COMMON: Texts = {
    "name": ("{name}さん", "{name}"),
    "names": ("、", ", "),
    # Doubled braces: the number of characters is filled in by `notation.fit`.
    "left_out": ("… ({{count:,}} 文字省略) …", "… ({{count:,}} characters left out) …"),
}


@dataclass(frozen=True)
class Catalog:
    """The texts of one module in one language.

    :param lang: ``ja`` or ``en``.
    :param texts: the texts of the module.
    :param singular: English texts to use instead where the value ``count`` is 1.
    """

    lang: str
    texts: Texts
    singular: Mapping[str, str] = field(default_factory=dict)

    def text(self, key: str, /, **values: object) -> str:
        """Return a text with the values filled in. Values may contain braces."""
        if self.lang == "en" and values.get("count") == 1 and key in self.singular:
            return self.singular[key].format(**values)
        texts = self.texts if key in self.texts else _COMMON
        return texts[key][LANGUAGES.index(self.lang)].format(**values)

    @property
    def left_out(self) -> str:
        """The mark that ``notation.fit`` puts where it cuts text out."""
        return self.text("left_out")

    def address(self, name: str) -> str:
        """Return a name as one addresses the person in this language."""
        return name if not name or name.endswith(_HONORIFICS) else self.text("name", name=name)

    def join_names(self, names: list[str]) -> str:
        """Return names as one text, separated as in this language."""
        return self.text("names").join(names)
