from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_chatwork.alerts.destination import AlertsSetting
from airflow_provider_chatwork.alerts.event import EventKind
from airflow_provider_chatwork.alerts.formatter import AlertFormatter
from airflow_provider_chatwork.alerts.routing import QuietHours, Route, RoutingTable
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.notation import safe
from airflow_provider_chatwork.sandbox import Fault, company
from tests.airflow_helpers import connect
from tests.alerts.in_memory_airflow import RUN, InMemoryAlertStore, failure, run_failure, run_success

EN = AlertFormatter("en", "UTC").catalog.text
YAMADA = "[To:1001002] 山田 太郎"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Any:
    """What was logged so far."""
    caplog.set_level(logging.INFO)
    return lambda: caplog.text


class TestSend:
    def test_a_failure_is_posted_and_its_message_id_returned(self, scenario):
        message_id = scenario.send(failure())
        assert [*scenario.messages()] == [message_id]
        assert EN("failure", name="load") in scenario.text
        assert "ValueError: no rows" in scenario.text

    def test_the_next_failure_is_an_edit(self, scenario):
        first = scenario.send(failure("load"))
        assert scenario.send(failure("clean")) == first
        assert scenario.calls == ["post_message", "edit_message"]
        assert EN("many_failed", count=2, dag="report") in scenario.text

    def test_another_process_does_not_report_the_failure_again(self, scenario, logged):
        first = scenario.send(failure())
        lost_sight = scenario.airflow.store(in_task=False)
        assert scenario.send(failure(error=None), store=lost_sight) == first
        assert scenario.calls == ["post_message"]
        assert f"Alert message {first} in room {company.DATA_ROOM} already reports it" in logged()

    def test_a_task_that_has_succeeded_meanwhile_is_not_reported(self, scenario, logged):
        store = scenario.airflow.store(in_task=False)
        assert scenario.send(failure(error=None), state="success", store=store) is None
        assert scenario.calls == []
        assert "No alert was sent: the task has succeeded meanwhile: failure of report.load" in logged()

    @pytest.mark.parametrize("state", ["up_for_retry", "queued", "scheduled", "restarting", "deferred"])
    def test_a_task_that_will_run_again_is_reported_as_a_retry(self, scenario, state, logged):
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
    def test_the_tries_decide_if_the_state_may_be_out_of_date(self, scenario, state, tries, title):
        store = scenario.airflow.store(in_task=False)
        scenario.send(failure(error=None, tries=tries), state=state, store=store)
        assert title in scenario.text

    @pytest.mark.parametrize(
        ("in_task", "has_exception"), [(True, False), (False, True)], ids=["its process", "the error itself"]
    )
    def test_the_process_of_the_task_and_an_exception_are_trusted(self, scenario, in_task, has_exception):
        store = scenario.airflow.store(in_task=in_task)
        scenario.send(failure(has_exception=has_exception, tries=3), state="up_for_retry", store=store)
        assert EN("failure", name="load") in scenario.text

    @pytest.mark.parametrize(
        ("tries", "title"), [(3, EN("retry", at="1 of 3", name="load")), (1, EN("failure", name="load"))]
    )
    def test_the_tries_decide_if_the_states_are_unknown(self, scenario, tries, title):
        store = scenario.airflow.store(in_task=False, knows_states=False)
        scenario.send(failure(error=None, tries=tries), store=store)
        assert title in scenario.text

    def test_a_lost_worker_is_reported(self, scenario):
        scenario.send(failure(error=None), store=scenario.airflow.store(in_task=False))
        assert EN("killed") in scenario.text

    def test_a_failure_is_reported_if_the_states_cannot_be_read(self, scenario, logged):
        store = scenario.airflow.store(in_task=False, failing=frozenset({"states"}))
        scenario.send(failure(), store=store)
        assert EN("failure", name="load") in scenario.text
        assert (
            f"Could not check whether failure of report.load in {RUN} still failed: states is out of order" in logged()
        )

    def test_a_failed_run_whose_tasks_have_all_succeeded_is_not_reported(self, scenario, logged):
        scenario.airflow.states[RUN] = {("load", -1): "success", ("clean", -1): "skipped"}
        assert scenario.send(run_failure(), store=scenario.airflow.store(in_task=False)) is None
        assert scenario.calls == []
        assert f"No alert was sent: all tasks of the run have succeeded: run_failure of report in {RUN}" in logged()

    def test_a_failed_run_with_a_failed_task_is_reported(self, scenario):
        scenario.airflow.states[RUN] = {("load", -1): "success", ("clean", -1): "failed"}
        scenario.send(run_failure(), store=scenario.airflow.store(in_task=False))
        assert EN("run_failure", dag="report") in scenario.text
        assert "clean" in scenario.text

    def test_a_timed_out_run_with_only_skipped_tasks_is_reported(self, scenario):
        scenario.airflow.states[RUN] = {("load", -1): "skipped"}
        scenario.send(run_failure(reason="timed_out"), store=scenario.airflow.store(in_task=False))
        assert f"{EN('reason')}: timed_out" in scenario.text

    @pytest.mark.parametrize(
        "event", [failure(kind=EventKind.SUCCESS), run_success()], ids=lambda event: event.kind.value
    )
    def test_a_success_without_a_text_needs_no_request(self, scenario, event):
        assert scenario.send(event) is None
        assert scenario.calls == []

    def test_a_success_without_a_text_and_a_store_needs_no_request(self, scenario):
        assert scenario.sender(run_success()).send() is None
        assert scenario.calls == []

    def test_a_success_with_a_text_resolves_alerts_as_well(self, scenario):
        scenario.send(failure())
        scenario.send(run_success(run_id="scheduled__2026-11-02"), text="done")
        assert scenario.calls == ["post_message", "edit_message", "get_me", "post_message", "post_message"]
        assert scenario.posted[-1] == "done"

    @pytest.mark.parametrize(
        "event", [failure(kind=EventKind.SUCCESS), run_success()], ids=lambda event: event.kind.value
    )
    def test_the_text_is_posted_for_a_success(self, scenario, event):
        scenario.send(event, text="日次レポートができました")
        assert scenario.posted == ["日次レポートができました"]

    def test_without_a_store_each_failure_is_a_separate_message(self, scenario):
        scenario.sender(failure()).send()
        scenario.sender(failure("clean")).send()
        assert scenario.calls == ["post_message", "post_message"]

    @pytest.mark.parametrize("method", ["states", "save_failure", "load"])
    def test_a_store_error_leads_to_a_separate_message(self, scenario, method, logged):
        store = scenario.airflow.store(failing=frozenset({method}))
        assert scenario.send(failure(), store=store) in scenario.messages()
        assert scenario.calls == ["post_message"]
        assert f"as Airflow's store failed: {method} is out of order" in logged()

    def test_a_failed_save_does_not_post_twice(self, scenario, logged):
        scenario.send(failure(), store=scenario.airflow.store(failing={"save"}))
        assert scenario.calls == ["post_message"]
        assert (
            "will not be resolved when the DAG succeeds, as Airflow did not store it: save is out of order" in logged()
        )

    def test_a_lost_save_does_not_post_twice(self, scenario):
        scenario.send(failure(), store=scenario.airflow.store(loses_saved=True))
        assert scenario.calls == ["post_message"]

    def test_the_error_of_chatwork_is_raised(self, scenario):
        scenario.sandbox.add_fault(Fault("status", status=503, times=None))
        with pytest.raises(ChatworkError):
            scenario.send(failure())


