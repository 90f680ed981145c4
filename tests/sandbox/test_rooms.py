from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_chatwork.sandbox import Sandbox, company

ROOM = f"/rooms/{company.DATA_ROOM}"
SALES = f"/rooms/{company.SALES_ROOM}"
ROOM_FIELDS = {
    "room_id": int,
    "name": str,
    "type": str,
    "role": str,
    "sticky": bool,
    "unread_num": int,
    "mention_num": int,
    "mytask_num": int,
    "message_num": int,
    "file_num": int,
    "task_num": int,
    "icon_path": str,
    "last_update_time": int,
}
PERSON_FIELDS = {
    "account_id": int,
    "name": str,
    "chatwork_id": str,
    "organization_id": int,
    "organization_name": str,
    "department": str,
    "avatar_image_url": str,
}


def kinds(value: dict[str, Any]) -> dict[str, type]:
    return {name: type(inner) for name, inner in value.items()}


class TestGetMe:
    def test_has_every_field(self, api: Any) -> None:
        me = api.get("/me").json
        texts = (
            "name chatwork_id organization_name department title url introduction mail tel_organization tel_extension "
            "tel_mobile skype facebook twitter avatar_image_url login_mail"
        )
        numbers = {"account_id": int, "room_id": int, "organization_id": int}
        assert kinds(me) == {**numbers, **dict.fromkeys(texts.split(), str)}
        assert api.get(f"/rooms/{me['room_id']}").json["type"] == "my"


class TestMyStatus:
    def test_returns_the_sums_of_all_rooms(self, api: Any) -> None:
        rooms = api.get("/rooms").json
        status = api.get("/my/status").json
        for kind in ("unread", "mention", "mytask"):
            assert status[f"{kind}_num"] == sum(room[f"{kind}_num"] for room in rooms)
            assert status[f"{kind}_room_num"] == sum(1 for room in rooms if room[f"{kind}_num"])
        assert status["unread_num"] > 0
        assert status["mytask_num"] == len(api.get("/my/tasks").json) == 1


class TestContacts:
    def test_have_direct_chats(self, api: Any) -> None:
        contact = api.get("/contacts").json[0]
        assert kinds(contact) == {**PERSON_FIELDS, "room_id": int}
        room = api.get(f"/rooms/{contact['room_id']}").json
        assert (room["type"], room["name"]) == ("direct", contact["name"])


class TestIncomingRequests:
    def test_accepting_adds_a_contact_with_a_direct_chat(self, api: Any) -> None:
        (request,) = api.get("/incoming_requests").json
        assert kinds(request) == {**PERSON_FIELDS, "request_id": int, "message": str}
        contact = api.put(f"/incoming_requests/{request['request_id']}").json
        assert kinds(contact) == {**PERSON_FIELDS, "room_id": int}
        assert contact in api.get("/contacts").json
        assert api.post(f"/rooms/{contact['room_id']}/messages", body="hi").status == 200
        assert api.get("/incoming_requests").status == 204

    def test_rejecting_adds_no_contact(self, api: Any) -> None:
        (request,) = api.get("/incoming_requests").json
        before = api.get("/contacts").json
        assert api.delete(f"/incoming_requests/{request['request_id']}").status == 204
        assert api.get("/contacts").json == before
        assert api.delete(f"/incoming_requests/{request['request_id']}").status == 404


class TestListRooms:
    def test_returns_the_rooms_of_the_account_with_every_field(self, api: Any) -> None:
        rooms = api.get("/rooms").json
        assert all(kinds(room) == ROOM_FIELDS for room in rooms)
        assert {room["type"] for room in rooms} == {"my", "direct", "group"}
        assert company.PRIVATE_ROOM not in {room["room_id"] for room in rooms}

    def test_returns_the_role_of_the_account(self, api: Any) -> None:
        roles = {room["room_id"]: room["role"] for room in api.get("/rooms").json}
        rooms = (company.DATA_ROOM, company.SALES_ROOM, company.NOTICE_ROOM)
        assert [roles[room_id] for room_id in rooms] == ["admin", "member", "readonly"]


