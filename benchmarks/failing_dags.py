"""DAGs whose one task fails, with a callback that is watched: what the DAG files in ``dags/`` are made with.

Everything in here runs in the processes of an Airflow, most of it in the task's own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from benchmarks.constants import BUSY, FOLDER, OTHERS, RECORD

# How long tasks wait for each other, in seconds.
_PATIENCE = 60.0


def declare(name: str, module: str | None = None, notifier: str = "", **arguments: Any) -> None:
    """Make the two DAGs ``name`` (one task, which fails) and ``name_busy`` (with others that are running meanwhile).

    :param module: of the notifier, which is imported only now, so that its import can be timed; nothing is called if
        not given.
    :param notifier: the name of its class.
    :param arguments: for the notifier.
    """
    elapsed = _stopwatch()
    callback = getattr(importlib.import_module(module), notifier)(**arguments) if module else None
    watched = Watched(callback, elapsed())
    for dag_id, others in ((name, 0), (name + BUSY, OTHERS)):
        with DAG(
            dag_id,
            start_date=datetime(2026, 1, 1),
            schedule=None,
            catchup=False,
            default_args={"owner": "data-team"},
            is_paused_upon_creation=False,
        ):
            fails.override(on_failure_callback=watched)(others)
            for _ in range(others):
                runs_on()


class Watched:
    """A callback that is timed, and whose requests to Airflow are counted.

    :param callback: what is called, if anything.
    :param imported: the seconds that importing and making it took, by the clock and of the CPU.
    """

    def __init__(self, callback: Callable[[Any], Any] | None, imported: tuple[float, float]) -> None:
        self._callback = callback
        self._imported = imported

    def __call__(self, context: Any) -> None:
        with _questions() as questions:
            elapsed = _stopwatch()
            if self._callback is not None:
                self._callback(context)
            wall, cpu = elapsed()
        names = ("wall", "cpu", "import_wall", "import_cpu", "questions")
        record = dict(zip(names, (wall, cpu, *self._imported, len(questions)), strict=True))
        target = _record(context)
        # Who waits for it finds it whole.
        unfinished = target.with_suffix(".part")
        unfinished.write_text(json.dumps(record), "utf-8")
        unfinished.rename(target)


def _stopwatch() -> Callable[[], tuple[float, float]]:
    cpu, wall = time.process_time(), time.perf_counter()
    return lambda: (time.perf_counter() - wall, time.process_time() - cpu)


@contextlib.contextmanager
def _questions() -> Iterator[list[Any]]:
    """What this process asks its supervisor meanwhile, which asks the API server, which asks the database."""
    from airflow.sdk.execution_time import task_runner

    kind: Any = type(task_runner.SUPERVISOR_COMMS)
    send, asked = kind.send, []

    def counted(comms: Any, msg: Any) -> Any:
        asked.append(msg)
        return send(comms, msg)

    kind.send = counted
    try:
        yield asked
    finally:
        kind.send = send


@task
def fails(others: int, **context: Any) -> None:
    """Fail, as soon as the other tasks of the run are running."""
    record = _record(context)
    _wait(lambda: len([*record.parent.glob(f"{record.stem}.*.running")]) >= others)
    raise ValueError("列「amount」に数値でない値があります: '1,2OO'")


@task
def runs_on(**context: Any) -> None:
    """Run until the callback of the failed task has ended."""
    record = _record(context)
    record.with_suffix(f".{os.getpid()}.running").touch()
    _wait(record.exists)


def _record(context: Any) -> Path:
    return Path(os.environ[FOLDER], f"{context['dag_run'].conf[RECORD]}.json")


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
