from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_chatwork.alerts.alert_state import AlertMessageState, RunFailures, TaskFailure
from airflow_provider_chatwork.alerts.event import AlertEvent, EventKind
from airflow_provider_chatwork.alerts.formatter import AlertFormatter
from airflow_provider_chatwork.api.notation import BREAK, break_tags, safe
from airflow_provider_chatwork.api.validation import MAX_BODY
from airflow_provider_chatwork.utils.i18n import LANGUAGES
from tests.api.notation_texts import FRAGMENTS, is_one_frame, is_whole, tags_in

DATE = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
RUN = "scheduled__2026-11-22T15:00:00+00:00"
URL = "https://airflow.example/run"
LOG = "https://airflow.example/log"
DAG = "daily_report"

LOADED = AlertEvent(
    kind=EventKind.FAILURE,
    dag_id=DAG,
    run_id=RUN,
    task_id="load",
    label="load",
    logical_date=DATE,
    try_number=3,
    tries=3,
    seconds=83.4,
    error="RuntimeError: 受注テーブルを読めません\nSELECT COUNT(*) FROM orders",
    where="load.py, line 12, in load",
    owners=("data-team", "night-shift"),
    log_url=LOG,
)
ENDED = AlertEvent(kind=EventKind.RUN_FAILURE, dag_id=DAG, run_id=RUN, logical_date=DATE, seconds=3700)
ASKED = AlertEvent(
    kind=EventKind.QUESTION,
    dag_id=DAG,
    run_id=RUN,
    task_id="approve",
    label="approve",
    logical_date=DATE,
    try_number=1,
    tries=1,
    owners=("data-team",),
    log_url=LOG,
    subject="11 月の受注を締めますか",
    body="差額は **1,200円** です。\n確認してください。",
    options=("締める", "待つ"),
    answer_url="https://airflow.example/answer",
)


def formatter(lang: str) -> AlertFormatter:
    return AlertFormatter(lang, "Asia/Tokyo")


def plain(text: str) -> str:
    """What is to be seen of a text; that nothing in it acts is tested on its own."""
    return text.replace(BREAK, "")


def lines(*texts: str) -> str:
    return "\n".join(texts)


def event_text(lang: str, event: AlertEvent) -> str:
    return plain(formatter(lang).event_text(event, URL))


