from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.asking import (
    NO_HINT,
    Ask,
    Heard,
    Look,
    answers_needed,
    describe,
    is_worth_keeping,
    latest,
    listen,
    nothing_heard,
    result_of,
)
from airflow_provider_chatwork.api.call import Call
from airflow_provider_chatwork.api.errors import (
    ChatworkError,
    ChatworkForbiddenError,
    ChatworkParameterError,
    ChatworkServerError,
    ChatworkUnknownOutcomeError,
)

ROOM, QUESTION, BOT, SATO, YAMADA, TAKAHASHI = 7, "1000", 1, 2, 3, 4
BEGIN, DEADLINE = 1_800_000_000, 1_800_003_600
NAMES = {BOT: "ボット", SATO: "佐藤", YAMADA: "山田", TAKAHASHI: "高橋"}


def ask(**more: Any) -> Ask:
    return Ask(
        **{
            "room_id": ROOM,
            "message_id": QUESTION,
            "options": ["承認", "却下"],
            "rejecting": ["却下"],
            "approvers": [SATO, YAMADA],
            "needed": 2,
            "account_id": BOT,
            "account_name": NAMES[BOT],
            "lang": "ja",
            "web_url": "https://www.chatwork.com",
            **more,
        }
    )


def message(number: int, account_id: int, body: str, **more: Any) -> models.Message:
    """The message so many behind the question, which came that many seconds later."""
    return {
        "message_id": str(int(QUESTION) + number),
        "account": {"account_id": account_id, "name": NAMES.get(account_id, "誰か"), "avatar_image_url": ""},
        "body": body,
        "send_time": BEGIN + number,
        "update_time": 0,
        **more,  # type: ignore[typeddict-item]
    }


def reply(number: int, account_id: int, text: str, to: str = QUESTION, room: int = ROOM, **more: Any) -> models.Message:
    return message(number, account_id, f"[rp aid={BOT} to={room}-{to}]ボットさん\n{text}", **more)


ASKED = message(0, BOT, "公開してよいですか")


def page(*messages: models.Message) -> list[models.Message]:
    return [ASKED, *messages]


def chatter(count: int, begin: int) -> list[models.Message]:
    return [message(begin + index, 9, f"雑談 {index}") for index in range(count)]


class Room:
    """Takes what is posted, or refuses it."""

    def __init__(self, refusal: ChatworkError | None = None) -> None:
        self.refusal = refusal
        self.posted: list[str] = []

    def follow(self, steps: Any) -> Any:
        try:
            call: Call[Any] = next(steps)
            while True:
                assert call.operation == "post_message"
                assert call.request.form is not None
                self.posted.append(call.request.form["body"])
                if self.refusal is not None:
                    call = steps.throw(self.refusal)
                else:
                    call = steps.send({"message_id": str(4999 + len(self.posted))})
        except StopIteration as end:
            return end.value


def look(
    messages: list[models.Message],
    heard: Heard | None = None,
    room: Room | None = None,
    now: float = BEGIN + 300,
    helps: bool = True,
    **more: Any,
) -> Look:
    before = copy.deepcopy(heard)
    steps = listen(ask(**more), messages, heard or nothing_heard(), deadline=DEADLINE, now=now, helps=helps)
    found: Look = (room or Room()).follow(steps)
    assert heard == before
    assert json.loads(json.dumps(found.heard)) == found.heard
    return found


def choices(found: Look) -> list[tuple[int, str]]:
    return [(answer["account_id"], answer["choice"]) for answer in latest(found.heard["answers"])]


class TestAsk:
    def test_is_plain_json_and_back(self):
        plain = ask(approvers=(SATO,)).to_plain()
        assert json.loads(json.dumps(plain)) == plain
        assert Ask(**plain) == ask(approvers=[SATO])


class TestAnswersNeeded:
    @pytest.mark.parametrize(("complete_when", "needed"), [("any", 1), ("all", 3), (2, 2), ("2", 2)])
    def test_counts_people(self, complete_when, needed):
        assert answers_needed(complete_when, [1, 2, 3]) == needed

    @pytest.mark.parametrize("complete_when", ["most", 0, 4, None, 1.5, True])
    def test_refuses_what_cannot_be(self, complete_when):
        with pytest.raises(ChatworkParameterError, match="from 1 to 3, the number of approvers"):
            answers_needed(complete_when, [1, 2, 3])


