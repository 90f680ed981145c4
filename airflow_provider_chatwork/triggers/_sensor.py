"""What the triggers of sensors share: a task that may begin and end in the triggerer, without a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError, from_plain
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.links import PLACE_KEY, place
from airflow_provider_chatwork.triggers._base import ChatworkTrigger, S
from airflow_provider_chatwork.triggers._event import EventStatus


class ChatworkSensorTrigger(ChatworkTrigger[S]):
    """The base of the sensors' triggers.

    :param room_id: the room; the connection's ``default_room_id`` if not given.
    :param deadline: Unix time when the wait ends. If not given, it ends ``before_timeout`` seconds before the timeout
        of the Airflow trigger, for a task that starts in the triggerer. Both survive a restart.
    :param before_timeout: see ``deadline``.
    :param end_from_trigger: whether to end the task here instead of yielding an event for a worker.
    :param soft_fail: whether such a task is skipped at the deadline.
    :param never_fail: whether such a task is skipped when it would fail.
    :param do_xcom_push: whether such a task pushes its result.
    :param kwargs: those of :class:`~airflow_provider_chatwork.triggers._base.ChatworkTrigger`.
    """

    argument_names = (
        *ChatworkTrigger.argument_names,
        "room_id",
        "before_timeout",
        "end_from_trigger",
        "soft_fail",
        "never_fail",
        "do_xcom_push",
    )

    def __init__(
        self,
        *,
        room_id: int | str | None = None,
        deadline: float | None = None,
        before_timeout: float = 0.0,
        end_from_trigger: bool = False,
        soft_fail: bool = False,
        never_fail: bool = False,
        do_xcom_push: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(deadline=float("inf") if deadline is None else deadline, **kwargs)
        self.room_id = room_id
        self.before_timeout = before_timeout
        self.end_from_trigger = end_from_trigger
        self.soft_fail = soft_fail
        self.never_fail = never_fail
        self.do_xcom_push = do_xcom_push
        self._given_deadline = deadline
        self._web_url = ""
        self._room_id = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments; a deadline that was not given stays so."""
        path, arguments = super().serialize()
        return path, {**arguments, "deadline": self._given_deadline}

    def room(self, settings: Settings) -> int:
        """Return the id of the room.

        :raises ChatworkParameterError: neither the sensor nor the connection names a room.
        """
        given = validation.none_if_blank(self.room_id)
        if given is None and settings.default_room_id is None:
            remedy = f"give a room, or set default_room_id in the connection {self.chatwork_conn_id}"
            raise ChatworkParameterError("room_id", self.room_id, remedy)
        self._web_url = settings.web_url
        self._room_id = validation.identifier("room_id", settings.default_room_id if given is None else given)
        return self._room_id

    def result(self, event: dict[str, Any]) -> tuple[Any, str | None]:
        """Return the result of a task that ends here, and the message id for its link, from the event of a wait."""
        raise NotImplementedError

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the event."""
        # Airflow sets `timeout_after` before it runs a trigger.
        timeout: datetime | None = getattr(self, "timeout_after", None)
        if self._given_deadline is None and timeout is not None:
            self.deadline = timeout.timestamp() - self.before_timeout
        event = await self.wait()
        yield self._task_end(event) if self.end_from_trigger else TriggerEvent(event)

    def _task_end(self, event: dict[str, Any]) -> TriggerEvent:
        if event["status"] == EventStatus.TIMEOUT:
            self.log.error("The wait in room %s (connection %s) has timed out", self._room_id, self.chatwork_conn_id)
            return TaskSkippedEvent() if self.soft_fail or self.never_fail else TaskFailedEvent()
        if event["status"] == EventStatus.ERROR:
            self.log.error("%s", from_plain(event["error"]))
            return TaskSkippedEvent() if self.never_fail else TaskFailedEvent()
        result, message_id = self.result(event)
        xcoms: dict[str, Any] = {PLACE_KEY: place(self._web_url, self._room_id, message_id)}
        return TaskSuccessEvent(xcoms={**xcoms, "return_value": result} if self.do_xcom_push else xcoms)
