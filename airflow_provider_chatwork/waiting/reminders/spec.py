"""Reminders and escalations as DAG authors write them.

Dataclasses, not pydantic models: a DAG file imports them, and pydantic would be most of that import's time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Self, TypeAlias

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.business_hours import QuietHours
from airflow_provider_chatwork.utils.time_arguments import Duration, parse_duration

#: When nobody is reminded: two times ``HH:MM``, or :class:`~airflow_provider_chatwork.utils.business_hours.QuietHours`.
QuietHoursArgument: TypeAlias = Sequence[str] | QuietHours | None

#: The evening, the night and the early morning.
DEFAULT_QUIET_HOURS: Final = ("19:00", "09:00")
#: The largest ``at_most`` of a reminder.
MAX_REMINDERS: Final = 100

_SECOND = timedelta(seconds=1)
_ZERO = timedelta(0)
# The author's text replaces one sentence.
_TEXT_LIMIT = 10_000


@dataclass(frozen=True, kw_only=True)
class _Spec:
    """What reminders and escalations share."""

    parameter: ClassVar[str]

    business_days_only: bool = True
    quiet_hours: QuietHoursArgument = DEFAULT_QUIET_HOURS
    text: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            for text in given if isinstance(given, (list, tuple)) else (given,):
                if isinstance(text, str) and not isinstance(text, _RenderedText) and ("{{" in text or "{%" in text):
                    remedy = "Airflow does not render it in here: give a mapping instead, whose texts are templates"
                    raise ChatworkParameterError(field.name, given, remedy)
        self._check()
        self._set("business_days_only", validation.flag("business_days_only", self.business_days_only) == "1")
        quiet_hours = _quiet_hours(self.quiet_hours)
        self._set("quiet_hours", quiet_hours)
        if quiet_hours is not None and not _has_open_minute(quiet_hours, self.business_days_only):
            raise ChatworkParameterError("quiet_hours", self.quiet_hours, "leave some hours of the business days open")
        text = validation.none_if_blank(self.text)
        self._set("text", None if text is None else validation.text("text", text, longest=_TEXT_LIMIT))

    def _check(self) -> None:
        """Check the other fields."""

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def to_plain(self) -> dict[str, Any]:
        """Return the fields as plain JSON, durations in seconds."""
        plain = {field.name: _plain_field(getattr(self, field.name)) for field in fields(self)}
        # Fields that are left out get their defaults back; the default of `quiet_hours` is not `None`.
        return {name: value for name, value in plain.items() if value is not None or name == "quiet_hours"}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Make it of a mapping with its fields.

        :raises ChatworkParameterError: for a wrong field, which it names.
        """
        if not isinstance(plain, Mapping):
            raise ChatworkParameterError(cls.parameter, plain, f"give {cls.__name__}(...) or a mapping with its fields")
        names = [field.name for field in fields(cls)]
        for name in plain:
            if name not in names:
                raise ChatworkParameterError(f"{cls.parameter}.{name}", plain[name], f"give only {', '.join(names)}")
        text = plain.get("text")
        return cls(**{**plain, "text": _RenderedText(text)} if isinstance(text, str) else plain)


