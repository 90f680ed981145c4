from __future__ import annotations

import contextlib
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_chatwork.api.check import MAX_BODY
from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkParameterError, ChatworkRateLimitError
from airflow_provider_chatwork.notifications.chatwork import (
    ChatworkNotifier,
    failure_text,
    send_chatwork_notification,
)
from airflow_provider_chatwork.sandbox import Fault, company
from tests.airflow_side import VERSION, FakeTaskInstance, connect, new_dag

ROOM = company.DATA_ROOM
EVIL = f"[toall] [To:{company.YAMADA}] [rp aid=1 to=1-2] [info]x[/info] [/code] [hr]"


def told(**more: Any) -> Any:
    """The context of a failed task."""
    return {
        "dag": new_dag("report"),
        "ti": FakeTaskInstance(
            dag_id="report", task_id="load", try_number=2, log_url="http://localhost:8080/log?a=1&b=2"
        ),
        "dag_run": SimpleNamespace(dag_id="report", run_id="scheduled__2026-11-01"),
        "run_id": "scheduled__2026-11-01",
        "exception": ValueError("no rows"),
        **more,
    }


def posted(sandbox: Any) -> list[str]:
    return [request.form["body"] for request in sandbox.requests if request.operation == "post_message"]


def tags(text: str) -> list[str]:
    """What Chatwork would act on, the frame of the default text aside."""
    found = re.findall(r"\[/?(?:toall|To:|rp|info|title|code|hr|qt|picon|preview|delete)[^\]]*\]", text)
    frame = ["[info]", "[title]", "[/title]", "[code]", "[/code]", "[/info]"]
    return [tag for tag in found if tag not in frame] if found[:3] == frame[:3] else found


class TestFailureText:
    def test_says_what_failed_where_and_why(self):
        assert failure_text(told()) == (
            "[info][title]Task failed[/title]"
            "DAG: report\n"
            "Task: load\n"
            "Run: scheduled__2026-11-01\n"
            "Try: 2\n"
            "Log: http://localhost:8080/log?a=1&b=2\n"
            "[code]ValueError: no rows[/code]"
            "[/info]"
        )

    @pytest.mark.parametrize(
        ("more", "title"),
        [
            ({"ti": FakeTaskInstance(state="failed")}, "Task failed"),
            ({"ti": FakeTaskInstance(state="up_for_retry")}, "Task failed, will retry"),
            ({"ti": FakeTaskInstance(state="success"), "exception": None}, "Task succeeded"),
            ({"ti": FakeTaskInstance(state="skipped"), "exception": None}, "Task skipped"),
            # A DAG's callback gets the task instance that ended last, too.
            ({"ti": FakeTaskInstance(state="success"), "exception": None, "reason": "success"}, "DAG run succeeded"),
            ({"ti": FakeTaskInstance(state="failed"), "exception": None, "reason": "task_failure"}, "DAG run failed"),
        ],
        ids=["failure", "retry", "success", "skipped", "success of the run", "failure of the run"],
    )
    def test_says_how_it_ended(self, more, title):
        assert f"[title]{title}[/title]" in failure_text(told(**more))

    def test_says_which_of_the_mapped_tasks_it_was(self):
        text = failure_text(told(ti=FakeTaskInstance(task_id="load", map_index=3)))
        assert re.search(r"^Task: load .?\[.?3\]$", text, re.MULTILINE)

    def test_speaks_of_the_run_where_no_task_is_to_blame(self):
        context = told(ti=None, exception=None, reason="task_failure")
        assert failure_text(context) == (
            "[info][title]DAG run failed[/title]"
            "DAG: report\n"
            "Run: scheduled__2026-11-01\n"
            "[code]task_failure[/code]"
            "[/info]"
        )

    def test_makes_do_with_what_a_processor_of_dags_knows(self):
        context: Any = {"dag": SimpleNamespace(dag_id="report"), "run_id": "manual__1"}
        assert failure_text(context) == "[info][title]DAG run failed[/title]DAG: report\nRun: manual__1[/info]"

    def test_makes_do_with_nothing(self):
        empty: Any = {}
        assert failure_text(empty).startswith("[info][title]DAG run failed[/title]")

    @pytest.mark.parametrize(
        "context",
        [
            told(exception=RuntimeError(EVIL)),
            told(exception=None, reason=EVIL),
            told(ti=FakeTaskInstance(task_id=EVIL, log_url=EVIL)),
            told(dag=SimpleNamespace(dag_id=EVIL), dag_run=SimpleNamespace(run_id=EVIL)),
        ],
        ids=["exception", "reason", "task", "run"],
    )
    def test_pings_nobody_with_what_others_have_written(self, context):
        text = failure_text(context)
        assert "toall" in text, "nothing was tested"
        assert tags(text) == []

    def test_keeps_a_long_story_short(self):
        text = failure_text(told(exception=RuntimeError("a" * 100_000)))
        assert len(text) < 3000
        assert text.endswith("[/code][/info]")


