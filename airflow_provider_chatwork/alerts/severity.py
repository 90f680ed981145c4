"""How bad an alert is."""

from __future__ import annotations

from typing import Final

#: From the mildest to the worst.
SEVERITIES: Final = ("info", "warning", "error", "critical")


def rank(severity: str) -> int:
    """The place of one of :data:`SEVERITIES`, to compare them; the worst is the highest."""
    return SEVERITIES.index(severity)
