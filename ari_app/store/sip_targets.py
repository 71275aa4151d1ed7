"""Customers' SIP targets in PostgreSQL, and how many calls each of them has."""

import logging
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from ari_app.calls.route import Incoming
from ari_app.calls.sip_target import SipTarget, Transport
from ari_app.store.database import Database, StoreError

logger = logging.getLogger(__name__)

_COLUMNS = "host, port, transport, priority, weight, max_calls, voip_only"

#: The lock makes two callers who come at once count one after the other.
_LOCK = "SELECT max_calls FROM pbx.sip_targets WHERE number = $1 AND host = $2 AND port = $3 FOR UPDATE"
_COUNT = """
SELECT count(*) FROM pbx.calls
 WHERE state <> 'ended' AND number = $1 AND path[cardinality(path)] = $2 AND id <> $3
"""
_TAKE = "UPDATE pbx.calls SET path = path || $2::text WHERE id = $1"

_FORGET_HEALTH = """
DELETE FROM pbx.sip_target_health
 WHERE (host, port, transport) NOT IN (SELECT * FROM unnest($1::text[], $2::integer[], $3::text[]))
"""
_WRITE_HEALTH = """
INSERT INTO pbx.sip_target_health AS h (host, port, transport, state)
SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[])
ON CONFLICT (host, port, transport) DO UPDATE
   SET state = excluded.state, checked_at = now(),
       since = CASE WHEN h.state = excluded.state THEN h.since ELSE now() END
"""


class SipTargetStore:
    """Finds targets, and remembers those found for the time when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[tuple[str, Incoming], list[SipTarget]] = {}

    async def find(self, number: str, incoming: Incoming) -> list[SipTarget]:
        """Targets of a number for calls whose route has this type.

        Raises StoreError when PostgreSQL is away and they were not asked for before.
        """
        query = f"SELECT {_COLUMNS} FROM pbx.sip_targets WHERE number = $1 AND incoming = $2"  # noqa: S608 - a constant
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(query, number, incoming.value)
        except StoreError as error:
            if (known := self._remembered.get((number, incoming))) is None:
                raise
            logger.error("PostgreSQL is away: SIP targets of %s are as they were (%s)", number, error)
            return known
        self._remembered[number, incoming] = found = [_target(row) for row in rows]
        return found

    async def all(self) -> list[SipTarget]:
        """Targets of all numbers. Raises StoreError."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(f"SELECT {_COLUMNS} FROM pbx.sip_targets")  # noqa: S608 - a constant
        return [_target(row) for row in rows]

    async def write_health(self, found: Sequence[tuple[SipTarget, str]]) -> None:
        """What Asterisk says of each target just now, for people to read; others are forgotten. Raises StoreError."""
        columns = [
            [target.host for target, _ in found],
            [target.port for target, _ in found],
            [target.transport.value for target, _ in found],
        ]
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_FORGET_HEALTH, *columns)
            await connection.execute(_WRITE_HEALTH, *columns, [state for _, state in found])

    async def take(self, call_id: UUID, number: str, target: SipTarget, step: str) -> bool:
        """Count the call with this target, by `step` as the last of its path; False when the target is full.

        While PostgreSQL is away, nothing is counted, and all may go there.
        """
        try:
            async with self._database.connection() as connection, connection.transaction():
                limit = await connection.fetchval(_LOCK, number, target.host, target.port)
                if limit is not None and await connection.fetchval(_COUNT, number, step, call_id) >= limit:
                    return False
                await connection.execute(_TAKE, call_id, step)
        except StoreError as error:
            logger.error("call %s: the calls of %s cannot be counted: %s", call_id, target, error)
        return True


def _target(row: asyncpg.Record) -> SipTarget:
    return SipTarget(**dict(row) | {"transport": Transport(row["transport"])})