@dataclass(frozen=True, kw_only=True)
class Reminder(_Spec):
    """Reminds the assignees of open tasks, in one message for all of them, with the task quoted.

    ==============  ================================================================================================
    ``after``       this long after the task was created, then repeatedly with ``every``
    ``every``       alone: this long after the task was created, then repeatedly
    ``before_due``  this long before the task is due, then repeatedly with ``every``, also after the due date; never
                    for tasks without a due date
    ==============  ================================================================================================

    For reminders of both kinds, give two of them. Where several are due at the same time, as after a weekend, one is
    sent. A due date that is moved moves the reminders before it. Where people of one task have different due dates,
    the earliest of the open tasks counts.

    Durations are timedeltas, or, from JSON and templates, seconds or ISO 8601 text such as ``PT4H``.

    :param after: from the creation of the task; at least a second. Not with ``before_due``.
    :param every: from one reminder to the next; at least a second.
    :param before_due: before the due date; 0 for the due date itself. A task for a day is due at the end of that day.
    :param at_most: how many are sent at most, 1 to 100. The count starts again for another due date.
    :param business_days_only: whether reminders on Saturdays, Sundays and Japanese holidays move to the next business
        day. Holidays need the extra ``holidays``; without it they are business days.
    :param quiet_hours: reminders in these hours move to their end, in the connection's time zone:
        ``("19:00", "09:00")`` if not given;
        :class:`~airflow_provider_chatwork.utils.business_hours.QuietHours`, of which ``below`` is not used, for days
        as well; ``None`` for reminders at any time.
    :param text: replaces the sentence of the message; Chatwork notation. ``{due}``, ``{names}`` (the assignees of open
        tasks) and ``{link}`` are filled in; other braces stay. At most 10000 characters.
    :raises ChatworkParameterError: for a wrong field, which it names.
    """

    parameter: ClassVar[str] = "reminders"

    after: Duration | None = None
    every: Duration | None = None
    before_due: Duration | None = None
    at_most: int = 10

    def _check(self) -> None:
        for name, least in (("after", _SECOND), ("every", _SECOND), ("before_due", _ZERO)):
            value = validation.none_if_blank(getattr(self, name))
            self._set(name, None if value is None else parse_duration(name, value, least=least))
        if self.after is self.every is self.before_due is None:
            raise ChatworkParameterError("after", None, "say when to remind: give after, every or before_due")
        if self.after is not None and self.before_due is not None:
            raise ChatworkParameterError(
                "before_due", self.before_due, "give two reminders, one with after and one with before_due"
            )
        self._set("at_most", _count("at_most", self.at_most))


@dataclass(frozen=True, kw_only=True)
class Escalation(_Spec):
    """Notifies other people, once for each due date, that a task is past its due date.

    It is never sent for tasks without a due date, nor after the ``timeout`` of the wait.

    :param grace: how long after the due date; 0 if not given.
    :param mentions: the account ids to mention. The assignees are named without a mention. Give ``mentions``,
        ``room_id`` or both.
    :param room_id: the room to post to, such as a room of leads; the room of the task if not given.
    :param text: as in :class:`Reminder`.
    :param business_days_only: as in :class:`Reminder`.
    :param quiet_hours: as in :class:`Reminder`.
    :raises ChatworkParameterError: for a wrong field, which it names.
    """

    parameter: ClassVar[str] = "escalation"

    grace: Duration = _ZERO
    mentions: int | str | Iterable[int | str] = ()
    room_id: int | str | None = None

    def _check(self) -> None:
        self._set("grace", parse_duration("grace", self.grace, least=_ZERO))
        mentions = validation.identifiers("mentions", validation.none_if_blank(self.mentions), required=False)
        self._set("mentions", tuple(mentions))
        room_id = validation.none_if_blank(self.room_id)
        self._set("room_id", None if room_id is None else validation.identifier("room_id", room_id))
        if not self.mentions and self.room_id is None:
            raise ChatworkParameterError("mentions", self.mentions, "give mentions, room_id or both")


class _RenderedText(str):
    """A text of a mapping: Airflow has rendered it, so braces in it are no template."""

    __slots__ = ()


def _quiet_hours(value: object) -> QuietHours | None:
    value = validation.none_if_blank(value)
    if value is None or isinstance(value, QuietHours):
        return value
    if isinstance(value, Mapping) and {*value} <= {field.name for field in fields(QuietHours)}:
        return QuietHours(**value)
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        remedy = 'give two times such as ("19:00", "09:00"), QuietHours(...), or None for any time of the day'
        raise ChatworkParameterError("quiet_hours", value, remedy)
    try:
        return QuietHours(start=value[0], end=value[1])
    except ChatworkParameterError as error:
        raise ChatworkParameterError("quiet_hours", value, error.remedy) from None


def _has_open_minute(quiet_hours: QuietHours, business_days_only: bool) -> bool:
    """Return whether a week has a minute that is not quiet."""
    # The minute in which quiet hours end is open, unless the whole day is closed.
    monday = datetime.fromisoformat(f"2024-01-01T{quiet_hours.end or '00:00'}+00:00")
    days = 5 if business_days_only else 7
    return any(not quiet_hours.contains(monday + timedelta(days=day)) for day in range(days))


def _count(parameter: str, value: object) -> int:
    try:
        count = validation.identifier(parameter, value)
    except ChatworkParameterError:
        count = 0
    if not 1 <= count <= MAX_REMINDERS:
        raise ChatworkParameterError(parameter, value, f"give a whole number from 1 to {MAX_REMINDERS}")
    return count


def _plain_field(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, QuietHours):
        return value.to_json()
    if isinstance(value, _RenderedText):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