class TestListen:
    def test_hears_nothing_before_anybody_has_answered(self):
        found = look(page())
        assert (found.outcome, found.choice, found.heard["answers"]) == ("open", None, [])

    def test_hears_who_answered_what_and_when(self):
        found = look(page(reply(5, SATO, "1\n良いです\n\nどうぞ", update_time=1_800_000_009)), needed=1)
        assert (found.outcome, found.choice) == ("decided", "承認")
        assert found.heard["answers"] == [
            {
                "account_id": SATO,
                "name": "佐藤",
                "choice": "承認",
                "number": 1,
                "words": "良いです\n\nどうぞ",
                "message_id": "1005",
                "send_time": 1_800_000_005,
                "update_time": 1_800_000_009,
            }
        ]

    @pytest.mark.parametrize(
        "other",
        [
            reply(5, SATO, "承認", to="999"),
            reply(5, SATO, "承認", room=8),
            message(5, SATO, f"[qt]{reply(5, SATO, '承認')['body']}[/qt]"),
            message(5, SATO, f"[code]{reply(5, SATO, '承認')['body']}[/code]"),
            message(5, SATO, f"[To:{BOT}]ボットさん\n承認"),
            message(5, SATO, "承認"),
            message(-5, SATO, f"[rp aid={BOT} to={ROOM}-{QUESTION}]\n承認"),
            reply(5, 9, "承認"),
            reply(5, BOT, "承認"),
            message(5, SATO, "[deleted]"),
            reply(5, SATO, "承認[dtext:task_done]"),
        ],
        ids=[
            *("another question", "another room", "quote", "code", "mention", "bare", "before", "stranger", "own"),
            *("deleted", "system"),
        ],
    )
    def test_hears_nothing_else(self, other):
        assert choices(look(sorted(page(other), key=lambda m: m["send_time"]), approvers=[BOT, SATO, YAMADA])) == []

    def test_keeps_what_is_behind_the_page(self):
        first = look(page(reply(5, SATO, "承認")))
        found = look([*chatter(99, 10), reply(200, YAMADA, "承認")], first.heard)
        assert (found.outcome, found.choice) == ("decided", "承認")
        assert choices(found) == [(SATO, "承認"), (YAMADA, "承認")]

    def test_keeps_only_the_latest_of_each_that_is_behind_the_page(self):
        first = look(page(reply(5, SATO, "承認"), reply(6, SATO, "却下\nだめ"), reply(7, SATO, "承認")))
        assert len(first.heard["answers"]) == 3
        [kept] = look(chatter(100, 10), first.heard).heard["answers"]
        assert (kept["choice"], kept["message_id"]) == ("承認", "1007")

    @pytest.mark.parametrize("empty", [[], [message(50, 9, "雑談")]], ids=["nothing", "a part"])
    def test_keeps_what_a_page_does_not_reach_back_to(self, empty):
        # As on the Free plan, which hides what is old.
        first = look(page(reply(5, SATO, "承認")))
        assert choices(look(empty, first.heard)) == [(SATO, "承認")]

    def test_goes_by_the_page_where_that_shows_it(self):
        first = look(page(reply(5, SATO, "承認"), reply(6, YAMADA, "却下")), needed=2)
        assert choices(look(page(reply(5, SATO, "却下"), message(6, YAMADA, "[deleted]")), first.heard)) == [
            (SATO, "却下")
        ]
        assert choices(look(page(reply(5, SATO, "承認")), first.heard)) == [(SATO, "承認")]
        assert choices(look([reply(6, YAMADA, "承認"), *chatter(99, 10)], first.heard)) == [
            (SATO, "承認"),
            (YAMADA, "承認"),
        ]

    def test_ends_where_the_question_was_deleted(self):
        found = look([message(0, BOT, "[deleted]"), reply(5, SATO, "承認"), reply(6, YAMADA, "承認")])
        assert found.outcome == "withdrawn"

    def test_tells_once_what_may_have_gone_by(self):
        first = look(page())
        assert not first.heard["possible_loss"]
        second = look(chatter(100, 10), first.heard)
        assert second.heard["possible_loss"]
        assert [QUESTION in remark for remark in second.remarks] == [True]
        third = look(chatter(100, 10), second.heard)
        assert third.heard["possible_loss"]
        assert third.remarks == []

    def test_tells_nothing_where_the_page_reaches_back(self):
        first = look(page(*chatter(50, 1)))
        second = look(chatter(100, 10), first.heard)
        assert not second.heard["possible_loss"]
        assert second.remarks == []


