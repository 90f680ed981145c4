from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkNetworkError, ChatworkServerError
from airflow_provider_chatwork.waiting.approvals.poll import Look
from tests.waiting.approvals.asked import (
    ASKED,
    BEGIN,
    DEADLINE,
    QUESTION,
    SATO,
    TAKAHASHI,
    YAMADA,
    Room,
    chatter,
    choices,
    look,
    page,
    reply,
)


class TestWhatIsBehindThePage:
    """Before anything is decided, what was heard and is not on the page any more is read once more."""

    VOTE = reply(5, SATO, "承認")

    def decide(self, room: Room, *more: Any, **arguments: Any) -> Look:
        heard = look(page(self.VOTE, *chatter(20, 10))).heard
        return look([*chatter(99, 10), reply(200, YAMADA, "承認"), *more], heard, room, **arguments)

    def test_decides_where_it_still_stands(self):
        room = Room(behind=[ASKED, self.VOTE])
        found = self.decide(room)
        assert (found.outcome, found.choice) == ("decided", "承認")
        assert choices(found) == [(SATO, "承認"), (YAMADA, "承認")]
        assert room.asked == [f"messages/{QUESTION}", "messages/1005"]

    @pytest.mark.parametrize("gone", [[], [{**VOTE, "body": "[deleted]"}]], ids=["404", "deleted"])
    def test_does_not_count_what_was_deleted(self, gone):
        found = self.decide(Room(behind=[ASKED, *gone]))
        assert (found.outcome, choices(found)) == ("open", [(YAMADA, "承認")])
        assert ["1005" in remark and "deleted" in remark for remark in found.remarks] == [True]

    def test_goes_by_what_was_edited(self):
        rejected = reply(5, SATO, "却下", update_time=BEGIN + 150)
        found = self.decide(Room(behind=[ASKED, rejected]))
        assert (found.outcome, found.choice) == ("decided", "却下")
        room = Room(behind=[ASKED, reply(5, SATO, "取り消します", update_time=BEGIN + 150)])
        found = self.decide(room)
        assert (found.outcome, choices(found)) == ("open", [(YAMADA, "承認")])
        assert ["取り消されたもの" in body for body in room.posted] == [True]

    def test_does_not_fall_back_on_what_was_said_before_it(self):
        heard = look(page(reply(4, SATO, "承認"), self.VOTE)).heard
        found = look(
            [*chatter(99, 10), reply(200, YAMADA, "承認")], heard, Room(behind=[ASKED, reply(4, SATO, "承認")])
        )
        assert choices(found) == [(YAMADA, "承認")]

    def test_ends_where_the_question_was_deleted(self):
        assert self.decide(Room(behind=[{**ASKED, "body": "[deleted]"}, self.VOTE])).outcome == "withdrawn"

    def test_ends_where_chatwork_does_not_find_the_question_twice(self):
        first = self.decide(Room(behind=[self.VOTE]))
        assert (first.outcome, first.is_unsure) == ("open", True)
        assert ["did not find the question" in remark for remark in first.remarks] == [True]
        now = [*chatter(99, 10), reply(200, YAMADA, "承認")]
        assert look(now, first.heard, Room(behind=[self.VOTE])).outcome == "withdrawn"
        found = look(now, first.heard, Room(behind=[ASKED, self.VOTE]))
        assert (found.outcome, found.choice) == ("decided", "承認")
        # The two have to come one after the other.
        assert look(now, found.heard, Room(behind=[self.VOTE])).outcome == "open"

    def test_is_not_read_before_something_would_be_decided(self):
        room = Room()
        found = self.decide(room, needed=3, approvers=[SATO, YAMADA, TAKAHASHI])
        assert (found.outcome, choices(found)) == ("open", [(SATO, "承認"), (YAMADA, "承認")])
        assert room.asked == []

    def test_is_not_read_where_it_is_on_the_page(self):
        room = Room()
        assert look(page(self.VOTE, reply(6, YAMADA, "承認")), room=room).outcome == "decided"
        assert room.asked == []

    def test_is_read_when_the_time_is_over_too(self):
        room = Room(behind=[self.VOTE])
        heard = look(page(self.VOTE)).heard
        assert look(chatter(100, 10), heard, room, now=DEADLINE).outcome == "withdrawn"
        # There is no later look to ask for the question again.
        assert room.asked == ["members", f"messages/{QUESTION}", f"messages/{QUESTION}", "messages/1005"]

    @pytest.mark.parametrize(
        "error", [ChatworkServerError("get_message", 503), ChatworkNetworkError("get_message", "?")]
    )
    def test_leaves_it_open_where_chatwork_does_not_tell(self, error):
        found = self.decide(Room(behind=[ASKED, self.VOTE], outage=error))
        assert (found.outcome, found.is_unsure, found.choice) == ("open", True, None)
        assert choices(found) == [(SATO, "承認"), (YAMADA, "承認")]
        assert ["still stands" in remark for remark in found.remarks] == [True]
        assert not self.decide(Room(behind=[ASKED, self.VOTE])).is_unsure

    def test_fails_where_chatwork_refuses(self):
        with pytest.raises(ChatworkForbiddenError):
            self.decide(Room(outage=ChatworkForbiddenError("get_message", 403)))


