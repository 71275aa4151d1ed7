"""What does not fit together among Meta, Asterisk and the application: `reports.reconciliation`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ari_app.store.database import Database
from ari_app.store.records import READ_SECONDS, reading

#: Findings that are read at once.
LIMIT = 1000

_FIND = """
SELECT at, kind, linkedid, meta_call_id, call_id, seconds_here, seconds_at_meta, why
  FROM reports.reconciliation
 WHERE at >= $1 AND at < $2
 ORDER BY at DESC, kind
 LIMIT $3
"""


@dataclass(frozen=True)
class Finding:
    """A call of which not all say the same."""

    at: datetime
    kind: str
    linkedid: str | None
    meta_call_id: str | None
    call_id: UUID | None
    seconds_here: int | None
    seconds_at_meta: int | None
    why: str


async def reconcile(database: Database, since: datetime, until: datetime, limit: int = LIMIT) -> list[Finding]:
    """Findings of calls that began in this time, the newest first. Raises StoreError."""
    async with reading(database) as connection:
        rows = await connection.fetch(_FIND, since, until, limit, timeout=READ_SECONDS)
    return [Finding(**dict(row)) for row in rows]
