"""An agent at a SIP phone who calls WhatsApp users: what the tests of it share."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from ari_app.media.measure import find_speech
from ari_app.media.speech import sentence
from ari_app.media.wav import Sound as Heard
from ari_app.media.wav import read_wav
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack
from whatsapp_bridge.simulator.client import PhoneCall as UsersCall
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.consent_client import ConsentClient
from whatsapp_bridge.simulator.models import UserPlan
from whatsapp_bridge.simulator.phone import Sound, Tone

PATIENCE = 20.0
"Longer than anything here takes on a busy machine, s."


@dataclass
class Office:
    """An agent with a phone, users at Meta, and what is written of both."""

    stack: Stack
    db: "asyncpg.Connection[asyncpg.Record]"
    meta: SimulatorClient
    consent: ConsentClient
    phone: Baresip
    folder: Path
    user: str
    "Another one for each test: what a user allowed stays."

    async def plan(self, **plan: Any) -> None:
        """What the user does; 300 ms to the answer."""
        await self.meta.plan_user(
            UserPlan(number=self.user, **{"name": "Ada", "answer_ms": 300, "on_request": "ignore", **plan})
        )

    async def users_call(self) -> UsersCall:
        """The call on the user's phone, as soon as there is one."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for call in await self.meta.calls():
                    if call["user"] == self.user:
                        return await self.meta.call(call["id"])
                await asyncio.sleep(0.02)

    async def record(self, state: str = "ended", **wanted: object) -> dict[str, Any]:
        """The newest call with this user, as soon as it is so."""
        query = "SELECT * FROM pbx.calls WHERE caller_number = $1 ORDER BY received_at DESC LIMIT 1"
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await self.db.fetchrow(query, f"+{self.user}")
                if row is not None and row["state"] == state and all(row[k] == v for k, v in wanted.items()):
                    return dict(row)
                await asyncio.sleep(0.02)

    async def value(self, query: str, *arguments: object, wanted: object) -> None:
        """Wait until a query has this value."""
        async with asyncio.timeout(PATIENCE):
            while (found := await self.db.fetchval(query, *arguments)) != wanted:
                await asyncio.sleep(0.02)
        assert found == wanted

    async def dial_and_listen(self, number: str) -> Heard:
        """What the phone plays until Asterisk hangs up."""
        call = await self.phone.dial(number)
        await call.closed(timeout=PATIENCE)
        return read_wav(max(self.folder.glob("heard-*.wav"), key=lambda path: path.stat().st_mtime))

    async def dial_and_leave(self, number: str) -> None:
        """Hang up as soon as somebody speaks."""
        call = await self.phone.dial(number)
        await call.established(timeout=PATIENCE)
        await call.hang_up()

    def says(self, heard: Heard, *words: str) -> bool:
        sounds = self.stack.closure.asterisk_data / "sounds/en"
        return all(find_speech(sentence(sounds, (word,)), heard).found for word in words)


@contextlib.asynccontextmanager
async def office_of(stack: Stack, folder: Path) -> AsyncIterator[Office]:
    account = SipAccount("1001", stack.asterisk.phones["1001"].password, port=stack.asterisk.sip_port)
    db = await asyncpg.connect(stack.dsn)
    try:
        async with (
            Baresip.start(stack.closure, folder, account) as phone,
            SimulatorClient(stack.simulator_url) as meta,
        ):
            user = f"49151{uuid.uuid4().int % 10**8:08}"
            yield Office(stack, db, meta, ConsentClient(meta), phone, folder, user)
            for left in await meta.calls():
                if left["state"] != "ended":
                    await (await meta.call(left["id"])).end()
    finally:
        await db.execute("UPDATE pbx.agent_states SET available_after = NULL")
        await db.close()


def tone(hz: int) -> Sound:
    return Sound(tone=Tone(hz=hz, dbfs=-20))


async def talking(office: Office) -> UsersCall:
    """Both are connected."""
    users = await office.users_call()
    await users.wait(state="connected", timeout=PATIENCE)
    await office.record("connected")
    return users
