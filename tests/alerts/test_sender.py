from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_chatwork.alerts.destination import AlertsSetting
from airflow_provider_chatwork.alerts.event import EventKind
from airflow_provider_chatwork.alerts.routing import Route, RoutingTable
from airflow_provider_chatwork.alerts.texts import alert_catalog
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.notation import safe
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.utils.business_hours import QuietHours
from tests.airflow_helpers import connect
from tests.alerts.in_memory_airflow import RUN, InMemoryAlertStore, failure, run_failure, run_success

EN = alert_catalog("en").text
YAMADA = "[To:1001002] 山田 太郎"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Any:
    """What was logged so far."""
    caplog.set_level(logging.INFO)
    return lambda: caplog.text


class TestTell:
    def test_posts_a_failure_and_returns_its_message(self, scenario):
        message_id = scenario.send(failure())
        assert [*scenario.messages()] == [message_id]
        assert EN("failure", name="load") in scenario.text
        assert "ValueError: no rows" in scenario.text

    def test_edits_the_message_for_what_fails_next(self, scenario):
        first = scenario.send(failure("load"))
        assert scenario.send(failure("clean")) == first
        assert scenario.calls == ["post_message", "edit_message"]
        assert EN("many_failed", count=2, dag="report") in scenario.text

    def test_says_nothing_twice_whoever_says_it(self, scenario, logged):
        first = scenario.send(failure())
        lost_sight = scenario.airflow.store(in_task=False)
        assert scenario.send(failure(error=None), store=lost_sight) == first
        assert scenario.calls == ["post_message"]
        assert f"Alert message {first} in room {company.DATA_ROOM} already reports it" in logged()

    def test_says_nothing_of_what_has_succeeded_meanwhile(self, scenario, logged):
        store = scenario.airflow.store(in_task=False)
        assert scenario.send(failure(error=None), state="success", store=store) is None
        assert scenario.calls == []
        assert "No alert was sent: the task has succeeded meanwhile: failure of report.load" in logged()

    @pytest.mark.parametrize("state", ["up_for_retry", "queued", "scheduled", "restarting", "deferred"])
    def test_tells_as_a_retry_what_will_be_tried_again(self, scenario, state, logged):
        store = scenario.airflow.store(in_task=False)
        scenario.send(failure(error=None), state=state, store=store, mentions=company.YAMADA)
        assert EN("retry", at="1 of 1", name="load") in scenario.text
        assert "[To:" not in scenario.text
        assert "Sending the alert as a retry, as Airflow will retry the task: failure of report.load" in logged()

    @pytest.mark.parametrize(
        ("state", "tries", "title"),
        [
            ("running", 3, EN("retry", at="1 of 3", name="load")),
            ("running", 1, EN("failure", name="load")),
            ("failed", 3, EN("failure", name="load")),
        ],
    )
    def test_goes_by_the_tries_where_the_state_may_be_behind(self, scenario, state, tries, title):
        store = scenario.airflow.store(in_task=False)
        scenario.send(failure(error=None, tries=tries), state=state, store=store)
        assert title in scenario.text

    @pytest.mark.parametrize(
        ("in_task", "has_exception"), [(True, False), (False, True)], ids=["its process", "the error itself"]
    )
    def test_believes_who_saw_it(self, scenario, in_task, has_exception):
        store = scenario.airflow.store(in_task=in_task)
        scenario.send(failure(has_exception=has_exception, tries=3), state="up_for_retry", store=store)
        assert EN("failure", name="load") in scenario.text

    @pytest.mark.parametrize(
        ("tries", "title"), [(3, EN("retry", at="1 of 3", name="load")), (1, EN("failure", name="load"))]
    )
    def test_goes_by_the_tries_where_no_state_can_be_asked_for(self, scenario, tries, title):
        store = scenario.airflow.store(in_task=False, knows_states=False)
        scenario.send(failure(error=None, tries=tries), store=store)
        assert title in scenario.text

    def test_says_that_airflow_lost_sight_of_a_task(self, scenario):
        scenario.send(failure(error=None), store=scenario.airflow.store(in_task=False))
        assert EN("killed") in scenario.text

    def test_tells_where_the_states_cannot_be_asked_for(self, scenario, logged):
        store = scenario.airflow.store(in_task=False, failing=frozenset({"states"}))
        scenario.send(failure(), store=store)
        assert EN("failure", name="load") in scenario.text
        assert (
            f"Could not check whether failure of report.load in {RUN} still failed: states is out of order" in logged()
        )

    def test_says_nothing_of_a_failed_run_whose_tasks_have_all_succeeded(self, scenario, logged):
        scenario.airflow.states[RUN] = {("load", -1): "success", ("clean", -1): "skipped"}
        assert scenario.send(run_failure(), store=scenario.airflow.store(in_task=False)) is None
        assert scenario.calls == []
        assert f"No alert was sent: all tasks of the run have succeeded: run_failure of report in {RUN}" in logged()

    def test_tells_of_a_failed_run_with_a_failed_task(self, scenario):
        scenario.airflow.states[RUN] = {("load", -1): "success", ("clean", -1): "failed"}
        scenario.send(run_failure(), store=scenario.airflow.store(in_task=False))
        assert EN("run_failure", dag="report") in scenario.text
        assert "clean" in scenario.text

    def test_tells_of_a_run_that_timed_out_with_only_skipped_tasks(self, scenario):
        scenario.airflow.states[RUN] = {("load", -1): "skipped"}
        scenario.send(run_failure(reason="timed_out"), store=scenario.airflow.store(in_task=False))
        assert f"{EN('reason')}: timed_out" in scenario.text

    @pytest.mark.parametrize(
        "event", [failure(kind=EventKind.SUCCESS), run_success()], ids=lambda event: event.kind.value
    )
    def test_asks_chatwork_nothing_for_a_success_without_a_text(self, scenario, event):
        assert scenario.send(event) is None
        assert scenario.calls == []

    def test_asks_nobody_for_a_success_without_a_text_or_a_ledger(self, scenario):
        assert scenario.sender(run_success()).send() is None
        assert scenario.calls == []

    def test_ends_an_alert_with_a_success_that_has_a_text_too(self, scenario):
        scenario.send(failure())
        scenario.send(run_success(run_id="scheduled__2026-11-02"), text="done")
        assert scenario.calls == ["post_message", "edit_message", "get_me", "post_message", "post_message"]
        assert scenario.posted[-1] == "done"

    @pytest.mark.parametrize(
        "event", [failure(kind=EventKind.SUCCESS), run_success()], ids=lambda event: event.kind.value
    )
    def test_posts_the_text_for_a_success(self, scenario, event):
        scenario.send(event, text="日次レポートができました")
        assert scenario.posted == ["日次レポートができました"]

    def test_posts_a_message_of_its_own_without_a_ledger(self, scenario):
        scenario.sender(failure()).send()
        scenario.sender(failure("clean")).send()
        assert scenario.calls == ["post_message", "post_message"]

    @pytest.mark.parametrize("method", ["states", "save_failure", "load"])
    def test_posts_a_message_of_its_own_where_airflow_cannot_be_asked(self, scenario, method, logged):
        store = scenario.airflow.store(failing=frozenset({method}))
        assert scenario.send(failure(), store=store) in scenario.messages()
        assert scenario.calls == ["post_message"]
        assert f"Posting a separate alert message, as Airflow's store failed: {method} is out of order" in logged()

    def test_posts_once_where_airflow_keeps_nothing(self, scenario, logged):
        scenario.send(failure(), store=scenario.airflow.store(failing={"save"}))
        assert scenario.calls == ["post_message"]
        assert f"Alert for run {RUN} was posted, but its last update may be missing: save is out of order" in logged()

    def test_posts_once_where_airflow_forgets_without_a_word(self, scenario):
        scenario.send(failure(), store=scenario.airflow.store(loses_saved=True))
        assert scenario.calls == ["post_message"]

    def test_raises_what_chatwork_says(self, scenario):
        scenario.sandbox.add_fault(Fault("status", status=503, times=None))
        with pytest.raises(ChatworkError):
            scenario.send(failure())


