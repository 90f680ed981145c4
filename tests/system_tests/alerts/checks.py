"""What has to be in the rooms, in the logs and in Airflow.

Each function yields what is wrong, and ``None`` for what is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from airflow_provider_chatwork.sandbox.company import TAKAHASHI, YAMADA
from tests.system_tests.alerts.observations import Evidence, Room, find_in_logs

Check = Callable[[Evidence, Room], Iterator[str | None]]
CALL = f"[To:{TAKAHASHI}]"
_WILL_RETRY = "再試行します"
_FAILED = re.compile(r"タスクが失敗しました: |Task failed: ")


def _has(text: str, *wanted: str) -> str | None:
    missing = [repr(one) for one in wanted if one not in text]
    return f"{', '.join(missing)} missing" if missing else None


def _lacks(text: str, *unwanted: str) -> str | None:
    there = [repr(one) for one in unwanted if one in text]
    return f"{', '.join(there)} there" if there else None


def _rings(room: Room, times: int) -> str | None:
    found = sum(sent.calls for sent in room.sent)
    return None if found == times else f"people were called {found} times, expected {times}"


def _posted(room: Room, times: int) -> str | None:
    found = len(room.done("post_message"))
    return None if found == times else f"{found} were posted, expected {times}"


def nothing(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield None if not room.sent else f"{len(room.sent)} requests, expected none"


def one_line(seen: Evidence, room: Room) -> Iterator[str | None]:
    text = room.messages[0]
    yield _has(
        text, "[info][title]タスクが失敗しました: load_orders[/title]", "DAG: one_line", "RuntimeError: 受注テーブル"
    )
    yield _has(text, "試行: 1 回中 1 回目", "tasks.py, line", "ログ: http", "詳細: http")
    yield _lacks(text, "[toall]", "[To:")
    yield _posted(room, 1)


def retries(seen: Evidence, room: Room) -> Iterator[str | None]:
    first, *rest = room.done("post_message")
    yield _has(first, _WILL_RETRY, "3 回中 1 回目")
    yield _lacks(first, "[To:")
    yield from (_has(edit, _WILL_RETRY, "3 回中 2 回目") for edit in room.done("edit_message"))
    yield None if len(room.done("edit_message")) == 1 else f"{len(room.done('edit_message'))} edits, expected 1"
    yield None if len(rest) == 1 else f"{len(rest)} messages after the first, expected 1"
    yield _has(room.messages[0], CALL, "タスクが失敗しました: sync_stock", "3 回中 3 回目")
    yield _rings(room, 1)


def second_try(seen: Evidence, room: Room) -> Iterator[str | None]:
    first, *rest = room.done("post_message")
    yield _has(first, _WILL_RETRY, "2 回中 1 回目")
    yield None if not rest else "more than one was posted"
    yield _lacks(room.messages[0], _WILL_RETRY)
    yield _has(room.messages[0], "失敗は解消しました: second_try")
    yield _rings(room, 0)


def gives_up(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield _has(room.messages[0], CALL, "タスクが失敗しました: check", "AirflowFailException: やり直しても無駄です")
    yield _lacks(room.messages[0], _WILL_RETRY)
    yield _posted(room, 1)


def starts(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield _has(room.messages[0], "タスクを開始しました: starts")
    yield _has(room.messages[1], "タスクがスキップされました: skips")


def mapped(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield _has(room.messages[0], "タスクが失敗しました: total [\u200b那覇]", "RuntimeError: 受注テーブル 那覇")
    yield _lacks(room.messages[0], "札幌")


def takes_too_long(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield _has(room.messages[0], "タスクが失敗しました: export", "AirflowTaskTimeout")


def waits(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield _has(room.messages[0], "タスクが失敗しました: wait_for_file", "RuntimeError: 受注テーブル waited")


def own_text(seen: Evidence, room: Room) -> Iterator[str | None]:
    for name in ("orders", "stock", "sales"):
        own = [text for text in room.messages if text.startswith(f"{name} が失敗: {name} がありません")]
        yield None if len(own) == 1 else f"{len(own)} messages are about {name}"
    yield _lacks("".join(room.messages), "[toall]")


def own_text_together(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield _has(room.messages[0], *(f"{name} が失敗: {name} がありません" for name in ("orders", "stock", "sales")))
    yield _lacks(room.messages[0], "[toall]")


def native(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield None if room.messages == ["12.50"] else f"found {room.messages}"


def folded(seen: Evidence, room: Room) -> Iterator[str | None]:
    text = room.messages[0]
    yield _has(text, CALL, "load_orders", "load_stock", "load_sales", "3 件のタスクが失敗しました")
    yield _has(text, "この実行は失敗に終わりました")
    yield _lacks(text, "_done")


def run_only(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield _has(room.messages[0], "load_orders", "load_stock", "run_only")
    yield _lacks(room.messages[0], "sleeps", "never")
    yield _posted(room, 1)


def run_alone(reason: str) -> Check:
    def check(seen: Evidence, room: Room) -> Iterator[str | None]:
        yield _has(room.messages[0], f"DAG の実行が失敗しました: {room.name}", reason)
        yield _posted(room, 1)

    return check


def recovers(seen: Evidence, room: Room) -> Iterator[str | None]:
    alert, answer = room.messages
    runs = seen.run_states["sales_report"]
    yield None if runs == ["failed", "success"] else f"the runs are {runs}"
    yield _has(alert, CALL, "復旧しました", "collect")
    yield None if alert.startswith("復旧しました") or "復旧しました" in alert.split("[info]")[0] else "no head"
    yield _has(answer, "[rp aid=", "[title]復旧しました: sales_report[/title]")
    yield _rings(room, 1)


def killed_for_good(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield _has(room.messages[0], CALL, "load_orders", room.name)
    yield _lacks(room.messages[0], _WILL_RETRY)
    yield _rings(room, 1)


def killed_and_retried(seen: Evidence, room: Room) -> Iterator[str | None]:
    alerts = [sent.body for sent in room.sent if sent.status == 200]
    yield from (f"reported as failed: {body[:80]!r}" for body in alerts if _FAILED.search(body))
    yield _rings(room, 0)
    yield None if len(room.messages) <= 1 else f"{len(room.messages)} messages, expected one at most"
    yield from (_has(text, "失敗は解消しました") for text in room.messages)
    yield None if seen.tries[room.name] == {"load_orders": 2} else f"tries: {seen.tries[room.name]}"


def deadline(*mentions: str) -> Check:
    def check(seen: Evidence, room: Room) -> Iterator[str | None]:
        yield _has(room.messages[0], f"DAG の実行が期限までに終わりませんでした: {room.name}", "期限: ", *mentions)

    return check


def unseen(seen: Evidence, room: Room) -> Iterator[str | None]:
    lost = seen.lost_of("deadline_unseen")
    yield None if len(lost) == 1 else f"{len(lost)} lines report the loss, expected 1"
    yield from (_has(line, "chatwork_default", "environment variable", "63929") for line in lost)


def sla(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield None if room.messages else "no message"
    yield from (_has(text, "SLA の時間内に終わりませんでした: sla", CALL) for text in room.messages)
    calls = sum(1 for _ in find_in_logs(seen.logs, re.compile("Calling SLA miss callback")))
    # It goes on for ever, so the last one may be under way.
    yield None if calls - 1 <= len(room.messages) <= calls else f"{len(room.messages)} messages of {calls} callbacks"


def asks(seen: Evidence, room: Room) -> Iterator[str | None]:
    text = room.messages[0]
    yield _has(text, f"[To:{YAMADA}]", "の受注を締めますか", "差額は **1,200円** です。", "締める / 待つ")
    yield None if re.search(r"回答: http://\S+/required_actions", text) else "no link to the page to answer on"
    yield _posted(room, 1)


def asks_in_vain(seen: Evidence, room: Room) -> Iterator[str | None]:
    yield None if seen.lost_of("asks_in_vain", "approve") else "the task's log reports no loss"


def meanwhile(status: str) -> Check:
    """Of a DAG whose second task fails while Chatwork answers so."""

    def check(seen: Evidence, room: Room) -> Iterator[str | None]:
        lost = seen.lost_of(room.name, "meanwhile")
        yield None if len(lost) == 1 else f"{len(lost)} lines of the task's log report the loss, expected 1"
        yield from (_has(line, status) for line in lost)
        states = seen.task_states[room.name]
        wanted = {"before": "failed", "meanwhile": "failed", "after": "success", "last": "failed"}
        yield None if states == wanted else f"the tasks are {states}"
        killed = find_in_logs(seen.logs, re.compile("Task success overtime reached"))
        yield "a callback was killed, as it took too long" if any(True for _ in killed) else None
        # The next callback that can post reports what could not be posted then.
        yield _has(room.messages[0], "before", "meanwhile", "last", "3 件のタスクが失敗しました")

    return check


def wrong_template(seen: Evidence, room: Room) -> Iterator[str | None]:
    lost = seen.lost_of("wrong_template", "load_orders")
    yield None if len(lost) == 1 else f"{len(lost)} lines of the task's log report the loss, expected 1"
    yield from (_has(line, "nobody") for line in lost)


def falls_back(seen: Evidence, room: Room) -> Iterator[str | None]:
    lost = seen.lost_of("falls_back", "load_orders")
    yield None if len(lost) == 1 else f"{len(lost)} lines of the task's log report the loss, expected 1"
    yield _has(room.messages[0], "タスクが失敗しました: load_orders")


def listener(seen: Evidence, room: Room) -> Iterator[str | None]:
    failed = [dag_id for dag_id, states in seen.run_states.items() for state in states if state == "failed"]
    # It has recovered since, which is the answer to the alert.
    failed.append("sales_report")
    for dag_id in {*failed}:
        alerts = [text for text in room.messages if re.search(rf"\b{dag_id}\b", text.partition("[/title]")[0])]
        yield None if len(alerts) == failed.count(dag_id) else f"{len(alerts)} messages are about {dag_id}"
    yield None if len(room.messages) == len(failed) else f"{len(room.messages)} messages, expected {len(failed)}"
    # No alert says why its task has failed.
    yield None if any("no_callback" in text and "Tasks: fails" in text for text in room.messages) else "no_callback"
    yield _posted(seen.rooms["no_callback"], 0)


def also_told(seen: Evidence, room: Room) -> Iterator[str | None]:
    alerts = [text for text in room.messages if re.search(r"\balso_told\b", text)]
    yield None if len(alerts) == 1 else f"{len(alerts)} messages"
    yield from (_has(text, "fails", "RuntimeError: 支払", "The run has failed") for text in alerts)
