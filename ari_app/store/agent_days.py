"""What each agent did on each day: `reports.agent_day`."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from ari_app.store.database import Database
from ari_app.store.record_filters import Scope
from ari_app.store.records import READ_SECONDS, reading

#: Rows that are read at once.
LIMIT = 2000

#: Agents whom a scope does not have itself are those of its groups.
_READ = """
SELECT d.day, d.agent, d.offers, d.answered, d.rejected, d.missed, d.calls_taken, d.calls_made, d.calls_made_answered,
       d.talk_seconds::float8 AS talk_seconds, d.hold_seconds::float8 AS hold_seconds,
       d.average_talk_seconds::float8 AS average_talk_seconds
  FROM reports.agent_day($1, $2, $3) d
 WHERE $4::text[] IS NULL OR d.agent_id = ANY ($5::uuid[])
    OR d.agent_id IN (SELECT m.agent_id FROM pbx.group_members m WHERE m.group_name = ANY ($4))
 ORDER BY d.day DESC, d.agent LIMIT $6
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


async def agent_days(database: Database, first: date, last: date, zone: str, scope: Scope | None) -> list[AgentDay]:
    """Days of a time zone, both included, the last first. Raises StoreError."""
    groups, agents = (None, None) if scope is None else (list(scope.groups), list[UUID](scope.agents))
    async with reading(database) as connection:
        rows = await connection.fetch(_READ, first, last, zone, groups, agents, LIMIT, timeout=READ_SECONDS)
    return [AgentDay(**dict(row)) for row in rows]
