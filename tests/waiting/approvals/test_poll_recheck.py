from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkNetworkError, ChatworkServerError
from airflow_provider_chatwork.waiting.approvals.question import PollResult
from tests.waiting.approvals.fake_room import (
    ASKED,
    BEGIN,
    DEADLINE,
    QUESTION,
    SATO,
    TAKAHASHI,
    YAMADA,
    FakeRoom,
    choices,
    other_messages,
    page,
    poll_page,
    reply,
)


class TestOldMessages:
    """Before a decision, the messages of votes that have left the page are read again."""

    VOTE = reply(5, SATO, "承認")

    def decide(self, room: FakeRoom, *more: Any, **arguments: Any) -> PollResult:
        state = poll_page(page(self.VOTE, *other_messages(20, 10))).state
        return poll_page([*other_messages(99, 10), reply(200, YAMADA, "承認"), *more], state, room, **arguments)

    def test_an_unchanged_vote_decides(self):
        room = FakeRoom(behind=[ASKED, self.VOTE])
        result = self.decide(room)
        assert (result.outcome, result.choice) == ("decided", "承認")
        assert choices(result) == [(SATO, "承認"), (YAMADA, "承認")]
        assert room.asked == [f"messages/{QUESTION}", "messages/1005"]

    @pytest.mark.parametrize("gone", [[], [{**VOTE, "body": "[deleted]"}]], ids=["404", "deleted"])
    def test_a_deleted_vote_does_not_count(self, gone):
        result = self.decide(FakeRoom(behind=[ASKED, *gone]))
        assert (result.outcome, choices(result)) == ("open", [(YAMADA, "承認")])
        assert ["1005" in warning and "deleted" in warning for warning in result.warnings] == [True]

    def test_an_edited_vote_counts_as_edited(self):
        rejected = reply(5, SATO, "却下", update_time=BEGIN + 150)
        result = self.decide(FakeRoom(behind=[ASKED, rejected]))
        assert (result.outcome, result.choice) == ("decided", "却下")
        room = FakeRoom(behind=[ASKED, reply(5, SATO, "取り消します", update_time=BEGIN + 150)])
        result = self.decide(room)
        assert (result.outcome, choices(result)) == ("open", [(YAMADA, "承認")])
        assert ["取り消されたもの" in body for body in room.posted] == [True]

    def test_a_deleted_vote_is_not_replaced_by_the_one_before_it(self):
        state = poll_page(page(reply(4, SATO, "承認"), self.VOTE)).state
        result = poll_page(
            [*other_messages(99, 10), reply(200, YAMADA, "承認")],
            state,
            FakeRoom(behind=[ASKED, reply(4, SATO, "承認")]),
        )
        assert choices(result) == [(YAMADA, "承認")]

    def test_an_invalidated_vote_is_reported_once(self):
        room = FakeRoom(behind=[ASKED, self.VOTE])
        result = self.decide(room, reply(201, SATO, "取り消します"), quorum=1)
        assert (result.outcome, choices(result)) == ("decided", [(YAMADA, "承認")])
        assert [f"vote of account {SATO}" in warning for warning in result.warnings] == [True]

    def test_the_name_of_an_earlier_voter_is_not_a_part_of_an_answer(self):
        state = poll_page(page(self.VOTE)).state
        answer = reply(200, YAMADA, f"[To:{SATO}]佐藤さん\n承認")
        result = poll_page([*other_messages(99, 10), answer], state, FakeRoom(behind=[ASKED, self.VOTE]))
        assert (result.outcome, choices(result)) == ("decided", [(SATO, "承認"), (YAMADA, "承認")])

    def test_a_deleted_question_ends_the_wait(self):
        assert self.decide(FakeRoom(behind=[{**ASKED, "body": "[deleted]"}, self.VOTE])).outcome == "question_deleted"

    def test_two_404_for_the_question_end_the_wait(self):
        first = self.decide(FakeRoom(behind=[self.VOTE]))
        assert (first.outcome, first.is_stale) == ("open", True)
        assert ["did not find the question" in warning for warning in first.warnings] == [True]
        now = [*other_messages(99, 10), reply(200, YAMADA, "承認")]
        assert poll_page(now, first.state, FakeRoom(behind=[self.VOTE])).outcome == "question_deleted"
        result = poll_page(now, first.state, FakeRoom(behind=[ASKED, self.VOTE]))
        assert (result.outcome, result.choice) == ("decided", "承認")
        # The two 404 have to be consecutive.
        assert poll_page(now, result.state, FakeRoom(behind=[self.VOTE])).outcome == "open"

    def test_are_not_read_while_the_question_is_open(self):
        room = FakeRoom()
        result = self.decide(room, quorum=3, approvers=[SATO, YAMADA, TAKAHASHI])
        assert (result.outcome, choices(result)) == ("open", [(SATO, "承認"), (YAMADA, "承認")])
        assert room.asked == []

    def test_are_not_read_if_they_are_on_the_page(self):
        room = FakeRoom()
        assert poll_page(page(self.VOTE, reply(6, YAMADA, "承認")), room=room).outcome == "decided"
        assert room.asked == []

    def test_are_read_at_the_deadline_too(self):
        room = FakeRoom(behind=[self.VOTE])
        state = poll_page(page(self.VOTE)).state
        assert poll_page(other_messages(100, 10), state, room, now=DEADLINE).outcome == "question_deleted"
        # No later poll can request the question again.
        assert room.asked == ["members", f"messages/{QUESTION}", f"messages/{QUESTION}", "messages/1005"]

    @pytest.mark.parametrize(
        "error", [ChatworkServerError("get_message", 503), ChatworkNetworkError("get_message", "?")]
    )
    def test_a_temporary_failure_leaves_the_question_open(self, error):
        result = self.decide(FakeRoom(behind=[ASKED, self.VOTE], outage=error))
        assert (result.outcome, result.is_stale, result.choice) == ("open", True, None)
        assert choices(result) == [(SATO, "承認"), (YAMADA, "承認")]
        assert ["could not be read" in warning for warning in result.warnings] == [True]
        assert not self.decide(FakeRoom(behind=[ASKED, self.VOTE])).is_stale

    def test_a_permanent_failure_is_raised(self):
        with pytest.raises(ChatworkForbiddenError):
            self.decide(FakeRoom(outage=ChatworkForbiddenError("get_message", 403)))


