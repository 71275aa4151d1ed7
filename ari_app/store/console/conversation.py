"""What there was with one customer: calls, messages left, invitations. And with whom an agent has spoken lately."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from ari_app.calls.permission import Permission, Status
from ari_app.store.database import Database

#: So many calls and invitations of a conversation are shown, and so many conversations.
LONGEST = 200
RECENT = 40

#: $2: whose calls an agent sees; $3: which groups a supervisor does; both null: everybody's.
_MAY_SEE = """
($2::uuid IS NULL AND $3::text[] IS NULL
 OR c.agent_id = $2
 OR EXISTS (SELECT FROM pbx.offers o WHERE o.call_id = c.id AND (o.agent_id = $2 OR o.group_name = ANY ($3)))
 OR EXISTS (SELECT FROM unnest(c.path) s JOIN unnest($3) g ON s = 'group:' || g)
 OR EXISTS (SELECT FROM pbx.group_members m WHERE m.agent_id = c.agent_id AND m.group_name = ANY ($3)))
"""

_CALLS = f"""
SELECT c.id, c.direction, c.channel_type, c.number, c.caller_number, c.caller_name, c.state, c.status, c.ended_by,
       c.reason, c.received_at, c.connected_at, c.ended_at, a.name AS agent, n.note, n.code, n.written_by,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('agent', p.name, 'outcome', o.outcome)
                                  ORDER BY o.started_at), '[]')
          FROM pbx.offers o JOIN pbx.agents p ON p.id = o.agent_id
         WHERE o.call_id = c.id AND o.outcome IN ('missed', 'rejected'))::text AS offers,
       (SELECT v.seconds::float8 FROM pbx.voicemails v WHERE v.call_id = c.id
         ORDER BY v.created_at LIMIT 1) AS voicemail,
       (SELECT r.linkedid FROM reports.records r
         WHERE r.linkedid = c.linkedid
           AND ($2::uuid IS NULL AND $3::text[] IS NULL OR r.agent_id = $2 OR r.groups && $3)) AS record
  FROM pbx.calls c
  LEFT JOIN pbx.agents a ON a.id = c.agent_id
  LEFT JOIN pbx.call_notes n ON n.call_id = c.id
 WHERE ltrim(c.caller_number, '+') = $1 AND {_MAY_SEE}
 ORDER BY c.received_at DESC LIMIT {LONGEST}
"""  # noqa: S608 - ours above

_INVITATIONS = f"""
SELECT r.id, r.state, r.wanted_at, r.sent_at, r.answered_at, r.permanent, r.granted_until, r.error_code, r.error_text,
       r.requested_by, n.display_number AS number, a.name AS agent
  FROM whatsapp.permission_requests r
  JOIN whatsapp.numbers n USING (phone_number_id)
  LEFT JOIN pbx.agents a ON a.id = r.agent_id
 WHERE r.user_key = $1
   AND ($2::uuid IS NULL AND $3::text[] IS NULL OR r.agent_id = $2
        OR EXISTS (SELECT FROM pbx.group_members m WHERE m.agent_id = r.agent_id AND m.group_name = ANY ($3)))
 ORDER BY r.wanted_at DESC LIMIT {LONGEST}
"""  # noqa: S608

_RECENT = f"""
SELECT key, max(name) AS name, max(at) AS at, (array_agg(status ORDER BY at DESC))[1] AS status
  FROM (
      (SELECT ltrim(c.caller_number, '+') AS key, nullif(c.caller_name, '') AS name, c.received_at AS at,
              coalesce(c.status, 'In a Call') AS status
         FROM pbx.calls c WHERE c.agent_id = $1 ORDER BY c.ended_at DESC NULLS FIRST LIMIT {RECENT * 4})
      UNION ALL
      (SELECT ltrim(c.caller_number, '+'), nullif(c.caller_name, ''), o.started_at,
              CASE o.outcome WHEN 'missed' THEN 'Missed' WHEN 'rejected' THEN 'Rejected'
                             ELSE coalesce(c.status, 'ringing') END
         FROM pbx.offers o JOIN pbx.calls c ON c.id = o.call_id
        WHERE o.agent_id = $1 AND o.outcome IS DISTINCT FROM 'answered' ORDER BY o.started_at DESC LIMIT {RECENT * 4})
      UNION ALL
      (SELECT r.user_key, NULL, r.wanted_at,
              CASE WHEN r.state IN ('wanted', 'sent') THEN 'Invited' ELSE initcap(r.state) END
         FROM whatsapp.permission_requests r WHERE r.agent_id = $1 ORDER BY r.wanted_at DESC LIMIT {RECENT})
  ) each
 WHERE key <> ''
 GROUP BY key ORDER BY max(at) DESC LIMIT {RECENT}
