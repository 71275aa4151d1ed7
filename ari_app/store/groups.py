"""Groups and their agents in PostgreSQL."""

import logging

import asyncpg

from ari_app.calls.destination import Destination
from ari_app.calls.group import Group
from ari_app.queueing import JoinEmpty, LeaveEmpty, Rules, Strategy
from ari_app.store.database import Database, StoreError

logger = logging.getLogger(__name__)

_FIND = "SELECT * FROM pbx.groups WHERE name = $1"


class GroupStore:
    """Finds groups, and remembers each one found for the time when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[str, Group] = {}

    async def find_group(self, name: str) -> Group | None:
        """None if there is no group of that name.

        Raises StoreError when PostgreSQL is away and the group was not asked for before.
        """
        try:
            async with self._database.connection() as connection:
                row = await connection.fetchrow(_FIND, name)
        except StoreError as error:
            if (group := self._remembered.get(name)) is None:
                raise
            logger.error("PostgreSQL is away: group %s is as it was before (%s)", name, error)
            return group
        if row is None:
            self._remembered.pop(name, None)
            return None
        self._remembered[name] = read_group(row)
        return self._remembered[name]

    async def all_rules(self) -> list[Rules]:
        """Of all groups. Raises StoreError."""
        async with self._database.connection() as connection:
            return [read_rules(row) for row in await connection.fetch("SELECT * FROM pbx.groups")]


def read_group(row: asyncpg.Record) -> Group:
    return Group(
        rules=read_rules(row),
        ring_seconds=row["ring_seconds"],
        service_level_seconds=row["service_level_seconds"],
        no_agent=Destination.parse(row["no_agent"]),
        music_class=row["music_class"],
        waiting_interval_seconds=row["waiting_interval_seconds"],
        announce_position=row["announce_position"],
        announce_wait=row["announce_wait"],
        exit_digit=row["exit_digit"],
        exit_to=Destination.parse(row["exit_to"]) if row["exit_to"] else None,
        whisper=row["whisper"],
    )


def read_rules(row: asyncpg.Record) -> Rules:
    return Rules(
        name=row["name"],
        strategy=Strategy(row["strategy"]),
        wrap_up_seconds=row["wrap_up_seconds"],
        cool_down_seconds=row["cool_down_seconds"],
        max_wait_seconds=row["max_wait_seconds"],
        max_waiting=row["max_waiting"],
        auto_pause_misses=row["auto_pause_misses"],
        join_empty=JoinEmpty(row["join_empty"]),
        leave_empty=LeaveEmpty(row["leave_empty"]),
    )
