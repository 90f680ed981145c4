from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_chatwork.alerts.destination import Switch
from airflow_provider_chatwork.alerts.event import Kind
from airflow_provider_chatwork.alerts.routing import Route, RoutingTable
from airflow_provider_chatwork.alerts.texts import alert_catalog
from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.api.notation import safe
from airflow_provider_chatwork.sandbox import Fault, company
from airflow_provider_chatwork.utils.quiet_hours import QuietHours
from tests.airflow_helpers import connect
from tests.alerts.memory import RUN, MemoryLedger, failure, run_failure, run_success

EN = alert_catalog("en").text
YAMADA = "[To:1001002] 山田 太郎"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    """What was logged so far."""
    caplog.set_level(logging.INFO)
    return lambda: caplog.text


class TestTell:
    def test_posts_a_failure_and_returns_its_message(self, teller):
        message_id = teller.tell(failure())
        assert [*teller.messages()] == [message_id]
        assert EN("failure", name="load") in teller.text
        assert "ValueError: no rows" in teller.text

    def test_edits_the_message_for_what_fails_next(self, teller):
        first = teller.tell(failure("load"))
        assert teller.tell(failure("clean")) == first
        assert teller.calls == ["post_message", "edit_message"]
        assert EN("many_failed", count=2, dag="report") in teller.text

    def test_says_nothing_twice_whoever_says_it(self, teller, said):
        first = teller.tell(failure())
        lost_sight = teller.airflow.ledger(in_task=False)
        assert teller.tell(failure(error=None), ledger=lost_sight) == first
        assert teller.calls == ["post_message"]
        assert f"Message {first} of Chatwork tells of this already" in said()

    def test_says_nothing_of_what_has_succeeded_meanwhile(self, teller, said):
        ledger = teller.airflow.ledger(in_task=False)
        assert teller.tell(failure(error=None), state="success", ledger=ledger) is None
        assert teller.calls == []
        assert "load was reported as failed, but has succeeded meanwhile" in said()

    @pytest.mark.parametrize("state", ["up_for_retry", "queued", "scheduled", "restarting", "deferred"])
    def test_tells_as_a_retry_what_will_be_tried_again(self, teller, state, said):
        ledger = teller.airflow.ledger(in_task=False)
        teller.tell(failure(error=None), state=state, ledger=ledger, mentions=company.YAMADA)
        assert EN("retry", at="1 of 1", name="load") in teller.text
        assert "[To:" not in teller.text
        assert "load was reported as failed, but Airflow will try it again" in said()

    @pytest.mark.parametrize(
        ("state", "tries", "title"),
        [
            ("running", 3, EN("retry", at="1 of 3", name="load")),
            ("running", 1, EN("failure", name="load")),
            ("failed", 3, EN("failure", name="load")),
        ],
    )
    def test_goes_by_the_tries_where_the_state_may_be_behind(self, teller, state, tries, title):
        ledger = teller.airflow.ledger(in_task=False)
        teller.tell(failure(error=None, tries=tries), state=state, ledger=ledger)
        assert title in teller.text

    @pytest.mark.parametrize(
        ("in_task", "witnessed"), [(True, False), (False, True)], ids=["its process", "the error itself"]
    )
    def test_believes_who_saw_it(self, teller, in_task, witnessed):
        ledger = teller.airflow.ledger(in_task=in_task)
        teller.tell(failure(witnessed=witnessed, tries=3), state="up_for_retry", ledger=ledger)
        assert EN("failure", name="load") in teller.text

    @pytest.mark.parametrize(
        ("tries", "title"), [(3, EN("retry", at="1 of 3", name="load")), (1, EN("failure", name="load"))]
    )
    def test_goes_by_the_tries_where_no_state_can_be_asked_for(self, teller, tries, title):
        ledger = teller.airflow.ledger(in_task=False, asks=False)
        teller.tell(failure(error=None, tries=tries), ledger=ledger)
        assert title in teller.text

    def test_says_that_airflow_lost_sight_of_a_task(self, teller):
        teller.tell(failure(error=None), ledger=teller.airflow.ledger(in_task=False))
        assert EN("killed") in teller.text

    def test_tells_where_the_states_cannot_be_asked_for(self, teller, said):
        ledger = teller.airflow.ledger(in_task=False, broken=frozenset({"states"}))
        teller.tell(failure(), ledger=ledger)
        assert EN("failure", name="load") in teller.text
        assert "Whether the failure still stands could not be checked: states is out of order" in said()

    def test_says_nothing_of_a_failed_run_whose_tasks_have_all_succeeded(self, teller, said):
        teller.airflow.states[RUN] = {("load", -1): "success", ("clean", -1): "skipped"}
        assert teller.tell(run_failure(), ledger=teller.airflow.ledger(in_task=False)) is None
        assert teller.calls == []
        assert f"{RUN} was reported as failed, but all its tasks have succeeded" in said()

    def test_tells_of_a_failed_run_with_a_failed_task(self, teller):
        teller.airflow.states[RUN] = {("load", -1): "success", ("clean", -1): "failed"}
        teller.tell(run_failure(), ledger=teller.airflow.ledger(in_task=False))
        assert EN("run_failure", dag="report") in teller.text
        assert "clean" in teller.text

    def test_tells_of_a_run_that_timed_out_with_only_skipped_tasks(self, teller):
        teller.airflow.states[RUN] = {("load", -1): "skipped"}
        teller.tell(run_failure(reason="timed_out"), ledger=teller.airflow.ledger(in_task=False))
        assert f"{EN('reason')}: timed_out" in teller.text

    @pytest.mark.parametrize("story", [failure(kind=Kind.SUCCESS), run_success()], ids=lambda story: story.kind.value)
    def test_asks_chatwork_nothing_for_a_success_without_a_text(self, teller, story):
        assert teller.tell(story) is None
        assert teller.calls == []

    def test_asks_nobody_for_a_success_without_a_text_or_a_ledger(self, teller):
        assert teller.delivery(run_success()).tell(None) is None
        assert teller.calls == []

    def test_ends_an_alert_with_a_success_that_has_a_text_too(self, teller):
        teller.tell(failure())
        teller.tell(run_success(run_id="scheduled__2026-11-02"), text="done")
        assert teller.calls == ["post_message", "edit_message", "get_me", "post_message", "post_message"]
        assert teller.posted[-1] == "done"

    @pytest.mark.parametrize("story", [failure(kind=Kind.SUCCESS), run_success()], ids=lambda story: story.kind.value)
    def test_posts_the_text_for_a_success(self, teller, story):
        teller.tell(story, text="日次レポートができました")
        assert teller.posted == ["日次レポートができました"]

    def test_posts_a_message_of_its_own_without_a_ledger(self, teller):
        teller.delivery(failure()).tell(None)
        teller.delivery(failure("clean")).tell(None)
        assert teller.calls == ["post_message", "post_message"]

    @pytest.mark.parametrize("method", ["states", "record", "load"])
    def test_posts_a_message_of_its_own_where_airflow_cannot_be_asked(self, teller, method, said):
        ledger = teller.airflow.ledger(broken=frozenset({method}))
        assert teller.tell(failure(), ledger=ledger) in teller.messages()
        assert teller.calls == ["post_message"]
        assert f"gets a message of its own, as Airflow could not be asked: {method} is out of order" in said()

    def test_posts_once_where_airflow_keeps_nothing(self, teller, said):
        teller.tell(failure(), ledger=teller.airflow.ledger(broken={"save"}))
        assert teller.calls == ["post_message"]
        assert "was told, but perhaps not all of it, or not for the last time: save is out of order" in said()

    def test_posts_once_where_airflow_forgets_without_a_word(self, teller):
        teller.tell(failure(), ledger=teller.airflow.ledger(forgetful=True))
        assert teller.calls == ["post_message"]

    def test_raises_what_chatwork_says(self, teller):
        teller.sandbox.add_fault(Fault("status", status=503, times=None))
        with pytest.raises(ChatworkError):
            teller.tell(failure())


