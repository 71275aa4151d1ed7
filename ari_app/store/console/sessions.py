"""Sessions of the console in PostgreSQL, and the attempts that limit guessing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from ari_app.store.database import Database

_OPEN = """
WITH signed AS (UPDATE console.users SET signed_in_at = now() WHERE id = $2 AND enabled RETURNING id)
INSERT INTO console.sessions (token_hash, user_id, address, browser) SELECT $1, id, $3, $4 FROM signed RETURNING 1
"""

#: `seen_at` is written at most once in so long, s: not with every page.
SEEN_STEP = 60

_FIND = """
SELECT s.user_id, s.created_at, s.seen_at, now() AS now
  FROM console.sessions s JOIN console.users u ON u.id = s.user_id
 WHERE s.token_hash = $1 AND u.enabled AND s.seen_at > now() - $2::interval AND s.created_at > now() - $3::interval
"""

_SWEEP = "DELETE FROM console.sessions WHERE seen_at <= now() - $1::interval OR created_at <= now() - $2::interval"

_ATTEMPT = "INSERT INTO console.sign_in_attempts (login, address) VALUES ($1, $2) RETURNING id"

#: The attempt that is made now is among them.
_COUNT = """
SELECT count(*) FILTER (WHERE login = $1) AS of_login, count(*) FILTER (WHERE address = $2) AS of_address
  FROM console.sign_in_attempts
 WHERE (login = $1 OR address = $2) AND at > now() - $3::interval
"""


@dataclass(frozen=True)
class Session:
    user_id: UUID
    created_at: datetime
    token_hash: bytes


@dataclass(frozen=True)
class Attempt:
    id: int
    of_login: int
    "Attempts for this account within the window, this one among them."
    of_address: int


class SessionStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database, idle: timedelta, longest: timedelta) -> None:
        """A session ends after `idle` without a request, and in any case after `longest`."""
        self._database = database
        self._idle = idle
        self._longest = longest

    async def open(self, token_hash: bytes, user_id: UUID, address: str, browser: str) -> bool:
        """False when the user was disabled meanwhile."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_OPEN, token_hash, user_id, address, browser[:256]) is not None

    async def find(self, token_hash: bytes) -> Session | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND, token_hash, self._idle, self._longest)
            if row is None:
                return None
            if (row["now"] - row["seen_at"]).total_seconds() > SEEN_STEP:
                await connection.execute(
                    "UPDATE console.sessions SET seen_at = now() WHERE token_hash = $1", token_hash
                )
        return Session(row["user_id"], row["created_at"], token_hash)

    async def is_open(self, token_hash: bytes) -> bool:
        """Without counting as a request: a page that only listens keeps no session open."""
        async with self._database.connection() as connection:
            return await connection.fetchrow(_FIND, token_hash, self._idle, self._longest) is not None

    async def close(self, token_hash: bytes) -> None:
        async with self._database.connection() as connection:
            await connection.execute("DELETE FROM console.sessions WHERE token_hash = $1", token_hash)

    async def sweep(self, window: timedelta) -> None:
        """Forget sessions that have ended, and attempts older than `window`."""
        async with self._database.connection() as connection:
            await connection.execute(_SWEEP, self._idle, self._longest)
            await connection.execute("DELETE FROM console.sign_in_attempts WHERE at <= now() - $1::interval", window)

    async def attempt(self, login: str, address: str, window: timedelta) -> Attempt:
        """Count an attempt before it is judged, so that a hundred at once are a hundred."""
        async with self._database.connection() as connection:
            number: int = await connection.fetchval(_ATTEMPT, login[:64], address)
            row = await connection.fetchrow(_COUNT, login[:64], address, window)
        assert row is not None
        return Attempt(number, row["of_login"], row["of_address"])

    async def forgive(self, login: str, address: str) -> None:
        """The password was right: attempts from here for this account count no longer."""
        async with self._database.connection() as connection:
            await connection.execute(
                "DELETE FROM console.sign_in_attempts WHERE login = $1 AND address = $2", login[:64], address
            )