class TestEventText:
    def test_a_failure_shows_task_run_try_error_and_log(self):
        assert event_text("ja", LOADED) == lines(
            "[info][title]タスクが失敗しました: load[/title]DAG: daily_report",
            "タスク: load",
            f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "試行: 3 回中 3 回目",
            "所要時間: 1 分 23 秒",
            "担当: data-team, night-shift",
            "発生箇所: load.py, line 12, in load[code]RuntimeError: 受注テーブルを読めません",
            "SELECT COUNT(*) FROM orders[/code]ログ: https://airflow.example/log",
            "詳細: https://airflow.example/run[/info]",
        )
        assert event_text("en", LOADED) == lines(
            "[info][title]Task failed: load[/title]DAG: daily_report",
            "Task: load",
            f"Run: {RUN}",
            "Logical date: 2026-11-23 00:00 (Asia/Tokyo)",
            "Try: 3 of 3",
            "Took: 1 min 23 s",
            "Owner: data-team, night-shift",
            "Raised at: load.py, line 12, in load[code]RuntimeError: 受注テーブルを読めません",
            "SELECT COUNT(*) FROM orders[/code]Log: https://airflow.example/log",
            "Details: https://airflow.example/run[/info]",
        )

    def test_a_retry_names_the_try_in_its_title(self):
        event = replace(LOADED, kind=EventKind.RETRY, try_number=1, error="E: x", where=None, owners=())
        assert event_text("ja", event) == lines(
            "[info][title]タスクが失敗しました。再試行します (3 回中 1 回目): load[/title]DAG: daily_report",
            "タスク: load",
            f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "試行: 3 回中 1 回目",
            "所要時間: 1 分 23 秒[code]E: x[/code]ログ: https://airflow.example/log",
            "詳細: https://airflow.example/run[/info]",
        )
        assert event_text("en", event) == lines(
            "[info][title]Task failed, will retry (1 of 3): load[/title]DAG: daily_report",
            "Task: load",
            f"Run: {RUN}",
            "Logical date: 2026-11-23 00:00 (Asia/Tokyo)",
            "Try: 1 of 3",
            "Took: 1 min 23 s[code]E: x[/code]Log: https://airflow.example/log",
            "Details: https://airflow.example/run[/info]",
        )

    @pytest.mark.parametrize(
        ("number", "of", "japanese", "english"),
        [
            (2, 3, "再試行します (3 回中 2 回目): load", "will retry (2 of 3): load"),
            (2, None, "再試行します (2 回目): load", "will retry (2): load"),
            # The retries were lowered, or the task was cleared.
            (4, 3, "再試行します (4 回目): load", "will retry (4): load"),
            (None, 3, "再試行します: load", "will retry: load"),
        ],
    )
    def test_the_number_of_the_try_may_be_unknown(self, number, of, japanese, english):
        event = replace(LOADED, kind=EventKind.RETRY, try_number=number, tries=of)
        assert f"{japanese}[/title]" in event_text("ja", event)
        assert f"{english}[/title]" in event_text("en", event)

    def test_a_lost_worker_is_stated_instead_of_an_error(self):
        event = replace(LOADED, lost_worker=True, error=None, where=None, seconds=None)
        assert event_text("ja", event).splitlines()[-3:] == [
            "エラーは報告されていません (ワーカーの停止や強制終了の可能性があります)",
            "ログ: https://airflow.example/log",
            "詳細: https://airflow.example/run[/info]",
        ]
        assert event_text("en", event).splitlines()[-3:] == [
            "No error was reported; the worker may have been stopped or killed",
            "Log: https://airflow.example/log",
            "Details: https://airflow.example/run[/info]",
        ]

    @pytest.mark.parametrize(
        ("kind", "japanese", "english"),
        [
            (EventKind.SUCCESS, "タスクが成功しました", "Task succeeded"),
            (EventKind.SKIPPED, "タスクがスキップされました", "Task skipped"),
            (EventKind.STARTED, "タスクを開始しました", "Task started"),
        ],
    )
    def test_a_task_that_did_not_fail_shows_no_error(self, kind, japanese, english):
        event = replace(LOADED, kind=kind, error=None, where=None, seconds=None if kind is EventKind.STARTED else 12.3)
        took = [] if kind is EventKind.STARTED else ["所要時間: 12 秒"]
        assert event_text("ja", event) == lines(
            f"[info][title]{japanese}: load[/title]DAG: daily_report",
            "タスク: load",
            f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            *took,
            "担当: data-team, night-shift",
            "ログ: https://airflow.example/log",
            "詳細: https://airflow.example/run[/info]",
        )
        assert event_text("en", event).startswith(
            f"[info][title]{english}: load[/title]DAG: daily_report\nTask: load\n"
        )

    def test_a_failed_run_shows_its_reason(self):
        event = replace(ENDED, reason="timed_out", owners=("data-team",))
        assert event_text("ja", event) == lines(
            "[info][title]DAG の実行が失敗しました: daily_report[/title]DAG: daily_report",
            f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "所要時間: 1 時間 1 分",
            "担当: data-team",
            "理由: timed_out",
            "詳細: https://airflow.example/run[/info]",
        )
        assert event_text("en", event) == lines(
            "[info][title]DAG run failed: daily_report[/title]DAG: daily_report",
            f"Run: {RUN}",
            "Logical date: 2026-11-23 00:00 (Asia/Tokyo)",
            "Took: 1 h 1 min",
            "Owner: data-team",
            "Reason: timed_out",
            "Details: https://airflow.example/run[/info]",
        )

    def test_a_successful_run_has_no_reason(self):
        event = replace(ENDED, kind=EventKind.RUN_SUCCESS, reason="success")
        assert event_text("ja", event) == lines(
            "[info][title]DAG の実行が成功しました: daily_report[/title]DAG: daily_report",
            f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "所要時間: 1 時間 1 分",
            "詳細: https://airflow.example/run[/info]",
        )
        assert event_text("en", event).startswith(
            "[info][title]DAG run succeeded: daily_report[/title]DAG: daily_report\n"
        )

    def test_a_missed_deadline_shows_the_due_time(self):
        event = replace(ENDED, kind=EventKind.DEADLINE, deadline="2026-11-22 15:45:30+00:00")
        assert event_text("ja", event) == lines(
            "[info][title]DAG の実行が期限までに終わりませんでした: daily_report[/title]DAG: daily_report",
            f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "期限: 2026-11-23 00:45 (Asia/Tokyo)",
            "開始からの経過時間: 1 時間 1 分",
            "詳細: https://airflow.example/run[/info]",
        )
        assert event_text("en", event) == lines(
            "[info][title]DAG run missed its deadline: daily_report[/title]DAG: daily_report",
            f"Run: {RUN}",
            "Logical date: 2026-11-23 00:00 (Asia/Tokyo)",
            "Deadline: 2026-11-23 00:45 (Asia/Tokyo)",
            "Time since start: 1 h 1 min",
            "Details: https://airflow.example/run[/info]",
        )

    @pytest.mark.parametrize("deadline", ["soon", "2026-11-22 15:45"])
    def test_an_unreadable_deadline_is_shown_as_it_is(self, deadline):
        event = replace(ENDED, kind=EventKind.DEADLINE, deadline=deadline)
        assert f"期限: {deadline}\n" in event_text("ja", event)

    def test_missed_slas_show_the_tasks(self):
        event = AlertEvent(
            kind=EventKind.SLA_MISS, dag_id=DAG, sla_tasks=("load", "send"), logical_date=DATE, owners=("data-team",)
        )
        assert plain(formatter("ja").event_text(event)) == lines(
            "[info][title]SLA の時間内に終わりませんでした: daily_report[/title]DAG: daily_report",
            "タスク: load, send",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "担当: data-team[/info]",
        )
        assert plain(formatter("en").event_text(event)) == lines(
            "[info][title]SLA missed: daily_report[/title]DAG: daily_report",
            "Tasks: load, send",
            "Logical date: 2026-11-23 00:00 (Asia/Tokyo)",
            "Owner: data-team[/info]",
        )

    def test_a_question_shows_options_and_the_link_to_answer(self):
        assert event_text("ja", ASKED) == lines(
            "[info][title]回答をお願いします: 11 月の受注を締めますか[/title]差額は **1,200円** です。",
            "確認してください。",
            "選択肢: 締める / 待つ",
            "回答: https://airflow.example/answer",
            "DAG: daily_report",
            "タスク: approve",
            f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "担当: data-team",
            "詳細: https://airflow.example/run[/info]",
        )
        assert event_text("en", ASKED) == lines(
            "[info][title]Your answer is needed: 11 月の受注を締めますか[/title]差額は **1,200円** です。",
            "確認してください。",
            "Options: 締める / 待つ",
            "Answer: https://airflow.example/answer",
            "DAG: daily_report",
            "Task: approve",
            f"Run: {RUN}",
            "Logical date: 2026-11-23 00:00 (Asia/Tokyo)",
            "Owner: data-team",
            "Details: https://airflow.example/run[/info]",
        )

    def test_the_body_of_a_question_is_stripped(self):
        assert "[/title]First.\n\nLast.\nOptions" in event_text("en", replace(ASKED, body="\n First.\n\nLast.\n\n"))

    @pytest.mark.parametrize("kind", EventKind)
    @pytest.mark.parametrize("lang", LANGUAGES)
    def test_an_event_without_any_value_has_a_text(self, lang, kind):
        text = formatter(lang).event_text(AlertEvent(kind=kind))
        assert is_one_frame(text)
        assert text.endswith("?[/title][/info]")

    def test_the_default_owner_is_not_shown(self):
        assert "担当" not in event_text("ja", replace(LOADED, owners=("airflow",)))
        assert "\n担当: data-team\n" in event_text("ja", replace(LOADED, owners=("airflow", "data-team")))

    def test_line_breaks_in_values_are_removed(self):
        event = replace(LOADED, run_id="a\nb\r\n  c", label="x\ny", log_url="https://l\n[info]")
        text = event_text("en", event)
        assert "\nRun: a b c\n" in text
        assert "[title]Task failed: x y[/title]" in text
        assert "Log: https://l [info]\nDetails" in text

    def test_times_are_in_the_given_time_zone(self):
        text = AlertFormatter("en", "America/New_York").event_text(LOADED)
        assert "Logical date: 2026-11-22 10:00 (America/New_York)\n" in text


