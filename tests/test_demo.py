from __future__ import annotations

import copy
import io
import os
import signal
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_provider_chatwork.sandbox import Sandbox, company
from demo import checks, scenario
from demo.__main__ import main
from demo.airflow import environment, noted_end
from demo.checks import FAILING, MAIN, WAIT, Evidence
from demo.output import say, show_checks
from demo.processes import Process, stop_all
from demo.time_limit import OutOfTime, Stopped, Watch


class Time:
    """A clock that only waiting moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def watch(self, limit: float = 100) -> Watch:
        return Watch(limit, self.clock, self.wait)


def message(body: str, **more: Any) -> dict[str, Any]:
    return {"body": body, "account_id": company.BOT, "update_time": 0, "send_time": 0, **more}


def request(operation: str, status: int | None = 200) -> dict[str, Any]:
    return {"operation": operation, "status": status, "method": "POST", "path": f"/{operation}"}


GOOD = Evidence(
    runs={MAIN: "success", FAILING: "failed"},
    passed={
        (MAIN, "post_message"): ["running", "success"],
        (MAIN, "upload_file"): ["running", "success"],
        (MAIN, "create_task"): ["running", "success"],
        (MAIN, WAIT): ["running", "deferred", "success"],
        (MAIN, "edit_message"): ["running", "success"],
        (FAILING, "load_orders"): ["running", "failed"],
    },
    tries={(MAIN, WAIT): 1, (FAILING, "load_orders"): 1},
    messages=[
        message("[info]売上レポートは高橋 美咲さんと佐藤 花子さんが確認しました。[/info]", update_time=1),
        message(f"DAG: {FAILING} Task: load_orders [code][\u200btoall] 受注データベースに接続できません[/code]"),
        *(message(text) for text in ("file", "tasks", "done", "done")),
    ],
    tasks=[{"account_id": company.TAKAHASHI, "status": "done"}, {"account_id": company.SATO, "status": "done"}],
    files=[{"filename": "売上レポート.csv", "content": "店舗,売上\n札幌,120000\n那覇,98000".encode()}],
    requests=[
        *(request(name) for name in ("post_message", "post_message", "edit_message", "create_task", "upload_file")),
        request("get_task"),
    ],
    acted={"post_message": 2, "edit_message": 1, "create_task": 1, "upload_file": 1},
)

SPOILED: dict[str, Callable[[Evidence], object]] = {
    f"{MAIN} succeeds, {FAILING} fails": lambda seen: seen.runs.update({FAILING: "success"}),
    "every task ends in its expected state": lambda seen: seen.passed[MAIN, "upload_file"].append("failed"),
    "... at its first try": lambda seen: seen.tries.update({(MAIN, WAIT): 2}),
    "the wait runs in the triggerer, without a worker": lambda seen: seen.passed[MAIN, WAIT].remove("deferred"),
    "the announcement was edited and names who has checked": lambda seen: seen.messages[0].update(update_time=0),
    "both people have done their task": lambda seen: seen.tasks[1].update(status="open"),
    "the file is there, with its name and content": lambda seen: seen.files[0].update(filename="_____.csv"),
    "the alert names DAG, task and error": lambda seen: seen.messages[1].update(body=f"{FAILING} failed"),
    "the [toall] in the error mentions nobody": lambda seen: seen.messages[5].update(body="[TOALL]"),
    "no request is answered with an error": lambda seen: seen.requests.append(request("get_task", 429)),
    "nothing is done twice": lambda seen: seen.acted.update(upload_file=2),
    "... or requested twice": lambda seen: seen.requests.append(request("upload_file")),
    "there is nothing else in the room": lambda seen: seen.messages.append(message("hello")),
    "the API token is in no log and no row of Airflow's": lambda seen: seen.leaks.append(Path("airflow.db")),
}


def failed(seen: Evidence) -> list[str]:
    return [finding.expectation for finding in checks.check(seen) if finding.problem]


class TestCheck:
    def test_all_is_well_when_all_is_as_expected(self) -> None:
        assert failed(GOOD) == []

    @pytest.mark.parametrize("expectation", SPOILED)
    def test_what_is_spoiled_is_found_and_nothing_else(self, expectation: str) -> None:
        seen = copy.deepcopy(GOOD)
        SPOILED[expectation](seen)

        assert failed(seen) == [expectation]

    def test_every_expectation_can_be_disappointed(self) -> None:
        assert {finding.expectation for finding in checks.check(GOOD)} == {*SPOILED}

    def test_a_demo_in_which_nothing_happened_fails(self) -> None:
        assert len(failed(Evidence())) > 8

    def test_a_lost_request_counts_as_an_error(self) -> None:
        seen = copy.deepcopy(GOOD)
        seen.requests.append(request("get_task", None))

        assert failed(seen) == ["no request is answered with an error"]

    def test_the_example_dags_hold_the_tasks_that_are_checked(self, dag_bag: Any) -> None:
        tasks = {(dag_id, task_id) for dag_id in checks.DAGS for task_id in dag_bag.dags[dag_id].task_ids}

        assert tasks == {*GOOD.passed}

    def test_the_example_dags_use_the_room_that_is_looked_at(self, dag_bag: Any) -> None:
        assert {dag_bag.dags[dag_id].params["room_id"] for dag_id in checks.DAGS} == {scenario.ROOM}


class TestShow:
    def test_a_failed_check_says_what_is_wrong_and_where_to_look(self, capsys: pytest.CaptureFixture[str]) -> None:
        show_checks([checks.Finding("all is well", "it is not", "/tmp/scheduler.log")])

        assert "FAILED  all is well\n        it is not\n        look at /tmp/scheduler.log\n" in capsys.readouterr().out

    def test_printing_goes_on_where_the_terminal_does_not_know_the_letters(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="ascii"))

        say("売上 ok")

        assert output.getvalue() == b"?? ok\n"

    def test_printing_goes_on_where_nobody_reads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "w", encoding="utf-8") as pipe:
            monkeypatch.setattr(sys, "stdout", pipe)

            say("anybody?")
            say("nobody.")


class TestWatch:
    def test_a_signal_shows_itself_at_the_next_pause(self) -> None:
        with Time().watch() as watch:
            os.kill(os.getpid(), signal.SIGTERM)

            with pytest.raises(Stopped) as caught:
                watch.pause(1)

        assert (caught.value.name, caught.value.status) == ("SIGTERM", 143)

    def test_a_signal_is_not_heard_while_all_is_ended(self) -> None:
        with Time().watch() as watch:
            watch.ignores_signals = True
            os.kill(os.getpid(), signal.SIGINT)

            watch.pause(1)

    def test_it_leaves_the_signals_as_they_were(self) -> None:
        before = signal.getsignal(signal.SIGINT)

        with Time().watch():
            assert signal.getsignal(signal.SIGINT) != before

        assert signal.getsignal(signal.SIGINT) == before

    def test_at_the_limit_it_says_what_it_was_waiting_for(self) -> None:
        with pytest.raises(OutOfTime, match="limit of 3 s was reached while waiting for the scheduler"):
            Time().watch(3).until(lambda: False, lambda: "the scheduler")

    def test_it_says_what_it_waits_for_every_ten_seconds(self, capsys: pytest.CaptureFixture[str]) -> None:
        time = Time()

        time.watch().until(lambda: time.now >= 25, lambda: "the scheduler")

        assert capsys.readouterr().out.splitlines() == [
            "  10 s  waiting for the scheduler",
            "  20 s  waiting for the scheduler",
        ]


CHILD_THAT_HEARS_NOTHING = """
    import signal, time
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    open({ready!r}, "w").write("up")
    time.sleep(600)
