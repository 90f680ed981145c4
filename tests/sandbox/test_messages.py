from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Limits, Sandbox, company
from airflow_provider_chatwork.sandbox.serializers import mentions

ROOM = f"/rooms/{company.DATA_ROOM}"
NOTICE = f"/rooms/{company.NOTICE_ROOM}"


@pytest.fixture(autouse=True)
def without_limits(sandbox: Sandbox) -> None:
    sandbox.limits = Limits.off()


class TestPostMessage:
    def test_returns_the_id_as_a_string_of_19_digits(self, api: Any) -> None:
        message_id = api.post(f"{ROOM}/messages", body="hi").json["message_id"]
        assert isinstance(message_id, str)
        assert len(message_id) == 19
        assert int(float(message_id)) != int(message_id)

    @pytest.mark.parametrize(("length", "status"), [(1, 200), (65535, 200), (65536, 400)])
    def test_accepts_65535_characters(self, api: Any, length: int, status: int) -> None:
        assert api.post(f"{ROOM}/messages", body="あ" * length).status == status

    def test_an_empty_body_counts_as_missing(self, api: Any) -> None:
        assert api.post(f"{ROOM}/messages", body="").errors == ["Parameter 'body' is required"]

    @pytest.mark.parametrize("room_id", [company.NOTICE_ROOM, company.PRIVATE_ROOM, 999])
    def test_is_403_without_write_permission(self, api: Any, room_id: int) -> None:
        reply = api.post(f"/rooms/{room_id}/messages", body="hi")
        assert (reply.status, reply.errors) == (403, ["You don't have permission to send/edit message."])

    def test_is_unread_for_the_author_only_with_self_unread(self, api: Any) -> None:
        before = api.get(ROOM).json["unread_num"]
        api.post(f"{ROOM}/messages", body="hi")
        assert api.get(ROOM).json["unread_num"] == before
        api.post(f"{ROOM}/messages", body="hi", self_unread=1)
        assert api.get(ROOM).json["unread_num"] == before + 1

    def test_a_boolean_as_a_word_is_rejected(self, api: Any) -> None:
        assert api.post(f"{ROOM}/messages", body="hi", self_unread="true").status == 400


class TestListMessages:
    def test_without_force_returns_only_new_messages_and_then_204(self, api: Any, sandbox: Sandbox) -> None:
        assert api.get(f"{ROOM}/messages").status == 200
        assert api.get(f"{ROOM}/messages", force=0).status == 204
        message_id = sandbox.post_message(company.DATA_ROOM, company.YAMADA, "new")
        assert [message["message_id"] for message in api.get(f"{ROOM}/messages").json] == [message_id]

    def test_the_cursor_belongs_to_the_account(self, api: Any, sandbox: Sandbox) -> None:
        api.get(f"{ROOM}/messages")
        sandbox.add_token("second", company.YAMADA)
        api.token = "second"
        assert api.get(f"{ROOM}/messages").status == 200

    def test_force_neither_uses_nor_moves_the_cursor(self, api: Any, sandbox: Sandbox) -> None:
        assert api.get(f"{ROOM}/messages", force=1).json == api.get(f"{ROOM}/messages", force=1).json
        assert api.get(f"{ROOM}/messages").json == api.get(f"{ROOM}/messages", force=1).json

    @pytest.mark.parametrize("force", [0, 1])
    def test_returns_the_newest_100_oldest_first(self, api: Any, sandbox: Sandbox, force: int) -> None:
        for number in range(101):
            sandbox.post_message(company.DATA_ROOM, company.YAMADA, str(number))
        bodies = [message["body"] for message in api.get(f"{ROOM}/messages", force=force).json]
        assert bodies == [str(number) for number in range(1, 101)]

    def test_the_cursor_skips_messages_beyond_100(self, api: Any, sandbox: Sandbox) -> None:
        for number in range(150):
            sandbox.post_message(company.DATA_ROOM, company.YAMADA, str(number))
        api.get(f"{ROOM}/messages")
        assert api.get(f"{ROOM}/messages").status == 204

    def test_a_message_has_these_fields(self, api: Any) -> None:
        message = api.get(f"{ROOM}/messages", force=1).json[-1]
        assert set(message) == {"message_id", "account", "body", "send_time", "update_time"}
        assert set(message["account"]) == {"account_id", "name", "avatar_image_url"}

    def test_force_is_0_or_1(self, api: Any) -> None:
        assert api.get(f"{ROOM}/messages", force="true").status == 400


