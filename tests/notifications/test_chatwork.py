from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, conf, mask_secret

from airflow_provider_chatwork.alerts.routing import QuietHours, Route, RoutingTable
from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkParameterError
from airflow_provider_chatwork.api.validation import MAX_BODY
from airflow_provider_chatwork.notifications.chatwork import ChatworkNotifier, send_chatwork_notification
from airflow_provider_chatwork.sandbox import Fault, Limits, company
from tests.airflow_helpers import VERSION, FakeTaskInstance, connect, new_dag, run_dag

ROOM = company.DATA_ROOM
EVIL = f"[toall] [To:{company.YAMADA}] [rp aid=1 to=1-2] [info]x[/info] [/code] [hr]"
RUN = "scheduled__2026-11-01"


def failure_context(*, run: str = RUN, **more: Any) -> Any:
    """The context of a failed task."""
    return {
        "dag": new_dag("report"),
        "ti": FakeTaskInstance(
            task_id="load",
            try_number=3,
            max_tries=2,
            state="failed",
            run_id=run,
            log_url="http://localhost:8080/log?a=1&b=2",
        ),
        "dag_run": SimpleNamespace(dag_id="report", run_id=run),
        "run_id": run,
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


@pytest.fixture
def logged(caplog, capfd):
    """What was logged, wherever: Airflow 3 logs past the loggers of the standard library."""
    caplog.set_level(logging.INFO)

    def read() -> str:
        return caplog.text + capfd.readouterr().out

    return read


class TestCall:
    def test_a_failure_is_posted_with_its_details(self, sandbox, monkeypatch):
        section = "API" if VERSION >= (3, 0) else "WEBSERVER"
        monkeypatch.setenv(f"AIRFLOW__{section}__BASE_URL", "https://airflow.example/")
        connect(monkeypatch, sandbox, lang="en")
        ChatworkNotifier(room_id=ROOM)(failure_context())
        [body] = posted(sandbox)
        page = "runs/" if VERSION >= (3, 0) else "grid?dag_run_id="
        assert body == (
            "[info][title]Task failed: load[/title]"
            "DAG: report\n"
            "Task: load\n"
            f"Run: {RUN}\n"
            "Try: 3 of 3"
            "[code]ValueError: no rows[/code]"
            "Log: http://localhost:8080/log?a=1&b=2\n"
            f"Details: https://airflow.example/dags/report/{page}{RUN}[/info]"
        )

    def test_the_default_language_is_japanese(self, sandbox):
        ChatworkNotifier(room_id=ROOM)(failure_context())
        assert "タスクが失敗しました: load" in posted(sandbox)[0]

    @pytest.mark.parametrize("more", [{}, {"fold": "none"}], ids=["fold", "none"])
    def test_the_connection_alone_is_enough(self, sandbox, monkeypatch, more):
        connect(monkeypatch, sandbox, default_room_id=company.SALES_ROOM)
        ChatworkNotifier(**more)(failure_context())
        assert "load" in sandbox.messages(company.SALES_ROOM)[-1]["body"]

    @pytest.mark.parametrize(
        "context",
        [
            {},
            {"dag": SimpleNamespace(dag_id="report"), "run_id": "manual__1", "reason": "timed_out"},
            {"ti": None, "exception": "text"},
            {"ti": FakeTaskInstance(state="up_for_retry"), "exception": None},
            {"dag_run": {"dag_id": "report", "dag_run_id": "x"}, "deadline": {"deadline_time": "2026-11-01T00:00:00Z"}},
        ],
        ids=["nothing", "a DAG that timed out", "no task", "no error", "a deadline"],
    )
    def test_incomplete_contexts_are_posted(self, context, sandbox):
        notifier = ChatworkNotifier(room_id=ROOM)
        notifier(context)
        assert len(posted(sandbox)) == 1

    def test_the_text_is_rendered(self, sandbox):
        ChatworkNotifier(text="{{ ti.task_id }} は {{ run_id }} で失敗", room_id="{{ 400000101 }}")(failure_context())
        assert posted(sandbox) == [f"load は {RUN} で失敗"]

    def test_the_text_is_read_from_a_file_of_the_dag(self, sandbox, tmp_path):
        tmp_path.joinpath("alert.j2").write_text("{{ ti.task_id }} fiel aus\n", "utf-8")
        dag = new_dag("report", template_searchpath=[str(tmp_path)])
        ChatworkNotifier(text_file="alert.j2", room_id=ROOM)(failure_context(dag=dag))
        assert posted(sandbox) == ["load fiel aus"]

    def test_a_text_is_not_a_file_name(self, sandbox):
        ChatworkNotifier(text="see report.md", room_id=ROOM)(failure_context())
        assert posted(sandbox) == ["see report.md"]

    def test_tasks_can_share_a_notifier(self, sandbox):
        notifier = ChatworkNotifier(text="{{ ti.task_id }} {{ exception }}", room_id="{{ params.room }}", fold="none")
        for name in ("extract", "transform", "load"):
            notifier(failure_context(ti=FakeTaskInstance(task_id=name), exception=name.upper(), params={"room": ROOM}))
        assert posted(sandbox) == ["extract EXTRACT", "transform TRANSFORM", "load LOAD"]
        assert notifier.text == "{{ ti.task_id }} {{ exception }}"
        assert notifier.room_id == "{{ params.room }}"

    def test_the_context_is_not_changed(self, sandbox):
        context = failure_context(text="mine", room_id="mine")
        ChatworkNotifier(text="{{ text }}", room_id=ROOM)(context)
        assert posted(sandbox) == ["mine"]
        assert context["room_id"] == "mine"

    @pytest.mark.parametrize(("text", "sent"), [("{{ 1 + 1 }}", "2"), ("{{ '12.50' }}", "12.50"), ("{{ [1] }}", "[1]")])
    def test_a_native_object_is_sent_as_text(self, text, sent, sandbox):
        ChatworkNotifier(text=text, room_id=ROOM)(
            failure_context(dag=new_dag("native", render_template_as_native_obj=True))
        )
        assert posted(sandbox) == [sent]

    def test_a_room_that_renders_empty_is_that_of_the_connection(self, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, default_room_id=company.SALES_ROOM)
        ChatworkNotifier(text="hi", room_id="{{ params.nowhere or '' }}")(failure_context(params={"nowhere": None}))
        assert sandbox.messages(company.SALES_ROOM)[-1]["body"] == "hi"

    def test_a_text_that_is_too_long_is_shortened(self, sandbox):
        ChatworkNotifier(text="{{ 'あ' * 100000 }}", room_id=ROOM)(failure_context())
        [body] = posted(sandbox)
        assert len(body) <= MAX_BODY

    @pytest.mark.parametrize(
        "context",
        [
            failure_context(exception=RuntimeError(EVIL)),
            failure_context(ti=FakeTaskInstance(task_id=EVIL, log_url=EVIL)),
            failure_context(ti=None, exception=None, reason=EVIL),
            failure_context(dag=SimpleNamespace(dag_id=EVIL, owner="")),
        ],
        ids=["exception", "task", "reason", "dag"],
    )
    def test_notation_in_values_mentions_nobody(self, context, sandbox):
        ChatworkNotifier(room_id=ROOM)(context)
        [body] = posted(sandbox)
        assert "toall" in body, "nothing was tested"
        assert tags(body) == []

    def test_secrets_are_masked(self, sandbox, monkeypatch):
        # The connection was not read in this process before, so that its secrets are not known yet.
        connect(monkeypatch, sandbox, webhook_token="w3bhook-of-the-alarms")
        leak = ValueError(f"401 for X-ChatWorkToken: {sandbox.token}, w3bhook-of-the-alarms")
        ChatworkNotifier(room_id=ROOM)(failure_context(exception=leak))
        ChatworkNotifier(text=f"{sandbox.token}!", room_id=ROOM)(failure_context(run="another"))
        bodies = posted(sandbox)
        assert "401 for X-ChatWorkToken: ***, ***" in bodies[0]
        assert bodies[1] == "***!"

    def test_people_are_mentioned_and_unknown_names_shown(self, sandbox):
        ChatworkNotifier(room_id=ROOM, lang="en", mentions=["{{ params.who }}", "owner"])(
            failure_context(params={"who": company.YAMADA}, task=SimpleNamespace(owner="nobody-here"))
        )
        [body] = posted(sandbox)
        assert body.startswith(f"[To:{company.YAMADA}] ")
        assert "Not found in the room: nobody-here\n[info]" in body

    def test_a_retry_mentions_people_only_with_when_every(self, sandbox):
        for when in ("final", "every"):
            retry = failure_context(run=when, ti=FakeTaskInstance(state="up_for_retry", try_number=1, max_tries=2))
            ChatworkNotifier(room_id=ROOM, mentions=company.YAMADA, when=when, lang="en")(retry)
        quiet, loud = posted(sandbox)
        assert "will retry (1 of 3)" in quiet
        assert "[To:" not in quiet
        assert loud.startswith(f"[To:{company.YAMADA}]")

    @pytest.mark.parametrize("state", ["success", "skipped"])
    def test_a_success_is_posted_only_with_a_text(self, state, sandbox):
        ti = FakeTaskInstance(state="success")
        ChatworkNotifier(room_id=ROOM)(failure_context(ti=ti, exception=None))
        assert posted(sandbox) == []
        ChatworkNotifier("done", room_id=ROOM)(failure_context(ti=ti, exception=None))
        assert posted(sandbox) == ["done"]

    def test_the_table_of_the_notifier_is_used(self, sandbox, monkeypatch):
        table = RoutingTable(routes=(Route(dag_id="rep*", room_id=company.SALES_ROOM, lang="en"), Route(send=False)))
        notifier = ChatworkNotifier(room_id=ROOM, routing=table)
        notifier(failure_context())
        notifier(failure_context(dag=new_dag("other")))
        assert "Task failed" in sandbox.messages(company.SALES_ROOM)[-1]["body"]
        assert len(posted(sandbox)) == 1

    def test_the_table_of_the_connection_or_a_variable_is_used(self, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, routing={"routes": [{"room_id": company.SALES_ROOM, "lang": "en"}]})
        ChatworkNotifier()(failure_context())
        monkeypatch.setenv("AIRFLOW_VAR_ROUTES", f'[{{"room_id": {ROOM}}}]')
        ChatworkNotifier(routing="routes")(failure_context())
        assert [request.path.split("/")[2] for request in sandbox.requests] == [str(company.SALES_ROOM), str(ROOM)]

    def test_an_invalid_table_is_logged_and_ignored(self, sandbox, monkeypatch, logged):
        connect(monkeypatch, sandbox, routing={"routes": [{"name": "night", "severity": "fatal"}]})
        ChatworkNotifier(room_id=ROOM)(failure_context())
        assert len(posted(sandbox)) == 1
        assert "routes[0] (night).severity" in logged()

    def test_quiet_hours_mention_nobody_and_add_a_note(self, sandbox):
        always = QuietHours(days_off=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), below="critical")
        table = RoutingTable(quiet_hours=always)
        ChatworkNotifier(room_id=ROOM, mentions=company.YAMADA, routing=table, lang="en")(failure_context())
        ChatworkNotifier(room_id=ROOM, mentions=company.YAMADA, routing=table, severity="critical")(
            failure_context(run="another")
        )
        quiet, loud = posted(sandbox)
        assert "[To:" not in quiet
        assert "Nobody was called, as these are quiet hours" in quiet
        assert loud.startswith("[To:")

    def test_nothing_is_sent_if_alerts_are_off(self, sandbox, monkeypatch, logged):
        monkeypatch.setenv("AIRFLOW__CHATWORK__ALERTS", "off")
        ChatworkNotifier(room_id=ROOM)(failure_context())
        assert sandbox.requests == []
        assert f"[chatwork] alerts is off: failure of report.load in {RUN}" in logged()

    def test_no_connection_is_needed_if_alerts_are_off(self, monkeypatch, logged):
        monkeypatch.setenv("AIRFLOW__CHATWORK__ALERTS", "off")
        called: list[Any] = []
        ChatworkNotifier("{{ 1 / 0 }}", chatwork_conn_id="nowhere", fallback=called.append)(failure_context())
        asyncio.run(
            _await(ChatworkNotifier(chatwork_conn_id="nowhere", fallback=called.append, context=failure_context()))
        )
        assert called == []
        assert "alert lost" not in logged()

    def test_an_invalid_setting_is_logged_and_ignored(self, sandbox, monkeypatch, logged):
        monkeypatch.setenv("AIRFLOW__CHATWORK__ALERTS", "yess")
        ChatworkNotifier(room_id=ROOM)(failure_context())
        assert len(posted(sandbox)) == 1
        log = logged()
        # As often as the message was posted: a line may be captured on two ways.
        times = log.count("Posted alert message") + log.count("was posted")
        assert log.count("[chatwork] alerts='yess'") == times > 0

    def test_an_invalid_setting_is_logged_once_from_an_event_loop(self, sandbox, monkeypatch, logged):
        monkeypatch.setenv("AIRFLOW__CHATWORK__ALERTS", "yess")
        asyncio.run(_await(ChatworkNotifier(room_id=ROOM, context=failure_context())))
        assert len(posted(sandbox)) == 1
        log = logged()
        # The log may contain each line twice: it is captured in two ways.
        assert log.count("[chatwork] alerts='yess'") == log.count("Posted alert message") > 0

    @pytest.mark.parametrize("mentions", ["0", "-1", [True], {"a": 1}, "{{ params.who }}"])
    def test_an_alert_with_invalid_mentions_is_sent(self, sandbox, mentions):
        ChatworkNotifier(room_id=ROOM, mentions=mentions)(failure_context(params={"who": 0}))
        [body] = posted(sandbox)
        assert "[To:" not in body
        assert "ルームに見つからない宛先" in body

    def test_the_room_of_the_setting_gets_all_alerts(self, sandbox, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CHATWORK__ALERTS", str(company.SALES_ROOM))
        ChatworkNotifier(room_id=ROOM, mentions="toall", lang="en")(failure_context())
        body = sandbox.messages(company.SALES_ROOM)[-1]["body"]
        assert "toall" not in body
        assert f"meant for: {ROOM}" in body

    def test_the_traceback_is_uploaded(self, sandbox):
        def load() -> None:
            raise ValueError("no rows")

        with pytest.raises(ValueError) as caught:  # noqa: PT011
            load()
        ChatworkNotifier(room_id=ROOM, attach_traceback=True, lang="en")(failure_context(exception=caught.value))
        file = sandbox.files(ROOM)[-1]
        assert file["filename"] == "report-load-3.txt"
        assert b"Traceback (most recent call last)" in sandbox.file_content(ROOM, file["file_id"])
        assert "Raised at: test_chatwork.py, line" in posted(sandbox)[0]

    def test_the_arguments_of_an_sla_callback_are_read(self, sandbox):
        late = [SimpleNamespace(task_id="load"), SimpleNamespace(task_id="tell")]
        ChatworkNotifier(room_id=ROOM, lang="en")(new_dag("report"), "load on 2026-11-01\ntell on ...", "", late, [])
        assert "[title]SLA missed: report[/title]" in posted(sandbox)[0]
        assert "Tasks: load, tell" in posted(sandbox)[0]

    def test_the_class_has_the_conventional_name(self):
        assert send_chatwork_notification is ChatworkNotifier

    def test_a_notifier_can_be_copied(self):
        notifier = ChatworkNotifier("x", routing=RoutingTable(routes=(Route(tag="a", room_id=1),)))
        assert copy.deepcopy(notifier).text == "x"

    def test_the_time_limit_ends_before_airflow_kills_the_callback(self):
        longest = conf.getfloat("core", "task_success_overtime", fallback=20.0)
        # What it takes to load the notifier and to read its connection comes on top.
        assert ChatworkNotifier().time_limit <= longest - 5

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ({"when": "never"}, "when"),
            ({"fold": "week"}, "fold"),
            ({"lang": "fr"}, "lang"),
            ({"severity": "fatal"}, "severity"),
            ({"time_limit": 0}, "time_limit"),
            ({"fold_window": -1}, "fold_window"),
        ],
    )
    def test_an_invalid_parameter_is_refused_when_the_dag_is_read(self, arguments, named):
        with pytest.raises(ChatworkParameterError, match=named):
            ChatworkNotifier(**arguments)


