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
from airflow_provider_chatwork.api.response_parsing import parse_list, parse_object

#: The most items Chatwork puts into one list. There is no second page.
PAGE = 100


def list_messages(room_id: int | str, *, force: bool = True) -> Call[list[models.Message]]:
    """The newest messages of a room, at most 100, oldest first.

    :param force: ``True`` reads the newest ones and changes nothing. ``False`` reads what came since the last such
        call *of anybody with this token* and moves that mark on, so an answer that gets lost is lost for good: the
        call is not repeated.
    """
    read_page = parse_list(models.Message)

    def read(value: object) -> list[models.Message]:
        return sorted(read_page(value), key=lambda message: (message["send_time"], int(message["message_id"])))

    request = Request("GET", path(room_id), query={"force": validation.flag("force", force)})
    # What is behind the mark is not shown again, so a body that got lost must not pass for "nothing new".
    return Call("list_messages", request, read, repeatable=bool(force), empty_list_only_on_204=not force)


def post_message(room_id: int | str, body: str, *, self_unread: bool = False) -> Call[models.ChangedMessage]:
    """Post a message. Chatwork takes 10 messages and tasks in 10 seconds for each room.

    :param body: 1 to 65535 characters.
    :param self_unread: whether the message is unread for the account that posts it, too.
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
    return Call(
        "post_message", request, parse_object(models.ChangedMessage), repeatable=False, find_executed=find_executed
    )


def get_message(room_id: int | str, message_id: str) -> Call[models.Message]:
    """One message."""
    return Call("get_message", Request("GET", _path_of_one(room_id, message_id)), parse_object(models.Message))


def edit_message(room_id: int | str, message_id: str, body: str) -> Call[models.ChangedMessage]:
    """Replace the body of a message of one's own. Nobody is notified.

    :param body: 1 to 65535 characters.
    """
    request = Request("PUT", _path_of_one(room_id, message_id), form={"body": validation.text("body", body)})
    return Call("edit_message", request, parse_object(models.ChangedMessage))


def delete_message(room_id: int | str, message_id: str) -> Call[models.ChangedMessage]:
    """Delete a message of one's own."""
    message_id = validation.message_identifier("message_id", message_id)

    def read(value: object) -> models.ChangedMessage:
        # Described as 200 with the id and, in one place, as 204 without.
        return {"message_id": message_id} if value is None else parse_object(models.ChangedMessage)(value)

    def confirm_already_done(refusal: ChatworkApiError) -> Lookup[models.ChangedMessage]:
        yield from ()
        return [{"message_id": message_id}] if isinstance(refusal, ChatworkNotFoundError) else []

    return Call(
        "delete_message",
        Request("DELETE", _path_of_one(room_id, message_id)),
        read,
        confirm_already_done=confirm_already_done,
    )


def path(room_id: int | str, rest: str = "") -> str:
    """The path of a room's messages, or of what lies behind it."""
    return f"/rooms/{validation.identifier('room_id', room_id)}/messages{rest}"


def _path_of_one(room_id: int | str, message_id: str) -> str:
    return path(room_id, f"/{validation.message_identifier('message_id', message_id)}")


def same_text(one_text: str, other: str) -> bool:
    """Whether two bodies are the same text, whatever a server may have done to line ends and outer white space."""
    return one_text.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def reaches_back(page: Sequence[models.Message], since: float) -> bool:
    """Whether a page, oldest first, holds every message since a Unix time, so that what it lacks is not there."""
    return len(page) < PAGE or page[0]["send_time"] < since