class TestTheHint:
    def test_helps_whoever_could_not_be_understood(self):
        room = Room()
        found = look(page(reply(5, SATO, "承認します")), room=room)
        assert found.heard["hint"] == "5000"
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

    def test_is_given_once(self):
        room = Room()
        first = look(page(reply(5, SATO, "承認します")), room=room)
        for known in (first.heard, {**first.heard, "hint": NO_HINT}):
            look(page(reply(5, SATO, "承認します"), reply(8, YAMADA, "了解")), known, room)
        assert len(room.posted) == 1

    def test_goes_to_the_first_who_ended_with_what_is_no_answer(self):
        room = Room()
        unclear = [
            reply(5, SATO, "うーん"),
            reply(6, YAMADA, "えーと"),
            reply(7, SATO, "承認"),
        ]
        look(page(*unclear[:3]), room=room, needed=2)
        look(page(*unclear[:2]), room=room, needed=2)
        assert [body.partition(" ")[2].partition("]")[0] for body in room.posted] == [
            f"aid={YAMADA} to={ROOM}-1006",
            f"aid={SATO} to={ROOM}-1005",
        ]

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
        assert found.heard["hint"] is None

    def test_is_found_in_the_room_where_nobody_remembers_it(self):
        room = Room()
        look(page(reply(5, SATO, "うーん")), room=room)
        given = message(6, BOT, room.posted[0].replace("\n", "\r\n") + "\n")
        found = look(page(reply(5, SATO, "うーん"), given), room=room)
        assert found.heard["hint"] == "1006"
        # Also where the message it replies to is behind the page.
        assert look([given, *chatter(98, 10), reply(300, YAMADA, "はて")], room=room).heard["hint"] == "1006"
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
        heard: Heard = {**nothing_heard(), "hint": "1006"}
        found = look(page(reply(7, SATO, "承認", to="1006"), reply(8, YAMADA, "承認")), heard)
        assert found.outcome == "decided"
        assert choices(look(page(reply(7, SATO, "承認", to="1006")))) == []

    @pytest.mark.parametrize(
        ("refusal", "hint"),
        [
            (ChatworkForbiddenError("post_message", 403), NO_HINT),
            (ChatworkServerError("post_message", 503), None),
            (ChatworkUnknownOutcomeError("post_message", "?"), None),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_does_not_end_the_wait_where_it_cannot_be_given(self, refusal, hint):
        found = look(page(reply(5, SATO, "うーん"), reply(6, YAMADA, "承認")), room=Room(refusal))
        assert found.outcome == "open"
        assert found.heard["hint"] == hint
        assert choices(found) == [(YAMADA, "承認")]
        assert [str(refusal) in remark for remark in found.remarks] == [True]

    def test_is_owed_and_not_given_on_a_page_that_may_be_old(self):
        room = Room()
        found = look(page(reply(5, SATO, "うーん")), room=room, helps=False)
        assert found.owes_help
        assert found.heard["hint"] is None
        assert room.posted == []
        assert not look(page(reply(5, SATO, "うーん")), room=room).owes_help

    @pytest.mark.parametrize(("now", "hints"), [(DEADLINE - 1, 1), (DEADLINE, 0)])
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
        heard: Heard = {**nothing_heard(), "hint": "1006"}
        assert choices(look(page(reply(5, SATO, "承認"), reply(8, SATO, "待って", to="1006")), heard)) == []

    def test_counts_where_what_came_after_it_was_deleted_or_cleared_up(self):
        first = look(page(reply(5, SATO, "承認"), reply(6, SATO, "取り消します")))
        for last in (message(6, SATO, "[deleted]"), reply(6, SATO, "1")):
            assert choices(look(page(reply(5, SATO, "承認"), last), first.heard)) == [(SATO, "承認")]

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
        assert first.heard["hint"] == "5000"
        assert len(room.posted) == 1
        answered = page(reply(8, SATO, "承認", to="5000"), reply(9, YAMADA, "承認", to="5000"))
        assert look(answered, first.heard).outcome == "decided"

    def test_can_be_given_anew_to_what_told_so(self):
        heard: Heard = {**nothing_heard(), "hint": "1001", "taken_back": {str(SATO): "1006"}}
        assert choices(look(page(reply(8, SATO, "承認", to="1006")), heard)) == [(SATO, "承認")]

    def test_is_not_told_twice_where_nobody_remembers(self):
        room = Room()
        said = page(reply(5, SATO, "承認"), reply(6, SATO, "あ"))
        look(said, room=room)
        given = message(7, BOT, room.posted[0].replace("\n", "\r\n"))
        for known in (nothing_heard(), look(said, room=Room(ChatworkUnknownOutcomeError("post_message", "?"))).heard):
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


class TestWhatIsSaidAfterTheTime:
    @pytest.mark.parametrize(("seconds", "counts"), [(3600, True), (3660, True), (3661, False), (90_000, False)])
    def test_does_not_count(self, seconds, counts):
        found = look(page(reply(seconds, SATO, "承認")), now=DEADLINE + 90_000, needed=1)
        assert (found.outcome == "decided") is counts

    def test_takes_nothing_back(self):
        found = look(page(reply(5, SATO, "承認"), reply(3661, SATO, "あ")), now=DEADLINE + 90_000)
        assert choices(found) == [(SATO, "承認")]

    def test_does_not_count_where_it_is_an_edit(self):
        late = {"update_time": DEADLINE + 61}
        said = page(reply(5, SATO, "却下"), reply(6, SATO, "承認", **late))
        assert choices(look(said, now=DEADLINE + 90_000)) == []
        assert choices(look(page(reply(6, SATO, "承認", update_time=DEADLINE + 60)), now=DEADLINE + 70)) != []

    def test_leaves_what_was_heard_before_an_edit(self):
        first = look(page(reply(6, SATO, "却下")))
        said = page(reply(6, SATO, "承認", update_time=DEADLINE + 61))
        assert choices(look(said, first.heard, now=DEADLINE + 90_000)) == [(SATO, "却下")]


class TestIsWorthKeeping:
    def test_asks_whether_a_restart_would_lose_something(self):
        nothing = nothing_heard()
        one = look(page(reply(5, SATO, "承認"))).heard
        assert is_worth_keeping(nothing, one)
        assert is_worth_keeping(one, look(page(reply(5, SATO, "却下")), one).heard)
        assert is_worth_keeping(one, look(page(reply(5, SATO, "承認"), reply(6, SATO, "承認")), one).heard)
        assert is_worth_keeping(one, look(page(), one).heard)
        assert is_worth_keeping(nothing, {**nothing, "hint": "5000"})
        assert is_worth_keeping(nothing, {**nothing, "taken_back": {"5": None}})
        assert is_worth_keeping({**nothing, "taken_back": {"5": None}}, {**nothing, "taken_back": {"5": "6"}})
        assert not is_worth_keeping(one, look(page(reply(5, SATO, "承認\nやっと"), message(9, 9, "雑談")), one).heard)
        assert not is_worth_keeping(nothing, look(page(message(9, 9, "雑談"))).heard)


class TestDescribe:
    def test_says_who_chose_what_and_who_is_missing_by_account(self):
        heard = look(page(reply(5, SATO, "却下\n秘密"))).heard
        assert describe(ask(), heard) == f"'却下' by {SATO}; no answer from {YAMADA}"


class TestResultOf:
    def test_tells_those_who_decided_from_those_who_did_not(self):
        heard = look(page(reply(5, SATO, "却下"), reply(6, YAMADA, "承認"), reply(7, SATO, "承認"))).heard
        result = result_of(ask(), heard, "承認", "answered")
        assert [vote["message_id"] for vote in result["who"]] == ["1006", "1007"]
        assert result["votes"] == result["who"]
        assert [vote["message_id"] for vote in result_of(ask(), heard, "却下", "timeout_default")["who"]] == []
