"""Count what runs when the package does a task's work: functions, files, and moves between files.

``python -m benchmarks.call_paths`` prints a table; ``--list WAY`` prints the functions of one row by file.

A function counts once, however often it is called. A file is a module of the package. A move is a call or a return from
one file of the package to another. Not counted: the sandbox, module bodies, comprehensions, lambdas, and functions that
the compiler or a library creates without a name in a file of the package.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace
from typing import Any, NamedTuple

from benchmarks.report import Verdict, table

_PACKAGE = f"{Path(__file__).resolve().parent.parent / 'airflow_provider_chatwork'}{os.sep}"
_ANONYMOUS = ("<module>", "<lambda>", "<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>")


@dataclass
class Counter:
    """The functions of the package that ran."""

    functions: set[CodeType] = field(default_factory=set)
    moves: int = 0
    _last: dict[int, str] = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        """The modules of the functions, from the root of the package."""
        return {_module(code) for code in self.functions}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count in this thread, and in threads that are started meanwhile."""
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            here: FrameType | None = frame
        elif event == "return":
            here = frame.f_back
        else:
            return
        if here is None or not _is_counted(here.f_code):
            return
        if event == "call":
            self.functions.add(here.f_code)
        thread, file = threading.get_ident(), here.f_code.co_filename
        if self._last.setdefault(thread, file) != file:
            self._last[thread] = file
            self.moves += 1


class Limit(NamedTuple):
    """The most functions and files that a way may have."""

    functions: int
    files: int


LIMITS = {"alert: one failed task of a run": Limit(90, 18), "approval: the trigger hears an answer": Limit(100, 18)}


def measure() -> dict[str, Counter]:
    """Run each way against a sandbox in this process, twice, and count in the second run."""
    from airflow_provider_chatwork.sandbox.serving import ServedSandbox, serve

    sandbox = ServedSandbox()
    with serve(sandbox) as address, tempfile.TemporaryDirectory() as folder:
        sandbox.address = address
        os.environ["AIRFLOW_CONN_CHATWORK_DEFAULT"] = address.connection_json(sandbox.token)
        os.environ["AIRFLOW_HOME"] = folder
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"
        _run_all(sandbox)
        return _run_all(sandbox)


def _run_all(sandbox: Any) -> dict[str, Counter]:
    found: dict[str, Counter] = {}

    def count(way: str, act: Callable[[], Any]) -> Any:
        counter = found[way] = Counter()
        with counter.counting():
            return act()

    _post(count)
    _alert(count)
    _approval(count, sandbox)
    _task(count, sandbox)
    return found


