from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_chatwork.alerts import alert_state
from airflow_provider_chatwork.alerts.alert_state import AlertMessageState, AlertStoreError
from airflow_provider_chatwork.alerts.event import AlertEvent, EventKind
from airflow_provider_chatwork.alerts.formatter import AlertFormatter
from airflow_provider_chatwork.alerts.routing import Route, RoutingTable
from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkError
from airflow_provider_chatwork.sandbox import Fault, company
from tests.airflow_helpers import connect
from tests.alerts.in_memory_airflow import DAG, RUN, AlertScenario, InMemoryAirflow, failure, run_failure, run_success

EN = AlertFormatter("en", "UTC").catalog.text
RECOVERED = EN("recovered_title", dag=DAG)
NEXT = "scheduled__2026-11-09"
SUCCESS = ["edit_message", "get_me", "post_message"]


def hour_later(scenario: AlertScenario, **more: Any) -> AlertEvent:
    """Another run that began an hour later, and succeeded."""
    scenario.clock.sleep(3600)
    started = datetime.fromtimestamp(scenario.clock(), UTC)
    scenario.clock.sleep(60)
    return run_success(**{"run_id": NEXT, "run_started": started, **more})


class TestReportRecovery:
    def test_the_message_is_edited_and_gets_a_reply(self, scenario):
        message_id = scenario.send(failure())
        scenario.sandbox.clear_faults()
        scenario.send(hour_later(scenario))
        assert scenario.calls == ["post_message", *SUCCESS]
        first, answer = scenario.messages().values()
        # Eight hours ahead of UTC, and one: the alert of 12:00 in Tokyo is over at 13:01.
        when = EN("when_recovered", when="2026-11-02 13:01 (Asia/Tokyo)", after=EN("hours", h=1, m=1))
        assert first.startswith(EN("recovered", at=when))
        assert EN("failure", name="load") in first
        assert answer.startswith(f"[rp aid={company.BOT} to={company.DATA_ROOM}-{message_id}]")
        assert RECOVERED in answer
        assert f"{EN('run')}: {NEXT}" in answer
        assert EN("recovered_runs", count=1) not in answer

    def test_a_recovery_is_reported_once(self, scenario):
        scenario.send(failure())
        scenario.send(hour_later(scenario))
        scenario.send(hour_later(scenario))
        assert scenario.calls == ["post_message", *SUCCESS]
        assert scenario.airflow.variables == {}

    def test_nothing_is_sent_without_an_open_alert(self, scenario):
        scenario.send(hour_later(scenario))
        assert scenario.calls == []

    def test_several_failed_runs_get_one_reply(self, scenario):
        for day in range(3):
            scenario.send(failure(run_id=f"scheduled__2026-11-0{day}"))
        scenario.send(hour_later(scenario))
        assert scenario.calls == ["post_message"] * 3 + ["edit_message"] * 3 + ["get_me", "post_message"]
        *marked, answer = scenario.messages().values()
        assert all(text.startswith(EN("recovered", at="")) for text in marked)
        assert EN("recovered_runs", count=3) in answer
        # The latest is answered.
        assert f"to={company.DATA_ROOM}-{[*scenario.messages()][2]}]" in answer

    def test_the_latest_five_messages_are_edited(self, scenario):
        for day in range(8):
            scenario.send(failure(run_id=f"scheduled__2026-11-0{day}"))
            scenario.clock.sleep(1)
        scenario.send(hour_later(scenario))
        assert scenario.calls.count("edit_message") == 5
        marked = [text.startswith(EN("recovered", at="")) for text in scenario.messages().values()]
        assert marked == [False] * 3 + [True] * 5 + [False]

    @pytest.mark.parametrize("fold", ["run", "dag", "none"])
    def test_every_fold_is_resolved(self, scenario, fold):
        scenario.send(failure(), fold=fold)
        scenario.send(hour_later(scenario), fold=fold)
        assert scenario.calls == ["post_message", *SUCCESS]
        assert "ValueError: no rows" in next(iter(scenario.messages().values()))

    @pytest.mark.parametrize("fold", ["run", "dag", "none"])
    def test_a_failed_run_is_resolved(self, scenario, fold):
        scenario.send(run_failure(reason="timed_out"), fold=fold)
        scenario.send(hour_later(scenario), fold=fold)
        assert scenario.calls == ["post_message", *SUCCESS]

    def test_the_authors_text_stays(self, scenario):
        scenario.send(failure(), text="手順書を見てください")
        scenario.send(hour_later(scenario))
        assert next(iter(scenario.messages().values())).endswith("\n手順書を見てください")

    def test_a_run_that_started_before_the_failure_does_not_resolve_it(self, scenario):
        started = datetime.fromtimestamp(scenario.clock() - 1, UTC)
        scenario.send(failure())
        scenario.send(run_success(run_id=NEXT, run_started=started))
        assert scenario.calls == ["post_message"]
        # The next one that begins is.
        scenario.send(hour_later(scenario))
        assert scenario.calls == ["post_message", *SUCCESS]

    def test_a_run_with_an_unknown_start_resolves_it(self, scenario):
        scenario.send(failure())
        scenario.send(run_success(run_id=NEXT))
        assert scenario.calls == ["post_message", *SUCCESS]

    def test_the_failed_run_itself_resolves_it_after_a_clear(self, scenario):
        scenario.send(failure())
        # It began before its own failure.
        early = datetime.fromtimestamp(scenario.clock() - 100, UTC)
        scenario.airflow.states[RUN] = {("load", -1): "success"}
        scenario.send(run_success(run_started=early))
        assert scenario.calls == ["post_message", *SUCCESS]

    def test_a_run_with_a_failed_task_does_not_resolve_it(self, scenario):
        scenario.send(failure())
        # Its last task did not mind.
        scenario.send(run_success())
        assert scenario.calls == ["post_message"]

    def test_a_run_with_unknown_states_resolves_it(self, scenario):
        scenario.send(failure())
        scenario.send(run_success(), store=scenario.airflow.store(knows_states=False, in_task=False))
        assert scenario.calls == ["post_message", *SUCCESS]

    def test_a_message_about_retries_gets_no_reply(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2))
        scenario.send(hour_later(scenario))
        assert scenario.calls == ["post_message", "edit_message"]
        assert scenario.text.startswith(EN("recovered", at=""))

    def test_the_retries_of_a_successful_run_are_removed(self, scenario):
        scenario.send(failure(kind=EventKind.RETRY, tries=2))
        # Its own success comes later than that of its run, and from another process.
        scenario.airflow.states[RUN] = {("load", -1): "success"}
        scenario.send(run_success())
        first = scenario.text
        assert first.startswith(EN("recovered", at=""))
        assert EN("mended_title", dag=DAG) in first
        assert EN("retry", at="1 of 2", name="load") not in first
        scenario.send(failure(kind=EventKind.SUCCESS, try_number=2, tries=2))
        assert scenario.text == first

    def test_the_final_failures_beside_a_retry_stay(self, scenario):
        scenario.send(failure("clean"))
        scenario.send(failure(kind=EventKind.RETRY, tries=2))
        scenario.airflow.states[RUN] = {("load", -1): "success", ("clean", -1): "success"}
        scenario.send(run_success())
        marked = next(iter(scenario.messages().values()))
        assert EN("failure", name="clean") in marked
        assert "load" not in marked

    def test_an_edit_mentions_nobody_again(self, scenario):
        scenario.send(failure(), mentions=company.YAMADA)
        scenario.send(hour_later(scenario), mentions=company.YAMADA)
        answer = scenario.posted[-1]
        assert "[To:" not in answer

    @pytest.mark.parametrize("act", ["delete", "leave"])
    def test_a_deleted_message_is_no_error(self, scenario, act):
        message_id = scenario.send(failure())
        if act == "delete":
            scenario.sandbox.delete_message(company.DATA_ROOM, message_id)
        else:
            scenario.sandbox.remove_member(company.DATA_ROOM, company.BOT)
        scenario.send(hour_later(scenario))
        assert scenario.calls == ["post_message", *SUCCESS]
        assert scenario.airflow.variables == {}

    def test_other_messages_are_edited_if_one_is_deleted(self, scenario):
        gone = scenario.send(failure())
        scenario.send(failure(run_id="scheduled__2026-11-02"))
        scenario.sandbox.delete_message(company.DATA_ROOM, gone)
        scenario.send(hour_later(scenario))
        assert [text.startswith(EN("recovered", at="")) for text in scenario.messages().values()] == [
            False,
            True,
            False,
        ]

    @pytest.mark.parametrize("operation", ["edit_message", "get_me", "post_message"])
    def test_the_alert_stays_open_if_chatwork_is_down(self, scenario, operation):
        scenario.send(failure())
        scenario.sandbox.add_fault(Fault("status", operation=operation, status=503, times=None))
        with pytest.raises(ChatworkError):
            scenario.send(hour_later(scenario))
        scenario.sandbox.clear_faults()
        scenario.send(hour_later(scenario))
        assert RECOVERED in [*scenario.messages().values()][-1]
        assert scenario.airflow.variables == {}

    def test_the_alert_stays_open_if_the_token_is_refused(self, scenario):
        scenario.send(failure())
        scenario.sandbox.add_fault(Fault("status", status=401, times=None))
        with pytest.raises(ChatworkAuthError):
            scenario.send(hour_later(scenario))
        scenario.sandbox.clear_faults()
        scenario.send(hour_later(scenario))
        assert RECOVERED in [*scenario.messages().values()][-1]

    def test_only_the_first_of_two_successful_runs_reports_the_recovery(self, scenario):
        scenario.send(failure())
        event, other = hour_later(scenario), run_success(run_id="another")
        answer = scenario.sandbox.answer

        def meanwhile(request: Any) -> Any:
            # While the first one speaks to Chatwork, the second one looks.
            scenario.sandbox.answer = answer
            scenario.send(other)
            return answer(request)

        scenario.sandbox.answer = meanwhile
        try:
            scenario.send(event)
        finally:
            del scenario.sandbox.answer
        assert scenario.calls == ["post_message", *SUCCESS]

    def test_the_connection_and_the_language_are_those_of_the_alert(self, scenario, monkeypatch):
        scenario.sandbox.add_token("another", company.YAMADA)
        connect(monkeypatch, scenario.sandbox, conn_id="another", token="another")
        table = RoutingTable(routes=(Route(chatwork_conn_id="another", lang="ja"),))
        scenario.send(failure(), table=table)
        # The routing table is no longer used.
        scenario.send(hour_later(scenario))
        assert {request.account_id for request in scenario.sandbox.requests} == {company.YAMADA}
        *_, answer = scenario.messages().values()
        assert answer.startswith(f"[rp aid={company.YAMADA} ")
        assert AlertFormatter("ja", "UTC").catalog.text("recovered_title", dag=DAG) in answer

    def test_the_reply_is_in_the_room_of_the_alert(self, scenario):
        scenario.send(failure(), room_id=company.SALES_ROOM)
        scenario.send(hour_later(scenario))
        assert len(scenario.messages(company.SALES_ROOM)) == 2
        assert scenario.messages() == {}

    def test_every_room_with_an_alert_gets_a_reply(self, scenario):
        scenario.send(failure())
        scenario.send(failure(), room_id=company.SALES_ROOM)
        scenario.send(hour_later(scenario))
        for messages in (scenario.messages(), scenario.messages(company.SALES_ROOM)):
            alert, answer = messages.values()
            assert alert.startswith(EN("recovered", at="").rstrip())
            assert RECOVERED in answer

    def test_the_reply_contains_the_duration(self, scenario):
        scenario.send(failure())
        scenario.clock.sleep(timedelta(days=2).total_seconds())
        scenario.send(hour_later(scenario))
        assert EN("days", d=2, h=1) in scenario.posted[-1]

    def test_the_recovery_is_logged(self, scenario, caplog):
        caplog.set_level(logging.INFO)
        scenario.send(failure())
        scenario.send(hour_later(scenario))
        assert "DAG report has recovered: edited 1 alert messages" in caplog.text

    def test_a_store_error_is_logged(self, scenario, caplog):
        scenario.send(failure())
        scenario.send(hour_later(scenario), store=scenario.airflow.store(NEXT, failing=frozenset({"load"})))
        assert scenario.calls == ["post_message"]
        assert "Could not check for open alerts of DAG report: load is out of order" in caplog.text


