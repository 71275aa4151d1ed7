"""What each agent did on each day, or in some days together: `reports.agent_day`."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from ari_app.store.database import Database
from ari_app.store.record_filters import Scope
from ari_app.store.records import READ_SECONDS, reading

#: With $6 each day for itself. Agents whom a scope does not have itself are those of its groups.
_READ = """
SELECT min(d.day) AS day, d.agent, sum(d.offers)::integer AS offers, sum(d.answered)::integer AS answered,
       sum(d.rejected)::integer AS rejected, sum(d.missed)::integer AS missed,
       sum(d.calls_taken)::integer AS calls_taken,
       sum(d.calls_made)::integer AS calls_made, sum(d.calls_made_answered)::integer AS calls_made_answered,
       sum(d.talk_seconds)::float8 AS talk_seconds, sum(d.hold_seconds)::float8 AS hold_seconds,
       (sum(d.talk_seconds) / nullif(sum(d.calls_taken + d.calls_made_answered), 0))::float8 AS average_talk_seconds
  FROM reports.agent_day($1, $2, $3) d
 WHERE $4::text[] IS NULL OR d.agent_id = ANY ($5::uuid[])
    OR d.agent_id IN (SELECT m.agent_id FROM pbx.group_members m WHERE m.group_name = ANY ($4))
 GROUP BY d.agent_id, d.agent, CASE WHEN $6 THEN d.day END
 ORDER BY CASE WHEN $6 THEN min(d.day) END DESC, d.agent, d.agent_id LIMIT $7
"""


@dataclass(frozen=True)
class AgentDay:
    """As reports.agent_day, which explains each figure."""

    day: date
    agent: str
    offers: int
    answered: int
    rejected: int
    missed: int
    calls_taken: int
    calls_made: int
    calls_made_answered: int
    talk_seconds: float
    hold_seconds: float
    average_talk_seconds: float | None


async def agent_days(
    database: Database, first: date, last: date, zone: str, scope: Scope | None, *, each_day: bool, limit: int
) -> list[AgentDay]:
    """Days of a time zone, both included: each for itself, the last first; or an agent's days in one row, which has the
    first of them. Raises StoreError.
    """
    groups, agents = (None, None) if scope is None else (list(scope.groups), list[UUID](scope.agents))
    async with reading(database) as connection:
        rows = await connection.fetch(_READ, first, last, zone, groups, agents, each_day, limit, timeout=READ_SECONDS)
    return [AgentDay(**dict(row)) for row in rows]