def failed(name: str, index: int = -1, **more: Any) -> TaskFailure:
    return TaskFailure(task_id=name, map_index=index, **{"error": f"E: {name}", "try_number": 1, "tries": 1, **more})


def run(*details: TaskFailure, others: Any = (), waiting: Any = (), **more: Any) -> RunFailures:
    return RunFailures(
        **{"run_id": RUN, "logical_date": DATE.isoformat(), "url": URL, **more},
        failed=[*(failure.key for failure in details if not failure.retrying), *others],
        retrying=[*(failure.key for failure in details if failure.retrying), *waiting],
        details=[*details],
    )


def state(*runs: RunFailures, **more: Any) -> AlertMessageState:
    return AlertMessageState(runs={part.run_id: part for part in runs}, **more)


def state_text(lang: str, what: AlertMessageState) -> str:
    return plain(formatter(lang).state_text(what, DAG))


class TestStateText:
    def test_one_failure_has_the_text_of_its_event(self):
        failure = TaskFailure.from_event(LOADED, 0.0)
        assert failure is not None
        what = state(run(failure))
        assert state_text("ja", what) == event_text("ja", LOADED)
        assert state_text("ja", state(run(failure.model_copy(update={"lost_worker": True})))) == event_text(
            "ja", replace(LOADED, lost_worker=True)
        )
        assert state_text("en", what) == event_text("en", LOADED)

    def test_one_retry_has_the_text_of_its_event(self):
        event = replace(LOADED, kind=EventKind.RETRY, try_number=1)
        failure = TaskFailure.from_event(event, 0.0)
        assert failure is not None
        assert state_text("ja", state(run(failure))) == event_text("ja", event)

    def test_the_first_failures_have_details_and_the_others_names(self):
        details = [
            failed("load", 3, label="load [那覇]", tries=3, where="load.py, line 12, in load", log_url=LOG),
            failed("send", error="E: x\n  y", try_number=3, tries=3),
            failed("clean", error=None, lost_worker=True),
            failed("copy"),
            failed("zip", error=None, try_number=None),
        ]
        others = [("load", 0), ("load", 1), ("load", 2), ("load", 7), ("load", 10), ("load", 9), ("stop", -1)]
        what = state(run(*details, others=others), mention_line="[To:1][To:2]", note="注")
        assert state_text("ja", what) == lines(
            "[To:1][To:2]",
            "[info][title]12 件のタスクが失敗しました: daily_report[/title]" + f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "・load [那覇]: E: load (3 回中 1 回目)",
            "   発生箇所: load.py, line 12, in load",
            "   ログ: https://airflow.example/log",
            "・send: E: x y (3 回中 3 回目)",
            "・clean: エラーは報告されていません (ワーカーの停止や強制終了の可能性があります)",
            "・copy: E: copy",
            "・zip",
            "ほか 7 件: load [0-2, 7, 9-10], stop",
            "詳細: https://airflow.example/run[/info]",
            "注",
        )
        assert state_text("en", what) == lines(
            "[To:1][To:2]",
            "[info][title]12 tasks failed: daily_report[/title]" + f"Run: {RUN}",
            "Logical date: 2026-11-23 00:00 (Asia/Tokyo)",
            "・load [那覇]: E: load (try 1 of 3)",
            "   Raised at: load.py, line 12, in load",
            "   Log: https://airflow.example/log",
            "・send: E: x y (try 3 of 3)",
            "・clean: No error was reported; the worker may have been stopped or killed",
            "・copy: E: copy",
            "・zip",
            "7 more: load [0-2, 7, 9-10], stop",
            "Details: https://airflow.example/run[/info]",
            "注",
        )

    @pytest.mark.parametrize(
        ("indexes", "named"),
        [
            ([-1], "load"),
            ([0], "load [0]"),
            ([0, 1], "load [0-1]"),
            ([0, 2], "load [0, 2]"),
            ([5, 4, 3, 1, 5], "load [1, 3-5]"),
            ([*range(5000)], "load [0-4999]"),
        ],
    )
    def test_the_indexes_of_a_mapped_task_are_ranges(self, indexes, named):
        what = state(run(others=[("load", index) for index in indexes], run_id="r", logical_date=None, url=None))
        assert f"\nTasks: {named}[/info]" in state_text("en", what)

    def test_without_details_the_names_are_not_more(self):
        what = state(run(others=[("a", -1), ("b", -1)], url=None))
        assert state_text("ja", what).endswith("\nタスク: a, b[/info]")
        assert state_text("en", what).endswith("\nTasks: a, b[/info]")

    def test_one_task_is_counted_in_the_singular(self):
        what = state(run(others=[("a", -1)], waiting=[("b", -1)]))
        assert "[title]1 件のタスクが失敗しました: daily_report[/title]" in state_text("ja", what)
        assert "[title]1 task failed: daily_report[/title]" in state_text("en", what)
        waiting = state(run(waiting=[("b", -1)]))
        assert "[title]1 件のタスクを再試行します: daily_report[/title]" in state_text("ja", waiting)
        assert "[title]1 task will be retried: daily_report[/title]" in state_text("en", waiting)

    def test_many_retries_are_counted_in_the_title(self):
        details = [failed("load", retrying=True, tries=3), failed("send", retrying=True, try_number=None, error=None)]
        what = state(run(*details, waiting=[("map", 3), ("map", 4), ("zip", -1)]))
        assert state_text("ja", what) == lines(
            "[info][title]5 件のタスクを再試行します: daily_report[/title]" + f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "・load: E: load (3 回中 1 回目、再試行待ち)",
            "・send (再試行待ち)",
            "再試行待ち 3 件: map [3-4], zip",
            "詳細: https://airflow.example/run[/info]",
        )
        assert state_text("en", what) == lines(
            "[info][title]5 tasks will be retried: daily_report[/title]" + f"Run: {RUN}",
            "Logical date: 2026-11-23 00:00 (Asia/Tokyo)",
            "・load: E: load (try 1 of 3, will retry)",
            "・send (will retry)",
            "3 to be retried: map [3-4], zip",
            "Details: https://airflow.example/run[/info]",
        )

    def test_a_failed_run_is_reported(self):
        what = state(run(failed("a"), failed("b"), run_failed=True, reason="task_failure", seconds=4000.0))
        assert state_text("ja", what) == lines(
            "[info][title]2 件のタスクが失敗しました: daily_report[/title]" + f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "・a: E: a",
            "・b: E: b",
            "この実行は失敗に終わりました (task_failure)",
            "所要時間: 1 時間 6 分",
            "詳細: https://airflow.example/run[/info]",
        )
        assert state_text("en", what).splitlines()[-3:] == [
            "The run has failed (task_failure)",
            "Took: 1 h 6 min",
            "Details: https://airflow.example/run[/info]",
        ]

    def test_a_failed_run_with_one_failure_is_in_the_title(self):
        what = state(run(failed("a"), run_failed=True))
        assert state_text("ja", what) == lines(
            "[info][title]DAG の実行が失敗しました: daily_report[/title]" + f"実行 ID: {RUN}",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "・a: E: a",
            "この実行は失敗に終わりました",
            "詳細: https://airflow.example/run[/info]",
        )
        assert "[title]DAG run failed: daily_report[/title]" in state_text("en", what)

    def test_a_failed_run_with_one_retry_is_in_the_title(self):
        text = state_text("en", state(run(failed("a", retrying=True), run_failed=True, reason="timed_out")))
        assert "[title]DAG run failed: daily_report[/title]" in text
        assert "・a: E: a (try 1 of 1, will retry)\nThe run has failed (timed_out)\n" in text

    def test_a_failed_run_without_failures_has_the_text_of_its_event(self):
        what = state(run(run_failed=True, reason="timed_out", seconds=3700.0))
        event = replace(ENDED, reason="timed_out")
        assert state_text("ja", what) == event_text("ja", event)
        assert state_text("en", what) == event_text("en", event)

    def test_several_runs_have_a_section_each(self):
        what = state(
            run(failed("a"), failed("b", retrying=True, tries=2), run_id="r1"),
            run(others=[("c", -1), ("d", -1)], run_id="r2", logical_date=None, url=None, run_failed=True),
            run(run_id="r3", logical_date=None, url=None),
        )
        assert state_text("ja", what) == lines(
            "[info][title]3 回の実行で失敗がありました: daily_report[/title]実行 ID: r1",
            "論理日付: 2026-11-23 00:00 (Asia/Tokyo)",
            "失敗したタスク: 1 件",
            "・a: E: a",
            "・b: E: b (2 回中 1 回目、再試行待ち)",
            "詳細: https://airflow.example/run[hr]実行 ID: r2",
            "失敗したタスク: 2 件",
            "タスク: c, d",
            "この実行は失敗に終わりました[hr]実行 ID: r3",
            "失敗したタスクは残っていません[/info]",
        )
        assert state_text("en", what) == lines(
            "[info][title]Failures in 3 runs: daily_report[/title]Run: r1",
            "Logical date: 2026-11-23 00:00 (Asia/Tokyo)",
            "1 task failed",
            "・a: E: a",
            "・b: E: b (try 1 of 2, will retry)",
            "Details: https://airflow.example/run[hr]Run: r2",
            "2 tasks failed",
            "Tasks: c, d",
            "The run has failed[hr]Run: r3",
            "No failed tasks are left[/info]",
        )

    @pytest.mark.parametrize("more", [(), (run(run_id="r2"),)])
    def test_resolved_failures_are_stated(self, more):
        what = state(run(), *more)
        assert state_text("ja", what).startswith("[info][title]失敗は解消しました: daily_report[/title]実行 ID: ")
        assert state_text("en", what).startswith("[info][title]Failures resolved: daily_report[/title]Run: ")
        assert state_text("ja", what).count("失敗したタスクは残っていません") == 1 + len(more)

    def test_an_unreadable_date_is_not_shown(self):
        for date in ("", "yesterday", "2026-11-22T15:00:00"):
            assert "Logical date" not in state_text("en", state(run(failed("a"), failed("b"), logical_date=date)))


