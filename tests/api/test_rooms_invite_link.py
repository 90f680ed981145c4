from __future__ import annotations

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.rooms import create_invite_link, delete_invite_link, update_invite_link
from tests.clients import drive

OURS = {"public": True, "url": "https://www.chatwork.com/g/night", "need_acceptance": True, "description": "夜間"}


@pytest.mark.parametrize("build", [create_invite_link, update_invite_link])
class TestTheForm:
    def test_always_states_whether_acceptance_is_needed(self, build):
        assert build(1).request.form == {"need_acceptance": "1"}

    @pytest.mark.parametrize(
        ("parameter", "value"), [("code", "a b"), ("code", ""), ("description", "\ud800"), ("need_acceptance", "no")]
    )
    def test_refuses_what_chatwork_would_refuse(self, build, parameter, value):
        with pytest.raises(errors.ChatworkParameterError, match=rf"^{parameter}="):
            build(1, **{parameter: value})


class TestFindingACreatedLink:
    def search(self, link: dict, **arguments: object):
        return drive(create_invite_link(1, **arguments).find_executed(0, 7), link)[1]

    @pytest.mark.parametrize("arguments", [{}, {"code": "night"}, {"description": "夜間"}], ids=repr)
    def test_finds_the_link_that_was_requested(self, arguments):
        assert self.search(OURS, **arguments) == [OURS]

    def test_accepts_a_url_with_a_slash_at_its_end(self):
        link = {**OURS, "url": OURS["url"] + "/"}
        assert self.search(link, code="night") == [link]

    @pytest.mark.parametrize(
        "arguments",
        [{"code": "ight"}, {"need_acceptance": False}, {"description": "昼間"}, {"description": ""}],
        ids=repr,
    )
    def test_finds_no_other_link(self, arguments):
        assert self.search(OURS, **arguments) == []

    def test_finds_nothing_where_there_is_no_link(self):
        assert self.search({"public": False}) == []


class TestDeleteInviteLink:
    REFUSED = errors.ChatworkInvalidRequestError("x", 400)

    def test_parses_an_answer_with_and_without_a_body(self):
        assert delete_invite_link(1).read(None) == {"public": False}
        assert delete_invite_link(1).read({"public": False}) == {"public": False}

    @pytest.mark.parametrize(
        ("link", "traces"), [({"public": False}, [{"public": False}]), (OURS, [])], ids=["gone", "there"]
    )
    def test_was_executed_where_there_is_no_link(self, link, traces):
        assert drive(delete_invite_link(1).confirm_already_done(self.REFUSED), link)[1] == traces

    def test_raises_every_other_refusal(self):
        assert drive(delete_invite_link(1).confirm_already_done(errors.ChatworkForbiddenError("x", 403))) == ([], [])
