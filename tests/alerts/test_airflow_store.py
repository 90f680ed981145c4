from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_chatwork.alerts.airflow_store import (
    XCOM_KEY,
    DatabaseAlertStore,
    SdkAlertStore,
    get_store,
)
from airflow_provider_chatwork.alerts.alert_state import AlertStoreError, TaskFailure, variable_name
from tests.airflow_helpers import VERSION, new_dag, run_dag

DAG = "report"
RUN = "scheduled__2026-11-01T00:00:00+00:00"
TASKS = frozenset({"load", "load_3", "clean"})
STATE = {"opened_at": 1.5, "runs": {RUN: {"failed": [["読込", 0]], "details": [{"error": "[toall] \u200b😀"}]}}}


class Unanswered(BaseException):
    """The supervisor would never have answered. Nothing may take it for an error."""


class Supervisor:
    """The process above a task or a DAG file: what it is requested, and what it keeps.

    :param understands: what it answers with; ``None`` for a DAG that tests itself.
    :param knows: what it can be asked for.
    """

    def __init__(self, understands: Any = None, knows: Any = None) -> None:
        from pydantic import TypeAdapter

        self.requested: list[str] = []
        self.variables: dict[str, Any] = {}
        self.xcoms: dict[tuple[str, int], Any] = {}
        self.states: dict[str, Any] = {}
        self.refuses = False
        self._knows = TypeAdapter(knows) if knows is not None else None
        if understands is not None:
            self.body_decoder = TypeAdapter(understands)

    def send(self, msg: Any) -> Any:
        from pydantic import ValidationError

        request = msg.model_dump()
        if self._knows is not None:
            try:
                self._knows.validate_python(request)
            except ValidationError as error:
                raise Unanswered(request["type"]) from error
        if request["type"] == "MaskSecret":
            return None
        self.requested.append(request["type"])
        answer = self._answer(request)
        if answer is None or self._knows is None:
            return answer
        # As it comes out of the socket.
        return self.body_decoder.validate_python(answer.model_dump())

    def _answer(self, request: dict[str, Any]) -> Any:
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms

        if self.refuses:
            return comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500})
        match request:
            case {"type": "GetTaskStates", "dag_id": "report", "run_ids": [run_id]}:
                return comms.TaskStatesResult(task_states={run_id: self.states} if self.states else {})
            case {"type": "SetXCom", "key": "chatwork_alert", "dag_id": "report"}:
                self.xcoms[request["task_id"], request["map_index"]] = request["value"]
                return None
            case {"type": "GetXComSequenceSlice", "key": "chatwork_alert", "dag_id": "report", "task_id": task_id}:
                found = [value for (name, _), value in self.xcoms.items() if name == task_id]
                return comms.XComSequenceSliceResult(root=found)
            case {"type": "GetVariable", "key": key} if key in self.variables:
                return comms.VariableResult(key=key, value=self.variables[key])
            case {"type": "GetVariable"}:
                return comms.ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={})
            case {"type": "PutVariable", "key": key, "value": value, "description": str()}:
                self.variables[key] = value
                return None
            case {"type": "DeleteVariable", "key": key}:
                self.variables.pop(key, None)
                return comms.OKResponse(ok=True)
        raise AssertionError(request)


Supervise = Callable[..., Supervisor]


@pytest.fixture
def supervise(monkeypatch: pytest.MonkeyPatch) -> Supervise:
    """Put this process under a supervisor."""

    def put(*args: Any) -> Supervisor:
        supervisor = Supervisor(*args)
        monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
        return supervisor

    return put


@pytest.fixture
def task(supervise: Supervise) -> Supervisor:
    """The supervisor of a task."""
    from airflow.sdk.execution_time import comms

    return supervise(comms.ToTask, comms.ToSupervisor)


@pytest.fixture
def dag_processor(supervise: Supervise) -> Supervisor:
    """The supervisor of a DAG file, whose callbacks run in the DAG processor."""
    from airflow.dag_processing import processor

    return supervise(processor.ToDagProcessor, processor.ToManager)


