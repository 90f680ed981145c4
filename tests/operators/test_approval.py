from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseOperator,
    TaskDeferred,
)

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.operators.approval import ChatworkApprovalOperator
from airflow_provider_chatwork.sandbox import Fault
from airflow_provider_chatwork.utils.task_failures import TRIGGER_TIMEOUT_GRACE
from tests.airflow_helpers import FakeTaskInstance, connect, context, new_dag, render
from tests.operators.approval_scenarios import BOT, ROOM, SATO, TAKAHASHI, THREE, YAMADA, Scenario, approval


class EmptyTask(BaseOperator):
    """Does nothing."""

    def execute(self, context: Any) -> None:
        return None


def empty_task(task_id: str) -> EmptyTask:
    return EmptyTask(task_id=task_id)


class TestQuestion:
    def text(self, scenario: Scenario, **arguments: Any) -> str:
        approval(**arguments).execute(context())
        [question] = scenario.own_messages
        return str(question["body"])

    def test_says_who_is_asked_what_and_how_to_answer(self, scenario):
        assert self.text(scenario, approvers=THREE, complete_when=2, timeout=7200, **self.at_once(scenario)) == (
            f"[To:{SATO}] 佐藤 花子さん\n[To:{YAMADA}] 山田 太郎さん\n[To:{TAKAHASHI}] 高橋 美咲さん\n"
            "[info][title]回答のお願い[/title]公開してよいですか\n\n1. 承認\n2. 却下\n\n"
            "このメッセージに返信し、1 行目に選択肢か番号だけを書いてください。2 行目からはコメントを書けます。\n"
            "3 人のうち 2 人が同じ選択肢を選ぶと決まります。\n回答期限: この質問から 2 時間\n"
            "依頼元: Airflow report / tell / manual__1[/info]"
        )

    def at_once(self, scenario: Scenario) -> dict[str, Any]:
        scenario.events = [(30, lambda s: [s.reply(person, "承認") for person in THREE])]
        return {}

    def test_is_in_the_language_of_the_connection(self, scenario, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, lang="en")
        assert self.text(scenario, options={"Yes": True, "No": False}, on_timeout="No", timeout=60) == (
            f"[To:{SATO}] 佐藤 花子\n"
            "[info][title]Your answer is needed[/title]公開してよいですか\n\n1. Yes\n2. No\n\n"
            "Reply to this message. On the first line, write nothing but an option or its number; comments go below "
            "it.\nTime to answer: 1 min from now\nAsked by: Airflow report / tell / manual__1[/info]"
        )

    def test_other_accounts_can_be_mentioned(self, scenario):
        text = self.text(scenario, to=[TAKAHASHI], approvers=[SATO, YAMADA])
        assert text.startswith(f"[To:{TAKAHASHI}] 高橋 美咲さん\n[info]")
        assert "\n回答できる人: 佐藤 花子、山田 太郎\nどなたか 1 人の回答で決まります。\n" in text

    @pytest.mark.parametrize("nobody", [[], (), "[]"])
    def test_an_empty_list_mentions_nobody(self, nobody, scenario):
        text = self.text(scenario, to=nobody)
        assert text.startswith("[info]")
        assert "回答できる人: 佐藤 花子" in text

    @pytest.mark.parametrize("nothing", [None, "", "None"])
    def test_the_approvers_are_mentioned_by_default(self, nothing, scenario):
        assert self.text(scenario, to=nothing).startswith(f"[To:{SATO}]")

    def test_approvers_who_left_are_not_named(self, scenario, logged):
        scenario.sandbox.remove_member(ROOM, YAMADA)
        text = self.text(scenario, approvers=[SATO, YAMADA, BOT], to=[SATO, YAMADA])
        assert "山田" not in text
        assert "どなたか" not in text
        assert f"[{YAMADA}, {BOT}]" in logged()

    def test_approvers_who_may_only_read_are_left_out(self, scenario, logged):
        scenario.sandbox.add_member(ROOM, YAMADA, "readonly")
        assert "どなたか" not in self.text(scenario, approvers=[SATO, YAMADA])
        assert f"[{YAMADA}]" in logged()

    def test_the_account_of_the_token_is_not_mentioned(self, scenario):
        text = self.text(scenario, approvers=[BOT, SATO])
        assert text.startswith(f"[To:{SATO}]")
        assert f"[To:{BOT}]" not in text

    def test_accounts_that_cannot_be_mentioned_are_logged(self, scenario, logged):
        text = self.text(scenario, to=[TAKAHASHI, 999999])
        assert text.startswith(f"[To:{TAKAHASHI}]")
        assert "999999" not in text
        assert logged().count("[999999]") == 1

    def test_differs_for_every_task_instance(self, scenario):
        for more in ({}, {"run_id": "manual__2"}, {"map_index": 3}, {"task_id": "b"}, {"dag_id": "other"}):
            approval(fail_on_reject=True, on_timeout="承認").execute({"ti": FakeTaskInstance(**more)})
        bodies = [message["body"] for message in scenario.own_messages]
        assert len({*bodies}) == len(bodies) == 5

    def test_the_question_of_another_run_is_not_reused(self, scenario, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, max_wait=60)
        asked = []
        for run_id in ("manual__1", "manual__2"):
            with pytest.raises(TaskDeferred) as deferred:
                approval(deferrable=True, timeout=600).execute({"ti": FakeTaskInstance(run_id=run_id)})
            asked.append(deferred.value.trigger.serialize()[1]["question"]["message_id"])
            # The second is not posted by the first request, so that the client looks for it.
            scenario.sandbox.add_fault(Fault("status", operation="post_message", status=503, executed=False, times=1))
        assert asked == [message["message_id"] for message in scenario.own_messages]
        assert len({*asked}) == 2

    def test_only_the_authors_notation_is_kept(self, scenario):
        scenario.sandbox.store.accounts[SATO].name = "佐藤[toall]"
        text = self.text(scenario, question="[b]売上[hr]確認[/info]", options={"[toall]": True, "却下": False})
        assert "[b]売上[hr]確認[\u200b/info]" in text
        assert "1. [\u200btoall]" in text
        assert "佐藤[\u200btoall]さん" in text
        assert "[toall]" not in text


