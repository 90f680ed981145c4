"""What a DAG author writes about people who keep others waiting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar

from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.durations import Duration, duration
from airflow_provider_chatwork.utils.quiet_hours import QuietHours

V = TypeVar("V")

#: From when to when nobody is reminded, as two times ``HH:MM``; or, with days, what alerts have.
Quiet: TypeAlias = Sequence[str] | QuietHours | None

#: The evening, the night and the early morning.
NIGHT: Final = ("19:00", "09:00")
#: More reminders than this of one kind are refused: nobody reads the hundred-and-first.
MOST: Final = 100

_SECOND = timedelta(seconds=1)
_NOTHING = timedelta(0)
# A custom text takes the place of one sentence.
_LONGEST_TEXT = 10_000


@dataclass(frozen=True, kw_only=True)
class Reminder:
    """Reminds people of a task that they have not done yet: one message for all of them, with the task quoted.

    ======================  ========================================================================================
    ``after``               first this long after the task was given, then again and again with ``every``
    ``every``               alone: first this long after the task was given, then again and again
    ``before_due``          this long before the task is due, then again and again with ``every``, also when the due
                            date has passed; for tasks without a due date, never
    ``after, before_due``   both: ``every`` goes on from ``after``, and one comes before the due date
    ======================  ========================================================================================

    Of several that are due at the same time, as after a weekend, one is sent. A due date that is moved takes those
    before it along. Where people of one task have different due dates, the earliest of those still open counts.

    Durations are timedeltas, or, from JSON and templates, seconds or ISO 8601 text such as ``PT4H``.

    :param after: since the task was given; at least a second.
    :param every: from one to the next; at least a second.
    :param before_due: before the due date, 0 for the moment of it. A task for a day is due at the end of that day.
    :param at_most: how many are sent at most, 1 to 100. For another due date it counts anew.
    :param business_days_only: whether those of Saturdays, Sundays and Japanese holidays wait for the next business day.
        Holidays need the extra ``holidays``; without it they are days like others.
    :param quiet_hours: from when to when reminders wait, in the connection's time zone: ``("19:00", "09:00")`` if not
        given; :class:`~airflow_provider_chatwork.utils.quiet_hours.QuietHours`, of which ``below`` is not used, for
        more than that; ``None`` for reminders at any time of the day. One before the due date comes earlier rather
        than too late.
    :param text: instead of the usual sentence, notation of your own. ``{due}``, ``{names}`` (of those who have not
        done it) and ``{link}`` are filled in; other braces stay. Mentions, quote and link stay around it. At most 10000
        characters.
    :raises ChatworkParameterError: naming the field that cannot be right.
    """

    after: Duration | None = None
    every: Duration | None = None
    before_due: Duration | None = None
    at_most: int = 10
    business_days_only: bool = True
    quiet_hours: Quiet = NIGHT
    text: str | None = None

    def __post_init__(self) -> None:
        _refuse_templates(self)
        for name, least in (("after", _SECOND), ("every", _SECOND), ("before_due", _NOTHING)):
            value = validation.none_if_blank(getattr(self, name))
            _set(self, name, None if value is None else duration(name, value, least=least))
        if self.after is self.every is self.before_due is None:
            raise ChatworkParameterError("after", None, "say when to remind: give after, every or before_due")
        _set(self, "at_most", _count("at_most", self.at_most))
        _check_manner(self)

    def to_plain(self) -> dict[str, Any]:
        """Write as plain JSON, durations in seconds."""
        return _plain(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Reminder:
        """Read what :meth:`to_plain` has written, or somebody by hand.

        :raises ChatworkParameterError: naming the field that cannot be right.
        """
        return _read(cls, "reminders", plain)


@dataclass(frozen=True, kw_only=True)
class Escalation:
    """Tells somebody else, once, that a task is past its due date: once for each due date it is given.

    For tasks without a due date, never. What would come after the ``timeout`` of the wait is not sent.

    :param grace: how long after the due date; 0 if not given.
    :param mentions: the account ids of who is called. The assignees are named, but not called. Give ``mentions``,
        ``room_id`` or both.
    :param room_id: where it is posted, such as a room of leads; the room of the task if not given.
    :param text: as in :class:`Reminder`.
    :param business_days_only: as in :class:`Reminder`.
    :param quiet_hours: as in :class:`Reminder`.
    :raises ChatworkParameterError: naming the field that cannot be right.
    """

    grace: Duration = _NOTHING
    mentions: int | str | Iterable[int | str] = ()
    room_id: int | str | None = None
    text: str | None = None
    business_days_only: bool = True
    quiet_hours: Quiet = NIGHT

    def __post_init__(self) -> None:
        _refuse_templates(self)
        _set(self, "grace", duration("grace", self.grace, least=_NOTHING))
        mentions = validation.identifiers("mentions", validation.none_if_blank(self.mentions), required=False)
        _set(self, "mentions", tuple(mentions))
        room_id = validation.none_if_blank(self.room_id)
        _set(self, "room_id", None if room_id is None else validation.identifier("room_id", room_id))
        if not self.mentions and self.room_id is None:
            raise ChatworkParameterError("mentions", self.mentions, "say whom to tell: give mentions, room_id or both")
        _check_manner(self)

    def to_plain(self) -> dict[str, Any]:
        """Write as plain JSON, durations in seconds."""
        return _plain(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Escalation:
        """Read what :meth:`to_plain` has written, or somebody by hand.

        :raises ChatworkParameterError: naming the field that cannot be right.
        """
        return _read(cls, "escalation", plain)


class _Rendered(str):
    """A text of a mapping, which was a template if it was one: what looks like one in it is meant as it stands."""

    __slots__ = ()


def _refuse_templates(value: Reminder | Escalation) -> None:
    for field in fields(value):
        given = getattr(value, field.name)
        for text in given if isinstance(given, (list, tuple)) else (given,):
            if isinstance(text, str) and not isinstance(text, _Rendered) and ("{{" in text or "{%" in text):
                remedy = "Airflow does not render it in here: give a mapping instead, whose texts are templates"
                raise ChatworkParameterError(field.name, given, remedy)


def _check_manner(value: Reminder | Escalation) -> None:
    _set(value, "business_days_only", validation.flag("business_days_only", value.business_days_only) == "1")
    quiet = _quiet_hours(value.quiet_hours)
    _set(value, "quiet_hours", quiet)
    if quiet is not None and not _leaves_time(quiet, value.business_days_only):
        raise ChatworkParameterError("quiet_hours", value.quiet_hours, "leave some hours of the business days open")
    text = validation.none_if_blank(value.text)
    _set(value, "text", None if text is None else validation.text("text", text, longest=_LONGEST_TEXT))


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


def _leaves_time(quiet: QuietHours, business_days_only: bool) -> bool:
    """Whether there is an open minute in a week."""
    # When quiet hours end, a day is open unless it is closed as a whole.
    monday = datetime.fromisoformat(f"2024-01-01T{quiet.end or '00:00'}+00:00")
    days = 5 if business_days_only else 7
    return any(not quiet.contains(monday + timedelta(days=day)) for day in range(days))


def _count(parameter: str, value: object) -> int:
    try:
        count = validation.identifier(parameter, value)
    except ChatworkParameterError:
        count = 0
    if not 1 <= count <= MOST:
        raise ChatworkParameterError(parameter, value, f"give a whole number from 1 to {MOST}")
    return count


def _set(value: Reminder | Escalation, name: str, to: object) -> None:
    object.__setattr__(value, name, to)


def _plain(value: Reminder | Escalation) -> dict[str, Any]:
    given = {field.name: _plain_field(getattr(value, field.name)) for field in fields(value)}
    # What is left out gets its default when it is read; that of the quiet hours is not `None`.
    return {name: each for name, each in given.items() if each is not None or name == "quiet_hours"}


def _plain_field(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, QuietHours):
        return value.to_json()
    if isinstance(value, _Rendered):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _read(cls: type[V], parameter: str, plain: object) -> V:
    if not isinstance(plain, Mapping):
        raise ChatworkParameterError(parameter, plain, f"give {cls.__name__}(...) or a mapping with its fields")
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type] # it is one of the dataclasses above
    for name in plain:
        if name not in names:
            raise ChatworkParameterError(f"{parameter}.{name}", plain[name], f"give only {', '.join(names)}")
    text = plain.get("text")
    return cls(**{**plain, "text": _Rendered(text)} if isinstance(text, str) else plain)
