"""Waiting for messages."""

from __future__ import annotations

from typing import Any

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.messages import list_messages
from airflow_provider_chatwork.api.settings import Settings
from airflow_provider_chatwork.waiting.poller.room_poller import Subject
from airflow_provider_chatwork.waiting.poller.subscription import Log, Wait


def watch_messages(
    settings: Settings,
    room_id: int | str,
    *,
    interval: float = 60.0,
    max_interval: float | None = None,
    log: Log | None = None,
) -> MessagesWait:
    """Wait for messages of a room, together with everybody else in this event loop who waits there.

    To be entered with ``async with``.

    :param interval: seconds between two looks.
    :param max_interval: doubles them each time, up to so many.
    :param log: gets what whoever waits should know.
    """
    return MessagesWait(settings, room_id, interval, max_interval, log)


class MessagesWait(Wait):
    """A wait for messages; :func:`watch_messages` makes it."""

    def __init__(
        self,
        settings: Settings,
        room_id: int | str,
        interval: float,
        max_interval: float | None,
        log: Log | None,
    ) -> None:
        super().__init__(settings, interval, max_interval, log)
        self.room_id = validation.identifier("room_id", room_id)
        #: The newest messages of the room, oldest first, at most 100; nothing before the first look.
        self.page: list[models.Message] = []

    @property
    def key(self) -> object:
        """What it looks at."""
        return "messages", self.room_id

    def new_subject(self) -> Subject[Any]:
        """What it looks at, where nobody else does yet."""
        return RoomMessagesSubject(self.key, self.room_id)


class RoomMessagesSubject(Subject[MessagesWait]):
    """The newest messages of a room.

    :param room_id: the room.
    """

    def __init__(self, key: object, room_id: int) -> None:
        super().__init__(key)
        self._room_id = room_id
        self._page: list[models.Message] | None = None
        self._to_tell: set[MessagesWait] = set()

    def add(self, wait: MessagesWait, now: float) -> None:
        """Let a wait take part; it hears of the next look, as what was seen may have been edited or deleted since."""
        super().add(wait, now)
        self._to_tell.add(wait)

    def remove(self, wait: MessagesWait) -> None:
        """Let a wait go."""
        super().remove(wait)
        self._to_tell.discard(wait)

    def look(self) -> CallFlow[None]:
        """Look once. Yields the calls to run."""
        page = yield strict_empty_list(list_messages(self._room_id))
        if page != self._page:
            self._page = page
            self._to_tell |= self.waits

    def tell(self) -> None:
        """Tell the waits that do not know the page, where there is one."""
        while self._page is not None and self._to_tell:
            wait = self._to_tell.pop()
            wait.page = self._page
            wait.told()