class TestFold:
    def test_one_message_reports_a_run(self, scenario):
        scenario.send(failure("load"))
        scenario.send(failure("load", run_id="scheduled__2026-11-02"))
        scenario.send(failure("clean"))
        assert scenario.calls == ["post_message", "post_message", "edit_message"]

    def test_one_message_reports_the_runs_of_a_dag_within_the_window(self, scenario):
        for day in (1, 2):
            scenario.send(failure(run_id=f"scheduled__2026-11-0{day}"), fold="dag", fold_window=3600.0)
        assert len(scenario.posted) == 1
        assert EN("runs_failed", runs=2, dag="report") in scenario.text

    def test_a_new_message_is_posted_after_the_window(self, scenario):
        scenario.send(failure(), fold="dag", fold_window=3600.0)
        scenario.clock.sleep(3601)
        scenario.send(failure("clean"), fold="dag", fold_window=3600.0)
        assert len(scenario.posted) == 2

    def test_fold_none_posts_each_failure(self, scenario):
        for task_id in ("load", "clean"):
            scenario.send(failure(task_id), fold="none")
        assert scenario.calls == ["post_message", "post_message"]

    def test_fold_none_posts_a_failure_once(self, scenario):
        first = scenario.send(failure(), fold="none")
        lost_sight = scenario.airflow.store(in_task=False)
        assert scenario.send(failure(error=None), fold="none", store=lost_sight) == first
        assert scenario.calls == ["post_message"]

    def test_fold_none_posts_a_failure_once_if_it_cannot_be_saved(self, scenario):
        store = scenario.airflow.store(failing=frozenset({"save"}))
        scenario.send(failure(), fold="none", store=store)
        assert scenario.calls == ["post_message"]

    def test_each_room_has_its_own_message(self, scenario):
        scenario.send(failure())
        scenario.send(failure(), room_id=company.SALES_ROOM)
        assert len(scenario.messages()) == len(scenario.messages(company.SALES_ROOM)) == 1

    def test_the_authors_text_replaces_the_text_of_the_package(self, scenario):
        scenario.send(failure("load"), text="読込の手順書を見てください")
        assert scenario.text == "読込の手順書を見てください"
        scenario.send(failure("clean"), text="清掃の手順書を見てください")
        assert "読込の手順書を見てください" in scenario.text
        assert "清掃の手順書を見てください" in scenario.text

    def test_the_authors_text_stays_out_of_another_room(self, scenario):
        scenario.send(failure("load"), text="the text of one room")
        scenario.send(run_failure(), room_id=company.SALES_ROOM)
        [text] = scenario.messages(company.SALES_ROOM).values()
        assert "the text of one room" not in text
        assert "load: ValueError: no rows" in text