class TestGetRoom:
    def test_returns_the_counts_of_the_room(self, api: Any) -> None:
        before = api.get(ROOM).json
        assert kinds(before) == {**ROOM_FIELDS, "description": str}
        api.post(f"{ROOM}/tasks", body="x", to_ids=company.BOT)
        api.upload(f"{ROOM}/files", b"x")
        after = api.get(ROOM).json
        grown = {name for name in after if after[name] != before[name]}
        assert grown == {"message_num", "task_num", "mytask_num", "file_num", "last_update_time"}
        assert after["message_num"] == before["message_num"] + 2


class TestCreateRoom:
    def test_creates_a_group_chat_with_all_members(self, api: Any) -> None:
        room_id = api.post(
            "/rooms",
            name="夜間バッチ",
            members_admin_ids=f"{company.BOT},{company.YAMADA}",
            members_member_ids=company.SATO,
            members_readonly_ids=company.SUZUKI,
            description="d",
            icon_preset="magcup",
            link=1,
            link_code="night-batch",
            link_need_acceptance=0,
        ).json["room_id"]
        members = {member["account_id"]: member["role"] for member in api.get(f"/rooms/{room_id}/members").json}
        assert members == {
            company.BOT: "admin",
            company.YAMADA: "admin",
            company.SATO: "member",
            company.SUZUKI: "readonly",
        }
        room = api.get(f"/rooms/{room_id}").json
        assert (room["name"], room["description"], room["type"]) == ("夜間バッチ", "d", "group")
        assert api.get(f"/rooms/{room_id}/link").json == {
            "public": True,
            "url": "https://www.chatwork.com/g/night-batch",
            "need_acceptance": False,
            "description": "",
        }

    def test_the_creator_becomes_a_member(self, api: Any) -> None:
        room_id = api.post("/rooms", name="x", members_admin_ids=company.YAMADA).json["room_id"]
        assert api.get(f"/rooms/{room_id}").json["role"] == "admin"

    @pytest.mark.parametrize(
        "invalid",
        [
            {"name": ""},
            {"name": "x" * 256},
            {"members_admin_ids": ""},
            {"members_admin_ids": company.TANAKA},
            {"members_member_ids": "4711"},
            {"members_member_ids": company.BOT},
            {"icon_preset": "coffee"},
            {"link": "yes"},
            {"link": 1, "link_code": "with space"},
            {"link": 1, "link_code": "x" * 51},
            {"link_need_acceptance": 2},
        ],
    )
    def test_rejects_invalid_parameters(self, api: Any, sandbox: Sandbox, invalid: dict[str, Any]) -> None:
        assert api.post("/rooms", **{"name": "x", "members_admin_ids": company.BOT, **invalid}).status == 400
        assert sandbox.write_count("create_room") == 0


class TestUpdateRoom:
    def test_changes_only_the_given_parameters(self, api: Any) -> None:
        before = api.get(ROOM).json
        assert api.put(ROOM, name="新しい名前").json == {"room_id": company.DATA_ROOM}
        after = api.get(ROOM).json
        assert (after["name"], after["description"]) == ("新しい名前", before["description"])

    def test_is_for_administrators(self, api: Any) -> None:
        assert api.put(SALES, name="x").status == 403

    def test_rejects_an_empty_name(self, api: Any) -> None:
        assert api.put(ROOM, name="").status == 400


