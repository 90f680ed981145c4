from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system_tests.alerts.cases import Case
from tests.system_tests.alerts.checks import one_line
from tests.system_tests.alerts.failure_report import traces
from tests.system_tests.alerts.observations import Evidence, Room, Sent
from tests.system_tests.alerts.rooms import ROOMS

ONE_LINE = Case("task: on_failure, one line", "one_line", "", one_line)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "airflow" / "logs"
    folder.mkdir(parents=True)
    return folder


def seen(tmp_path: Path, messages: list[str] | None = None) -> Evidence:
    return Evidence(
        version=(3, 3),
        rooms={"one_line": Room("one_line", messages or [], [Sent("post_message", 503, "x")])},
        run_states={"one_line": ["failed"]},
        task_states={"one_line": {"load_orders": "failed"}, "asks": {"approve": "success"}},
        tries={"one_line": {"load_orders": 2}},
        logs=[tmp_path / "airflow" / "logs", *tmp_path.glob("*.log")],
    )


def of_task(logs: Path, *entries: dict[str, Any], dag_id: str = "one_line") -> None:
    file = logs / f"dag_id={dag_id}" / "run_id=manual__2026" / "task_id=load_orders" / "attempt=1.log"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries), "utf-8")


def entry(second: int, event: str, level: str = "error", **more: Any) -> dict[str, Any]:
    return {"timestamp": f"2026-11-23T04:57:{second:02}.334115Z", "level": level, "event": event, **more}


class TestTraces:
    def test_states_messages_and_requests_of_the_case(self, tmp_path: Path, logs: Path) -> None:
        assert traces(seen(tmp_path, ["受注\nが失敗"]), [ONE_LINE]) == [
            "--- task: on_failure, one line (one_line)",
            "  runs: failed; tasks: load_orders failed at try 2",
            "  message 1: 受注",
            "  message 1: が失敗",
            "  requests: post_message 503",
        ]

    def test_errors_of_the_case_s_own_logs_in_the_order_of_time(self, tmp_path: Path, logs: Path) -> None:
        detail = [{"exc_type": "RuntimeError", "exc_value": "受注"}]
        of_task(logs, entry(9, "Task failed", error_detail=detail), entry(10, "all is well", "info"))
        (tmp_path / "scheduler.log").write_text(
            "2026-11-23T04:57:05.100000Z [error    ] Lost sight of one_line.load_orders [airflow.jobs.x] loc=x.py:1\n"
            "2026-11-23T04:57:06.100000Z [info     ] one_line goes on\n"
        )
        assert traces(seen(tmp_path), [ONE_LINE])[-2:] == [
            "  04:57:05.100 scheduler: [error] Lost sight of one_line.load_orders ",
            "  04:57:09.334 one_line/load_orders/1: [error] Task failed RuntimeError: 受注",
        ]

    def test_a_traceback_comes_to_its_last_line(self, tmp_path: Path, logs: Path) -> None:
        (tmp_path / "scheduler.log").write_text(
            "[2026-11-23T04:57:05.100+0000] {x.py:1} ERROR - one_line failed\n"
            'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: no rows\n'
        )
        [*_, last] = traces(seen(tmp_path), [ONE_LINE])
        assert last == "  04:57:05.100 scheduler: {x.py:1} ERROR - one_line failed … ValueError: no rows"

    def test_what_was_done_in_its_room(self, tmp_path: Path, logs: Path) -> None:
        file = logs / "dag_processor" / "2026-11-23" / "dags" / "tasks.py.log"
        file.parent.mkdir(parents=True)
        alerts = [entry(1, f"Message 7 in room {ROOMS[name]} of Chatwork was posted", "info") for name in ROOMS]
        file.write_text("\n".join(map(json.dumps, alerts)), "utf-8")
        [posted] = [line for line in traces(seen(tmp_path), [ONE_LINE]) if "posted" in line]
        assert posted.startswith("  04:57:01.334 dag_processor/dags/tasks.py: [info] Message 7")
        assert f"room {ROOMS['one_line']} " in posted

    def test_nothing_of_other_cases(self, tmp_path: Path, logs: Path) -> None:
        of_task(logs, entry(9, "Task failed"), dag_id="asks")
        assert not [line for line in traces(seen(tmp_path), [ONE_LINE]) if "Task failed" in line]

    def test_errors_that_name_no_dag_at_the_end(self, tmp_path: Path, logs: Path) -> None:
        (tmp_path / "api-server.log").write_text("2026-11-23T04:57:05.100000Z [error    ] database is locked\n")
        assert traces(seen(tmp_path), [ONE_LINE])[-2:] == [
            "--- errors and warnings that name no DAG, the last of them",
            "  04:57:05.100 api-server: [error] database is locked",
        ]

    def test_the_last_lines_of_what_would_be_too_much(self, tmp_path: Path, logs: Path) -> None:
        of_task(logs, *(entry(second, f"{second} failed{'!' * 900}") for second in range(60)))
        several = traces(seen(tmp_path, ["x\n" * 99] * 9), [ONE_LINE] * 3)
        assert sum("59 failed" in line for line in several) == 3
        assert len(several) <= 150
        lines = traces(seen(tmp_path, ["x\n" * 99] * 9), [ONE_LINE] * 30)
        assert len(lines) <= 150
        assert max(map(len, lines)) <= 240
        alone = traces(seen(tmp_path), [ONE_LINE])
        assert "59 failed" in alone[-1]
        assert len(alone) < 40
