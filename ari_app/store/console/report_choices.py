"""What the filters of reports offer: numbers, groups and agents, as far as the reader may see their calls."""

from dataclasses import dataclass
from uuid import UUID

from ari_app.store.database import Database
from ari_app.store.record_filters import Scope

_NUMBERS = """
SELECT display_number AS number, name FROM whatsapp.numbers
UNION ALL
SELECT r.number, '' FROM pbx.routes r
 WHERE NOT EXISTS (SELECT FROM whatsapp.numbers w WHERE w.display_number = r.number)
ORDER BY 1
"""

_GROUPS = "SELECT name FROM pbx.groups WHERE $1::text[] IS NULL OR name = ANY ($1) ORDER BY 1"

_AGENTS = """
SELECT a.id, a.name FROM pbx.agents a
 WHERE $1::text[] IS NULL OR a.id = ANY ($2::uuid[])
    OR EXISTS (SELECT FROM pbx.group_members m WHERE m.agent_id = a.id AND m.group_name = ANY ($1))
 ORDER BY 2, 1
"""

_GROUPS_OF_AGENT = "SELECT group_name FROM pbx.group_members WHERE agent_id = $1 ORDER BY 1"


@dataclass(frozen=True)
class ReportChoices:
    numbers: list[tuple[str, str]]
    "Each with its name."
    groups: list[str]
    agents: list[tuple[UUID, str]]


class ReportChoiceStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, scope: Scope | None) -> ReportChoices:
        groups, agents = (None, None) if scope is None else (list(scope.groups), list(scope.agents))
        async with self._database.connection() as connection:
            return ReportChoices(
                [(row["number"], row["name"] or "") for row in await connection.fetch(_NUMBERS)],
                [row["name"] for row in await connection.fetch(_GROUPS, groups)],
                [(row["id"], row["name"]) for row in await connection.fetch(_AGENTS, groups, agents)],
            )

    async def groups_of(self, agent_id: UUID) -> list[str]:
        """Where an agent is a member."""
        async with self._database.connection() as connection:
            return [row["group_name"] for row in await connection.fetch(_GROUPS_OF_AGENT, agent_id)]
