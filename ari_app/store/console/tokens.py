"""Tokens of the API in PostgreSQL, and answers that are kept so that a request is not done twice (sql/0019)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from ari_app.store.console.audit import Actor, Entry, write
from ari_app.store.console.users import Role
from ari_app.store.database import Database

_READ = """
SELECT t.id, t.name, t.user_id, u.login, t.role, t.agent_id, a.name AS agent_name, t.groups, t.created_at, t.expires_at,
       t.last_used_at, t.revoked_at,
       t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now()) AND u.enabled
       AND (u.role = 'administrator' OR u.role = t.role) AS valid
  FROM console.tokens t JOIN console.users u ON u.id = t.user_id LEFT JOIN pbx.agents a ON a.id = t.agent_id
"""

_ADD = """
INSERT INTO console.tokens (token_hash, name, user_id, role, agent_id, groups, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + $7::interval) RETURNING id
"""

#: At most once in a minute, not with every request.
_USED = """
UPDATE console.tokens SET last_used_at = now()
 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""

_REVOKE = """
UPDATE console.tokens SET revoked_at = now()
 WHERE id = $1 AND revoked_at IS NULL AND ($2::uuid IS NULL OR user_id = $2) RETURNING name, role
"""

_BEGIN = """
INSERT INTO console.api_answers (token_id, key, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1
"""

_KNOWN = "SELECT fingerprint, status, body FROM console.api_answers WHERE token_id = $1 AND key = $2"

_FINISH = "UPDATE console.api_answers SET status = $3, body = $4 WHERE token_id = $1 AND key = $2"

_FORGET = "DELETE FROM console.api_answers WHERE token_id = $1 AND key = $2 AND status IS NULL"

#: Answers are kept so long, and tokens that have ended.
KEPT = timedelta(days=1)
ENDED_KEPT = timedelta(days=90)


@dataclass(frozen=True)
class Token:
    id: UUID
    name: str
    user_id: UUID
    login: str
    role: Role
    agent_id: UUID | None
    agent_name: str | None
    groups: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    valid: bool
    "Neither revoked nor run out, and its user may still have it."


@dataclass(frozen=True)
class NewToken:
    name: str
    role: Role
    agent_id: UUID | None = None
    groups: tuple[str, ...] = ()
    lasts: timedelta | None = None


@dataclass(frozen=True)
class KeptAnswer:
    fingerprint: bytes
    status: int | None
    body: str | None


class TokenStore:
    """All methods raise StoreError; those that change tokens write the audit with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, user: UUID | None) -> list[Token]:
        """Of one user, or everybody's; the newest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _READ + " WHERE $1::uuid IS NULL OR t.user_id = $1 ORDER BY t.created_at DESC, t.id LIMIT 500", user
            )
        return [_token(row) for row in rows]

    async def find(self, token_hash: bytes) -> Token | None:
        """Also one that is valid no longer. It counts as used."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_READ + " WHERE t.token_hash = $1", token_hash)
            if row is not None:
                await connection.execute(_USED, row["id"])
        return _token(row) if row else None

    async def add(self, token_hash: bytes, user: UUID, new: NewToken, actor: Actor) -> UUID:
        async with self._database.connection() as connection, connection.transaction():
            made: UUID = await connection.fetchval(
                _ADD, token_hash, new.name, user, new.role, new.agent_id, list(new.groups), new.lasts
            )
            days = None if new.lasts is None else new.lasts.days
            after = {"role": new.role.value, "groups": list(new.groups), "days": days}
            await write(connection, actor, [Entry("added", "token", new.name, None, after)])
        return made

    async def revoke(self, token: UUID, user: UUID | None, actor: Actor) -> bool:
        """`user`: only one of theirs. Whether there was one that was not revoked."""
        async with self._database.connection() as connection, connection.transaction():
            row = await connection.fetchrow(_REVOKE, token, user)
            if row is not None:
                await write(connection, actor, [Entry("revoked", "token", row["name"], {"role": row["role"]}, None)])
        return row is not None

    async def begin(self, token: UUID, key: str, fingerprint: bytes) -> KeptAnswer | None:
        """None: nobody has asked this yet, and from now on somebody does. Else what is known of it."""
        async with self._database.connection() as connection:
            while True:
                if await connection.fetchval(_BEGIN, token, key, fingerprint):
                    return None
                if row := await connection.fetchrow(_KNOWN, token, key):
                    return KeptAnswer(**dict(row))

    async def finish(self, token: UUID, key: str, status: int, body: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_FINISH, token, key, status, body)

    async def forget(self, token: UUID, key: str) -> None:
        """Nothing was done: it may be asked again."""
        async with self._database.connection() as connection:
            await connection.execute(_FORGET, token, key)

    async def sweep(self) -> None:
        async with self._database.connection() as connection:
            await connection.execute("DELETE FROM console.api_answers WHERE created_at < now() - $1::interval", KEPT)
            await connection.execute(
                "DELETE FROM console.tokens WHERE coalesce(revoked_at, expires_at) < now() - $1::interval", ENDED_KEPT
            )


def _token(row: asyncpg.Record) -> Token:
    columns: dict[str, Any] = dict(row)
    return Token(**columns | {"role": Role(columns["role"]), "groups": tuple(columns["groups"])})
