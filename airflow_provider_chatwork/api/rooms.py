"""Rooms and their members. https://developer.chatwork.com/reference/get-rooms"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from airflow_provider_chatwork.api import messages, models, validation
from airflow_provider_chatwork.api.call import Call, Lookup, Request, strict_empty_list
from airflow_provider_chatwork.api.errors import (
    ChatworkApiError,
    ChatworkForbiddenError,
    ChatworkInvalidRequestError,
    ChatworkParameterError,
    ChatworkUnknownOutcomeError,
)
from airflow_provider_chatwork.api.http import parse_list, parse_none, parse_object

#: Account ids: numbers, or one comma-separated text.
AccountIds: TypeAlias = "Iterable[int | str] | int | str"

_ROOMS = "/rooms"
_MEMBER_PARAMETERS = ("members_admin_ids", "members_member_ids", "members_readonly_ids")


def list_rooms() -> Call[list[models.Room]]:
    """All rooms of the account. The list has no limit and no pages."""
    return Call("list_rooms", Request("GET", _ROOMS), parse_list(models.Room))


def create_room(
    name: str,
    members_admin_ids: AccountIds,
    *,
    members_member_ids: AccountIds = (),
    members_readonly_ids: AccountIds = (),
    description: str | None = None,
    icon_preset: str | None = None,
    link: bool = False,
    link_code: str | None = None,
    link_need_acceptance: bool = True,
) -> Call[models.ChangedRoom]:
    """Create a group room.

    :param name: 1 to 255 characters.
    :param members_admin_ids: at least one; the account of the token must be among them.
    :param members_member_ids: account ids of contacts or of accounts of the same organization, as in the other lists.
    :param members_readonly_ids: members who cannot post.
    :param description: the description of the room.
    :param icon_preset: one of :data:`~airflow_provider_chatwork.api.validation.ICON_PRESETS`.
    :param link: whether to create an invite link.
    :param link_code: the last part of the link: 1 to 50 of ``A-Z a-z 0-9 _ -``; random if not given.
    :param link_need_acceptance: whether an admin must accept accounts that use the link.
    """
    form = {"name": validation.text("name", name, longest=validation.MAX_NAME)}
    form |= _member_form(members_admin_ids, members_member_ids, members_readonly_ids)
    if description is not None:
        form["description"] = validation.require_utf8("description", description)
    if icon_preset is not None:
        form["icon_preset"] = validation.choice("icon_preset", icon_preset, validation.ICON_PRESETS)
    if link_code is not None and not link:
        raise ChatworkParameterError("link_code", link_code, "a code needs link=True")
    form["link"] = validation.flag("link", link)
    if link:
        form["link_need_acceptance"] = validation.flag("link_need_acceptance", link_need_acceptance)
        if link_code is not None:
            form["link_code"] = validation.link_code("link_code", link_code)

    def find_executed(since: float, account_id: int) -> Lookup[models.ChangedRoom]:
        found: list[models.ChangedRoom] = []
        for room in (yield strict_empty_list(list_rooms())):
            # A room without an update since then is not new. Otherwise it is new if its first message is.
            is_candidate = messages.same_text(room.get("name") or "", name) and room.get("type") == "group"
            if not is_candidate or (room.get("last_update_time") or since) < since:
                continue
            page = yield strict_empty_list(messages.list_messages(room["room_id"]))
            if len(page) < messages.PAGE and all(message["send_time"] >= since for message in page):
                found.append({"room_id": room["room_id"]})
        return found

    request = Request("POST", _ROOMS, form=form)
    return Call("create_room", request, parse_object(models.ChangedRoom), repeatable=False, find_executed=find_executed)


def get_room(room_id: int | str) -> Call[models.RoomWithDescription]:
    """Read one room with its description."""
    return Call("get_room", Request("GET", _path(room_id)), parse_object(models.RoomWithDescription))


def update_room(
    room_id: int | str, *, name: str | None = None, description: str | None = None, icon_preset: str | None = None
) -> Call[models.ChangedRoom]:
    """Change the given fields of a room. Needs the role admin.

    :param name: 1 to 255 characters.
    :param description: the description of the room; an empty text removes it.
    :param icon_preset: one of :data:`~airflow_provider_chatwork.api.validation.ICON_PRESETS`.
    """
    form = {}
    if name is not None:
        form["name"] = validation.text("name", name, longest=validation.MAX_NAME)
    if description is not None:
        form["description"] = validation.require_utf8("description", description)
    if icon_preset is not None:
        form["icon_preset"] = validation.choice("icon_preset", icon_preset, validation.ICON_PRESETS)
    if not form:
        raise ChatworkParameterError("name", name, "give at least one of name, description and icon_preset")
    return Call("update_room", Request("PUT", _path(room_id), form=form), parse_object(models.ChangedRoom))


def delete_room(room_id: int | str, action_type: str) -> Call[None]:
    """Leave a group room, or delete it for everybody. Neither can be undone.

    :param action_type: ``leave`` also deletes the account's own tasks and files in the room; ``delete`` deletes the
        messages, tasks and files of everybody.
    """
    room_id = validation.identifier("room_id", room_id)
    form = {"action_type": validation.choice("action_type", action_type, ("leave", "delete"))}

    def find_executed(since: float, account_id: int) -> Lookup[None]:
        rooms = yield strict_empty_list(list_rooms())
        return [None] if all(room["room_id"] != room_id for room in rooms) else []

    request = Request("DELETE", _path(room_id), form=form)
    return Call("delete_room", request, parse_none, repeatable=False, find_executed=find_executed, has_unique_id=False)


def list_members(room_id: int | str) -> Call[list[models.Member]]:
    """All members of a room, with their roles."""
    return Call("list_members", Request("GET", _path(room_id, "/members")), parse_list(models.Member))


def update_members(
    room_id: int | str,
    members_admin_ids: AccountIds,
    *,
    members_member_ids: AccountIds = (),
    members_readonly_ids: AccountIds = (),
) -> Call[models.MemberRoles]:
    """Replace *all* members of a room. An account in none of the three lists is removed, also the account of the token.

    :param members_admin_ids: at least one.
    :param members_member_ids: members who can post.
    :param members_readonly_ids: members who cannot post.
    """
    form = _member_form(members_admin_ids, members_member_ids, members_readonly_ids)

    def confirm_already_done(refusal: ChatworkApiError) -> Lookup[models.MemberRoles]:
        # If the first try removes the admin role of the account, Chatwork refuses the next try with 403.
        if not isinstance(refusal, ChatworkForbiddenError):
            return []
        try:
            members = yield strict_empty_list(list_members(room_id))
        except ChatworkForbiddenError:
            reason = "its repetition was refused, and the account of the token cannot list the members"
            raise ChatworkUnknownOutcomeError("update_members", reason) from refusal
        roles: models.MemberRoles = {"admin": [], "member": [], "readonly": []}
        for role, parameter in zip(roles, _MEMBER_PARAMETERS, strict=True):
            current = [member["account_id"] for member in members if member.get("role") == role]
            if sorted(current) != sorted(int(text) for text in form.get(parameter, "").split(",") if text):
                return []
            roles[role] = current  # type: ignore[literal-required]
        return [roles]

    request = Request("PUT", _path(room_id, "/members"), form=form)
    return Call("update_members", request, parse_object(models.MemberRoles), confirm_already_done=confirm_already_done)


def _path(room_id: int | str, rest: str = "") -> str:
    return f"{_ROOMS}/{validation.identifier('room_id', room_id)}{rest}"


def _member_form(admin: AccountIds, member: AccountIds, readonly: AccountIds) -> dict[str, str]:
    form = {}
    seen: dict[int, str] = {}
    for parameter, value in zip(_MEMBER_PARAMETERS, (admin, member, readonly), strict=True):
        ids = validation.identifiers(parameter, value, required=parameter == "members_admin_ids")
        for account_id in ids:
            if account_id in seen:
                raise ChatworkParameterError(parameter, account_id, f"the account is already in {seen[account_id]}")
            seen[account_id] = parameter
        if ids:
            form[parameter] = ",".join(map(str, ids))
    return form


def get_invite_link(room_id: int | str) -> Call[models.InviteLink]:
    """Read the invite link of a room. ``{"public": False}`` if there is none."""
    return Call("get_invite_link", Request("GET", _path(room_id, "/link")), parse_object(models.InviteLink))


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

    request = Request("POST", _path(room_id, "/link"), form=_link_form(code, need_acceptance, description))
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
    request = Request("PUT", _path(room_id, "/link"), form=_link_form(code, need_acceptance, description))
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
        "delete_invite_link",
        Request("DELETE", _path(room_id, "/link")),
        read,
        confirm_already_done=confirm_already_done,
    )


def _link_form(code: str | None, need_acceptance: bool, description: str | None) -> dict[str, str]:
    form = {"need_acceptance": validation.flag("need_acceptance", need_acceptance)}
    if code is not None:
        form["code"] = validation.link_code("code", code)
    if description is not None:
        form["description"] = validation.require_utf8("description", description)
    return form
