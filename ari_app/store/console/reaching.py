"""Call requests and invitations as programs ask for them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ari_app.store.database import Database

#: $1: whose an agent sees; $2: of which groups' agents a supervisor does; both null: everybody's.
_MAY_SEE = """
($1::uuid IS NULL AND $2::text[] IS NULL OR r.agent_id = $1
 OR EXISTS (SELECT FROM pbx.group_members m WHERE m.agent_id = r.agent_id AND m.group_name = ANY ($2)))
"""

_REQUEST = f"""
SELECT r.id, a.name AS agent, a.endpoint, r.number AS business_number, r.user_key, r.origin, r.requested_by, r.state,
       r.call_id, r.refusal, r.reason, c.status AS call_status, r.wanted_at, r.ended_at
  FROM pbx.call_requests r JOIN pbx.agents a ON a.id = r.agent_id LEFT JOIN pbx.calls c ON c.id = r.call_id
 WHERE r.id = $3 AND {_MAY_SEE}
"""  # noqa: S608 - ours above

_INVITATIONS = f"""
SELECT r.id, n.display_number AS business_number, r.user_key, r.state, a.name AS agent, r.requested_by, r.wanted_at,
       r.sent_at, r.answered_at, r.permanent, r.granted_until, r.error_code, r.error_text
  FROM whatsapp.permission_requests r
  JOIN whatsapp.numbers n USING (phone_number_id)
  LEFT JOIN pbx.agents a ON a.id = r.agent_id
 WHERE {_MAY_SEE}
   AND ($3::uuid IS NULL OR r.id = $3)
   AND ($4::text IS NULL OR r.user_key = $4)
   AND ($5::timestamptz IS NULL OR (r.wanted_at, r.id) < ($5, $6::uuid))
 ORDER BY r.wanted_at DESC, r.id DESC LIMIT $7
"""  # noqa: S608


@dataclass(frozen=True)
class Reader:
    """Whose may be seen: an agent's, and those of groups' agents; both None: all."""

    agent: UUID | None
    groups: list[str] | None


@dataclass(frozen=True)
class Requested:
    id: UUID
    agent: str
    endpoint: str
    business_number: str | None
    user_key: str
    origin: str
    requested_by: str
    state: str
    call_id: UUID | None
    refusal: str | None
    reason: str | None
    call_status: str | None
    wanted_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Invited:
    id: UUID
    business_number: str
    user_key: str
    state: str
    agent: str | None
    requested_by: str
    wanted_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    permanent: bool
    granted_until: datetime | None
    error_code: int | None
    error_text: str | None


class ReachingStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, request: UUID, reader: Reader) -> Requested | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_REQUEST, reader.agent, reader.groups, request)
        return Requested(**dict(row)) if row else None

    async def invitations(
        self,
        reader: Reader,
        *,
        one: UUID | None = None,
        user_key: str | None = None,
        behind: tuple[datetime, UUID] | None = None,
        limit: int = 50,
    ) -> list[Invited]:
        """The newest first, behind the last one of the page before."""
        at, last = behind if behind is not None else (None, None)
        values: tuple[Any, ...] = (reader.agent, reader.groups, one, user_key, at, last, limit)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_INVITATIONS, *values)
        return [Invited(**dict(row)) for row in rows]
