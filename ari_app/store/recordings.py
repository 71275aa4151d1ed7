"""Recordings of calls in PostgreSQL: what there is, how long it is kept."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ari_app.store.database import Database

#: Files that are deleted in one transaction.
BATCH = 100

_SAVE = """
INSERT INTO pbx.recordings (id, call_id, file, seconds, started_at, expires_at, fault)
VALUES ($1, $2, $3, $4, $5, $5::timestamptz + $6::integer * interval '1 day', $7)
ON CONFLICT (id) DO UPDATE SET seconds = excluded.seconds, fault = excluded.fault
"""

_FIND = """
SELECT id, call_id, file, seconds::float8 AS seconds, started_at, NULL::integer AS days, fault
  FROM pbx.recordings
 WHERE id = $1 AND deleted_at IS NULL
"""

#: Another process that deletes at the same moment takes other rows.
_EXPIRED = """
SELECT id, file FROM pbx.recordings
 WHERE deleted_at IS NULL AND expires_at <= now()
 ORDER BY expires_at
 LIMIT $1
   FOR UPDATE SKIP LOCKED
"""

_LOST = """
UPDATE pbx.recordings r
   SET fault = 'Asterisk has lost it'
  FROM pbx.calls c
 WHERE c.id = r.call_id AND r.seconds IS NULL AND r.fault IS NULL
   AND c.ended_at < now() - $1::float8 * interval '1 second'
"""


@dataclass(frozen=True)
class RecordingRow:
    """A recording: `file` lies in the recordings folder."""

    id: UUID
    call_id: UUID
    file: str
    started_at: datetime
    days: int | None = None
    "How long it is kept, from its start; None: for ever. Counts when it is first saved."
    seconds: float | None = None
    "Length; None while the file is not there."
    fault: str | None = None
    "Why it is incomplete or missing."


class RecordingStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, row: RecordingRow) -> None:
        """Write it as it stands now. Its call must be there already."""
        values = (row.id, row.call_id, row.file, row.seconds, row.started_at, row.days, row.fault)
        async with self._database.connection() as connection:
            await connection.execute(_SAVE, *values)

    async def find(self, recording_id: UUID) -> RecordingRow | None:
        """None when there is none, or it was deleted."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND, recording_id)
        return None if row is None else RecordingRow(**dict(row))

    async def delete_expired(self, remove: Callable[[str], Awaitable[bool]]) -> int:
        """Let `remove` delete the files of up to BATCH recordings that are kept no longer; how many it did delete.

        `remove` says whether the file is gone, and does not raise.
        """
        async with self._database.connection() as connection, connection.transaction():
            rows = await connection.fetch(_EXPIRED, BATCH)
            gone = [row["id"] for row in rows if await remove(row["file"])]
            await connection.execute("UPDATE pbx.recordings SET deleted_at = now() WHERE id = ANY($1::uuid[])", gone)
        return len(gone)

    async def mark_lost(self, seconds: float) -> None:
        """Say of recordings that never came, of calls which ended so many s ago, that they are lost."""
        async with self._database.connection() as connection:
            await connection.execute(_LOST, seconds)
