"""The invite link of a room. https://developer.chatwork.com/reference/get-rooms-room_id-link"""

from __future__ import annotations

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import Call, Lookup, Request
from airflow_provider_chatwork.api.errors import ChatworkApiError, ChatworkInvalidRequestError
from airflow_provider_chatwork.api.response_parsing import parse_object


def get_invite_link(room_id: int | str) -> Call[models.InviteLink]:
    """Read the invite link of a room. ``{"public": False}`` if there is none."""
    return Call("get_invite_link", Request("GET", _path(room_id)), parse_object(models.InviteLink))


def create_invite_link(
    room_id: int | str, *, code: str | None = None, need_acceptance: bool = True, description: str | None = None
) -> Call[models.InviteLink]:
    """Create the invite link of a room. Chatwork answers 400 if there is already one.

    :param code: the last part of the link: 1 to 50 of ``A-Z a-z 0-9 _ -``; random if not given.
    :param need_acceptance: whether an admin must accept accounts that use the link.
    :param description: the text on the page of the link.
    """

    def find_executed(since: float, account_id: int) -> Lookup[models.InviteLink]:
        link = yield get_invite_link(room_id)
        ours = (
            link["public"]
            and (code is None or link.get("url", "").rstrip("/").endswith(f"/{code}"))
            and link.get("need_acceptance", need_acceptance) == need_acceptance
            and (description is None or link.get("description") == description)
        )
        return [link] if ours else []

    request = Request("POST", _path(room_id), form=_form(code, need_acceptance, description))
    # A second link with the same code is equal to the first.
    return Call(
        "create_invite_link",
        request,
        parse_object(models.InviteLink),
        repeatable=False,
        find_executed=find_executed,
        has_unique_id=False,
    )


def update_invite_link(
    room_id: int | str, *, code: str | None = None, need_acceptance: bool = True, description: str | None = None
) -> Call[models.InviteLink]:
    """Replace the invite link of a room. Chatwork answers 400 if there is none.

    Fields that are not given are reset: without ``code`` the link gets a *new random code*, and without
    ``need_acceptance`` an admin must accept. The parameters are those of :func:`create_invite_link`.
    """
    request = Request("PUT", _path(room_id), form=_form(code, need_acceptance, description))
    return Call("update_invite_link", request, parse_object(models.InviteLink))


def delete_invite_link(room_id: int | str) -> Call[models.InviteLink]:
    """Delete the invite link of a room. Chatwork answers 400 if there is none."""

    def read(value: object) -> models.InviteLink:
        return {"public": False} if value is None else parse_object(models.InviteLink)(value)

    def confirm_already_done(refusal: ChatworkApiError) -> Lookup[models.InviteLink]:
        if not isinstance(refusal, ChatworkInvalidRequestError):
            return []
        link = yield get_invite_link(room_id)
        return [] if link["public"] else [link]

    return Call(
        "delete_invite_link", Request("DELETE", _path(room_id)), read, confirm_already_done=confirm_already_done
    )


def _path(room_id: int | str) -> str:
    return f"/rooms/{validation.identifier('room_id', room_id)}/link"


def _form(code: str | None, need_acceptance: bool, description: str | None) -> dict[str, str]:
    form = {"need_acceptance": validation.flag("need_acceptance", need_acceptance)}
    if code is not None:
        form["code"] = validation.link_code("code", code)
    if description is not None:
        form["description"] = validation.require_utf8("description", description)
    return form