class TestFreePlan:
    def test_hides_messages_older_than_40_days_and_sends_headers(self, api: Any, sandbox: Sandbox, clock: Any) -> None:
        sandbox.free_plan = True
        old = sandbox.messages(company.DATA_ROOM)[-1]["message_id"]
        clock.now += 41 * 86400
        empty = api.get(f"{ROOM}/messages", force=1)
        assert (empty.status, empty.headers["chatwork-message-limitation"]) == (204, "true")
        single = api.get(f"{ROOM}/messages/{old}")
        assert (single.status, single.headers["chatwork-message-limitation"]) == (404, "true")
        assert "chatwork-message-limitation" not in api.get(f"{ROOM}/messages/1").headers
        sandbox.post_message(company.DATA_ROOM, company.YAMADA, "new")
        part = api.get(f"{ROOM}/messages", force=1)
        assert (len(part.json), part.headers["chatwork-message-limitation"]) == (1, "true")


class TestEditMessage:
    def test_replaces_the_body_and_sets_update_time(self, api: Any, clock: Any) -> None:
        message_id = api.post(f"{ROOM}/messages", body="one").json["message_id"]
        clock.now += 5
        assert api.put(f"{ROOM}/messages/{message_id}", body="two").json == {"message_id": message_id}
        message = api.get(f"{ROOM}/messages/{message_id}").json
        assert (message["body"], message["update_time"], message["send_time"]) == ("two", clock.now, clock.now - 5)

    def test_is_for_the_author_only(self, api: Any, sandbox: Sandbox) -> None:
        message_id = sandbox.post_message(company.DATA_ROOM, company.YAMADA, "mine")
        reply = api.put(f"{ROOM}/messages/{message_id}", body="yours")
        assert (reply.status, reply.errors) == (403, ["You don't have permission to send/edit message."])

    def test_an_unknown_message_is_404(self, api: Any) -> None:
        assert api.put(f"{ROOM}/messages/1", body="x").status == 404


class TestDeleteMessage:
    def test_leaves_a_placeholder(self, api: Any) -> None:
        message_id = api.post(f"{ROOM}/messages", body="one").json["message_id"]
        reply = api.delete(f"{ROOM}/messages/{message_id}")
        assert (reply.status, reply.json) == (200, {"message_id": message_id})
        assert api.get(f"{ROOM}/messages", force=1).json[-1]["body"] == "[deleted]"

    def test_a_second_deletion_is_404(self, api: Any) -> None:
        message_id = api.post(f"{ROOM}/messages", body="one").json["message_id"]
        statuses = [api.delete(f"{ROOM}/messages/{message_id}").status for _ in range(2)]
        assert statuses == [200, 404]

    def test_is_for_the_author_only(self, api: Any, sandbox: Sandbox) -> None:
        message_id = sandbox.post_message(company.DATA_ROOM, company.YAMADA, "mine")
        assert api.delete(f"{ROOM}/messages/{message_id}").status == 403


class TestMarkMessagesRead:
    def test_marks_messages_up_to_the_given_one(self, api: Any, sandbox: Sandbox) -> None:
        api.put(f"{ROOM}/messages/read")
        ids = [sandbox.post_message(company.DATA_ROOM, company.YAMADA, f"[To:{company.BOT}] {n}") for n in range(3)]
        assert api.put(f"{ROOM}/messages/read", message_id=ids[1]).json == {"unread_num": 1, "mention_num": 1}

    def test_without_an_id_marks_all_and_then_is_400(self, api: Any) -> None:
        assert api.put(f"{ROOM}/messages/read").json == {"unread_num": 0, "mention_num": 0}
        assert api.put(f"{ROOM}/messages/read").status == 400

    def test_is_allowed_for_read_only_members(self, api: Any) -> None:
        assert api.put(f"{NOTICE}/messages/read").status == 200


class TestMarkMessagesUnread:
    def test_marks_the_message_and_all_later_ones(self, api: Any, sandbox: Sandbox) -> None:
        first = sandbox.post_message(company.DATA_ROOM, company.YAMADA, "one")
        sandbox.post_message(company.DATA_ROOM, company.YAMADA, "[toall] two")
        api.put(f"{ROOM}/messages/read")
        assert api.put(f"{ROOM}/messages/unread", message_id=first).json == {"unread_num": 2, "mention_num": 1}
        assert api.put(f"{ROOM}/messages/unread", message_id=first).status == 400

    def test_needs_the_numeric_id_of_a_message(self, api: Any) -> None:
        assert api.put(f"{ROOM}/messages/unread").errors == ["Parameter 'message_id' is required"]
        assert api.put(f"{ROOM}/messages/unread", message_id="abc").status == 400
        assert api.put(f"{ROOM}/messages/unread", message_id=1).status == 404


class TestMentions:
    @pytest.mark.parametrize("body", ["[To:7] hi", "a [toall]", "[rp aid=7 to=1-2]yes", "[to:7]", "[rp aid=7]"])
    def test_finds_mentions(self, body: str) -> None:
        assert mentions(body, 7)

    @pytest.mark.parametrize("body", ["[To:77]", "To:7", "[picon:7]", "[rp aid=70 to=7-7]", "[ toall]"])
    def test_finds_nothing_else(self, body: str) -> None:
        assert not mentions(body, 7)
