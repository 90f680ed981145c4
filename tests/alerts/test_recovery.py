from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_chatwork.alerts import recovery
from airflow_provider_chatwork.alerts.aggregation import LedgerError
from airflow_provider_chatwork.alerts.alert_state import Board
from airflow_provider_chatwork.alerts.event import Kind, Story
from airflow_provider_chatwork.alerts.routing import Route, RoutingTable
from airflow_provider_chatwork.alerts.texts import alert_catalog
from airflow_provider_chatwork.api.errors import ChatworkAuthError, ChatworkError
from airflow_provider_chatwork.sandbox import Fault, company
from tests.airflow_helpers import connect
from tests.alerts.memory import DAG, RUN, MemoryAirflow, Teller, failure, run_failure, run_success

EN = alert_catalog("en").text
RECOVERED = EN("recovered_title", dag=DAG)
NEXT = "scheduled__2026-11-09"
SUCCESS = ["edit_message", "get_me", "post_message"]


def hour_later(teller: Teller, **more: Any) -> Story:
    """Another run that began an hour later, and succeeded."""
    teller.clock.sleep(3600)
    started = datetime.fromtimestamp(teller.clock(), UTC)
    teller.clock.sleep(60)
    return run_success(**{"run_id": NEXT, "run_started": started, **more})


