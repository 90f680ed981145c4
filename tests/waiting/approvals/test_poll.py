from __future__ import annotations

import pytest

from tests.waiting.approvals.fake_room import (
    BOT,
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


class TestPoll:
    def test_a_question_without_replies_is_open(self):
        result = poll_page(page())
        assert (result.outcome, result.choice, result.state["votes"]) == ("open", None, [])

    def test_a_reply_is_a_vote(self):
        result = poll_page(page(reply(5, SATO, "1\n良いです\n\nどうぞ", update_time=1_800_000_009)), quorum=1)
        assert (result.outcome, result.choice) == ("decided", "承認")
        assert result.state["votes"] == [
            {
                "account_id": SATO,
                "name": "佐藤",
                "choice": "承認",
                "number": 1,
                "comment": "良いです\n\nどうぞ",
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
    def test_other_messages_are_not_votes(self, other):
        assert (
            choices(poll_page(sorted(page(other), key=lambda m: m["send_time"]), approvers=[BOT, SATO, YAMADA])) == []
        )

    @pytest.mark.parametrize("order", [("承認", "却下"), ("却下", "承認")])
    def test_only_the_part_for_this_question_counts(self, order):
        tags = [f"[rp aid={BOT} to={ROOM}-{to}]ボットさん" for to in ("1001", QUESTION)]
        one = message(5, SATO, f"{tags[0]}\n{order[0]}\n\n{tags[1]}\n{order[1]}\nどうぞ")
        assert choices(poll_page(page(one))) == [(SATO, order[1])]
        turned = message(5, SATO, f"{tags[1]}\n{order[1]}\n\n{tags[0]}\n{order[0]}")
        assert choices(poll_page(page(turned))) == [(SATO, order[1])]

    @pytest.mark.parametrize(("second", "votes"), [("承認", [(SATO, "承認")]), ("却下", []), ("はて", [])])
    def test_two_answers_in_one_message_have_to_be_the_same(self, second, votes):
        tag = f"[rp aid={BOT} to={ROOM}-{QUESTION}]ボットさん"
        room = FakeRoom()
        assert choices(poll_page(page(message(5, SATO, f"{tag}\n承認\n{tag}\n{second}")), room=room)) == votes
        assert len(room.posted) == (not votes)

    UPLOAD = "[info][title][dtext:file_uploaded][/title][download:1]a.png (1 KB)[/download][/info]"

    @pytest.mark.parametrize(
        "text", ["却下\n数字が違います。\n{file}", "{file}却下\n数字が違います。", "却下{file}\n数字が違います。"]
    )
    def test_an_answer_with_a_file_counts(self, text):
        [answer] = poll_page(page(reply(5, SATO, text.format(file=self.UPLOAD)))).state["votes"]
        assert (answer["choice"], answer["comment"]) == ("却下", "数字が違います。")

    def test_a_file_without_text_is_an_unclear_reply(self):
        room = FakeRoom()
        assert choices(poll_page(page(reply(5, SATO, "承認"), reply(6, SATO, self.UPLOAD)), room=room)) == []
        assert len(room.posted) == 1

    def test_a_long_comment_is_truncated(self):
        def words(count: int, people: int) -> str:
            result = poll_page(
                page(reply(5, SATO, "承認\n" + "あ" * count)), approvers=[SATO, *range(90, 89 + people)], quorum=people
            )
            return str(result.state["votes"][0]["comment"])

        assert words(1000, 5) == "あ" * 1000
        assert words(1001, 5) == "あ" * 999 + "…"
        assert len(words(1000, 50)) == 100

    def test_superseded_votes_have_no_comment(self):
        first = poll_page(page(reply(5, SATO, "承認\n一"), reply(6, SATO, "却下\n二")))
        assert [answer["comment"] for answer in first.state["votes"]] == ["", "二"]

    def test_a_vote_that_left_the_page_is_kept(self):
        first = poll_page(page(reply(5, SATO, "承認")))
        result = poll_page(other_messages(100, 10), first.state)
        assert choices(result) == [(SATO, "承認")]

    def test_only_the_latest_vote_that_left_the_page_is_kept(self):
        first = poll_page(page(reply(5, SATO, "承認"), reply(6, SATO, "却下\nだめ"), reply(7, SATO, "承認")))
        assert len(first.state["votes"]) == 3
        [kept] = poll_page(other_messages(100, 10), first.state).state["votes"]
        assert (kept["choice"], kept["message_id"]) == ("承認", "1007")

    @pytest.mark.parametrize("empty", [[], [message(50, 9, "雑談")]], ids=["nothing", "a part"])
    def test_a_shorter_page_keeps_the_votes_before_it(self, empty):
        # As in Chatwork's Free plan, which hides old messages.
        first = poll_page(page(reply(5, SATO, "承認")))
        assert choices(poll_page(empty, first.state)) == [(SATO, "承認")]

    def test_the_page_replaces_the_votes_that_it_covers(self):
        first = poll_page(page(reply(5, SATO, "承認"), reply(6, YAMADA, "却下")), quorum=2)
        assert choices(poll_page(page(reply(5, SATO, "却下"), message(6, YAMADA, "[deleted]")), first.state)) == [
            (SATO, "却下")
        ]
        assert choices(poll_page(page(reply(5, SATO, "承認")), first.state)) == [(SATO, "承認")]
        three = {"approvers": [SATO, YAMADA, TAKAHASHI], "quorum": 3}
        assert choices(poll_page([reply(6, YAMADA, "承認"), *other_messages(99, 10)], first.state, **three)) == [
            (SATO, "承認"),
            (YAMADA, "承認"),
        ]

    def test_a_deleted_question_ends_the_wait(self):
        result = poll_page([message(0, BOT, "[deleted]"), reply(5, SATO, "承認"), reply(6, YAMADA, "承認")])
        assert result.outcome == "question_deleted"

    def test_missed_messages_are_reported_once(self):
        first = poll_page(page())
        assert not first.state["possible_loss"]
        second = poll_page(other_messages(100, 10), first.state)
        assert second.state["possible_loss"]
        assert [QUESTION in warning for warning in second.warnings] == [True]
        third = poll_page(other_messages(100, 10), second.state)
        assert third.state["possible_loss"]
        assert third.warnings == []

    def test_a_page_that_reaches_back_has_missed_nothing(self):
        first = poll_page(page(*other_messages(50, 1)))
        second = poll_page(other_messages(100, 10), first.state)
        assert not second.state["possible_loss"]
        assert second.warnings == []
