from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.waiting.message_filter import (
    MessageLooks,
    Wanted,
    first_by_others,
    found_message,
    is_newer,
    may_have_lost,
    position,
)

ROOM = 400
BOT, SATO, YAMADA = 1, 2, 3
NAMES = {BOT: "データ連携ボット", SATO: "佐藤 花子", YAMADA: "Taro Yamada"}
FIRST_ID = 1_900_000_000_000_000_000
START = 1_800_000_000


def message(number: int, body: str = "こんにちは", account_id: int = SATO, send_time: int | None = None) -> Any:
    """The message of a number: one comes every second."""
    return {
        "message_id": str(FIRST_ID + number),
        "account": {"account_id": account_id, "name": NAMES[account_id], "avatar_image_url": ""},
        "body": body,
        "send_time": START + number if send_time is None else send_time,
        "update_time": 0,
    }


def page(first: int, last: int) -> list[Any]:
    """What Chatwork shows after the last of these messages, where the first is the oldest of the room."""
    return [message(number) for number in range(max(first, last - 99), last + 1)]


def reply_tag(number: int, room_id: int = ROOM, account_id: int = BOT) -> str:
    return f"[rp aid={account_id} to={room_id}-{FIRST_ID + number}]"


class TestIsNewer:
    @pytest.mark.parametrize(
        ("since", "newer"),
        [
            (str(FIRST_ID + 4), True),
            (str(FIRST_ID + 5), False),
            (str(FIRST_ID + 6), False),
            ("0099", True),
            (START + 4, True),
            (START + 5, True),
            (START + 6, False),
        ],
    )
    def test_behind_a_message_or_from_a_second_on(self, since, newer):
        assert is_newer(message(5), since) is newer

    def test_compares_ids_as_numbers(self):
        assert is_newer({**message(0), "message_id": "1000"}, "999")


class TestPosition:
    def test_is_by_second_and_then_by_number(self):
        early = {**message(0, send_time=START), "message_id": "999"}
        late = {**message(0, send_time=START), "message_id": "1000"}
        later = {**message(0, send_time=START + 1), "message_id": "5"}
        assert sorted([later, late, early], key=position) == [early, late, later]


class TestMayHaveLost:
    @pytest.mark.parametrize(
        ("first", "last", "since", "seen", "lost"),
        [
            (1, 99, START, None, False),
            (1, 100, START, None, True),
            (1, 100, START + 2, None, False),
            (1, 100, str(FIRST_ID), None, True),
            (1, 100, str(FIRST_ID + 1), None, False),
            (2, 101, START, message(1), True),
            (2, 101, START, message(2), False),
            (2, 101, START + 3, message(1), False),
            (1, 99, START, message(1), False),
        ],
    )
    def test_where_a_full_page_begins_behind_what_is_known(self, first, last, since, seen, lost):
        assert may_have_lost(page(first, last), since, seen and position(seen)) is lost

    def test_never_on_an_empty_page(self):
        assert not may_have_lost([], START, None)


