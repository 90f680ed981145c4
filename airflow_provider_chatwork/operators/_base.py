"""The base classes of the operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_chatwork.api.errors import ChatworkError
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook
from airflow_provider_chatwork.links import ChatworkMessageLink, ChatworkRoomLink, push_place
from airflow_provider_chatwork.utils.task_failures import fail_permanently

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_chatwork.api.call import Call
    from airflow_provider_chatwork.operators._idempotency import Created

T = TypeVar("T")


class ChatworkBaseOperator(BaseOperator):
    """What operators and sensors share: the room, the connection and the links.

    :param room_id: the room; the ``default_room_id`` of the connection if not given.
    :param chatwork_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("room_id", "chatwork_conn_id")
    operator_extra_links = (ChatworkRoomLink(), ChatworkMessageLink())
    ui_color = "#fdeeee"

    def __init__(
        self,
        *,
        room_id: int | str | None = None,
        chatwork_conn_id: str = ChatworkHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.room_id = room_id
        self.chatwork_conn_id = chatwork_conn_id

    @cached_property
    def hook(self) -> ChatworkHook:
        """The hook of the connection."""
        return ChatworkHook(self.chatwork_conn_id)


class ChatworkOperator(ChatworkBaseOperator):
    """The base class of the operators."""

    def execute(self, context: Context) -> Any:
        """Do the work. An error that a retry cannot cure fails the task without retries."""
        with fail_permanently():
            return self.act(context)

    def act(self, context: Context) -> Any:
        """Do the work of the operator. Its fields are rendered."""
        raise NotImplementedError

    def run_call(self, context: Context, call: Call[T]) -> T:
        """Run an operation. One that creates something creates it once, however often the task is tried."""
        if call.repeatable:
            return self.hook.run(call)
        return self.create_once(context, call).result  # type: ignore[no-any-return]

    def create_once(
        self,
        context: Context,
        call: Call[Any],
        *,
        fingerprint_fields: Mapping[str, str] | None = None,
        find_existing: Callable[[], Any] | None = None,
    ) -> Created:
        """Create something, or return what an earlier try of the task created.

        :param fingerprint_fields: replaces fields of the request in the comparison with the request of an earlier try.
            For fields that differ on each try though the request is the same, as a deadline that is counted from now.
        :param find_existing: returns what an earlier try created, or ``None``. It is called where Airflow has no
            record of an earlier try.
        """
        from airflow_provider_chatwork.operators._idempotency import create_once
        from airflow_provider_chatwork.utils.task_state import TaskState

        return create_once(self.hook, TaskState(context), call, fingerprint_fields or {}, find_existing)

    def forget_created(self, context: Context) -> None:
        """Make the next :meth:`create_once` create something new."""
        from airflow_provider_chatwork.operators._idempotency import CREATED_KEY
        from airflow_provider_chatwork.utils.task_state import TaskState

        TaskState(context).delete(CREATED_KEY)

    def show_place(self, context: Context, room_id: int | str, message_id: str | None = None) -> None:
        """Make the links of the task in Airflow's UI point to a room and a message."""
        push_place(context, self.hook.settings.web_url, room_id, message_id)

    def message_of(self, call: Call[Any]) -> str | None:
        """The id of the message that belongs to a file or a task, for the link. ``None`` if it cannot be read.

        :param call: reads the file or task.
        """
        try:
            return str(self.hook.quick_client.run(call)["message_id"])
        except ChatworkError as error:
            text = "Cannot read the message id for the link in the UI (connection %s, %s): %s"
            self.log.warning(text, self.chatwork_conn_id, call.operation, error)
            return None
