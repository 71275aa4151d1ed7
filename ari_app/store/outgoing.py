"""What calling out needs to know: the agent, the number to call with, and what the bridge says of a call."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ari_app.calls.offer import Agent
from ari_app.calls.refusal import Restriction
from ari_app.store.database import Database

_AGENT = "SELECT id, name, endpoint, voip_only FROM pbx.agents WHERE enabled AND "

#: The number that was named; else that of the first of the agent's groups that has one; else the only one there is.
_BUSINESS = """
WITH own AS (
    SELECT m.group_name, m.priority, g.wrap_up_seconds,
           coalesce(g.calls_from,
                    (SELECT rg.number FROM pbx.route_groups rg JOIN whatsapp.numbers w ON w.display_number = rg.number
                      WHERE rg.group_name = g.name ORDER BY rg.position, rg.number LIMIT 1)) AS number
      FROM pbx.group_members m JOIN pbx.groups g ON g.name = m.group_name
     WHERE m.agent_id = $1
), chosen AS (
    SELECT number, group_name, 1 AS rank, priority FROM own WHERE number = coalesce($2, number)
    UNION ALL SELECT $2, NULL, 2, 0 WHERE $2 IS NOT NULL
    UNION ALL SELECT max(display_number), NULL, 3, 0 FROM whatsapp.numbers WHERE $2 IS NULL HAVING count(*) = 1
)
SELECT n.phone_number_id, c.number, coalesce(c.group_name, (SELECT group_name FROM own ORDER BY priority, 1 LIMIT 1))
           AS group_name,
       r.number IS NOT NULL AND r.calling_enabled AS calling_enabled
  FROM chosen c
  JOIN whatsapp.numbers n ON n.display_number = c.number
  LEFT JOIN pbx.routes r ON r.number = c.number
 ORDER BY c.rank, c.priority, c.group_name, c.number
 LIMIT 1
"""

_RESTRICTIONS = "SELECT type, reason, expires_at FROM whatsapp.restrictions WHERE phone_number_id = $1"

#: As the bridge heard it, else as an earlier call has it (one that came by another way has no row of the bridge's). A
#: user who hides the number is known by Meta's id; where Meta named it beside a number, the number's name will do.
_NAME = """
WITH keys AS (
    SELECT $1 AS key
    UNION SELECT user_key FROM whatsapp.permissions WHERE scoped_id = $1
    UNION SELECT scoped_id FROM whatsapp.permissions WHERE user_key = $1 AND scoped_id IS NOT NULL
), names AS (
    SELECT w.user_name AS name, w.received_at, 1 AS rank
      FROM whatsapp.calls w JOIN keys ON keys.key IN (w.user_number, w.user_id) AND w.user_name IS NOT NULL
    UNION ALL
    SELECT c.caller_name, c.received_at, 2
      FROM pbx.calls c JOIN keys ON ltrim(c.caller_number, '+') = keys.key
     WHERE c.channel_type = 'WhatsApp Call' AND c.caller_name <> ''
)
SELECT name FROM names WHERE name <> '' ORDER BY rank, received_at DESC LIMIT 1
"""

_WORD = """
SELECT state, meta_call_id, user_name, hangup_cause, reason, meta_error_code FROM whatsapp.calls WHERE id = $1
"""


@dataclass(frozen=True)
class BusinessNumber:
    """A number that calls."""

    number: str
    "Digits, as Meta displays it."
    phone_number_id: str
    group: str | None
    "On whose behalf the agent calls; whose wrap-up follows."
    calling_enabled: bool
    restrictions: tuple[Restriction, ...] = ()
    "Those in force."


@dataclass(frozen=True)
class BridgeWord:
    """What the bridge has written of an outbound call."""

    state: str
    meta_call_id: str | None
    user_name: str | None
    hangup_cause: int | None
    reason: str | None
    meta_error_code: int | None


class OutgoingStore:
    """All methods raise StoreError when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def agent_at(self, endpoint: str) -> Agent | None:
        """The agent with this endpoint (`PJSIP/1001`)."""
        return await self._agent("endpoint = $1", endpoint)

    async def agent_called(self, name: str) -> Agent | None:
        """By extension, endpoint, or name, as people write it in commands."""
        return await self._agent("$1 IN (extension, endpoint, name) ORDER BY extension = $1 DESC NULLS LAST", name)

    async def agent(self, agent: UUID) -> Agent | None:
        return await self._agent("id = $1", agent)

    async def business(self, agent: UUID | None, named: str | None) -> BusinessNumber | None:
        """With which number this agent calls; None when nobody can tell, or there is no such number at Meta."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_BUSINESS, agent, named)
            if row is None:
                return None
            found = await connection.fetch(_RESTRICTIONS, row["phone_number_id"])
        restrictions = tuple(Restriction(each["type"], each["reason"], each["expires_at"]) for each in found)
        return BusinessNumber(
            row["number"], row["phone_number_id"], row["group_name"], row["calling_enabled"], restrictions
        )

    async def name_of(self, user_key: str) -> str:
        """As the user was called when last in touch; empty when nobody knows."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_NAME, user_key) or ""

    async def word(self, call: UUID) -> BridgeWord | None:
        """What the bridge has written of this call; None when it never heard of it."""
        async with self._database.connection() as connection:
            row: asyncpg.Record | None = await connection.fetchrow(_WORD, call)
        return None if row is None else BridgeWord(**dict(row))

    async def _agent(self, where: str, value: object) -> Agent | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_AGENT + where, value)
        return None if row is None else Agent(row["id"], row["name"], row["endpoint"], row["voip_only"])
