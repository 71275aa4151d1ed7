"""Calls that somebody wants an agent to make (sql/0015)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from ari_app.store.database import Database

_ADD = """
INSERT INTO pbx.call_requests (agent_id, number, user_key, origin, requested_by, not_after)
VALUES ($1, $2, $3, $4, $5, now() + $6 * interval '1 second') RETURNING id
"""

_WAITING = """
SELECT id, agent_id, number, user_key, origin, requested_by, not_after FROM pbx.call_requests
 WHERE state = 'wanted' AND not_after > now() ORDER BY wanted_at
"""

_TAKE = """
UPDATE pbx.call_requests SET state = 'taken', taken_at = now()
 WHERE id = (SELECT id FROM pbx.call_requests WHERE id = $1 AND state = 'wanted' FOR UPDATE SKIP LOCKED)
RETURNING id
"""

_CLOSE = """
UPDATE pbx.call_requests
   SET state = $2, refusal = $3, reason = $4, ended_at = now()
 WHERE id = $1 AND state IN ('wanted', 'taken')
"""

#: A call that could not be recorded is none for the request either.
_CALLED = """
UPDATE pbx.call_requests SET call_id = c.id FROM pbx.calls c WHERE c.id = $1 AND call_requests.id = $2
"""

_PUT_BACK = """
UPDATE pbx.call_requests SET state = 'wanted', taken_at = NULL, reason = $2 WHERE id = $1 AND state = 'taken'
"""

_EXPIRE = """
UPDATE pbx.call_requests
   SET state = 'expired', ended_at = now(), reason = coalesce(reason, 'the agent could not be rung in time')
 WHERE state = 'wanted' AND not_after <= now()
"""

#: Left by an application that is no more: nobody rings, and the call, if there was one, is over.
_ABANDONED = """
UPDATE pbx.call_requests r SET state = 'failed', ended_at = now(), reason = 'the application was restarted'
 WHERE r.state = 'taken' AND r.taken_at < now() - $1 * interval '1 second'
   AND NOT EXISTS (SELECT FROM pbx.calls c WHERE c.id = r.call_id AND c.state <> 'ended')
"""

_OUTCOME = """
SELECT r.state, r.call_id, r.refusal, r.reason, c.status
  FROM pbx.call_requests r LEFT JOIN pbx.calls c ON c.id = r.call_id WHERE r.id = $1
"""


@dataclass(frozen=True)
class CallRequest:
    id: UUID
    agent_id: UUID
    number: str | None
    user_key: str
    origin: str
    requested_by: str
    not_after: datetime

    @property
    def may_wait(self) -> bool:
        """A user who accepted an invitation is called as soon as can be; who asks now wants an answer now."""
        return self.origin == "permission"


@dataclass(frozen=True)
class Outcome:
    state: str
    call_id: UUID | None
    refusal: str | None
    reason: str | None
    status: str | None
    "Of the call, once it has ended."

    @property
    def is_over(self) -> bool:
        return self.state not in ("wanted", "taken")


class CallRequestStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, agent: UUID, user_key: str, *, number: str | None, origin: str, requested_by: str, seconds: float
    ) -> UUID:
        """Want a call, to be begun within so many seconds."""
        async with self._database.connection() as connection:
            request: UUID = await connection.fetchval(_ADD, agent, number, user_key, origin, requested_by, seconds)
        return request

    async def waiting(self) -> list[CallRequest]:
        """Those that nobody has taken, the oldest first."""
        async with self._database.connection() as connection:
            return [CallRequest(**dict(row)) for row in await connection.fetch(_WAITING)]

    async def take(self, request: UUID) -> bool:
        """Whether it is ours now; somebody else may have had it first."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_TAKE, request) is not None

    async def called(self, request: UUID, call: UUID) -> None:
        """The agent has answered, and this call begins."""
        async with self._database.connection() as connection:
            await connection.execute(_CALLED, call, request)

    async def put_back(self, request: UUID, reason: str) -> None:
        """It is to be tried again."""
        async with self._database.connection() as connection:
            await connection.execute(_PUT_BACK, request, reason)

    async def close(self, request: UUID, state: str, *, refusal: str | None = None, reason: str | None = None) -> None:
        """`done` (the user was called), `failed`, or `expired`; the second time nothing happens."""
        async with self._database.connection() as connection:
            await connection.execute(_CLOSE, request, state, refusal, reason)

    async def tidy(self, patience: float) -> None:
        """End what came too late, and what an application left that is no more; it has `patience` s to ring."""
        async with self._database.connection() as connection:
            await connection.execute(_EXPIRE)
            await connection.execute(_ABANDONED, patience)

    async def outcome(self, request: UUID) -> Outcome:
        async with self._database.connection() as connection:
            row: asyncpg.Record | None = await connection.fetchrow(
                _OUTCOME,
                request,
            )
        assert row is not None
        return Outcome(**dict(row))