class TestFold:
    def test_puts_a_run_into_one_message(self, teller):
        teller.tell(failure("load"))
        teller.tell(failure("load", run_id="scheduled__2026-11-02"))
        teller.tell(failure("clean"))
        assert teller.calls == ["post_message", "post_message", "edit_message"]

    def test_puts_the_runs_of_a_dag_within_the_window_into_one_message(self, teller):
        for day in (1, 2):
            teller.tell(failure(run_id=f"scheduled__2026-11-0{day}"), fold="dag", fold_window=3600.0)
        assert len(teller.posted) == 1
        assert EN("runs_failed", runs=2, dag="report") in teller.text

    def test_begins_a_new_message_after_the_window(self, teller):
        teller.tell(failure(), fold="dag", fold_window=3600.0)
        teller.clock.sleep(3601)
        teller.tell(failure("clean"), fold="dag", fold_window=3600.0)
        assert len(teller.posted) == 2

    def test_posts_each_failure_on_its_own(self, teller):
        for task_id in ("load", "clean"):
            teller.tell(failure(task_id), fold="none")
        assert teller.calls == ["post_message", "post_message"]

    def test_posts_a_failure_on_its_own_once_whoever_says_it(self, teller):
        first = teller.tell(failure(), fold="none")
        lost_sight = teller.airflow.ledger(in_task=False)
        assert teller.tell(failure(error=None), fold="none", ledger=lost_sight) == first
        assert teller.calls == ["post_message"]

    def test_posts_a_failure_on_its_own_once_where_airflow_does_not_keep_it(self, teller):
        ledger = teller.airflow.ledger(broken=frozenset({"save"}))
        teller.tell(failure(), fold="none", ledger=ledger)
        assert teller.calls == ["post_message"]

    def test_keeps_messages_of_different_rooms_apart(self, teller):
        teller.tell(failure())
        teller.tell(failure(), room_id=company.SALES_ROOM)
        assert len(teller.messages()) == len(teller.messages(company.SALES_ROOM)) == 1

    def test_puts_the_author_s_text_in_the_place_of_its_own(self, teller):
        teller.tell(failure("load"), text="読込の手順書を見てください")
        assert teller.text == "読込の手順書を見てください"
        teller.tell(failure("clean"), text="清掃の手順書を見てください")
        assert "読込の手順書を見てください" in teller.text
        assert "清掃の手順書を見てください" in teller.text

    def test_keeps_the_author_s_text_out_of_the_message_in_another_room(self, teller):
        teller.tell(failure("load"), text="in words of one room")
        teller.tell(run_failure(), room_id=company.SALES_ROOM)
        [told] = teller.messages(company.SALES_ROOM).values()
        assert "in words of one room" not in told
        assert "load: ValueError: no rows" in told


