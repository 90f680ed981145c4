"""Links from a task in Airflow's UI to its room and its message in Chatwork."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_chatwork import api

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

#: The key of the XCom with the target of the links: ``room_id``, ``message_id`` and ``web_url``.
PLACE_KEY = "chatwork_place"


def push_place(context: Context, web_url: str, room_id: int | str, message_id: str | None = None) -> None:
    """Store the target of the links. Does nothing outside a task instance."""
    ti: Any = context.get("ti")
    if ti is not None:
        ti.xcom_push(key=PLACE_KEY, value=place(web_url, room_id, message_id))


def place(web_url: str, room_id: int | str, message_id: str | None = None) -> dict[str, str | None]:
    """The target of the links, as the XCom holds it."""
    return {"web_url": web_url, "room_id": str(room_id).strip(), "message_id": message_id}


class ChatworkRoomLink(BaseOperatorLink):
    """Opens the room in Chatwork."""

    name = "Chatwork room"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL of the room, or an empty text if the task has not stored it yet."""
        place = _place(ti_key)
        return api.urls.room_url(place["room_id"], base=place["web_url"]) if place else ""


class ChatworkMessageLink(BaseOperatorLink):
    """Opens the message in Chatwork."""

    name = "Chatwork message"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL of the message, or an empty text if the task has none."""
        place = _place(ti_key)
        if not place or not place["message_id"]:
            return ""
        return api.urls.message_url(place["room_id"], place["message_id"], base=place["web_url"])


def _place(ti_key: TaskInstanceKey) -> dict[str, Any] | None:
    place = XCom.get_value(key=PLACE_KEY, ti_key=ti_key)
    return place if isinstance(place, dict) else None