"""  # noqa: S608

_PERMISSIONS = """
SELECT n.display_number, p.status, p.expires_at, p.can_call, p.can_request, p.call_limit_until, p.request_limit_until,
       p.checked_at
  FROM whatsapp.permissions p JOIN whatsapp.numbers n USING (phone_number_id)
 WHERE p.user_key = $1 ORDER BY n.display_number
"""


@dataclass(frozen=True)
class Reader:
    """Whose calls may be seen: those of an agent, and those of groups; both None: all."""

    agent: UUID | None
    groups: Sequence[str] | None

    @property
    def arguments(self) -> tuple[UUID | None, list[str] | None]:
        return self.agent, None if self.groups is None else list(self.groups)


@dataclass(frozen=True)
class PastCall:
    """A call with the customer; one that goes on has no status."""

    id: UUID
    direction: str
    channel_type: str
    number: str
    caller_number: str
    caller_name: str
    state: str
    status: str | None
    ended_by: str | None
    reason: str | None
    received_at: datetime
    connected_at: datetime | None
    ended_at: datetime | None
    agent: str | None
    note: str | None
    code: str | None
    written_by: str | None
    offers: tuple[tuple[str, str], ...]
    "Agents who missed or rejected it: name, outcome."
    voicemail: float | None
    "Length of the message that was left, s."
    record: str | None
    "Its key in the call records, if it is there and the reader may see it."

    @property
    def at(self) -> datetime:
        return self.received_at

    @property
    def talk_seconds(self) -> float:
        if self.connected_at is None or self.ended_at is None:
            return 0.0
        return (self.ended_at - self.connected_at).total_seconds()


@dataclass(frozen=True)
class Invitation:
    id: UUID
    state: str
    wanted_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    permanent: bool
    granted_until: datetime | None
    error_code: int | None
    error_text: str | None
    requested_by: str
    number: str
    agent: str | None

    @property
    def at(self) -> datetime:
        return self.wanted_at

    @property
    def status(self) -> str:
        """As people read it."""
        return "Invited" if self.state in ("wanted", "sent") else self.state.capitalize()


@dataclass(frozen=True)
class Contact:
    user_key: str
    name: str | None
    at: datetime
    status: str


class ConversationStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def steps(self, user_key: str, reader: Reader) -> "list[PastCall | Invitation]":
        """What the reader may see of it, newest first."""
        async with self._database.connection() as connection:
            calls = [_call(row) for row in await connection.fetch(_CALLS, user_key, *reader.arguments)]
            rows = await connection.fetch(_INVITATIONS, user_key, *reader.arguments)
        found: list[PastCall | Invitation] = [*calls, *(Invitation(**dict(row)) for row in rows)]
        return sorted(found, key=lambda step: step.at, reverse=True)

    async def may_see(self, call: UUID, reader: Reader) -> bool:
        """Whether there is such a call, and the reader may see it."""
        statement = f"SELECT 1 FROM pbx.calls c WHERE c.id = $1 AND {_MAY_SEE}"  # noqa: S608
        async with self._database.connection() as connection:
            return await connection.fetchval(statement, call, *reader.arguments) is not None

    async def recent(self, agent: UUID) -> list[Contact]:
        """With whom the agent had calls, or wanted some; the newest first."""
        async with self._database.connection() as connection:
            return [Contact(*row) for row in await connection.fetch(_RECENT, agent)]

    async def permissions(self, user_key: str) -> dict[str, Permission]:
        """What the user allows, by business number."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_PERMISSIONS, user_key)
        return {row["display_number"]: _permission(row) for row in rows}


def _call(row: asyncpg.Record) -> PastCall:
    columns: dict[str, Any] = dict(row)
    offers = tuple((one["agent"], one["outcome"]) for one in json.loads(columns.pop("offers")))
    return PastCall(**columns, offers=offers)


def _permission(row: asyncpg.Record) -> Permission:
    columns: dict[str, Any] = {name: value for name, value in row.items() if name != "display_number"}
    return Permission(**columns | {"status": Status(row["status"])})