class TestMessageLooks:
    def looks(self, since: int | str = START) -> MessageLooks:
        return MessageLooks(Wanted(ROOM, since))

    def test_says_once_that_messages_may_have_gone_by(self):
        looks, said = self.looks(), []
        for last in (50, 200, 400, 450):
            looks.look(page(1, last), lambda *line: said.append(line))
        assert [line[0] % line[1:] for line in said] == [
            "More than 100 messages may have come into room 400 since it was looked at last, which is as many as "
            "Chatwork shows: the one that is waited for may have gone by unseen. A shorter poke_interval helps."
        ]
        assert looks.possible_loss

    def test_says_nothing_more_where_it_was_said_before(self):
        said: list[Any] = []
        looks = MessageLooks(Wanted(ROOM, START), None, possible_loss=True)
        looks.look(page(1, 200), lambda *line: said.append(line))
        assert (said, looks.possible_loss) == ([], True)

    def test_does_not_forget_what_it_saw_where_the_newest_message_is_gone(self):
        looks = self.looks()
        looks.look(page(1, 60), print)
        looks.look(page(1, 59), print)
        assert looks.seen == position(message(60))
        looks.look([], print)
        assert looks.seen == position(message(60))

    def test_returns_the_candidates(self):
        assert self.looks(START + 2).look(page(1, 3), print) == [message(2), message(3)]

    def test_reads_again_what_was_edited_and_nothing_else(self):
        looks = MessageLooks(Wanted(ROOM, START, matches="承認"))
        maybe, yes = message(1, "どうしよう"), message(3, "承認")
        assert looks.look([maybe, message(2)], print) == []
        assert looks.look([maybe, message(2), yes], print) == [yes]
        edited = {**maybe, "body": "承認", "update_time": START + 9}
        assert looks.look([edited, message(2), yes], print) == [edited, yes]
        assert looks.look([edited, message(2), yes], print) == [edited, yes]
        assert looks.look([edited, message(2), {**yes, "body": "[deleted]"}], print) == [edited]
        assert looks.look([message(2)], print) == []

    def test_knows_names_from_the_whole_page(self):
        looks = MessageLooks(Wanted(ROOM, START, matches="^承認$"))
        before = message(1, account_id=YAMADA)
        looks.look([before], print)
        after = message(2, "[To:3]Taro Yamada\n承認")
        assert looks.look([before, after], print) == [after]

    @given(
        st.integers(0, 130).flatmap(
            lambda first: st.tuples(st.just(first), st.lists(st.integers(0, 230), min_size=1, max_size=8))
        ),
        st.booleans(),
        st.integers(-5, 250),
    )
    def test_a_loss_is_never_kept_quiet_and_never_made_up(self, room, by_id, begins):
        oldest, comings = room
        since: int | str = str(FIRST_ID + begins) if by_id else START + begins
        looks, last, seen, out_of_touch = self.looks(since), oldest, set(), False
        for coming in comings:
            last += coming
            shown = page(oldest, last)
            numbers = {int(one["message_id"]) - FIRST_ID for one in shown}
            out_of_touch |= len(shown) == 100 and not seen & numbers and is_newer(shown[0], since)
            found = looks.look(shown, lambda *line: None)
            assert found == [one for one in shown if is_newer(one, since)]
            seen |= numbers
            awaited = {number for number in range(oldest, last + 1) if is_newer(message(number), since)}
            assert looks.possible_loss or awaited <= seen
        assert looks.possible_loss == out_of_touch


class TestCandidates:
    def found(self, *messages: Any, **wanted: Any) -> list[int]:
        some = Wanted(ROOM, **{"since": START, **wanted}).candidates(list(messages))
        return [int(one["message_id"]) - FIRST_ID for one in some]

    def test_all_that_is_new_where_nothing_more_is_asked_for(self):
        assert self.found(*page(1, 4), since=str(FIRST_ID + 2)) == [3, 4]

    def test_by_one_of_the_accounts(self):
        messages = [message(1), message(2, account_id=YAMADA), message(3, account_id=BOT)]
        assert self.found(*messages, from_account_ids=(SATO, BOT)) == [1, 3]

    @pytest.mark.parametrize(
        ("matches", "found"),
        [("承認", [1, 2]), ("^承認$", [1]), ("(?i)OK", [3]), ("花子", []), ("引用", []), ("rp aid", [])],
    )
    def test_whose_own_words_match(self, matches, found):
        messages = [
            message(1, "承認"),
            message(2, "[qt][qtmeta aid=1]引用[/qt][To:2]佐藤 花子さん\n承認します"),
            message(3, f"{reply_tag(0)}ok"),
        ]
        assert self.found(*messages, matches=matches) == found

    def test_that_answer_the_message(self):
        messages = [
            message(1, f"{reply_tag(0)}データ連携ボットさん\nはい"),
            message(2, f"{reply_tag(0, room_id=ROOM + 1)}はい"),
            message(3, f"{reply_tag(9)}はい"),
            message(4, f"[qt]{reply_tag(0)}はい[/qt]そうですね"),
            message(5, f"{FIRST_ID}"),
        ]
        assert self.found(*messages, reply_to=str(FIRST_ID)) == [1]

    def test_whose_words_in_answer_to_the_message_match(self):
        two = f"{reply_tag(9)}データ連携ボットさん\n承認\n\n{reply_tag(0)}データ連携ボットさん\n却下"
        known = message(-1, account_id=BOT)
        for matches, found in (("承認", []), ("^却下$", [1])):
            assert self.found(known, message(1, two), matches=matches, reply_to=str(FIRST_ID)) == found
        twice = f"{reply_tag(0)}はい\n{reply_tag(0)}いいえ"
        assert self.found(message(1, twice), matches="^いいえ$", reply_to=str(FIRST_ID)) == [1]

    def test_that_come_with_a_file(self):
        file = "[info][title][dtext:file_uploaded][/title][download:1]a.png (1 KB)[/download][/info]"
        messages = [message(1, f"{reply_tag(0)}1,234円\n{file}"), message(2, f"{file}5,678円"), message(3, file)]
        assert self.found(*messages) == [1, 2]
        assert self.found(*messages, matches="^[0-9,]+円$") == [1, 2]
        assert self.found(*messages, matches="KB") == []
        assert self.found(*messages, matches="円", reply_to=str(FIRST_ID)) == [1]

    def test_neither_deleted_ones_nor_those_of_chatwork_itself(self):
        messages = [
            message(1, "[deleted]"),
            message(2, "[info][title][dtext:task_done][/title][task aid=2 st=done]確認[/task][/info]"),
            message(3, "[qt][qtmeta aid=1][dtext:task_done][/qt]これは？"),
        ]
        assert self.found(*messages) == [3]

    def test_all_conditions_have_to_hold(self):
        wanted = {"from_account_ids": (SATO,), "matches": "はい", "reply_to": str(FIRST_ID)}
        messages = [
            message(1, f"{reply_tag(0)}はい", account_id=YAMADA),
            message(2, f"{reply_tag(0)}いいえ"),
            message(3, "はい"),
            message(4, f"{reply_tag(0)}はい"),
        ]
        assert self.found(*messages, **wanted) == [4]
        assert self.found(*messages, **wanted, since=START + 5) == []


