from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.messages import position
from airflow_provider_chatwork.waiting.message_filter import (
    MessageCursor,
    MessageFilter,
    first_by_others,
    found_message,
    is_newer,
    may_have_missed,
)

ROOM = 400
BOT, SATO, YAMADA = 1, 2, 3
NAMES = {BOT: "データ連携ボット", SATO: "佐藤 花子", YAMADA: "Taro Yamada"}
FIRST_ID = 1_900_000_000_000_000_000
START = 1_800_000_000


def message(number: int, body: str = "こんにちは", account_id: int = SATO, send_time: int | None = None) -> Any:
    """Return the message of a number; one comes every second."""
    return {
        "message_id": str(FIRST_ID + number),
        "account": {"account_id": account_id, "name": NAMES[account_id], "avatar_image_url": ""},
        "body": body,
        "send_time": START + number if send_time is None else send_time,
        "update_time": 0,
    }


def page(first: int, last: int) -> list[Any]:
    """Return the page after the last of these messages; the first is the oldest of the room."""
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
    def test_a_message_after_the_start_is_newer(self, since, newer):
        assert is_newer(message(5), since) is newer

    def test_ids_are_compared_as_numbers(self):
        assert is_newer({**message(0), "message_id": "1000"}, "999")


class TestMayHaveMissed:
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
    def test_a_full_page_that_starts_after_the_known_messages_has_missed_some(self, first, last, since, seen, lost):
        assert may_have_missed(page(first, last), since, seen and position(seen)) is lost

    def test_an_empty_page_has_missed_nothing(self):
        assert not may_have_missed([], START, None)


class TestMessageCursor:
    def cursor(self, since: int | str = START) -> MessageCursor:
        return MessageCursor(MessageFilter(ROOM, since))

    def test_missed_messages_are_logged_once(self):
        cursor, logged = self.cursor(), []
        for last in (50, 200, 400, 450):
            cursor.update(page(1, last), lambda *line: logged.append(line))
        assert [line[0] % line[1:] for line in logged] == [
            "More than 100 messages may have come into room 400 since the last poll, which is as many as Chatwork "
            "returns: the message that is waited for may have been missed. A shorter poke_interval helps."
        ]
        assert cursor.possible_loss

    def test_a_known_loss_is_not_logged_again(self):
        logged: list[Any] = []
        cursor = MessageCursor(MessageFilter(ROOM, START), None, possible_loss=True)
        cursor.update(page(1, 200), lambda *line: logged.append(line))
        assert (logged, cursor.possible_loss) == ([], True)

    def test_seen_stays_if_the_newest_message_disappears(self):
        cursor = self.cursor()
        cursor.update(page(1, 60), print)
        cursor.update(page(1, 59), print)
        assert cursor.seen == position(message(60))
        cursor.update([], print)
        assert cursor.seen == position(message(60))

    def test_matching_messages_are_returned(self):
        assert self.cursor(START + 2).update(page(1, 3), print) == [message(2), message(3)]

    def test_only_changed_messages_are_checked_again(self):
        cursor = MessageCursor(MessageFilter(ROOM, START, matches="承認"))
        maybe, yes = message(1, "どうしよう"), message(3, "承認")
        assert cursor.update([maybe, message(2)], print) == []
        assert cursor.update([maybe, message(2), yes], print) == [yes]
        edited = {**maybe, "body": "承認", "update_time": START + 9}
        assert cursor.update([edited, message(2), yes], print) == [edited, yes]
        assert cursor.update([edited, message(2), yes], print) == [edited, yes]
        assert cursor.update([edited, message(2), {**yes, "body": "[deleted]"}], print) == [edited]
        assert cursor.update([message(2)], print) == []

    def test_names_come_from_the_whole_page(self):
        cursor = MessageCursor(MessageFilter(ROOM, START, matches="^承認$"))
        before = message(1, account_id=YAMADA)
        cursor.update([before], print)
        after = message(2, "[To:3]Taro Yamada\n承認")
        assert cursor.update([before, after], print) == [after]

    @given(
        st.integers(0, 130).flatmap(
            lambda first: st.tuples(st.just(first), st.lists(st.integers(0, 230), min_size=1, max_size=8))
        ),
        st.booleans(),
        st.integers(-5, 250),
    )
    def test_a_loss_is_reported_if_and_only_if_there_may_be_one(self, room, by_id, begins):
        oldest, comings = room
        since: int | str = str(FIRST_ID + begins) if by_id else START + begins
        cursor, last, seen, out_of_touch = self.cursor(since), oldest, set(), False
        for coming in comings:
            last += coming
            shown = page(oldest, last)
            numbers = {int(one["message_id"]) - FIRST_ID for one in shown}
            out_of_touch |= len(shown) == 100 and not seen & numbers and is_newer(shown[0], since)
            found = cursor.update(shown, lambda *line: None)
            assert found == [one for one in shown if is_newer(one, since)]
            seen |= numbers
            awaited = {number for number in range(oldest, last + 1) if is_newer(message(number), since)}
            assert cursor.possible_loss or awaited <= seen
        assert cursor.possible_loss == out_of_touch