class TestAwait:
    def test_it_posts_from_an_event_loop(self, sandbox):
        asyncio.run(_await(ChatworkNotifier(room_id=ROOM, lang="en", context=failure_context())))
        assert "Task failed: load" in posted(sandbox)[0]

    def test_the_context_of_a_deadline_is_read(self, sandbox):
        # Airflow looks whether there is a parameter of that name.
        assert "context" in inspect.signature(ChatworkNotifier).parameters
        context: Any = {
            "dag_run": {"dag_id": "report", "dag_run_id": "r1", "state": "running"},
            "deadline": {"id": "1", "deadline_time": "2026-11-01T00:00:00+00:00"},
        }
        asyncio.run(_await(ChatworkNotifier("{{ dag_run.dag_run_id }} is late", ROOM, context=context)))
        asyncio.run(_await(ChatworkNotifier(room_id=ROOM, lang="en", context=context)))
        assert posted(sandbox)[0] == "r1 is late"
        assert "Deadline: 2026-11-01 09:00 (Asia/Tokyo)" in posted(sandbox)[1]

    def test_people_are_mentioned(self, sandbox):
        asyncio.run(_await(ChatworkNotifier(room_id=ROOM, mentions=company.YAMADA, context=failure_context())))
        assert posted(sandbox)[0].startswith(f"[To:{company.YAMADA}]")

    def test_an_error_is_logged_and_not_raised(self, sandbox, logged):
        asyncio.run(_await(ChatworkNotifier(room_id=company.PRIVATE_ROOM, context=failure_context())))
        assert f"Chatwork alert lost: failure of report.load in {RUN}: ChatworkForbiddenError" in logged()

    def test_a_missing_connection_of_a_deadline_is_explained(self, sandbox, logged):
        context: Any = {"dag_run": {"dag_id": "report"}, "deadline": {}}
        asyncio.run(_await(ChatworkNotifier(chatwork_conn_id="nowhere", room_id=ROOM, context=context)))
        assert "apache/airflow#63929: give the connection in an environment variable" in logged()

    def test_the_time_limit_ends_a_slow_post(self, sandbox, logged):
        sandbox.add_fault(Fault("delay", operation="post_message", seconds=0.5, times=None))
        asyncio.run(_await(ChatworkNotifier(room_id=ROOM, time_limit=0.1, context=failure_context())))
        assert "Chatwork alert lost" in logged()