class TestWhen:
    def test_a_retry_mentions_nobody(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2), mentions=company.YAMADA)
        assert "[To:" not in scenario.text

    def test_a_retry_mentions_people_with_when_every(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2), mentions=company.YAMADA, when="every")
        assert f"[To:{company.YAMADA}]" in scenario.text

    def test_a_final_failure_replaces_the_message_about_a_retry(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2), mentions=company.YAMADA)
        scenario.send(failure(try_number=2, tries=2), mentions=company.YAMADA)
        assert scenario.calls == ["post_message", "post_message", "delete_message"]
        assert f"[To:{company.YAMADA}]" in [*scenario.messages().values()][-1]


class TestMentions:
    def test_members_are_read_only_for_a_message_with_mentions(self, scenario):
        for task_id in ("load", "clean"):
            scenario.send(failure(task_id), mentions="山田太郎")
        assert scenario.calls == ["list_members", "post_message", "edit_message"]
        assert scenario.text.startswith(f"{YAMADA}\n")

    def test_members_are_not_read_for_a_retry(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2), mentions="山田太郎")
        assert scenario.calls == ["post_message"]

    def test_members_are_not_read_for_an_id(self, scenario):
        scenario.send(failure(), mentions=company.YAMADA)
        assert scenario.calls == ["post_message"]

    def test_the_owners_are_mentioned(self, scenario):
        scenario.send(failure(owners=("aozora-yamada",)), mentions="owner")
        assert scenario.text.startswith(f"{YAMADA}\n")

    def test_unknown_names_are_shown(self, scenario):
        scenario.send(failure(), mentions=["山田太郎", "田中[toall]"])
        # What is named is no notation any more.
        unknown = EN("unknown_people", names="田中[\u200btoall]")
        assert scenario.text.startswith(f"{YAMADA}\n{unknown}\n")

    def test_names_are_shown_if_the_members_cannot_be_read(self, scenario):
        scenario.sandbox.add_fault(Fault("status", operation="list_members", status=403))
        scenario.send(failure(), mentions="山田太郎")
        assert scenario.text.startswith(f"{EN('people_not_looked_up', names='山田太郎')}\n")
        assert EN("failure", name="load") in scenario.text


