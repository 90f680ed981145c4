from __future__ import annotations

import inspect
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.links import PLACE_KEY
from airflow_provider_chatwork.operators._base import ChatworkOperator
from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.operators.files import ChatworkDownloadFileOperator, ChatworkUploadFileOperator
from airflow_provider_chatwork.operators.messages import (
    ChatworkDeleteMessageOperator,
    ChatworkEditMessageOperator,
    ChatworkPostMessageOperator,
)
from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator, ChatworkSetTaskStatusOperator
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor
from tests.airflow_helpers import FakeStore, FakeTaskInstance, connect, context, new_dag, render, run_dag
from tests.operators.samples import CREATING, OPERATORS, Sample, sample

ROOM = company.DATA_ROOM

every_operator = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
every_creating_operator = pytest.mark.parametrize("operator", CREATING, ids=lambda operator: operator.__name__)


def refusal(status: int) -> Fault:
    return Fault("status", status=status, body={"errors": ["because"]}, times=None)


class TestEveryOperator:
    @every_operator
    def test_does_its_work_once_and_returns_plain_json(self, operator, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        done = operator(task_id="t", room_id=ROOM, **use.arguments).execute(context())
        assert done
        assert json.loads(json.dumps(done)) == done
        assert sandbox.write_count(use.operation) == (operator is not ChatworkDownloadFileOperator)

    @every_operator
    def test_stores_what_it_is_given_and_nothing_else(self, operator):
        # Templates and mapped arguments are resolved later, so the constructor must not read them.
        parameters = set(inspect.signature(operator.__init__).parameters) - {"self", "kwargs"}
        given = {name: object() for name in (parameters | {"room_id", "chatwork_conn_id"})}
        task = operator(task_id="t", **given)
        assert {name: getattr(task, name) for name in given} == given

    @every_operator
    def test_renders_every_argument_except_booleans(self, operator):
        parameters = inspect.signature(operator.__init__).parameters
        texts = {name for name, parameter in parameters.items() if parameter.annotation != "bool"} - {"self", "kwargs"}
        assert set(operator.template_fields) == texts | {"room_id", "chatwork_conn_id"}

    @every_operator
    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_runs_with_all_its_fields_rendered(self, operator, native, sandbox, tmp_path, monkeypatch):
        connect(monkeypatch, sandbox, conn_id="chatwork_second")
        use = sample(operator, sandbox, tmp_path)
        values = {**use.arguments, "room_id": ROOM, "chatwork_conn_id": "chatwork_second"}
        with new_dag("d", render_template_as_native_obj=native):
            task = operator(task_id="t", **{name: f"{{{{ given['{name}'] }}}}" for name in values})
        render(task, given=values)
        assert task.execute(context())
        assert use.operation in [request.operation for request in sandbox.requests]

    @every_operator
    def test_uses_the_default_room_of_the_connection(self, operator, sandbox, tmp_path, monkeypatch):
        connect(monkeypatch, sandbox, default_room_id=str(ROOM))
        # A template of a missing value renders to the last one.
        for empty in (None, "", "None"):
            use = sample(operator, sandbox, tmp_path)
            assert operator(task_id="t", room_id=empty, **use.arguments).execute(context())

    @every_operator
    def test_sends_nothing_where_there_is_no_room(self, operator, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        with pytest.raises(AirflowFailException, match="default_room_id") as caught:
            operator(task_id="t", **use.arguments).execute(context())
        assert isinstance(caught.value.__cause__, errors.ChatworkParameterError)
        assert not sandbox.requests

    @every_operator
    def test_sends_nothing_for_an_invalid_room_id(self, operator, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        with pytest.raises(AirflowFailException, match="room_id='general'"):
            operator(task_id="t", room_id="general", **use.arguments).execute(context())
        assert not sandbox.requests

    @every_operator
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, errors.ChatworkInvalidRequestError),
            (401, errors.ChatworkAuthError),
            (403, errors.ChatworkForbiddenError),
            (404, errors.ChatworkNotFoundError),
        ],
    )
    def test_fails_without_retries_where_chatwork_refuses_permanently(self, operator, status, error, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        sandbox.add_fault(refusal(status))
        with pytest.raises(AirflowFailException, match="because") as caught:
            operator(task_id="t", room_id=ROOM, **use.arguments).execute(context())
        assert type(caught.value.__cause__) is error

    @every_operator
    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (refusal(429), errors.ChatworkRateLimitError),
            (refusal(503), errors.ChatworkServerError),
            (Fault("refuse", times=None), errors.ChatworkNetworkError),
            (Fault("malformed", shape="html", times=None), errors.ChatworkUnexpectedResponseError),
        ],
        ids=["429", "503", "refused", "malformed"],
    )
    def test_leaves_temporary_errors_to_the_retries_of_airflow(self, operator, fault, error, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        sandbox.add_fault(fault)
        task = operator(task_id="t", room_id=ROOM, **use.arguments)
        # With a state store, a later try can look up a write of unknown outcome.
        with pytest.raises(errors.ChatworkError) as caught:
            task.execute(context(task_state_store=FakeStore()))
        in_doubt = operator in CREATING and fault.status != 429
        assert type(caught.value) is (errors.ChatworkUnknownOutcomeError if in_doubt else error)

    @every_operator
    def test_stores_the_target_of_its_links(self, operator, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        ti = FakeTaskInstance()
        operator(task_id="t", room_id=f" {ROOM} ", **use.arguments).execute({"ti": ti})
        place = ti.xcoms[PLACE_KEY]
        assert (place["room_id"], place["web_url"]) == (str(ROOM), str(sandbox.address))
        newest = sandbox.messages(ROOM)[-1]["message_id"]
        expected = use.arguments.get("message_id", newest)
        if operator is ChatworkSetTaskStatusOperator:
            # Completing a task adds a system message after the message of the task.
            expected = next(
                t["message_id"] for t in sandbox.tasks(ROOM) if t["task_id"] == use.arguments["chatwork_task_id"]
            )
        assert place["message_id"] == expected

    @every_operator
    def test_needs_no_task_instance(self, operator, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        assert operator(task_id="t", room_id=ROOM, **use.arguments).execute({})

    @pytest.mark.parametrize(
        "operator", [ChatworkCreateTaskOperator, ChatworkSetTaskStatusOperator, ChatworkUploadFileOperator]
    )
    def test_succeeds_without_a_link_where_the_message_cannot_be_read(self, operator, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        sandbox.add_fault(Fault("status", method="GET", status=500, times=None))
        ti = FakeTaskInstance()
        assert operator(task_id="t", room_id=ROOM, **use.arguments).execute({"ti": ti})
        assert ti.xcoms[PLACE_KEY]["message_id"] is None


class Tries:
    """The tries of one task instance of Airflow 3.3, which share a state store."""

    def __init__(self, operator: type[ChatworkOperator], use: Sample) -> None:
        self.operator = operator
        self.arguments = use.arguments
        self.store: FakeStore = FakeStore()
        self.ti = FakeTaskInstance(max_tries=2)

    def once_more(self, **changed: Any) -> Any:
        task = self.operator(task_id="t", room_id=ROOM, **{**self.arguments, **changed})
        return task.execute({"ti": self.ti, "task_state_store": self.store})


class TestCreatedOnce:
    @pytest.fixture
    def tries(self, operator: type[ChatworkOperator], sandbox: Any, tmp_path: Path) -> Tries:
        return Tries(operator, sample(operator, sandbox, tmp_path))

    @every_creating_operator
    def test_a_later_try_returns_what_an_earlier_one_has_created(self, operator, tries, sandbox):
        first = tries.once_more()
        assert tries.once_more() == first
        assert sandbox.write_count(CREATING[operator]) == 1

    @every_creating_operator
    def test_a_later_try_finds_what_an_earlier_one_created_before_it_crashed(self, operator, tries, sandbox):
        sandbox.add_fault(Fault("lost_reply", operation=CREATING[operator]))
        with pytest.raises(errors.ChatworkUnknownOutcomeError):
            tries.once_more()
        assert sandbox.write_count(CREATING[operator]) == 1
        found = tries.once_more()
        assert sandbox.write_count(CREATING[operator]) == 1
        there = {
            "post_message": lambda: sandbox.messages(ROOM)[-1]["message_id"],
            "create_task": lambda: sorted(task["task_id"] for task in sandbox.tasks(ROOM))[-2:],
            "upload_file": lambda: sandbox.files(ROOM)[-1]["file_id"],
        }
        assert found == there[CREATING[operator]]()
        assert tries.once_more() == found

    @every_creating_operator
    def test_a_later_try_creates_what_an_earlier_one_did_not(self, operator, tries, sandbox):
        sandbox.add_fault(Fault("status", operation=CREATING[operator], status=500, executed=False))
        with pytest.raises(errors.ChatworkUnknownOutcomeError):
            tries.once_more()
        assert sandbox.write_count(CREATING[operator]) == 0
        tries.once_more()
        assert sandbox.write_count(CREATING[operator]) == 1

    @every_creating_operator
    def test_finds_the_result_where_the_store_failed_after_the_creation(self, operator, tries, sandbox):
        kept = tries.store.set

        def fail_on_the_result(key: str, value: Any, **options: Any) -> None:
            if "result" in value:
                tries.store.set = kept
                raise ConnectionError("the state store is away")
            kept(key, value, **options)

        tries.store.set = fail_on_the_result
        with pytest.raises(ConnectionError):
            tries.once_more()
        assert tries.once_more()
        assert sandbox.write_count(CREATING[operator]) == 1

    @every_creating_operator
    def test_another_request_is_carried_out(self, operator, tries, sandbox):
        tries.once_more()
        changed = "content" if operator is ChatworkUploadFileOperator else "body"
        tries.once_more(**{changed: "something else"})
        assert sandbox.write_count(CREATING[operator]) == 2

    @every_creating_operator
    def test_a_cleared_task_creates_again(self, operator, tries, sandbox):
        first = tries.once_more()
        tries.ti.max_tries += 3
        assert tries.once_more() != first
        assert sandbox.write_count(CREATING[operator]) == 2

    @every_creating_operator
    def test_an_airflow_without_a_store_creates_on_every_try(self, operator, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        for nothing in ({}, {"task_state_store": None}):
            operator(task_id="t", room_id=ROOM, **use.arguments).execute({"ti": FakeTaskInstance(), **nothing})
        assert sandbox.write_count(CREATING[operator]) == 2

    @every_creating_operator
    def test_an_airflow_without_a_store_does_not_retry_what_may_have_been_done(self, operator, sandbox, tmp_path):
        use = sample(operator, sandbox, tmp_path)
        sandbox.add_fault(Fault("lost_reply", operation=CREATING[operator]))
        with pytest.raises(AirflowFailException, match="look into the room") as caught:
            operator(task_id="t", room_id=ROOM, **use.arguments).execute(context())
        assert type(caught.value.__cause__) is errors.ChatworkUnknownOutcomeError
        assert sandbox.write_count(CREATING[operator]) == 1

    @every_creating_operator
    def test_does_not_return_what_another_task_created_meanwhile(self, operator, tries, sandbox):
        sandbox.add_fault(Fault("status", operation=CREATING[operator], status=429))
        with pytest.raises(errors.ChatworkRateLimitError):
            tries.once_more()
        other = Tries(operator, Sample(tries.arguments, "")).once_more()
        assert tries.once_more() != other
        assert sandbox.write_count(CREATING[operator]) == 2

    @pytest.mark.parametrize("due", [timedelta(hours=2), "PT2H"], ids=repr)
    def test_a_deadline_counted_from_each_try_is_the_same_request(self, due, sandbox, monkeypatch):
        use = Sample({"body": "確認", "to_ids": [company.YAMADA], "due": due}, "create_task")
        tries = Tries(ChatworkCreateTaskOperator, use)
        first = tries.once_more()
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + 90)
        assert tries.once_more() == first
        assert sandbox.write_count("create_task") == 1
        tries.once_more(due=timedelta(hours=3))
        assert sandbox.write_count("create_task") == 2

    def test_only_operators_that_create_something_use_the_store(self, sandbox, tmp_path):
        # The approval operator also creates a message; its own tests check that.
        for operator in set(OPERATORS) - set(CREATING) - {ChatworkApprovalOperator}:
            store = FakeStore()
            use = sample(operator, sandbox, tmp_path)
            operator(task_id="t", room_id=ROOM, **use.arguments).execute(context(task_state_store=store))
            assert store.values == {}, operator


class Catch(BaseOperator):
    """Stores the result of another task."""

    template_fields = ("thrown",)
    shallow_copy_attrs = ("caught",)

    def __init__(self, *, thrown: Any, caught: list[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.thrown = thrown
        self.caught = caught

    def execute(self, context: Any) -> None:
        self.caught.append(self.thrown)


class TestInADag:
    def test_passes_results_on_and_links_to_the_message(self, db, sandbox, monkeypatch, tmp_path):
        people = [company.YAMADA, company.SATO, company.TAKAHASHI]
        (tmp_path / "dags").mkdir()
        handed_on: list[object] = []
        with new_dag("everything", params={"room": ROOM}) as dag:
            room = {"room_id": "{{ params.room }}"}
            ChatworkPostMessageOperator.partial(task_id="post", **room).expand(body=["一 {{ task.task_id }}", "二"])
            tell = ChatworkPostMessageOperator(task_id="tell", body="{{ params.room }} 完了", **room)
            edit = ChatworkEditMessageOperator(task_id="edit", message_id=tell.output, body="訂正", **room)
            Catch(task_id="catch", thrown=tell.output, caught=handed_on)
            delete = ChatworkDeleteMessageOperator(task_id="delete", message_id=edit.output, **room)
            create = ChatworkCreateTaskOperator(task_id="create", body="確認", to_ids=people, due="P2D", **room)
            tick = ChatworkSetTaskStatusOperator.partial(task_id="tick", **room).expand(chatwork_task_id=create.output)
            wait = ChatworkTaskDoneSensor(task_id="wait", task_ids=create.output, deferrable=True, **room)
            upload = ChatworkUploadFileOperator(task_id="upload", content="1,2", filename="a.csv", **room)
            ChatworkDownloadFileOperator(
                task_id="download", file_id=upload.output, destination=f"{tmp_path}/{{{{ run_id }}}}/", **room
            )
            tell >> edit >> delete
            create >> tick >> wait
        # The first poke of the sensor fails, so that it waits in the triggerer.
        sandbox.add_fault(Fault("status", status=503, operation="list_tasks"))
        run = run_dag(dag, monkeypatch, tmp_path / "dags")
        assert {(ti.task_id, str(ti.state)) for ti in run.get_task_instances()} == {
            (task.task_id, "success") for task in dag.tasks
        }

        def left(task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
            value = run.get_task_instance(task_id, map_index=map_index).xcom_pull(
                task_ids=task_id, key=key, map_indexes=map_index
            )
            # Airflow 3 keeps texts as XCom, but reading its database here converts a text of digits to a number.
            return str(value) if task_id in ("post", "tell", "edit", "delete") else value

        posted = [left("post", map_index=index) for index in (0, 1)]
        bodies = {message["message_id"]: message["body"] for message in sandbox.messages(ROOM)}
        assert [bodies[message_id] for message_id in posted] == ["一 post", "二"]
        assert handed_on == [left("tell")]
        assert left("tell") == left("edit") == left("delete")
        assert bodies[left("tell")] == "[deleted]"
        assert sorted(left("tick", map_index=index) for index in range(3)) == sorted(left("create"))
        assert [(state["task_id"], state["status"], state["account_id"]) for state in left("wait")] == [
            (task_id, "done", account_id) for task_id, account_id in zip(left("create"), people, strict=True)
        ]
        assert Path(left("download")).read_bytes() == b"1,2"
        assert sandbox.file_content(ROOM, left("upload")) == b"1,2"

        links = {
            task.task_id: link_of(dag, run, task.task_id, "Chatwork message")
            for task in dag.tasks
            if not isinstance(task, Catch)
        }
        address = f"{sandbox.address}/#!rid{ROOM}"
        assert links["tell"] == links["edit"] == links["delete"] == f"{address}-{left('tell')}"
        assert links["post"] == f"{address}-{posted[0]}"
        assert links["upload"] == links["download"]
        for task_id, link in links.items():
            assert link.partition("-")[2] in bodies, f"the link of {task_id} leads nowhere"
            assert link_of(dag, run, task_id, "Chatwork room") == address

    @pytest.mark.end_to_end
    def test_a_real_retry_creates_nothing_twice(self, db, sandbox, monkeypatch, tmp_path):
        def fall_over(context: Any, result: Any) -> None:
            if context["ti"].try_number == 1:
                raise ConnectionError("the worker lost its footing behind the door")

        again = {"retries": 2, "retry_delay": timedelta(0), "post_execute": fall_over, "room_id": ROOM}
        with new_dag("retried") as dag:
            ChatworkPostMessageOperator(task_id="tell", body="一度だけ", **again)
            ChatworkCreateTaskOperator(task_id="create", body="確認", to_ids=[company.SATO], due="P1D", **again)
            # The answer to the first try is lost, and max_wait is too short for a lookup.
            sandbox.add_fault(Fault("lost_reply", operation="upload_file"))
            ChatworkUploadFileOperator(task_id="upload", content="1", filename="a.csv", **again)
        run = run_dag(dag, monkeypatch, tmp_path)
        tries = {ti.task_id: (str(ti.state), ti.try_number) for ti in run.get_task_instances()}
        assert tries == {"tell": ("success", 2), "create": ("success", 2), "upload": ("success", 2)}
        assert {name: sandbox.write_count(name) for name in CREATING.values()} == dict.fromkeys(CREATING.values(), 1)
        pulled = {ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in run.get_task_instances()}
        assert str(pulled["tell"]) in [message["message_id"] for message in sandbox.messages(ROOM)]
        assert pulled["upload"] == sandbox.files(ROOM)[-1]["file_id"]


def link_of(dag: Any, run: Any, task_id: str, name: str) -> str:
    """The link of a task in Airflow's UI."""
    task = dag.get_task(task_id)
    ti = next(ti for ti in run.get_task_instances() if ti.task_id == task_id and ti.map_index in (-1, 0))
    [link] = [link for link in task.operator_extra_links if link.name == name]
    if not hasattr(link, "xcom_key"):
        return link.get_link(task, ti_key=ti.key)
    return ti.xcom_pull(task_ids=task_id, key=link.xcom_key, map_indexes=ti.map_index)