class TestStateTextWithTextsOfTheAuthor:
    def test_each_text_of_the_author_is_shown(self):
        what = state(
            run(
                failed("a", text="[To:5]さん\na が遅れます"), failed("b"), failed("c", text="c も"), others=[("d", -1)]
            ),
            mention_line="[To:1]",
        )
        assert state_text("ja", what) == lines(
            "[To:1]", "[To:5]さん", "a が遅れます", "・b: E: b", "c も", "ほか 1 件: d"
        )

    def test_the_end_of_the_run_is_shown(self):
        part = run(failed("a", text="a failed"), run_failed=True, reason="task_failure", seconds=61.0)
        assert state_text("en", state(part)) == lines(
            "a failed", "The run has failed (task_failure)", "Took: 1 min 1 s"
        )
        assert state_text("en", state(part.model_copy(update={"text": "all over"}))) == lines("a failed", "all over")

    def test_an_unclosed_frame_is_broken(self):
        text = formatter("en").state_text(
            state(run(failed("a", text="[info]x"), failed("b", text="[/code][toall]"))), DAG
        )
        assert is_whole(text)
        assert "[toall]" in text
        assert is_whole(formatter("en").state_text(state(run(run_failed=True, text="[info][title]x")), DAG))


class TestRecovered:
    def test_the_first_line_of_a_resolved_alert_shows_when_it_was_resolved(self):
        assert formatter("ja").recovered_line(DATE, 7400) == (
            "復旧しました: 2026-11-23 00:00 (Asia/Tokyo)、最初の失敗から 2 時間 3 分後"
        )
        assert formatter("en").recovered_line(DATE, 61) == (
            "Recovered: 2026-11-23 00:00 (Asia/Tokyo), 1 min 1 s after the first failure"
        )

    def test_the_reply_to_a_resolved_alert_shows_run_and_time(self):
        assert formatter("ja").recovered_text(DAG, RUN, DATE, 7400, 3, URL) == lines(
            "[info][title]復旧しました: daily_report[/title]"
            "復旧日時: 2026-11-23 00:00 (Asia/Tokyo)、最初の失敗から 2 時間 3 分後",
            f"実行 ID: {RUN}",
            "失敗した実行: 3 回",
            "詳細: https://airflow.example/run[/info]",
        )
        assert formatter("en").recovered_text(DAG, RUN, DATE, 7400, 3, URL) == lines(
            "[info][title]Recovered: daily_report[/title]"
            "Recovered at: 2026-11-23 00:00 (Asia/Tokyo), 2 h 3 min after the first failure",
            f"Run: {RUN}",
            "Runs that failed: 3",
            "Details: https://airflow.example/run[/info]",
        )

    def test_one_failed_run_is_not_counted(self):
        assert "Runs that failed" not in formatter("en").recovered_text(DAG, RUN, DATE, 7400, 1, None)


