from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_chatwork.alerts.routing import RoutingTable
from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.airflow_helpers import run_dag

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)
ALERTS = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
WAITING = (ROOT / "docs" / "waiting.md").read_text(encoding="utf-8")
IMPORTS, *WAITS = re.findall(r"^```python\n(.*?)^```$", WAITING, re.M | re.S)


class TestFirstBlock:
    def test_is_a_dag_that_runs(
        self, chatwork_sandbox: ServedSandbox, db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        chatwork_sandbox.complete_tasks_after = 0
        run = run_dag(_run(BLOCKS[0])["wait"].dag, monkeypatch, tmp_path)
        assert str(run.state) == "success"
        bodies = [message["body"] for message in chatwork_sandbox.messages(company.DATA_ROOM)]
        assert f"[info]{run.run_id} is released[/info]" in bodies
        assert chatwork_sandbox.write_count("create_task") == 1


class TestAlertBlocks:
    @pytest.mark.parametrize("block", [BLOCKS[1], re.findall(r"^```python\n(.*?)^```$", ALERTS, re.M | re.S)[0]])
    def test_set_a_notifier_on_tasks_and_dag(self, block: str) -> None:
        imports = "from airflow.providers.common.compat.sdk import DAG\n"
        named = block.replace("):\n    ...", ") as dag:\n    ...")
        names = _run(imports + (named if "import" in block else BLOCKS[0].partition("with DAG")[0] + named))
        dag = names["dag"]
        # Airflow 2 copies the callbacks.
        for callback in (dag.default_args["on_failure_callback"], dag.on_failure_callback, dag.on_success_callback):
            assert vars(callback) == vars(names["alerts"])


class TestRoutingTable:
    def test_is_valid(self) -> None:
        [text] = re.findall(r"^```json\n(.*?)^```$", ALERTS, re.M | re.S)
        table = RoutingTable.from_json(text, source="docs")
        assert table.route(dag_id="try_this", owners=(), tags=(), severity="info").send is False


class TestDagTest:
    def test_passes(self, chatwork_sandbox: ServedSandbox) -> None:
        (test,) = (value for name, value in _run(BLOCKS[-1]).items() if name.startswith("test_"))
        test(chatwork_sandbox)


class TestWaitingBlocks:
    @pytest.mark.parametrize("block", WAITS)
    def test_create_tasks_with_the_given_imports(self, block: str) -> None:
        in_a_dag = 'with DAG("waiting", schedule=None) as dag:\n' + textwrap.indent(block, "    ")
        assert _run(IMPORTS + in_a_dag)["dag"].task_ids


def _run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, str(README), "exec"), names)
    return names
