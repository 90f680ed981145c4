"""Find the task instances that a text names."""

from __future__ import annotations

import re

Key = tuple[str, int]


def named(text: str) -> set[Key]:
    """Return every task instance of the storm that a text names: ``plain_3``, ``mapped [0-4, 7]``."""
    found: set[Key] = set()
    for task_id, indexes in re.findall(r"\b(plain_\d+|mapped)\b(?: \[([\d, -]+)\])?", text):
        if not indexes and task_id != "mapped":
            found.add((task_id, -1))
        for part in filter(None, indexes.split(", ")):
            first, _, last = part.partition("-")
            found |= {(task_id, index) for index in range(int(first), int(last or first) + 1)}
    return found
