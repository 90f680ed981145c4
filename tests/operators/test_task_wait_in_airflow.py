"""A wait as Airflow runs it: deferral, mapping, links, retries."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_chatwork.operators.tasks import ChatworkCreateTaskOperator
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.waiting.reminders import Escalation, Reminder
from tests.airflow_helpers import new_dag, run_dag

ROOM = company.DATA_ROOM
PEOPLE = [company.SATO, company.YAMADA]


class TestInADag:
    def test_waits_in_both_modes_and_returns_the_result(
        self, db: None, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        sandbox.complete_tasks_after = 0
        # The first look fails, so that there is something to wait for.
        sandbox.add_fault(Fault("status", status=503, operation="get_task"))
        wait = {"room_id": ROOM, "wait_for_completion": True, "poke_interval": 1, "reference": "{{ run_id }}"}
        with new_dag("chores", params={"who": company.TAKAHASHI}) as dag:
            here = ChatworkCreateTaskOperator(
                task_id="here", body="一", to_ids="{{ params.who }}", deferrable=False, **wait
            )
            mapped = ChatworkCreateTaskOperator.partial(
                task_id="mapped",
                body="二 {{ ti.map_index }}",
                deferrable=True,
                reminders=[Reminder(after=timedelta(days=1))],
                escalation=Escalation(mentions=company.YAMADA),
                **wait,
            ).expand(to_ids=PEOPLE)
            here >> mapped
        run = run_dag(dag, monkeypatch, tmp_path)

        instances = {(ti.task_id, ti.map_index): ti for ti in run.get_task_instances()}
        assert {key: str(ti.state) for key, ti in instances.items()} == {
            ("here", -1): "success",
            ("mapped", 0): "success",
            ("mapped", 1): "success",
        }
        outcomes: list[Any] = [
            ti.xcom_pull(task_ids=task_id, map_indexes=map_index)
            for (task_id, map_index), ti in sorted(instances.items())
        ]
        assert [outcome["outcome"] for outcome in outcomes] == ["done"] * 3
        tasks = [task for outcome in outcomes for task in outcome["tasks"]]
        assert [task["account_id"] for task in tasks] == [company.TAKAHASHI, *PEOPLE]
        bodies = {task["task_id"]: task["body"] for task in sandbox.tasks(ROOM)}
        assert [bodies[task["task_id"]] for task in tasks] == [
            f"{body}\n参照: {run.run_id}" for body in ("一", "二 0", "二 1")
        ]

    def test_fails_without_a_retry_at_the_timeout(
        self, db: None, sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        wait = {"room_id": ROOM, "to_ids": PEOPLE, "wait_for_completion": True, "withdraw": True, "timeout": 0}
        with new_dag("late") as dag:
            for deferrable in (False, True):
                for on_timeout in ("fail", "skip"):
                    ChatworkCreateTaskOperator(
                        task_id=f"{on_timeout}_{deferrable}",
                        body="確認",
                        deferrable=deferrable,
                        on_timeout=on_timeout,
                        retries=3,
                        retry_delay=timedelta(0),
                        **wait,
                    )
        run = run_dag(dag, monkeypatch, tmp_path)

        states = {ti.task_id: (str(ti.state), ti.try_number) for ti in run.get_task_instances()}
        assert states == {
            "fail_False": ("failed", 1),
            "skip_False": ("skipped", 1),
            "fail_True": ("failed", 1),
            "skip_True": ("skipped", 1),
        }
        assert sandbox.write_count("create_task") == 4
        for ti in run.get_task_instances():
            outcome = ti.xcom_pull(task_ids=ti.task_id, key="chatwork_outcome")
            assert [task["status"] for task in outcome["tasks"]] == ["withdrawn", "withdrawn"]

    @pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "triggerer"])
    @pytest.mark.parametrize("memory", [pytest.param("store", marks=pytest.mark.end_to_end), "reference"])
    def test_a_real_retry_continues_with_the_same_tasks(
        self,
        memory: str,
        deferrable: bool,
        db: None,
        sandbox: ServedSandbox,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        def fall_over(context: Any, result: Any) -> None:
            if context["ti"].try_number == 1:
                raise ConnectionError("the worker lost its footing behind the door")

        sandbox.complete_tasks_after = 0
        sandbox.add_fault(Fault("status", status=503, operation="get_task"))
        with new_dag(f"again_{memory}_{deferrable}") as dag:
            ChatworkCreateTaskOperator(
                task_id="ask",
                body="確認",
                to_ids=[company.SATO],
                room_id=ROOM,
                wait_for_completion=True,
                deferrable=deferrable,
                poke_interval=1,
                reference="{{ run_id }}" if memory == "reference" else None,
                retries=2,
                retry_delay=timedelta(0),
                post_execute=fall_over,
            )
        run = run_dag(dag, monkeypatch, tmp_path)

        [ti] = run.get_task_instances()
        assert (str(ti.state), ti.try_number) == ("success", 2)
        assert sandbox.write_count("create_task") == 1
        [task] = ti.xcom_pull(task_ids="ask")["tasks"]
        assert task["task_id"] == sandbox.tasks(ROOM)[-1]["task_id"]
