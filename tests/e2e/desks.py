"""Many desks that dial WhatsApp users at the same moment; their phones are Local channels."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg

from ari_app.ari import AriClient, Subscription
from ari_app.ari.events import PlaybackStarted
from ari_app.calls.rates import Rate
from ari_app.calls.refusal import SPOKEN, Rule
from ari_app.runtime.stack import Stack
from ari_app.store.billing import BillingStore, Quoted
from ari_app.store.database import Database
from whatsapp_bridge.simulator.client import SimulatorClient

PATIENCE = 20.0
"Longer than anything here takes on a busy machine, s."

#: d20 to d39 are agents'.
DESKS = """
[desks]
exten => _dX.,1,Answer()
 same => n,Wait(60)
"""


@dataclass
class Floor:
    stack: Stack
    db: "asyncpg.Connection[asyncpg.Record]"
    ari: AriClient
    meta: SimulatorClient
    billing: BillingStore
    heard: Subscription

    @property
    def number(self) -> str:
        return self.stack.number.display_number

    async def dial(self, number: str, *, desk: str = "d20", context: str = "whatsapp-out") -> None:
        """A desk dials."""
        await self.ari.channels.originate(
            endpoint=f"Local/{desk}@desks/n", context=context, extension=number, priority=1
        )

    async def hears(self, media: str) -> None:
        await self.heard.wait_for(
            PlaybackStarted, timeout=PATIENCE, where=lambda event: event.playback.media_uri == media
        )

    async def hang_up_all(self) -> None:
        for channel in await self.ari.channels.list():
            await channel.hangup()

    async def record(self) -> dict[str, Any]:
        """The newest call, when it has ended."""
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await self.db.fetchrow("SELECT * FROM pbx.calls ORDER BY received_at DESC LIMIT 1")
                if row is not None and row["state"] == "ended":
                    return dict(row)
                await asyncio.sleep(0.02)

    async def quote(self, destination: str, per_minute: str = "0.0103") -> Rate:
        rate = Rate(destination, Decimal(per_minute), "USD", datetime(2026, 1, 1, tzinfo=UTC))
        await self.billing.set_rates([Quoted(self.number, rate)])
        return rate

    async def money(self, amount: Decimal) -> None:
        """Billing is on, with so much and no more."""
        await self.billing.configure(enabled=True, reserve_seconds=60, warn_seconds=0)
        state = await self.billing.state()
        if amount != state.balance:
            await self.billing.correct(amount - state.balance, "test")

    async def until(self, query: str, wanted: object) -> None:
        async with asyncio.timeout(PATIENCE):
            while (found := await self.db.fetchval(query)) != wanted:
                await asyncio.sleep(0.02)
        assert found == wanted


@contextlib.asynccontextmanager
async def floor_of(stack: Stack) -> AsyncIterator[Floor]:
    asterisk = stack.asterisk
    db = await asyncpg.connect(stack.dsn)
    async with (
        AriClient(asterisk.ari_url, "asterisk-whatsapp", asterisk.ari_password, "the-test", subscribe_all=True) as ari,
        SimulatorClient(stack.simulator_url) as meta,
        Database(stack.dsn) as database,
    ):
        with ari.events(PlaybackStarted) as heard:
            await db.execute(
                "INSERT INTO pbx.agents (name, endpoint, voip_only) "
                "SELECT 'Desk ' || n, 'Local/d' || n || '@desks', true FROM generate_series(20, 39) n "
                "ON CONFLICT DO NOTHING"
            )
            await db.execute(
                "INSERT INTO pbx.group_members (group_name, agent_id) "
                "SELECT 'Agents', id FROM pbx.agents WHERE endpoint LIKE 'Local/%' ON CONFLICT DO NOTHING"
            )
            yield Floor(stack, db, ari, meta, BillingStore(database), heard)
            await Floor(stack, db, ari, meta, BillingStore(database), heard).hang_up_all()
        await BillingStore(database).configure(enabled=False)
        await db.execute("DELETE FROM pbx.rates")
        await db.execute("UPDATE pbx.agents SET voip_only = true")
        await db.execute("UPDATE pbx.routes SET calling_enabled = true")
    await db.close()


async def refused(floor: Floor, rule: Rule) -> str:
    """It is heard and written; the reason."""
    await floor.hears(SPOKEN[rule][0])
    await floor.hang_up_all()
    row = await floor.record()
    assert (row["status"], row["ended_by"], row["refusal"]) == ("Failed", "system", rule.value)
    assert row["direction"] == "outbound"
    return str(row["reason"])
