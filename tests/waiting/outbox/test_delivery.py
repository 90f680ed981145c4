from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.messages import delete_message
from airflow_provider_chatwork.sandbox import Fault
from airflow_provider_chatwork.sandbox.company import BOT, DATA_ROOM, YAMADA
from airflow_provider_chatwork.waiting.outbox.delivery import (
    DedupKey,
    DeliveryReport,
    OutboxMessage,
    PostResult,
    log_report,
    post_once,
)
from tests.clients import drive
from tests.waiting.scenario import WEB, Scenario

ESCALATION_KEY = DedupKey(
    ("期限超過のお知らせ", "Overdue notice"), ("期限超過のお知らせ", "Overdue notice"), 100, "200", 5, 1000.0
)
REFUSED = errors.ChatworkForbiddenError("post_message", 403)


def message(room_id: int = 100) -> OutboxMessage:
    return OutboxMessage("escalation", 1, 1000.0, room_id, 100, "…", ESCALATION_KEY)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, /, *values: Any) -> None:
        self.lines.append(f"INFO {event % values}")

    def warning(self, event: str, /, *values: Any) -> None:
        self.lines.append(f"WARNING {event % values}")


class TestAfterError:
    def test_a_refused_message_goes_to_the_fallback_room(self):
        other = message(room_id=7).after_error(REFUSED)
        assert isinstance(other, OutboxMessage)
        assert (other.room_id, other.error) == (100, str(REFUSED))

    def test_a_message_that_both_rooms_refuse_is_rejected(self):
        first = message(room_id=7).after_error(REFUSED)
        assert isinstance(first, OutboxMessage)
        done = first.after_error(errors.ChatworkNotFoundError("post_message", 404))
        assert not isinstance(done, OutboxMessage)
        assert (done["outcome"], done["message_id"]) == ("rejected", None)
        assert "403" in str(done["error"])
        assert "404" in str(done["error"])

    def test_raises_an_error_that_may_pass(self):
        with pytest.raises(errors.ChatworkServerError):
            message(room_id=7).after_error(errors.ChatworkServerError("post_message", 503))

    def test_raises_an_authentication_error(self):
        with pytest.raises(errors.ChatworkAuthError):
            message(room_id=7).after_error(errors.ChatworkAuthError("post_message", 401))


class TestLogReport:
    def line(self, outcome: str, error: str | None = None) -> str:
        log = Log()
        log_report(
            log,
            DeliveryReport(
                kind="reminder", number=2, due_at=1.0, room_id=100, message_id=None, outcome=outcome, error=error
            ),
        )
        (line,) = log.lines
        return line

    @pytest.mark.parametrize("outcome", ["sent", "found", "duplicate_deleted"])
    def test_logs_success_as_information(self, outcome):
        assert self.line(outcome).startswith(f"INFO Reminder 2: {outcome}. ")

    @pytest.mark.parametrize(
        ("outcome", "error", "expected"),
        [
            ("not_sent", None, "was not sent: the room shows no more than 100"),
            ("unknown", None, "may not have been sent"),
            ("rejected", "no way", "was not sent, as Chatwork refused it: no way"),
            ("sent", "no way", "went to the room of the task, as the other room refused it: no way"),
        ],
    )
    def test_warns_if_people_may_not_have_the_message(self, outcome, error, expected):
        assert self.line(outcome, error).startswith(f"WARNING Reminder 2 {expected}")


MOMENT = 1000.0
KEY = DedupKey(("リマインド", "Reminder"), ("リマインド 2 回目", "Reminder 2"), 100, "200", 5, MOMENT)
BODY = f"まだです\n{KEY.line('ja', WEB)}"
DELETE_REFUSED = errors.ChatworkForbiddenError("delete_message", 403)


def posted_message(message_id: str, body: str = BODY, send_time: float = MOMENT) -> dict[str, Any]:
    return {"message_id": message_id, "account": {"account_id": 5}, "body": body, "send_time": send_time}


def page(*messages: dict[str, Any], full_since: float | None = None) -> list[dict[str, Any]]:
    filler = (
        [posted_message(str(number), "x", full_since) for number in range(1, 101)] if full_since is not None else []
    )
    return [*filler, *messages][-100:] if not messages else [*filler[len(messages) :], *messages]


def post(*answers: Any, since: float | None = MOMENT) -> tuple[list[str], PostResult]:
    """Return the operations, and the result."""
    calls, posted = drive(post_once(100, BODY, KEY, since=since), *answers)
    return [call.operation for call in calls], posted