texts = st.lists(
    st.sampled_from((*FRAGMENTS, "{", "}", "{count}", "{0!r}", "%s", "%", "(", "y", ")", "h", "：", "・"))
    | st.text(max_size=3),
    max_size=12,
).map("".join)
maybe = st.none() | texts
moments = st.none() | st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))
numbers = st.none() | st.integers(0, 5)
seconds = st.none() | st.floats(0, 1e7)
several = st.lists(texts, max_size=3).map(tuple)
events = st.builds(
    AlertEvent,
    kind=st.sampled_from(EventKind),
    dag_id=maybe,
    run_id=maybe,
    label=maybe,
    logical_date=moments,
    try_number=numbers,
    tries=numbers,
    seconds=seconds,
    error=maybe,
    lost_worker=st.booleans(),
    where=maybe,
    owners=several,
    log_url=maybe,
    reason=maybe,
    deadline=maybe,
    sla_tasks=several,
    subject=maybe,
    body=maybe,
    options=several,
    answer_url=maybe,
)
failures = st.builds(
    TaskFailure,
    task_id=texts,
    map_index=st.integers(-1, 3),
    label=maybe,
    error=maybe,
    lost_worker=st.booleans(),
    where=maybe,
    try_number=numbers,
    tries=numbers,
    seconds=seconds,
    owners=st.lists(texts, max_size=2),
    log_url=maybe,
    retrying=st.booleans(),
)
keys = st.lists(st.tuples(texts, st.integers(-1, 9)), max_size=4)
run_failures = st.builds(
    run,
    *[failures] * 2,
    others=keys,
    waiting=keys,
    run_id=texts,
    logical_date=moments.map(str),
    url=maybe,
    run_failed=st.booleans(),
    reason=maybe,
    seconds=seconds,
) | st.builds(run, run_id=texts, url=maybe, run_failed=st.booleans(), reason=maybe, others=keys)
formatters = st.builds(formatter, st.sampled_from(LANGUAGES))