class TestChatworkNotifier:
    def test_posts_the_default_text(self, sandbox):
        ChatworkNotifier(room_id=ROOM)(told())
        assert posted(sandbox) == [failure_text(told())]

    def test_posts_its_own_text_rendered(self, sandbox):
        ChatworkNotifier(text="{{ ti.task_id }} は {{ run_id }} で失敗", room_id="{{ 400000101 }}")(told())
        assert posted(sandbox) == ["load は scheduled__2026-11-01 で失敗"]

    def test_posts_to_the_room_of_the_connection_where_it_names_none(self, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, conn_id="chatwork_alarms", default_room_id=company.SALES_ROOM)
        ChatworkNotifier("高い", chatwork_conn_id="chatwork_alarms")(told())
        assert sandbox.messages(company.SALES_ROOM)[-1]["body"] == "高い"

    def test_sends_the_right_text_each_time_although_tasks_share_it(self, sandbox):
        notifier = ChatworkNotifier(text="{{ ti.task_id }} {{ exception }}", room_id="{{ params.room }}")
        for name in ("extract", "transform", "load"):
            notifier(told(ti=FakeTaskInstance(task_id=name), exception=name.upper(), params={"room": ROOM}))
        assert posted(sandbox) == ["extract EXTRACT", "transform TRANSFORM", "load LOAD"]
        assert notifier.text == "{{ ti.task_id }} {{ exception }}"
        assert notifier.room_id == "{{ params.room }}"

    @pytest.mark.parametrize(("text", "sent"), [("{{ 1 + 1 }}", "2"), ("{{ [1, 'a'] }}", "[1, 'a']")])
    def test_always_sends_a_text(self, text, sent, sandbox):
        ChatworkNotifier(text=text, room_id=ROOM)(told(dag=new_dag("native", render_template_as_native_obj=True)))
        assert posted(sandbox) == [sent]

    def test_posts_no_template_of_which_nothing_is_left(self, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, default_room_id=company.SALES_ROOM)
        ChatworkNotifier(text="hi", room_id="{{ params.nowhere or '' }}")(told(params={"nowhere": None}))
        assert sandbox.messages(company.SALES_ROOM)[-1]["body"] == "hi"
        with contextlib.suppress(ChatworkParameterError):
            ChatworkNotifier(text="{{ '' }}", room_id=ROOM)(told())
        assert posted(sandbox) == ["hi"]

    def test_shortens_a_text_that_chatwork_would_not_take(self, sandbox):
        ChatworkNotifier(text="{{ 'あ' * 100000 }}", room_id=ROOM)(told())
        [body] = posted(sandbox)
        assert len(body) <= MAX_BODY

    def test_does_not_give_away_the_secrets_that_airflow_knows(self, sandbox, monkeypatch):
        # The connection was not read in this process before, so that its secrets are not known yet.
        connect(monkeypatch, sandbox, webhook_token="w3bhook-of-the-alarms")
        leak = ValueError(f"401 for X-ChatWorkToken: {sandbox.token}, w3bhook-of-the-alarms")
        ChatworkNotifier(room_id=ROOM)(told(exception=leak))
        [body] = posted(sandbox)
        assert sandbox.token not in body
        assert "w3bhook-of-the-alarms" not in body
        assert "401 for X-ChatWorkToken: ***" in body

    def test_is_no_more_patient_than_airflow_or_the_connection_has_it(self, sandbox, monkeypatch):
        sandbox.misbehave(Fault("status", operation="post_message", status=429, headers={}, times=None))
        for max_wait in (0, 300):
            connect(monkeypatch, sandbox, max_wait=max_wait)
            with pytest.raises(ChatworkRateLimitError):
                # 60 s are what an answer without headers asks for; a callback is killed after 50.
                ChatworkNotifier("x", room_id=ROOM).notify(told())
        assert len(posted(sandbox)) == 2

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [({"room_id": company.PRIVATE_ROOM}, ChatworkForbiddenError), ({}, ChatworkParameterError)],
        ids=["refused", "no room"],
    )
    def test_ends_a_failure_as_notifiers_of_this_airflow_do(self, arguments, error, sandbox, caplog, capfd):
        notifier = ChatworkNotifier(text="x", **arguments)
        with caplog.at_level(logging.ERROR):
            if VERSION >= (3, 1):
                with pytest.raises(error):
                    notifier(told())
            else:
                notifier(told())
        # Airflow 3.3 logs past the loggers of the standard library.
        assert "Failed to send notification" in caplog.text + capfd.readouterr().out

    def test_has_the_name_that_notifiers_have_by_convention(self):
        assert send_chatwork_notification is ChatworkNotifier

    def test_is_a_callback_that_a_dag_takes(self, db, sandbox, monkeypatch, tmp_path):
        from airflow.providers.common.compat.sdk import BaseOperator

        from tests.airflow_side import run_dag

        class Fail(BaseOperator):
            def execute(self, context: Any) -> None:
                raise ValueError(f"{self.task_id} [toall]")

        notifier = ChatworkNotifier(room_id=ROOM)
        with new_dag("alarming", default_args={"on_failure_callback": notifier}) as dag:
            Fail(task_id="one")
            Fail(task_id="two")
        run_dag(dag, monkeypatch, tmp_path)
        bodies = sorted(posted(sandbox))
        assert [re.search(r"Task: (\w+)", body)[1] for body in bodies] == ["one", "two"]  # type: ignore[index]
        for name, body in zip(("one", "two"), bodies, strict=True):
            assert "DAG: alarming" in body
            # What `dag.test()` of Airflow 3.0 to 3.2 does not tell, other than a worker.
            assert (3, 0) <= VERSION < (3, 3) or f"{name} [\u200btoall]" in body
            assert tags(body) == []