class TestFirstByOthers:
    def test_passes_over_what_the_token_has_posted(self):
        mine, other, another = message(1, account_id=BOT), message(2), message(3)
        assert first_by_others([mine, other, another], Wanted(ROOM, START), BOT) == other
        assert first_by_others([mine], Wanted(ROOM, START, (BOT, SATO)), BOT) is None
        assert first_by_others([], Wanted(ROOM, START), BOT) is None

    def test_refuses_to_wait_for_itself_alone(self):
        with pytest.raises(ChatworkParameterError, match="own messages never count") as caught:
            first_by_others([message(1, account_id=BOT)], Wanted(ROOM, START, (BOT,)), BOT)
        assert (caught.value.parameter, caught.value.value) == ("from_account_ids", [BOT])


class TestFoundMessage:
    def test_describes_the_message(self):
        one = message(2, f"{reply_tag(1)}データ連携ボット\n承認", account_id=YAMADA)
        before = message(1, account_id=BOT)
        assert found_message(
            one, [before, one], Wanted(ROOM, START), possible_loss=True, web_url="http://127.0.0.1:1"
        ) == {
            "message_id": str(FIRST_ID + 2),
            "account_id": YAMADA,
            "account_name": "Taro Yamada",
            "body": f"{reply_tag(1)}データ連携ボット\n承認",
            "text": "承認",
            "send_time": START + 2,
            "link": f"http://127.0.0.1:1/#!rid400-{FIRST_ID + 2}",
            "possible_loss": True,
        }

    def test_leads_to_chatwork_by_itself_and_speaks_of_no_loss(self):
        one = {**message(1), "account": {"account_id": SATO}}
        found = found_message(one, [one], Wanted(ROOM, START))
        assert found["link"].startswith("https://www.chatwork.com/#!rid400-")
        assert (found["account_name"], found["possible_loss"]) == ("", False)

    def test_shows_of_a_message_that_answers_several_what_answers_the_one(self):
        one = message(3, f"{reply_tag(1)}データ連携ボット\n承認\n\n{reply_tag(2)}データ連携ボット\n却下")
        page_ = [message(1, account_id=BOT), one]
        wanted = Wanted(ROOM, START, reply_to=str(FIRST_ID + 2))
        assert found_message(one, page_, wanted)["text"] == "却下"
        assert "承認" in found_message(one, page_, Wanted(ROOM, START))["text"]
