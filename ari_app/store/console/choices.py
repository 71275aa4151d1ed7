"""What forms offer to choose from."""

from dataclasses import dataclass
from uuid import UUID

from ari_app.store.database import Database


@dataclass(frozen=True)
class Agent:
    id: UUID
    name: str
    endpoint: str


class ChoiceStore:
    """All methods raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def agents(self) -> list[Agent]:
        """By name."""
        async with self._database.connection() as connection:
            rows = await connection.fetch("SELECT id, name, endpoint FROM pbx.agents ORDER BY name, endpoint")
        return [Agent(*row) for row in rows]

    async def groups(self) -> list[str]:
        async with self._database.connection() as connection:
            return [row["name"] for row in await connection.fetch("SELECT name FROM pbx.groups ORDER BY name")]

    async def numbers(self) -> list[tuple[str, str]]:
        """WhatsApp numbers with their names."""
        async with self._database.connection() as connection:
            rows = await connection.fetch("SELECT display_number, name FROM whatsapp.numbers ORDER BY name, 1")
        return [(row["display_number"], row["name"] or "") for row in rows]