class TestWhen:
    def test_calls_nobody_for_a_retry(self, teller):
        teller.tell(failure(kind=Kind.RETRY, tries=2), mentions=company.YAMADA)
        assert "[To:" not in teller.text

    def test_rings_for_a_retry_where_every_failure_is_to_ring(self, teller):
        teller.tell(failure(kind=Kind.RETRY, tries=2), mentions=company.YAMADA, when="every")
        assert f"[To:{company.YAMADA}]" in teller.text

    def test_replaces_a_message_of_retries_by_one_that_rings(self, teller):
        teller.tell(failure(kind=Kind.RETRY, tries=2), mentions=company.YAMADA)
        teller.tell(failure(try_number=2, tries=2), mentions=company.YAMADA)
        assert teller.calls == ["post_message", "post_message", "delete_message"]
        assert f"[To:{company.YAMADA}]" in [*teller.messages().values()][-1]


class TestMentions:
    def test_looks_people_up_only_for_a_message_that_rings(self, teller):
        for task_id in ("load", "clean"):
            teller.tell(failure(task_id), mentions="山田太郎")
        assert teller.calls == ["list_members", "post_message", "edit_message"]
        assert teller.text.startswith(f"{YAMADA}\n")

    def test_looks_nobody_up_for_a_retry(self, teller):
        teller.tell(failure(kind=Kind.RETRY, tries=2), mentions="山田太郎")
        assert teller.calls == ["post_message"]

    def test_looks_nobody_up_for_an_id(self, teller):
        teller.tell(failure(), mentions=company.YAMADA)
        assert teller.calls == ["post_message"]

    def test_calls_the_owners(self, teller):
        teller.tell(failure(owners=("aozora-yamada",)), mentions="owner")
        assert teller.text.startswith(f"{YAMADA}\n")

    def test_names_whom_it_does_not_find(self, teller):
        teller.tell(failure(), mentions=["山田太郎", "田中[toall]"])
        # What is named is no notation any more.
        unknown = EN("unknown_people", names="田中[\u200btoall]")
        assert teller.text.startswith(f"{YAMADA}\n{unknown}\n")

    def test_tells_where_nobody_can_be_looked_up(self, teller):
        teller.sandbox.add_fault(Fault("status", operation="list_members", status=403))
        teller.tell(failure(), mentions="山田太郎")
        assert teller.text.startswith(f"{EN('people_not_looked_up', names='山田太郎')}\n")
        assert EN("failure", name="load") in teller.text


