from __future__ import annotations

import json

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.sandbox import Fault
from airflow_provider_chatwork.sandbox.company import DATA_ROOM
from airflow_provider_chatwork.waiting.reminders.cancellation import new_withdrawal, withdraw_steps
from tests.clients import drive
from tests.waiting.office import HOUR, Office

WHY = "期限までに完了しませんでした"


def withdraw(office: Office, reason: str = WHY, **more):
    return office.scene.run_flow(withdraw_steps(office.facts(), reason, **more))


def statuses(office: Office) -> list[str]:
    return [task["status"] for task in office.facts().tasks if task]


class TestWithdrawSteps:
    def test_says_why_and_closes_what_is_open(self, office):
        office.sandbox.complete_task(DATA_ROOM, office.task_ids[0])
        result = withdraw(office)
        (body,) = office.said()
        assert f"理由: {WHY}\n担当: 佐藤 花子さん\n依頼の取り下げ: " in body
        assert "[To:" not in body
        assert result["closed"] == office.task_ids[1:]
        assert result["refused"] == []
        assert statuses(office) == ["done", "done"]
        assert json.loads(json.dumps(result)) == result
        assert office.scene.operations.index("post_message") < office.scene.operations.index("set_task_status")

    def test_speaks_the_language_it_is_given(self, office):
        withdraw(office, lang="en")
        assert office.last_lines() == ["Request withdrawn"]

    def test_refuses_a_language_it_does_not_speak(self, office):
        with pytest.raises(errors.ChatworkParameterError, match=r"^lang="):
            withdraw(office, lang="de")

    def test_lets_nothing_in_a_reason_act(self, office):
        withdraw(office, "[toall]")
        assert "[toall]" not in office.said()[0]

    def test_does_nothing_where_nothing_is_open(self, office):
        facts = office.facts(tasks=[None, {**office.facts().tasks[0], "status": "done"}])
        assert drive(withdraw_steps(facts, WHY)) == ([], {"message_id": None, "closed": [], "refused": []})

    @pytest.mark.parametrize("calls", range(7))
    def test_says_nothing_twice_and_does_the_rest_when_it_was_interrupted(self, office, calls):
        steps = withdraw_steps(office.facts(), WHY)
        answer = None
        for _ in range(calls):
            try:
                call = steps.send(answer)
            except StopIteration:
                break
            answer = office.scene.run(call)
        steps.close()
        withdraw(office)
        assert len(office.said()) == 1
        assert statuses(office) == ["done", "done"]

    def test_says_it_in_a_busy_room_as_well(self, office):
        office.chatter(120)
        withdraw(office)
        assert len(office.said()) == 1

    def test_says_it_again_when_it_is_about_another_time(self, office):
        withdraw(office)
        for task_id in office.task_ids:
            office.sandbox.reopen_task(DATA_ROOM, task_id)
        office.scene.clock.now += HOUR
        assert withdraw(office, since=office.start + HOUR)["message_id"] is not None
        assert len(office.said()) == 2

    def test_leaves_out_a_task_that_somebody_has_deleted(self, office):
        facts = office.facts()
        office.sandbox.delete_task(DATA_ROOM, office.task_ids[0])
        result = office.scene.run_flow(withdraw_steps(facts, WHY))
        assert (result["closed"], result["refused"]) == (office.task_ids[1:], [])

    def test_closes_the_others_where_chatwork_refuses_one(self, office):
        office.scene.add_faults(Fault("status", operation="set_task_status", status=403))
        result = withdraw(office)
        assert result["closed"] == office.task_ids[1:]
        assert "403" in result["refused"][0]

    def test_closes_the_tasks_where_it_may_say_nothing(self, office):
        office.scene.add_faults(Fault("status", operation="post_message", status=403))
        result = withdraw(office)
        assert result["closed"] == office.task_ids
        assert result["message_id"] is None
        assert "403" in result["refused"][0]

    @pytest.mark.parametrize("operation", ["list_messages", "post_message", "set_task_status"])
    def test_tells_of_trouble_that_passes_so_that_it_can_be_tried_again(self, office, operation):
        office.scene.add_faults(Fault("status", operation=operation, status=503, times=None))
        with pytest.raises(errors.ChatworkServerError):
            withdraw(office)
        office.sandbox.clear_faults()
        withdraw(office)
        assert len(office.said()) == 1
        assert statuses(office) == ["done", "done"]

    def test_tells_how_far_it_came_where_it_ends_with_an_error(self, office):
        office.scene.add_faults(Fault("status", operation="set_task_status", status=503, times=None, after=1))
        result = new_withdrawal()
        with pytest.raises(errors.ChatworkServerError):
            withdraw(office, result=result)
        assert result["closed"] == office.task_ids[:1]
        assert result["message_id"] is not None