class TestWhoIsInTheRoom:
    HOUR = 3600.0

    def later(self, room: Room, *messages: Any, seconds: float = HOUR, **more: Any) -> Look:
        more.setdefault("deadline", BEGIN + 90_000)
        return look(page(*messages), room=room, now=BEGIN + seconds, **more)

    @pytest.mark.parametrize(("seconds", "asked"), [(3599, []), (3600, ["members"])])
    def test_is_asked_for_about_once_an_hour(self, seconds, asked):
        room = Room()
        first = self.later(room, seconds=seconds)
        assert room.asked == asked
        self.later(room, heard=first.heard, seconds=seconds + 1)
        assert room.asked == asked or seconds == 3599

    def test_is_asked_for_when_the_time_is_over(self):
        room = Room()
        self.later(room, seconds=60, deadline=BEGIN + 60)
        assert room.asked == ["members"]

    @pytest.mark.parametrize("members", [{SATO: "member"}, {SATO: "admin", YAMADA: "readonly"}], ids=["left", "reads"])
    def test_ends_the_wait_where_too_few_are_left(self, members):
        found = self.later(Room(members=members), reply(5, SATO, "承認"))
        assert (found.outcome, found.heard["absent"]) == ("deserted", [YAMADA])
        assert [f"[{YAMADA}]" in remark for remark in found.remarks] == [True]

    def test_goes_on_where_enough_are_left(self):
        room = Room(members={SATO: "member", TAKAHASHI: "member"})
        three = {"approvers": [SATO, YAMADA, TAKAHASHI]}
        found = self.later(room, reply(5, SATO, "承認"), reply(6, YAMADA, "承認"), **three)
        assert (found.outcome, choices(found)) == ("open", [(SATO, "承認")])
        # Nor is anybody helped who is not there.
        said = [reply(5, SATO, "承認"), reply(6, YAMADA, "え"), reply(7, TAKAHASHI, "承認")]
        assert self.later(room, *said, **three).outcome == "decided"
        assert room.posted == []

    def test_does_not_count_a_vote_behind_the_page_of_somebody_who_has_left(self):
        heard = look(page(reply(5, SATO, "承認"))).heard
        room = Room(members={YAMADA: "member"})
        found = look(chatter(100, 10), heard, room, now=BEGIN + 3600, deadline=BEGIN + 90_000, needed=1)
        assert (found.outcome, choices(found)) == ("open", [])

    def test_counts_them_again_who_come_back(self):
        said = [reply(5, SATO, "承認")]
        three = {"approvers": [SATO, YAMADA, TAKAHASHI]}
        gone = self.later(Room(members={YAMADA: "member", TAKAHASHI: "member"}), *said, **three)
        assert choices(gone) == []
        back = self.later(Room(), *said, heard=gone.heard, seconds=7200, **three)
        assert (back.heard["absent"], choices(back)) == ([], [(SATO, "承認")])
        assert back.remarks == []

    def test_lets_a_rejection_stand_that_nobody_can_outvote_any_more(self):
        found = self.later(Room(members={SATO: "member"}), reply(5, SATO, "却下"))
        assert (found.outcome, found.choice) == ("decided", "却下")

    def test_is_asked_for_again_where_chatwork_does_not_tell(self):
        failing = Room(outage=ChatworkServerError("list_members", 503))
        found = self.later(failing, reply(5, SATO, "承認"))
        assert (found.outcome, found.heard["absent"], found.heard["members_at"]) == ("open", [], BEGIN)
        room = Room()
        self.later(room, heard=found.heard, seconds=3601)
        assert room.asked == ["members"]

    def test_fails_where_chatwork_refuses(self):
        with pytest.raises(ChatworkForbiddenError):
            self.later(Room(outage=ChatworkForbiddenError("list_members", 403)))
