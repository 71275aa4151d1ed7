"""What the queue remembers of groups over a restart."""

from collections.abc import Sequence
from uuid import UUID

from ari_app.queueing import Memory
from ari_app.store.database import Database

_LOAD = """
SELECT m.group_name, m.mean_wait_seconds, m.last_agent, a.name
  FROM pbx.group_memory m LEFT JOIN pbx.agents a ON a.id = m.last_agent
"""

#: A group or an agent that was removed meanwhile is forgotten.
_SAVE = """
INSERT INTO pbx.group_memory (group_name, mean_wait_seconds, last_agent)
SELECT m.g, m.mean, a.id
  FROM unnest($1::text[], $2::float8[], $3::uuid[]) AS m (g, mean, agent)
  JOIN pbx.groups g ON g.name = m.g
  LEFT JOIN pbx.agents a ON a.id = m.agent
ON CONFLICT (group_name) DO UPDATE
   SET mean_wait_seconds = excluded.mean_wait_seconds,
       last_agent = coalesce(excluded.last_agent, pbx.group_memory.last_agent)
"""


class GroupMemoryStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> dict[str, Memory]:
        """By group."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_LOAD)
        return {
            row["group_name"]: Memory(row["mean_wait_seconds"], _last(row["name"], row["last_agent"])) for row in rows
        }

    async def save(self, memories: Sequence[tuple[str, Memory]]) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                _SAVE,
                [group for group, _ in memories],
                [memory.mean_wait for _, memory in memories],
                [memory.last[1] if memory.last else None for _, memory in memories],
            )


def _last(name: str | None, agent: UUID | None) -> tuple[str, UUID] | None:
    return (name, agent) if name is not None and agent is not None else None
