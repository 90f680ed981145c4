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
from tests.operators.answering import MODES, ROOM

SATO, YAMADA = company.SATO, company.YAMADA


class Note(BaseOperator):
    """Writes down what it is handed, and does nothing else."""

    template_fields = ("handed",)
    shallow_copy_attrs = ("notes",)

    def __init__(self, *, handed: Any = None, notes: list[Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.handed = handed
        self.notes = [] if notes is None else notes

    def execute(self, context: Any) -> None:
        self.notes.append(self.handed)


@pytest.fixture
def answers(sandbox: ServedSandbox) -> Iterator[Callable[[str], None]]:
    """Lets somebody answer every question with the same words as soon as it is there."""
    stops: list[Callable[[], None]] = []
    answered: set[str] = set()

    def answer(text: str) -> None:
        def look(revision: int) -> None:
            for message in sandbox.messages(ROOM):
                if "回答のお願い" in message["body"] and message["message_id"] not in answered:
                    answered.add(message["message_id"])
                    sandbox.reply(ROOM, SATO, message["message_id"], text)

        stops.append(sandbox.watch(look))

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
        """Run a DAG that asks, and return the states of its tasks and what it wrote down at the end."""
        notes: list[Any] = []
        # The execution API of Airflow 3.0 and 3.1 in this process keeps the first DAG of an id, whatever its shape.
        dag_id = "asking_in_vain" if "on_timeout" in arguments else "asking"
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
                member = Note(task_id="member")
            release, tell = Note(task_id="release"), Note(task_id="tell")
            report = Note(task_id="report", handed="{{ ti.xcom_pull('ask') }}", notes=notes, trigger_rule="all_done")
            ask >> [release, tell, member] >> report
            if "on_timeout" in arguments:
                # Runs behind what was skipped, unless it is skipped with it.
                (
                    ask
                    >> Note(task_id="publish", trigger_rule="none_failed")
                    >> Note(task_id="announce", trigger_rule="none_failed")
                )
            ask >> Note(task_id="tidy").as_teardown()
        run = run_dag(dag, monkeypatch, folder)
        return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}, notes

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
    def test_goes_on_as_the_option_says(self, text, skipped, deferrable, db, answers, monkeypatch, tmp_path):
        answers(f"{text}\nお願いします")
        states, notes = self.run(monkeypatch, tmp_path, deferrable=deferrable)
        assert {name for name, state in states.items() if state == "skipped"} == skipped
        assert set(states.values()) <= {"success", "skipped"}
        [result] = notes
        assert result["choice"] == text
        assert [(vote["account_id"], vote["words"]) for vote in result["who"]] == [(SATO, "お願いします")]

    def test_skips_whatever_the_trigger_rules_say_where_it_shall(self, db, answers, monkeypatch, tmp_path):
        answers("却下")
        states, notes = self.run(monkeypatch, tmp_path, ignore_downstream_trigger_rules=True)
        assert states.pop("ask") == states.pop("tidy") == "success"
        assert set(states.values()) == {"skipped"}
        assert notes == []

    def test_fails_where_a_rejection_shall(self, db, answers, monkeypatch, tmp_path):
        answers("却下")
        states, notes = self.run(monkeypatch, tmp_path, fail_on_reject=True, retries=1, retry_delay=timedelta(0))
        assert states["ask"] == "failed"
        assert {states[name] for name in ("release", "tell", "group.member")} == {"upstream_failed"}
        assert [result["choice"] for result in notes] == ["却下"]

    @pytest.mark.parametrize("deferrable", [False, True], ids=MODES)
    @pytest.mark.parametrize(
        ("on_timeout", "state", "downstream"),
        [("fail", "failed", "upstream_failed"), ("skip", "skipped", "skipped"), ("却下", "success", "skipped")],
    )
    def test_does_as_the_author_says_where_nobody_answers(
        self, on_timeout, state, downstream, deferrable, db, sandbox, monkeypatch, tmp_path
    ):
        again = {"retries": 1, "retry_delay": timedelta(0)}
        states, notes = self.run(
            monkeypatch, tmp_path, timeout=0, on_timeout=on_timeout, deferrable=deferrable, **again
        )
        assert (states["ask"], states["release"]) == (state, downstream)
        assert sandbox.write_count("post_message") == 1
        assert [result and result["outcome"] for result in notes] == [
            "timeout_default" if on_timeout == "却下" else None
        ]
        assert (states["publish"], states["announce"]) == (
            downstream,
            downstream if on_timeout == "fail" else "success",
        )

    @pytest.mark.parametrize("deferrable", [False, True], ids=MODES)
    def test_skips_everything_where_nobody_answers_and_it_shall(self, deferrable, db, sandbox, monkeypatch, tmp_path):
        states, notes = self.run(
            monkeypatch,
            tmp_path,
            timeout=0,
            on_timeout="skip",
            ignore_downstream_trigger_rules=True,
            deferrable=deferrable,
        )
        # Airflow 3 cannot skip a task and what is not directly behind it at once.
        assert states.pop("ask") == ("success" if VERSION >= (3, 0) else "skipped")
        assert states.pop("tidy") in ("success", "skipped")
        assert set(states.values()) == {"skipped"}
        assert notes == []

    def test_a_mapped_task_does_not_ask_for_what_it_could_not_stop(self, db, sandbox, monkeypatch, tmp_path):
        with new_dag("mapped") as dag:
            ask = ChatworkApprovalOperator.partial(task_id="ask", room_id=ROOM, question="公開してよいですか").expand(
                approvers=[SATO, YAMADA]
            )
            ask >> Note(task_id="release")
        run = run_dag(dag, monkeypatch, tmp_path)
        assert {ti.task_id: str(ti.state) for ti in run.get_task_instances()} == {
            "ask": "failed",
            "release": "upstream_failed",
        }
        assert not sandbox.write_count("post_message")

    def test_a_mapped_task_stops_what_is_mapped_with_it(self, db, answers, monkeypatch, tmp_path):
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
                ask >> Note(task_id="release")

            branch.expand(person=[SATO, YAMADA])
        run = run_dag(dag, monkeypatch, tmp_path)
        assert sorted((ti.task_id, ti.map_index, str(ti.state)) for ti in run.get_task_instances()) == [
            (f"branch.{name}", index, state)
            for name, state in (("ask", "failed"), ("release", "upstream_failed"))
            for index in (0, 1)
        ]
