from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airflow_provider_chatwork.api.errors import (
    ChatworkForbiddenError,
    ChatworkServerError,
    ChatworkUnknownOutcomeError,
)
from airflow_provider_chatwork.waiting.approvals.hints import NO_HINT
from airflow_provider_chatwork.waiting.approvals.poll import Heard, is_worth_keeping, nothing_heard
from tests.waiting.approvals.asked import (
    BEGIN,
    BOT,
    DEADLINE,
    QUESTION,
    ROOM,
    SATO,
    TAKAHASHI,
    YAMADA,
    Room,
    chatter,
    choices,
    look,
    message,
    page,
    reply,
)


class TestTheHint:
    def test_helps_whoever_could_not_be_understood(self):
        room = Room()
        found = look(page(reply(5, SATO, "承認かな")), room=room)
        assert found.heard["hints"] == {str(SATO): "5000"}
        assert room.posted == [
            f"[rp aid={SATO} to={ROOM}-1005] 佐藤さん\n"
            "恐れ入りますが、回答を読み取れませんでした。"
            "1 行目に次の選択肢か番号だけを書いて、もう一度返信してください。\n"
            f"1. 承認\n2. 却下\n質問: https://www.chatwork.com/#!rid{ROOM}-{QUESTION}"
        ]

    def test_is_in_the_language_of_the_connection(self):
        room = Room()
        look(page(reply(5, SATO, "hm")), room=room, lang="en")
        assert room.posted[0].startswith(f"[rp aid={SATO} to={ROOM}-1005] 佐藤\nSorry, ")

    def test_is_given_to_each_once(self):
        room = Room()
        said = page(reply(5, SATO, "承認かな"), reply(8, YAMADA, "了解"))
        first = look(page(reply(5, SATO, "承認かな")), room=room)
        second = look(said, first.heard, room)
        third = look([*said, reply(9, SATO, "えーと")], second.heard, room)
        assert third.heard["hints"] == {str(SATO): "5000", str(YAMADA): "5001"}
        assert [body.partition(" to=")[0] for body in room.posted] == [f"[rp aid={who}" for who in (SATO, YAMADA)]
        assert not third.owes_help

    def test_is_given_to_whoever_ended_with_what_is_no_answer(self):
        room = Room()
        unclear = [
            reply(5, SATO, "うーん"),
            reply(6, YAMADA, "えーと"),
            reply(7, SATO, "承認"),
            reply(8, YAMADA, "はて"),
        ]
        look(page(*unclear), room=room)
        assert [body.partition(" ")[2].partition("]")[0] for body in room.posted] == [f"aid={YAMADA} to={ROOM}-1008"]

    def test_is_given_to_others_where_it_is_refused_for_one(self):
        room = Room(ChatworkForbiddenError("post_message", 403))
        said = page(reply(5, SATO, "うーん"), reply(6, YAMADA, "えーと"))
        first = look(said, room=room)
        assert first.heard["hints"] == {str(SATO): NO_HINT, str(YAMADA): NO_HINT}
        look(said, first.heard, room)
        assert len(room.posted) == 2

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
    def test_is_not_given_where_nobody_needs_it(self, messages):
        room = Room()
        found = look(page(*messages), room=room, approvers=[SATO, YAMADA, TAKAHASHI])
        assert room.posted == []
        assert found.heard["hints"] == {}

    def test_is_found_in_the_room_where_nobody_remembers_it(self):
        room = Room()
        look(page(reply(5, SATO, "うーん")), room=room)
        given = message(6, BOT, room.posted[0].replace("\n", "\r\n") + "\n")
        found = look(page(reply(5, SATO, "うーん"), given), room=room)
        assert found.heard["hints"] == {str(SATO): "1006"}
        # Also where the message it replies to is behind the page.
        found = look([given, *chatter(98, 10), reply(300, SATO, "はて")], room=room)
        assert found.heard["hints"] == {str(SATO): "1006"}
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
    def test_is_not_taken_for_something_else(self, change: Callable[[str], str]):
        room = Room()
        look(page(reply(5, SATO, "うーん")), room=room)
        look(page(reply(5, SATO, "うーん"), message(6, BOT, change(room.posted[0]))), room=room)
        look(page(reply(5, SATO, "うーん"), message(6, SATO, room.posted[0])), room=room)
        assert len(room.posted) == 3

    def test_can_be_answered_like_the_question(self):
        heard: Heard = {**nothing_heard(BEGIN), "hints": {str(YAMADA): "1006"}}
        found = look(page(reply(7, SATO, "承認", to="1006"), reply(8, YAMADA, "承認")), heard)
        assert found.outcome == "decided"
        assert choices(look(page(reply(7, SATO, "承認", to="1006")))) == []

    @pytest.mark.parametrize(
        ("refusal", "hints"),
        [
            (ChatworkForbiddenError("post_message", 403), {str(SATO): NO_HINT}),
            (ChatworkServerError("post_message", 503), {}),
            (ChatworkUnknownOutcomeError("post_message", "?"), {}),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_does_not_end_the_wait_where_it_cannot_be_given(self, refusal, hints):
        found = look(page(reply(5, SATO, "うーん"), reply(6, YAMADA, "承認")), room=Room(refusal))
        assert found.outcome == "open"
        assert found.heard["hints"] == hints
        assert choices(found) == [(YAMADA, "承認")]
        assert [str(refusal) in remark for remark in found.remarks] == [True]

    def test_is_owed_and_not_given_on_a_page_that_may_be_old(self):
        room = Room()
        found = look(page(reply(5, SATO, "うーん")), room=room, helps=False)
        assert found.owes_help
        assert found.heard["hints"] == {}
        assert room.posted == []
        assert not look(page(reply(5, SATO, "うーん")), room=room).owes_help

    @pytest.mark.parametrize(("now", "hints"), [(DEADLINE - 1, 2), (DEADLINE, 0)])
    def test_is_not_given_once_the_time_is_over(self, now, hints):
        room = Room()
        found = look(
            page(reply(5, SATO, "うーん"), reply(6, YAMADA, "承認"), reply(7, YAMADA, "あ")), room=room, now=now
        )
        assert len(room.posted) == hints
        assert not found.owes_help


class TestAnAnswerThatWasTakenBack:
    NOTICE = "先の回答は、この返信により取り消されたものとして扱います。"

    def test_does_not_count(self):
        found = look(page(reply(5, SATO, "承認"), reply(6, SATO, "取り消します"), reply(7, YAMADA, "承認")))
        assert (found.outcome, choices(found)) == ("open", [(YAMADA, "承認")])
        assert [f"answer of {SATO}" in remark for remark in found.remarks] == [True]

    def test_does_not_count_where_it_was_heard_before(self):
        first = look(page(reply(5, SATO, "承認")))
        second = look([*chatter(99, 10), reply(200, SATO, "取り消します")], first.heard)
        assert choices(second) == []
        assert second.heard["answers"] == []
        assert is_worth_keeping(first.heard, second.heard)
        # Now what took it back is behind the page, too.
        third = look([*chatter(99, 300), reply(500, YAMADA, "承認")], second.heard)
        assert (third.outcome, choices(third)) == ("open", [(YAMADA, "承認")])

    def test_is_taken_back_in_a_reply_to_the_hint_too(self):
        heard: Heard = {**nothing_heard(BEGIN), "hints": {str(YAMADA): "1006"}}
        assert choices(look(page(reply(5, SATO, "承認"), reply(8, SATO, "待って", to="1006")), heard)) == []

    @pytest.mark.parametrize(
        ("last", "counts"),
        [
            (message(6, SATO, "[deleted]"), False),
            (message(60, 9, "雑談"), False),
            (reply(6, SATO, "1", update_time=BEGIN + 50), True),
            (reply(50, SATO, "承認"), True),
        ],
        ids=["deleted", "behind the page", "cleared up", "anew"],
    )
    def test_counts_again_only_where_it_is_given_anew(self, last, counts):
        first = look(page(reply(5, SATO, "承認"), reply(6, SATO, "取り消します")))
        # As after a restart.
        found = look(page(reply(5, SATO, "承認"), last), json.loads(json.dumps(first.heard)))
        assert choices(found) == ([(SATO, "承認")] if counts else [])

    def test_stays_so_once_the_edit_that_took_it_back_has_left_the_page(self):
        room = Room()
        edited, other = reply(5, SATO, "却下\nやはり", update_time=BEGIN + 50), reply(6, SATO, "承認")
        first = look(page(edited, other), room=room)
        heard = json.loads(json.dumps(first.heard))
        second = look([other, *chatter(98, 60)], heard, room)
        assert choices(second) == []
        assert choices(look([other, *chatter(98, 60), reply(200, SATO, "承認")], second.heard, room)) == [
            (SATO, "承認")
        ]
        assert len(room.posted) == 1

    def test_stays_so_where_only_the_room_remembers_that_it_was_told(self):
        room = Room()
        said = [reply(5, SATO, "承認"), reply(6, SATO, "取り消します")]
        look(page(*said), room=room)
        told = message(7, BOT, room.posted[0])
        # What an earlier version has kept has no moments.
        heard: Heard = {**nothing_heard(BEGIN), "hints": {str(SATO): "1007"}, "taken_back": {str(SATO): "1007"}}
        for known in (nothing_heard(BEGIN), heard):
            gone = page(said[0], message(6, SATO, "[deleted]"), told)
            assert choices(look(gone, known, room)) == []
            assert choices(look([*gone, reply(8, SATO, "承認")], known, room)) == [(SATO, "承認")]
        assert len(room.posted) == 1

    def test_is_told_though_the_message_because_of_which_is_gone(self):
        failing = Room(ChatworkServerError("post_message", 503))
        first = look(page(reply(5, SATO, "承認"), reply(6, SATO, "取り消します")), room=failing)
        room = Room()
        found = look(page(reply(5, SATO, "承認"), message(6, SATO, "[deleted]")), first.heard, room)
        assert choices(found) == []
        assert [self.NOTICE in body and "-1006]" in body for body in room.posted] == [True]
        assert not found.owes_help

    @pytest.mark.parametrize(
        ("older", "counts"),
        [("却下", False), ("はて", False), ("承認。\nやはり", True)],
        ids=["other", "unclear", "same"],
    )
    def test_is_taken_back_by_an_edit_of_an_earlier_message_that_says_something_else(self, older, counts):
        room = Room()
        said = page(reply(5, SATO, older, update_time=BEGIN + 50), reply(6, SATO, "承認"))
        first = look(said, room=room)
        assert choices(first) == ([(SATO, "承認")] if counts else [])
        assert [self.NOTICE in body and "-1005]" in body for body in room.posted] == ([] if counts else [True])
        look(said, first.heard, room)
        assert len(room.posted) == (not counts)
        # Who answers anew after that is heard.
        assert choices(look([*said, reply(60, SATO, "却下")], first.heard, room)) == [(SATO, "却下")]

    def test_is_not_taken_back_by_an_edit_before_it(self):
        said = page(reply(5, SATO, "却下", update_time=BEGIN + 6), reply(6, SATO, "承認"))
        assert choices(look(said)) == [(SATO, "承認")]

    def test_is_no_matter_of_what_others_say(self):
        assert choices(look(page(reply(5, SATO, "承認"), reply(6, YAMADA, "えー")))) == [(SATO, "承認")]

    def test_is_told_to_each_once_also_behind_a_hint(self):
        room = Room()
        said = [reply(1, YAMADA, "えー")]
        known = look(page(*said), room=room).heard
        said += [reply(2, SATO, "承認"), reply(3, SATO, "あ"), reply(4, YAMADA, "却下"), reply(5, YAMADA, "い")]
        known = look(page(*said), known, room, approvers=[SATO, YAMADA, TAKAHASHI], needed=3).heard
        assert known["taken_back"] == {str(SATO): "5001", str(YAMADA): "5002"}
        said += [reply(6, SATO, "承認"), reply(7, SATO, "う")]
        look(page(*said), known, room)
        assert [body.partition(" to=")[0] for body in room.posted] == [
            f"[rp aid={who}" for who in (YAMADA, SATO, YAMADA)
        ]
        assert [self.NOTICE in body for body in room.posted] == [False, True, True]

    def test_is_told_in_what_helps_everybody(self):
        room = Room()
        first = look(page(reply(5, SATO, "承認"), reply(6, SATO, "あ"), reply(7, YAMADA, "え")), room=room)
        assert first.heard["hints"] == {str(SATO): "5000", str(YAMADA): "5001"}
        assert [self.NOTICE in body for body in room.posted] == [True, False]
        answered = page(reply(8, SATO, "承認", to="5001"), reply(9, YAMADA, "承認", to="5000"))
        assert look(answered, first.heard).outcome == "decided"

    def test_can_be_given_anew_to_what_told_so(self):
        heard: Heard = {**nothing_heard(BEGIN), "taken_back": {str(SATO): "1006"}}
        assert choices(look(page(reply(8, SATO, "承認", to="1006")), heard)) == [(SATO, "承認")]

    def test_is_not_told_twice_where_nobody_remembers(self):
        room = Room()
        said = page(reply(5, SATO, "承認"), reply(6, SATO, "あ"))
        look(said, room=room)
        given = message(7, BOT, room.posted[0].replace("\n", "\r\n"))
        for known in (
            nothing_heard(BEGIN),
            look(said, room=Room(ChatworkUnknownOutcomeError("post_message", "?"))).heard,
        ):
            found = look([*said, given], known, room)
            assert found.heard["taken_back"] == {str(SATO): "1007"}
        assert len(room.posted) == 1

    def test_is_told_later_where_it_could_not_be_told_at_once(self):
        first = look(page(reply(5, SATO, "承認")))
        failing = Room(ChatworkServerError("post_message", 503))
        second = look([*chatter(99, 10), reply(200, SATO, "あ")], first.heard, failing)
        assert second.owes_help
        room = Room()
        third = look([*chatter(99, 10), reply(200, SATO, "あ")], second.heard, room)
        assert self.NOTICE in room.posted[0]
        assert not third.owes_help
        assert third.remarks == []

    def test_is_not_told_to_somebody_who_has_answered_anew_meanwhile(self):
        failing = Room(ChatworkServerError("post_message", 503))
        said = [reply(5, SATO, "承認"), reply(6, SATO, "あ")]
        first = look(page(*said), room=failing)
        room = Room()
        found = look(page(*said, reply(7, SATO, "承認")), first.heard, room)
        assert room.posted == []
        assert found.heard["taken_back"] == {}

    def test_is_not_told_where_chatwork_refuses_that(self):
        room = Room(ChatworkForbiddenError("post_message", 403))
        said = page(reply(5, SATO, "承認"), reply(6, SATO, "あ"))
        found = look(said, look(said, room=room).heard, room)
        assert len(room.posted) == 1
        assert not found.owes_help