"""
PARENT = """
    import subprocess, sys, time
    subprocess.Popen([sys.executable, "-c", {child!r}], process_group=0)
    time.sleep(600)
"""


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[Path]:
    """A pipe that opens when the process at its other end is up."""
    pipe = tmp_path / "ready"
    os.mkfifo(pipe)
    return pipe


class TestStopAll:
    def start(self, code: str, folder: Path, ready: Path) -> Process:
        process = Process("worker", [sys.executable, "-c", textwrap.dedent(code)], folder)
        assert ready.read_text() == "up"
        return process

    def test_ctrl_c_is_enough_for_who_hears_it(self, tmp_path: Path, ready: Path) -> None:
        code = f"import time\nopen({str(ready)!r}, 'w').write('up')\ntime.sleep(600)"
        process = self.start(code, tmp_path, ready)

        assert stop_all([process]) == []

        assert "KeyboardInterrupt" in process.log.read_text()
        assert process.family() == []

    def test_orphans_in_groups_of_their_own_are_found_and_killed(self, tmp_path: Path, ready: Path) -> None:
        child = textwrap.dedent(CHILD_THAT_HEARS_NOTHING).format(ready=str(ready))
        process = self.start(textwrap.dedent(PARENT).format(child=child), tmp_path, ready)
        family = process.family()
        assert len(family) == 2

        assert stop_all([process], patience=(0, 0)) == ["worker"]

        assert process.family() == []
        assert not any(member.is_running() and member.status() != "zombie" for member in family)

    def test_what_has_ended_before_is_no_trouble(self, tmp_path: Path) -> None:
        process = Process("worker", [sys.executable, "-c", ""], tmp_path)
        process.popen.wait()

        assert stop_all([process]) == []


class TestEnvironment:
    def test_another_airflow_on_the_machine_has_no_say(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_CHATWORK_DEFAULT", "chatwork://:real-token@")
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
        monkeypatch.setenv("AIRFLOW_CONFIG", "/etc/airflow.cfg")

        made = environment(Path("/somewhere"), 8080)

        assert "AIRFLOW_CONN_CHATWORK_DEFAULT" not in made
        assert "AIRFLOW_CONFIG" not in made
        assert made["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
        assert made["AIRFLOW_HOME"] == "/somewhere"

    def test_it_listens_to_this_machine_only_and_asks_no_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_proxy", "example.com")

        made = environment(Path("/somewhere"), 8080)

        assert made["AIRFLOW__API__HOST"] == "127.0.0.1"
        assert made["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8080"
        assert made["no_proxy"] == made["NO_PROXY"] == "127.0.0.1,localhost"


class ScriptedAirflow:
    """An Airflow that has a main run of one waiting task, which ends when Chatwork's tasks are done."""

    def __init__(self, sandbox: Sandbox, *, noted: bool) -> None:
        self.looks = 0
        self.noted = noted
        self.sandbox = sandbox
        self.done_when_asked: list[tuple[str, int]] = []

    def check_alive(self) -> None:
        """Nothing ever ends here."""

    def has_noted_end(self, dag_id: str, task_id: str) -> bool:
        return self.noted

    def run_state(self, dag_id: str, run_id: str) -> str:
        return "success" if self._state() == "success" else "running"

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        self.looks += 1
        done = sum(task["status"] == "done" for task in self.sandbox.tasks(scenario.ROOM))
        self.done_when_asked.append((str(self._state()), done))
        dates = {"start_date": "2026-11-22T00:00:00+00:00", "end_date": "2026-11-22T00:00:07.500+00:00"}
        return [{"task_id": WAIT, "state": self._state(), "try_number": 1, **dates}]

    def _state(self) -> str | None:
        if self.looks < 4:
            return (None, "queued", "running", "running")[self.looks]
        new = [task for task in self.sandbox.tasks(scenario.ROOM) if task["body"] == "確認する"]
        return "success" if all(task["status"] == "done" for task in new) else "deferred"


