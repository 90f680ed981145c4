"""Whole texts, with placeholders for all that is different in every run: ``expected_texts.txt``.

A section is called as its room. Rooms whose text depends on who comes first are not in it.
``python -m tests.system_tests alerts --accept`` writes it anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.system_tests.alerts.observations import Room

FILE = Path(__file__).with_name("expected_texts.txt")
#: The rooms whose texts are always the same.
PINNED = (
    "one_line",
    "retries_then_fails",
    "second_try",
    "gives_up",
    "starts_and_skips",
    "mapped",
    "takes_too_long",
    "waits",
    "native_objects",
    "nightly_orders",
    "run_times_out",
    "run_never_starts",
    "sales_report",
    "deadline_async",
    "deadline_sync",
    "asks",
    "chatwork_down",
    "falls_back",
)
_AIRFLOW = r"http://127\.0\.0\.1:\d+"
_RUN = r"(?:manual|scheduled)__[\w.:+%-]*\w"
#: What is different in every run, or Airflow, with what stands for it in ``expected_texts.txt``.
_VOLATILE = {
    rf"{_AIRFLOW}/dags/(\w+)/runs/{_RUN}/tasks/(\w+)(?:/mapped/(\d+))?\?try_number=\d+": r"{log of \1.\2\3}",
    rf"{_AIRFLOW}/dags/(\w+)/grid\?dag_run_id={_RUN}&task_id=(\w+?)(?:&map_index=(\d+))?&base_date=[^&]+&tab=logs": (
        r"{log of \1.\2\3}"
    ),
    rf"{_AIRFLOW}/dags/(\w+)/(?:runs/|grid\?dag_run_id=){_RUN}": r"{page of \1}",
    _RUN: "{run}",
    r"\d{4}-\d\d-\d\d \d\d:\d\d": "{when}",
    r"\d{4}-\d\d-\d\d": "{day}",
    r"(?:\d+ (?:分|min) )?[\d.]+ (?:秒|s\b)": "{took}",
    r"PID: \d+": "PID: {pid}",
    r"line \d+": "line {line}",
    r"-\d{15,}\]": "-{message}]",
    # What breaks a tag, and is not to be seen.
    "\u200b": "{break}",
}


def problem(room: Room, file: Path = FILE) -> str | None:
    """What is wrong with the text of a room, if anything is."""
    if room.name not in PINNED:
        return None
    expected = read(file).get(room.name)
    if expected is None:
        return f"{file.name} has no {room.name}: run it with --accept"
    return difference(whole(room), expected) or None


def accept(rooms: Mapping[str, Room], file: Path = FILE) -> None:
    """Take what is in the rooms for what is expected."""
    texts = read(file) | {name: whole(rooms[name]) for name in PINNED if rooms[name].messages}
    file.write_text("\n\n".join(f"=== {name}\n{text}" for name, text in sorted(texts.items())) + "\n", "utf-8")


def whole(room: Room) -> str:
    """All messages of a room, with placeholders."""
    return neutral("\n---\n".join(room.messages))


def neutral(text: str) -> str:
    """The text with placeholders for all that is different in every run."""
    for pattern, placeholder in _VOLATILE.items():
        text = re.sub(pattern, placeholder, text)
    return text


def read(file: Path) -> dict[str, str]:
    """Read the texts: sections that begin with a line ``=== name``."""
    parts = re.split(r"^=== (.+)\n", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {name: body.strip("\n") for name, body in zip(parts[::2], parts[1::2], strict=True)}


def difference(found: str, expected: str) -> str:
    """The first line in which two texts differ; empty where none does."""
    for number, (one, other) in enumerate(zip(found.split("\n"), expected.split("\n"), strict=False), 1):
        if one != other:
            return f"line {number} is {one!r}, expected {other!r}"
    longer = found.count("\n") - expected.count("\n")
    return f"{abs(longer)} lines {'more' if longer > 0 else 'fewer'} than expected" if longer else ""
