"""What a retry, a clear, a lost triggerer and the poll interval do to an approval."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.errors import ChatworkUnexpectedResponseError
from airflow_provider_chatwork.sandbox import Fault
from airflow_provider_chatwork.sandbox.serving import ServedSandbox
from tests.airflow_helpers import FakeStore, FakeTaskInstance, connect, context
from tests.operators.approval_cases import breaks, chat, replies, replies_to_last_hint
from tests.operators.approval_scenarios import (
    BOT,
    BOTH,
    MODES,
    ROOM,
    SATO,
    TAKAHASHI,
    THREE,
    YAMADA,
    Scenario,
    approval,
)


@pytest.fixture
def stored() -> dict[str, Any]:
    """The context of a task that Airflow 3.3 stores the state of, and that is retried twice."""
    return {"ti": FakeTaskInstance(max_tries=2), "task_state_store": FakeStore()}


def post(scenario: Scenario, task_context: Any, **arguments: Any) -> int:
    """Post the question in another try, and return the number of questions in the room."""
    with pytest.raises(TaskDeferred):
        approval(deferrable=True, **{"timeout": 600, **arguments}).execute(task_context)
    return len(scenario.own_messages)


def resume_late(task_context: Any, **arguments: Any) -> Any:
    """Resume after Airflow ended the deferral."""
    return approval(timeout=600, **arguments).resume_execution("__fail__", {"error": "Trigger timeout"}, task_context)


class TestRetry:
    def fail(self, scenario: Scenario, task_context: Any, **arguments: Any) -> None:
        """Run a try that fails, and repair Chatwork."""
        with pytest.raises(ChatworkUnexpectedResponseError):
            scenario.execute(approval(**arguments), task_context)
        scenario.sandbox.clear_faults()

    def fail_at_once(self, scenario: Scenario, task_context: Any) -> None:
        scenario.break_down(operation="list_messages", status=302)
        self.fail(scenario, task_context, timeout=600)

    @pytest.mark.parametrize("mode", MODES)
    def test_reads_the_answers_to_the_question_of_the_try_before(self, mode, scenario, stored):
        self.fail_at_once(scenario, stored)
        scenario.now += 30
        scenario.reply(SATO, "承認")
        result = scenario.execute(approval(timeout=600, deferrable=mode == "triggerer"), stored)
        assert result["choice"] == "承認"
        assert result["message_id"] == scenario.question
        assert len(scenario.own_messages) == 1

    @pytest.mark.parametrize("mode", MODES)
    def test_does_not_fail_because_an_approver_left(self, mode, scenario, stored):
        arguments = {**BOTH, "timeout": 600, "deferrable": mode == "triggerer"}
        # This try also resumes after the triggerer, which must not lose the fingerprint of the question.
        scenario.events = [replies(30, YAMADA, "承認"), breaks(90, status=302)]
        self.fail(scenario, stored, **arguments)
        scenario.sandbox.remove_member(ROOM, YAMADA)
        scenario.reply(SATO, "却下")
        assert scenario.execute(approval(**arguments), stored)["choice"] == "却下"
        assert len(scenario.own_messages) == 1

    def test_a_lost_list_of_members_is_not_an_empty_room(self, scenario):
        scenario.sandbox.add_fault(Fault("malformed", operation="list_members", shape="empty", times=None))
        with pytest.raises(ChatworkUnexpectedResponseError):
            approval().execute(context())
        assert not scenario.own_messages

    def test_does_not_extend_the_deadline(self, scenario, stored):
        started_at = scenario.now
        self.fail_at_once(scenario, stored)
        scenario.now = started_at + 400
        assert approval(timeout=600).execute(stored)["outcome"] == "timeout_default"
        assert scenario.now == started_at + 600

    def test_a_question_whose_state_was_not_saved_keeps_its_deadline(self, scenario, stored):
        started_at = scenario.now
        assert post(scenario, stored) == 1
        # As after a crash between posting and saving.
        stored["task_state_store"].delete("chatwork_approval")
        scenario.now = started_at + 400
        assert approval(timeout=600).execute(stored)["outcome"] == "timeout_default"
        assert (len(scenario.own_messages), scenario.now) == (1, started_at + 600)

    @pytest.mark.parametrize("mode", MODES)
    def test_keeps_the_votes_of_the_try_before(self, mode, scenario, stored):
        arguments = {**BOTH, "timeout": 7200, "deferrable": mode == "triggerer"}
        scenario.events = [replies(30, SATO, "承認"), breaks(90, status=302)]
        self.fail(scenario, stored, **arguments)
        scenario.post_chat(150)
        scenario.events = [replies(600, YAMADA, "承認")]
        result = scenario.execute(approval(**arguments), stored)
        assert (result["choice"], [vote["account_id"] for vote in result["votes"]]) == ("承認", [SATO, YAMADA])
        assert result["possible_loss"] is True

    @pytest.mark.parametrize("to", [None, [], [TAKAHASHI]])
    def test_does_not_post_again_because_of_changes_among_the_members(self, to, scenario, stored):
        arguments = {"approvers": THREE, "to": to}
        scenario.sandbox.remove_member(ROOM, TAKAHASHI)
        questions = [post(scenario, stored, **arguments)]
        scenario.sandbox.add_member(ROOM, TAKAHASHI)
        questions.append(post(scenario, stored, **arguments))
        scenario.sandbox.store.accounts[SATO].name = "鈴木 花子"
        questions.append(post(scenario, stored, **arguments))
        assert questions == [1, 1, 1]

    @pytest.mark.parametrize(
        "change",
        [
            {"question": "本当に?"},
            {"options": {"承認": True, "見送り": False, "却下": False}},
            {"approvers": [SATO, YAMADA]},
            {"to": [SATO]},
            {"complete_when": "all"},
            {"timeout": 601},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_posts_again_if_an_argument_changed(self, change, scenario, stored):
        assert post(scenario, stored, approvers=THREE) == 1
        assert post(scenario, stored, **{"approvers": THREE, **change}) == 2

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize(("late", "outcome"), [(59, "answered"), (86400, "timeout_default")])
    def test_an_answer_after_the_deadline_does_not_decide(self, late, outcome, mode, scenario, stored):
        post(scenario, stored)
        scenario.now += 600 + late
        scenario.reply(SATO, "承認")
        scenario.now += 60
        again = approval(timeout=600, deferrable=mode == "triggerer")
        assert scenario.execute(again, stored)["outcome"] == outcome


class TestClear:
    def test_posts_the_question_again(self, scenario, stored):
        first = approval().execute(stored)
        stored["ti"].max_tries += 1
        second = approval().execute(stored)
        assert first["message_id"] != second["message_id"]

    def test_drops_the_votes(self, scenario, stored):
        arguments = {**BOTH, "timeout": 600}
        scenario.events = [chat(30, 150), replies(90, SATO, "承認")]
        first = approval(**arguments).execute(stored)
        assert (len(first["votes"]), first["possible_loss"]) == (1, True)
        stored["ti"].max_tries += 1
        second = approval(**arguments).execute(stored)
        assert (second["votes"], second["possible_loss"]) == ([], False)


class TestLostTriggerer:
    def test_the_worker_polls_once_if_airflow_stored_the_question(self, scenario, stored):
        post(scenario, stored)
        scenario.now += 300
        scenario.reply(SATO, "承認")
        scenario.now += 86400
        assert resume_late(stored)["choice"] == "承認"
        assert len(scenario.own_messages) == 1

    def test_the_worker_does_not_continue_a_wait_before_its_deadline(self, scenario, stored):
        post(scenario, stored)
        with pytest.raises(AirflowSensorTimeout, match="not read in time"):
            resume_late(stored)

    def test_the_worker_uses_a_new_token(self, scenario, stored, sandbox, monkeypatch):
        post(scenario, stored)
        scenario.reply(SATO, "承認")
        scenario.now += 86400
        late = approval(timeout=600)
        assert late.hook.run(get_me())["account_id"] == BOT
        replace_token(sandbox, monkeypatch)
        assert late.resume_execution("__fail__", {"error": "Trigger timeout"}, stored)["choice"] == "承認"


def replace_token(sandbox: ServedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_tokens", {"another-token": BOT})
    connect(monkeypatch, sandbox, token="another-token")


class TestWait:
    def test_on_kill_cancels_it(self, scenario, monkeypatch):
        monkeypatch.undo()
        connect(monkeypatch, scenario.sandbox)
        operator = approval(timeout=600)
        timer = threading.Timer(0.2, operator.on_kill)
        timer.start()
        with pytest.raises(AirflowException, match="was cancelled by Airflow"):
            operator.execute(context())
        timer.join()
        assert len(scenario.own_messages) == 1

    @pytest.mark.parametrize("mode", MODES)
    def test_continues_with_a_new_token(self, mode, scenario, sandbox, monkeypatch):
        renewal = (90, lambda s: replace_token(sandbox, monkeypatch))
        result = scenario.run(mode, [renewal, replies(300, SATO, "承認")])
        assert (result.outcome, result.error) == ("decided", "")

    # The minimum is one second. The rate budget of the account, 240 polls in 5 minutes, makes it 1.25 s.
    @pytest.mark.parametrize(
        ("interval", "polls"), [(timedelta(minutes=1), 11), ("PT5M", 3), ("200", 4), (0.1, 479)], ids=str
    )
    def test_polls_at_the_interval_and_at_most_once_a_second(self, interval, polls, scenario):
        approval(timeout="PT10M", poke_interval=interval).execute(context())
        operations = [request.operation for request in scenario.sandbox.requests]
        assert operations.count("list_messages") == polls

    @pytest.mark.parametrize("mode", MODES)
    def test_missed_messages_are_logged_and_returned(self, mode, scenario, logged):
        result = scenario.run(mode, [replies(90, SATO, "承認"), chat(95, 150)], timeout=900)
        assert result.outcome == "timed out"
        assert logged().count("may have been missed") == 1
        result = scenario.run(mode, [chat(1000, 150), replies_to_last_hint(1100, SATO, "承認")])
        assert result.value["possible_loss"] is True

    @pytest.mark.parametrize("mode", MODES)
    def test_a_rejecting_option_is_chosen_although_an_answer_may_have_been_missed(self, mode, scenario):
        result = scenario.run(mode, [chat(95, 150)], timeout=900, on_timeout="却下")
        assert (result.value["choice"], result.value["possible_loss"]) == ("却下", True)

    @pytest.mark.parametrize("mode", MODES)
    def test_names_and_comments_are_not_logged(self, mode, scenario, logged):
        scenario.run(mode, [replies(90, SATO, "承認\n秘密です")])
        lines = logged()
        assert "Decided" in lines
        assert "佐藤" not in lines
        assert "秘密" not in lines