async def _await(notifier: ChatworkNotifier) -> None:
    await notifier


# What can be wrong with Chatwork, and the reason that the log gives.
TROUBLES = {
    "down": (
        lambda sandbox: sandbox.add_fault(Fault("status", status=503, times=None)),
        {},
        "perhaps lost: .*ChatworkUnknownOutcomeError",
    ),
    "unreachable": (
        lambda sandbox: sandbox.add_fault(Fault("cut", times=None)),
        {},
        "perhaps lost: .*ChatworkUnknownOutcomeError",
    ),
    "slow": (
        lambda sandbox: sandbox.add_fault(Fault("delay", seconds=0.3, times=None)),
        {"time_limit": 0.1},
        "perhaps lost: .*ChatworkUnknownOutcomeError|the time limit is over",
    ),
    "too many requests": (
        lambda sandbox: setattr(sandbox, "limits", Limits(requests=0)),
        {},
        "ChatworkRateLimitError",
    ),
    "too many messages": (
        lambda sandbox: setattr(sandbox, "limits", Limits(posts=0)),
        {},
        "ChatworkRateLimitError",
    ),
    "revoked token": (lambda sandbox: sandbox.add_fault(Fault("status", status=401)), {}, "ChatworkAuthError"),
    "deleted room": (lambda sandbox: None, {"room_id": 1}, "ChatworkForbiddenError|ChatworkNotFoundError"),
    "no right to post": (lambda sandbox: None, {"room_id": company.PRIVATE_ROOM}, "ChatworkForbiddenError"),
    "no room": (lambda sandbox: None, {"room_id": None}, "room_id"),
    "no connection": (lambda sandbox: None, {"chatwork_conn_id": "nowhere"}, "nowhere"),
    "template": (lambda sandbox: None, {"text": "{{ 1 / 0 }}"}, "ZeroDivisionError"),
}


