from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.sandbox import Fault
from airflow_provider_chatwork.sandbox.company import BOT, DATA_ROOM, YAMADA
from airflow_provider_chatwork.waiting.reminders.cancellation import (
    cancel_tasks,
    cancellation_reason,
    new_cancellation,
    was_cancelled,
)
from airflow_provider_chatwork.waiting.tasks.result import TaskWaitOutcome
from tests.clients import drive
from tests.waiting.scenario import HOUR, Scenario

WHY = "期限までに完了しませんでした"


def cancel(scenario: Scenario, reason: str = WHY, **more):
    return scenario.scene.run_flow(cancel_tasks(scenario.snapshot(), reason, **more))


def statuses(scenario: Scenario) -> list[str]:
    return [task["status"] for task in scenario.snapshot().tasks if task]


class TestCancelTasks:
    def test_posts_why_and_closes_open_tasks(self, scenario):
        scenario.sandbox.complete_task(DATA_ROOM, scenario.task_ids[0])
        result = cancel(scenario)
        (body,) = scenario.posted()
        assert f"理由: {WHY}\n担当: 佐藤 花子さん\n依頼の取り下げ: " in body
        assert "[To:" not in body
        assert result["closed"] == scenario.task_ids[1:]
        assert result["refused"] == []
        assert statuses(scenario) == ["done", "done"]
        assert json.loads(json.dumps(result)) == result
        assert scenario.scene.operations.index("post_message") < scenario.scene.operations.index("set_task_status")

    def test_uses_the_language(self, scenario):
        cancel(scenario, lang="en")
        assert scenario.labels() == ["Request withdrawn"]

    def test_refuses_another_language(self, scenario):
        with pytest.raises(errors.ChatworkParameterError, match=r"^lang="):
            cancel(scenario, lang="de")

    def test_escapes_the_reason(self, scenario):
        cancel(scenario, "[toall]")
        assert "[toall]" not in scenario.posted()[0]

    def test_sends_nothing_without_open_tasks(self, scenario):
        snapshot = scenario.snapshot(tasks=[None, {**scenario.snapshot().tasks[0], "status": "done"}])
        assert drive(cancel_tasks(snapshot, WHY)) == ([], {"message_id": None, "closed": [], "refused": []})

    @pytest.mark.parametrize("calls", range(7))
    def test_posts_once_and_does_the_rest_after_an_interruption(self, scenario, calls):
        steps = cancel_tasks(scenario.snapshot(), WHY)
        answer = None
        for _ in range(calls):
            try:
                call = steps.send(answer)
            except StopIteration:
                break
            answer = scenario.scene.run(call)
        steps.close()
        cancel(scenario)
        assert len(scenario.posted()) == 1
        assert statuses(scenario) == ["done", "done"]

    def test_posts_in_a_busy_room_as_well(self, scenario):
        scenario.post_chatter(120)
        cancel(scenario)
        assert len(scenario.posted()) == 1

    def test_posts_again_for_a_later_cancellation(self, scenario):
        cancel(scenario)
        for task_id in scenario.task_ids:
            scenario.sandbox.reopen_task(DATA_ROOM, task_id)
        scenario.scene.clock.now += HOUR
        assert cancel(scenario, since=scenario.start + HOUR)["message_id"] is not None
        assert len(scenario.posted()) == 2

    def test_leaves_out_a_task_that_somebody_has_deleted(self, scenario):
        snapshot = scenario.snapshot()
        scenario.sandbox.delete_task(DATA_ROOM, scenario.task_ids[0])
        result = scenario.scene.run_flow(cancel_tasks(snapshot, WHY))
        assert (result["closed"], result["refused"]) == (scenario.task_ids[1:], [])

    def test_closes_the_others_where_chatwork_refuses_one(self, scenario):
        scenario.scene.add_faults(Fault("status", operation="set_task_status", status=403))
        result = cancel(scenario)
        assert result["closed"] == scenario.task_ids[1:]
        assert "403" in result["refused"][0]

    def test_closes_the_tasks_where_it_may_not_post(self, scenario):
        scenario.scene.add_faults(Fault("status", operation="post_message", status=403))
        result = cancel(scenario)
        assert result["closed"] == scenario.task_ids
        assert result["message_id"] is None
        assert "403" in result["refused"][0]

    @pytest.mark.parametrize("operation", ["list_messages", "post_message", "set_task_status"])
    def test_raises_transient_errors(self, scenario, operation):
        scenario.scene.add_faults(Fault("status", operation=operation, status=503, times=None))
        with pytest.raises(errors.ChatworkServerError):
            cancel(scenario)
        scenario.sandbox.clear_faults()
        cancel(scenario)
        assert len(scenario.posted()) == 1
        assert statuses(scenario) == ["done", "done"]

    def test_fills_the_result_before_an_error(self, scenario):
        scenario.scene.add_faults(Fault("status", operation="set_task_status", status=503, times=None, after=1))
        result = new_cancellation()
        with pytest.raises(errors.ChatworkServerError):
            cancel(scenario, result=result)
        assert result["closed"] == scenario.task_ids[:1]
        assert result["message_id"] is not None


class TestCancellationReason:
    @pytest.mark.parametrize("outcome", [TaskWaitOutcome.TIMED_OUT, TaskWaitOutcome.IMPOSSIBLE, TaskWaitOutcome.KILLED])
    def test_has_a_text_in_both_languages(self, outcome: TaskWaitOutcome) -> None:
        assert cancellation_reason(outcome, "ja").endswith("ため")
        assert cancellation_reason(outcome, "en").isascii()


class TestWasCancelled:
    def ask(self, said: str | None, chatter: int = 0, by: int = BOT) -> bool:
        scenario = Scenario()
        link = f"https://example.com/#!rid{DATA_ROOM}-{scenario.message_id}"
        if said is not None:
            scenario.sandbox.post_message(DATA_ROOM, by, said.format(link=link))
        snapshot = scenario.snapshot()
        scenario.post_chatter(chatter)
        page: Any = scenario.sandbox.messages(DATA_ROOM)[-100:]
        return was_cancelled(snapshot, page)

    @pytest.mark.parametrize("said", ["依頼の取り下げ: {link}", "Request withdrawn: {link}"])
    def test_finds_the_message_in_both_languages(self, said: str) -> None:
        assert self.ask(said)

    @pytest.mark.parametrize("said", [None, "終わりました", "リマインド 1 回目: {link}", "依頼の取り下げ: {link}0"])
    def test_finds_nothing_else(self, said: str | None) -> None:
        assert not self.ask(said)

    def test_ignores_the_message_of_another_account(self) -> None:
        assert not self.ask("依頼の取り下げ: {link}", by=YAMADA)

    def test_raises_where_the_messages_do_not_reach_back_to_the_tasks(self) -> None:
        with pytest.raises(errors.ChatworkUnknownOutcomeError):
            self.ask(None, chatter=100)

    def test_is_sure_while_the_messages_reach_back_to_the_tasks(self) -> None:
        assert not self.ask(None, chatter=99)

    def test_finds_the_message_in_a_busy_room(self) -> None:
        assert self.ask("依頼の取り下げ: {link}", chatter=99)
