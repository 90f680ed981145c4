"""Messages of a room. https://developer.chatwork.com/reference/get-rooms-room_id-messages"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import Call, Lookup, Request, strict_empty_list
from airflow_provider_chatwork.api.errors import (
    ChatworkApiError,
    ChatworkNotFoundError,
    ChatworkUnknownOutcomeError,
)
from airflow_provider_chatwork.api.http import parse_list, parse_object

#: The largest number of items in one list. There is no second page.
PAGE = 100

_parse_page = parse_list(models.Message)
_parse_changed = parse_object(models.ChangedMessage)


def list_messages(room_id: int | str, *, force: bool = True) -> Call[list[models.Message]]:
    """The newest messages of a room, at most 100, oldest first.

    :param force: ``True`` returns the newest messages and changes nothing. ``False`` returns the messages since the
        last such call with this token, and moves Chatwork's cursor. The messages of a lost answer cannot be read with
        ``False`` again, so the call is not repeated.
    """
    request = Request("GET", path(room_id), query={"force": validation.flag("force", force)})
    # The messages before the cursor are not returned again, so a lost body must not pass for "nothing new".
    return Call("list_messages", request, _read_page, repeatable=bool(force), empty_list_only_on_204=not force)


def post_message(room_id: int | str, body: str, *, self_unread: bool = False) -> Call[models.ChangedMessage]:
    """Post a message. Chatwork accepts 10 messages and tasks in 10 seconds for each room.

    :param body: 1 to 65535 characters.
    :param self_unread: whether the message is also unread for the account that posts it.
    """
    room_id = validation.identifier("room_id", room_id)
    form = {"body": validation.text("body", body), "self_unread": validation.flag("self_unread", self_unread)}

    def find_executed(since: float, account_id: int) -> Lookup[models.ChangedMessage]:
        page = yield strict_empty_list(list_messages(room_id))
        ours: list[models.ChangedMessage] = [
            {"message_id": message["message_id"]}
            for message in page
            if message["account"]["account_id"] == account_id
            and message["send_time"] >= since
            and same_text(message["body"], body)
        ]
        if not ours and not reaches_back(page, since):
            raise ChatworkUnknownOutcomeError("post_message", f"more than {PAGE} messages came after it")
        return ours

    request = Request("POST", path(room_id), form=form)
    return Call("post_message", request, _parse_changed, repeatable=False, find_executed=find_executed)


def get_message(room_id: int | str, message_id: str) -> Call[models.Message]:
    """Read one message."""
    return Call("get_message", Request("GET", _path_of_one(room_id, message_id)), parse_object(models.Message))


def edit_message(room_id: int | str, message_id: str, body: str) -> Call[models.ChangedMessage]:
    """Replace the body of one of the account's own messages. Nobody is notified.

    :param body: 1 to 65535 characters.
    """
    request = Request("PUT", _path_of_one(room_id, message_id), form={"body": validation.text("body", body)})
    return Call("edit_message", request, _parse_changed)


def delete_message(room_id: int | str, message_id: str) -> Call[models.ChangedMessage]:
    """Delete one of the account's own messages."""
    message_id = validation.message_identifier("message_id", message_id)

    def read(value: object) -> models.ChangedMessage:
        # The reference describes 200 with the id and, on one page, 204 without a body.
        return {"message_id": message_id} if value is None else _parse_changed(value)

    def confirm_already_done(refusal: ChatworkApiError) -> Lookup[models.ChangedMessage]:
        yield from ()
        return [{"message_id": message_id}] if isinstance(refusal, ChatworkNotFoundError) else []

    return Call(
        "delete_message",
        Request("DELETE", _path_of_one(room_id, message_id)),
        read,
        confirm_already_done=confirm_already_done,
    )


def _read_page(value: object) -> list[models.Message]:
    return sorted(_parse_page(value), key=position)


def position(message: models.Sent) -> tuple[int, int]:
    """The sort key of a message within its room: messages of the same second are ordered by id."""
    return message["send_time"], int(message["message_id"])


def path(room_id: int | str, rest: str = "") -> str:
    """The path of the messages of a room.

    :param rest: is appended to it.
    """
    return f"/rooms/{validation.identifier('room_id', room_id)}/messages{rest}"


def _path_of_one(room_id: int | str, message_id: str) -> str:
    return path(room_id, f"/{validation.message_identifier('message_id', message_id)}")


def same_text(one_text: str, other: str) -> bool:
    """Whether two bodies are equal, except for line ends and white space at the ends."""
    return one_text.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def reaches_back(page: Sequence[models.Message], since: float) -> bool:
    """Whether a page (oldest first) contains every message since a Unix time."""
    return len(page) < PAGE or page[0]["send_time"] < since