class PushingTaskInstance:
    """A task instance that pushes as the one of the task SDK does."""

    def __init__(self, task_id: str = "load", map_index: int = -1) -> None:
        self.task_id = task_id
        self.map_index = map_index

    def xcom_push(self, key: str, value: Any) -> None:
        from airflow.providers.common.compat.sdk import XCom

        where = {"dag_id": DAG, "run_id": RUN, "task_id": self.task_id, "map_index": self.map_index}
        XCom.set(key=key, value=value, **where)


def sdk_store(ti: Any = None) -> SdkAlertStore:
    return SdkAlertStore(DAG, RUN, ti, TASKS)


class TestVariableName:
    def test_a_name_is_readable(self):
        assert variable_name("report", "manual__1", 400000101).startswith("chatwork_alert_report_manual__1_400000101_")

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (("a", "b.c", 1), ("a.b", "c", 1)),
            (("a_1",), ("a", 1)),
            (("a", "b:c"), ("a", "b+c")),
            (("日次",), ("月次",)),
            (("x" * 300, 1), ("x" * 300, 2)),
        ],
    )
    def test_other_parts_give_another_name(self, one, other):
        assert variable_name(*one) != variable_name(*other)

    def test_equal_parts_give_the_same_name(self):
        assert variable_name("report") == variable_name("report") == "chatwork_alert_report_28635afc53e72609"

    @pytest.mark.parametrize("part", ["x" * 400, RUN, "日次レポート", "a/b?c#d%e"], ids=["long", "run", "ja", "odd"])
    def test_a_name_is_valid_in_airflow_and_in_a_url(self, part):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,250}", variable_name(part, 1))


@pytest.mark.skipif(VERSION < (3, 0), reason="Airflow 2 has no task SDK")
class TestSdkAlertStore:
    def test_the_states_of_the_run_are_returned(self, task):
        task.states = {"load_3": "failed", "clean": "success", "clean_0": None}
        assert sdk_store().states() == {("load_3", -1): "failed", ("clean", -1): "success", ("clean", 0): None}

    def test_a_mapped_task_differs_from_a_task_with_a_similar_id(self, task):
        task.states = {"load_3": "failed", "load_4": "success", "load_x": "queued", "_5": "queued"}
        assert [*(sdk_store().states() or ())] == [("load_3", -1), ("load", 4), ("load_x", -1), ("_5", -1)]

    def test_a_run_without_tasks_has_no_states(self, task):
        assert sdk_store().states() == {}

    def test_saved_failures_are_loaded(self, task):
        for at in range(2):
            failure = TaskFailure(
                task_id="load", map_index=at, error="ValueError: [toall] 読込", owners=["山田"], failed_at=1.5
            )
            sdk_store(PushingTaskInstance("load", at)).save_failure(failure.to_json())
        found = sdk_store().load_failures(["load", "clean"])
        assert [TaskFailure.load(saved) for saved in found] == [
            TaskFailure(task_id="load", map_index=at, error="ValueError: [toall] 読込", owners=["山田"], failed_at=1.5)
            for at in range(2)
        ]

    def test_nothing_is_saved_without_a_task_instance(self, task):
        sdk_store().save_failure({"task_id": "load"})
        assert task.requested == []

    def test_other_values_are_ignored(self, task):
        task.xcoms["load", -1] = "s3://somewhere/else"
        assert sdk_store().load_failures(["load"]) == []

    def test_a_state_is_saved_loaded_and_deleted(self, task):
        sdk_store().save("message", STATE)
        assert sdk_store().load("message") == STATE
        sdk_store().save("message", {"opened_at": 2})
        assert sdk_store().load("message") == {"opened_at": 2}
        sdk_store().save("message", None)
        assert sdk_store().load("message") is None
        sdk_store().save("message", None)

    @pytest.mark.parametrize("saved", ["", "[1]", "null"])
    def test_another_value_is_loaded_as_none(self, task, saved):
        task.variables["message"] = saved
        assert sdk_store().load("message") is None

    def test_no_secrets_backend_is_asked_for_a_state(self, task, monkeypatch):
        # They come first, and may be far away.
        monkeypatch.setenv("AIRFLOW_VAR_MESSAGE", '{"opened_at": 3}')
        sdk_store().save("message", STATE)
        assert sdk_store().load("message") == STATE
        assert task.requested == ["PutVariable", "GetVariable"]

    @pytest.mark.parametrize(
        "act",
        [
            lambda store: store.states(),
            lambda store: store.load_failures(["load"]),
            lambda store: store.load("message"),
            lambda store: store.save("message", STATE),
            lambda store: store.save("message", None),
        ],
        ids=["states", "load_failures", "load", "save", "take away"],
    )
    @pytest.mark.parametrize("supervised", [True, False], ids=["refused", "without a supervisor"])
    def test_an_error_of_airflow_is_a_store_error(self, request, supervised, act):
        if supervised:
            request.getfixturevalue("task").refuses = True
        with pytest.raises(AlertStoreError):
            act(sdk_store())

    def test_the_store_error_names_the_cause(self, task):
        task.variables["message"] = "{"
        with pytest.raises(AlertStoreError, match=r"^load: JSONDecodeError: "):
            sdk_store().load("message")

    def test_a_failed_save_is_a_store_error(self):
        with pytest.raises(AlertStoreError, match="no supervisor"):
            sdk_store(PushingTaskInstance()).save_failure({"task_id": "load"})