_OURS = re.compile(r"(\[/?(?:info|title|code)\]|\[hr\])")


def check_harmless(text: str, *, frames: int, codes: int = 0, rules: int = 0) -> None:
    """Nothing acts but so many frames, blocks of code and rules, and all of them are closed."""
    assert is_whole(text)
    assert len(text) <= MAX_BODY
    text.encode()
    assert all(_OURS.match(tag) for tag in tags_in(text))
    pieces = _OURS.split(text)
    assert (pieces.count("[info]"), pieces.count("[title]"), pieces.count("[hr]")) == (frames, frames, rules)
    assert pieces.count("[code]") <= codes
    for before, piece in zip(["", *pieces], pieces, strict=False):
        if _OURS.fullmatch(piece):
            continue
        # Emoticons are not shown in code.
        assert piece == (break_tags(piece) if before == "[code]" else safe(piece))


class TestHarmless:
    @given(formatters, events, maybe)
    @example(formatter("en"), AlertEvent(kind=EventKind.RUN_FAILURE, reason="y", dag_id="("), ")")
    def test_no_value_of_an_event_is_notation(self, formatter, event, url):
        check_harmless(formatter.event_text(event, url), frames=1, codes=1)

    @given(formatters, st.lists(run_failures, min_size=1, max_size=3), texts, texts)
    # What is harmless in itself becomes an emoticon between parentheses.
    @example(formatter("en"), [run(failed("a"), failed("b"), run_failed=True, reason="y")], "", "")
    def test_no_value_of_a_state_is_notation(self, formatter, runs, note, dag_id):
        what = state(*runs, note=note)
        text = formatter.state_text(what, dag_id)
        assert text.startswith("[info]")
        check_harmless(text, frames=1, codes=1, rules=text.count("[hr]"))
        assert text.count("[hr]") == (len(what.runs) - 1)

    @given(formatters, texts, texts, maybe)
    def test_no_value_of_a_recovery_is_notation(self, formatter, dag_id, run_id, url):
        check_harmless(formatter.recovered_text(dag_id, run_id, DATE, 5.0, 2, url), frames=1)
        check_harmless(formatter.recovered_line(DATE, 5.0), frames=0)

    def test_two_texts_do_not_form_an_emoticon(self):
        text = formatter("en").state_text(state(run(failed("a"), failed("b"), run_failed=True, reason="y")), DAG)
        assert f"The run has failed ({BREAK}y)" in text