class TestPostOnce:
    def test_posts_a_new_message_and_checks_for_duplicates(self):
        operations = ["list_messages", "post_message", "list_messages"]
        assert post(page(), {"message_id": "7"}, page(posted_message("7"))) == (operations, PostResult("sent", "7"))

    def test_a_lost_body_is_not_an_empty_room(self):
        calls, _ = drive(post_once(100, BODY, KEY, since=MOMENT), page(posted_message("3")))
        assert calls[0].empty_list_only_on_204

    def test_does_not_post_a_message_that_is_in_the_room(self):
        assert post(page(posted_message("3"))) == (["list_messages"], PostResult("found", "3"))

    def test_does_not_post_if_the_page_does_not_reach_back(self):
        # 60 seconds for the difference of the clocks.
        assert post(page(full_since=MOMENT - 60)) == (["list_messages"], PostResult("not_sent", None))

    def test_posts_if_the_page_reaches_back(self):
        _, posted = post(page(full_since=MOMENT - 61), {"message_id": "700"}, page(posted_message("700")))
        assert posted.outcome == "sent"

    def test_posts_without_since_although_the_page_does_not_reach_back(self):
        _, posted = post(page(full_since=MOMENT), {"message_id": "700"}, page(posted_message("700")), since=None)
        assert posted.outcome == "sent"

    def test_finds_a_message_in_a_page_that_does_not_reach_back(self):
        assert post(page(posted_message("700"), full_since=MOMENT))[1] == PostResult("found", "700")

    def test_deletes_its_message_if_another_process_was_first(self):
        calls, posted = drive(
            post_once(100, BODY, KEY, since=MOMENT),
            page(),
            {"message_id": "7"},
            page(posted_message("6"), posted_message("7")),
            None,
        )
        assert posted == PostResult("duplicate_deleted", "6")
        assert calls[-1].request == delete_message(100, "7").request

    def test_keeps_its_message_if_another_process_was_second(self):
        _, posted = post(page(), {"message_id": "7"}, page(posted_message("7"), posted_message("8")))
        assert posted == PostResult("sent", "7")

    def test_reports_sent_if_its_message_was_deleted(self):
        assert post(page(), {"message_id": "7"}, page())[1] == PostResult("sent", "7")

    @pytest.mark.parametrize(
        "answers",
        [
            (errors.ChatworkNetworkError("cut"),),
            (DELETE_REFUSED,),
            (page(posted_message("6"), posted_message("7")), DELETE_REFUSED),
        ],
    )
    def test_reports_sent_if_the_check_fails(self, answers):
        assert post(page(), {"message_id": "7"}, *answers)[1] == PostResult("sent", "7")

    def test_does_not_repeat_a_post_with_unknown_outcome(self):
        unknown = errors.ChatworkUnknownOutcomeError("post_message", "who knows")
        assert post(page(), unknown) == (["list_messages", "post_message"], PostResult("unknown", None))

    @pytest.mark.parametrize("answers", [(), (page(),)])
    def test_raises_every_other_error(self, answers):
        with pytest.raises(errors.ChatworkServerError):
            post(*answers, errors.ChatworkServerError("post_message", 500))


class TestTwoProcesses:
    """Both clients, with a sandbox."""

    def key(self, scenario: Scenario) -> DedupKey:
        return DedupKey(
            ("リマインド", "Reminder"),
            ("リマインド 1 回目", "Reminder 1"),
            DATA_ROOM,
            scenario.message_id,
            BOT,
            scenario.start,
        )

    def test_leave_one_message(self, scenario):
        key = self.key(scenario)
        body = key.line("ja", WEB)
        one, other = (post_once(DATA_ROOM, body, key, since=scenario.start) for _ in range(2))
        answers: dict[int, Any] = {}
        for each in (one, other, one, other, one, other, other):
            # The two flows run in turn.
            answer = answers.get(id(each))
            call = next(each) if answer is None else each.send(answer)
            answers[id(each)] = scenario.scene.run(call)
        assert [message["body"] for message in scenario.sandbox.messages(DATA_ROOM)].count(body) == 1

    @pytest.mark.parametrize("kind", ["lost_reply", "timeout", "cut", "malformed"])
    def test_leave_one_message_after_a_lost_answer(self, scenario, kind):
        key = self.key(scenario)
        body = key.line("ja", WEB)
        scenario.scene.add_faults(Fault(kind, operation="post_message"))
        outcomes = [
            scenario.scene.run_flow(post_once(DATA_ROOM, body, key, since=scenario.start)).outcome for _ in range(2)
        ]
        assert outcomes == ["sent", "found"]
        assert scenario.posted() == [body]

    def test_ignore_messages_of_other_accounts(self, scenario):
        key = self.key(scenario)
        body = key.line("ja", WEB)
        scenario.sandbox.post_message(DATA_ROOM, YAMADA, body)
        assert scenario.scene.run_flow(post_once(DATA_ROOM, body, key, since=scenario.start)).outcome == "sent"
        assert scenario.scene.operations[-3:] == ["list_messages", "post_message", "list_messages"]