@pytest.mark.skipif(VERSION < (3, 0), reason="Airflow 2 has no task SDK")
class TestSdkAlertStoreInTheDagProcessor:
    """Every request that this supervisor does not know would end as :class:`Unanswered`."""

    def test_the_dag_processor_is_not_in_the_task(self, dag_processor):
        assert sdk_store().in_task is False

    def test_the_dag_processor_saves_no_failure(self, dag_processor):
        # The task instance there is the one that ended last, not one of this process.
        sdk_store(PushingTaskInstance()).save_failure({"task_id": "load"})
        assert dag_processor.requested == []

    def test_states_are_returned_if_the_supervisor_supports_it(self, dag_processor):
        dag_processor.states = {"clean": "failed"}
        assert sdk_store().states() == (None if VERSION < (3, 1) else {("clean", -1): "failed"})
        assert dag_processor.requested == ([] if VERSION < (3, 1) else ["GetTaskStates"])

    def test_failures_are_loaded_if_the_supervisor_supports_it(self, dag_processor):
        dag_processor.xcoms["load", 0] = {"task_id": "load"}
        assert sdk_store().load_failures(["load"]) == ([] if VERSION < (3, 1) else [{"task_id": "load"}])

    def test_a_state_is_saved_loaded_and_deleted(self, dag_processor):
        sdk_store().save("message", STATE)
        assert sdk_store().load("message") == STATE
        sdk_store().save("message", None)
        assert sdk_store().load("message") is None


@pytest.mark.skipif(VERSION < (3, 0), reason="Airflow 2 has no task SDK")
class TestInTask:
    def test_a_process_with_the_supervisor_of_a_task_is_in_the_task(self, task):
        assert sdk_store().in_task is True
        assert task.requested == []

    def test_dag_test_is_in_the_task(self, supervise):
        supervise()
        assert sdk_store().in_task is True


class TestGetStore:
    def test_the_database_is_used_without_a_supervisor(self):
        assert type(get_store({"dag": SimpleNamespace(task_ids=["load"])}, DAG, RUN)) is DatabaseAlertStore

    @pytest.mark.skipif(VERSION < (3, 0), reason="Airflow 2 has no task SDK")
    def test_the_sdk_is_used_with_a_supervisor(self, task):
        assert type(get_store({"dag": SimpleNamespace(task_ids=["load"])}, DAG, RUN)) is SdkAlertStore

    @pytest.mark.skipif(VERSION < (3, 0), reason="Airflow 2 has no task SDK")
    def test_the_task_ids_are_those_of_the_dag(self, task):
        task.states = {"load_3": "failed", "clean_3": "failed"}
        store = get_store({"dag": SimpleNamespace(task_ids=["load_3", "clean"])}, DAG, RUN)
        assert {*(store.states() or ())} == {("load_3", -1), ("clean", 3)}

    @pytest.mark.skipif(VERSION < (3, 0), reason="Airflow 2 has no task SDK")
    def test_no_dag_is_needed(self, task):
        task.states = {"clean_3": "failed"}
        assert get_store({}, DAG, RUN).states() == {("clean", 3): "failed"}


