"""Reminders and the escalation of one wait: what is due, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.models import Task
from airflow_provider_chatwork.waiting.outbox.dedup_key import DedupKey
from airflow_provider_chatwork.waiting.outbox.delivery import OutboxMessage
from airflow_provider_chatwork.waiting.reminders.schedule import (
    Calendar,
    Due,
    Moment,
    earliest_due,
    escalation_at,
    reminders_at,
    seconds,
    task_due,
)
from airflow_provider_chatwork.waiting.reminders.spec import Escalation, Reminder
from airflow_provider_chatwork.waiting.reminders.texts import Writer, labels_of
from airflow_provider_chatwork.waiting.reminders.words import KINDS


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of tasks that were given together, with one call of ``create_task``.

    :param room_id: the room of the tasks.
    :param message_id: the message of the tasks. What was sent is found again by the link to it, so it must stay the
        same for as long as somebody waits; ``None`` for the first message of the tasks.
    :param created_at: when the tasks were given, in Unix seconds; must stay the same too.
    :param tasks: the tasks as they were last seen, ``None`` for one that is not there.
    :param me: the account id of the token.
    :param web_url: where people see Chatwork.
    """

    room_id: int
    message_id: str | None
    created_at: float
    tasks: Sequence[Task | None]
    me: int
    web_url: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "room_id", validation.identifier("room_id", self.room_id))

    @property
    def open_tasks(self) -> list[Task]:
        """The tasks that are not done."""
        return [task for task in self.tasks if task is not None and task["status"] == "open"]

    def dedup_key(self, kind: str, labels: tuple[str, ...], since: float) -> DedupKey:
        """Return the key of a message about these tasks."""
        message_id = self.message_id or min((task["message_id"] for task in self.tasks if task), key=int)
        return DedupKey(KINDS[kind], labels, self.room_id, message_id, self.me, since)


