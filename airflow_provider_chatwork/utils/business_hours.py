"""When people may be reminded: on business days, and outside quiet hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.utils.holidays import is_holiday
from airflow_provider_chatwork.utils.quiet_hours import QuietHours

#: How long before the hours end the last moment of them is, in seconds: what is sent takes a while to be sent.
BEFORE_CLOSING = 900.0

# How far an open hour is looked for, in days.
_FAR = 62
_FRIDAY = 4


@dataclass(frozen=True)
class Hours:
    """The hours that are open for reminders, by the clock on the wall of a time zone.

    Moments are Unix seconds.

    :param zone: IANA name of the zone.
    :param business_days_only: whether Saturdays, Sundays and holidays are closed.
    :param quiet: the hours of a day that are closed, and perhaps days.
    :param holiday: tells a holiday.
    """

    zone: str
    business_days_only: bool = True
    quiet: QuietHours | None = None
    holiday: Callable[[date], bool] = is_holiday

    def are_open(self, moment: float) -> bool:
        """Whether people may be reminded at a moment."""
        there = datetime.fromtimestamp(moment, ZoneInfo(self.zone))
        if self.business_days_only and (there.weekday() > _FRIDAY or self.holiday(there.date())):
            return False
        return self.quiet is None or not self.quiet.contains(there)

    def next_open(self, moment: float) -> float:
        """The first open moment from a moment on: itself, where it is open.

        :raises ChatworkParameterError: where none comes for two months.
        """
        if self.are_open(moment):
            return moment
        opens = None if self.quiet is None else self.quiet.end
        for candidates in self._boundaries(moment, opens, 1):
            found = [each for each in sorted(candidates) if each > moment and self.are_open(each)]
            if found:
                return found[0]
        raise self._never_open()

    def last_open(self, moment: float) -> float:
        """The last open moment up to a moment: itself where it is open, and otherwise some time before they close.

        :raises ChatworkParameterError: where there was none for two months.
        """
        if self.are_open(moment):
            return moment
        closes = None if self.quiet is None else self.quiet.start
        for candidates in self._boundaries(moment, closes, -1):
            ends = [each - 1 for each in sorted(candidates, reverse=True) if each - 1 <= moment]
            for end in ends:
                if self.are_open(end):
                    early = end + 1 - BEFORE_CLOSING
                    return early if self.are_open(early) else end
        raise self._never_open()

    def _boundaries(self, moment: float, clock: str | None, step: int) -> Iterator[set[float]]:
        """Day after day from the day of a moment on (or before), when hours may open or close."""
        zone = ZoneInfo(self.zone)
        today = datetime.fromtimestamp(moment, zone).date()
        times = [time(0)] if clock is None else [time(0), time.fromisoformat(clock)]
        for away in range(_FAR):
            day = today + timedelta(days=away * step)
            # Both of the moments that have one time on the wall, on the night when the clocks are put back.
            yield {
                datetime.combine(day, each, zone).replace(fold=fold).timestamp() for each in times for fold in (0, 1)
            }

    def _never_open(self) -> ChatworkParameterError:
        return ChatworkParameterError(
            "quiet_hours", self.quiet, f"leave some hours open; there are none in {_FAR} days"
        )
