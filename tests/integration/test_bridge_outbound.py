"""Calls from plain dialplan to WhatsApp users: a real Asterisk, the bridge, a strict Meta, and no application.

`Local/<user>@out` runs `Dial(WebSocket/whatsapp/…)` in one half; the other half, the agent, enters [agent] on answer.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ari_app.ari import AriClient, Channel
from ari_app.media.measure import dominant_tone, level_dbfs
from ari_app.media.wav import Sound as Recording
from ari_app.media.wav import read_wav
from ari_app.runtime.stack import Stack, StackOptions
from whatsapp_bridge.simulator.client import PhoneCall, SimulatorClient
from whatsapp_bridge.simulator.models import UserPlan
from whatsapp_bridge.simulator.phone import Sound, Tone

DIALPLAN = """
[out]
exten => _X.,1,Dial(WebSocket/whatsapp/c(opus)nf(json)v(to=${EXTEN},call=${CALL}),30,rg)
 same => n,Set(GLOBAL(RESULT_${CALL})=${DIALSTATUS}/${HANGUPCAUSE})
 same => n,Hangup(${HANGUPCAUSE})

[agent]
exten => echo,1,Echo()
"""
USER = "4915112345678"
PATIENCE = 15.0
"Longer than anything here takes on a busy machine, s."


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(app=False, extra_dialplan=DIALPLAN)


@pytest.fixture
async def meta(stack: Stack) -> AsyncIterator[SimulatorClient]:
    async with SimulatorClient(stack.simulator_url) as client:
        yield client
        for left in await client.calls():
            if left["state"] != "ended":
                await (await client.call(left["id"])).end()
        await client.reset()


@pytest.fixture
async def db(stack: Stack) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(stack.dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def ari(stack: Stack) -> AsyncIterator[AriClient]:
    asterisk = stack.asterisk
    async with AriClient(asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "the-test") as client:
        yield client


class Agent:
    """Somebody in the PBX who dials a WhatsApp user."""

    def __init__(self, ari: AriClient, db: Any, meta: SimulatorClient, call: str, channel: Channel) -> None:
        self.ari, self.db, self.meta, self.call, self.channel = ari, db, meta, call, channel

    @classmethod
    async def dials(
        cls, ari: AriClient, db: Any, meta: SimulatorClient, user: str = USER, *, then: str = "echo"
    ) -> "Agent":
        call = str(uuid.uuid4())
        channel = await ari.channels.originate(
            endpoint=f"Local/{user}@out/n", context="agent", extension=then, priority=1, variables={"CALL": call}
        )
        return cls(ari, db, meta, call, channel)

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


async def nothing_left(stack: Stack) -> None:
    """Asterisk has no channel and no bridge any more."""
    async with asyncio.timeout(10):
        while "0 active channels" not in await stack.asterisk.cli("core show channels"):
            await asyncio.sleep(0.1)
        while len((await stack.asterisk.cli("bridge show all")).strip().splitlines()) > 1:
            await asyncio.sleep(0.1)


def heard(facts: dict[str, Any]) -> Recording:
    return read_wav(Path(facts["recording"]["path"]))


def tone(hz: int) -> Sound:
    return Sound(tone=Tone(hz=hz, dbfs=-20))


async def test_a_user_answers_and_hears_an_echo_of_the_own_voice(
    stack: Stack, ari: AriClient, db: Any, meta: SimulatorClient
) -> None:
    await meta.plan_user(UserPlan(number=USER, name="Ada", answer_ms=300, play=tone(1000)))
    agent = await Agent.dials(ari, db, meta)
    phone = await agent.phone()
    facts = await phone.wait(state="connected", timeout=PATIENCE)
    row = await agent.row("connected")
    assert (row["direction"], row["user_number"], row["user_name"]) == ("outbound", USER, "Ada")
    assert row["meta_call_id"] == phone.id
    assert row["ringing_at"] < row["accepted_at"]
    await phone.wait(packets_in=150, timeout=PATIENCE)
    await agent.hang_up()
    facts = await phone.wait(closed=True, timeout=PATIENCE)
    assert facts["ended_by"] == "business"
    assert not facts["early_media"]
    assert dominant_tone(heard(facts)).frequency_hz == pytest.approx(1000, abs=5)
    assert level_dbfs(heard(facts)) == pytest.approx(-23, abs=3)
    row = await agent.row()
    assert (row["ended_by"], row["hangup_cause"]) == ("pbx", 16)
    assert await db.fetchval("SELECT count(*) FROM cdr.cdr WHERE linkedid = $1", row["linkedid"]) >= 1
    await nothing_left(stack)
