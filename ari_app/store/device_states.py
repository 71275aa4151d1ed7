"""How agents' phones stand, for people who look (sql/0018)."""

from collections.abc import Mapping

from ari_app.store.database import Database

_WRITE = """
INSERT INTO pbx.device_states (endpoint, state) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (endpoint) DO UPDATE SET state = excluded.state, since = now()
 WHERE device_states.state <> excluded.state
"""


class DeviceStateStore:
    """Raises StoreError when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, states: Mapping[str, str]) -> None:
        """Those that are as they were stay untouched."""
        async with self._database.connection() as connection:
            await connection.execute(_WRITE, list(states), list(states.values()))
