"""Opening hours in PostgreSQL."""

import logging
from collections import defaultdict
from zoneinfo import ZoneInfo

from ari_app.calls.hours import Interval, Schedule, ScheduleError
from ari_app.store.database import Database, StoreError

logger = logging.getLogger(__name__)

# As intervals, because 24:00 is a time of day in PostgreSQL and none in Python.
_HOURS = "SELECT weekday, opens::interval, closes::interval FROM pbx.schedule_hours WHERE schedule = $1"
_HOLIDAYS = "SELECT day, opens::interval, closes::interval FROM pbx.holidays WHERE schedule = $1"


class ScheduleStore:
    """Finds schedules, and remembers each one found for the time when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[str, Schedule] = {}

    async def find(self, name: str) -> Schedule | None:
        """None if there is no such schedule.

        Raises StoreError when PostgreSQL is away and it was not asked for before, ScheduleError when the rows
        make no schedule (a time zone that this machine does not know).
        """
        try:
            schedule = await self._read(name)
        except StoreError as error:
            if (known := self._remembered.get(name)) is None:
                raise
            logger.error("PostgreSQL is away: schedule %s is as it was (%s)", name, error)
            return known
        if schedule is None:
            self._remembered.pop(name, None)
        else:
            self._remembered[name] = schedule
        return schedule

    async def _read(self, name: str) -> Schedule | None:
        async with self._database.connection() as connection, connection.transaction(isolation="repeatable_read"):
            key = await connection.fetchval("SELECT time_zone FROM pbx.schedules WHERE name = $1", name)
            if key is None:
                return None
            hours = await connection.fetch(_HOURS, name)
            holidays = await connection.fetch(_HOLIDAYS, name)
        try:
            zone = ZoneInfo(key)
        except (ValueError, OSError) as error:
            raise ScheduleError(f"schedule {name}: time zone {key!r} cannot be read: {error}") from error
        except KeyError:
            raise ScheduleError(f"schedule {name}: there is no time zone {key!r} on this machine") from None
        week: dict[int, list[Interval]] = defaultdict(list)
        for row in hours:
            week[row["weekday"]].append(Interval(row["opens"], row["closes"]))
        days = {row["day"]: None if row["opens"] is None else Interval(row["opens"], row["closes"]) for row in holidays}
        return Schedule(name, zone, week, days)
