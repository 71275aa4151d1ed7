"""The agents' side of a stack for tests of the queue: agents that are extensions, groups, callers, records."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from ari_app.ari import AriClient, Channel, channel_id
from ari_app.ari.events import StasisStart
from ari_app.runtime.phones import SipAccount
from ari_app.runtime.stack import Stack

#: Longer than anything here takes on a machine that has other things to do, s.
PATIENCE = 20.0

AGENTS = """
[test-agents]
exten => _a[n]swer.,1,Ringing()
 same => n,Wait(0.2)
 same => n,Answer()
 same => n,Wait(300)
exten => _short.,1,Ringing()
 same => n,Wait(0.1)
 same => n,Answer()
 same => n,Wait(0.4)
 same => n,Hangup(16)
exten => _reject.,1,Ringing()
 same => n,Wait(0.2)
 same => n,Hangup(21)
exten => _ri[n]g.,1,Ringing()
 same => n,Wait(300)
"""


@dataclass
class Office:
    stack: Stack
    ari: AriClient
    database: asyncpg.Connection

    async def agents(self, *endpoints: str, group: str = "Agents") -> None:
        """These are the group's agents, in this order, with priorities 1, 2, … where the strategy is linear."""
        for position, endpoint in enumerate(endpoints, 1):
            agent = await self.database.fetchval(
                "INSERT INTO pbx.agents (name, endpoint, voip_only) VALUES ($1, $2, true) RETURNING id",
                f"Agent {endpoint.partition('/')[2].partition('@')[0]}",
                endpoint,
            )
            await self.database.execute(
                "INSERT INTO pbx.group_members (group_name, agent_id, priority) VALUES ($1, $2, $3)",
                group,
                agent,
                position,
            )

    async def group(self, name: str = "Agents", **settings: object) -> None:
        await self.database.execute("INSERT INTO pbx.groups (name) VALUES ($1) ON CONFLICT DO NOTHING", name)
        if settings:
            columns = ", ".join(f"{column} = ${number}" for number, column in enumerate(settings, 2))
            await self.database.execute(f"UPDATE pbx.groups SET {columns} WHERE name = $1", name, *settings.values())

    @contextlib.asynccontextmanager
    async def caller(self, whatsapp_id: str = "wacid.1", number: str = "") -> AsyncIterator[Channel]:
        channel = await self.ari.channels.create(
            endpoint=f"Local/{number or self.stack.number.display_number}@whatsapp-in/n",
            channel_id=channel_id(),
            other_channel_id=channel_id(),
            variables={"__WHATSAPP_CALL_ID": whatsapp_id, "__WHATSAPP_FROM": "4915112345678"},
        )
        with channel:
            try:
                await channel.wait_for(StasisStart, timeout=PATIENCE)
                await channel.dial(timeout=120)
                yield channel
            finally:
                await channel.hangup(reason_code=16)

    async def record(self, whatsapp_id: str = "wacid.1", state: str = "ended") -> asyncpg.Record:
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await self.database.fetchrow(
                    "SELECT * FROM pbx.calls WHERE whatsapp_call_id = $1 AND state = $2", whatsapp_id, state
                )
                if row is not None:
                    return row
                await asyncio.sleep(0.02)

    async def offers(self) -> list[asyncpg.Record]:
        return await self.database.fetch(
            "SELECT o.*, a.name FROM pbx.offers o JOIN pbx.agents a ON a.id = o.agent_id ORDER BY o.started_at"
        )

    async def is_empty(self) -> None:
        """Nothing of any call is left, in Asterisk or in the queue."""
        async with asyncio.timeout(PATIENCE):
            while await self.ari.channels.list() or await self.ari.bridges.list():
                await asyncio.sleep(0.05)
            while await self.database.fetchval(
                "SELECT (SELECT count(*) FROM pbx.waiting)"
                " + (SELECT count(*) FROM pbx.agent_states WHERE call_id IS NOT NULL)"
            ):
                await asyncio.sleep(0.05)

    def account(self, user: str) -> SipAccount:
        port = int(self.stack.asterisk.sip_address.rpartition(":")[2])
        return SipAccount(user, self.stack.asterisk.phones[user].password, port=port)


@contextlib.asynccontextmanager
async def office_of(stack: Stack) -> AsyncIterator[Office]:
    """The stack without agents, with one group that nobody is in, and empty when left."""
    database = await asyncpg.connect(stack.dsn)
    try:
        await database.execute("DELETE FROM pbx.calls")
        await database.execute("DELETE FROM pbx.agents")
        await database.execute("DELETE FROM pbx.route_groups WHERE position > 1")
        await database.execute("DELETE FROM pbx.groups WHERE name <> 'Agents'")
        await database.execute(
            "UPDATE pbx.groups SET strategy = 'linear', ring_seconds = 3, wrap_up_seconds = 0, max_wait_seconds = 60,"
            " cool_down_seconds = 60, exit_digit = NULL, exit_to = NULL, whisper = NULL, auto_pause_misses = NULL"
        )
        await database.execute("UPDATE pbx.routes SET entry_prompt = 'sound:beep', recording = false")
        async with AriClient(
            stack.asterisk.ari_url, "asterisk-whatsapp", stack.asterisk.ari_password, "tester", subscribe_all=True
        ) as ari:
            office = Office(stack, ari, database)
            yield office
            await office.is_empty()
    finally:
        await database.close()
