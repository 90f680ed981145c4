"""Recorded contexts of callbacks in real Airflows, as objects that behave like the recorded ones.

An object has the recorded attributes, and raises the recorded errors. Any other attribute fails the test.
"""

from __future__ import annotations

import builtins
import enum
import json
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "notifications" / "recorded"


class NotRecorded(BaseException):
    """The value was not recorded. Not an ``Exception``, so that no error handling catches it."""


@dataclass(frozen=True)
class Recording:
    """One call of a callback.

    :param version: of Airflow, without its patch number.
    :param name: its kind; ``#2`` is the second call of the same kind.
    :param entry: the recording as JSON.
    """

    version: str
    name: str
    entry: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.version} {self.name}"

    @property
    def kind(self) -> str:
        """The kind of the callback."""
        return self.name.partition("#")[0]

    @cached_property
    def context(self) -> Mapping[str, Any]:
        """The context of the callback. The five arguments of an SLA callback are named as in the notifier."""
        if "arguments" in self.entry:
            return {name: _alive(value) for name, value in self.entry["arguments"].items()}
        return RecordedContext(self.entry["context"])

    def read(self, *path: str) -> Any:
        """Return a value of the recorded JSON without creating a context; ``None`` if it was not recorded."""
        found: Any = self.entry.get("context", {})
        for name in path:
            if name in ("ti", "dag_run"):
                found = found.get(name, {})
                found = found.get("attributes") or found.get("keys") or {}
            else:
                found = found.get(name)
        raised = isinstance(found, Mapping) and "$raised" in found
        return None if raised else decoded(found)


def recordings() -> list[Recording]:
    """Return every recorded callback of every version."""
    files = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(FOLDER.glob("*.json"))}
    return [Recording(version, name, entry) for version, found in files.items() for name, entry in found.items()]


class RecordedContext(Mapping[str, Any]):
    """A context with the keys of the real one, and the recorded values."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._keys = described["keys"]
        self._values = {name: decoded(value) for name, value in described["values"].items()}
        for name in ("ti", "dag_run", "dag", "task"):
            if name in described:
                self._values[name] = _alive(described[name])
        if "exception" in described:
            self._values["exception"] = _exception(described["exception"])
        if "ti" in described:
            self._values["task_instance"] = self._values["ti"]

    def __getitem__(self, name: str) -> Any:
        if name not in self._keys:
            raise KeyError(name)
        if name not in self._values:
            raise NotRecorded(f"the value of {name!r} in the context")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class RecordedObject:
    """A task instance, DAG run, DAG, task or SLA with the recorded attributes."""

    def __init__(self, kind: str, attributes: Mapping[str, Any]) -> None:
        self.__dict__["_recorded"] = kind, attributes

    def __getattr__(self, name: str) -> Any:
        kind, attributes = self.__dict__["_recorded"]
        if name not in attributes:
            raise NotRecorded(f"{name!r} of {kind}")
        return decoded(attributes[name])

    def __repr__(self) -> str:
        return f"<recorded {self.__dict__['_recorded'][0]}>"


class _Text:
    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def decoded(value: Any) -> Any:
    """Return the value of recorded JSON.

    :raises Exception: the recorded error.
    """
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$raised" in value:
        name, _, text = value["$raised"].partition(": ")
        raise _class(name)(text)
    if "$datetime" in value:
        return datetime.fromisoformat(value["$datetime"])
    if "$seconds" in value:
        return timedelta(seconds=value["$seconds"])
    if "$set" in value:
        return {decoded(item) for item in value["$set"]}
    if "$enum" in value:
        name = value["$enum"].rpartition(".")[2]
        return enum.Enum(name, {str(value["value"]).upper(): value["value"]}, type=str)(value["value"])
    if "$object" in value:
        return _Text(value["text"])
    return {name: decoded(item) for name, item in value.items()}


def _alive(described: Any) -> Any:
    if isinstance(described, list):
        return [_alive(item) for item in described]
    if not isinstance(described, dict):
        return described
    if "keys" in described:
        return decoded(described["keys"])
    return RecordedObject(described["type"], described["attributes"])


def _class(name: str) -> type[BaseException]:
    module, _, short = name.rpartition(".")
    found = getattr(builtins, short, None)
    if not module and isinstance(found, type) and issubclass(found, BaseException):
        return found
    return type(short, (Exception,), {"__module__": module})


def _exception(described: Mapping[str, Any]) -> Any:
    if "frame_count" not in described:
        return None if described["type"] == "NoneType" else described["text"]
    error = _class(described["type"])(described["text"])
    return raised_through(
        error, [(frame["file"], frame["line"], frame["function"]) for frame in described["last_frames"]]
    )


def raised_through(error: BaseException, frames: list[tuple[str, int, str]]) -> BaseException:
    """Return the error, raised in code of these files, lines and functions; the innermost comes last."""

    def call() -> None:
        raise error

    for file, line, function in reversed(frames):
        call = _calls(call, file, line, function)
    with suppress(type(error)):
        call()
    found = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    # The frame of this function comes first, and last that of the one that raised.
    assert len(found) == len(frames) + 2
    outermost = innermost = error.__traceback__ and error.__traceback__.tb_next
    while innermost is not None and innermost.tb_frame is not found[-2]:
        innermost = innermost.tb_next
    assert innermost is not None
    innermost.tb_next = None
    return error.with_traceback(outermost)


def _calls(inner: Any, file: str, line: int, function: str) -> Any:
    module = compile("\n" * (line - 1) + "def f(): inner()", file, "exec")
    [code] = [constant for constant in module.co_consts if isinstance(constant, CodeType)]
    return FunctionType(code.replace(co_name=function), {"inner": inner})
