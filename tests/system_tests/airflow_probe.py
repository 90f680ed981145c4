"""What can be asked of Airflow from inside a callback.

Some processes never answer some questions, and the asking one waits for ever. So each question has a time limit.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook, Variable

from tests.system_tests.context_json import describe_object, guarded

try:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
except ImportError:  # Airflow 2
    RuntimeTaskInstance = None

#: Seconds until a question counts as unanswered. An answer that comes later is taken for that of the next question, so
#: they are long where all is answered, and for the first one, which may find nobody there yet to answer.
_LONG = 40.0
_SHORT = 3.0
#: Of the environment, and of the database.
CONNECTIONS = ("system_test_env", "system_test_db")


def where(context: Mapping[str, Any]) -> tuple[str | None, str | None, tuple[str, int] | None]:
    """Return the DAG id, run id, and task id with map index that a context is about, as far as it says so."""
    ti, run = context.get("ti"), context.get("dag_run")
    if ti is not None:
        map_index = getattr(ti, "map_index", -1)
        return ti.dag_id, ti.run_id, (ti.task_id, -1 if map_index is None else map_index)
    if isinstance(run, Mapping):
        return run.get("dag_id"), run.get("dag_run_id") or run.get("run_id"), None
    dag = context.get("dag")
    return getattr(dag or run, "dag_id", None), context.get("run_id") or getattr(run, "run_id", None), None


class Unanswered(Exception):
    """There was no answer in time."""


def ask(context: Mapping[str, Any], kind: str, found: dict[str, Any], keep: Callable[[], None]) -> None:
    """Ask for all an alert could want to know, and put down what it could want to keep.

    :param found: gets, by question, the answer, or what was raised.
    :param keep: called after every answer, as the next question may be the end of this process.
    """
    seconds = _LONG
    for name, question in _questions(context, kind).items():
        found[name] = guarded(_in_time, question, seconds)
        keep()
        # The worker of a task answers everything, and only there a task instance has a state.
        if "system_test_db" in name and getattr(context.get("ti"), "state", None) is None:
            seconds = _SHORT


async def ask_async(context: Mapping[str, Any], kind: str, found: dict[str, Any], keep: Callable[[], None]) -> None:
    """Ask the same from an event loop: through asgiref's threads, at once in it, and through a thread of asyncio's."""
    from airflow.providers.common.compat.connection import get_async_connection
    from asgiref.sync import sync_to_async

    questions = _questions(context, kind)
    for name in CONNECTIONS:
        found[f"awaited: get_async_connection {name}"] = await _await(get_async_connection(name), "host", _LONG)
        keep()
    for name, question in questions.items():
        answer = sync_to_async(guarded, thread_sensitive=False)(question)
        found[f"in sync_to_async: {name}"] = await _await(answer)
        keep()
    for name in ("get_task_states", "Variable.get", f"get_connection {CONNECTIONS[1]}"):
        found[f"in the loop: {name}"] = guarded(_in_time, questions[name], _SHORT)
        keep()
    for name in ("get_task_states", "Variable.get"):
        found[f"in to_thread: {name}"] = await _await(asyncio.to_thread(guarded, questions[name]))
        keep()


async def _await(answer: Any, attribute: str = "", seconds: float = _SHORT) -> Any:
    try:
        value = await asyncio.wait_for(answer, seconds)
    except BaseException as error:
        return {"$raised": f"{type(error).__name__}: {error}"}
    return getattr(value, attribute) if attribute else value


def _in_time(question: Callable[[], Any], seconds: float) -> Any:
    with _time_limit(seconds):
        return question()


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise Unanswered("no answer in time")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _questions(context: Mapping[str, Any], kind: str) -> dict[str, Callable[[], Any]]:
    dag_id, run_id, _ = where(context)
    ti = context.get("ti")
    key = f"probe_{kind}"
    questions: dict[str, Any] = {
        **{f"get_connection {name}": lambda name=name: BaseHook.get_connection(name).host for name in CONNECTIONS},
        "Variable.set": lambda: Variable.set(key, "asked"),
        "Variable.get": lambda: Variable.get(key),
        "Variable.delete": lambda: Variable.delete(key),
    }
    if RuntimeTaskInstance is not None:
        questions |= _ask_supervisor(str(dag_id), str(run_id), _any_task(context))
    elif "dag_run" in context:
        questions["dag_run.get_task_instances()"] = lambda: _states(context["dag_run"])
    if ti is not None:
        questions |= {
            "ti.xcom_push": lambda: ti.xcom_push("probe", {"kind": kind, "numbers": [1, 2]}),
            "ti.xcom_pull own": lambda: ti.xcom_pull(task_ids=ti.task_id, key="probe", map_indexes=ti.map_index),
            "ti.xcom_pull other task": lambda: ti.xcom_pull(task_ids="other", key="return_value"),
            "ti.get_previous_dagrun()": lambda: _run(ti.get_previous_dagrun()),
            "ti.get_previous_dagrun('success')": lambda: _run(ti.get_previous_dagrun(state="success")),
            "context prev_start_date_success": lambda: context["prev_start_date_success"],
        }
    if "task_state_store" in context:
        questions["task_state_store.set"] = lambda: context["task_state_store"].set("probe", kind)
        questions["task_state_store.get"] = lambda: context["task_state_store"].get("probe")
    task = context.get("task")
    if hasattr(task, "generate_link_to_ui_from_context"):
        questions["link to answer page"] = lambda: task.generate_link_to_ui_from_context(context=context)
    return questions


def _ask_supervisor(dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    asked = RuntimeTaskInstance
    return {
        "get_task_states": lambda: asked.get_task_states(dag_id, run_ids=[run_id]),
        "get_ti_count failed": lambda: asked.get_ti_count(dag_id, run_ids=[run_id], states=["failed"]),
        "get_dagrun_state": lambda: asked.get_dagrun_state(dag_id, run_id),
        "get_dr_count": lambda: asked.get_dr_count(dag_id, run_ids=[run_id]),
        "get_task_breadcrumbs": lambda: [*asked.get_task_breadcrumbs(dag_id, run_id)],
        "XCom.set without ti": lambda: _set_xcom(dag_id, run_id, task_id),
        "XCom.get_one without ti": lambda: _get_xcom(dag_id, run_id, task_id),
    }


def _set_xcom(dag_id: str, run_id: str, task_id: str) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    XCom.set(key="probe_run", value="x", dag_id=dag_id, task_id=task_id, run_id=run_id)


def _get_xcom(dag_id: str, run_id: str, task_id: str) -> Any:
    from airflow.sdk.execution_time.xcom import XCom

    return XCom.get_one(key="probe_run", dag_id=dag_id, task_id=task_id, run_id=run_id)


def _any_task(context: Mapping[str, Any]) -> str:
    # Not one that is not there: to keep something for that is an error of the API's, which takes long to become known.
    if "ti" in context:
        return str(context["ti"].task_id)
    return next(iter(getattr(context.get("dag"), "task_ids", [])), "sleeps")


def _states(run: Any) -> dict[str, Any]:
    return {f"{ti.task_id}[{ti.map_index}]": ti.state for ti in run.get_task_instances()}


def _run(run: Any) -> Any:
    return run and describe_object("dag_run", run)