@pytest.mark.usefixtures("db")
class TestDatabaseAlertStore:
    @pytest.fixture
    def store(self) -> DatabaseAlertStore:
        return DatabaseAlertStore(DAG, RUN)

    def test_a_state_is_saved_loaded_and_deleted(self, store):
        name = variable_name("a state")
        assert store.load(name) is None
        store.save(name, STATE)
        assert DatabaseAlertStore(DAG, RUN).load(name) == STATE
        store.save(name, {"opened_at": 2})
        assert store.load(name) == {"opened_at": 2}
        store.save(name, None)
        assert store.load(name) is None
        store.save(name, None)

    def test_a_state_is_a_variable_with_a_description(self, store):
        from airflow.models import Variable
        from airflow.utils.session import create_session
        from sqlalchemy import select

        name = variable_name("as a variable")
        store.save(name, STATE)
        try:
            with create_session() as session:
                saved: Any = session.scalar(select(Variable).where(Variable.key == name))
                assert "Chatwork alerts" in saved.description
            assert Variable.get(name, deserialize_json=True) == STATE
        finally:
            store.save(name, None)

    def test_a_variable_of_airflow_is_loaded(self, store):
        from airflow.models import Variable

        name = variable_name("wrote")
        Variable.set(name, STATE, serialize_json=True)
        assert store.load(name) == STATE
        store.save(name, {"opened_at": 2})
        assert store.load(name) == {"opened_at": 2}
        store.save(name, None)

    def test_a_state_that_another_process_inserts_is_updated(self, store):
        from airflow import settings
        from airflow.models import Variable
        from sqlalchemy import event, insert

        name = variable_name("at the same time")
        begun = []

        def be_faster(connection: Any, savepoint: str) -> None:
            begun.append(savepoint)
            connection.execute(insert(Variable.__table__).values(key=name, val="{}", is_encrypted=False))

        event.listen(settings.engine, "savepoint", be_faster)
        try:
            store.save(name, STATE)
            assert store.load(name) == STATE
            # Once it is there, it is only changed.
            store.save(name, {"opened_at": 2})
            assert store.load(name) == {"opened_at": 2}
        finally:
            event.remove(settings.engine, "savepoint", be_faster)
            store.save(name, None)
        assert len(begun) == 1

    def test_no_secrets_backend_is_asked(self, store, monkeypatch):
        monkeypatch.setenv("AIRFLOW_VAR_MESSAGE", '{"opened_at": 3}')
        assert store.load("message") is None

    @pytest.mark.parametrize(
        "act",
        [
            lambda store: store.states(),
            lambda store: store.load_failures(["load"]),
            lambda store: store.load("message"),
            lambda store: store.save("message", STATE),
            lambda store: store.save("message", None),
        ],
        ids=["states", "load_failures", "load", "save", "take away"],
    )
    def test_an_error_of_the_database_is_a_store_error(self, store, monkeypatch, act):
        monkeypatch.setattr("airflow.settings.Session", None)
        with pytest.raises(AlertStoreError):
            act(store)

    def test_a_failed_save_is_a_store_error(self):
        with pytest.raises(AlertStoreError, match=r"^save_failure: AttributeError: "):
            DatabaseAlertStore(DAG, RUN, SimpleNamespace()).save_failure({"task_id": "load"})

    def test_nothing_is_saved_without_a_task_instance(self, store):
        store.save_failure({"task_id": "load"})
        assert store.load_failures(["load"]) == []


