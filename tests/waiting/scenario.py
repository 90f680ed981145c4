"""A room with a task for two people, and an account that sends reminders."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.call import HttpRequest, Response
from airflow_provider_chatwork.api.errors import ChatworkNetworkError
from airflow_provider_chatwork.api.tasks import get_task
from airflow_provider_chatwork.connection import Settings
from airflow_provider_chatwork.sandbox.company import BOT, DATA_ROOM, SATO, YAMADA
from airflow_provider_chatwork.waiting.outbox.delivery import DeliveryReport, OutboxMessage
from airflow_provider_chatwork.waiting.outbox.outbox import OutboxSender
from airflow_provider_chatwork.waiting.poller.task_poller import TaskSubscription, subscribe_tasks
from airflow_provider_chatwork.waiting.reminders.plan import ReminderPlan, SentReminders, TaskSnapshot
from tests.clients import TOKEN, Scene
from tests.virtual_time import VirtualLoop, run_virtually, sandbox_pollers

TOKYO = "Asia/Tokyo"
WEB = "https://www.chatwork.com"
HOUR = 3600.0
DAY = 24 * HOUR
#: At any time of any day.
ANY_TIME: dict[str, Any] = {"business_days_only": False, "quiet_hours": None}
#: New Year's Day, and the second Monday of January.
NEW_YEAR = frozenset({date(2026, 1, 1), date(2026, 1, 12)})


def at(text: str, zone: str = TOKYO) -> float:
    """The Unix time of a moment, written as ``2026-01-05 09:00``."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def shown(moment: float, zone: str = TOKYO) -> str:
    """A Unix time as :func:`at` reads it."""
    return f"{datetime.fromtimestamp(moment, ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def task(
    account_id: int = YAMADA,
    name: str = "山田 太郎",
    *,
    due: float = 0,
    limit_type: str | None = None,
    status: str = "open",
    body: str = "数字を確認してください",
    message_id: str = "200",
) -> models.Task:
    """Return a task as Chatwork returns it."""
    return {
        "task_id": account_id * 10,
        "account": {"account_id": account_id, "name": name, "avatar_image_url": ""},
        "assigned_by_account": {"account_id": BOT, "name": "bot", "avatar_image_url": ""},
        "message_id": message_id,
        "body": body,
        "limit_time": int(due),
        "status": status,
        "limit_type": limit_type or ("time" if due else "none"),
    }


class Scenario:
    """A room with a task for two people, and an account that sends reminders.

    :param loop: the client for single calls, ``Client`` or ``AsyncClient``.
    :param due: seconds from the start to the due date of the tasks; 0 for none.
    :param to: the assignees.
    """

    def __init__(self, loop: str = "Client", *, due: float = 0, to: Iterable[int] = (YAMADA, SATO)) -> None:
        self.scene = Scene(loop)
        self.sandbox = self.scene.sandbox
        self.start = self.scene.clock.now
        self.create_tasks(due=due, to=to)

    def create_tasks(
        self, body: str = "数字を確認してください", *, due: float = 0, to: Iterable[int] = (YAMADA, SATO)
    ) -> None:
        """Create tasks, due this many seconds after the start."""
        limit = int(self.start + due) if due else 0
        self.task_ids = self.sandbox.create_task(DATA_ROOM, BOT, [*to], body, limit, "time" if due else "none")
        self.message_id = self.scene.run(get_task(DATA_ROOM, self.task_ids[0]))["message_id"]

    def move_due(self, seconds: float) -> None:
        """Move the due date to this many seconds after the start."""
        for task_id in self.task_ids:
            task = self.sandbox.store.rooms[DATA_ROOM].tasks[task_id]
            task.limit_time, task.limit_type = int(self.start + seconds), "time"

    def snapshot(self, **changed: Any) -> TaskSnapshot:
        """Return the tasks as they are now."""
        fields = {
            "room_id": DATA_ROOM,
            "message_id": self.message_id,
            "created_at": self.start,
            "tasks": [self.scene.run(get_task(DATA_ROOM, task_id)) for task_id in self.task_ids],
            "account_id": BOT,
            "web_url": WEB,
        }
        return TaskSnapshot(**{**fields, **changed})

    def send_due(self, plan: ReminderPlan, seconds: float, **more: Any) -> list[DeliveryReport]:
        """Send what is due this many seconds after the start, as a process that has sent nothing before."""
        self.scene.clock.now = max(self.scene.clock.now, self.start + seconds)
        return self.deliver(plan.due_messages(self.snapshot(), self.start + seconds, **more))

    def send_until(self, plan: ReminderPlan, end: float) -> list[float]:
        """Send everything in time, as a process without a restart; returns the seconds after the start of each time."""
        sent = SentReminders(plan, self.start)
        times = []
        while True:
            at = sent.next_at(self.snapshot())
            if at is None or at > self.start + end:
                return times
            self.scene.clock.now = max(self.scene.clock.now, at)
            self.deliver(sent.due_messages(self.snapshot(), at))
            sent.mark_all_sent(at)
            times.append(at - self.start)

    def deliver(self, messages: Iterable[OutboxMessage], *, kill_after: int | None = None) -> list[DeliveryReport]:
        """Deliver messages as a trigger does.

        :param kill_after: the number of requests after which the process dies.
        """
        reports: list[DeliveryReport] = []

        async def deliver(subscription: TaskSubscription) -> None:
            sender = OutboxSender(subscription)
            for message in messages:
                report = await sender.send(message)
                while isinstance(report, float):
                    await asyncio.sleep(max(0.0, report - subscription.now()))
                    report = await sender.send(message)
                reports.append(report)

        async def main(loop: VirtualLoop) -> None:
            try:
                with sandbox_pollers(self.sandbox, loop.unix_time):
                    subscription = subscribe_tasks(
                        Settings(TOKEN), DATA_ROOM, self.task_ids, complete_when="all", interval=HOUR
                    )
                    async with subscription as entered:
                        task = asyncio.ensure_future(deliver(entered))
                        with self._killed_after(kill_after, task):
                            await asyncio.wait({task})
                    if not task.cancelled():
                        task.result()
            finally:
                self.scene.clock.now = loop.unix_time()

        run_virtually(main, start=self.scene.clock.now)
        return reports

    @contextmanager
    def _killed_after(self, requests: int | None, task: asyncio.Future[None]) -> Iterator[None]:
        handle, sent = self.sandbox.ahandle, 0

        async def ahandle(request: HttpRequest) -> Response:
            nonlocal sent
            sent += 1
            if requests is not None and sent > requests:
                task.cancel()
                raise ChatworkNetworkError("killed")
            return await handle(request)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.sandbox, "ahandle", ahandle)
            yield

    def posted(self, room_id: int = DATA_ROOM) -> list[str]:
        """Return the reminders and the like in a room, without Chatwork's system messages."""
        return [
            message["body"]
            for message in self.sandbox.messages(room_id)
            if message["account"]["account_id"] == BOT and message["body"].splitlines()[-1].count("/#!rid")
        ]

    def labels(self, room_id: int = DATA_ROOM) -> list[str]:
        """Return what stands in front of the link in each of these."""
        return [body.splitlines()[-1].rpartition(": ")[0] for body in self.posted(room_id)]

    def post_chatter(self, count: int) -> None:
        """Post messages of a person."""
        for number in range(count):
            self.sandbox.post_message(DATA_ROOM, YAMADA, f"{number}")