class _Store:
    """What Airflow stores of alerts, in this process."""

    in_task = True

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {}
        self._failures: list[dict[str, Any]] = []

    def states(self) -> dict[tuple[str, int], str | None]:
        return {("load", -1): "failed"}

    def save_failure(self, failure: dict[str, Any]) -> None:
        self._failures.append(failure)

    def load_failures(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        return self._failures

    def load(self, name: str) -> dict[str, Any] | None:
        return self._values.get(name)

    def save(self, name: str, value: dict[str, Any] | None) -> None:
        self._values[name] = value or {}


def _ignore(**_: Any) -> None:
    """Accept what a task instance pushes as an XCom."""


def _post(count: Callable[[str, Callable[[], Any]], Any]) -> None:
    from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator

    operator = ChatworkPostMessageOperator(task_id="post", body="hello")
    count("post: one message", lambda: operator.execute(_context()))


def _alert(count: Callable[[str, Callable[[], Any]], Any]) -> None:
    from airflow_provider_chatwork.alerts import airflow_store
    from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier

    context = _context(state="failed")
    try:
        raise ValueError("no rows")
    except ValueError as error:
        context["exception"] = error
    notifier, store = ChatworkNotifier(), _Store()
    original = airflow_store.get_store
    airflow_store.get_store = lambda *_: store
    try:
        count("alert: one failed task of a run", lambda: notifier(context))
    finally:
        airflow_store.get_store = original


def _approval(count: Callable[[str, Callable[[], Any]], Any], sandbox: Any) -> None:
    from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
    from airflow_provider_chatwork.sandbox import company

    person, room = company.SATO, company.DATA_ROOM
    operator = ChatworkApprovalOperator(task_id="ask", question="Send it?", approvers=[person], deferrable=True)
    context = _context()
    deferred = count("approval: ask", lambda: _defer(operator, context))
    question = deferred.trigger.question
    sandbox.reply(room, person, question["message_id"], "承認")
    # The event of a decision: the trigger is made again after a checkpoint, as in a triggerer.
    event = count("approval: the trigger hears an answer", lambda: _run_trigger(deferred.trigger))
    count("approval: complete", lambda: operator.resume_execution("execute_complete", {"event": event}, context))


def _task(count: Callable[[str, Callable[[], Any]], Any], sandbox: Any) -> None:
    from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
    from airflow_provider_chatwork.sandbox import company

    person, room = company.SATO, company.DATA_ROOM
    operator = ChatworkCreateTaskOperator(
        task_id="check", body="Check it", to_ids=[person], wait_for_completion=True, deferrable=True
    )
    context = _context()
    deferred = count("task: create", lambda: _defer(operator, context))
    for task in sandbox.tasks(room):
        if task["status"] == "open":
            sandbox.complete_task(room, task["task_id"], person)
    event = count("task: the trigger sees it done", lambda: _run_trigger(deferred.trigger))
    count("task: complete", lambda: operator.resume_execution("execute_complete", {"event": event}, context))


def _context(**changes: Any) -> Any:
    ti = SimpleNamespace(
        **{
            **{"dag_id": "report", "task_id": "load", "run_id": "manual__1", "map_index": -1, "try_number": 1},
            **{"max_tries": 0, "state": None, "log_url": "http://localhost:8080/log", "xcom_push": _ignore},
            **changes,
        }
    )
    run = SimpleNamespace(run_id=ti.run_id, dag_id=ti.dag_id, logical_date=None, start_date=None)
    task = SimpleNamespace(owner="data", retries=0)
    return {"ti": ti, "run_id": ti.run_id, "dag_run": run, "task": task, "dag": None}


def _defer(operator: Any, context: Any) -> Any:
    from airflow.providers.common.compat.sdk import TaskDeferred

    try:
        operator.execute(context)
    except TaskDeferred as deferred:
        return deferred
    raise AssertionError("the task was not deferred")


def _run_trigger(trigger: Any) -> Any:
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")

    async def first_event() -> Any:
        async for event in getattr(import_module(module), name)(**arguments).run():
            return event.payload

    return asyncio.run(first_event())


def _is_counted(code: CodeType) -> bool:
    file = code.co_filename
    return (
        file.startswith(_PACKAGE)
        and not file.startswith(f"{_PACKAGE}sandbox{os.sep}")
        and code.co_name not in _ANONYMOUS
    )


def _module(code: CodeType) -> str:
    return code.co_filename.removeprefix(_PACKAGE)


def report(found: dict[str, Counter]) -> tuple[str, list[Verdict]]:
    """Return the table and the targets."""
    rows = [[way, str(len(each.functions)), str(len(each.files)), str(each.moves)] for way, each in found.items()]
    verdicts = [
        Verdict(
            f"at most {limit.functions} functions in {limit.files} files ({way})",
            len(found[way].functions) <= limit.functions and len(found[way].files) <= limit.files,
            f"{len(found[way].functions)} in {len(found[way].files)}",
        )
        for way, limit in LIMITS.items()
    ]
    return table(["way", "functions", "files", "moves"], rows), verdicts


def main() -> None:
    """Print the table, or the functions of one way."""
    parser = argparse.ArgumentParser(description="Count what runs when the package does a task's work.")
    parser.add_argument("--list", metavar="WAY", help="print the functions of the ways whose name begins so")
    wanted = parser.parse_args().list
    found = measure()
    text, verdicts = report(found)
    print(text, *verdicts, sep="\n")
    for way, counter in found.items() if wanted else ():
        if not way.startswith(wanted):
            continue
        print(f"\n{way}")
        for file in sorted(counter.files):
            names = sorted(code.co_qualname for code in counter.functions if _module(code) == file)
            print(f"  {file} ({len(names)}): {', '.join(names)}")


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main()