@dataclass(frozen=True, kw_only=True)
class FollowUp:
    """What happens while a task stays open; plain JSON through :meth:`to_plain`.

    :param reminders: one or several, also as the mappings that ``Reminder.to_plain`` writes.
    :param escalation: at most one, also as a mapping.
    :param zone: IANA name of the zone in which days, hours and due dates are meant: the connection's ``timezone``.
    :param lang: ``ja`` or ``en``.
    :raises ChatworkParameterError: naming the field that cannot be right.
    """

    reminders: Reminder | Mapping[str, Any] | Iterable[Reminder | Mapping[str, Any]] | None = ()
    escalation: Escalation | Mapping[str, Any] | None = None
    zone: str = "Asia/Tokyo"
    lang: str = "ja"

    def __post_init__(self) -> None:
        object.__setattr__(self, "reminders", tuple(_reminders(self.reminders)))
        object.__setattr__(self, "escalation", _escalation(self.escalation))
        validation.choice("lang", self.lang, validation.LANGUAGES)
        try:
            ZoneInfo(self.zone)
        except (ValueError, OSError, LookupError, TypeError):
            raise ChatworkParameterError("zone", self.zone, "give an IANA name such as Asia/Tokyo or UTC") from None

    def __bool__(self) -> bool:
        """Whether there is anything that could ever be due."""
        return bool(self.reminders) or self.escalation is not None

    def to_plain(self) -> dict[str, Any]:
        """Write as plain JSON."""
        return {
            "reminders": [reminder.to_plain() for reminder in self._reminders],
            "escalation": None if self._escalation is None else self._escalation.to_plain(),
            "zone": self.zone,
            "lang": self.lang,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> FollowUp:
        """Read what :meth:`to_plain` has written."""
        return cls(**plain)

    def due_date(self, facts: Facts) -> float | None:
        """The due date that counts, in Unix seconds: the earliest one of the tasks that are open."""
        due = earliest_due(facts.open_tasks, self.zone)
        return None if due is None else due.at

    def next_due(self, facts: Facts, now: float) -> float | None:
        """The next Unix time after ``now`` when :meth:`steps` has something to do; ``None`` if it never will.

        It is another one when a due date was moved or a task was done.
        """
        moments = list(self._moments(facts))
        ahead = [moment.at for moment in moments if moment.at > now]
        # What is late, because nobody was there to send it, waits for open hours as well.
        late = [opens for moment in _due_by(moments, now) if (opens := self._opens(moment, now)) > now]
        return min(ahead + late, default=None)

    def letters(self, facts: Facts, now: float, *, after: float | None = None) -> list[OutboxMessage]:
        """What :meth:`steps` sends unless it is in the room already, for whoever sends it in another way."""
        letters = []
        for moment in _due_by(self._moments(facts), now):
            done_before = after is not None and moment.at <= after and self._opens(moment, after) <= after
            if not done_before and self._opens(moment, now) <= now:
                letters.append(self._letter(facts, moment, now))
        return letters

    def _letter(self, facts: Facts, moment: Moment, now: float) -> OutboxMessage:
        kind = "reminder" if isinstance(moment.source, Reminder) else "escalation"
        key = facts.dedup_key(kind, labels_of(moment, kind, self.zone), moment.at)
        return OutboxMessage(
            kind=kind,
            number=moment.number,
            due_at=moment.at,
            room_id=getattr(moment.source, "room_id", None) or facts.room_id,
            fallback_room_id=facts.room_id,
            body=self._body(facts, moment, now, key.line(self.lang, facts.web_url)),
            dedup_key=key,
        )

    def _body(self, facts: Facts, moment: Moment, now: float, line: str) -> str:
        writer = Writer(self.lang, self.zone, facts.me)
        source, tasks = moment.source, facts.open_tasks
        if isinstance(source, Reminder):
            return writer.reminder(tasks, now, facts.created_at, source.text, line)
        assert moment.due is not None
        overdue = [task for task in tasks if self._is_overdue(task, seconds(source.grace), now)]
        mentions = validation.identifiers("mentions", source.mentions, required=False)
        return writer.escalation(overdue, moment.due, mentions, facts.created_at, source.text, line)

    def _is_overdue(self, task: Task, grace: float, now: float) -> bool:
        due = task_due(task, self.zone)
        return due is not None and due.at + grace <= now

    def _moments(self, facts: Facts) -> Iterator[Moment]:
        """Everything that is or was due, reminders in their order; nothing where nothing is open."""
        tasks = facts.open_tasks
        if not tasks or not self:
            return
        due: Due | None = earliest_due(tasks, self.zone)
        yield from reminders_at(self._reminders, facts.created_at, due, self._calendar)
        if self._escalation is not None and due is not None:
            yield escalation_at(self._escalation, due, self._calendar)

    def _opens(self, moment: Moment, now: float) -> float:
        return self._calendar.hours(moment.source).next_open(now)

    @property
    def _calendar(self) -> Calendar:
        return Calendar(self.zone)

    @property
    def _reminders(self) -> tuple[Reminder, ...]:
        assert isinstance(self.reminders, tuple)
        return self.reminders

    @property
    def _escalation(self) -> Escalation | None:
        assert not isinstance(self.escalation, Mapping)
        return self.escalation


def _due_by(moments: Iterable[Moment], now: float) -> list[Moment]:
    """The latest reminder and the escalation, where they were due by then."""
    past = [moment for moment in moments if moment.at <= now]
    reminders = [moment for moment in past if isinstance(moment.source, Reminder)]
    return [*reminders[-1:], *(moment for moment in past if isinstance(moment.source, Escalation))]


def _reminders(value: object) -> Iterator[Reminder]:
    if isinstance(value, (Reminder, Mapping)):
        value = (value,)
    if value is None or value == "":
        return
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ChatworkParameterError("reminders", value, "give a Reminder(...), or a list of them")
    for each in value:
        yield each if isinstance(each, Reminder) else Reminder.from_plain(each)


def _escalation(value: object) -> Escalation | None:
    if value is None or value == "" or isinstance(value, Escalation):
        return value or None  # type: ignore[return-value] # an empty text is none
    return Escalation.from_plain(value)  # type: ignore[arg-type] # it refuses what is no mapping
