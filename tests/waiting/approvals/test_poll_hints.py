from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airflow_provider_chatwork.api.errors import (
    ChatworkForbiddenError,
    ChatworkServerError,
    ChatworkUnknownOutcomeError,
)
from airflow_provider_chatwork.waiting.approvals.poll import NO_HINT
from airflow_provider_chatwork.waiting.approvals.question import ApprovalState, new_state
from airflow_provider_chatwork.waiting.approvals.votes import has_new_votes_or_hints
from tests.waiting.approvals.fake_room import (
    BEGIN,
    BOT,
    DEADLINE,
    QUESTION,
    ROOM,
    SATO,
    TAKAHASHI,
    YAMADA,
    FakeRoom,
    choices,
    message,
    other_messages,
    page,
    poll_page,
    reply,
)


class TestHint:
    def test_an_unclear_reply_gets_a_hint(self):
        room = FakeRoom()
        result = poll_page(page(reply(5, SATO, "承認かな")), room=room)
        assert result.state["hinted"] == {str(SATO): "5000"}
        assert room.posted == [
            f"[rp aid={SATO} to={ROOM}-1005] 佐藤さん\n"
            "恐れ入りますが、回答を読み取れませんでした。"
            "1 行目に次の選択肢か番号だけを書いて、もう一度返信してください。\n"
            f"1. 承認\n2. 却下\n質問: https://www.chatwork.com/#!rid{ROOM}-{QUESTION}"
        ]

    def test_is_in_the_language_of_the_connection(self):
        room = FakeRoom()
        poll_page(page(reply(5, SATO, "hm")), room=room, lang="en")
        assert room.posted[0].startswith(f"[rp aid={SATO} to={ROOM}-1005] 佐藤\nSorry, ")

    def test_each_approver_gets_one_hint(self):
        room = FakeRoom()
        said = page(reply(5, SATO, "承認かな"), reply(8, YAMADA, "了解"))
        first = poll_page(page(reply(5, SATO, "承認かな")), room=room)
        second = poll_page(said, first.state, room)
        third = poll_page([*said, reply(9, SATO, "えーと")], second.state, room)
        assert third.state["hinted"] == {str(SATO): "5000", str(YAMADA): "5001"}
        assert [body.partition(" to=")[0] for body in room.posted] == [f"[rp aid={who}" for who in (SATO, YAMADA)]
        assert not third.hint_pending

    def test_only_the_latest_reply_of_an_approver_gets_one(self):
        room = FakeRoom()
        unclear = [
            reply(5, SATO, "うーん"),
            reply(6, YAMADA, "えーと"),
            reply(7, SATO, "承認"),
            reply(8, YAMADA, "はて"),
        ]
        poll_page(page(*unclear), room=room)
        assert [body.partition(" ")[2].partition("]")[0] for body in room.posted] == [f"aid={YAMADA} to={ROOM}-1008"]

    def test_others_get_one_if_chatwork_rejects_one(self):
        room = FakeRoom(ChatworkForbiddenError("post_message", 403))
        said = page(reply(5, SATO, "うーん"), reply(6, YAMADA, "えーと"))
        first = poll_page(said, room=room)
        assert first.state["hinted"] == {str(SATO): NO_HINT, str(YAMADA): NO_HINT}
        poll_page(said, first.state, room)
        assert len(room.posted) == 2

    def test_a_temporary_failure_leaves_the_others_for_later(self):
        room = FakeRoom(ChatworkServerError("post_message", 503))
        result = poll_page(page(reply(5, SATO, "うーん"), reply(6, YAMADA, "えーと")), room=room)
        assert (len(room.posted), result.state["hinted"], result.hint_pending) == (1, {}, True)

    @pytest.mark.parametrize(
        "messages",
        [
            [reply(5, SATO, "うーん"), reply(6, SATO, "承認")],
            [reply(5, SATO, "うーん"), reply(6, YAMADA, "却下"), reply(7, TAKAHASHI, "却下")],
            [reply(5, 9, "うーん")],
            [message(5, SATO, "うーん")],
            [],
        ],
        ids=["cleared up", "decided", "a stranger", "no reply", "nothing"],
    )
    def test_is_not_posted_without_need(self, messages):
        room = FakeRoom()
        result = poll_page(page(*messages), room=room, approvers=[SATO, YAMADA, TAKAHASHI])
        assert room.posted == []
        assert result.state["hinted"] == {}

    def test_a_posted_hint_is_found_in_the_room(self):
        room = FakeRoom()
        poll_page(page(reply(5, SATO, "うーん")), room=room)
        given = message(6, BOT, room.posted[0].replace("\n", "\r\n") + "\n")
        result = poll_page(page(reply(5, SATO, "うーん"), given), room=room)
        assert result.state["hinted"] == {str(SATO): "1006"}
        # Also if the message that it replies to has left the page.
        result = poll_page([given, *other_messages(98, 10), reply(300, SATO, "はて")], room=room)
        assert result.state["hinted"] == {str(SATO): "1006"}
        assert len(room.posted) == 1

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace(f"-{QUESTION}", "-1001"),
            lambda text: f"{text} をご覧ください",
            lambda text: text.splitlines()[-1],
        ],
        ids=["of another question", "quoted", "a link"],
    )
    def test_another_message_does_not_count_as_a_hint(self, change: Callable[[str], str]):
        room = FakeRoom()
        poll_page(page(reply(5, SATO, "うーん")), room=room)
        poll_page(page(reply(5, SATO, "うーん"), message(6, BOT, change(room.posted[0]))), room=room)
        poll_page(page(reply(5, SATO, "うーん"), message(6, SATO, room.posted[0])), room=room)
        assert len(room.posted) == 3

    def test_a_reply_to_a_hint_is_an_answer(self):
        state: ApprovalState = {**new_state(BEGIN), "hinted": {str(YAMADA): "1006"}}
        result = poll_page(page(reply(7, SATO, "承認", to="1006"), reply(8, YAMADA, "承認")), state)
        assert result.outcome == "decided"
        assert choices(poll_page(page(reply(7, SATO, "承認", to="1006")))) == []

    @pytest.mark.parametrize(
        ("refusal", "hints"),
        [
            (ChatworkForbiddenError("post_message", 403), {str(SATO): NO_HINT}),
            (ChatworkServerError("post_message", 503), {}),
            (ChatworkUnknownOutcomeError("post_message", "?"), {}),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_failed_hint_does_not_end_the_wait(self, refusal, hints):
        result = poll_page(page(reply(5, SATO, "うーん"), reply(6, YAMADA, "承認")), room=FakeRoom(refusal))
        assert result.outcome == "open"
        assert result.state["hinted"] == hints
        assert choices(result) == [(YAMADA, "承認")]
        assert [str(refusal) in warning for warning in result.warnings] == [True]

    def test_is_pending_and_not_posted_if_the_page_may_be_old(self):
        room = FakeRoom()
        result = poll_page(page(reply(5, SATO, "うーん")), room=room, may_post_hints=False)
        assert result.hint_pending
        assert result.state["hinted"] == {}
        assert room.posted == []
        assert not poll_page(page(reply(5, SATO, "うーん")), room=room).hint_pending

    @pytest.mark.parametrize(("now", "hints"), [(DEADLINE - 1, 2), (DEADLINE, 0)])
    def test_is_not_posted_after_the_deadline(self, now, hints):
        room = FakeRoom()
        result = poll_page(
            page(reply(5, SATO, "うーん"), reply(6, YAMADA, "承認"), reply(7, YAMADA, "あ")), room=room, now=now
        )
        assert len(room.posted) == hints
        assert not result.hint_pending


class TestInvalidatedVote:
    NOTICE = "先の回答は、この返信により取り消されたものとして扱います。"

    def test_does_not_count(self):
        result = poll_page(page(reply(5, SATO, "承認"), reply(6, SATO, "取り消します"), reply(7, YAMADA, "承認")))
        assert (result.outcome, choices(result)) == ("open", [(YAMADA, "承認")])
        assert [f"vote of account {SATO}" in warning for warning in result.warnings] == [True]

    def test_does_not_count_if_an_earlier_poll_saw_it(self):
        first = poll_page(page(reply(5, SATO, "承認")))
        second = poll_page([*other_messages(99, 10), reply(200, SATO, "取り消します")], first.state)
        assert choices(second) == []
        assert second.state["votes"] == []
        assert has_new_votes_or_hints(first.state, second.state)
        # Now the reply that invalidated it has left the page, too.
        third = poll_page([*other_messages(99, 300), reply(500, YAMADA, "承認")], second.state)
        assert (third.outcome, choices(third)) == ("open", [(YAMADA, "承認")])

    def test_a_reply_to_a_hint_invalidates_it_too(self):
        state: ApprovalState = {**new_state(BEGIN), "hinted": {str(YAMADA): "1006"}}
        assert choices(poll_page(page(reply(5, SATO, "承認"), reply(8, SATO, "待って", to="1006")), state)) == []

    @pytest.mark.parametrize(
        ("last", "counts"),
        [
            (message(6, SATO, "[deleted]"), False),
            (message(60, 9, "雑談"), False),
            (reply(6, SATO, "1", update_time=BEGIN + 50), True),
            (reply(50, SATO, "承認"), True),
        ],
        ids=["deleted", "left the page", "corrected", "new answer"],
    )
    def test_only_a_new_answer_counts_again(self, last, counts):
        first = poll_page(page(reply(5, SATO, "承認"), reply(6, SATO, "取り消します")))
        # As JSON, as after a restart.
        result = poll_page(page(reply(5, SATO, "承認"), last), json.loads(json.dumps(first.state)))
        assert choices(result) == ([(SATO, "承認")] if counts else [])

    def test_stays_invalid_after_the_edited_reply_has_left_the_page(self):
        room = FakeRoom()
        edited, other = reply(5, SATO, "却下\nやはり", update_time=BEGIN + 50), reply(6, SATO, "承認")
        first = poll_page(page(edited, other), room=room)
        state = json.loads(json.dumps(first.state))
        second = poll_page([other, *other_messages(98, 60)], state, room)
        assert choices(second) == []
        assert choices(poll_page([other, *other_messages(98, 60), reply(200, SATO, "承認")], second.state, room)) == [
            (SATO, "承認")
        ]
        assert len(room.posted) == 1

    def test_stays_invalid_if_only_the_notice_in_the_room_is_known(self):
        room = FakeRoom()
        said = [reply(5, SATO, "承認"), reply(6, SATO, "取り消します")]
        poll_page(page(*said), room=room)
        notice = message(7, BOT, room.posted[0])
        # The second state knows the notice, but not when the vote was invalidated.
        state: ApprovalState = {**new_state(BEGIN), "hinted": {str(SATO): "1007"}, "invalidated": {str(SATO): "1007"}}
        for known in (new_state(BEGIN), state):
            gone = page(said[0], message(6, SATO, "[deleted]"), notice)
            assert choices(poll_page(gone, known, room)) == []
            assert choices(poll_page([*gone, reply(8, SATO, "承認")], known, room)) == [(SATO, "承認")]
        assert len(room.posted) == 1

    def test_the_notice_is_posted_although_the_reply_was_deleted(self):
        failing = FakeRoom(ChatworkServerError("post_message", 503))
        first = poll_page(page(reply(5, SATO, "承認"), reply(6, SATO, "取り消します")), room=failing)
        room = FakeRoom()
        result = poll_page(page(reply(5, SATO, "承認"), message(6, SATO, "[deleted]")), first.state, room)
        assert choices(result) == []
        assert [self.NOTICE in body and "-1006]" in body for body in room.posted] == [True]
        assert not result.hint_pending

    @pytest.mark.parametrize(
        ("older", "counts"),
        [("却下", False), ("はて", False), ("承認。\nやはり", True)],
        ids=["other", "unclear", "same"],
    )
    def test_a_later_edit_of_an_earlier_reply_invalidates_it_if_they_differ(self, older, counts):
        room = FakeRoom()
        said = page(reply(5, SATO, older, update_time=BEGIN + 50), reply(6, SATO, "承認"))
        first = poll_page(said, room=room)
        assert choices(first) == ([(SATO, "承認")] if counts else [])
        assert [self.NOTICE in body and "-1005]" in body for body in room.posted] == ([] if counts else [True])
        poll_page(said, first.state, room)
        assert len(room.posted) == (not counts)
        # A new answer after that counts.
        assert choices(poll_page([*said, reply(60, SATO, "却下")], first.state, room)) == [(SATO, "却下")]

    def test_an_edit_before_it_does_not_invalidate_it(self):
        said = page(reply(5, SATO, "却下", update_time=BEGIN + 6), reply(6, SATO, "承認"))
        assert choices(poll_page(said)) == [(SATO, "承認")]

    def test_replies_of_others_do_not_invalidate_it(self):
        assert choices(poll_page(page(reply(5, SATO, "承認"), reply(6, YAMADA, "えー")))) == [(SATO, "承認")]

    def test_each_approver_gets_one_notice_also_after_a_hint(self):
        room = FakeRoom()
        said = [reply(1, YAMADA, "えー")]
        known = poll_page(page(*said), room=room).state
        said += [reply(2, SATO, "承認"), reply(3, SATO, "あ"), reply(4, YAMADA, "却下"), reply(5, YAMADA, "い")]
        known = poll_page(page(*said), known, room, approvers=[SATO, YAMADA, TAKAHASHI], quorum=3).state
        assert known["invalidated"] == {str(SATO): "5001", str(YAMADA): "5002"}
        said += [reply(6, SATO, "承認"), reply(7, SATO, "う")]
        assert poll_page(page(*said), known, room).warnings == []
        assert [body.partition(" to=")[0] for body in room.posted] == [
            f"[rp aid={who}" for who in (YAMADA, SATO, YAMADA)
        ]
        assert [self.NOTICE in body for body in room.posted] == [False, True, True]

    def test_the_notice_is_also_a_hint(self):
        room = FakeRoom()
        first = poll_page(page(reply(5, SATO, "承認"), reply(6, SATO, "あ"), reply(7, YAMADA, "え")), room=room)
        assert first.state["hinted"] == {str(SATO): "5000", str(YAMADA): "5001"}
        assert [self.NOTICE in body for body in room.posted] == [True, False]
        answered = page(reply(8, SATO, "承認", to="5001"), reply(9, YAMADA, "承認", to="5000"))
        assert poll_page(answered, first.state).outcome == "decided"

    def test_a_reply_to_the_notice_is_an_answer(self):
        state: ApprovalState = {**new_state(BEGIN), "invalidated": {str(SATO): "1006"}}
        assert choices(poll_page(page(reply(8, SATO, "承認", to="1006")), state)) == [(SATO, "承認")]

    def test_a_posted_notice_is_found_in_the_room(self):
        room = FakeRoom()
        said = page(reply(5, SATO, "承認"), reply(6, SATO, "あ"))
        poll_page(said, room=room)
        given = message(7, BOT, room.posted[0].replace("\n", "\r\n"))
        for known in (
            new_state(BEGIN),
            poll_page(said, room=FakeRoom(ChatworkUnknownOutcomeError("post_message", "?"))).state,
        ):
            result = poll_page([*said, given], known, room)
            assert result.state["invalidated"] == {str(SATO): "1007"}
        assert len(room.posted) == 1

    def test_a_failed_notice_is_posted_by_a_later_poll(self):
        first = poll_page(page(reply(5, SATO, "承認")))
        failing = FakeRoom(ChatworkServerError("post_message", 503))
        second = poll_page([*other_messages(99, 10), reply(200, SATO, "あ")], first.state, failing)
        assert second.hint_pending
        room = FakeRoom()
        third = poll_page([*other_messages(99, 10), reply(200, SATO, "あ")], second.state, room)
        assert self.NOTICE in room.posted[0]
        assert not third.hint_pending
        assert third.warnings == []

    def test_no_notice_is_posted_after_a_new_answer(self):
        failing = FakeRoom(ChatworkServerError("post_message", 503))
        said = [reply(5, SATO, "承認"), reply(6, SATO, "あ")]
        first = poll_page(page(*said), room=failing)
        room = FakeRoom()
        result = poll_page(page(*said, reply(7, SATO, "承認")), first.state, room)
        assert room.posted == []
        assert result.state["invalidated"] == {}

    def test_a_rejected_notice_is_not_posted_again(self):
        room = FakeRoom(ChatworkForbiddenError("post_message", 403))
        said = page(reply(5, SATO, "承認"), reply(6, SATO, "あ"))
        result = poll_page(said, poll_page(said, room=room).state, room)
        assert len(room.posted) == 1
        assert not result.hint_pending