class TestFold:
    def test_puts_a_run_into_one_message(self, scenario):
        scenario.send(failure("load"))
        scenario.send(failure("load", run_id="scheduled__2026-11-02"))
        scenario.send(failure("clean"))
        assert scenario.calls == ["post_message", "post_message", "edit_message"]

    def test_puts_the_runs_of_a_dag_within_the_window_into_one_message(self, scenario):
        for day in (1, 2):
            scenario.send(failure(run_id=f"scheduled__2026-11-0{day}"), fold="dag", fold_window=3600.0)
        assert len(scenario.posted) == 1
        assert EN("runs_failed", runs=2, dag="report") in scenario.text

    def test_begins_a_new_message_after_the_window(self, scenario):
        scenario.send(failure(), fold="dag", fold_window=3600.0)
        scenario.clock.sleep(3601)
        scenario.send(failure("clean"), fold="dag", fold_window=3600.0)
        assert len(scenario.posted) == 2

    def test_posts_each_failure_on_its_own(self, scenario):
        for task_id in ("load", "clean"):
            scenario.send(failure(task_id), fold="none")
        assert scenario.calls == ["post_message", "post_message"]

    def test_posts_a_failure_on_its_own_once_whoever_says_it(self, scenario):
        first = scenario.send(failure(), fold="none")
        lost_sight = scenario.airflow.store(in_task=False)
        assert scenario.send(failure(error=None), fold="none", store=lost_sight) == first
        assert scenario.calls == ["post_message"]

    def test_posts_a_failure_on_its_own_once_where_airflow_does_not_keep_it(self, scenario):
        store = scenario.airflow.store(failing=frozenset({"save"}))
        scenario.send(failure(), fold="none", store=store)
        assert scenario.calls == ["post_message"]

    def test_keeps_messages_of_different_rooms_apart(self, scenario):
        scenario.send(failure())
        scenario.send(failure(), room_id=company.SALES_ROOM)
        assert len(scenario.messages()) == len(scenario.messages(company.SALES_ROOM)) == 1

    def test_puts_the_author_s_text_in_the_place_of_its_own(self, scenario):
        scenario.send(failure("load"), text="読込の手順書を見てください")
        assert scenario.text == "読込の手順書を見てください"
        scenario.send(failure("clean"), text="清掃の手順書を見てください")
        assert "読込の手順書を見てください" in scenario.text
        assert "清掃の手順書を見てください" in scenario.text

    def test_keeps_the_author_s_text_out_of_the_message_in_another_room(self, scenario):
        scenario.send(failure("load"), text="in words of one room")
        scenario.send(run_failure(), room_id=company.SALES_ROOM)
        [told] = scenario.messages(company.SALES_ROOM).values()
        assert "in words of one room" not in told
        assert "load: ValueError: no rows" in told


