"""Print messages, states and log lines of failed cases, as the logs of a CI machine are lost afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.system_tests.alerts.cases import Case
from tests.system_tests.alerts.observations import Evidence
from tests.system_tests.alerts.rooms import ROOMS

#: How many lines there are in all, of one message, of one case's log, and of what no case is named in; and how long.
_LINES = 150
_OF_MESSAGE = 8
_OF_LOG = 30
_OF_REST = 20
_WIDTH = 230
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ](\d\d:\d\d:\d\d[.,]\d{3})")
_BAD = re.compile(
    r"\[(?:error|critical|warning) *\]|\b(?:ERROR|CRITICAL|WARNING)\b|Traceback|^(?:[\w.]+\.)?\w*(?:Error|Exception)\b",
    re.MULTILINE,
)
#: What says nothing of what is looked for, and what makes lines long: one run is like the other, and one file's place.
_NOISE = re.compile(r"HMAC key|Skipping masking|`starlette.testclient`|1st time calling it|No viable dags")
_LENGTHY = re.compile(
    r"\b(?:manual|scheduled)__[\w.:+-]+|\b(?:loc|ti_id|id|map_index|correlation_id|run_id|run_duration)=[^\s,>]*,? ?"
    r"|\b\w+_(?:date|dttm)=[^\s,]+ [^\s,]+,? ?|\[airflow[\w.]*\] ?"
)
#: Log lines that show what happened to a task and its alert.
_RELEVANT = re.compile(
    r"airflow_provider_chatwork|Chatwork|Finished: |executor event|Marking|callback|AWAITING|DEFERRED"
)


@dataclass(frozen=True)
class Entry:
    """One entry of a log, with the lines that belong to it.

    :param time: of the day, ``04:57:48.334``.
    :param place: whose log it is.
    """

    time: str
    place: str
    text: str

    def __str__(self) -> str:
        first, *more = self.text.splitlines()
        # What a traceback comes to stands at its end.
        return f"{self.time} {self.place}: {' … '.join([first, *more[-1:]])}"[:_WIDTH]


def traces(seen: Evidence, failed: Iterable[Case]) -> list[str]:
    """Return the lines to print of these cases, as many for each, and of the trouble that names no DAG."""
    cases = list(failed)
    entries = sorted(_entries(seen.logs), key=lambda entry: entry.time)
    rest = [entry for entry in entries if _BAD.search(entry.text) and not _names_any(entry, seen.task_states)]
    ending = [f"  {line}" for line in _last(rest, _OF_REST)]
    if ending:
        ending.insert(0, "--- errors and warnings that name no DAG, the last of them")
    each = (_LINES - len(ending)) // max(len(cases), 1)
    lines = [line for case in cases for line in _of_case(case, seen, entries, each)]
    return [*lines[: _LINES - len(ending)], *ending]


def trouble(places: Iterable[Path], most: int = _LINES) -> list[str]:
    """Return the last errors and warnings of logs, of folders and files of them."""
    entries = sorted(_entries(places), key=lambda entry: entry.time)
    return ["--- errors and warnings", *_last((entry for entry in entries if _BAD.search(entry.text)), most)]


def _of_case(case: Case, seen: Evidence, entries: list[Entry], most: int) -> list[str]:
    name = case.dag_id
    room = seen.rooms[case.room or name]
    lines = [f"--- {case.kind} ({name})"]
    runs = ", ".join(seen.run_states.get(name, ["none"]))
    tasks = seen.task_states.get(name, {})
    tries = seen.tries.get(name, {})
    states = ", ".join(f"{task} {state} at try {tries.get(task)}" for task, state in tasks.items())
    lines.append(f"  runs: {runs}; tasks: {states or 'none'}")
    # A log of many DAGs is searched for this one.
    messages = [text for text in room.messages if not case.room or re.search(rf"\b{name}\b", text)]
    shown = [(number, line) for number, text in enumerate(messages, 1) for line in text.splitlines()[:_OF_MESSAGE]]
    lines += (f"  message {number}: {line}"[:_WIDTH] for number, line in shown[: most // 2])
    if not case.room:
        asked = [f"{sent.operation} {sent.status or sent.fault}" for sent in room.sent]
        lines.append(f"  requests: {', '.join(asked) or 'none'}"[:_WIDTH])
    about = re.compile(rf"\b{name}\b" if case.room else rf"\b{name}\b|\broom {ROOMS[name]}\b")
    alerts = [entry for entry in entries if about.search(entry.text) or name in entry.place.split("/")]
    relevant = [entry for entry in alerts if _BAD.search(entry.text) or _RELEVANT.search(entry.text)]
    return [*lines, *(f"  {line}" for line in _last(relevant, min(_OF_LOG, most - len(lines))))]


def _last(entries: Iterable[Entry], count: int) -> list[str]:
    # A task's lines stand in its own log, and may stand in the one of the component that runs it.
    found = {entry.time + entry.text[:30]: str(entry) for entry in entries}
    return [*found.values()][-count:] if count > 0 else []


def _names_any(entry: Entry, dag_ids: Iterable[str]) -> bool:
    return any(dag_id in entry.text or dag_id in entry.place.split("/") for dag_id in dag_ids)


def _entries(places: Iterable[Path]) -> Iterator[Entry]:
    for place in places:
        for path in sorted(place.rglob("*.log")) if place.is_dir() else [place]:
            # A link to what is there already.
            if "latest" not in path.parts:
                yield from _of_file(path, _title(path, place))


def _title(path: Path, place: Path) -> str:
    if path == place:
        return path.stem
    parts = [part.partition("=")[2] or part for part in path.relative_to(place).parts if not part.startswith("run_id=")]
    return "/".join([parts[0], *parts[-2:]] if parts[0] == "dag_processor" else parts).removesuffix(".log")


def _of_file(path: Path, title: str) -> Iterator[Entry]:
    time, lines = "", [""]
    for line in path.read_text("utf-8", "replace").splitlines():
        if _NOISE.search(line):
            continue
        found = _TIME.search(line[:60])
        if found is None:
            lines.append(line)
            continue
        if time:
            yield Entry(time, title, "\n".join(lines))
        time, lines = found[1].replace(",", "."), [_plain(line, found.end())]
    if time:
        yield Entry(time, title, "\n".join(lines))


def _plain(line: str, end: int) -> str:
    if not line.startswith("{"):
        shown = re.sub(r"^[\d:+Z\]]+ ?", "", line[end:])
        return _LENGTHY.sub("", re.sub(r"^\[(\w+) +\]", r"[\1]", shown))
    try:
        found = json.loads(line)
    except ValueError:
        return line
    errors = [f"{error.get('exc_type')}: {error.get('exc_value')}" for error in found.get("error_detail") or ()]
    logger = [f"[{found['logger']}]"] if "logger" in found else []
    return _LENGTHY.sub("", " ".join([f"[{found.get('level')}] {found.get('event')}", *errors, *logger]))