@pytest.mark.usefixtures("db")
class TestInARun:
    """Both ledgers, in a callback of a task that runs and in a process that has nothing to do with it."""

    def test_a_failure_callback_saves_and_loads(self, monkeypatch, tmp_path):
        from airflow.providers.common.compat.sdk import BaseOperator

        name = variable_name("from within")
        seen: list[dict[str, Any]] = []
        errors: list[AlertStoreError] = []

        def note(context: Any) -> None:
            ti = context["ti"]
            store = get_store(context, ti.dag_id, ti.run_id)
            try:
                store.save_failure(
                    TaskFailure(
                        task_id=ti.task_id, map_index=ti.map_index, error="ValueError: 読込", failed_at=1.5
                    ).to_json()
                )
                before = store.load(name) or {"indexes": []}
                store.save(name, {"indexes": [*before["indexes"], ti.map_index]})
                seen.append(
                    {"states": dict(store.states() or {}), "load_failures": store.load_failures(["load", "other"])}
                )
            except AlertStoreError as error:
                errors.append(error)

        class Fails(BaseOperator):
            template_fields = ("at",)

            def __init__(self, at: int = 0, **kwargs: Any) -> None:
                super().__init__(**kwargs)
                self.at = at

            def execute(self, context: Any) -> None:
                raise ValueError("読込")

        class Succeeds(BaseOperator):
            def execute(self, context: Any) -> dict[str, str]:
                return {"task_id": "this is its result"}

        with new_dag("store_in_a_run") as dag:
            Succeeds(task_id="load_3")
            Fails.partial(task_id="load", on_failure_callback=note).expand(at=[0, 1])
        run = run_dag(dag, monkeypatch, tmp_path)

        assert errors == []
        assert len(seen) == 2
        for at in range(2):
            assert {("load_3", -1), ("load", 0), ("load", 1)} == {*seen[at]["states"]}
        assert {failure["map_index"] for failure in seen[1]["load_failures"]} == {0, 1}

        store = DatabaseAlertStore(dag.dag_id, run.run_id)
        assert store.states() == {("load_3", -1): "success", ("load", 0): "failed", ("load", 1): "failed"}
        assert sorted(store.load_failures(["load"]), key=lambda failure: failure["map_index"]) == [
            {"task_id": "load", "map_index": at, "error": "ValueError: 読込", "failed_at": 1.5} for at in range(2)
        ]
        assert store.load_failures(["load_3"]) == []
        assert DatabaseAlertStore(dag.dag_id, "another").load_failures(["load"]) == []
        assert DatabaseAlertStore(dag.dag_id, "another").states() == {}
        assert sorted((store.load(name) or {})["indexes"]) == [0, 1]
        store.save(name, None)

    def test_other_values_are_ignored(self, monkeypatch, tmp_path):
        from airflow.providers.common.compat.sdk import BaseOperator

        class Pushes(BaseOperator):
            def execute(self, context: Any) -> None:
                context["ti"].xcom_push(key=XCOM_KEY, value="s3://somewhere/else")

        with new_dag("store_other_value") as dag:
            Pushes(task_id="load")
        run = run_dag(dag, monkeypatch, tmp_path)
        assert DatabaseAlertStore(dag.dag_id, run.run_id).load_failures(["load"]) == []

    def test_a_store_error_does_not_change_the_task(self, monkeypatch, tmp_path):
        from airflow.providers.common.compat.sdk import BaseOperator

        errors: list[str] = []

        def fail_too(context: Any) -> None:
            ti = context["ti"]
            store = get_store(context, ti.dag_id, "there is no such run")
            try:
                store.save("x" * 10, {"not": object()})
            except AlertStoreError as error:
                errors.append(str(error))

        class Fails(BaseOperator):
            def execute(self, context: Any) -> None:
                raise ValueError("読込")

        with new_dag("ledger_fails") as dag:
            Fails(task_id="load", on_failure_callback=fail_too)
        run = run_dag(dag, monkeypatch, tmp_path)
        assert [error.partition(" ")[0] for error in errors] == ["save:"]
        assert DatabaseAlertStore(dag.dag_id, run.run_id).states() == {("load", -1): "failed"}
