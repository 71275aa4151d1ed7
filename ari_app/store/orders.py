"""What supervisors want of running calls (sql/0018), as the application takes it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ari_app.store.database import Database

_WAITING = """
SELECT id, kind, call_id, agent_id, requested_by, wanted_at FROM pbx.orders WHERE state = 'wanted' ORDER BY wanted_at
"""

_TAKE = """
UPDATE pbx.orders SET state = 'taken', taken_at = now()
 WHERE id = (SELECT id FROM pbx.orders WHERE id = $1 AND state = 'wanted' FOR UPDATE SKIP LOCKED)
RETURNING id
"""

_ACTIVE = "UPDATE pbx.orders SET state = 'active', active_at = now() WHERE id = $1 AND state = 'taken'"

_CLOSE = """
UPDATE pbx.orders SET state = $2, reason = $3, ended_at = now() WHERE id = $1 AND state IN ('wanted', 'taken', 'active')
"""

#: Nobody has the call, or it was over before; and what an application left that is no more, whose calls are over.
_TIDY = """
UPDATE pbx.orders o
   SET state = CASE WHEN o.state = 'active' THEN 'done' ELSE 'failed' END, ended_at = now(),
       reason = CASE WHEN o.state <> 'active' THEN 'the call was over, or no application has it' END
 WHERE (o.state = 'wanted' AND o.wanted_at < now() - $1 * interval '1 second')
    OR (o.state IN ('taken', 'active') AND EXISTS (
            SELECT FROM pbx.calls c
             WHERE c.id = o.call_id AND c.state = 'ended' AND c.ended_at < now() - $1 * interval '1 second'))
"""


@dataclass(frozen=True)
class Order:
    id: UUID
    kind: str
    "listen, whisper, barge or hangup."
    call_id: UUID
    agent_id: UUID | None
    "Whose phone rings; None to hang up."
    requested_by: str
    wanted_at: datetime


class OrderStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self) -> list[Order]:
        """Those that nobody has taken, the oldest first."""
        async with self._database.connection() as connection:
            return [Order(**dict(row)) for row in await connection.fetch(_WAITING)]

    async def take(self, order: UUID) -> bool:
        """Whether it is ours now."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_TAKE, order) is not None

    async def active(self, order: UUID) -> None:
        """The supervisor is in the call."""
        async with self._database.connection() as connection:
            await connection.execute(_ACTIVE, order)

    async def close(self, order: UUID, failure: str | None = None) -> None:
        """Done, or why not; the second time nothing happens."""
        async with self._database.connection() as connection:
            await connection.execute(_CLOSE, order, "done" if failure is None else "failed", failure)

    async def tidy(self, patience: float) -> None:
        """End what nobody takes within `patience` s, and what was left."""
        async with self._database.connection() as connection:
            await connection.execute(_TIDY, patience)
