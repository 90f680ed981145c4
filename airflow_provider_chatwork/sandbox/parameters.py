"""Reads the parameters of a request as strictly as Chatwork does."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from airflow_provider_chatwork.sandbox.http_errors import Refusal, invalid, required

BODY_LENGTH = 65535
NAME_LENGTH = 255
#: Beyond this a time is not in seconds: somebody sent milliseconds.
LAST_TIME = 2**32 - 1

_INTEGER = re.compile(r"[0-9]{1,20}")
_LINK_CODE = re.compile(r"[A-Za-z0-9_-]{1,50}")


class Parameters:
    """The decoded parameters of one place (query, form or multipart), each read under its rule."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, longest: int, shortest: int = 1) -> str | None:
        """Return a text of that many characters, ``None`` when it is not there."""
        value = self._values.get(name)
        if value is None:
            return None
        if not shortest <= len(value) <= longest:
            raise invalid(name, f"must be {shortest} to {longest} characters")
        return value

    def required_text(self, name: str, longest: int) -> str:
        """Return a text of 1 to ``longest`` characters. An empty one counts as missing."""
        if not self._values.get(name):
            raise required(name)
        value = self.text(name, longest)
        assert value is not None
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean, which is ``0`` or ``1`` and nothing else."""
        value = self._values.get(name)
        if value is None:
            return default
        if value not in ("0", "1"):
            raise invalid(name, "must be 0 or 1")
        return value == "1"

    def number(self, name: str, largest: int = 2**63 - 1) -> int | None:
        """Return a whole number that is not negative."""
        value = self._values.get(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value) or int(value) > largest:
            raise invalid(name, f"must be an integer from 0 to {largest}")
        return int(value)

    def required_number(self, name: str) -> int:
        """Return a whole number that has to be there."""
        value = self.number(name)
        if value is None:
            raise required(name)
        return value

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """Return one of a few words."""
        value = self._values.get(name)
        if value is not None and value not in choices:
            raise invalid(name, f"must be one of: {', '.join(choices)}")
        return value

    def required_choice(self, name: str, choices: Collection[str]) -> str:
        """Return one of a few words that has to be there."""
        value = self.choice(name, choices)
        if value is None:
            raise required(name)
        return value

    def ids(self, name: str) -> list[int]:
        """Return comma-separated account ids in their order, each once; an empty value is an empty list."""
        value = self._values.get(name)
        if not value:
            return []
        found = [part.strip() for part in value.split(",")]
        if not all(_INTEGER.fullmatch(part) for part in found):
            raise invalid(name, "must be account ids joined by commas")
        return list(dict.fromkeys(int(part) for part in found))

    def required_ids(self, name: str) -> list[int]:
        """Return at least one account id."""
        found = self.ids(name)
        if not found:
            raise required(name)
        return found

    def link_code(self, name: str) -> str | None:
        """Return the code of an invite link."""
        value = self._values.get(name)
        if value is not None and not _LINK_CODE.fullmatch(value):
            raise Refusal(400, f"Parameter '{name}' must be 1 to 50 of A-Z a-z 0-9 _ -")
        return value
