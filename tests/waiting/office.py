"""A room in which a task was given to two people, and a bot that follows it up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api import models
from airflow_provider_chatwork.api.tasks import get_task
from airflow_provider_chatwork.sandbox.company import BOT, DATA_ROOM, SATO, YAMADA
from airflow_provider_chatwork.waiting.reminders.plan import Facts, FollowUp
from tests.clients import Scene

TOKYO = "Asia/Tokyo"
WEB = "https://www.chatwork.com"
HOUR = 3600.0
DAY = 24 * HOUR
#: At any time of any day.
ANY_TIME: dict[str, Any] = {"business_days_only": False, "quiet_hours": None}
#: In the new year of 2026: the first three days and the second Monday.
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
    """A task as Chatwork tells it."""
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


class Office:
    """The scene, the tasks, and what is known of them."""

    def __init__(self, loop: str = "Client", *, due: float = 0, to: Iterable[int] = (YAMADA, SATO)) -> None:
        self.scene = Scene(loop)
        self.sandbox = self.scene.sandbox
        self.start = self.scene.clock.now
        self.give(due=due, to=to)

    def give(self, body: str = "数字を確認してください", *, due: float = 0, to: Iterable[int] = (YAMADA, SATO)) -> None:
        """Give a task, due so many seconds from the start."""
        limit = int(self.start + due) if due else 0
        self.task_ids = self.sandbox.create_task(DATA_ROOM, BOT, [*to], body, limit, "time" if due else "none")
        self.message_id = self.scene.run(get_task(DATA_ROOM, self.task_ids[0]))["message_id"]

    def move_due(self, seconds: float) -> None:
        """Let somebody set another due date, so many seconds from the start."""
        for task_id in self.task_ids:
            moved = self.sandbox.store.rooms[DATA_ROOM].tasks[task_id]
            moved.limit_time, moved.limit_type = int(self.start + seconds), "time"

    def facts(self, **other: Any) -> Facts:
        tasks = [self.scene.run(get_task(DATA_ROOM, task_id)) for task_id in self.task_ids]
        known = {
            "room_id": DATA_ROOM,
            "message_id": self.message_id,
            "created_at": self.start,
            "tasks": tasks,
            "me": BOT,
            "web_url": WEB,
        }
        return Facts(**{**known, **other})

    def follow(self, follow_up: FollowUp, seconds: float, **more: Any) -> Any:
        """Do what is due so many seconds after the start, as a process would that knows nothing of earlier ones."""
        self.scene.clock.now = max(self.scene.clock.now, self.start + seconds)
        return self.scene.run_flow(follow_up.steps(self.facts(), self.start + seconds, **more))

    def live(self, follow_up: FollowUp, until: float) -> list[float]:
        """Wait as a trigger does, without a break; returns when something was done, in seconds after the start."""
        checked, times = self.start, []
        while True:
            due = follow_up.next_due(self.facts(), checked)
            if due is None or due > self.start + until:
                return times
            self.scene.clock.now = max(self.scene.clock.now, due)
            self.scene.run_flow(follow_up.steps(self.facts(), due, after=checked))
            checked = due
            times.append(due - self.start)

    def said(self, room_id: int = DATA_ROOM) -> list[str]:
        """What the bot has said, without what Chatwork says of tasks."""
        messages = self.sandbox.messages(room_id)
        return [
            message["body"]
            for message in messages
            if message["account"]["account_id"] == BOT and message["body"].splitlines()[-1].count("/#!rid")
        ]

    def last_lines(self, room_id: int = DATA_ROOM) -> list[str]:
        """What stands in front of the link in each of these."""
        return [body.splitlines()[-1].rpartition(": ")[0] for body in self.said(room_id)]

    def chatter(self, count: int) -> None:
        """Let people talk."""
        for number in range(count):
            self.sandbox.post_message(DATA_ROOM, YAMADA, f"{number}")
