"""Agents, how they stand, and their reservation, in PostgreSQL.

An agent is reserved by the row in `pbx.agent_states`: whoever sets `call_id` has the agent, of however many
processes.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ari_app.calls.offer import Agent, Outcome
from ari_app.store.database import Database

_LOAD = """
SELECT a.id, a.name, a.endpoint, a.extension, a.voip_only, a.enabled,
       s.logged_in, s.pause_reason, s.call_id,
       extract(epoch FROM s.available_after)::float8 AS available_after,
       extract(epoch FROM s.idle_since)::float8 AS idle_since,
       (SELECT jsonb_object_agg(m.group_name, m.priority) FROM pbx.group_members m WHERE m.agent_id = a.id)::text
           AS groups,
       (SELECT count(*) FROM pbx.offers o
         WHERE o.agent_id = a.id AND o.outcome = 'answered' AND o.started_at >= date_trunc('day', now())) AS answered
  FROM pbx.agents a JOIN pbx.agent_states s ON s.agent_id = a.id
 WHERE $1::uuid[] IS NULL OR a.id = ANY ($1)
"""

#: Rows that another process is just changing are passed over: that agent is being reserved there.
_RESERVE = """
WITH wanted AS (
    SELECT s.agent_id, w.call_id
      FROM unnest($1::uuid[], $2::uuid[]) AS w (agent_id, call_id)
      JOIN pbx.agent_states s USING (agent_id)
     WHERE s.call_id IS NULL AND s.logged_in AND s.pause_reason IS NULL
       AND (s.available_after IS NULL OR s.available_after <= now())
     ORDER BY s.agent_id
       FOR UPDATE OF s SKIP LOCKED)
UPDATE pbx.agent_states s SET call_id = w.call_id, reserved_at = now()
  FROM wanted w WHERE s.agent_id = w.agent_id
RETURNING s.agent_id
"""

#: Who calls out is not asked for the state: but who has a call already keeps that one.
_OCCUPY = """
UPDATE pbx.agent_states SET call_id = $2, reserved_at = now() WHERE agent_id = $1 AND call_id IS NULL RETURNING agent_id
"""

_RELEASE = """
UPDATE pbx.agent_states s
   SET call_id = NULL, reserved_at = NULL,
       misses = CASE w.outcome WHEN 'missed' THEN s.misses + 1
                               WHEN 'answered' THEN 0 WHEN 'rejected' THEN 0 ELSE s.misses END,
       pause_reason = CASE WHEN w.outcome = 'missed' AND s.misses + 1 >= w.pause_after
                           THEN coalesce(s.pause_reason, 'missed ' || s.misses + 1 || ' calls in a row')
                           ELSE s.pause_reason END,
       idle_since = CASE w.outcome WHEN 'answered' THEN now() ELSE s.idle_since END,
       available_after = CASE w.outcome WHEN 'answered' THEN now() + w.wrap_up * interval '1 second'
                                        ELSE s.available_after END
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::float8[], $5::integer[])
       AS w (agent_id, call_id, outcome, wrap_up, pause_after)
 WHERE s.agent_id = w.agent_id AND s.call_id = w.call_id
"""

_CLEAR = """
UPDATE pbx.agent_states s SET call_id = NULL, reserved_at = NULL
 WHERE s.call_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM pbx.calls c WHERE c.id = s.call_id AND c.state <> 'ended')
RETURNING s.agent_id
"""


@dataclass(frozen=True)
class Standing:
    """An agent as PostgreSQL has it. Times are in s since 1970, UTC."""

    agent: Agent
    extension: str | None
    groups: dict[str, int]
    enabled: bool
    logged_in: bool
    paused: bool
    call_id: UUID | None
    available_after: float
    idle_since: float
    answered: int


@dataclass(frozen=True)
class Release:
    """The end of a reservation."""

    agent: UUID
    call: UUID
    outcome: Outcome
    wrap_up_seconds: float = 0.0
    pause_after_misses: int | None = None


class AgentStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, agents: Iterable[UUID] | None = None) -> list[Standing]:
        """How these agents stand, or all; those who do not exist are left out."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_LOAD, None if agents is None else list(agents))
        return [_standing(row) for row in rows]

    async def reserve(self, wanted: Sequence[tuple[UUID, UUID]]) -> set[UUID]:
        """Reserve agents for calls, pairs of (agent, call). The agents who were still to be had."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_RESERVE, [agent for agent, _ in wanted], [call for _, call in wanted])
        return {row["agent_id"] for row in rows}

    async def occupy(self, agent: UUID, call: UUID) -> bool:
        """Reserve an agent who calls out, paused or not; False for one who has another call."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_OCCUPY, agent, call) is not None

    async def release(self, releases: Sequence[Release]) -> None:
        """End reservations; one that is not there (any more) is no error."""
        async with self._database.connection() as connection:
            await connection.execute(
                _RELEASE,
                [release.agent for release in releases],
                [release.call for release in releases],
                [release.outcome.value for release in releases],
                [release.wrap_up_seconds for release in releases],
                [release.pause_after_misses for release in releases],
            )

    async def clear_ended(self) -> int:
        """Free agents who are reserved for calls that are over; how many."""
        async with self._database.connection() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(_CLEAR)
        return len(rows)


def _standing(row: asyncpg.Record) -> Standing:
    return Standing(
        agent=Agent(row["id"], row["name"], row["endpoint"], row["voip_only"]),
        extension=row["extension"],
        groups=json.loads(row["groups"]) if row["groups"] else {},
        enabled=row["enabled"],
        logged_in=row["logged_in"],
        paused=row["pause_reason"] is not None,
        call_id=row["call_id"],
        available_after=row["available_after"] or 0.0,
        idle_since=row["idle_since"],
        answered=row["answered"],
    )
