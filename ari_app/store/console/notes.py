"""Notes of agents on their calls, and the wrap-up codes that their groups choose from."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from ari_app.store.console.audit import Actor, Entry, write
from ari_app.store.database import Database

LONGEST_NOTE = 4000
LONGEST_CODE = 64
MOST_CODES = 100

#: Codes of the group that had the call; of a call that no group had, those of its agent's groups.
_CODES = """
SELECT DISTINCT ON (w.code) w.code FROM pbx.calls c
  JOIN pbx.wrap_up_codes w ON w.group_name = ANY (
      CASE WHEN EXISTS (SELECT FROM pbx.offers o WHERE o.call_id = c.id AND o.group_name IS NOT NULL)
           THEN ARRAY(SELECT o.group_name FROM pbx.offers o WHERE o.call_id = c.id AND o.group_name IS NOT NULL)
           ELSE ARRAY(SELECT m.group_name FROM pbx.group_members m WHERE m.agent_id = c.agent_id) END)
 WHERE c.id = $1 ORDER BY w.code, w.position
"""

_WRITE = """
INSERT INTO pbx.call_notes (call_id, note, code, written_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (call_id) DO UPDATE
   SET note = excluded.note, code = excluded.code, written_by = excluded.written_by, written_at = now()
"""

_TOLD = """
SELECT pg_notify('pbx_facts', 'customer:' || ltrim(caller_number, '+')),
       CASE WHEN agent_id IS NOT NULL THEN pg_notify('pbx_facts', 'desk:' || agent_id) END
  FROM pbx.calls WHERE id = $1
"""


class NoteRefused(Exception):
    """Nothing was written; the message says why."""


class NoteStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def codes_for(self, call: UUID) -> list[str]:
        """What the call may have been about."""
        async with self._database.connection() as connection:
            return [row["code"] for row in await connection.fetch(_CODES, call)]

    async def write(self, call: UUID, note: str, code: str | None, author: str) -> None:
        """In place of what was there. Raises NoteRefused."""
        if len(note) > LONGEST_NOTE:
            raise NoteRefused(f"a note has at most {LONGEST_NOTE} characters")
        if code is not None and code not in await self.codes_for(call):
            raise NoteRefused("this code is no longer on the list: choose another one")
        async with self._database.connection() as connection, connection.transaction():
            try:
                await connection.execute(_WRITE, call, note, code, author)
            except asyncpg.ForeignKeyViolationError as error:
                raise NoteRefused("this call is gone") from error
            await connection.execute(_TOLD, call)

    async def lists(self, groups: Sequence[str] | None) -> dict[str, list[str]]:
        """The codes of these groups, or of all (None), by group, in their order."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT g.name, array_agg(w.code ORDER BY w.position) FILTER (WHERE w.code IS NOT NULL) AS codes "
                "FROM pbx.groups g LEFT JOIN pbx.wrap_up_codes w ON w.group_name = g.name "
                "WHERE $1::text[] IS NULL OR g.name = ANY ($1) GROUP BY g.name ORDER BY g.name",
                None if groups is None else list(groups),
            )
        return {row["name"]: row["codes"] or [] for row in rows}

    async def set_list(self, group: str, codes: Sequence[str], actor: Actor) -> None:
        """Audited. Raises NoteRefused."""
        if len(codes) > MOST_CODES or len(set(codes)) != len(codes):
            raise NoteRefused(f"a list has at most {MOST_CODES} codes, each once")
        if any(not 1 <= len(code) <= LONGEST_CODE or not code.isprintable() for code in codes):
            raise NoteRefused(f"a code has 1 to {LONGEST_CODE} characters")
        async with self._database.connection() as connection, connection.transaction():
            rows = await connection.fetch(
                "DELETE FROM pbx.wrap_up_codes WHERE group_name = $1 RETURNING position, code", group
            )
            before = [row["code"] for row in sorted(rows, key=lambda row: row["position"])]
            try:
                await connection.executemany(
                    "INSERT INTO pbx.wrap_up_codes (group_name, position, code) VALUES ($1, $2, $3)",
                    [(group, place, code) for place, code in enumerate(codes, 1)],
                )
            except asyncpg.ForeignKeyViolationError as error:
                raise NoteRefused(f"there is no group {group}") from error
            entry = Entry.of_change("group", group, {"wrap_up_codes": before}, {"wrap_up_codes": list(codes)})
            await write(connection, actor, entry)
