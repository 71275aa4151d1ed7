"""Calls that do not go out, or not for long: each refusal is heard and written; money is spent once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from ari_app.ari import AriClient, Subscription
from ari_app.ari.events import PlaybackStarted
from ari_app.calls.rates import Rate, fee_seconds, price
from ari_app.calls.refusal import SPOKEN, Rule
from ari_app.runtime.stack import Stack, StackOptions
from ari_app.store.billing import BillingStore, Quoted
from ari_app.store.database import Database
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.models import UserPlan

PATIENCE = 20.0

#: Desks whose phones are Local channels, so that many dial at the same moment; d20 to d39 are agents'.
DESKS = """
[desks]
exten => _dX.,1,Answer()
 same => n,Wait(60)

[named]
exten => _X.,1,Gosub(whatsapp-call,s,1(4915112345678,${EXTEN}))
"""
CANADIAN = "14165550100"


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(extra_dialplan=DESKS)


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


@pytest.fixture
async def floor(stack: Stack) -> AsyncIterator[Floor]:
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


@pytest.mark.parametrize(
    ("dialled", "rule", "words"),
    [
        ("8112", Rule.EMERGENCY_NUMBER, "112 is an emergency number"),
        ("8004911833", Rule.SHORT_NUMBER, "11833 is a short number"),
        ("8004912", Rule.INVALID_NUMBER, "is not a number that anybody can have"),
        ("8005352345678", Rule.CUSTOMER_COUNTRY, "customers in CU may not be called (+5352345678)"),
        ("879787012345", Rule.CUSTOMER_REGION, "customers in Crimea may not be called (+79787012345)"),
    ],
)
async def test_who_may_not_be_called(floor: Floor, dialled: str, rule: Rule, words: str) -> None:
    await floor.dial(dialled)
    assert words in await refused(floor, rule)
    assert not await floor.meta.calls(), "Meta was not asked"


async def test_a_phone_of_no_agent_calls_nobody(floor: Floor) -> None:
    await floor.dial("84915112345678", desk="d99")
    assert "no agent" in await refused(floor, Rule.NO_AGENT)


async def test_an_agent_with_the_telephone_network_behind_calls_nobody(floor: Floor) -> None:
    await floor.db.execute("UPDATE pbx.agents SET voip_only = false")
    await floor.dial("84915112345678")
    assert "the PSTN guard keeps WhatsApp calls from agent Desk 20" in await refused(floor, Rule.PSTN_GUARD)


async def test_a_number_that_is_not_at_meta_calls_nobody(floor: Floor) -> None:
    await floor.dial("4999", context="named")
    assert "there is no WhatsApp number 4999" in await refused(floor, Rule.NO_BUSINESS_NUMBER)


async def test_a_business_number_of_a_country_without_outbound_calls(floor: Floor) -> None:
    await floor.db.execute(
        "INSERT INTO whatsapp.numbers (phone_number_id, display_number) VALUES ('7', $1) ON CONFLICT DO NOTHING",
        CANADIAN,
    )
    try:
        await floor.dial(CANADIAN, context="named")
        assert "no business number of CA" in await refused(floor, Rule.BUSINESS_COUNTRY)
    finally:
        await floor.db.execute("DELETE FROM whatsapp.numbers WHERE phone_number_id = '7'")


async def test_voice_calling_is_switched_off(floor: Floor) -> None:
    await floor.db.execute("UPDATE pbx.routes SET calling_enabled = false")
    await floor.dial("84915112345678")
    assert f"switched off for number {floor.number}" in await refused(floor, Rule.CALLING_DISABLED)


async def test_no_rate_and_no_money(floor: Floor) -> None:
    await floor.quote("FR")
    await floor.money(Decimal(0))
    await floor.dial("84915112345678")
    assert "has no rate in USD for calls to +4915112345678" in await refused(floor, Rule.NO_RATE)
    await floor.quote("DE")
    await floor.dial("84915112345678")
    reason = await refused(floor, Rule.BALANCE)
    assert reason == "insufficient balance: a call needs 0.0103 USD for the first 60 s, and 0.00 USD is free"


async def test_twenty_calls_at_once_on_a_balance_for_seven(floor: Floor) -> None:
    """Exactly seven phones ring; the ledger sums up to the last digit, and nothing stays held."""
    rate = await floor.quote("DE")
    await floor.money(7 * rate.price_per_minute)
    users = [f"49151200000{n}" for n in range(20, 40)]
    for user in users:
        await floor.meta.plan_user(UserPlan(number=user, answer_ms=200))
    began = await floor.db.fetchval("SELECT clock_timestamp()")
    await asyncio.gather(*(floor.dial(f"8{user}", desk=f"d{user[-2:]}") for user in users))
    mine = f"FROM pbx.calls WHERE received_at >= '{began.isoformat()}'"
    await floor.until(f"SELECT count(*) {mine} AND state = 'connected'", 7)
    await floor.until(f"SELECT count(*) {mine} AND (state = 'connected' OR refusal = 'balance')", 20)
    state = await floor.billing.state()
    assert (state.held, state.free) == (state.balance, Decimal(0))
    assert len([call for call in await floor.meta.calls() if call["user"] in users]) == 7
    await floor.hang_up_all()
    await floor.until(f"SELECT count(*) {mine} AND state = 'ended'", 20)
    await floor.until("SELECT held FROM pbx.billing", 0)
    charges = await floor.db.fetch("SELECT * FROM pbx.charges WHERE settled_at IS NOT NULL AND fee_seconds > 0")
    spent = sum(charge["price"] for charge in charges)
    assert len(charges) == 7
    assert all(charge["price"] == price(rate, charge["fee_seconds"]) and charge["unpaid"] == 0 for charge in charges)
    assert (await floor.billing.state()).balance == 7 * rate.price_per_minute - spent
    sums = await floor.db.fetchrow("SELECT sum(amount) AS amount, sum(held) AS held FROM pbx.ledger")
    assert sums is not None
    assert (sums["amount"], sums["held"]) == ((await floor.billing.state()).balance, 0)


async def test_a_call_is_ended_when_the_money_runs_out(floor: Floor) -> None:
    rate = await floor.quote("DE", per_minute="1")
    await floor.money(Decimal("0.1"))
    await floor.billing.configure(reserve_seconds=6, warn_seconds=3)
    await floor.meta.plan_user(UserPlan(number="4915112345678", answer_ms=100))
    await floor.dial("84915112345678")
    await floor.hears("sound:beep")
    row = await floor.record()
    assert (row["status"], row["ended_by"], row["reason"]) == ("Answered", "system", "the balance is used up")
    talked = row["ended_at"] - row["connected_at"]
    assert 4.5 < talked.total_seconds() < 6
    await floor.until("SELECT settled_at IS NOT NULL FROM pbx.charges ORDER BY opened_at DESC LIMIT 1", wanted=True)
    charge = await floor.db.fetchrow("SELECT * FROM pbx.charges ORDER BY opened_at DESC LIMIT 1")
    assert charge is not None
    assert charge["fee_seconds"] == fee_seconds(rate, talked) == 6
    assert (charge["price"], charge["unpaid"]) == (Decimal("0.1"), 0)
    assert (await floor.billing.state()).balance == 0
