"""The queue in PostgreSQL: who waits, and word of changes that others made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from ari_app.store.database import Database
from ari_app.store.listening import listen

#: Where the triggers of sql/0008_queue.sql tell of changes.
CHANNEL = "pbx_queue"

_JOIN = """
INSERT INTO pbx.waiting (call_id, group_name, priority, joined_at)
SELECT w.* FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::timestamptz[]) AS w (call_id, g, p, at)
  JOIN pbx.calls c ON c.id = w.call_id
ON CONFLICT (call_id) DO UPDATE
   SET group_name = excluded.group_name, priority = excluded.priority, joined_at = excluded.joined_at
"""

_CLEAR = "DELETE FROM pbx.waiting w USING pbx.calls c WHERE c.id = w.call_id AND c.state = 'ended'"


@dataclass(frozen=True)
class Waiting:
    call: UUID
    group: str
    priority: int
    joined_at: float
    "s since 1970, UTC."


class QueueStore:
    """All methods but `listen` raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def join(self, waiting: Sequence[Waiting]) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                _JOIN,
                [w.call for w in waiting],
                [w.group for w in waiting],
                [w.priority for w in waiting],
                [datetime.fromtimestamp(w.joined_at, UTC) for w in waiting],
            )

    async def leave(self, calls: Sequence[UUID]) -> None:
        async with self._database.connection() as connection:
            await connection.execute("DELETE FROM pbx.waiting WHERE call_id = ANY ($1)", calls)

    async def clear_ended(self) -> None:
        """Remove callers whose calls are over: a predecessor's."""
        async with self._database.connection() as connection:
            await connection.execute(_CLEAR)

    async def listen(self, told: Callable[[str, str], None], begun: Callable[[], None]) -> None:
        """Call `told("agent" | "group", key)` for every change, for ever; `begun` whenever listening begins
        (again), because changes before it are not told.
        """

        def on_word(_: str, payload: str) -> None:
            kind, __, key = payload.partition(":")
            told(kind, key)

        await listen(self._database.dsn, (CHANNEL,), on_word, begun)
