"""Agents who dial WhatsApp users from plain dialplan, for tests of outbound calls.

`Local/<user>@out` runs `Dial(WebSocket/whatsapp/…)` in one half; the other half, the agent, enters [agent] on answer.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg

from ari_app.ari import AriClient, Channel
from ari_app.runtime.stack import Stack
from whatsapp_bridge.simulator.client import PhoneCall, SimulatorClient
from whatsapp_bridge.simulator.phone import Sound, Tone

OUT = """
[out]
exten => _[+0-9]X.,1,Dial(WebSocket/whatsapp/c(opus)nf(json)v(to=${EXTEN},call=${CALL}),30,rg)
 same => n,Set(GLOBAL(RESULT_${CALL})=${DIALSTATUS}/${HANGUPCAUSE})
 same => n,Hangup(${HANGUPCAUSE})

[later]
exten => _X.,1,Wait(1)
 same => n,Goto(out,${EXTEN},1)

[agent]
exten => echo,1,Answer()
 same => n,Echo()
"""
USER = "4915112345678"
#: Longer than anything here takes on a busy machine, s.
PATIENCE = 15.0


@dataclass
class Office:
    """A running stack, and the test's ways into all of it."""

    stack: Stack
    ari: AriClient
    db: Any
    meta: SimulatorClient

    async def dial(
        self, user: str = USER, *, then: str = "echo", call: str = "", context: str = "out", **variables: str
    ) -> "Agent":
        """Somebody dials the user, and does what [agent] has for `then` when the call is answered."""
        call = call or str(uuid.uuid4())
        channel = await self.ari.channels.originate(
            endpoint=f"Local/{user}@{context}/n",
            context="agent",
            extension=then,
            priority=1,
            variables={"CALL": call, **variables},
        )
        channel.close()
        return Agent(self, call, channel)


@contextlib.asynccontextmanager
async def office_of(stack: Stack) -> AsyncIterator[Office]:
    asterisk = stack.asterisk
    db = await asyncpg.create_pool(stack.dsn, min_size=1, max_size=6)
    try:
        async with (
            AriClient(asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "the-test") as ari,
            SimulatorClient(stack.simulator_url) as meta,
        ):
            yield Office(stack, ari, db, meta)
            for left in await meta.calls():
                if left["state"] != "ended":
                    await (await meta.call(left["id"])).end()
            await meta.reset()
    finally:
        await db.close()


class Agent:
    """Somebody in the PBX who dials a WhatsApp user."""

    def __init__(self, office: Office, call: str, channel: Channel) -> None:
        self.call, self.channel = call, channel
        self.ari, self.db, self.meta = office.ari, office.db, office.meta

    async def result(self) -> str:
        """DIALSTATUS/HANGUPCAUSE, as the dialplan saw it."""
        async with asyncio.timeout(PATIENCE):
            while not (result := await self.ari.asterisk.get_variable(f"RESULT_{self.call}")):
                await asyncio.sleep(0.05)
        return result

    async def row(self, state: str = "ended") -> dict[str, Any]:
        """The bridge's row of the call, as soon as it is in this state."""
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await self.db.fetchrow("SELECT * FROM whatsapp.calls WHERE id = $1", uuid.UUID(self.call))
                if row is not None and row["state"] == state:
                    return dict(row)
                await asyncio.sleep(0.02)

    async def phone(self) -> PhoneCall:
        """The call, as the user's phone has it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for call in await self.meta.calls():
                    found = await self.meta.call(call["id"])
                    if found.facts["biz_opaque_callback_data"] == self.call:
                        return found
                await asyncio.sleep(0.02)

    async def hang_up(self) -> None:
        await self.channel.hangup()


def tone(hz: int) -> Sound:
    return Sound(tone=Tone(hz=hz, dbfs=-20))
