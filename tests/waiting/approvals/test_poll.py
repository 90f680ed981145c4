from __future__ import annotations

import json

import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.waiting.approvals.poll import Ask, answers_needed, is_worth_keeping, nothing_heard
from tests.waiting.approvals.asked import (
    BOT,
    QUESTION,
    ROOM,
    SATO,
    TAKAHASHI,
    YAMADA,
    Room,
    ask,
    chatter,
    choices,
    look,
    message,
    page,
    reply,
)


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

    @pytest.mark.parametrize("order", [("承認", "却下"), ("却下", "承認")])
    def test_hears_of_a_message_that_answers_two_what_belongs_to_this_question(self, order):
        tags = [f"[rp aid={BOT} to={ROOM}-{to}]ボットさん" for to in ("1001", QUESTION)]
        one = message(5, SATO, f"{tags[0]}\n{order[0]}\n\n{tags[1]}\n{order[1]}\nどうぞ")
        assert choices(look(page(one))) == [(SATO, order[1])]
        turned = message(5, SATO, f"{tags[1]}\n{order[1]}\n\n{tags[0]}\n{order[0]}")
        assert choices(look(page(turned))) == [(SATO, order[1])]

    @pytest.mark.parametrize(("second", "heard"), [("承認", [(SATO, "承認")]), ("却下", []), ("はて", [])])
    def test_hears_two_answers_in_one_message_only_where_they_say_the_same(self, second, heard):
        tag = f"[rp aid={BOT} to={ROOM}-{QUESTION}]ボットさん"
        room = Room()
        assert choices(look(page(message(5, SATO, f"{tag}\n承認\n{tag}\n{second}")), room=room)) == heard
        assert len(room.posted) == (not heard)

    UPLOAD = "[info][title][dtext:file_uploaded][/title][download:1]a.png (1 KB)[/download][/info]"

    @pytest.mark.parametrize(
        "text", ["却下\n数字が違います。\n{file}", "{file}却下\n数字が違います。", "却下{file}\n数字が違います。"]
    )
    def test_hears_an_answer_that_comes_with_a_file(self, text):
        [answer] = look(page(reply(5, SATO, text.format(file=self.UPLOAD)))).heard["answers"]
        assert (answer["choice"], answer["words"]) == ("却下", "数字が違います。")

    def test_takes_a_file_alone_for_an_answer_nobody_understands(self):
        room = Room()
        assert choices(look(page(reply(5, SATO, "承認"), reply(6, SATO, self.UPLOAD)), room=room)) == []
        assert len(room.posted) == 1

    def test_keeps_of_a_comment_what_fits(self):
        def words(count: int, people: int) -> str:
            found = look(
                page(reply(5, SATO, "承認\n" + "あ" * count)), approvers=[SATO, *range(90, 89 + people)], needed=people
            )
            return str(found.heard["answers"][0]["words"])

        assert words(1000, 5) == "あ" * 1000
        assert words(1001, 5) == "あ" * 999 + "…"
        assert len(words(1000, 50)) == 100

    def test_keeps_comments_only_of_the_answers_that_count(self):
        first = look(page(reply(5, SATO, "承認\n一"), reply(6, SATO, "却下\n二")))
        assert [answer["words"] for answer in first.heard["answers"]] == ["", "二"]

    def test_keeps_what_is_behind_the_page(self):
        first = look(page(reply(5, SATO, "承認")))
        found = look(chatter(100, 10), first.heard)
        assert choices(found) == [(SATO, "承認")]

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
        three = {"approvers": [SATO, YAMADA, TAKAHASHI], "needed": 3}
        assert choices(look([reply(6, YAMADA, "承認"), *chatter(99, 10)], first.heard, **three)) == [
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


class TestIsWorthKeeping:
    def test_asks_whether_a_restart_would_lose_something(self):
        nothing = nothing_heard()
        one = look(page(reply(5, SATO, "承認"))).heard
        assert is_worth_keeping(nothing, one)
        assert is_worth_keeping(one, look(page(reply(5, SATO, "却下")), one).heard)
        assert is_worth_keeping(one, look(page(reply(5, SATO, "承認"), reply(6, SATO, "承認")), one).heard)
        assert is_worth_keeping(one, look(page(), one).heard)
        assert is_worth_keeping(nothing, {**nothing, "hints": {"5": "5000"}})
        assert is_worth_keeping(nothing, {**nothing, "taken_back": {"5": None}})
        assert is_worth_keeping({**nothing, "taken_back": {"5": None}}, {**nothing, "taken_back": {"5": "6"}})
        assert is_worth_keeping(
            {**nothing, "taken_back_at": {"5": [6, 7]}}, {**nothing, "taken_back_at": {"5": [8, 7]}}
        )
        assert not is_worth_keeping(nothing, {**nothing, "taken_back_at": {}})
        assert not is_worth_keeping(one, look(page(reply(5, SATO, "承認\nやっと"), message(9, 9, "雑談")), one).heard)
        assert not is_worth_keeping(nothing, look(page(message(9, 9, "雑談"))).heard)