class TestSending:
    def test_makes_a_moved_alert_s_room_harmless(self, teller):
        switch = Switch(room_id=teller.room_id)
        teller.tell(failure(), room_id="[toall]", fold="none", switch=switch)
        assert "[toall]" not in teller.text

    def test_calls_nobody_for_good_news(self, teller):
        teller.tell(run_success(), text="done", mentions="toall")
        assert teller.posted == ["done"]

    def test_ends_an_alert_also_where_the_table_drops_good_news(self, teller):
        table = RoutingTable(routes=(Route(severity="error"), Route(send=False)))
        teller.tell(failure(), table=table)
        teller.tell(run_success(run_id="scheduled__2026-11-02"), table=table)
        assert teller.calls == ["post_message", "edit_message", "get_me", "post_message"]

    def test_gives_each_failure_its_own_message_once_with_fold_none(self, teller):
        for name in ("a", "b", "a"):
            teller.tell(failure(name), fold="none")
        assert teller.calls == ["post_message", "post_message"]


class TestRouting:
    def test_sends_to_another_room_in_another_language(self, teller):
        table = RoutingTable(routes=(Route(severity="error", room_id=company.SALES_ROOM, lang="ja"),))
        teller.tell(failure(), table=table)
        assert teller.messages() == {}
        assert alert_catalog("ja").text("failure", name="load") in teller.text_in(company.SALES_ROOM)

    def test_sends_through_another_connection(self, teller, monkeypatch):
        teller.sandbox.add_token("another", company.YAMADA)
        connect(monkeypatch, teller.sandbox, conn_id="another", token="another")
        teller.tell(failure(), table=RoutingTable(routes=(Route(chatwork_conn_id="another"),)))
        assert [request.account_id for request in teller.sandbox.requests] == [company.YAMADA]
        assert [board.chatwork_conn_id for board in teller.boards()] == ["another"]

    def test_goes_by_the_severity_that_the_author_gives(self, teller):
        table = RoutingTable(routes=(Route(severity="critical", room_id=company.SALES_ROOM),))
        teller.tell(failure("load"), table=table)
        teller.tell(failure("clean"), table=table, severity="critical")
        assert "load" in teller.text
        assert "clean" in teller.text_in(company.SALES_ROOM)

    def test_calls_nobody_in_quiet_hours_and_says_so(self, teller):
        hours = QuietHours(start="00:00", end="23:59", below="critical")
        teller.tell(failure(), table=RoutingTable(quiet_hours=hours), mentions="山田太郎")
        assert teller.calls == ["post_message"]
        assert teller.text.endswith(EN("quiet"))

    def test_calls_people_for_what_is_too_bad_to_be_quiet(self, teller):
        hours = QuietHours(start="00:00", end="23:59", below="error")
        teller.tell(failure(), table=RoutingTable(quiet_hours=hours), mentions="山田太郎")
        assert teller.text.startswith(f"{YAMADA}\n")

    def test_sends_everything_to_the_room_of_the_switch(self, teller):
        teller.tell(failure(), switch=Switch(room_id=company.SALES_ROOM), mentions="山田太郎")
        assert teller.calls == ["post_message"]
        text = teller.text_in(company.SALES_ROOM)
        assert EN("moved", switch=safe("[chatwork] alerts"), room=company.DATA_ROOM) in text
        assert "[To:" not in text


class TestAttach:
    def test_adds_the_whole_traceback(self, teller):
        teller.tell(failure(traceback="Traceback\n  in load\nValueError: no rows"), attach_traceback=True)
        assert teller.calls == ["post_message", "upload_file"]
        [*_, file] = teller.sandbox.files(company.DATA_ROOM)
        assert file["filename"] == "report-load-1.txt"
        content = teller.sandbox.file_content(company.DATA_ROOM, file["file_id"])
        assert content == b"Traceback\n  in load\nValueError: no rows"

    def test_adds_it_to_a_message_of_its_own(self, teller):
        teller.tell(failure(traceback="x"), attach_traceback=True, fold="none")
        assert teller.calls == ["post_message", "upload_file"]

    def test_adds_those_that_are_told_in_detail_and_no_more(self, teller):
        for at in range(7):
            teller.tell(failure(f"load{at}", traceback="x"), attach_traceback=True)
        assert teller.calls.count("upload_file") == 5

    @pytest.mark.parametrize(
        ("wanted", "traceback"), [(False, "x"), (True, None)], ids=["not wanted", "without a traceback"]
    )
    def test_adds_nothing(self, teller, wanted, traceback):
        teller.tell(failure(traceback=traceback), attach_traceback=wanted)
        assert teller.calls == ["post_message"]

    def test_loses_nothing_where_it_fails(self, teller, said):
        teller.sandbox.add_fault(Fault("status", operation="upload_file", status=413, times=None))
        assert teller.tell(failure(traceback="x"), attach_traceback=True) in teller.messages()
        assert "The traceback could not be attached" in said()


