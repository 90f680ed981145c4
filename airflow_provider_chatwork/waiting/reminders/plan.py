"""The reminders and the escalation of one wait: when the next is due, and which messages to send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.models import Task
from airflow_provider_chatwork.waiting.outbox.delivery import DedupKey, OutboxMessage
from airflow_provider_chatwork.waiting.reminders.schedule import (
    BusinessCalendar,
    ScheduledReminder,
    earliest_due,
    schedule_escalation,
    schedule_reminders,
    seconds,
    task_due,
    unreachable_reminders,
)
from airflow_provider_chatwork.waiting.reminders.spec import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders.texts import PREFIXES, MessageKind, ReminderFormatter, reminder_labels
from airflow_provider_chatwork.waiting.tasks.tracking import AssignedTasks


@dataclass(frozen=True, kw_only=True)
class TaskSnapshot:
    """Tasks that were created by one call of ``create_task``, as they were last seen.

    :param room_id: the room of the tasks.
    :param message_id: the message of the tasks, ``None`` for the oldest message of ``tasks``. Dedup keys contain it, so
        it must stay the same during a wait.
    :param created_at: Unix time when the tasks were created; must stay the same, too.
    :param tasks: the tasks, ``None`` for one that does not exist any more.
    :param account_id: the account of the token.
    :param web_url: address of Chatwork's web client.
    """

    room_id: int
    message_id: str | None
    created_at: float
    tasks: Sequence[Task | None]
    account_id: int
    web_url: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "room_id", validation.identifier("room_id", self.room_id))

    @property
    def open_tasks(self) -> list[Task]:
        """The tasks that are not done."""
        return [task for task in self.tasks if task is not None and task["status"] == "open"]

    def dedup_key(self, kind: MessageKind, labels: tuple[str, ...], since: float) -> DedupKey:
        """Return the dedup key of a message about these tasks.

        :param since: Unix time from which any message of this kind about the tasks counts as this one.
        """
        message_id = self.message_id or min((task["message_id"] for task in self.tasks if task), key=int)
        return DedupKey(PREFIXES[kind], labels, self.room_id, message_id, self.account_id, since)


def task_snapshot(assigned: AssignedTasks, tasks: Mapping[int, Task], account_id: int, web_url: str) -> TaskSnapshot:
    """Return a snapshot of assigned tasks.

    :param tasks: the tasks as they were last read, by id; those that were deleted since do not count.
    :param account_id: the account of the token.
    """
    return TaskSnapshot(
        room_id=assigned["room_id"],
        message_id=assigned["message_id"],
        created_at=assigned["created_at"],
        tasks=[
            tasks.get(task["task_id"]) if task["task_id"] is not None and task["status"] != "deleted" else None
            for task in assigned["tasks"]
        ],
        account_id=account_id,
        web_url=web_url,
    )


class ReminderPlan:
    """The reminders and the escalation of one wait; plain JSON by :meth:`to_plain`.

    :param reminders: one or several, also as mappings with the fields of ``Reminder``.
    :param escalation: at most one, also as a mapping.
    :param zone: IANA name of the time zone of days, quiet hours and due dates: the connection's ``timezone``.
    :param lang: ``ja`` or ``en``.
    :raises ChatworkParameterError: for a wrong field, which it names.
    """

    def __init__(
        self,
        *,
        reminders: Reminder | Mapping[str, Any] | Iterable[Reminder | Mapping[str, Any]] | None = (),
        escalation: Escalation | Mapping[str, Any] | None = None,
        zone: str = "Asia/Tokyo",
        lang: str = "ja",
    ) -> None:
        self.reminders = tuple(_read_reminders(reminders))
        self.escalation: Escalation | None = None
        if isinstance(escalation, Escalation):
            self.escalation = escalation
        elif (plain := validation.none_if_blank(escalation)) is not None:
            self.escalation = Escalation.from_plain(plain)
        self.zone = zone
        self.lang = validation.choice("lang", lang, validation.LANGUAGES)
        self._calendar = BusinessCalendar(zone)
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, LookupError, TypeError):
            raise ChatworkParameterError("zone", zone, "give an IANA name such as Asia/Tokyo or UTC") from None

    def __bool__(self) -> bool:
        """Return whether there is a reminder or an escalation."""
        return bool(self.reminders) or self.escalation is not None

    def to_plain(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        return {
            "reminders": [reminder.to_plain() for reminder in self.reminders],
            "escalation": None if self.escalation is None else self.escalation.to_plain(),
            "zone": self.zone,
            "lang": self.lang,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ReminderPlan:
        """Make a plan of what :meth:`to_plain` returned."""
        return cls(**plain)

    def due_date(self, snapshot: TaskSnapshot) -> float | None:
        """Return the earliest due date of the open tasks, in Unix seconds."""
        due = earliest_due(snapshot.open_tasks, self.zone)
        return None if due is None else due.at

    def next_at(self, snapshot: TaskSnapshot, now: float) -> float | None:
        """Return the next Unix time after ``now`` when a message is due, ``None`` if no more will be.

        It changes when a due date is moved or a task is done.
        """
        scheduled = list(self._schedule(snapshot))
        upcoming = [each.at for each in scheduled if each.at > now]
        # Messages that were due while no triggerer was running wait for open hours as well.
        late = [opening for each in _latest(scheduled, now) if (opening := self._next_open(each, now)) > now]
        return min(upcoming + late, default=None)

    def due_messages(self, snapshot: TaskSnapshot, now: float, *, after: float | None = None) -> list[OutboxMessage]:
        """Return the messages that are due: the latest reminder, and the escalation.

        :param after: Unix time up to which everything that was due has been sent.
        """
        messages = []
        for scheduled in _latest(self._schedule(snapshot), now):
            is_sent = after is not None and scheduled.at <= after and self._next_open(scheduled, after) <= after
            if not is_sent and self._next_open(scheduled, now) <= now:
                messages.append(self._message(snapshot, scheduled, now))
        return messages

    def unreachable(
        self, created_at: float, deadline: float, limit: int | str | None, limit_type: str | None
    ) -> list[str]:
        """Describe the messages that are never sent, each in one sentence.

        :param created_at: Unix time when the tasks are created.
        :param deadline: Unix time when the wait ends.
        :param limit: the argument of ``create_task``.
        :param limit_type: the argument of ``create_task``.
        """
        due = task_due({"limit_time": int(limit or 0), "limit_type": limit_type or "time"}, self.zone)
        sources = (*self.reminders, *(() if self.escalation is None else (self.escalation,)))
        return unreachable_reminders(sources, created_at, deadline, due, self._calendar)

    def _message(self, snapshot: TaskSnapshot, scheduled: ScheduledReminder, now: float) -> OutboxMessage:
        source, due = scheduled.source, scheduled.due
        kind, since = MessageKind.REMINDER, scheduled.at
        if isinstance(source, Escalation):
            assert due is not None
            # Not the time to which it has moved: another calendar must not send it again.
            kind, since = MessageKind.ESCALATION, due.at + seconds(source.grace)
        key = snapshot.dedup_key(kind, reminder_labels(scheduled, self.zone), since)
        key_line = key.line(self.lang, snapshot.web_url)
        formatter = ReminderFormatter(self.lang, self.zone, snapshot.account_id)
        tasks = snapshot.open_tasks
        if isinstance(source, Reminder):
            body = formatter.reminder(tasks, now, snapshot.created_at, source.text, key_line)
        else:
            assert due is not None
            dues = ((task, task_due(task, self.zone)) for task in tasks)
            overdue = [task for task, own in dues if own is not None and own.at + seconds(source.grace) <= now]
            mentions = validation.identifiers("mentions", source.mentions, required=False)
            body = formatter.escalation(overdue, due, mentions, snapshot.created_at, source.text, key_line)
        return OutboxMessage(
            kind=kind,
            number=scheduled.number,
            due_at=scheduled.at,
            room_id=getattr(source, "room_id", None) or snapshot.room_id,
            fallback_room_id=snapshot.room_id,
            body=body,
            dedup_key=key,
        )

    def _schedule(self, snapshot: TaskSnapshot) -> Iterator[ScheduledReminder]:
        """Yield all past and future reminders in their order, then the escalation; nothing if no task is open."""
        tasks = snapshot.open_tasks
        if not tasks or not self:
            return
        due = earliest_due(tasks, self.zone)
        yield from schedule_reminders(self.reminders, snapshot.created_at, due, self._calendar)
        if self.escalation is not None and due is not None:
            yield schedule_escalation(self.escalation, due, self._calendar)

    def _next_open(self, scheduled: ScheduledReminder, now: float) -> float:
        return self._calendar.hours(scheduled.source).next_open(now)


class SentReminders:
    """The reminders that this process has sent; after a restart, they are found in the room by their dedup keys.

    :param plan: the plan.
    :param created_at: Unix time when the tasks were created.
    """

    def __init__(self, plan: ReminderPlan, created_at: float) -> None:
        self.plan = plan
        self._created_at = created_at
        self._all_sent_until: float | None = None
        self._due_date: float | None = None
        # The messages that are sent while others, due at the same time, are not.
        self._sent: set[tuple[str, float]] = set()

    def next_at(self, snapshot: TaskSnapshot) -> float | None:
        """Return the Unix time, perhaps past, when a message is due, ``None`` if no more will be."""
        due_date = self.plan.due_date(snapshot)
        if due_date != self._due_date:
            # Another due date has a schedule of its own, part of which may be past.
            self._due_date, self._all_sent_until = due_date, None
            self._sent.clear()
        since = self._created_at if self._all_sent_until is None else self._all_sent_until
        return self.plan.next_at(snapshot, since)

    def due_messages(self, snapshot: TaskSnapshot, now: float) -> list[OutboxMessage]:
        """Return the messages that are due and were not sent yet."""
        messages = self.plan.due_messages(snapshot, now, after=self._all_sent_until)
        return [message for message in messages if message.key not in self._sent]

    def mark_sent(self, message: OutboxMessage) -> None:
        """Note that delivery of a message has ended, whatever its outcome."""
        self._sent.add(message.key)

    def mark_all_sent(self, now: float) -> None:
        """Note that delivery of all messages has ended that were due at a Unix time."""
        self._all_sent_until = now
        self._sent.clear()


def _latest(scheduled: Iterable[ScheduledReminder], now: float) -> list[ScheduledReminder]:
    """Return the latest past reminder, and the escalation if it is past."""
    past = [each for each in scheduled if each.at <= now]
    reminders = [each for each in past if isinstance(each.source, Reminder)]
    return [*reminders[-1:], *(each for each in past if isinstance(each.source, Escalation))]


def _read_reminders(value: object) -> Iterator[Reminder]:
    if isinstance(value, (Reminder, Mapping)):
        value = (value,)
    if value is None or value == "":
        return
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ChatworkParameterError(
            "reminders", value, "give Reminder(...), a mapping with its fields, or a list of them"
        )
    for each in value:
        yield each if isinstance(each, Reminder) else Reminder.from_plain(each)