class TestWhen:
    def test_calls_nobody_for_a_retry(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2), mentions=company.YAMADA)
        assert "[To:" not in scenario.text

    def test_rings_for_a_retry_where_every_failure_is_to_ring(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2), mentions=company.YAMADA, when="every")
        assert f"[To:{company.YAMADA}]" in scenario.text

    def test_replaces_a_message_of_retries_by_one_that_rings(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2), mentions=company.YAMADA)
        scenario.send(failure(try_number=2, tries=2), mentions=company.YAMADA)
        assert scenario.calls == ["post_message", "post_message", "delete_message"]
        assert f"[To:{company.YAMADA}]" in [*scenario.messages().values()][-1]


class TestMentions:
    def test_looks_people_up_only_for_a_message_that_rings(self, scenario):
        for task_id in ("load", "clean"):
            scenario.send(failure(task_id), mentions="山田太郎")
        assert scenario.calls == ["list_members", "post_message", "edit_message"]
        assert scenario.text.startswith(f"{YAMADA}\n")

    def test_looks_nobody_up_for_a_retry(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2), mentions="山田太郎")
        assert scenario.calls == ["post_message"]

    def test_looks_nobody_up_for_an_id(self, scenario):
        scenario.send(failure(), mentions=company.YAMADA)
        assert scenario.calls == ["post_message"]

    def test_calls_the_owners(self, scenario):
        scenario.send(failure(owners=("aozora-yamada",)), mentions="owner")
        assert scenario.text.startswith(f"{YAMADA}\n")

    def test_names_whom_it_does_not_find(self, scenario):
        scenario.send(failure(), mentions=["山田太郎", "田中[toall]"])
        # What is named is no notation any more.
        unknown = EN("unknown_people", names="田中[\u200btoall]")
        assert scenario.text.startswith(f"{YAMADA}\n{unknown}\n")

    def test_tells_where_nobody_can_be_looked_up(self, scenario):
        scenario.sandbox.add_fault(Fault("status", operation="list_members", status=403))
        scenario.send(failure(), mentions="山田太郎")
        assert scenario.text.startswith(f"{EN('people_not_looked_up', names='山田太郎')}\n")
        assert EN("failure", name="load") in scenario.text


