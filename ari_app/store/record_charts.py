"""Figures of many call records, for charts. Each takes the same filters as a list does."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import available_timezones

from ari_app.store.database import Database
from ari_app.store.record_filters import Filters, Parameters, conditions, where
from ari_app.store.records import READ_SECONDS, reading

#: Upper edges of the classes of waiting times, s; the last class has none.
WAIT_EDGES = (5, 10, 20, 30, 60, 120, 300)


@dataclass(frozen=True)
class HourOfStatus:
    hour: datetime
    "Start of the hour."
    status: str
    calls: int


@dataclass(frozen=True)
class WaitClass:
    up_to: int | None
    "s, included; None: longer than all before."
    answered: int
    not_answered: int


@dataclass(frozen=True)
class ServiceLevel:
    """A group in one hour; as reports.group_hour, which explains each figure."""

    hour: datetime
    group_name: str
    calls: int
    answered: int
    answered_in_time: int
    abandoned: int
    missed: int
    service_level: float | None
    "Per cent."
    average_wait_seconds: float | None
    average_handle_seconds: float | None
    passed_on: int
    "Calls that went on to another group: they do not count in the service level."


@dataclass(frozen=True)
class Totals:
    calls: int
    answered: int
    abandoned: int
    talk_seconds: int
    average_wait_seconds: float | None
    average_talk_seconds: float | None


async def by_hour(database: Database, filters: Filters, zone: str = "UTC") -> list[HourOfStatus]:
    """Calls per hour of a time zone and status; hours without calls are left out. Raises StoreError, ValueError."""
    _check(zone)
    parameters = Parameters()
    hour = f"date_trunc('hour', r.started_at, {parameters.add(zone)})"
    statement = (
        f"SELECT {hour} AS hour, r.status, count(*) AS calls FROM reports.call_records r"  # noqa: S608
        f"{where(conditions(filters, parameters))} GROUP BY 1, 2 ORDER BY 1, 2"
    )
    async with reading(database) as connection:
        rows = await connection.fetch(statement, *parameters.values, timeout=READ_SECONDS)
    return [HourOfStatus(**dict(row)) for row in rows]


async def wait_distribution(database: Database, filters: Filters) -> list[WaitClass]:
    """How many calls waited how long, one class for each of WAIT_EDGES and one beyond. Raises StoreError."""
    parameters = Parameters()
    edges = parameters.add(list(WAIT_EDGES))
    # The i-th class begins behind the i-th edge, in whole seconds.
    statement = f"""
        SELECT width_bucket(r.wait_seconds - 1, {edges}::bigint[]) AS class,
               count(*) FILTER (WHERE r.answered_at IS NOT NULL) AS answered,
               count(*) FILTER (WHERE r.answered_at IS NULL) AS not_answered
          FROM reports.call_records r{where(conditions(filters, parameters))}
         GROUP BY 1"""  # noqa: S608
    async with reading(database) as connection:
        rows = await connection.fetch(statement, *parameters.values, timeout=READ_SECONDS)
    found = {row["class"]: row for row in rows}
    return [
        WaitClass(edge, found[n]["answered"] if n in found else 0, found[n]["not_answered"] if n in found else 0)
        for n, edge in enumerate((*WAIT_EDGES, None))
    ]


async def service_levels(
    database: Database, since: datetime, until: datetime, zone: str = "UTC", groups: list[str] | None = None
) -> list[ServiceLevel]:
    """Groups by hour; `groups`: only these. Raises StoreError, ValueError."""
    _check(zone)
    statement = """
        SELECT hour, group_name, calls, answered, answered_in_time, abandoned, missed, service_level::float8,
               average_wait_seconds::float8, average_handle_seconds::float8, passed_on
          FROM reports.group_hour($1, $2, $3)
         WHERE $4::text[] IS NULL OR group_name = ANY ($4)
         ORDER BY hour, group_name"""
    async with reading(database) as connection:
        rows = await connection.fetch(statement, since, until, zone, groups, timeout=READ_SECONDS)
    return [ServiceLevel(**dict(row)) for row in rows]


async def totals(database: Database, filters: Filters) -> Totals:
    """Raises StoreError."""
    parameters = Parameters()
    statement = f"""
        SELECT count(*) AS calls, count(r.answered_at) AS answered,
               count(*) FILTER (WHERE r.status = 'User Abandon') AS abandoned,
               coalesce(sum(r.talk_seconds), 0)::bigint AS talk_seconds,
               avg(r.wait_seconds)::float8 AS average_wait_seconds,
               avg(r.talk_seconds) FILTER (WHERE r.answered_at IS NOT NULL)::float8 AS average_talk_seconds
          FROM reports.call_records r{where(conditions(filters, parameters))}"""  # noqa: S608
    async with reading(database) as connection:
        row = await connection.fetchrow(statement, *parameters.values, timeout=READ_SECONDS)
    assert row is not None, "an aggregate has a row"
    return Totals(**dict(row))


def _check(zone: str) -> None:
    if zone not in available_timezones():
        raise ValueError(f"there is no time zone {zone!r}; write one such as Europe/Berlin")