class TestCandidates:
    def found(self, *messages: Any, **conditions: Any) -> list[int]:
        some = MessageFilter(ROOM, **{"since": START, **conditions}).select(list(messages))
        return [int(one["message_id"]) - FIRST_ID for one in some]

    def test_a_filter_without_conditions_selects_every_new_message(self):
        assert self.found(*page(1, 4), since=str(FIRST_ID + 2)) == [3, 4]

    def test_the_author_is_one_of_the_accounts(self):
        messages = [message(1), message(2, account_id=YAMADA), message(3, account_id=BOT)]
        assert self.found(*messages, from_account_ids=(SATO, BOT)) == [1, 3]

    @pytest.mark.parametrize(
        ("matches", "found"),
        [("承認", [1, 2]), ("^承認$", [1]), ("(?i)OK", [3]), ("花子", []), ("引用", []), ("rp aid", [])],
    )
    def test_the_authors_text_matches(self, matches, found):
        messages = [
            message(1, "承認"),
            message(2, "[qt][qtmeta aid=1]引用[/qt][To:2]佐藤 花子さん\n承認します"),
            message(3, f"{reply_tag(0)}ok"),
        ]
        assert self.found(*messages, matches=matches) == found

    def test_the_message_is_a_reply(self):
        messages = [
            message(1, f"{reply_tag(0)}データ連携ボットさん\nはい"),
            message(2, f"{reply_tag(0, room_id=ROOM + 1)}はい"),
            message(3, f"{reply_tag(9)}はい"),
            message(4, f"[qt]{reply_tag(0)}はい[/qt]そうですね"),
            message(5, f"{FIRST_ID}"),
        ]
        assert self.found(*messages, reply_to=str(FIRST_ID)) == [1]

    def test_the_text_of_the_reply_matches(self):
        two = f"{reply_tag(9)}データ連携ボットさん\n承認\n\n{reply_tag(0)}データ連携ボットさん\n却下"
        known = message(-1, account_id=BOT)
        for matches, found in (("承認", []), ("^却下$", [1])):
            assert self.found(known, message(1, two), matches=matches, reply_to=str(FIRST_ID)) == found
        twice = f"{reply_tag(0)}はい\n{reply_tag(0)}いいえ"
        assert self.found(message(1, twice), matches="^いいえ$", reply_to=str(FIRST_ID)) == [1]

    def test_a_message_with_a_file_is_selected(self):
        file = "[info][title][dtext:file_uploaded][/title][download:1]a.png (1 KB)[/download][/info]"
        messages = [message(1, f"{reply_tag(0)}1,234円\n{file}"), message(2, f"{file}5,678円"), message(3, file)]
        assert self.found(*messages) == [1, 2]
        assert self.found(*messages, matches="^[0-9,]+円$") == [1, 2]
        assert self.found(*messages, matches="KB") == []
        assert self.found(*messages, matches="円", reply_to=str(FIRST_ID)) == [1]

    def test_deleted_and_system_messages_are_left_out(self):
        messages = [
            message(1, "[deleted]"),
            message(2, "[info][title][dtext:task_done][/title][task aid=2 st=done]確認[/task][/info]"),
            message(3, "[qt][qtmeta aid=1][dtext:task_done][/qt]これは？"),
        ]
        assert self.found(*messages) == [3]

    def test_all_conditions_have_to_hold(self):
        conditions = {"from_account_ids": (SATO,), "matches": "はい", "reply_to": str(FIRST_ID)}
        messages = [
            message(1, f"{reply_tag(0)}はい", account_id=YAMADA),
            message(2, f"{reply_tag(0)}いいえ"),
            message(3, "はい"),
            message(4, f"{reply_tag(0)}はい"),
        ]
        assert self.found(*messages, **conditions) == [4]
        assert self.found(*messages, **conditions, since=START + 5) == []


class TestFirstByOthers:
    def test_messages_of_the_token_are_left_out(self):
        mine, other, another = message(1, account_id=BOT), message(2), message(3)
        assert first_by_others([mine, other, another], MessageFilter(ROOM, START), BOT) == other
        assert first_by_others([mine], MessageFilter(ROOM, START, (BOT, SATO)), BOT) is None
        assert first_by_others([], MessageFilter(ROOM, START), BOT) is None

    def test_a_filter_for_the_token_alone_is_refused(self):
        with pytest.raises(ChatworkParameterError, match="own messages never count") as caught:
            first_by_others([message(1, account_id=BOT)], MessageFilter(ROOM, START, (BOT,)), BOT)
        assert (caught.value.parameter, caught.value.value) == ("from_account_ids", [BOT])


class TestFoundMessage:
    def test_has_the_fields_of_the_message(self):
        one = message(2, f"{reply_tag(1)}データ連携ボット\n承認", account_id=YAMADA)
        before = message(1, account_id=BOT)
        assert found_message(
            one, [before, one], MessageFilter(ROOM, START), possible_loss=True, web_url="http://127.0.0.1:1"
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

    def test_has_chatworks_url_and_no_loss_by_default(self):
        one = {**message(1), "account": {"account_id": SATO}}
        found = found_message(one, [one], MessageFilter(ROOM, START))
        assert found["link"].startswith("https://www.chatwork.com/#!rid400-")
        assert (found["account_name"], found["possible_loss"]) == ("", False)

    def test_the_text_is_the_part_that_replies_to_the_message(self):
        one = message(3, f"{reply_tag(1)}データ連携ボット\n承認\n\n{reply_tag(2)}データ連携ボット\n却下")
        page_ = [message(1, account_id=BOT), one]
        message_filter = MessageFilter(ROOM, START, reply_to=str(FIRST_ID + 2))
        assert found_message(one, page_, message_filter)["text"] == "却下"
        assert "承認" in found_message(one, page_, MessageFilter(ROOM, START))["text"]