class TestSending:
    def test_makes_a_moved_alert_s_room_harmless(self, scenario):
        setting = AlertsSetting(room_id=scenario.room_id)
        scenario.send(failure(), room_id="[toall]", fold="none", setting=setting)
        assert "[toall]" not in scenario.text

    def test_calls_nobody_for_good_news(self, scenario):
        scenario.send(run_success(), text="done", mentions="toall")
        assert scenario.posted == ["done"]

    def test_ends_an_alert_also_where_the_table_drops_good_news(self, scenario):
        table = RoutingTable(routes=(Route(severity="error"), Route(send=False)))
        scenario.send(failure(), table=table)
        scenario.send(run_success(run_id="scheduled__2026-11-02"), table=table)
        assert scenario.calls == ["post_message", "edit_message", "get_me", "post_message"]

    def test_gives_each_failure_its_own_message_once_with_fold_none(self, scenario):
        for name in ("a", "b", "a"):
            scenario.send(failure(name), fold="none")
        assert scenario.calls == ["post_message", "post_message"]


class TestRouting:
    def test_sends_to_another_room_in_another_language(self, scenario):
        table = RoutingTable(routes=(Route(severity="error", room_id=company.SALES_ROOM, lang="ja"),))
        scenario.send(failure(), table=table)
        assert scenario.messages() == {}
        assert alert_catalog("ja").text("failure", name="load") in scenario.text_in(company.SALES_ROOM)

    def test_sends_through_another_connection(self, scenario, monkeypatch):
        scenario.sandbox.add_token("another", company.YAMADA)
        connect(monkeypatch, scenario.sandbox, conn_id="another", token="another")
        scenario.send(failure(), table=RoutingTable(routes=(Route(chatwork_conn_id="another"),)))
        assert [request.account_id for request in scenario.sandbox.requests] == [company.YAMADA]
        assert [board.chatwork_conn_id for board in scenario.states()] == ["another"]

    def test_goes_by_the_severity_that_the_author_gives(self, scenario):
        table = RoutingTable(routes=(Route(severity="critical", room_id=company.SALES_ROOM),))
        scenario.send(failure("load"), table=table)
        scenario.send(failure("clean"), table=table, severity="critical")
        assert "load" in scenario.text
        assert "clean" in scenario.text_in(company.SALES_ROOM)

    def test_calls_nobody_in_quiet_hours_and_says_so(self, scenario):
        hours = QuietHours(start="00:00", end="23:59", below="critical")
        scenario.send(failure(), table=RoutingTable(quiet_hours=hours), mentions="山田太郎")
        assert scenario.calls == ["post_message"]
        assert scenario.text.endswith(EN("quiet"))

    def test_calls_people_for_what_is_too_bad_to_be_quiet(self, scenario):
        hours = QuietHours(start="00:00", end="23:59", below="error")
        scenario.send(failure(), table=RoutingTable(quiet_hours=hours), mentions="山田太郎")
        assert scenario.text.startswith(f"{YAMADA}\n")

    def test_sends_everything_to_the_room_of_the_switch(self, scenario):
        scenario.send(failure(), setting=AlertsSetting(room_id=company.SALES_ROOM), mentions="山田太郎")
        assert scenario.calls == ["post_message"]
        text = scenario.text_in(company.SALES_ROOM)
        assert EN("moved", switch=safe("[chatwork] alerts"), room=company.DATA_ROOM) in text
        assert "[To:" not in text


class TestAttach:
    def test_adds_the_whole_traceback(self, scenario):
        scenario.send(failure(traceback="Traceback\n  in load\nValueError: no rows"), attach_traceback=True)
        assert scenario.calls == ["post_message", "upload_file"]
        [*_, file] = scenario.sandbox.files(company.DATA_ROOM)
        assert file["filename"] == "report-load-1.txt"
        content = scenario.sandbox.file_content(company.DATA_ROOM, file["file_id"])
        assert content == b"Traceback\n  in load\nValueError: no rows"

    def test_adds_it_to_a_message_of_its_own(self, scenario):
        scenario.send(failure(traceback="x"), attach_traceback=True, fold="none")
        assert scenario.calls == ["post_message", "upload_file"]

    def test_adds_those_that_are_told_in_detail_and_no_more(self, scenario):
        for at in range(7):
            scenario.send(failure(f"load{at}", traceback="x"), attach_traceback=True)
        assert scenario.calls.count("upload_file") == 5

    @pytest.mark.parametrize(
        ("wanted", "traceback"), [(False, "x"), (True, None)], ids=["not wanted", "without a traceback"]
    )
    def test_adds_nothing(self, scenario, wanted, traceback):
        scenario.send(failure(traceback=traceback), attach_traceback=wanted)
        assert scenario.calls == ["post_message"]

    def test_loses_nothing_where_it_fails(self, scenario, logged):
        scenario.sandbox.add_fault(Fault("status", operation="upload_file", status=413, times=None))
        assert scenario.send(failure(traceback="x"), attach_traceback=True) in scenario.messages()
        assert "Could not attach the traceback of failure of report.load" in logged()


