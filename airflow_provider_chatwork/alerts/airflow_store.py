"""The stores of alerts in Airflow, for every version and every process.

A failure is saved as an XCom of its task instance, the state of a message as a Variable. Tasks and the DAG processor
of Airflow 3 use the task SDK; Airflow 2 and the scheduler use the database.

Variables are not accessed with ``Variable.get`` and ``Variable.set``: these ask every secrets backend first, may answer
from a cache, and take some errors for a missing value.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from airflow_provider_chatwork.alerts.alert_state import AlertStore, AlertStoreError, Key

P = ParamSpec("P")
T = TypeVar("T")

#: The key of the XCom of a failed task instance.
XCOM_KEY = "chatwork_alert"
_DESCRIPTION = "Chatwork alerts of a DAG that are open. It is deleted when the DAG succeeds again."


def get_store(context: Mapping[str, Any], dag_id: str, run_id: str) -> AlertStore:
    """Return the store for the process in which a callback with this context runs."""
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

    ti = context.get("ti")
    # `dag.test()` of Airflow 3 runs some callbacks without a supervisor.
    if not AIRFLOW_V_3_0_PLUS or _supervisor() is None:
        return DatabaseAlertStore(dag_id, run_id, ti)
    return SdkAlertStore(dag_id, run_id, ti, frozenset(getattr(context.get("dag"), "task_ids", None) or ()))


def _raises_store_error(method: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except AlertStoreError:
            raise
        # Any error of Airflow: an alert is sent without the store as well.
        except Exception as error:
            raise AlertStoreError(f"{method.__name__}: {type(error).__name__}: {error}") from error

    return wrapper


class SdkAlertStore:
    """The store of Airflow 3, reached through the supervisor of this process.

    :param ti: the task instance of this process, or the last one of the run; ``None`` if there is none.
    :param task_ids: the tasks of the DAG, to distinguish ``load_1`` from index 1 of the mapped ``load``.
    """

    def __init__(self, dag_id: str, run_id: str, ti: Any, task_ids: frozenset[str]) -> None:
        self._dag_id = dag_id
        self._run_id = run_id
        self._ti = ti
        self._task_ids = task_ids

    @property
    def in_task(self) -> bool:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        return _supports("StartupDetails")

    @_raises_store_error
    def states(self) -> Mapping[Key, str | None] | None:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        if not _supports("TaskStatesResult"):
            return None
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        found = RuntimeTaskInstance.get_task_states(dag_id=self._dag_id, run_ids=[self._run_id])
        return {self._key(name): _state_name(state) for name, state in found.get(self._run_id, {}).items()}

    def _key(self, name: str) -> Key:
        if name in self._task_ids:
            return name, -1
        task_id, _, index = name.rpartition("_")
        return (task_id, int(index)) if task_id and index.isdigit() else (name, -1)

    @_raises_store_error
    def save_failure(self, failure: dict[str, Any]) -> None:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        if self._ti is not None and self.in_task:
            self._ti.xcom_push(key=XCOM_KEY, value=failure)

    @_raises_store_error
    def load_failures(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        if not _supports("XComSequenceSliceResult"):
            return []
        from airflow.providers.common.compat.sdk import XCom

        found: list[Any] = []
        for task_id in task_ids:
            found += XCom.get_all(key=XCOM_KEY, dag_id=self._dag_id, task_id=task_id, run_id=self._run_id) or []
        return _only_dicts(found)

    @_raises_store_error
    def load(self, name: str) -> dict[str, Any] | None:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import GetVariable

        try:
            return _parse(_request(GetVariable(key=name)).value)
        except AirflowRuntimeError as error:
            if error.error.error == ErrorType.VARIABLE_NOT_FOUND:
                return None
            raise

    @_raises_store_error
    def save(self, name: str, value: dict[str, Any] | None) -> None:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        from airflow.sdk.execution_time.comms import DeleteVariable, PutVariable

        if value is None:
            _request(DeleteVariable(key=name))
        else:
            text = json.dumps(value, ensure_ascii=False)
            _request(PutVariable(key=name, value=text, description=_DESCRIPTION))


class DatabaseAlertStore:
    """The store in the database: for Airflow 2, the scheduler of Airflow 3, and ``dag.test()``.

    :param ti: the task instance of this process; ``None`` if there is none.
    """

    in_task = False

    def __init__(self, dag_id: str, run_id: str, ti: Any = None) -> None:
        self._dag_id = dag_id
        self._run_id = run_id
        self._ti = ti

    @_raises_store_error
    def states(self) -> Mapping[Key, str | None] | None:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        query = select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state).where(
            TaskInstance.dag_id == self._dag_id, TaskInstance.run_id == self._run_id
        )
        with create_session() as session:
            return {(task_id, index): _state_name(state) for task_id, index, state in session.execute(query)}

    @_raises_store_error
    def save_failure(self, failure: dict[str, Any]) -> None:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        if self._ti is not None:
            self._ti.xcom_push(key=XCOM_KEY, value=failure)

    @_raises_store_error
    def load_failures(self, task_ids: Iterable[str]) -> list[dict[str, Any]]:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        from airflow.models import xcom
        from airflow.utils.session import create_session
        from sqlalchemy import select

        # Airflow 3 has two classes: one for the table, one to deserialize values.
        table: Any = getattr(xcom, "XComModel", None) or xcom.BaseXCom
        deserializer: Any = getattr(xcom, "XComModel", None) or xcom.XCom
        # Only the column: Airflow 2 deserializes whole rows by itself.
        query = select(table.value).where(
            table.dag_id == self._dag_id,
            table.run_id == self._run_id,
            table.key == XCOM_KEY,
            table.task_id.in_(list(task_ids)),
        )
        with create_session() as session:
            return _only_dicts(deserializer.deserialize_value(row) for row in session.execute(query))

    @_raises_store_error
    def load(self, name: str) -> dict[str, Any] | None:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        from airflow.models import Variable
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            variable = session.scalar(select(Variable).where(Variable.key == name))
            return None if variable is None else _parse(variable.val)

    @_raises_store_error
    def save(self, name: str, value: dict[str, Any] | None) -> None:
        """See :class:`~airflow_provider_chatwork.alerts.alert_state.AlertStore`."""
        from airflow.models import Variable
        from airflow.utils.session import create_session
        from sqlalchemy import delete, update
        from sqlalchemy.exc import IntegrityError

        with create_session() as session:
            if value is None:
                session.execute(delete(Variable).where(Variable.key == name))
                return
            variable: Any = Variable(key=name, val=json.dumps(value, ensure_ascii=False), description=_DESCRIPTION)
            # The value as Airflow stores it, encrypted if Airflow encrypts Variables.
            columns = {Variable._val: variable._val, Variable.is_encrypted: variable.is_encrypted}
            change = update(Variable).where(Variable.key == name).values(columns)
            change = change.execution_options(synchronize_session=False)
            done: Any = session.execute(change)
            if done.rowcount:
                return
            try:
                # In Airflow 2 this may be the session of the task, whose own changes must not be rolled back.
                with session.begin_nested():
                    session.add(variable)
            except IntegrityError:
                # Another process has inserted it meanwhile.
                session.execute(change)


def _supervisor() -> Any:
    """Return the connection to the supervisor of this process, or ``None``."""
    from airflow.sdk.execution_time import task_runner

    return getattr(task_runner, "SUPERVISOR_COMMS", None)


def _request(message: Any) -> Any:
    """Send a message that every supervisor supports, and return the response."""
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.comms import ErrorResponse

    supervisor = _supervisor()
    if supervisor is None:
        raise AlertStoreError("this process has no supervisor")
    response = supervisor.send(message)
    if isinstance(response, ErrorResponse):
        raise AirflowRuntimeError(response)
    return response


def _supports(response_type: str) -> bool:
    """Whether the supervisor of this process sends responses of this type.

    An unsupported message must not be sent: the supervisor would never respond. What it supports depends on the
    Airflow version, and on whether this is a task or the DAG processor.
    """
    from pydantic import ValidationError

    supervisor = _supervisor()
    if supervisor is None:
        raise AlertStoreError("this process has no supervisor")
    decoder = getattr(supervisor, "body_decoder", None)
    if decoder is None:
        # The supervisor of `dag.test()` supports everything.
        return True
    try:
        decoder.validate_python({"type": response_type})
    except ValidationError as error:
        return all(found["type"] != "union_tag_invalid" for found in error.errors())
    return True


def _parse(text: Any) -> dict[str, Any] | None:
    found = json.loads(text) if text else None
    return found if isinstance(found, dict) else None


def _only_dicts(values: Iterable[Any]) -> list[dict[str, Any]]:
    # The scheduler cannot read values of an XCom backend that stores them elsewhere.
    return [value for value in values if isinstance(value, dict)]


def _state_name(state: Any) -> str | None:
    return None if state is None else str(getattr(state, "value", state))
