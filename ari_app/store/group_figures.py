"""How groups did, by hour or by day: sums of `reports.group_hour`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ari_app.store.database import Database
from ari_app.store.records import READ_SECONDS, reading

_READ = """
SELECT date_trunc($4, h.hour, $3) AS start, h.group_name, sum(h.calls)::integer AS calls,
       sum(h.answered)::integer AS answered, sum(h.answered_in_time)::integer AS in_time,
       sum(h.abandoned)::integer AS abandoned, sum(h.missed)::integer AS missed, sum(h.passed_on)::integer AS passed_on,
       coalesce(sum(h.average_wait_seconds * h.answered), 0)::float8 AS wait_seconds,
       coalesce(sum(h.average_handle_seconds * h.answered), 0)::float8 AS handle_seconds
  FROM reports.group_hour($1, $2, $3) h
 WHERE $5::text[] IS NULL OR h.group_name = ANY ($5)
 GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True)
class GroupFigures:
    """A group in a stretch of time, or several together; as reports.group_hour, which explains each. Seconds are sums
    of answered calls.
    """

    calls: int = 0
    answered: int = 0
    in_time: int = 0
    abandoned: int = 0
    missed: int = 0
    passed_on: int = 0
    wait_seconds: float = 0.0
    handle_seconds: float = 0.0

    def __add__(self, other: "GroupFigures") -> "GroupFigures":
        return GroupFigures(
            self.calls + other.calls,
            self.answered + other.answered,
            self.in_time + other.in_time,
            self.abandoned + other.abandoned,
            self.missed + other.missed,
            self.passed_on + other.passed_on,
            self.wait_seconds + other.wait_seconds,
            self.handle_seconds + other.handle_seconds,
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
class GroupRow:
    start: datetime
    group: str
    figures: GroupFigures


async def group_figures(
    database: Database,
    since: datetime,
    until: datetime,
    zone: str,
    step: Literal["hour", "day"],
    groups: list[str] | None = None,
) -> list[GroupRow]:
    """Hours or days of a time zone, of which there is one; `groups`: only these. Raises StoreError."""
    async with reading(database) as connection:
        rows = await connection.fetch(_READ, since, until, zone, step, groups, timeout=READ_SECONDS)
    return [GroupRow(start, group, GroupFigures(*figures)) for start, group, *figures in rows]