class DirectSandbox:
    """The demo's way to the sandbox, without a server between them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def room(self, room_id: int) -> dict[str, Any]:
        rooms: list[dict[str, Any]] = self.sandbox.snapshot()["rooms"]
        return next(room for room in rooms if room["room_id"] == room_id)

    def complete_task(self, room_id: int, task_id: int) -> None:
        self.sandbox.complete_task(room_id, task_id)


class TestFollow:
    def follow(self, *, noted: bool = True) -> tuple[ScriptedAirflow, Evidence]:
        sandbox = Sandbox()
        airflow = ScriptedAirflow(sandbox, noted=noted)
        evidence = Evidence(names=dict.fromkeys((company.SATO, company.YAMADA), "somebody"))

        class Late(DirectSandbox):
            """Gives out the tasks once the demo has seen which ones were there before."""

            asked = 0

            def room(self, room_id: int) -> dict[str, Any]:
                found = super().room(room_id)
                self.asked += 1
                if self.asked == 1:
                    self.sandbox.create_task(scenario.ROOM, company.BOT, [company.SATO, company.YAMADA], "確認する")
                return found

        people = Late(sandbox)
        scenario._watch_runs(airflow, people, Time().watch(), {MAIN: "manual"}, evidence)  # type: ignore[arg-type]
        return airflow, evidence

    def test_people_tick_only_while_the_wait_is_deferred_and_one_by_one(self) -> None:
        airflow, _ = self.follow()

        before = airflow.done_when_asked[0][1]
        assert [done - before for state, done in airflow.done_when_asked if state == "deferred"] == [0, 1]
        assert {done - before for state, done in airflow.done_when_asked if state == "running"} == {0}

    def test_people_tick_later_if_the_scheduler_has_not_noted_the_deferral(self) -> None:
        airflow, _ = self.follow(noted=False)

        before = airflow.done_when_asked[0][1]
        done = [done - before for state, done in airflow.done_when_asked if state == "deferred"]
        assert done == [*[0] * (len(done) - 1), 1]
        assert len(done) > 15 / 0.5

    def test_tasks_that_were_there_before_stay_as_they_are(self) -> None:
        airflow, _ = self.follow()

        old = [
            task for task in airflow.sandbox.tasks(scenario.ROOM) if task["body"] == "売上集計の再実行結果を確認する"
        ]
        assert {task["status"] for task in old} == {"open"}

    def test_the_states_are_kept_in_the_order_they_were_seen(self) -> None:
        _, evidence = self.follow()

        assert evidence.passed == {(MAIN, WAIT): ["queued", "running", "deferred", "success"]}
        assert evidence.seconds[MAIN, WAIT] == 7.5
        assert evidence.runs == {MAIN: "success"}


class TestUnexpectedTasks:
    def test_none_if_every_task_ended_as_expected(self) -> None:
        assert checks.unexpected_tasks(GOOD) == []

    def test_a_task_in_another_state(self) -> None:
        seen = copy.deepcopy(GOOD)
        seen.passed[MAIN, WAIT].append("failed")

        assert checks.unexpected_tasks(seen) == [(MAIN, WAIT)]


class TestNotedEnd:
    log = "[info] TaskInstance Finished: dag_id=a, task_id=one, run_id=x"

    def test_of_the_task_itself(self) -> None:
        assert noted_end(self.log, "a", "one")

    def test_of_another_task(self) -> None:
        assert not noted_end(self.log, "a", "on")


class TestFindInFiles:
    def test_it_finds_a_text_in_whatever_kind_of_file(self, tmp_path: Path) -> None:
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "task.log").write_text("all well")
        (tmp_path / "airflow.db").write_bytes(b"\x00\xff token-1 \x00")

        assert scenario.find_in_files(tmp_path, "token-1") == [tmp_path / "airflow.db"]


class TestMain:
    @pytest.fixture(autouse=True)
    def folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        return tmp_path

    def test_out_of_time_it_ends_all_it_has_started_and_keeps_the_logs(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["--limit", "0"]) == 1

        said = capsys.readouterr().out
        [kept] = folder.iterdir()
        assert "the time limit of 0 s was reached while waiting for" in said
        assert f"The logs are kept in {kept}" in said
        assert {path.name for path in kept.iterdir()} >= {"sandbox.log", "database.log"}
        assert "Nothing is left running" in said
        assert not [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(kept)]

    def test_without_the_provider_it_says_how_to_get_it(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", str(folder / "python"))

        assert main([]) == 1

        assert "use `make demo`" in capsys.readouterr().out