class TestRememberOpen:
    def test_open_messages_are_kept_oldest_first(self):
        store = InMemoryAirflow().store()
        for at, name in enumerate(("b", "a", "c")):
            store.save(name, AlertMessageState(message_id=name).to_json())
            alert_state.remember_open(store, DAG, name, float(at))
        assert [name for name, _ in alert_state.open_alerts(store, DAG)] == ["b", "a", "c"]
        assert [state.message_id for _, state in alert_state.open_alerts(store, DAG)] == ["b", "a", "c"]

    def test_each_message_is_kept_once(self):
        airflow = InMemoryAirflow()
        for now in (1.0, 2.0):
            alert_state.remember_open(airflow.store(), DAG, "a", now)
        assert len(airflow.variables) == 1
        assert '"a": 1.0' in next(iter(airflow.variables.values()))

    def test_twenty_messages_are_kept_and_older_states_are_deleted(self):
        store = InMemoryAirflow().store()
        for at in range(25):
            store.save(f"message {at}", AlertMessageState(message_id=str(at)).to_json())
            alert_state.remember_open(store, DAG, f"message {at}", float(at))
        assert [name for name, _ in alert_state.open_alerts(store, DAG)] == [f"message {at}" for at in range(5, 25)]
        assert store.load("message 4") is None

    def test_each_dag_has_its_own_list(self):
        store = InMemoryAirflow().store()
        store.save("a", AlertMessageState(message_id="a").to_json())
        alert_state.remember_open(store, DAG, "a", 1.0)
        assert alert_state.open_alerts(store, "another") == []

    def test_an_overwritten_list_is_saved_again(self):
        airflow = InMemoryAirflow()
        store = airflow.store()
        save = store.save
        overwritten = []

        def save_and_be_overwritten(name: str, value: dict[str, Any] | None) -> None:
            save(name, value)
            if not overwritten:
                overwritten.append(value)
                save(name, {"messages": {"another": 0.5}})

        store.save = save_and_be_overwritten  # type: ignore[method-assign]
        alert_state.remember_open(store, DAG, "a", 1.0)
        assert {*(store.load(next(iter(airflow.variables))) or {})["messages"]} == {"a", "another"}

    def test_it_gives_up_after_three_tries(self):
        alert_state.remember_open(InMemoryAirflow().store(loses_saved=True), DAG, "a", 1.0)

    def test_a_failed_save_is_a_store_error(self):
        with pytest.raises(AlertStoreError):
            alert_state.remember_open(InMemoryAirflow().store(failing=frozenset({"save"})), DAG, "a", 1.0)


class TestOpenAlerts:
    def test_deleted_states_are_ignored(self):
        store = InMemoryAirflow().store()
        alert_state.remember_open(store, DAG, "gone", 1.0)
        assert alert_state.open_alerts(store, DAG) == []


class TestStateName:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ((DAG, RUN, 1), (DAG, RUN, 2)),
            ((DAG, RUN, 1), (DAG, NEXT, 1)),
            ((DAG, RUN, 1), ("another", RUN, 1)),
            ((DAG, "", 1), (DAG, RUN, 1)),
        ],
    )
    def test_the_name_differs_by_dag_run_and_room(self, one, other):
        assert alert_state.variable_name(*one) != alert_state.variable_name(*other)