class TestTell:
    def test_marks_the_alert_and_answers_it(self, teller):
        message_id = teller.tell(failure())
        teller.sandbox.clear_faults()
        teller.tell(hour_later(teller))
        assert teller.calls == ["post_message", *SUCCESS]
        first, answer = teller.messages().values()
        # Eight hours ahead of UTC, and one: the alert of 12:00 in Tokyo is over at 13:01.
        when = EN("when_recovered", when="2026-11-02 13:01 (Asia/Tokyo)", after=EN("hours", h=1, m=1))
        assert first.startswith(EN("recovered", at=when))
        assert EN("failure", name="load") in first
        assert answer.startswith(f"[rp aid={company.BOT} to={company.DATA_ROOM}-{message_id}]")
        assert RECOVERED in answer
        assert f"{EN('run')}: {NEXT}" in answer
        assert EN("recovered_runs", count=1) not in answer

    def test_says_so_once(self, teller):
        teller.tell(failure())
        teller.tell(hour_later(teller))
        teller.tell(hour_later(teller))
        assert teller.calls == ["post_message", *SUCCESS]
        assert teller.airflow.variables == {}

    def test_says_nothing_where_nothing_had_failed(self, teller):
        teller.tell(hour_later(teller))
        assert teller.calls == []

    def test_says_so_once_for_several_runs(self, teller):
        for day in range(3):
            teller.tell(failure(run_id=f"scheduled__2026-11-0{day}"))
        teller.tell(hour_later(teller))
        assert teller.calls == ["post_message"] * 3 + ["edit_message"] * 3 + ["get_me", "post_message"]
        *marked, answer = teller.messages().values()
        assert all(text.startswith(EN("recovered", at="")) for text in marked)
        assert EN("recovered_runs", count=3) in answer
        # The latest is answered.
        assert f"to={company.DATA_ROOM}-{[*teller.messages()][2]}]" in answer

    def test_marks_the_latest_where_there_are_many(self, teller):
        for day in range(8):
            teller.tell(failure(run_id=f"scheduled__2026-11-0{day}"))
            teller.clock.sleep(1)
        teller.tell(hour_later(teller))
        assert teller.calls.count("edit_message") == 5
        marked = [text.startswith(EN("recovered", at="")) for text in teller.messages().values()]
        assert marked == [False] * 3 + [True] * 5 + [False]

    @pytest.mark.parametrize("fold", ["run", "dag", "none"])
    def test_says_so_however_failures_were_folded(self, teller, fold):
        teller.tell(failure(), fold=fold)
        teller.tell(hour_later(teller), fold=fold)
        assert teller.calls == ["post_message", *SUCCESS]
        assert "ValueError: no rows" in next(iter(teller.messages().values()))

    @pytest.mark.parametrize("fold", ["run", "dag", "none"])
    def test_says_so_of_a_failed_run(self, teller, fold):
        teller.tell(run_failure(reason="timed_out"), fold=fold)
        teller.tell(hour_later(teller), fold=fold)
        assert teller.calls == ["post_message", *SUCCESS]

    def test_keeps_the_author_s_text(self, teller):
        teller.tell(failure(), text="手順書を見てください")
        teller.tell(hour_later(teller))
        assert next(iter(teller.messages().values())).endswith("\n手順書を見てください")

    def test_takes_no_run_for_a_recovery_that_began_before_the_failure(self, teller):
        started = datetime.fromtimestamp(teller.clock() - 1, UTC)
        teller.tell(failure())
        teller.tell(run_success(run_id=NEXT, run_started=started))
        assert teller.calls == ["post_message"]
        # The next one that begins is.
        teller.tell(hour_later(teller))
        assert teller.calls == ["post_message", *SUCCESS]

    def test_takes_a_run_for_a_recovery_of_which_nobody_knows_when_it_began(self, teller):
        teller.tell(failure())
        teller.tell(run_success(run_id=NEXT))
        assert teller.calls == ["post_message", *SUCCESS]

    def test_takes_the_run_itself_for_a_recovery_once_it_was_cleared(self, teller):
        teller.tell(failure())
        # It began before its own failure.
        early = datetime.fromtimestamp(teller.clock() - 100, UTC)
        teller.airflow.states[RUN] = {("load", -1): "success"}
        teller.tell(run_success(run_started=early))
        assert teller.calls == ["post_message", *SUCCESS]

    def test_takes_no_run_for_a_recovery_in_which_a_task_stays_failed(self, teller):
        teller.tell(failure())
        # Its last task did not mind.
        teller.tell(run_success())
        assert teller.calls == ["post_message"]

    def test_believes_a_run_whose_tasks_cannot_be_asked_about(self, teller):
        teller.tell(failure())
        teller.tell(run_success(), ledger=teller.airflow.ledger(asks=False, in_task=False))
        assert teller.calls == ["post_message", *SUCCESS]

    def test_marks_what_only_spoke_of_retries_and_answers_nothing(self, teller):
        teller.tell(failure(kind=Kind.RETRY, tries=2))
        teller.tell(hour_later(teller))
        assert teller.calls == ["post_message", "edit_message"]
        assert teller.text.startswith(EN("recovered", at=""))

    def test_says_of_no_task_that_it_will_be_tried_again_in_a_run_that_has_succeeded(self, teller):
        teller.tell(failure(kind=Kind.RETRY, tries=2))
        # Its own success comes later than that of its run, and from another process.
        teller.airflow.states[RUN] = {("load", -1): "success"}
        teller.tell(run_success())
        first = teller.text
        assert first.startswith(EN("recovered", at=""))
        assert EN("mended_title", dag=DAG) in first
        assert EN("retry", at="1 of 2", name="load") not in first
        teller.tell(failure(kind=Kind.SUCCESS, try_number=2, tries=2))
        assert teller.text == first

    def test_leaves_what_failed_for_good_beside_a_retry(self, teller):
        teller.tell(failure("clean"))
        teller.tell(failure(kind=Kind.RETRY, tries=2))
        teller.airflow.states[RUN] = {("load", -1): "success", ("clean", -1): "success"}
        teller.tell(run_success())
        marked = next(iter(teller.messages().values()))
        assert EN("failure", name="clean") in marked
        assert "load" not in marked

    def test_rings_for_nobody_by_marking(self, teller):
        teller.tell(failure(), mentions=company.YAMADA)
        teller.tell(hour_later(teller), mentions=company.YAMADA)
        answer = teller.posted[-1]
        assert "[To:" not in answer

    @pytest.mark.parametrize("act", ["delete", "leave"])
    def test_goes_on_where_the_message_is_gone(self, teller, act):
        message_id = teller.tell(failure())
        if act == "delete":
            teller.sandbox.delete_message(company.DATA_ROOM, message_id)
        else:
            teller.sandbox.remove_member(company.DATA_ROOM, company.BOT)
        teller.tell(hour_later(teller))
        assert teller.calls == ["post_message", *SUCCESS]
        assert teller.airflow.variables == {}

    def test_marks_the_others_where_one_is_gone(self, teller):
        gone = teller.tell(failure())
        teller.tell(failure(run_id="scheduled__2026-11-02"))
        teller.sandbox.delete_message(company.DATA_ROOM, gone)
        teller.tell(hour_later(teller))
        assert [text.startswith(EN("recovered", at="")) for text in teller.messages().values()] == [False, True, False]

    @pytest.mark.parametrize("operation", ["edit_message", "get_me", "post_message"])
    def test_leaves_the_alert_open_where_chatwork_is_down(self, teller, operation):
        teller.tell(failure())
        teller.sandbox.add_fault(Fault("status", operation=operation, status=503, times=None))
        with pytest.raises(ChatworkError):
            teller.tell(hour_later(teller))
        teller.sandbox.clear_faults()
        teller.tell(hour_later(teller))
        assert RECOVERED in [*teller.messages().values()][-1]
        assert teller.airflow.variables == {}

    def test_leaves_the_alert_open_where_the_token_is_refused(self, teller):
        teller.tell(failure())
        teller.sandbox.add_fault(Fault("status", status=401, times=None))
        with pytest.raises(ChatworkAuthError):
            teller.tell(hour_later(teller))
        teller.sandbox.clear_faults()
        teller.tell(hour_later(teller))
        assert RECOVERED in [*teller.messages().values()][-1]

    def test_leaves_the_alert_to_the_first_of_two_runs_that_succeed_at_once(self, teller):
        teller.tell(failure())
        story, other = hour_later(teller), run_success(run_id="another")
        answer = teller.sandbox.answer

        def meanwhile(request: Any) -> Any:
            # While the first one speaks to Chatwork, the second one looks.
            teller.sandbox.answer = answer
            teller.tell(other)
            return answer(request)

        teller.sandbox.answer = meanwhile
        try:
            teller.tell(story)
        finally:
            del teller.sandbox.answer
        assert teller.calls == ["post_message", *SUCCESS]

    def test_speaks_through_the_connection_and_in_the_language_of_the_alert(self, teller, monkeypatch):
        teller.sandbox.add_token("another", company.YAMADA)
        connect(monkeypatch, teller.sandbox, conn_id="another", token="another")
        table = RoutingTable(routes=(Route(chatwork_conn_id="another", lang="ja"),))
        teller.tell(failure(), table=table)
        # The table is another one by now.
        teller.tell(hour_later(teller))
        assert {request.account_id for request in teller.sandbox.requests} == {company.YAMADA}
        *_, answer = teller.messages().values()
        assert answer.startswith(f"[rp aid={company.YAMADA} ")
        assert alert_catalog("ja").text("recovered_title", dag=DAG) in answer

    def test_answers_in_the_room_of_the_alert(self, teller):
        teller.tell(failure(), room_id=company.SALES_ROOM)
        teller.tell(hour_later(teller))
        assert len(teller.messages(company.SALES_ROOM)) == 2
        assert teller.messages() == {}

    def test_answers_in_every_room_with_an_alert(self, teller):
        teller.tell(failure())
        teller.tell(failure(), room_id=company.SALES_ROOM)
        teller.tell(hour_later(teller))
        for messages in (teller.messages(), teller.messages(company.SALES_ROOM)):
            alert, answer = messages.values()
            assert alert.startswith(EN("recovered", at="").rstrip())
            assert RECOVERED in answer

    def test_says_how_long_it_took(self, teller):
        teller.tell(failure())
        teller.clock.sleep(timedelta(days=2).total_seconds())
        teller.tell(hour_later(teller))
        assert EN("days", d=2, h=1) in teller.posted[-1]

    def test_says_what_it_did(self, teller, caplog):
        caplog.set_level(logging.INFO)
        teller.tell(failure())
        teller.tell(hour_later(teller))
        assert "report has recovered: 1 messages of Chatwork say so" in caplog.text

    def test_warns_where_airflow_cannot_be_asked(self, teller, caplog):
        teller.tell(failure())
        teller.tell(hour_later(teller), ledger=teller.airflow.ledger(NEXT, broken=frozenset({"load"})))
        assert teller.calls == ["post_message"]
        assert "Whether there is an alert to take back could not be asked: load is out of order" in caplog.text