class TestSending:
    def test_the_original_room_in_the_note_is_not_notation(self, scenario):
        setting = AlertsSetting(room_id=scenario.room_id)
        scenario.send(failure(), room_id="[toall]", fold="none", setting=setting)
        assert "[toall]" not in scenario.text

    def test_a_success_mentions_nobody(self, scenario):
        scenario.send(run_success(), text="done", mentions="toall")
        assert scenario.posted == ["done"]

    def test_an_alert_is_resolved_even_if_the_table_drops_successes(self, scenario):
        table = RoutingTable(routes=(Route(severity="error"), Route(send=False)))
        scenario.send(failure(), table=table)
        scenario.send(run_success(run_id="scheduled__2026-11-02"), table=table)
        assert scenario.calls == ["post_message", "edit_message", "get_me", "post_message"]

    def test_fold_none_posts_two_failures_once_each(self, scenario):
        for name in ("a", "b", "a"):
            scenario.send(failure(name), fold="none")
        assert scenario.calls == ["post_message", "post_message"]


class TestRouting:
    def test_a_route_sets_the_room_and_the_language(self, scenario):
        table = RoutingTable(routes=(Route(severity="error", room_id=company.SALES_ROOM, lang="ja"),))
        scenario.send(failure(), table=table)
        assert scenario.messages() == {}
        assert AlertFormatter("ja", "UTC").catalog.text("failure", name="load") in scenario.text_in(company.SALES_ROOM)

    def test_a_route_sets_the_connection(self, scenario, monkeypatch):
        scenario.sandbox.add_token("another", company.YAMADA)
        connect(monkeypatch, scenario.sandbox, conn_id="another", token="another")
        scenario.send(failure(), table=RoutingTable(routes=(Route(chatwork_conn_id="another"),)))
        assert [request.account_id for request in scenario.sandbox.requests] == [company.YAMADA]
        assert [state.chatwork_conn_id for state in scenario.states()] == ["another"]

    def test_a_route_matches_the_authors_severity(self, scenario):
        table = RoutingTable(routes=(Route(severity="critical", room_id=company.SALES_ROOM),))
        scenario.send(failure("load"), table=table)
        scenario.send(failure("clean"), table=table, severity="critical")
        assert "load" in scenario.text
        assert "clean" in scenario.text_in(company.SALES_ROOM)

    def test_quiet_hours_mention_nobody_and_add_a_note(self, scenario):
        hours = QuietHours(start="00:00", end="23:59", below="critical")
        scenario.send(failure(), table=RoutingTable(quiet_hours=hours), mentions="山田太郎")
        assert scenario.calls == ["post_message"]
        assert scenario.text.endswith(EN("quiet"))

    def test_a_high_severity_mentions_people_in_quiet_hours(self, scenario):
        hours = QuietHours(start="00:00", end="23:59", below="error")
        scenario.send(failure(), table=RoutingTable(quiet_hours=hours), mentions="山田太郎")
        assert scenario.text.startswith(f"{YAMADA}\n")

    def test_the_room_of_the_setting_gets_every_alert(self, scenario):
        scenario.send(failure(), setting=AlertsSetting(room_id=company.SALES_ROOM), mentions="山田太郎")
        assert scenario.calls == ["post_message"]
        text = scenario.text_in(company.SALES_ROOM)
        assert EN("moved", switch=safe("[chatwork] alerts"), room=company.DATA_ROOM) in text
        assert "[To:" not in text