class TestLength:
    HUGE = "E: " + "受注 [toall] [info]\n" * 7000

    @pytest.mark.parametrize("lang", LANGUAGES)
    def test_a_long_error_is_cut_in_the_middle(self, lang):
        assert len(self.HUGE) > 100_000
        text = formatter(lang).event_text(replace(LOADED, error=self.HUGE), URL)
        check_harmless(text, frames=1, codes=1)
        assert 2000 < len(text) < 4000
        assert {"ja": " 文字省略) …", "en": " characters left out) …"}[lang] in text
        assert text.endswith(f"{URL}[/info]")

    @pytest.mark.parametrize("name", ["dag_id", "run_id", "label", "where", "log_url", "reason", "deadline", "subject"])
    def test_long_names_are_cut(self, name):
        for kind in EventKind:
            text = formatter("ja").event_text(replace(LOADED, kind=kind, **{name: "[x" * 50_000}), "[y" * 50_000)
            check_harmless(text, frames=1, codes=1)
            assert len(text) < 12_000

    def test_thousands_of_owners_names_and_options_are_cut(self):
        many = tuple(f"name-{number}" for number in range(20_000))
        for kind in EventKind:
            event = replace(LOADED, kind=kind, owners=many, sla_tasks=many, options=many, body=self.HUGE)
            check_harmless(formatter("ja").event_text(event), frames=1, codes=1)

    @pytest.mark.parametrize("lang", LANGUAGES)
    def test_the_first_and_last_of_thousands_of_failures_are_named(self, lang):
        details = [failed(f"t{number}", error=self.HUGE, where="w" * 5000, log_url="u" * 5000) for number in range(5)]
        others = [(f"task_{number}", -1) for number in range(5000)]
        waiting = [(f"retry_{number}", number) for number in range(5000)]
        text = formatter(lang).state_text(state(run(*details, others=others, waiting=waiting)), DAG)
        check_harmless(text, frames=1)
        assert len(text) < 40_000
        assert all(
            name in text for name in ("・t0: ", "・t4: ", "task_0,", "task_4999\n", "retry_0 [0],", "retry_4999 [4999]")
        )
        assert "5005" in text
        assert {"ja": "ほか 5000 件: ", "en": "5000 more: "}[lang] in text

    def test_many_runs_are_cut_in_the_middle(self):
        many = [(f"task_{number}", -1) for number in range(5000)]
        what = state(*(run(others=many, run_id=f"r{number}") for number in range(40)), mention_line="[To:1]")
        text = formatter("ja").state_text(what, DAG)
        assert len(text) <= MAX_BODY
        assert is_whole(text)
        assert text.startswith("[To:1]\n[info][title]40 回の実行で失敗がありました: daily_report[/title]実行 ID: r0\n")
        assert "実行 ID: r39\n" in text
        assert "文字省略" in text


class TestDuration:
    @pytest.mark.parametrize(
        ("seconds", "japanese", "english"),
        [
            (0, "0.1 秒", "0.1 s"),
            (0.04, "0.1 秒", "0.1 s"),
            (1, "1 秒", "1 s"),
            (1.25, "1.2 秒", "1.2 s"),
            (9.94, "9.9 秒", "9.9 s"),
            (9.96, "10 秒", "10 s"),
            (10, "10 秒", "10 s"),
            (59.9, "59 秒", "59 s"),
            (60, "1 分 0 秒", "1 min 0 s"),
            (3599, "59 分 59 秒", "59 min 59 s"),
            (3600, "1 時間 0 分", "1 h 0 min"),
            (86399, "23 時間 59 分", "23 h 59 min"),
            (86400, "1 日 0 時間", "1 d 0 h"),
            (200000, "2 日 7 時間", "2 d 7 h"),
        ],
    )
    def test_the_two_largest_units_are_named(self, seconds, japanese, english):
        assert formatter("ja").duration(seconds) == japanese
        assert formatter("en").duration(seconds) == english
