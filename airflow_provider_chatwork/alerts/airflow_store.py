"""What Airflow knows of a run, and what it keeps for the alerts: of every version, in every process.

A failure is recorded as an XCom of its own task instance; what was told stands in Variables (see
:mod:`~airflow_provider_chatwork.alerts.alert_state`). Airflow 3 answers through its task SDK, and through its database in
Airflow 2 and in the scheduler. What an older DAG processor cannot be asked for is not asked.

Variables are read and written where Airflow keeps them, and not by ``Variable``: that asks every secrets backend first,
each time, may answer out of a cache, and takes some errors for "there is none" or only logs them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from airflow_provider_chatwork.alerts.aggregation import Ledger, LedgerError
from airflow_provider_chatwork.alerts.alert_state import Key

P = ParamSpec("P")
T = TypeVar("T")

#: The key of the XCom that a failed task instance leaves.
XCOM_KEY = "chatwork_alert"
_LONGEST_NAME = 250


def variable_name(*parts: object) -> str:
    """The name of the Variable for a DAG, a run, a room: another one for other parts, readable, at most 250 characters.

    It holds nothing but ASCII letters, digits, ``-`` and ``_``, as it becomes a part of addresses in Airflow 3.
    """
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:16]
    name = re.sub(r"[^A-Za-z0-9_-]", "_", "_".join(["chatwork_alert", *(str(part) for part in parts)]))
    return f"{name[: _LONGEST_NAME - len(digest) - 1]}_{digest}"


def ledger_of(context: Mapping[str, Any], dag_id: str, run_id: str) -> Ledger:
    """Return what can be asked from where this context is."""
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

    ti = context.get("ti")
    if not AIRFLOW_V_3_0_PLUS or not _has_supervisor():
        return DatabaseLedger(dag_id, run_id, ti)
    dag = context.get("dag")
    return SdkLedger(dag_id, run_id, ti, frozenset(getattr(dag, "task_ids", None) or ()))


def _guarded(method: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except LedgerError:
            raise
        # Whatever Airflow has to say to this (no such table, no supervisor, an answer it cannot read): the alert can
        # do without, and must.
        except Exception as error:
            raise LedgerError(f"{method.__name__}: {type(error).__name__}: {error}") from error

    return guarded


class SdkLedger:
    """Airflow 3, by way of the process that supervises this one.

    :param ti: the task instance of this process, or the last one of its run; ``None`` where there is none.
    :param task_ids: the tasks of the DAG, to tell ``load_1`` from the second of the mapped ``load``.
    """

    def __init__(self, dag_id: str, run_id: str, ti: Any, task_ids: frozenset[str]) -> None:
        self._dag_id = dag_id
        self._run_id = run_id
        self._ti = ti
        self._task_ids = task_ids

    @property
    def in_task(self) -> bool:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        return _understands("StartupDetails")

    @_guarded
    def states(self) -> Mapping[Key, str | None] | None:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        if not _understands("TaskStatesResult"):
            return None
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        answer = RuntimeTaskInstance.get_task_states(dag_id=self._dag_id, run_ids=[self._run_id])
        return {self._key(name): _word(state) for name, state in answer.get(self._run_id, {}).items()}

    def _key(self, name: str) -> Key:
        if name in self._task_ids:
            return name, -1
        task_id, _, index = name.rpartition("_")
        return (task_id, int(index)) if task_id and index.isdigit() else (name, -1)

    @_guarded
    def record(self, entry: dict[str, Any]) -> None:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        if self._ti is not None and self.in_task:
            self._ti.xcom_push(key=XCOM_KEY, value=entry)

    @_guarded
    def recorded(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        if not _understands("XComSequenceSliceResult"):
            return []
        from airflow.providers.common.compat.sdk import XCom

        found: list[Any] = []
        for task_id in task_ids:
            found += XCom.get_all(key=XCOM_KEY, dag_id=self._dag_id, task_id=task_id, run_id=self._run_id) or []
        return _entries(found)

    @_guarded
    def load(self, name: str) -> dict[str, Any] | None:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import GetVariable

        try:
            return _decoded(_ask(GetVariable(key=name)).value)
        except AirflowRuntimeError as error:
            if error.error.error == ErrorType.VARIABLE_NOT_FOUND:
                return None
            raise

    @_guarded
    def save(self, name: str, value: dict[str, Any] | None) -> None:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        from airflow.sdk.execution_time.comms import DeleteVariable, PutVariable

        if value is None:
            _ask(DeleteVariable(key=name))
        else:
            _ask(PutVariable(key=name, value=_encoded(value), description=_DESCRIPTION))


class DatabaseLedger:
    """The database itself: Airflow 2, the scheduler of Airflow 3, and a DAG that tests itself.

    :param ti: the task instance of this process; ``None`` where there is none.
    """

    def __init__(self, dag_id: str, run_id: str, ti: Any = None) -> None:
        self._dag_id = dag_id
        self._run_id = run_id
        self._ti = ti

    in_task = False

    @_guarded
    def states(self) -> Mapping[Key, str | None] | None:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        wanted = select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state).where(
            TaskInstance.dag_id == self._dag_id, TaskInstance.run_id == self._run_id
        )
        with create_session() as session:
            return {(task_id, index): _word(state) for task_id, index, state in session.execute(wanted)}

    @_guarded
    def record(self, entry: dict[str, Any]) -> None:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        if self._ti is not None:
            self._ti.xcom_push(key=XCOM_KEY, value=entry)

    @_guarded
    def recorded(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        from airflow.models import xcom
        from airflow.utils.session import create_session
        from sqlalchemy import select

        # Airflow 3 has two classes: one for the table, one for what its values mean.
        table: Any = getattr(xcom, "XComModel", None) or xcom.BaseXCom
        meaning: Any = getattr(xcom, "XComModel", None) or xcom.XCom
        # Only the column: Airflow 2 makes sense of the values of whole rows by itself.
        wanted = select(table.value).where(
            table.dag_id == self._dag_id,
            table.run_id == self._run_id,
            table.key == XCOM_KEY,
            table.task_id.in_(list(task_ids)),
        )
        with create_session() as session:
            return _entries(meaning.deserialize_value(row) for row in session.execute(wanted))

    @_guarded
    def load(self, name: str) -> dict[str, Any] | None:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        from airflow.models import Variable
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            kept = session.scalar(select(Variable).where(Variable.key == name))
            return None if kept is None else _decoded(kept.val)

    @_guarded
    def save(self, name: str, value: dict[str, Any] | None) -> None:
        """See :class:`~airflow_provider_chatwork.alerts.aggregation.Ledger`."""
        from airflow.models import Variable
        from airflow.utils.session import create_session
        from sqlalchemy import delete, update
        from sqlalchemy.exc import IntegrityError

        with create_session() as session:
            if value is None:
                session.execute(delete(Variable).where(Variable.key == name))
                return
            new: Any = Variable(key=name, val=_encoded(value), description=_DESCRIPTION)
            # As Airflow keeps it, perhaps encrypted.
            kept = {Variable._val: new._val, Variable.is_encrypted: new.is_encrypted}
            change = update(Variable).where(Variable.key == name).values(kept)
            change = change.execution_options(synchronize_session=False)
            done: Any = session.execute(change)
            if done.rowcount:
                return
            try:
                # A session of Airflow 2 may be that of the task itself, whose own changes must not be undone.
                with session.begin_nested():
                    session.add(new)
            except IntegrityError:
                # Another process was faster.
                session.execute(change)


_DESCRIPTION = "What the Chatwork alerts have told of a DAG; it goes by itself when the DAG succeeds again."


def _supervisor() -> Any:
    from airflow.sdk.execution_time import task_runner

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if comms is None:
        raise LedgerError("this process has no supervisor")
    return comms


def _ask(request: Any) -> Any:
    """Send a request that every supervisor knows, and return its answer."""
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.comms import ErrorResponse

    answer = _supervisor().send(request)
    if isinstance(answer, ErrorResponse):
        raise AirflowRuntimeError(answer)
    return answer


def _has_supervisor() -> bool:
    """Whether there is one, as tasks and the DAG processor have. A DAG that tests itself calls back without."""
    from airflow.sdk.execution_time import task_runner

    return getattr(task_runner, "SUPERVISOR_COMMS", None) is not None


def _understands(answer: str) -> bool:
    """Whether the process that supervises this one gives such an answer.

    A request that it does not know is not refused but never answered, so it must not be sent. Which ones it knows
    depends on the Airflow version, and on whether this is a task or the DAG processor.
    """
    from pydantic import ValidationError

    decoder = getattr(_supervisor(), "body_decoder", None)
    if decoder is None:
        # A DAG that tests itself is its own supervisor.
        return True
    try:
        decoder.validate_python({"type": answer})
    except ValidationError as error:
        return all(found["type"] != "union_tag_invalid" for found in error.errors())
    return True


def _encoded(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _decoded(value: Any) -> dict[str, Any] | None:
    found = json.loads(value) if value else None
    return found if isinstance(found, dict) else None


def _entries(found: Iterable[Any]) -> list[dict[str, Any]]:
    # The scheduler does not see through an XCom backend that keeps values elsewhere.
    return [entry for entry in found if isinstance(entry, dict)]


def _word(state: Any) -> str | None:
    return None if state is None else str(getattr(state, "value", state))