class TestAttachTraceback:
    def test_the_whole_traceback_is_uploaded(self, scenario):
        scenario.send(failure(traceback="Traceback\n  in load\nValueError: no rows"), attach_traceback=True)
        assert scenario.calls == ["post_message", "upload_file"]
        [*_, file] = scenario.sandbox.files(company.DATA_ROOM)
        assert file["filename"] == "report-load-1.txt"
        content = scenario.sandbox.file_content(company.DATA_ROOM, file["file_id"])
        assert content == b"Traceback\n  in load\nValueError: no rows"

    def test_it_is_uploaded_with_fold_none(self, scenario):
        scenario.send(failure(traceback="x"), attach_traceback=True, fold="none")
        assert scenario.calls == ["post_message", "upload_file"]

    def test_it_is_uploaded_for_failures_with_details_only(self, scenario):
        for at in range(7):
            scenario.send(failure(f"load{at}", traceback="x"), attach_traceback=True)
        assert scenario.calls.count("upload_file") == 5

    @pytest.mark.parametrize(
        ("wanted", "traceback"), [(False, "x"), (True, None)], ids=["not wanted", "without a traceback"]
    )
    def test_nothing_is_uploaded_without_the_option_or_a_traceback(self, scenario, wanted, traceback):
        scenario.send(failure(traceback=traceback), attach_traceback=wanted)
        assert scenario.calls == ["post_message"]

    def test_a_failed_upload_does_not_lose_the_alert(self, scenario, logged):
        scenario.sandbox.add_fault(Fault("status", operation="upload_file", status=413, times=None))
        assert scenario.send(failure(traceback="x"), attach_traceback=True) in scenario.messages()
        assert "Could not attach the traceback of failure of report.load" in logged()


class TestRefresh:
    def test_a_task_that_succeeds_after_all_is_removed(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2))
        scenario.send(failure(kind=EventKind.SUCCESS, try_number=2, tries=2))
        assert scenario.calls == ["post_message", "edit_message"]
        assert EN("mended") in scenario.text

    @pytest.mark.parametrize("pause", [1, 2], ids=["before it writes", "after it has written"])
    def test_the_recovery_of_the_dag_wins_over_a_refresh(self, scenario, logged, pause):
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

    def test_a_refresh_saves_nothing_after_the_recovery_of_the_dag(self, scenario, logged):
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

    def test_a_retry_that_succeeded_before_the_post_is_removed(self, scenario, logged):
        message_id = scenario.send(failure(kind=EventKind.RETRY, tries=2), state="success")
        assert scenario.calls == ["post_message", "edit_message"]
        assert [*scenario.messages()] == [message_id]
        assert EN("mended") in scenario.text
        assert "Edited the alert message, as the retry has succeeded: retry of report.load" in logged()

    def test_a_pending_retry_stays(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2))
        assert scenario.calls == ["post_message"]

    def test_a_retry_stays_reported_if_it_cannot_be_removed(self, scenario, logged):
        scenario.sandbox.add_fault(Fault("status", operation="edit_message", status=403))
        message_id = scenario.send(failure(kind=EventKind.RETRY, tries=2), state="success")
        assert [*scenario.messages()] == [message_id]
        assert "Could not check whether the retry has succeeded: retry of report.load" in logged()

    def test_a_task_that_was_not_reported_needs_no_request(self, scenario):
        scenario.send(failure("load"))
        scenario.send(failure("clean", kind=EventKind.SUCCESS))
        assert scenario.calls == ["post_message"]

    def test_a_store_error_is_logged(self, scenario, logged):
        store = scenario.airflow.store(failing=frozenset({"load"}))
        assert scenario.send(failure(kind=EventKind.SUCCESS), store=store) is None
        assert "Could not check for open alerts of DAG report: load is out of order" in logged()


class TestTime:
    def test_the_state_contains_the_time_of_the_first_failure(self, scenario):
        scenario.send(failure())
        scenario.clock.sleep(timedelta(minutes=5).total_seconds())
        [state] = scenario.states()
        assert scenario.clock() - state.opened_at == pytest.approx(300, abs=5)