class TestRefresh:
    def test_brings_the_message_up_to_date_when_a_task_succeeds_after_all(self, teller):
        teller.tell(failure(kind=Kind.RETRY, tries=2))
        teller.tell(failure(kind=Kind.SUCCESS, try_number=2, tries=2))
        assert teller.calls == ["post_message", "edit_message"]
        assert EN("mended") in teller.text

    @pytest.mark.parametrize("pause", [1, 2], ids=["before it writes", "after it has written"])
    def test_leaves_the_message_to_the_recovery_of_the_whole_dag(self, teller, said, pause):
        message_id = teller.tell(failure(kind=Kind.RETRY, tries=2))
        teller.airflow.states[RUN] = {("load", -1): "success"}
        delivery = teller.delivery(failure(kind=Kind.SUCCESS, try_number=2, tries=2))
        pauses = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == pause:
                teller.tell(run_success())

        delivery.sleep = sleep
        delivery.tell(teller.airflow.ledger())
        assert len(pauses) == pause
        assert [*teller.messages()] == [message_id]
        assert teller.text.startswith(EN("recovered", at=""))
        assert teller.airflow.variables == {}
        assert "perhaps not all of it" not in said()

    def test_keeps_nothing_of_a_dag_that_recovers_while_it_writes(self, teller, said):
        message_id = teller.tell(failure(kind=Kind.RETRY, tries=2))

        class Slow(MemoryLedger):
            def states(self) -> Any:
                found = super().states()
                teller.tell(run_success())
                return found

        teller.tell(failure(kind=Kind.SUCCESS, try_number=2, tries=2), ledger=Slow(teller.airflow, RUN))
        assert [*teller.messages()] == [message_id]
        assert EN("mended") in teller.text
        assert teller.airflow.variables == {}
        assert "perhaps not all of it" not in said()

    def test_takes_a_retry_back_that_has_succeeded_before_it_was_told(self, teller, said):
        message_id = teller.tell(failure(kind=Kind.RETRY, tries=2), state="success")
        assert teller.calls == ["post_message", "edit_message"]
        assert [*teller.messages()] == [message_id]
        assert EN("mended") in teller.text
        assert "load has succeeded meanwhile, and the message says so" in said()

    def test_leaves_a_retry_that_is_still_to_come(self, teller):
        teller.tell(failure(kind=Kind.RETRY, tries=2))
        assert teller.calls == ["post_message"]

    def test_has_told_a_retry_also_where_it_cannot_be_taken_back(self, teller, said):
        teller.sandbox.add_fault(Fault("status", operation="edit_message", status=403))
        message_id = teller.tell(failure(kind=Kind.RETRY, tries=2), state="success")
        assert [*teller.messages()] == [message_id]
        assert "Whether the retry has succeeded meanwhile could not be told" in said()

    def test_asks_chatwork_nothing_where_the_task_was_never_told_of(self, teller):
        teller.tell(failure("load"))
        teller.tell(failure("clean", kind=Kind.SUCCESS))
        assert teller.calls == ["post_message"]

    def test_warns_where_airflow_cannot_be_asked(self, teller, said):
        ledger = teller.airflow.ledger(broken=frozenset({"load"}))
        assert teller.tell(failure(kind=Kind.SUCCESS), ledger=ledger) is None
        assert "Whether there is an alert to take back could not be asked: load is out of order" in said()


class TestTime:
    def test_notes_when_it_happened(self, teller):
        teller.tell(failure())
        teller.clock.sleep(timedelta(minutes=5).total_seconds())
        [board] = teller.boards()
        assert teller.clock() - board.since == pytest.approx(300, abs=5)
