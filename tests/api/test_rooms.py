from __future__ import annotations

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.rooms import create_room, delete_room, update_members, update_room
from tests.clients import drive

ME = 7
SINCE = 1000.0


class TestCreateRoom:
    def test_sends_no_field_that_was_not_given(self):
        assert create_room("a", ME).request.form == {"name": "a", "members_admin_ids": "7", "link": "0"}

    def test_requires_acceptance_for_the_invite_link(self):
        form = create_room("a", ME, link=True).request.form
        assert (form["link"], form["link_need_acceptance"], "link_code" in form) == ("1", "1", False)

    @pytest.mark.parametrize(
        ("parameter", "arguments"),
        [
            ("name", {"name": ""}),
            ("name", {"name": "a" * 256}),
            ("members_admin_ids", {"members_admin_ids": []}),
            ("members_member_ids", {"members_member_ids": "a"}),
            ("members_readonly_ids", {"members_readonly_ids": [ME]}),
            ("description", {"description": "\ud800"}),
            ("icon_preset", {"icon_preset": "magcap"}),
            ("link", {"link": "yes"}),
            ("link_code", {"link_code": "a"}),
            ("link_code", {"link": True, "link_code": "a b"}),
            ("link_need_acceptance", {"link": True, "link_need_acceptance": None}),
        ],
    )
    def test_refuses_what_chatwork_would_refuse(self, parameter, arguments):
        with pytest.raises(errors.ChatworkParameterError, match=rf"^{parameter}="):
            create_room(**{"name": "a", "members_admin_ids": ME, **arguments})

    def test_names_the_list_that_already_contains_the_account(self):
        with pytest.raises(
            errors.ChatworkParameterError, match=r"^members_member_ids=7: .*already in members_admin_ids"
        ):
            create_room("a", [ME], members_member_ids=[ME])


def room(room_id: int, **fields: object) -> dict:
    return {"room_id": room_id, "name": "夜間", "type": "group", "last_update_time": 1001, **fields}


def messages(*send_times: int) -> list[dict]:
    return [{"message_id": str(n), "send_time": n} for n in send_times]


class TestFindingACreatedRoom:
    def search(self, *answers):
        return drive(create_room("夜間", ME).find_executed(SINCE, ME), *answers)

    def test_finds_a_room_of_the_name_whose_messages_are_all_new(self):
        asked, traces = self.search([room(1)], messages(1000, 1001))
        assert [call.request.path for call in asked] == ["/rooms", "/rooms/1/messages"]
        assert traces == [{"room_id": 1}]

    @pytest.mark.parametrize(
        "other", [{"name": "昼間"}, {"name": None}, {"type": "direct"}, {"last_update_time": 999}], ids=repr
    )
    def test_does_not_read_rooms_that_cannot_match(self, other):
        assert self.search([room(1, **other)])[1] == []

    @pytest.mark.parametrize(
        "unsaid", [{"last_update_time": None}, {"last_update_time": 0}, {"name": "夜間 "}], ids=repr
    )
    def test_reads_rooms_that_may_match(self, unsaid):
        assert self.search([room(1, **unsaid)], messages(1000))[1] == [{"room_id": 1}]

    def test_finds_no_older_room_that_is_still_in_use(self):
        assert self.search([room(1)], messages(999, 1001))[1] == []
        assert self.search([room(1)], messages(*range(1000, 1100)))[1] == []


class TestUpdateRoom:
    def test_sends_an_empty_description(self):
        assert update_room(1, description="").request.form == {"description": ""}

    def test_refuses_an_update_without_a_field(self):
        with pytest.raises(errors.ChatworkParameterError, match="at least one"):
            update_room(1)

    @pytest.mark.parametrize(("parameter", "value"), [("name", ""), ("description", None), ("icon_preset", "x")])
    def test_refuses_what_chatwork_would_refuse(self, parameter, value):
        with pytest.raises(errors.ChatworkParameterError):
            update_room(1, **{parameter: value})


class TestDeleteRoom:
    @pytest.mark.parametrize("action_type", ["", "remove", None])
    def test_requires_the_choice_between_leave_and_delete(self, action_type):
        with pytest.raises(errors.ChatworkParameterError, match=r"^action_type=.*leave, delete"):
            delete_room(1, action_type)

    def test_was_executed_where_the_room_is_not_in_the_list(self):
        assert drive(delete_room(1, "leave").find_executed(SINCE, ME), [{"room_id": 2}])[1] == [None]

    def test_was_not_executed_where_the_room_is_in_the_list(self):
        assert drive(delete_room("1", "leave").find_executed(SINCE, ME), [{"room_id": 1}])[1] == []


class TestUpdateMembers:
    REFUSED = errors.ChatworkForbiddenError("update_members", 403)
    CALL = update_members(1, [8, 9], members_member_ids=ME)

    def members(self, **roles: list[int]) -> list[dict]:
        return [{"account_id": account_id, "role": role} for role, ids in roles.items() for account_id in ids]

    @pytest.mark.parametrize("arguments", [([],), ("",), (None,)])
    def test_needs_an_admin(self, arguments):
        with pytest.raises(errors.ChatworkParameterError, match=r"^members_admin_ids="):
            update_members(1, *arguments)

    def test_was_executed_where_the_members_are_the_requested_ones(self):
        asked, traces = drive(self.CALL.confirm_already_done(self.REFUSED), self.members(admin=[9, 8], member=[ME]))
        assert [call.operation for call in asked] == ["list_members"]
        assert traces == [{"admin": [9, 8], "member": [ME], "readonly": []}]

    @pytest.mark.parametrize("roles", [{"admin": [8], "member": [ME]}, {"admin": [8, 9], "readonly": [ME]}])
    def test_was_not_executed_where_the_members_are_others(self, roles):
        assert drive(self.CALL.confirm_already_done(self.REFUSED), self.members(**roles))[1] == []

    def test_is_unknown_where_the_members_cannot_be_listed(self):
        with pytest.raises(errors.ChatworkUnknownOutcomeError) as raised:
            drive(self.CALL.confirm_already_done(self.REFUSED), errors.ChatworkForbiddenError("list_members", 403))
        assert raised.value.__cause__ is self.REFUSED

    def test_raises_every_other_refusal(self):
        assert drive(self.CALL.confirm_already_done(errors.ChatworkInvalidRequestError("x", 400))) == ([], [])