class TestInvalidArguments:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"options": {}}, "options="),
            ({"options": {"承認": 1}}, "options="),
            ({"options": {"承認": True, "承認。": False}}, "options="),
            ({"on_timeout": "承認する"}, "on_timeout="),
            ({"options": {"Skip": True}, "on_timeout": "skip"}, "on_timeout="),
            ({"options": {"{{ params.yes }}": True, "却下": False}}, "is a template"),
            ({"options": {"{% if a %}承認{% endif %}": True, "却下": False}}, "is a template"),
        ],
    )
    def test_are_found_when_the_dag_file_is_parsed(self, arguments, said):
        with pytest.raises(ChatworkParameterError, match=said):
            approval(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"approvers": []}, "approvers="),
            ({"approvers": "佐藤"}, "approvers="),
            ({"to": "佐藤"}, "to="),
            ({"complete_when": "most"}, "number of approvers"),
            ({"complete_when": 2}, "number from 1 to 1"),
            ({"complete_when": 0}, "complete_when="),
            ({"question": ""}, "question="),
            ({"question": 5}, "question="),
            ({"timeout": "soon"}, "timeout="),
            ({"timeout": -1}, "timeout="),
            ({"timeout": float("nan")}, "timeout="),
            ({"timeout": "2026-12-01"}, "timeout="),
            ({"poke_interval": True}, "poke_interval="),
            ({"poke_interval": None}, "poke_interval="),
            ({"room_id": "general"}, "room_id="),
            ({"options": "{{ nothing }}"}, "options="),
            ({"on_timeout": "{{ nothing }}"}, "on_timeout="),
        ],
    )
    def test_fail_the_task_before_anything_is_sent(self, arguments, said, scenario):
        for deferrable in (False, True):
            with pytest.raises(AirflowFailException, match=said) as caught:
                approval(deferrable=deferrable, **arguments).execute(context())
            assert isinstance(caught.value.__cause__, ChatworkParameterError)
        assert not scenario.sandbox.requests

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"approvers": [BOT]}, "own messages never count"),
            ({"approvers": [BOT, SATO], "complete_when": "all"}, "2 of them have to agree, and 1 of them"),
            ({"approvers": [SATO, 5], "complete_when": 2}, "2 of them have to agree, and 1 of them"),
            ({"approvers": [5]}, "1 of them have to agree, and 0 of them"),
            ({"approvers": [BOT, SATO], "complete_when": 2}, "own messages never count"),
        ],
    )
    def test_are_found_before_the_question_is_posted(self, arguments, said, scenario):
        with pytest.raises(AirflowFailException, match=said):
            approval(**arguments).execute(context())
        assert scenario.own_messages == []

    @pytest.mark.parametrize("name", ["elsewhere", "after", "before", "nowhere"])
    def test_branches_have_to_be_directly_downstream(self, name, scenario):
        with new_dag("branches"):
            start, elsewhere, then, after = (
                EmptyTask(task_id=task_id) for task_id in ("before", "elsewhere", "then", "after")
            )
            task = approval(options={"承認": ["then", name], "却下": False})
            start >> task >> then >> after
            start >> elsewhere
        with pytest.raises(AirflowFailException, match=f"'{name}' is not a task directly downstream"):
            task.execute(context())
        assert not scenario.sandbox.requests

    @pytest.mark.parametrize(("arguments", "fine"), [({}, False), ({"fail_on_reject": True}, True)])
    def test_a_mapped_task_has_to_fail_on_reject(self, arguments, fine, scenario):
        with new_dag("mapped"):
            task = approval(on_timeout="承認", **arguments)
            task >> empty_task("then")
        mapped = {"ti": FakeTaskInstance(map_index=1)}
        if fine:
            assert task.execute(mapped)["choice"] == "承認"
            return
        with pytest.raises(AirflowFailException, match="fail_on_reject"):
            task.execute(mapped)
        assert not scenario.sandbox.requests

    @pytest.mark.parametrize(
        ("rule", "ignore", "fine"),
        [("all_success", False, True), ("all_success", True, False), ("none_failed", False, False)],
    )
    def test_a_mapped_task_can_skip_only_tasks_with_all_success(self, rule, ignore, fine, scenario):
        with new_dag("mapped"):
            task = approval(
                on_timeout="skip",
                fail_on_reject=True,
                ignore_downstream_trigger_rules=ignore,
                deferrable=True,
                timeout=60,
            )
            task >> EmptyTask(task_id="then", trigger_rule=rule)
        with pytest.raises(TaskDeferred if fine else AirflowFailException, match=None if fine else "on_timeout="):
            task.execute({"ti": FakeTaskInstance(map_index=1)})
        assert bool(scenario.own_messages) is fine

    @pytest.mark.parametrize("on_timeout", ["{{ 'fail' }}", "{% if true %}fail{% endif %}"])
    def test_templates_are_not_checked(self, on_timeout):
        assert approval(on_timeout=on_timeout).on_timeout == on_timeout

    def test_options_that_changed_during_the_wait_fail_the_task(self, scenario):
        with pytest.raises(TaskDeferred) as deferred:
            approval(deferrable=True, timeout=600).execute(context())
        scenario.reply(SATO, "承認")
        event = scenario.run_deferred(deferred.value)
        changed = approval(timeout=600, options={"はい": True, "いいえ": False}, on_timeout="いいえ")
        with pytest.raises(AirflowFailException, match=r"'承認' was decided for .*'はい', 'いいえ'"):
            changed.execute_complete(context(), event)


