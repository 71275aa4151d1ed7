"""Calls, offers and waiting callers as the application writes them, without an application."""

import uuid
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.integration.console.desk import Desk

NUMBER = "15550783881"
USER = "4915112345678"


@dataclass
class Floor:
    """What goes on."""

    desk: Desk

    async def agent(self, name: str) -> UUID:
        found: UUID = (await self.desk.fetch("SELECT id FROM pbx.agents WHERE name = $1", name))[0]["id"]
        return found

    async def call(self, name: str = "Zoë Müller", user: str = USER, **columns: Any) -> UUID:
        """A call, as new as can be."""
        call = uuid.uuid4()
        values: dict[str, Any] = {
            "id": call,
            "linkedid": str(call),
            "channel_type": "WhatsApp Call",
            "direction": "inbound",
            "number": NUMBER,
            "caller_number": f"+{user}",
            "caller_name": name,
            "state": "queued",
            **columns,
        }
        names = ", ".join(values)
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        await self.desk.fetch(f"INSERT INTO pbx.calls ({names}) VALUES ({places})", *values.values())
        return call

    async def waits(self, call: UUID, group: str = "Sales", seconds: float = 0.0, priority: int = 10) -> None:
        await self.desk.fetch(
            "INSERT INTO pbx.waiting (call_id, group_name, priority, joined_at) "
            "VALUES ($1, $2, $3, now() - $4 * interval '1 second')",
            *(call, group, priority, seconds),
        )

    async def rings(self, call: UUID, agent: UUID, group: str = "Sales") -> UUID:
        """The agent is reserved, and the phone rings."""
        offer = uuid.uuid4()
        await self.desk.fetch(
            "UPDATE pbx.agent_states SET call_id = $1, reserved_at = now() WHERE agent_id = $2", call, agent
        )
        await self.desk.fetch(
            "INSERT INTO pbx.offers (id, call_id, agent_id, group_name) VALUES ($1, $2, $3, $4)",
            *(offer, call, agent, group),
        )
        await self.desk.fetch("UPDATE pbx.calls SET state = 'ringing' WHERE id = $1", call)
        return offer

    async def over(self, offer: UUID, outcome: str) -> None:
        """The phone rings no longer."""
        await self.desk.fetch("UPDATE pbx.offers SET outcome = $2, ended_at = now() WHERE id = $1", offer, outcome)
        if outcome != "answered":
            await self.desk.fetch(
                "UPDATE pbx.agent_states SET call_id = NULL, reserved_at = NULL "
                "WHERE agent_id = (SELECT agent_id FROM pbx.offers WHERE id = $1)",
                offer,
            )

    async def talks(self, call: UUID, agent: UUID, seconds: float = 0.0) -> None:
        await self.desk.fetch("DELETE FROM pbx.waiting WHERE call_id = $1", call)
        await self.desk.fetch(
            "UPDATE pbx.calls SET state = 'connected', agent_id = $2, connected_at = now() - $3 * interval '1 second' "
            "WHERE id = $1",
            *(call, agent, seconds),
        )

    async def ends(self, call: UUID, status: str = "Answered", by: str = "user", reason: str = "hung up") -> None:
        await self.desk.fetch("DELETE FROM pbx.waiting WHERE call_id = $1", call)
        await self.desk.fetch("UPDATE pbx.agent_states SET call_id = NULL, reserved_at = NULL WHERE call_id = $1", call)
        await self.desk.fetch(
            "UPDATE pbx.calls SET state = 'ended', status = $2, ended_by = $3, reason = $4, ended_at = now() "
            "WHERE id = $1",
            *(call, status, by, reason),
        )

    async def clear(self) -> None:
        await self.desk.fetch(
            "UPDATE pbx.agent_states SET call_id = NULL, reserved_at = NULL, logged_in = true, pause_reason = NULL"
        )
        await self.desk.fetch("UPDATE console.users SET agent_id = NULL WHERE agent_id IS NOT NULL")
        for table in ("pbx.calls", "pbx.device_states", "whatsapp.permission_requests", "whatsapp.permissions"):
            await self.desk.fetch(f"TRUNCATE {table} CASCADE")
