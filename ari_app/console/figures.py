"""Figures of reports put together for charts and tables: hours become days, days become sums. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ari_app.console.charts import Series
from ari_app.console.reporting import Days
from ari_app.store.group_figures import GroupFigures, GroupRow
from ari_app.store.record_charts import HourOfStatus
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
class GroupTable:
    levels: list[float | None]
    "Of all groups together, in each bucket."
    rows: list[tuple[str, str, GroupFigures]]
    "Bucket's label, group, figures; where there were calls."
    groups: dict[str, GroupFigures]
    "Of the whole time."
    all: GroupFigures


def of_groups(buckets: Buckets, found: Iterable[GroupRow]) -> GroupTable:
    """Rows are in the order of time."""
    together = [GroupFigures() for _ in buckets.starts]
    groups: dict[str, GroupFigures] = defaultdict(GroupFigures)
    rows = []
    for row in found:
        if (place := buckets.index(row.start)) >= 0:
            together[place] += row.figures
            groups[row.group] += row.figures
            rows.append((buckets.labels[place], row.group, row.figures))
    levels = [figures.service_level for figures in together]
    return GroupTable(levels, rows, {name: groups[name] for name in sorted(groups)}, sum(together, GroupFigures()))