class TestLoss:
    @pytest.mark.parametrize("trouble", TROUBLES)
    def test_a_lost_alert_is_one_line_in_the_log(self, trouble, sandbox, logged, monkeypatch):
        counted: list[str] = []
        monkeypatch.setattr("airflow.providers.common.compat.sdk.Stats", SimpleNamespace(incr=counted.append))
        spoil, arguments, reason = TROUBLES[trouble]
        spoil(sandbox)  # type: ignore[no-untyped-call]
        ChatworkNotifier(**{"room_id": ROOM, **arguments})(failure_context())  # type: ignore[arg-type]
        lines = [line for line in logged().splitlines() if re.search("Chatwork alert (perhaps )?lost", line)]
        assert {re.search(r"failure of report.load in [^:]*: .*", line)[0] for line in lines}  # type: ignore[index]
        assert [line for line in lines if not re.search(reason, line)] == []
        assert counted == ["chatwork.alerts.lost"]
        assert sandbox.token not in str(lines)

    def test_a_sent_alert_is_counted(self, sandbox, monkeypatch):
        counted: list[str] = []
        monkeypatch.setattr("airflow.providers.common.compat.sdk.Stats", SimpleNamespace(incr=counted.append))
        ChatworkNotifier(room_id=ROOM)(failure_context())
        assert counted == ["chatwork.alerts.sent"]

    def test_the_fallback_is_called(self, sandbox, logged):
        fallback = ChatworkNotifier(room_id=ROOM, lang="en")
        ChatworkNotifier(room_id=company.PRIVATE_ROOM, fallback=fallback)(failure_context())
        assert "Task failed: load" in sandbox.messages(ROOM)[-1]["body"]
        assert "The fallback was called for the lost Chatwork alert" in logged()

    def test_a_failed_fallback_is_logged(self, sandbox, logged):
        def fail(context: Any) -> None:
            raise OSError("no mail server")

        ChatworkNotifier(room_id=company.PRIVATE_ROOM, fallback=fail)(failure_context())
        assert (
            f"The fallback of the lost Chatwork alert failed: failure of report.load in {RUN}: no mail server"
            in logged()
        )

    @pytest.mark.parametrize("context", [None, "x", [1], {"ti": 5, "dag": 7, "dag_run": "x", "exception": object()}])
    def test_any_context_is_logged(self, sandbox, context, logged):
        ChatworkNotifier(room_id=company.PRIVATE_ROOM)(context)
        assert "Chatwork alert lost" in logged()

    def test_the_log_contains_no_secret(self, sandbox, logged):
        secret = "s3cret-of-the-map-index"
        mask_secret(secret)
        ti = FakeTaskInstance(task_id=f"load {secret}", state="failed")
        ChatworkNotifier(room_id=company.PRIVATE_ROOM)(failure_context(ti=ti))
        assert secret not in logged()

    def test_the_error_is_raised_with_raise_on_error(self, sandbox):
        with pytest.raises(ChatworkForbiddenError):
            ChatworkNotifier(room_id=company.PRIVATE_ROOM, raise_on_error=True)(failure_context())


