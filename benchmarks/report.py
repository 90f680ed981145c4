"""Format tables and targets as text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Verdict(NamedTuple):
    """A target, whether it is met, and what was measured."""

    target: str
    met: bool
    measured: str

    def __str__(self) -> str:
        return f"{'met   ' if self.met else 'MISSED'}  {self.target}: {self.measured}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text in columns; the first is flush left, and so is every other whose cells are no numbers."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(cell.replace(".", "", 1).isdigit() for cell in column[1:]) for column in columns]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios within a round, as the machine may be slower in one round than in another."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))
