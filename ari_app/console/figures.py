"""Figures of reports put together for charts and tables: hours become days, days become sums. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ari_app.console.charts import Series
from ari_app.console.reporting import Days
from ari_app.store.agent_days import AgentDay
from ari_app.store.record_charts import HourOfStatus, ServiceLevel
from ari_app.store.record_filters import STATUSES

#: Up to so many days are shown by the hour.
DAYS_BY_HOUR = 3

#: Statuses that mean much the same share a colour; the table behind the chart has each of its own.
COLOURS = (
    (1, ("Answered",)),
    (4, ("Voicemail",)),
    (2, ("User Abandon",)),
    (5, ("Missed", "No Answer")),
    (3, ("Rejected", "Declined", "Failed")),
    (6, ("Cancelled",)),
)


@dataclass(frozen=True)
class Buckets:
    """Hours or days of a time zone, without gaps."""

    starts: tuple[datetime, ...]
    labels: tuple[str, ...]
    are_days: bool

    @classmethod
    def of(cls, days: Days) -> "Buckets":
        """Both ends of the days must be given. An hour that summer time takes away is not there."""
        assert days.first is not None
        assert days.last is not None
        assert days.since is not None
        assert days.until is not None
        count = (days.last - days.first).days + 1
        zone = ZoneInfo(days.zone)
        if count > DAYS_BY_HOUR:
            each = [days.first + timedelta(days=n) for n in range(count)]
            starts = [datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) for day in each]
            return cls(tuple(starts), tuple(f"{day:%d %b}" for day in each), True)
        hours = round((days.until.timestamp() - days.since.timestamp()) / 3600)
        starts = [days.since.astimezone(UTC) + timedelta(hours=n) for n in range(hours)]
        style = "%H:%M" if count == 1 else "%a %H:%M"
        return cls(tuple(starts), tuple(start.astimezone(zone).strftime(style) for start in starts), False)

    def index(self, at: datetime) -> int:
        return bisect_right(self.starts, at) - 1


def by_status(buckets: Buckets, hours: Iterable[HourOfStatus]) -> dict[str, list[int]]:
    """Calls of each status in each bucket; statuses that nothing has are left out."""
    found: dict[str, list[int]] = defaultdict(lambda: [0] * len(buckets.starts))
    for hour in hours:
        if (place := buckets.index(hour.hour)) >= 0:
            found[hour.status][place] += hour.calls
    return {status: found[status] for status in STATUSES if status in found}


def coloured(counts: dict[str, list[int]]) -> list[Series]:
    series = []
    for colour, statuses in COLOURS:
        own = {status: counts[status] for status in statuses if status in counts}
        if own:
            series.append(Series(" or ".join(own), colour, [sum(values) for values in zip(*own.values(), strict=True)]))
    return series


@dataclass(frozen=True)
class GroupFigures:
    """A group in a stretch of time, or several groups together. Seconds are sums."""

    calls: int = 0
    answered: int = 0
    in_time: int = 0
    abandoned: int = 0
    missed: int = 0
    passed_on: int = 0
    wait_seconds: float = 0.0
    handle_seconds: float = 0.0

    def with_hour(self, hour: ServiceLevel) -> "GroupFigures":
        return GroupFigures(
            self.calls + hour.calls,
            self.answered + hour.answered,
            self.in_time + hour.answered_in_time,
            self.abandoned + hour.abandoned,
            self.missed + hour.missed,
            self.passed_on + hour.passed_on,
            self.wait_seconds + (hour.average_wait_seconds or 0) * hour.answered,
            self.handle_seconds + (hour.average_handle_seconds or 0) * hour.answered,
        )

    @property
    def service_level(self) -> float | None:
        """Answered in time of those that the group kept, per cent."""
        kept = self.calls - self.passed_on
        return 100 * self.in_time / kept if kept else None

    @property
    def average_wait(self) -> float | None:
        return self.wait_seconds / self.answered if self.answered else None

    @property
    def average_handle(self) -> float | None:
        return self.handle_seconds / self.answered if self.answered else None


@dataclass(frozen=True)
class GroupTable:
    levels: list[float | None]
    "Of all groups together, in each bucket."
    rows: list[tuple[str, str, GroupFigures]]
    "Bucket's label, group, figures; where there were calls."
    all: GroupFigures


def of_groups(buckets: Buckets, hours: Sequence[ServiceLevel]) -> GroupTable:
    each: dict[tuple[int, str], GroupFigures] = defaultdict(GroupFigures)
    together = [GroupFigures() for _ in buckets.starts]
    everything = GroupFigures()
    for hour in hours:
        place = buckets.index(hour.hour)
        if place >= 0:
            each[place, hour.group_name] = each[place, hour.group_name].with_hour(hour)
            together[place] = together[place].with_hour(hour)
            everything = everything.with_hour(hour)
    rows = [(buckets.labels[place], group, figures) for (place, group), figures in sorted(each.items(), key=_place)]
    return GroupTable([figures.service_level for figures in together], rows, everything)


def _place(item: tuple[tuple[int, str], GroupFigures]) -> tuple[int, str]:
    return item[0]


def summed(days: Iterable[AgentDay]) -> list[AgentDay]:
    """One row for each agent, with the sums of all days; the day is the first one."""
    found: dict[str, AgentDay] = {}
    for day in days:
        before = found.get(day.agent)
        found[day.agent] = day if before is None else _together(before, day)
    return [found[agent] for agent in sorted(found)]


def _together(one: AgentDay, other: AgentDay) -> AgentDay:
    names = ("offers", "answered", "rejected", "missed", "calls_taken", "calls_made", "calls_made_answered")
    sums = {name: getattr(one, name) + getattr(other, name) for name in names}
    talked = sums["calls_taken"] + sums["calls_made_answered"]
    talk = one.talk_seconds + other.talk_seconds
    return replace(
        one,
        day=min(one.day, other.day),
        talk_seconds=talk,
        hold_seconds=one.hold_seconds + other.hold_seconds,
        average_talk_seconds=talk / talked if talked else None,
        **sums,
    )