class Fail(BaseOperator):
    """Fails, and says which one it was."""

    def execute(self, context: Any) -> None:
        raise ValueError(f"{self.task_id} [toall]")


class TestInADag:
    def test_one_message_reports_all_failures(self, db, sandbox, monkeypatch, tmp_path):
        notifier = ChatworkNotifier(room_id=ROOM, lang="en")
        with new_dag("failing", default_args={"on_failure_callback": notifier}) as dag:
            for name in ("one", "two", "three"):
                Fail(task_id=name)
        run_dag(dag, monkeypatch, tmp_path)
        assert [request.operation for request in sandbox.requests] == ["post_message", "edit_message", "edit_message"]
        body = sandbox.messages(ROOM)[-1]["body"]
        assert "3 tasks failed: failing" in body
        for name in ("one", "two", "three"):
            # `dag.test()` of Airflow 3.0 to 3.2 does not pass the error; a worker does.
            assert (
                f"・{name}" if (3, 0) <= VERSION < (3, 3) else f"・{name}: ValueError: {name} [\u200btoall]"
            ) in body
        assert "[toall]" not in body

    def test_the_text_of_every_task_is_shown(self, db, sandbox, monkeypatch, tmp_path):
        notifier = ChatworkNotifier("{{ ti.task_id }} は失敗", ROOM)
        with new_dag("own_words", default_args={"on_failure_callback": notifier}) as dag:
            for at in range(7):
                Fail(task_id=f"t{at}")
        run_dag(dag, monkeypatch, tmp_path)
        lines = sandbox.messages(ROOM)[-1]["body"].splitlines()
        assert len(lines) == 6
        assert all(re.fullmatch(r"t\d は失敗", line) for line in lines[:5])
        assert len({*re.findall(r"t\d", "".join(lines))}) == 7
