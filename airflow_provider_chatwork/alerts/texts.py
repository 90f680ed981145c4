"""The texts of the alerts, in Japanese and English."""

from __future__ import annotations

from airflow_provider_chatwork.utils.i18n import Texts

TEXTS: Texts = {
    # Titles.
    "failure": ("タスクが失敗しました: {name}", "Task failed: {name}"),
    "retry": ("タスクが失敗しました。再試行します ({at}): {name}", "Task failed, will retry ({at}): {name}"),
    "success": ("タスクが成功しました: {name}", "Task succeeded: {name}"),
    "retry_unknown": ("タスクが失敗しました。再試行します: {name}", "Task failed, will retry: {name}"),
    "skipped": ("タスクがスキップされました: {name}", "Task skipped: {name}"),
    "started": ("タスクを開始しました: {name}", "Task started: {name}"),
    "run_failure": ("DAG の実行が失敗しました: {dag}", "DAG run failed: {dag}"),
    "run_success": ("DAG の実行が成功しました: {dag}", "DAG run succeeded: {dag}"),
    "deadline": ("DAG の実行が期限までに終わりませんでした: {dag}", "DAG run missed its deadline: {dag}"),
    "sla_miss": ("SLA の時間内に終わりませんでした: {dag}", "SLA missed: {dag}"),
    "question": ("回答をお願いします: {name}", "Your answer is needed: {name}"),
    "many_failed": ("{count} 件のタスクが失敗しました: {dag}", "{count} tasks failed: {dag}"),
    "many_retrying": ("{count} 件のタスクを再試行します: {dag}", "{count} tasks will be retried: {dag}"),
    "runs_failed": ("{runs} 回の実行で失敗がありました: {dag}", "Failures in {runs} runs: {dag}"),
    "mended_title": ("失敗は解消しました: {dag}", "Failures resolved: {dag}"),
    "recovered_title": ("復旧しました: {dag}", "Recovered: {dag}"),
    # Labels in front of a value.
    "dag": ("DAG", "DAG"),
    "task": ("タスク", "Task"),
    "tasks": ("タスク", "Tasks"),
    "run": ("実行 ID", "Run"),
    "logical_date": ("論理日付", "Logical date"),
    "try": ("試行", "Try"),
    "took": ("所要時間", "Took"),
    "elapsed": ("開始からの経過時間", "Time since start"),
    "owner": ("担当", "Owner"),
    "where": ("発生箇所", "Raised at"),
    "reason": ("理由", "Reason"),
    "due": ("期限", "Deadline"),
    "log": ("ログ", "Log"),
    "link": ("詳細", "Details"),
    "options": ("選択肢", "Options"),
    "answer": ("回答", "Answer"),
    "recovered_at": ("復旧日時", "Recovered at"),
    # Values and sentences.
    "at": ("{of} 回中 {number} 回目", "{number} of {of}"),
    "at_unknown": ("{number} 回目", "{number}"),
    "at_in_list": ("{of} 回中 {number} 回目", "try {number} of {of}"),
    "retrying_in_list": ("{at}、再試行待ち", "{at}, will retry"),
    "retrying_in_list_unknown": ("再試行待ち", "will retry"),
    "seconds": ("{s} 秒", "{s} s"),
    "minutes": ("{m} 分 {s} 秒", "{m} min {s} s"),
    "hours": ("{h} 時間 {m} 分", "{h} h {m} min"),
    "days": ("{d} 日 {h} 時間", "{d} d {h} h"),
    "failed": ("失敗したタスク: {count} 件", "{count} tasks failed"),
    "others": ("ほか {count} 件: {names}", "{count} more: {names}"),
    "retrying": ("再試行待ち {count} 件: {names}", "{count} to be retried: {names}"),
    "run_ended": ("この実行は失敗に終わりました{reason}", "The run has failed{reason}"),
    "ended_reason": (" ({reason})", " ({reason})"),
    "killed": (
        "エラーは報告されていません (ワーカーの停止や強制終了の可能性があります)",
        "No error was reported; the worker may have been stopped or killed",
    ),
    "mended": ("失敗したタスクは残っていません", "No failed tasks are left"),
    "recovered": ("復旧しました: {at}", "Recovered: {at}"),
    "when_recovered": ("{when}、最初の失敗から {after}後", "{when}, {after} after the first failure"),
    "recovered_runs": ("失敗した実行: {count} 回", "Runs that failed: {count}"),
    "quiet": ("通知を控える時間帯のため、メンションは付けていません", "Nobody was called, as these are quiet hours"),
    "unknown_people": ("ルームに見つからない宛先: {names}", "Not found in the room: {names}"),
    "people_not_looked_up": ("宛先を確認できませんでした: {names}", "Could not be looked up in the room: {names}"),
    "moved": (
        "{switch} の設定によりこのルームに送信しました。本来の送信先: {room}",
        "Sent here because of {switch}; meant for: {room}",
    ),
}
#: English texts for a count of 1.
SINGULAR = {
    "many_failed": "{count} task failed: {dag}",
    "many_retrying": "{count} task will be retried: {dag}",
    "failed": "{count} task failed",
}