class TestMembers:
    HOUR = 3600.0

    def later(self, room: FakeRoom, *messages: Any, seconds: float = HOUR, **more: Any) -> PollResult:
        more.setdefault("deadline", BEGIN + 90_000)
        return poll_page(page(*messages), room=room, now=BEGIN + seconds, **more)

    @pytest.mark.parametrize(("seconds", "asked"), [(3599, []), (3600, ["members"])])
    def test_are_listed_once_an_hour(self, seconds, asked):
        room = FakeRoom()
        first = self.later(room, seconds=seconds)
        assert room.asked == asked
        self.later(room, state=first.state, seconds=seconds + 1)
        assert room.asked == asked or seconds == 3599

    def test_are_listed_at_the_deadline(self):
        room = FakeRoom()
        self.later(room, seconds=60, deadline=BEGIN + 60)
        assert room.asked == ["members"]

    @pytest.mark.parametrize("members", [{SATO: "member"}, {SATO: "admin", YAMADA: "readonly"}], ids=["left", "reads"])
    def test_too_few_approvers_end_the_wait(self, members):
        result = self.later(FakeRoom(members=members), reply(5, SATO, "承認"))
        assert (result.outcome, result.state["ineligible"]) == ("quorum_impossible", [YAMADA])
        assert [f"[{YAMADA}]" in warning for warning in result.warnings] == [True]

    def test_enough_approvers_continue_the_wait(self):
        room = FakeRoom(members={SATO: "member", TAKAHASHI: "member"})
        three = {"approvers": [SATO, YAMADA, TAKAHASHI]}
        result = self.later(room, reply(5, SATO, "承認"), reply(6, YAMADA, "承認"), **three)
        assert (result.outcome, choices(result)) == ("open", [(SATO, "承認")])
        # An approver who left gets no hint.
        said = [reply(5, SATO, "承認"), reply(6, YAMADA, "え"), reply(7, TAKAHASHI, "承認")]
        assert self.later(room, *said, **three).outcome == "decided"
        assert room.posted == []

    def test_an_old_vote_of_an_approver_who_left_does_not_count(self):
        state = poll_page(page(reply(5, SATO, "承認"))).state
        room = FakeRoom(members={YAMADA: "member"})
        result = poll_page(other_messages(100, 10), state, room, now=BEGIN + 3600, deadline=BEGIN + 90_000, quorum=1)
        assert (result.outcome, choices(result)) == ("open", [])

    def test_the_vote_of_an_approver_who_comes_back_counts_again(self):
        said = [reply(5, SATO, "承認")]
        three = {"approvers": [SATO, YAMADA, TAKAHASHI]}
        gone = self.later(FakeRoom(members={YAMADA: "member", TAKAHASHI: "member"}), *said, **three)
        assert choices(gone) == []
        back = self.later(FakeRoom(), *said, state=gone.state, seconds=7200, **three)
        assert (back.state["ineligible"], choices(back)) == ([], [(SATO, "承認")])
        assert back.warnings == []

    def test_a_rejection_decides_if_nobody_is_left_to_outvote_it(self):
        result = self.later(FakeRoom(members={SATO: "member"}), reply(5, SATO, "却下"))
        assert (result.outcome, result.choice) == ("decided", "却下")

    def test_are_listed_again_after_a_temporary_failure(self):
        failing = FakeRoom(outage=ChatworkServerError("list_members", 503))
        result = self.later(failing, reply(5, SATO, "承認"))
        assert (result.outcome, result.state["ineligible"], result.state["members_at"]) == ("open", [], BEGIN)
        room = FakeRoom()
        self.later(room, state=result.state, seconds=3601)
        assert room.asked == ["members"]

    def test_a_permanent_failure_is_raised(self):
        with pytest.raises(ChatworkForbiddenError):
            self.later(FakeRoom(outage=ChatworkForbiddenError("list_members", 403)))
