"""A notifier that sends nothing. It records what it got, in which process, and what it could read from Airflow."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
from airflow.providers.common.compat.notifier import BaseNotifier

from tests.system_tests import airflow_probe
from tests.system_tests.constants import FOLDER
from tests.system_tests.context_json import describe_context, describe_late


class Recorder(BaseNotifier):
    """Records every call of itself.

    :param kind: what the call shows, the name of the recording.
    :param context: given by Airflow 3.1 and later to a notifier that is awaited.
    """

    template_fields = ()

    def __init__(self, kind: str, context: Any = None) -> None:
        super().__init__()
        self.kind = kind
        self.context = context

    def __call__(self, *args: Any) -> None:
        """Record a synchronous call, as it comes, without what the base class makes of its arguments."""
        recording = _begin(self.kind, "__call__", args)
        if len(args) == 1 and isinstance(args[0], Mapping):
            _describe(recording, args[0])
            airflow_probe.ask(args[0], self.kind, recording.setdefault("asked", {}), lambda: _save(recording))
        elif len(args) == 5:
            recording["arguments"] = describe_late(*args)
        _save(recording)

    def notify(self, context: Any) -> None:
        """Do nothing: all is done where it is called."""

    async def async_notify(self, context: Any) -> None:
        """Record an awaited call, and what can be asked from its event loop and from a thread beside it."""
        recording = _begin(self.kind, "async_notify", (context,))
        context = context or {}
        _describe(recording, context)
        _save(recording)
        await airflow_probe.ask_async(context, self.kind, recording.setdefault("asked", {}), lambda: _save(recording))
        _save(recording)


def _begin(kind: str, method: str, args: tuple[Any, ...]) -> dict[str, Any]:
    return {
        "kind": kind,
        "at": time.time(),
        "method": method,
        "process": _ancestry(),
        "argument_count": len(args),
        "argument_types": [f"{type(value).__module__}.{type(value).__qualname__}" for value in args],
    }


def _describe(recording: dict[str, Any], context: Mapping[str, Any]) -> None:
    recording["context"] = describe_context(context)
    dag_id, run_id, task = airflow_probe.where(context)
    recording["database"] = _look_into_database(dag_id, run_id, task)


def _ancestry() -> list[str]:
    """What this process and those it comes from are called, up to the component that was started as such."""
    me = psutil.Process()
    lines = [" ".join([os.path.basename(line[0]), *line[1:]]) for one in [me, *me.parents()] if (line := one.cmdline())]
    component = next((number for number, line in enumerate(lines) if line.startswith("python ")), len(lines))
    return [" ".join(line.split()) for line in lines[: component + 1]]


def _look_into_database(dag_id: str | None, run_id: str | None, task: tuple[str, int] | None) -> dict[str, Any]:
    """Return the truth, as it is at this moment, past all that Airflow shows."""
    address = f"file:{Path(os.environ['AIRFLOW_HOME']) / 'airflow.db'}?mode=ro"
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(address, uri=True, timeout=5)) as database:
        run = database.execute("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", (dag_id, run_id))
        found["dag_run.state"] = (run.fetchone() or ["(no row)"])[0]
        if task:
            row = database.execute(
                "SELECT state, try_number, max_tries, end_date IS NOT NULL FROM task_instance"
                " WHERE dag_id = ? AND run_id = ? AND task_id = ? AND map_index = ?",
                (dag_id, run_id, *task),
            ).fetchone()
            names = ("state", "try_number", "max_tries", "has end_date")
            found |= {f"ti.{name}": value for name, value in zip(names, row or ["(no row)"] * 4, strict=True)}
    return found


def _save(recording: dict[str, Any]) -> None:
    folder = Path(os.environ[FOLDER])
    target = folder / f"{recording['kind']}.{recording['at']:.6f}.json"
    unfinished = target.with_suffix(".part")
    unfinished.write_text(json.dumps(recording, ensure_ascii=False, indent=1), "utf-8")
    unfinished.rename(target)
