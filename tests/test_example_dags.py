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
from airflow_provider_chatwork.utils.time_arguments import limit_of
from airflow_provider_chatwork.waiting.reminders.plan import Facts, FollowUp
from tests.airflow_helpers import VERSION, run_dag

FOLDER = Path(__file__).resolve().parent.parent / "example_dags"
#: What an older Airflow cannot read, as it has neither deadlines nor people in the loop.
SINCE = {"alert_deadline": (3, 1), "ask_in_airflow": (3, 1)}
FILES = sorted(path.stem for path in FOLDER.glob("*.py") if SINCE.get(path.stem, VERSION) <= VERSION)

JAPAN = ZoneInfo("Asia/Tokyo")

Run = Callable[..., Any]


@pytest.fixture
def run(dag_bag: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs an example DAG as it is, and returns its state and those of its tasks."""

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
    """Returns what was said in a room since the test began."""
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
    def test_all_files_can_be_read(self, dag_bag: Any) -> None:
        assert {Path(path).stem for path in dag_bag.import_errors} == {
            name for name, since in SINCE.items() if since > VERSION
        }

    @pytest.mark.parametrize("name", FILES)
    def test_it_holds_one_dag_named_after_it(self, dag_bag: Any, name: str) -> None:
        found = [dag_id for dag_id, dag in dag_bag.dags.items() if Path(dag.fileloc).stem == name]

        assert found == [f"chatwork_{name}"]

    @pytest.mark.parametrize("name", FILES)
    def test_it_says_in_airflow_what_it_shows(self, dag_bag: Any, name: str) -> None:
        assert dag_bag.dags[f"chatwork_{name}"].doc_md

    @pytest.mark.parametrize("name", FILES)
    def test_only_the_chore_runs_by_itself(self, dag_bag: Any, name: str) -> None:
        dag = dag_bag.dags[f"chatwork_{name}"]
        # Airflow 2 and 3 call it by different names.
        plan = dag.schedule if hasattr(dag, "schedule") else dag.schedule_interval

        assert plan == ("0 9 * * MON" if name == "weekly_chore" else None)

    @pytest.mark.parametrize("name", FILES)
    def test_rooms_and_people_are_stated_in_one_place(self, dag_bag: Any, name: str) -> None:
        text = (FOLDER / f"{name}.py").read_text("utf-8")
        ids = {"4000001", "1001"}

        before, _, after = text.partition("PARAMS = ")
        stated, _, rest = after.partition("\n\n")
        assert any(some in stated for some in ids)
        assert not any(some in before + rest for some in ids)


class TestAskAndWait:
    def test_it_waits_for_both_people_and_says_so(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        chatwork_sandbox.complete_tasks_after = 60

        def looks() -> int:
            return sum(request.operation == "get_task" for request in chatwork_sandbox.requests)

        # The first look is the link's, the next two are the task's. By the time of the trigger's, people are done.
        chatwork_sandbox.clock = lambda: time.time() + (61 if looks() >= 3 else 0)

        states = run("chatwork_ask_and_wait")

        tasks = ("announce", "share", "ask", "wait", "update")
        assert states == {"dag": "success", **dict.fromkeys(tasks, "success")}
        said = new_bodies(company.DATA_ROOM)
        assert "[info]売上レポートは高橋 美咲さんと佐藤 花子さんが確認しました。[/info]" in said
        assert not any("確認待ち" in body for body in said)
        assert looks() == 5
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

    def test_the_wait_takes_no_worker_slot(self, dag_bag: Any) -> None:
        assert dag_bag.dags["chatwork_ask_and_wait"].get_task("wait").deferrable


class TestWaitForReply:
    def test_it_waits_for_an_answer_and_tells_what_it_says(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        answered = False

        def clock() -> float:
            nonlocal answered
            looks = sum(request.operation == "list_messages" for request in chatwork_sandbox.requests)
            # The first look is the task's. By the time of the trigger's, somebody has answered.
            if looks == 1 and not answered:
                answered = True
                question = chatwork_sandbox.messages(company.DATA_ROOM)[-1]["message_id"]
                chatwork_sandbox.post_message(company.DATA_ROOM, company.SATO, "1,000 円くらいかな")
                chatwork_sandbox.reply(company.DATA_ROOM, company.SATO, question, "1,234,500 円です (bow)")
            return time.time()

        chatwork_sandbox.clock = clock

        states = run("chatwork_wait_for_reply")

        assert states == {"dag": "success", "ask": "success", "wait": "success", "tell": "success"}
        *_, answer, told = new_bodies(company.DATA_ROOM)
        link = chatwork_sandbox.messages(company.DATA_ROOM)[-2]["message_id"]
        assert answer.endswith("1,234,500 円です (bow)")
        address = f"{chatwork_sandbox.address}/#!rid{company.DATA_ROOM}-{link}"
        assert told == f"[info]佐藤 花子さん: 1,234,500 円です (\u200bbow)\n{address}[/info]"


@pytest.fixture
def answers(chatwork_sandbox: ServedSandbox) -> Callable[[dict[int, str]], None]:
    """Lets people answer every question of the data room as soon as it is there."""
    answered: set[str] = set()

    def answers(by_person: dict[int, str]) -> None:
        def look(revision: int) -> None:
            for message in chatwork_sandbox.messages(company.DATA_ROOM):
                if "[title]回答のお願い[/title]" in message["body"] and message["message_id"] not in answered:
                    answered.add(message["message_id"])
                    for person, text in by_person.items():
                        chatwork_sandbox.reply(company.DATA_ROOM, person, message["message_id"], text)

        chatwork_sandbox.watch(look)

    return answers


class TestReleaseApproval:
    def test_it_releases_where_one_of_them_says_so(
        self, run: Run, answers: Callable[[dict[int, str]], None], new_bodies: Callable[[int], list[str]]
    ) -> None:
        answers({company.TAKAHASHI: "承認\n数字も見ました"})

        assert run("chatwork_release_approval") == {"dag": "success", "ask": "success", "release": "success"}
        question, _, told = new_bodies(company.DATA_ROOM)
        assert question.startswith(f"[To:{company.YAMADA}] 山田 太郎さん\n[To:{company.TAKAHASHI}] 高橋 美咲さん\n")
        assert told == "[info]公開しました。承認: 高橋 美咲さん[/info]"

    def test_it_does_not_where_one_of_them_is_against_it(
        self, run: Run, answers: Callable[[dict[int, str]], None]
    ) -> None:
        answers({company.YAMADA: "2"})

        assert run("chatwork_release_approval") == {"dag": "success", "ask": "success", "release": "skipped"}

    def test_the_wait_takes_no_worker_slot(self, dag_bag: Any) -> None:
        assert dag_bag.dags["chatwork_release_approval"].get_task("ask").deferrable


class TestReviewTwoOfThree:
    def test_it_goes_on_as_two_of_them_choose(
        self, run: Run, answers: Callable[[dict[int, str]], None], new_bodies: Callable[[int], list[str]]
    ) -> None:
        answers(
            {
                company.SATO: "確定",
                company.YAMADA: "修正\n5 行目の[hr]が違います",
                company.TAKAHASHI: "２\n同じく",
            }
        )

        assert run("chatwork_review_two_of_three") == {
            "dag": "success",
            "review": "success",
            "send": "skipped",
            "correct": "success",
            "tell": "success",
        }
        [told] = [body for body in new_bodies(company.DATA_ROOM) if "修正の理由" in body]
        assert told == (
            "[info][title]修正の理由[/title]山田 太郎: 5 行目の[\u200bhr]が違います\n高橋 美咲: 同じく\n[/info]"
        )


class TestTellFailures:
    def test_the_room_hears_what_failed_and_why_and_nobody_is_called(
        self, run: Run, new_bodies: Callable[[int], list[str]]
    ) -> None:
        states = run("chatwork_tell_failures")

        assert states == {"dag": "failed", "load_orders": "failed"}
        [body] = new_bodies(company.DATA_ROOM)
        assert "chatwork_tell_failures" in body
        assert "load_orders" in body
        # Between these, `dag.test()` does not tell callbacks of the error. Workers do.
        assert "受注データベースに接続できません" in body or (3, 0) <= VERSION < (3, 3)
        assert "[toall]" not in body

    def test_the_room_hears_when_it_works_again(
        self, run: Run, dag_bag: Any, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        run("chatwork_tell_failures")
        run("chatwork_tell_failures", run_conf={"broken": False})

        failure, recovery = new_bodies(company.DATA_ROOM)
        assert failure.startswith("復旧しました: ")
        assert recovery.startswith(f"[rp aid={company.BOT} to={company.DATA_ROOM}-")
        assert "[title]復旧しました: chatwork_tell_failures[/title]" in recovery

    def test_the_room_hears_nothing_while_all_is_well(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        assert run("chatwork_tell_failures", run_conf={"broken": False})["dag"] == "success"
        assert new_bodies(company.DATA_ROOM) == []
        assert chatwork_sandbox.requests == []


class TestRouteAlerts:
    def test_each_failure_goes_to_those_it_concerns(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        run("chatwork_route_alerts")

        [sales, *_] = new_bodies(company.SALES_ROOM)
        [stock, *_] = new_bodies(company.DATA_ROOM)
        assert sales.startswith(f"[To:{company.YAMADA}] 山田 太郎\nルームに見つからない宛先: sales\n")
        assert "load_sales" in sales
        assert "[To:" not in stock
        assert "load_stock" in stock


class TestMessageEachRegion:
    def test_every_room_gets_its_own_message(self, run: Run, new_bodies: Callable[[int], list[str]]) -> None:
        states = run("chatwork_message_each_region")

        assert states == {"dag": "success", "reports": "success", "tell[0]": "success", "tell[1]": "success"}
        assert new_bodies(company.DATA_ROOM) == ["東日本の売上は 3,120,000 円でした。"]
        assert new_bodies(company.SALES_ROOM) == ["西日本の売上は 2,840,000 円でした。"]


class TestWeeklyChore:
    def test_it_waits_until_the_chore_is_done_and_says_thanks(
        self, run: Run, chatwork_sandbox: ServedSandbox, new_bodies: Callable[[int], list[str]]
    ) -> None:
        before = datetime.now(JAPAN).date()
        chatwork_sandbox.complete_tasks_after = 60

        def looks() -> int:
            return sum(request.operation == "get_task" for request in chatwork_sandbox.requests)

        # The first look is the worker's. By the time of the trigger's, the chore is done.
        chatwork_sandbox.clock = lambda: time.time() + (61 if looks() >= 1 else 0)

        states = run("chatwork_weekly_chore")

        assert states == {"dag": "success", "ask": "success", "thank": "success"}
        [task] = [task for task in chatwork_sandbox.tasks(company.DATA_ROOM) if "週次レポート" in task["body"]]
        due = datetime.fromtimestamp(task["limit_time"], JAPAN)
        assert task["account"]["account_id"] == company.TAKAHASHI
        assert task["limit_type"] == "date"
        # The test may have gone on past midnight.
        assert before <= due.date() - timedelta(days=3) <= datetime.now(JAPAN).date()
        assert f"{due:%H:%M:%S}" == "23:59:59"
        assert "\n参照: chatwork_weekly_chore/ask/" in task["body"]
        assert task["body"].endswith("/-1")
        thanks = new_bodies(company.DATA_ROOM)[-1]
        assert thanks.startswith("高橋 美咲さん、マスタの更新ありがとうございます。\n")
        assert thanks.endswith(f"-{task['message_id']}")

    def test_reminders_and_the_escalation_come_before_the_time_is_over(self, dag_bag: Any) -> None:
        dag = dag_bag.dags["chatwork_weekly_chore"]
        ask = dag.get_task("ask")
        monday = datetime(2026, 1, 19, 9, tzinfo=JAPAN)
        limit, limit_type = limit_of(_rendered(ask, ask.due, monday), "Asia/Tokyo", monday.timestamp())
        task: Any = {"task_id": 1, "status": "open", "message_id": "2", "limit_time": limit, "limit_type": limit_type}
        facts = Facts(
            room_id=company.DATA_ROOM,
            message_id="2",
            created_at=monday.timestamp(),
            tasks=[task],
            me=company.BOT,
            web_url="https://www.chatwork.com",
        )
        end = (monday + ask.timeout).timestamp()

        def moments(follow_up: FollowUp) -> list[str]:
            found: list[str] = []
            now = facts.created_at
            while (now := follow_up.next_due(facts, now) or end) < end:
                found.append(f"{datetime.fromtimestamp(now, JAPAN):%a %H:%M}")
            return found

        assert moments(FollowUp(reminders=ask.reminders)) == ["Wed 09:00", "Thu 09:00", "Fri 09:00"]
        assert moments(FollowUp(escalation=ask.escalation | {"mentions": company.YAMADA})) == ["Fri 09:00"]
        assert f"{monday + ask.timeout:%a}" == "Sun"


class TestCsvForExcel:
    def test_the_file_is_in_the_encoding_that_excel_expects(self, run: Run, chatwork_sandbox: ServedSandbox) -> None:
        states = run("chatwork_csv_for_excel")

        assert states == {"dag": "success", "report": "success", "upload": "success"}
        file = chatwork_sandbox.files(company.SALES_ROOM)[-1]
        content = chatwork_sandbox.file_content(company.SALES_ROOM, file["file_id"])
        assert re.fullmatch(r"売上_20\d{6}\.csv", file["filename"])
        assert content.decode("cp932") == "店舗,担当,売上\r\n札幌,髙橋,120000\r\n那覇,山﨑,98000\r\n"


class TestTheDay:
    @pytest.mark.parametrize(
        ("name", "task_id", "field", "day"),
        [("weekly_chore", "ask", "due", "2026-01-22"), ("csv_for_excel", "upload", "filename", "売上_20260119.csv")],
    )
    @pytest.mark.parametrize("begun", ["2026-01-18T15:00+00:00", "2026-01-19T00:00+00:00", "2026-01-19T14:59+00:00"])
    def test_is_that_of_japan(self, dag_bag: Any, name: str, task_id: str, field: str, day: str, begun: str) -> None:
        task = dag_bag.dags[f"chatwork_{name}"].get_task(task_id)

        assert _rendered(task, getattr(task, field), datetime.fromisoformat(begun)) == day


class TestWriteNotation:
    def test_own_notation_acts_and_foreign_notation_does_not(
        self, run: Run, new_bodies: Callable[[int], list[str]]
    ) -> None:
        states = run("chatwork_write_notation")

        assert states == {"dag": "success", "tell": "success"}
        [body] = new_bodies(company.DATA_ROOM)
        assert body == (
            "[To:1001005] 高橋さん\n[To:1001003] 佐藤さん\n"
            "[info][title]警告 3 件[/title]取り込み: 株式会社[\u200btoall]商事\n"
            "[hr][code]WARN  3 rows skipped\n[\u200binfo] is no notation here[/code][/info]"
        )


def _rendered(task: Any, text: str, begun: datetime) -> Any:
    """A template of a task, in a run that began then."""
    try:
        from airflow.sdk.execution_time import macros
    except ImportError:
        from airflow import macros  # type: ignore[no-redef,attr-defined,unused-ignore]
    return task.render_template(text, {"dag_run": SimpleNamespace(start_date=begun.astimezone(UTC)), "macros": macros})
