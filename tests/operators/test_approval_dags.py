from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, TaskGroup, task_group

from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.airflow_helpers import VERSION, new_dag, run_dag
from tests.operators.approval_scenarios import MODES, ROOM

SATO, YAMADA = company.SATO, company.YAMADA


class RecordingTask(BaseOperator):
    """Appends its argument to a list, and does nothing else."""

    template_fields = ("value",)
    shallow_copy_attrs = ("recorded",)

    def __init__(self, *, value: Any = None, recorded: list[Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = value
        self.recorded = [] if recorded is None else recorded

    def execute(self, context: Any) -> None:
        self.recorded.append(self.value)


@pytest.fixture
def answers(sandbox: ServedSandbox) -> Iterator[Callable[[str], None]]:
    """Answers every question with the same text as soon as it is posted."""
    stops: list[Callable[[], None]] = []
    answered: set[str] = set()

    def answer(text: str) -> None:
        def reply_to_questions(revision: int) -> None:
            for message in sandbox.messages(ROOM):
                if "回答のお願い" in message["body"] and message["message_id"] not in answered:
                    answered.add(message["message_id"])
                    sandbox.reply(ROOM, SATO, message["message_id"], text)

        stops.append(sandbox.watch(reply_to_questions))

    yield answer
    for stop in stops:
        stop()


class TestInADag:
    OPTIONS: ClassVar[dict[str, Any]] = {
        "承認": True,
        "却下": False,
        "片方": "release",
        "両方": ["release", "group"],
    }

    def run(self, monkeypatch: pytest.MonkeyPatch, folder: Path, **arguments: Any) -> tuple[dict[str, str], list[Any]]:
        """Run a DAG with an approval, and return the states of its tasks and the results that were recorded."""
        recorded: list[Any] = []
        # The execution API of Airflow 3.0 and 3.1 in this process keeps the first DAG of an id, whatever its shape.
        dag_id = "approval_timeout" if "on_timeout" in arguments else "approval"
        with new_dag(dag_id, render_template_as_native_obj=True) as dag:
            ask = ChatworkApprovalOperator(
                task_id="ask",
                room_id=ROOM,
                question="公開してよいですか",
                approvers=SATO,
                poke_interval=1,
                **{"options": self.OPTIONS, **arguments},
            )
            with TaskGroup("group"):
                member = RecordingTask(task_id="member")
            release, tell = RecordingTask(task_id="release"), RecordingTask(task_id="tell")
            report = RecordingTask(
                task_id="report", value="{{ ti.xcom_pull('ask') }}", recorded=recorded, trigger_rule="all_done"
            )
            ask >> [release, tell, member] >> report
            if "on_timeout" in arguments:
                # Runs after skipped tasks, unless it is skipped as well.
                (
                    ask
                    >> RecordingTask(task_id="publish", trigger_rule="none_failed")
                    >> RecordingTask(task_id="announce", trigger_rule="none_failed")
                )
            ask >> RecordingTask(task_id="tidy").as_teardown()
        run = run_dag(dag, monkeypatch, folder)
        return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}, recorded

    @pytest.mark.parametrize("deferrable", [False, True], ids=MODES)
    @pytest.mark.parametrize(
        ("text", "skipped"),
        [
            ("承認", set()),
            ("却下", {"release", "tell", "group.member"}),
            ("片方", {"tell", "group.member", "tidy"}),
            ("両方", {"tell", "tidy"}),
        ],
    )
    def test_the_effect_of_the_option_is_applied(self, text, skipped, deferrable, db, answers, monkeypatch, tmp_path):
        answers(f"{text}\nお願いします")
        states, recorded = self.run(monkeypatch, tmp_path, deferrable=deferrable)
        assert {name for name, state in states.items() if state == "skipped"} == skipped
        assert set(states.values()) <= {"success", "skipped"}
        [result] = recorded
        assert result["choice"] == text
        assert [(vote["account_id"], vote["comment"]) for vote in result["decided_by"]] == [(SATO, "お願いします")]

    def test_everything_is_skipped_if_trigger_rules_are_ignored(self, db, answers, monkeypatch, tmp_path):
        answers("却下")
        states, recorded = self.run(monkeypatch, tmp_path, ignore_downstream_trigger_rules=True)
        assert states.pop("ask") == states.pop("tidy") == "success"
        assert set(states.values()) == {"skipped"}
        assert recorded == []

    def test_a_rejection_fails_the_task_with_fail_on_reject(self, db, answers, monkeypatch, tmp_path):
        answers("却下")
        states, recorded = self.run(monkeypatch, tmp_path, fail_on_reject=True, retries=1, retry_delay=timedelta(0))
        assert states["ask"] == "failed"
        assert {states[name] for name in ("release", "tell", "group.member")} == {"upstream_failed"}
        assert [result["choice"] for result in recorded] == ["却下"]

    @pytest.mark.parametrize("deferrable", [False, True], ids=MODES)
    @pytest.mark.parametrize(
        ("on_timeout", "state", "downstream"),
        [("fail", "failed", "upstream_failed"), ("skip", "skipped", "skipped"), ("却下", "success", "skipped")],
    )
    def test_on_timeout_is_applied_without_an_answer(
        self, on_timeout, state, downstream, deferrable, db, sandbox, monkeypatch, tmp_path
    ):
        again = {"retries": 1, "retry_delay": timedelta(0)}
        states, recorded = self.run(
            monkeypatch, tmp_path, timeout=0, on_timeout=on_timeout, deferrable=deferrable, **again
        )
        assert (states["ask"], states["release"]) == (state, downstream)
        assert sandbox.write_count("post_message") == 1
        assert [result and result["outcome"] for result in recorded] == [
            "timeout_default" if on_timeout == "却下" else None
        ]
        assert (states["publish"], states["announce"]) == (
            downstream,
            downstream if on_timeout == "fail" else "success",
        )

    @pytest.mark.parametrize("deferrable", [False, True], ids=MODES)
    def test_a_timeout_skips_everything_if_trigger_rules_are_ignored(
        self, deferrable, db, sandbox, monkeypatch, tmp_path
    ):
        states, recorded = self.run(
            monkeypatch,
            tmp_path,
            timeout=0,
            on_timeout="skip",
            ignore_downstream_trigger_rules=True,
            deferrable=deferrable,
        )
        # Airflow 3 cannot skip a task and tasks that are not directly downstream at once.
        assert states.pop("ask") == ("success" if VERSION >= (3, 0) else "skipped")
        assert states.pop("tidy") in ("success", "skipped")
        assert set(states.values()) == {"skipped"}
        assert recorded == []

    def test_a_mapped_task_that_could_not_skip_posts_no_question(self, db, sandbox, monkeypatch, tmp_path):
        with new_dag("mapped") as dag:
            ask = ChatworkApprovalOperator.partial(task_id="ask", room_id=ROOM, question="公開してよいですか").expand(
                approvers=[SATO, YAMADA]
            )
            ask >> RecordingTask(task_id="release")
        run = run_dag(dag, monkeypatch, tmp_path)
        assert {ti.task_id: str(ti.state) for ti in run.get_task_instances()} == {
            "ask": "failed",
            "release": "upstream_failed",
        }
        assert not sandbox.write_count("post_message")

    def test_a_mapped_task_fails_what_is_mapped_with_it(self, db, answers, monkeypatch, tmp_path):
        answers("却下")
        with new_dag("mapped_group") as dag:

            @task_group
            def branch(person: int) -> None:
                ask = ChatworkApprovalOperator(
                    task_id="ask",
                    room_id=ROOM,
                    question="公開してよいですか",
                    approvers=[SATO],
                    to=person,
                    fail_on_reject=True,
                )
                ask >> RecordingTask(task_id="release")

            branch.expand(person=[SATO, YAMADA])
        run = run_dag(dag, monkeypatch, tmp_path)
        assert sorted((ti.task_id, ti.map_index, str(ti.state)) for ti in run.get_task_instances()) == [
            (f"branch.{name}", index, state)
            for name, state in (("ask", "failed"), ("release", "upstream_failed"))
            for index in (0, 1)
        ]
