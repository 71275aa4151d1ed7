"""The applications that share the database, one for each Asterisk: who is there, and whose calls are nobody's now."""

from uuid import UUID

from ari_app.store.database import Database

#: A predecessor that was there so recently, s, may be another one that runs, of the same name.
RECENT_SECONDS = 10.0

_BEFORE = "SELECT run <> $2 AND seen_at > now() - $3::float8 * interval '1 second' FROM pbx.nodes WHERE name = $1"

_BEAT = """
INSERT INTO pbx.nodes (name, run) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET run = excluded.run, seen_at = now()
"""

#: Calls of no node are of a time before there were nodes; who starts ends them.
_ABSENT = """
SELECT DISTINCT c.node FROM pbx.calls c LEFT JOIN pbx.nodes n ON n.name = c.node
 WHERE c.state <> 'ended' AND c.node <> '' AND (n.name IS NULL OR n.seen_at < now() - $1::float8 * interval '1 second')
"""


class NodeStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, name: str, run: UUID) -> bool:
        """This process is the node `name` from now on; whether another one was it a moment ago."""
        async with self._database.connection() as connection:
            before = await connection.fetchval(_BEFORE, name, run, RECENT_SECONDS)
            await connection.execute(_BEAT, name, run)
        return bool(before)

    async def beat(self, name: str, run: UUID) -> None:
        """It is still there."""
        async with self._database.connection() as connection:
            await connection.execute(_BEAT, name, run)

    async def absent(self, seconds: float) -> list[str]:
        """Nodes that have open calls and were not seen for so long, s."""
        async with self._database.connection() as connection:
            return [row["node"] for row in await connection.fetch(_ABSENT, seconds)]