class TestKeep:
    def test_keeps_the_open_messages_oldest_first(self):
        ledger = MemoryAirflow().ledger()
        for at, name in enumerate(("b", "a", "c")):
            ledger.save(name, Board(message_id=name).to_json())
            recovery.keep(ledger, DAG, name, float(at))
        assert [name for name, _ in recovery.boards_of(ledger, DAG)] == ["b", "a", "c"]
        assert [board.message_id for _, board in recovery.boards_of(ledger, DAG)] == ["b", "a", "c"]

    def test_keeps_each_once(self):
        airflow = MemoryAirflow()
        for now in (1.0, 2.0):
            recovery.keep(airflow.ledger(), DAG, "a", now)
        assert len(airflow.variables) == 1
        assert '"a": 1.0' in next(iter(airflow.variables.values()))

    def test_keeps_twenty_at_the_most_and_takes_the_boards_of_the_others_away(self):
        ledger = MemoryAirflow().ledger()
        for at in range(25):
            ledger.save(f"board {at}", Board(message_id=str(at)).to_json())
            recovery.keep(ledger, DAG, f"board {at}", float(at))
        assert [name for name, _ in recovery.boards_of(ledger, DAG)] == [f"board {at}" for at in range(5, 25)]
        assert ledger.load("board 4") is None

    def test_keeps_the_dags_apart(self):
        ledger = MemoryAirflow().ledger()
        ledger.save("a", Board(message_id="a").to_json())
        recovery.keep(ledger, DAG, "a", 1.0)
        assert recovery.boards_of(ledger, "another") == []

    def test_writes_again_what_another_run_swallowed(self):
        airflow = MemoryAirflow()
        ledger = airflow.ledger()
        save = ledger.save
        swallowed = []

        def save_and_be_overwritten(name: str, value: dict[str, Any] | None) -> None:
            save(name, value)
            if not swallowed:
                swallowed.append(value)
                save(name, {"boards": {"another": 0.5}})

        ledger.save = save_and_be_overwritten  # type: ignore[method-assign]
        recovery.keep(ledger, DAG, "a", 1.0)
        assert {*(ledger.load(next(iter(airflow.variables))) or {})["boards"]} == {"a", "another"}

    def test_gives_up_where_airflow_forgets(self):
        recovery.keep(MemoryAirflow().ledger(forgetful=True), DAG, "a", 1.0)

    def test_says_where_airflow_does_not_keep_it(self):
        with pytest.raises(LedgerError):
            recovery.keep(MemoryAirflow().ledger(broken=frozenset({"save"})), DAG, "a", 1.0)


class TestBoardsOf:
    def test_passes_over_boards_that_are_gone(self):
        ledger = MemoryAirflow().ledger()
        recovery.keep(ledger, DAG, "gone", 1.0)
        assert recovery.boards_of(ledger, DAG) == []


class TestBoardName:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ((DAG, RUN, 1), (DAG, RUN, 2)),
            ((DAG, RUN, 1), (DAG, NEXT, 1)),
            ((DAG, RUN, 1), ("another", RUN, 1)),
            ((DAG, "", 1), (DAG, RUN, 1)),
        ],
    )
    def test_differs_by_dag_run_and_room(self, one, other):
        assert recovery.board_name(*one) != recovery.board_name(*other)