class TestRefresh:
    def test_brings_the_message_up_to_date_when_a_task_succeeds_after_all(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2))
        scenario.send(failure(kind=EventKind.SUCCESS, try_number=2, tries=2))
        assert scenario.calls == ["post_message", "edit_message"]
        assert EN("mended") in scenario.text

    @pytest.mark.parametrize("pause", [1, 2], ids=["before it writes", "after it has written"])
    def test_leaves_the_message_to_the_recovery_of_the_whole_dag(self, scenario, logged, pause):
        message_id = scenario.send(failure(kind=EventKind.RETRY, tries=2))
        scenario.airflow.states[RUN] = {("load", -1): "success"}
        sender = scenario.sender(failure(kind=EventKind.SUCCESS, try_number=2, tries=2), store=scenario.airflow.store())
        pauses = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == pause:
                scenario.send(run_success())

        sender.sleep = sleep
        sender.send()
        assert len(pauses) == pause
        assert [*scenario.messages()] == [message_id]
        assert scenario.text.startswith(EN("recovered", at=""))
        assert scenario.airflow.variables == {}
        assert "its last update may be missing" not in logged()

    def test_keeps_nothing_of_a_dag_that_recovers_while_it_writes(self, scenario, logged):
        message_id = scenario.send(failure(kind=EventKind.RETRY, tries=2))

        class Slow(InMemoryAlertStore):
            def states(self) -> Any:
                found = super().states()
                scenario.send(run_success())
                return found

        scenario.send(failure(kind=EventKind.SUCCESS, try_number=2, tries=2), store=Slow(scenario.airflow, RUN))
        assert [*scenario.messages()] == [message_id]
        assert EN("mended") in scenario.text
        assert scenario.airflow.variables == {}
        assert "its last update may be missing" not in logged()

    def test_takes_a_retry_back_that_has_succeeded_before_it_was_told(self, scenario, logged):
        message_id = scenario.send(failure(kind=EventKind.RETRY, tries=2), state="success")
        assert scenario.calls == ["post_message", "edit_message"]
        assert [*scenario.messages()] == [message_id]
        assert EN("mended") in scenario.text
        assert "Edited the alert message, as the retry has succeeded: retry of report.load" in logged()

    def test_leaves_a_retry_that_is_still_to_come(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2))
        assert scenario.calls == ["post_message"]

    def test_has_told_a_retry_also_where_it_cannot_be_taken_back(self, scenario, logged):
        scenario.sandbox.add_fault(Fault("status", operation="edit_message", status=403))
        message_id = scenario.send(failure(kind=EventKind.RETRY, tries=2), state="success")
        assert [*scenario.messages()] == [message_id]
        assert "Could not check whether the retry has succeeded: retry of report.load" in logged()

    def test_asks_chatwork_nothing_where_the_task_was_never_told_of(self, scenario):
        scenario.send(failure("load"))
        scenario.send(failure("clean", kind=EventKind.SUCCESS))
        assert scenario.calls == ["post_message"]

    def test_warns_where_airflow_cannot_be_asked(self, scenario, logged):
        store = scenario.airflow.store(failing=frozenset({"load"}))
        assert scenario.send(failure(kind=EventKind.SUCCESS), store=store) is None
        assert "Could not check for open alerts of DAG report: load is out of order" in logged()


class TestTime:
    def test_notes_when_it_happened(self, scenario):
        scenario.send(failure())
        scenario.clock.sleep(timedelta(minutes=5).total_seconds())
        [board] = scenario.states()
        assert scenario.clock() - board.opened_at == pytest.approx(300, abs=5)
