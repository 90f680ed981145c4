from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from airflow_provider_chatwork.utils.time_arguments import parse_due
from airflow_provider_chatwork.waiting.reminders.plan import ReminderPlan, TaskSnapshot
from tests.airflow_helpers import VERSION, run_dag

FOLDER = Path(__file__).resolve().parent.parent / "example_dags"
#: The Airflow version that a file needs.
NEEDED_AIRFLOW = {"alert_on_deadline": (3, 1), "notify_human_in_the_loop": (3, 1)}
FILES = sorted(path.stem for path in FOLDER.glob("*.py") if NEEDED_AIRFLOW.get(path.stem, VERSION) <= VERSION)

JAPAN = ZoneInfo("Asia/Tokyo")

Run = Callable[..., Any]


@pytest.fixture
def run(dag_bag: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs an example DAG and returns the states of the run and its tasks."""

    def run(dag_id: str, **kwargs: Any) -> dict[str, str]:
        ended = run_dag(dag_bag.dags[dag_id], monkeypatch, tmp_path, **kwargs)
        states = {"dag": str(ended.state.value)}
        for instance in ended.get_task_instances():
            index = f"[{instance.map_index}]" if instance.map_index >= 0 else ""
            states[f"{instance.task_id}{index}"] = str(instance.state)
        return states

    return run


@pytest.fixture
def new_bodies(chatwork_sandbox: ServedSandbox) -> Callable[[int], list[str]]:
    """Returns the bodies of the messages in a room since the test began."""
    old = {
        message["message_id"]
        for room_id in (company.DATA_ROOM, company.SALES_ROOM)
        for message in chatwork_sandbox.messages(room_id)
    }

    def new_bodies(room_id: int) -> list[str]:
        messages = chatwork_sandbox.messages(room_id)
        return [message["body"] for message in messages if message["message_id"] not in old]

    return new_bodies


class TestEveryFile:
    def test_all_files_can_be_imported(self, dag_bag: Any) -> None:
        assert {Path(path).stem for path in dag_bag.import_errors} == {
            name for name, version in NEEDED_AIRFLOW.items() if version > VERSION
        }

    @pytest.mark.parametrize("name", FILES)
    def test_a_file_has_one_dag_with_its_name(self, dag_bag: Any, name: str) -> None:
        found = [dag_id for dag_id, dag in dag_bag.dags.items() if Path(dag.fileloc).stem == name]

        assert found == [f"chatwork_{name}"]

    @pytest.mark.parametrize("name", FILES)
    def test_a_dag_has_a_description(self, dag_bag: Any, name: str) -> None:
        assert dag_bag.dags[f"chatwork_{name}"].doc_md

    @pytest.mark.parametrize("name", FILES)
    def test_only_the_weekly_task_has_a_schedule(self, dag_bag: Any, name: str) -> None:
        dag = dag_bag.dags[f"chatwork_{name}"]
        # Airflow 2 and 3 have different names for it.
        schedule = dag.schedule if hasattr(dag, "schedule") else dag.schedule_interval

        assert schedule == ("0 9 * * MON" if name == "weekly_task" else None)

    @pytest.mark.parametrize("name", FILES)
    def test_room_and_account_ids_are_only_in_params(self, dag_bag: Any, name: str) -> None:
        text = (FOLDER / f"{name}.py").read_text("utf-8")
        ids = {"4000001", "1001"}

        before, _, after = text.partition("PARAMS = ")
        params, _, rest = after.partition("\n\n")
        assert any(prefix in params for prefix in ids)
        assert not any(prefix in before + rest for prefix in ids)


class TestCreateTaskAndWait:
    def test_waits_for_both_people_and_edits_the_announcement(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        chatwork_sandbox.complete_tasks_after = 60

        def poll_count() -> int:
            return sum(request.operation == "get_task" for request in chatwork_sandbox.requests)

        # The first request is of the link, the next two are of the sensor. The tasks are done when the trigger polls.
        chatwork_sandbox.clock = lambda: time.time() + (61 if poll_count() >= 3 else 0)

        states = run("chatwork_create_task_and_wait")

        tasks = ("post_message", "upload_file", "create_task", "wait_for_tasks", "edit_message")
        assert states == {"dag": "success", **dict.fromkeys(tasks, "success")}
        bodies = new_bodies(company.DATA_ROOM)
        assert "[info]売上レポートは高橋 美咲さんと佐藤 花子さんが確認しました。[/info]" in bodies
        assert not any("確認待ち" in body for body in bodies)
        assert poll_count() == 5
        done = {
            task["account"]["account_id"]: task["status"]
            for task in chatwork_sandbox.tasks(company.DATA_ROOM)
            if task["body"] == "売上レポートの数字を確認する"
        }
        assert done == {company.TAKAHASHI: "done", company.SATO: "done"}
        [file] = chatwork_sandbox.files(company.DATA_ROOM)
        assert file["filename"] == "売上レポート.csv"
        content = chatwork_sandbox.file_content(company.DATA_ROOM, file["file_id"]).decode()
        assert content == "店舗,売上\n札幌,120000\n那覇,98000"

    def test_the_wait_is_deferrable(self, dag_bag: Any) -> None:
        assert dag_bag.dags["chatwork_create_task_and_wait"].get_task("wait_for_tasks").deferrable


class TestWaitForReply:
    def test_waits_for_a_reply_and_posts_its_text(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        answered = False

        def clock() -> float:
            nonlocal answered
            polls = sum(request.operation == "list_messages" for request in chatwork_sandbox.requests)
            # The sensor polls first. The reply is there when the trigger polls.
            if polls == 1 and not answered:
                answered = True
                question = chatwork_sandbox.messages(company.DATA_ROOM)[-1]["message_id"]
                chatwork_sandbox.post_message(company.DATA_ROOM, company.SATO, "1,000 円くらいかな")
                chatwork_sandbox.reply(company.DATA_ROOM, company.SATO, question, "1,234,500 円です (bow)")
            return time.time()

        chatwork_sandbox.clock = clock

        states = run("chatwork_wait_for_reply")

        assert states == dict.fromkeys(("dag", "ask", "wait_for_reply", "post_answer"), "success")
        *_, answer, posted = new_bodies(company.DATA_ROOM)
        link = chatwork_sandbox.messages(company.DATA_ROOM)[-2]["message_id"]
        assert answer.endswith("1,234,500 円です (bow)")
        address = f"{chatwork_sandbox.address}/#!rid{company.DATA_ROOM}-{link}"
        assert posted == f"[info]佐藤 花子さん: 1,234,500 円です (\u200bbow)\n{address}[/info]"


@pytest.fixture
def vote(chatwork_sandbox: ServedSandbox) -> Callable[[dict[int, str]], None]:
    """Lets people reply to every approval request in the data room at once."""
    answered: set[str] = set()

    def vote(by_person: dict[int, str]) -> None:
        def reply(revision: int) -> None:
            for message in chatwork_sandbox.messages(company.DATA_ROOM):
                if "[title]回答のお願い[/title]" in message["body"] and message["message_id"] not in answered:
                    answered.add(message["message_id"])
                    for person, text in by_person.items():
                        chatwork_sandbox.reply(company.DATA_ROOM, person, message["message_id"], text)

        chatwork_sandbox.watch(reply)

    return vote


class TestApproveRelease:
    def test_releases_after_an_approval(
        self, run: Run, vote: Callable[[dict[int, str]], None], new_bodies: Callable[[int], list[str]]
    ) -> None:
        vote({company.TAKAHASHI: "承認\n数字も見ました"})

        assert run("chatwork_approve_release") == {"dag": "success", "approve": "success", "release": "success"}
        question, _, posted = new_bodies(company.DATA_ROOM)
        assert question.startswith(f"[To:{company.YAMADA}] 山田 太郎さん\n[To:{company.TAKAHASHI}] 高橋 美咲さん\n")
        assert posted == "[info]公開しました。承認: 高橋 美咲さん[/info]"

    def test_skips_the_release_after_a_rejection(self, run: Run, vote: Callable[[dict[int, str]], None]) -> None:
        vote({company.YAMADA: "2"})

        assert run("chatwork_approve_release") == {"dag": "success", "approve": "success", "release": "skipped"}

    def test_the_wait_is_deferrable(self, dag_bag: Any) -> None:
        assert dag_bag.dags["chatwork_approve_release"].get_task("approve").deferrable


class TestApproveTwoOfThree:
    def test_runs_the_tasks_of_the_option_with_two_votes(
        self, run: Run, vote: Callable[[dict[int, str]], None], new_bodies: Callable[[int], list[str]]
    ) -> None:
        vote(
            {
                company.SATO: "確定",
                company.YAMADA: "修正\n5 行目の[hr]が違います",
                company.TAKAHASHI: "２\n同じく",
            }
        )

        assert run("chatwork_approve_two_of_three") == {
            "dag": "success",
            "review": "success",
            "send": "skipped",
            "correct": "success",
            "post_reasons": "success",
        }
        [posted] = [body for body in new_bodies(company.DATA_ROOM) if "修正の理由" in body]
        assert posted == (
            "[info][title]修正の理由[/title]山田 太郎: 5 行目の[\u200bhr]が違います\n高橋 美咲: 同じく\n[/info]"
        )


class TestAlertOnFailure:
    def test_posts_the_failure_without_a_mention(self, run: Run, new_bodies: Callable[[int], list[str]]) -> None:
        states = run("chatwork_alert_on_failure")

        assert states == {"dag": "failed", "load_orders": "failed"}
        [body] = new_bodies(company.DATA_ROOM)
        assert "chatwork_alert_on_failure" in body
        assert "load_orders" in body
        # From Airflow 3.0 to 3.2, `dag.test()` passes no error to callbacks, as workers do.
        assert "受注データベースに接続できません" in body or (3, 0) <= VERSION < (3, 3)
        assert "[toall]" not in body

    def test_posts_the_recovery(
        self, run: Run, dag_bag: Any, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        run("chatwork_alert_on_failure")
        run("chatwork_alert_on_failure", run_conf={"fail": False})

        failure, recovery = new_bodies(company.DATA_ROOM)
        assert failure.startswith("復旧しました: ")
        assert recovery.startswith(f"[rp aid={company.BOT} to={company.DATA_ROOM}-")
        assert "[title]復旧しました: chatwork_alert_on_failure[/title]" in recovery

    def test_posts_nothing_without_a_failure(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        assert run("chatwork_alert_on_failure", run_conf={"fail": False})["dag"] == "success"
        assert new_bodies(company.DATA_ROOM) == []
        assert chatwork_sandbox.requests == []


class TestRouteAlerts:
    def test_posts_each_failure_to_its_room(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        run("chatwork_route_alerts")

        [sales, *_] = new_bodies(company.SALES_ROOM)
        [stock, *_] = new_bodies(company.DATA_ROOM)
        assert sales.startswith(f"[To:{company.YAMADA}] 山田 太郎\nルームに見つからない宛先: sales\n")
        assert "load_sales" in sales
        assert "[To:" not in stock
        assert "load_stock" in stock


class TestPostToEachRoom:
    def test_posts_one_message_to_each_room(self, run: Run, new_bodies: Callable[[int], list[str]]) -> None:
        states = run("chatwork_post_to_each_room")

        assert states == {
            "dag": "success",
            "reports": "success",
            "post_message[0]": "success",
            "post_message[1]": "success",
        }
        assert new_bodies(company.DATA_ROOM) == ["東日本の売上は 3,120,000 円でした。"]
        assert new_bodies(company.SALES_ROOM) == ["西日本の売上は 2,840,000 円でした。"]


class TestWeeklyTask:
    def test_waits_for_the_task_and_posts_thanks(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        before = datetime.now(JAPAN).date()
        chatwork_sandbox.complete_tasks_after = 60

        def poll_count() -> int:
            return sum(request.operation == "get_task" for request in chatwork_sandbox.requests)

        # The worker polls first. The task is done when the trigger polls.
        chatwork_sandbox.clock = lambda: time.time() + (61 if poll_count() >= 1 else 0)

        states = run("chatwork_weekly_task")

        assert states == {"dag": "success", "create_task": "success", "post_thanks": "success"}
        [task] = [task for task in chatwork_sandbox.tasks(company.DATA_ROOM) if "週次レポート" in task["body"]]
        due = datetime.fromtimestamp(task["limit_time"], JAPAN)
        assert task["account"]["account_id"] == company.TAKAHASHI
        assert task["limit_type"] == "date"
        # The test may run at midnight.
        assert before <= due.date() - timedelta(days=3) <= datetime.now(JAPAN).date()
        assert f"{due:%H:%M:%S}" == "23:59:59"
        assert "\n参照: chatwork_weekly_task/create_task/" in task["body"]
        assert task["body"].endswith("/-1")
        thanks = new_bodies(company.DATA_ROOM)[-1]
        assert thanks.startswith("高橋 美咲さん、マスタの更新ありがとうございます。\n")
        assert thanks.endswith(f"-{task['message_id']}")

    def test_reminders_and_escalation_are_due_before_the_timeout(self, dag_bag: Any) -> None:
        dag = dag_bag.dags["chatwork_weekly_task"]
        create_task = dag.get_task("create_task")
        monday = datetime(2026, 1, 19, 9, tzinfo=JAPAN)
        limit, limit_type = parse_due(_rendered(create_task, create_task.due, monday), "Asia/Tokyo", monday.timestamp())
        task: Any = {"task_id": 1, "status": "open", "message_id": "2", "limit_time": limit, "limit_type": limit_type}
        snapshot = TaskSnapshot(
            room_id=company.DATA_ROOM,
            message_id="2",
            created_at=monday.timestamp(),
            tasks=[task],
            account_id=company.BOT,
            web_url="https://www.chatwork.com",
        )
        end = (monday + create_task.timeout).timestamp()

        def moments(plan: ReminderPlan) -> list[str]:
            found: list[str] = []
            now = snapshot.created_at
            while (now := plan.next_at(snapshot, now) or end) < end:
                found.append(f"{datetime.fromtimestamp(now, JAPAN):%a %H:%M}")
            return found

        assert moments(ReminderPlan(reminders=create_task.reminders)) == ["Wed 09:00", "Thu 09:00", "Fri 09:00"]
        assert moments(ReminderPlan(escalation=create_task.escalation | {"mentions": company.YAMADA})) == ["Fri 09:00"]
        assert f"{monday + create_task.timeout:%a}" == "Sun"


class TestUploadCsvForExcel:
    def test_the_file_has_the_encoding_of_excel(self, run: Run, chatwork_sandbox: ServedSandbox) -> None:
        states = run("chatwork_upload_csv_for_excel")

        assert states == {"dag": "success", "report": "success", "upload": "success"}
        file = chatwork_sandbox.files(company.SALES_ROOM)[-1]
        content = chatwork_sandbox.file_content(company.SALES_ROOM, file["file_id"])
        assert re.fullmatch(r"売上_20\d{6}\.csv", file["filename"])
        assert content.decode("cp932") == "店舗,担当,売上\r\n札幌,髙橋,120000\r\n那覇,山﨑,98000\r\n"


class TestDates:
    @pytest.mark.parametrize(
        ("name", "task_id", "field", "day"),
        [
            ("weekly_task", "create_task", "due", "2026-01-22"),
            ("upload_csv_for_excel", "upload", "filename", "売上_20260119.csv"),
        ],
    )
    @pytest.mark.parametrize("started", ["2026-01-18T15:00+00:00", "2026-01-19T00:00+00:00", "2026-01-19T14:59+00:00"])
    def test_are_in_japanese_time(
        self, dag_bag: Any, name: str, task_id: str, field: str, day: str, started: str
    ) -> None:
        task = dag_bag.dags[f"chatwork_{name}"].get_task(task_id)

        assert _rendered(task, getattr(task, field), datetime.fromisoformat(started)) == day


class TestFormatMessage:
    def test_keeps_own_tags_and_breaks_tags_in_parameters(
        self, run: Run, new_bodies: Callable[[int], list[str]]
    ) -> None:
        states = run("chatwork_format_message")

        assert states == {"dag": "success", "post_message": "success"}
        [body] = new_bodies(company.DATA_ROOM)
        assert body == (
            "[To:1001005] 高橋さん\n[To:1001003] 佐藤さん\n"
            "[info][title]警告 3 件[/title]取り込み: 株式会社[\u200btoall]商事\n"
            "[hr][code]WARN  3 rows skipped\n[\u200binfo] is no notation here[/code][/info]"
        )


def _rendered(task: Any, text: str, started: datetime) -> Any:
    """Render a template of a task, for a run with this start."""
    try:
        from airflow.sdk.execution_time import macros
    except ImportError:
        from airflow import macros  # type: ignore[no-redef,attr-defined,unused-ignore]
    return task.render_template(
        text, {"dag_run": SimpleNamespace(start_date=started.astimezone(UTC)), "macros": macros}
    )