class TestDeleteRoom:
    def test_leaving_removes_the_accounts_tasks_and_files(self, api: Any, sandbox: Sandbox) -> None:
        assert sandbox.tasks(company.SALES_ROOM)
        assert sandbox.files(company.SALES_ROOM)
        assert api.delete(SALES, action_type="leave").status == 204
        assert (sandbox.tasks(company.SALES_ROOM), sandbox.files(company.SALES_ROOM)) == ([], [])
        assert api.get(SALES).status == 403

    def test_deleting_is_for_administrators(self, api: Any, sandbox: Sandbox) -> None:
        assert api.delete(SALES, action_type="delete").status == 403
        assert api.delete(ROOM, action_type="delete").status == 204
        assert company.DATA_ROOM not in sandbox.store.rooms

    def test_accepts_action_type_in_the_query(self, api: Any) -> None:
        assert api.send("DELETE", f"{ROOM}?action_type=delete").status == 204

    @pytest.mark.parametrize("form", [{}, {"action_type": "archive"}])
    def test_needs_an_action_type(self, api: Any, form: dict[str, str]) -> None:
        assert api.delete(ROOM, **form).status == 400

    def test_is_for_group_chats(self, api: Any) -> None:
        for room_id in (api.get("/me").json["room_id"], api.get("/contacts").json[0]["room_id"]):
            assert api.delete(f"/rooms/{room_id}", action_type="leave").status == 403


class TestUpdateMembers:
    def test_replaces_all_members_and_posts_system_messages(self, api: Any, sandbox: Sandbox) -> None:
        answer = api.put(f"{ROOM}/members", members_admin_ids=company.BOT, members_readonly_ids=company.SUZUKI).json
        assert answer == {"admin": [company.BOT], "member": [], "readonly": [company.SUZUKI]}
        assert set(sandbox.store.rooms[company.DATA_ROOM].roles) == {company.BOT, company.SUZUKI}
        came, went = (message["body"] for message in sandbox.messages(company.DATA_ROOM)[-2:])
        assert f"[piconname:{company.SUZUKI}][dtext:chatroom_added]" in came
        assert f"[piconname:{company.YAMADA}]" in went

    def test_an_account_can_remove_itself(self, api: Any) -> None:
        assert api.put(f"{ROOM}/members", members_admin_ids=company.YAMADA).status == 200
        assert api.get(ROOM).status == 403

    def test_needs_an_administrator(self, api: Any) -> None:
        reply = api.put(f"{ROOM}/members", members_member_ids=company.BOT)
        assert reply.errors == ["Parameter 'members_admin_ids' is required"]

    def test_is_for_administrators(self, api: Any) -> None:
        assert api.put(f"{SALES}/members", members_admin_ids=company.BOT).status == 403

    def test_members_have_every_field(self, api: Any) -> None:
        assert kinds(api.get(f"{ROOM}/members").json[0]) == {**PERSON_FIELDS, "role": str}


class TestInviteLink:
    def test_exists_from_post_to_delete(self, api: Any) -> None:
        assert api.get(f"{ROOM}/link").json == {"public": False}
        assert api.put(f"{ROOM}/link", code="a").status == 400
        assert api.delete(f"{ROOM}/link").status == 400
        created = api.post(f"{ROOM}/link", code="a", need_acceptance=0, description="d").json
        url = "https://www.chatwork.com/g/a"
        assert created == {"public": True, "url": url, "need_acceptance": False, "description": "d"}
        assert api.post(f"{ROOM}/link").status == 400
        assert api.delete(f"{ROOM}/link").json == {"public": False}

    def test_an_update_resets_missing_parameters(self, api: Any) -> None:
        api.post(f"{ROOM}/link", code="a", need_acceptance=0, description="d")
        changed = api.put(f"{ROOM}/link").json
        assert changed["url"] != "https://www.chatwork.com/g/a"
        assert (changed["need_acceptance"], changed["description"]) == (True, "")

    def test_a_code_must_be_unique(self, api: Any) -> None:
        api.post(f"{ROOM}/link", code="a")
        assert api.put(f"{ROOM}/link", code="a").status == 200
        reply = api.post("/rooms", name="x", members_admin_ids=company.BOT, link=1, link_code="a")
        assert reply.status == 400

    def test_is_for_administrators_of_group_chats(self, api: Any) -> None:
        assert api.post(f"{SALES}/link").status == 403
        assert api.post(f"/rooms/{api.get('/me').json['room_id']}/link").status == 403
