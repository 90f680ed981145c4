"""The rooms of the sandbox. Every DAG has a room of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

#: The name of each room, by the DAG that posts to it.
NAMES = {
    "one_line": "受注バッチの障害",
    "retries_then_fails": "在庫連携の障害",
    "second_try": "二度目の成功",
    "gives_up": "やり直さない失敗",
    "succeeds": "成功は静かに",
    "starts_and_skips": "開始とスキップ",
    "mapped": "店舗ごとの集計",
    "takes_too_long": "時間切れのタスク",
    "waits": "待ってからの失敗",
    "marked": "人が決めた結果",
    "own_text": "自分の文面",
    "own_text_together": "自分の文面をまとめて",
    "native_objects": "ネイティブオブジェクト",
    "nightly_orders": "夜間受注バッチ",
    "run_only": "実行だけの通知",
    "run_times_out": "時間切れの実行",
    "run_never_starts": "始まらない実行",
    "sales_report": "売上レポート",
    "killed_task_final": "強制終了 (タスク)",
    "killed_task_retries_left": "強制終了と再試行 (タスク)",
    "killed_job_final": "強制終了 (ジョブ)",
    "killed_job_retries_left": "強制終了と再試行 (ジョブ)",
    "killed_worker_final": "強制終了 (ワーカー)",
    "killed_worker_retries_left": "強制終了と再試行 (ワーカー)",
    "deadline_async": "期限",
    "deadline_sync": "期限 (同期)",
    "deadline_unseen": "期限 (見えない接続)",
    "sla": "SLA",
    "asks": "承認のお願い",
    "asks_in_vain": "承認のお願い (障害中)",
    "chatwork_down": "Chatwork の障害",
    "chatwork_slow": "返事のない Chatwork",
    "token_revoked": "無効なトークン",
    "no_right": "投稿できない部屋",
    "wrong_template": "誤ったテンプレート",
    "falls_back": "代わりの部屋",
    "no_callback": "(誰も書かない部屋)",
    "listener": "すべての失敗",
}
ROOMS = {name: 410_000_001 + number for number, name in enumerate(NAMES)}

#: Connections: of the database, of the environment, and the one that Airflow's own alerts go through.
CONNECTION = "chatwork_default"
ENV_CONNECTION = "chatwork_env"
LISTENER_CONNECTION = "chatwork_all"

#: The environment variable with the folder in which tasks and the system test give each other signals: empty files.
SIGNALS = "REHEARSAL_SIGNALS"
#: Seconds; on a slow machine it takes its time until all that a signal waits for has happened.
_PATIENCE = 600


def give(signal: str) -> None:
    """Tell the system test something from a task."""
    (Path(os.environ[SIGNALS]) / signal).touch()


def wait_for(signal: str) -> None:
    """Wait in a task until the system test has given a signal."""
    file = Path(os.environ[SIGNALS]) / signal
    end = time.monotonic() + _PATIENCE
    while not file.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody gave the signal {signal}")
        time.sleep(0.2)
