"""How many calls of a number are inside: counted and let in under one lock, by whichever process has the call."""

from uuid import UUID

from ari_app.store.database import Database

#: The lock is the number's route, so that numbers do not wait for each other. Its keys stay free for others.
_LOCK = "SELECT FROM pbx.routes WHERE number = $1 FOR NO KEY UPDATE"

_COUNT = """
SELECT count(*) FROM pbx.calls
 WHERE number = $1 AND state <> 'ended' AND admitted_at IS NOT NULL AND id <> $2
"""

_ADMIT = "UPDATE pbx.calls SET admitted_at = coalesce(admitted_at, now()) WHERE id = $1"


class AdmissionStore:
    """Raises StoreError when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(self, call_id: UUID, number: str, limit: int) -> bool:
        """Let a recorded call in unless `limit` calls of its number are inside already."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(_LOCK, number)
            if await connection.fetchval(_COUNT, number, call_id) >= limit:
                return False
            await connection.execute(_ADMIT, call_id)
            return True
