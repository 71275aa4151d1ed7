"""Calls that cost money: without it none goes out, none goes on; and money is spent once."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from ari_app.calls.rates import fee_seconds, price
from ari_app.calls.refusal import Rule
from ari_app.runtime.stack import Stack, StackOptions
from tests.e2e.desks import DESKS, Floor, floor_of, refused
from whatsapp_bridge.simulator.models import UserPlan


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(extra_dialplan=DESKS)


@pytest.fixture
async def floor(stack: Stack) -> AsyncIterator[Floor]:
    async with floor_of(stack) as floor:
        yield floor


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
