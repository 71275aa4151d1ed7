"""Opening hours: is it open, and when does it open next. The time is always an argument.

Hours are what the clock on the wall shows. A time that comes twice (the clock is set back) means its first
coming, one that is skipped (the clock is set forward) the moment of the change; so hours never end before
they begin, and between opening and closing it is open without a break.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)

#: Most intervals of one weekday: before and after the lunch break.
INTERVALS_A_DAY = 2

#: How far ahead an opening is looked for. A year holds every weekday, and most holidays of any calendar.
HORIZON_DAYS = 400


class ScheduleError(ValueError):
    """Hours that cannot be; the message names the schedule and what is wrong."""


@dataclass(frozen=True, order=True)
class Interval:
    """From opening (included) to closing (not included), as time after midnight; 24 h is the day's end."""

    opens: timedelta
    closes: timedelta

    def __post_init__(self) -> None:
        if not timedelta() <= self.opens < self.closes <= DAY:
            raise ScheduleError(f"{self.opens} to {self.closes} is not within one day, or does not end after it begins")


@dataclass(frozen=True)
class Schedule:
    """Weekly hours in a time zone, and the days that are different."""

    name: str
    zone: ZoneInfo
    hours: Mapping[int, Sequence[Interval]]
    "By ISO weekday, 1 is Monday; a day that is missing is closed."
    holidays: Mapping[date, Interval | None] = field(default_factory=dict)
    "None: closed all day; otherwise the only hours of that day."

    def __post_init__(self) -> None:
        for weekday, intervals in self.hours.items():
            if not 1 <= weekday <= 7:
                raise ScheduleError(f"schedule {self.name}: {weekday} is no weekday; 1 is Monday, 7 is Sunday")
            if len(intervals) > INTERVALS_A_DAY:
                raise ScheduleError(f"schedule {self.name}: more than {INTERVALS_A_DAY} intervals on weekday {weekday}")
        object.__setattr__(self, "hours", {weekday: tuple(sorted(day)) for weekday, day in self.hours.items()})

    def is_open(self, at: datetime) -> bool:
        """`at` is an aware time of any zone."""
        return any(opens <= at < closes for opens, closes in self._times(at, days=1))

    def next_opening(self, at: datetime) -> datetime | None:
        """The first moment from `at` on at which it is open, in the schedule's zone; None when there is none
        within HORIZON_DAYS. It is `at` itself while it is open.
        """
        for opens, closes in self._times(at, HORIZON_DAYS):
            if at < closes:
                return max(at, opens).astimezone(self.zone)
        return None

    def _times(self, at: datetime, days: int) -> Iterator[tuple[datetime, datetime]]:
        """Opening and closing times in order, UTC, from the day before `at` to `days` after it."""
        today = at.astimezone(self.zone).date()
        for number in range(-1, days + 1):
            try:
                day = today + timedelta(days=number)
            except OverflowError:
                continue
            for interval in self._hours_of(day):
                opens, closes = self._moment(day, interval.opens), self._moment(day, interval.closes)
                if opens < closes:
                    yield opens, closes

    def _hours_of(self, day: date) -> Sequence[Interval]:
        if day in self.holidays:
            other = self.holidays[day]
            return () if other is None else (other,)
        return self.hours.get(day.isoweekday(), ())

    def _moment(self, day: date, after_midnight: timedelta) -> datetime:
        """The first moment, UTC, at which the clock on the wall shows this or something later."""
        wall = datetime.combine(day, time()) + after_midnight
        moment = wall.replace(tzinfo=self.zone).astimezone(UTC)
        if moment.astimezone(self.zone).replace(tzinfo=None) == wall:
            return moment
        # Skipped: by the offset before the change (fold 0) the moment is after it, by the other one before.
        early = wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
        return self._change_between(early, moment)

    def _change_between(self, before: datetime, after: datetime) -> datetime:
        """When the clock is set within these two moments, to the second."""
        offset = before.astimezone(self.zone).utcoffset()
        while after - before > timedelta(seconds=1):
            middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
            if middle.astimezone(self.zone).utcoffset() == offset:
                before = middle
            else:
                after = middle
        return after
