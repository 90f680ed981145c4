"""Waiting for tasks in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_chatwork.api.errors import ChatworkError, to_plain
from airflow_provider_chatwork.api.task_wait import goes_on, is_complete, observe_tasks
from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

# However often a wait may look, the account's budget is shared with everything else that uses it.
_SHORTEST_INTERVAL = 1.0


class ChatworkTaskDoneTrigger(BaseTrigger):
    """Wait until people are done with their tasks, and yield one event of plain JSON.

    Its ``status`` is ``done`` (with ``tasks``, a list of
    :class:`~airflow_provider_chatwork.api.task_wait.TaskState`), ``timeout``, or ``refused`` (with ``error``, written
    by :func:`~airflow_provider_chatwork.api.errors.to_plain`).

    :param chatwork_conn_id: id of the connection.
    :param room_id: the room.
    :param task_ids: the tasks.
    :param complete_when: ``all``, ``any``, or how many of them have to be done.
    :param poke_interval: seconds between two looks.
    :param exponential_backoff: whether to double them each time.
    :param max_interval: where the doubling ends, in seconds.
    :param deadline: Unix time when the wait is over, whatever happened. It survives a restart of the triggerer.
    :param silent_fail: whether to go on even where Chatwork refuses for good.
    """

    def __init__(
        self,
        *,
        chatwork_conn_id: str,
        room_id: int | str,
        task_ids: Sequence[int],
        complete_when: str | int,
        poke_interval: float,
        deadline: float,
        exponential_backoff: bool = False,
        max_interval: float | None = None,
        silent_fail: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow's triggers carry no annotations.
        self.chatwork_conn_id = chatwork_conn_id
        self.room_id = room_id
        self.task_ids = list(task_ids)
        self.complete_when = complete_when
        self.poke_interval = poke_interval
        self.deadline = deadline
        self.exponential_backoff = exponential_backoff
        self.max_interval = max_interval
        self.silent_fail = silent_fail

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments: all a restarted triggerer has."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "chatwork_conn_id": self.chatwork_conn_id,
                "room_id": self.room_id,
                "task_ids": self.task_ids,
                "complete_when": self.complete_when,
                "poke_interval": self.poke_interval,
                "deadline": self.deadline,
                "exponential_backoff": self.exponential_backoff,
                "max_interval": self.max_interval,
                "silent_fail": self.silent_fail,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the tasks are done, the time is over, or Chatwork refuses for good."""
        hook = ChatworkHook(self.chatwork_conn_id)
        interval = max(self.poke_interval, _SHORTEST_INTERVAL)
        try:
            while True:
                event = await self._look(hook)
                left = self.deadline - time.time()
                if event is None and left <= 0:
                    event = {"status": "timeout"}
                if event is not None:
                    yield TriggerEvent(event)
                    return
                await asyncio.sleep(min(interval, left))
                if self.exponential_backoff:
                    interval = min(interval * 2, self.max_interval or float("inf"))
        finally:
            await hook.aclose()

    async def _look(self, hook: ChatworkHook) -> dict[str, Any] | None:
        try:
            states = await hook.afollow(observe_tasks(self.room_id, self.task_ids))
        except ChatworkError as error:
            if goes_on(error):
                self.log.warning("Chatwork did not tell how the tasks stand; the wait goes on. %s", error)
            elif self.silent_fail:
                self.log.error("Sensor poke failed: %s", error)
            else:
                return {"status": "refused", "error": to_plain(error)}
            return None
        except Exception as error:
            # The connection may have been removed. The worker goes on there, too.
            if not self.silent_fail:
                raise
            self.log.error("Sensor poke failed: %s", error)
            return None
        return {"status": "done", "tasks": states} if is_complete(states, self.complete_when) else None
