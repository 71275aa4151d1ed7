"""How agents stand just now, for the pages that list them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ari_app.store.database import Database

_STATES = """
SELECT a.id, a.endpoint, a.name, a.enabled, s.logged_in, s.pause_reason, s.call_id, s.idle_since,
       s.available_after > now() AS in_wrap_up, c.state AS call_state
  FROM pbx.agents a
  JOIN pbx.agent_states s ON s.agent_id = a.id
  LEFT JOIN pbx.calls c ON c.id = s.call_id
 ORDER BY a.name, a.endpoint
"""


@dataclass(frozen=True)
class AgentState:
    id: UUID
    endpoint: str
    name: str
    enabled: bool
    logged_in: bool
    pause_reason: str | None
    call_id: UUID | None
    idle_since: datetime
    in_wrap_up: bool | None
    call_state: str | None

    @property
    def words(self) -> str:
        if not self.enabled:
            return "disabled"
        if self.call_id is not None:
            return "In a Call" if self.call_state == "connected" else "ringing"
        if not self.logged_in:
            return "logged out"
        if self.pause_reason is not None:
            return "paused"
        return "wrap-up" if self.in_wrap_up else "available"


class AgentStateStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[AgentState]:
        """By name. Raises StoreError."""
        async with self._database.connection() as connection:
            return [AgentState(**dict(row)) for row in await connection.fetch(_STATES)]
