"""The audit in PostgreSQL: who changed what, before and after."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from ari_app.store.database import Database

_WRITE = """
INSERT INTO console.audit (user_id, actor, address, action, kind, subject, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

_PAGE = """
SELECT id, at, actor, address, action, kind, subject, before, after
  FROM console.audit
 WHERE ($1::text IS NULL OR actor = $1) AND ($2::text IS NULL OR kind = $2)
   AND ($3::text IS NULL OR strpos(lower(subject), lower($3)) > 0)
   AND ($4::timestamptz IS NULL OR at >= $4) AND ($5::timestamptz IS NULL OR at < $5)
   AND ($6::bigint IS NULL OR id < $6)
 ORDER BY id DESC LIMIT $7
"""

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Actor:
    """Who does it."""

    name: str
    "Login of a user, or a command."
    user_id: UUID | None = None
    address: str | None = None


@dataclass(frozen=True)
class Entry:
    action: str
    kind: str
    subject: str
    before: Settings | None
    after: Settings | None

    @classmethod
    def of_change(cls, kind: str, subject: str, before: Settings, after: Settings) -> "list[Entry]":
        """One entry with what differs; none where nothing does."""
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        if not names:
            return []
        old, new = ({name: side.get(name) for name in names} for side in (before, after))
        return [cls("changed", kind, subject, old, new)]


@dataclass(frozen=True)
class Audited:
    """A row, as people read it."""

    id: int
    at: datetime
    actor: str
    address: str | None
    action: str
    kind: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def settings(self) -> list[tuple[str, Any, Any]]:
        """Name, before, after."""
        return [(name, self.before.get(name), self.after.get(name)) for name in {**self.before, **self.after}]


async def write(connection: Connection, actor: Actor, entries: Iterable[Entry]) -> None:
    """In the transaction of what is audited, so that there is no change without its row."""
    who = (actor.user_id, actor.name[:128], actor.address)
    rows = [(*who, e.action, e.kind, e.subject[:300], _json(e.before), _json(e.after)) for e in entries]
    await connection.executemany(_WRITE, rows)


def _json(settings: Settings | None) -> str | None:
    return None if settings is None else json.dumps(settings, default=str)


class AuditStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, actor: Actor, *entries: Entry) -> None:
        """For what has no transaction of its own (sign-in, files)."""
        async with self._database.connection() as connection:
            await write(connection, actor, entries)

    async def page(
        self,
        *,
        actor: str | None = None,
        kind: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[Audited]:
        """Newest first; `before_id` is the last one of the page before."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_PAGE, actor, kind, subject, since, until, before_id, limit)
        return [
            Audited(**dict(row) | {side: json.loads(row[side] or "{}") for side in ("before", "after")}) for row in rows
        ]

    async def actors_and_kinds(self) -> tuple[list[str], list[str]]:
        """What there is to filter by."""
        async with self._database.connection() as connection:
            actors = await connection.fetch("SELECT DISTINCT actor FROM console.audit ORDER BY 1 LIMIT 500")
            kinds = await connection.fetch("SELECT DISTINCT kind FROM console.audit ORDER BY 1 LIMIT 100")
        return [row["actor"] for row in actors], [row["kind"] for row in kinds]