class TestDeferral:
    def defer(self, **arguments: Any) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            approval(deferrable=True, **arguments).execute(context())
        return caught.value

    def test_the_trigger_gets_all_arguments(self, scenario):
        deferred = self.defer(approvers=THREE, complete_when=2, timeout=timedelta(hours=1), poke_interval=7)
        _, arguments = deferred.trigger.serialize()
        assert arguments == {
            "chatwork_conn_id": "chatwork_default",
            "poke_interval": 7.0,
            "deadline": scenario.now + 3600,
            "exponential_backoff": False,
            "max_interval": None,
            "silent_fail": False,
            "state": {
                "votes": [],
                "hinted": {},
                "invalidated": {},
                "seen": None,
                "possible_loss": False,
                "ineligible": [],
                "members_at": scenario.now,
                "invalidated_at": {},
                "question_not_found": False,
            },
            "question": {
                "room_id": ROOM,
                "message_id": scenario.question,
                "options": ["承認", "却下"],
                "rejecting": ["却下"],
                "approvers": THREE,
                "quorum": 2,
                "account_id": BOT,
                "account_name": "データ連携ボット",
                "lang": "ja",
                "web_url": str(scenario.sandbox.address),
            },
        }

    def test_airflows_timeout_is_later_than_the_deadline(self, scenario):
        assert self.defer(timeout=60).timeout == timedelta(seconds=60) + TRIGGER_TIMEOUT_GRACE

    def test_a_vote_that_does_not_decide_is_saved_by_another_deferral(self, scenario):
        result = scenario.run(
            "triggerer",
            [(90, lambda s: s.reply(SATO, "承認")), (300, lambda s: s.reply(YAMADA, "承認"))],
            approvers=THREE,
            complete_when=2,
        )
        assert result.outcome == "decided"
        assert scenario.deferrals == 2

    @pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
    @pytest.mark.parametrize(
        ("on_timeout", "end"),
        [("fail", AirflowSensorTimeout), ("skip", AirflowSkipException), ("承認", AirflowSensorTimeout)],
    )
    def test_no_option_is_chosen_if_airflow_ends_the_wait(self, error, on_timeout, end):
        # The first is the text of Airflow 3, the second that of 2.11.
        with pytest.raises(end, match="not read in time"):
            approval(on_timeout=on_timeout).resume_execution("__fail__", {"error": error}, context())

    def test_other_failures_of_the_trigger_are_left_to_airflow(self):
        with pytest.raises(Exception, match="Trigger failure") as caught:
            approval().resume_execution("__fail__", {"error": "Trigger failure"}, context())
        assert type(caught.value).__name__ == "TaskDeferralError"


class TestRendering:
    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_all_arguments_but_switches_are_templates(self, native, scenario, sandbox, monkeypatch):
        connect(monkeypatch, sandbox, conn_id="chatwork_second")
        given = {
            "room_id": ROOM,
            "question": "release",
            "approvers": THREE,
            "to": [],
            "complete_when": 2,
            "timeout": 60,
            "on_timeout": "進む",
            "poke_interval": 20,
            "chatwork_conn_id": "chatwork_second",
        }
        with new_dag("d", render_template_as_native_obj=native):
            task = ChatworkApprovalOperator(
                task_id="ask",
                options={"進む": True, "やめる": ["{{ given['question'] }}"]},
                deferrable=False,
                **{name: f"{{{{ given['{name}'] }}}}" for name in given},
            )
            task >> empty_task("release")
        assert set(task.template_fields) == {*given, "options"}
        render(task, given=given)
        assert task.execute({"ti": FakeTaskInstance(), "task": task})["outcome"] == "timeout_default"
