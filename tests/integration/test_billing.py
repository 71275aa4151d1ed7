"""Rates and balance in a real PostgreSQL: the quotation rule, an append-only ledger, races for the last money."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from ari_app.calls.rates import Rate, fee_seconds, price, reserve
from ari_app.flows.settlement import settle_due
from ari_app.store.billing import BillingStore, Quoted
from ari_app.store.database import Database, StoreError

NUMBER = "4930123456"
RATE = Rate("DE", Decimal("0.0103"), "USD", datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class Books:
    store: BillingStore
    sql: asyncpg.Connection

    async def call(self, *, answered: float = 0.0, ended: bool = False, age: float = 60.0) -> uuid.UUID:
        """An outbound call that began `age` s ago."""
        call = uuid.uuid4()
        began = datetime.now(UTC) - timedelta(seconds=age)
        await self.sql.execute(
            "INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, state, status, ended_by, "
            "received_at, connected_at, ended_at) "
            "VALUES ($1, $2, 'WhatsApp Call', 'outbound', $3, $4, $5, $6, $7, $8, $9)",
            *(call, str(call), NUMBER, "ended" if ended else "connected", "Answered" if ended else None),
            *("agent" if ended else None, began, began, began + timedelta(seconds=answered) if ended else None),
        )
        return call

    async def sums(self) -> tuple[Decimal, Decimal]:
        row = await self.sql.fetchrow("SELECT sum(amount) AS amount, sum(held) AS held FROM pbx.ledger")
        assert row is not None
        return row["amount"], row["held"]

    async def quote(self) -> None:
        await self.store.set_rates([Quoted(NUMBER, RATE)])


@asynccontextmanager
async def books_of(dsn: str) -> AsyncIterator[Books]:
    connection = await asyncpg.connect(dsn)
    try:
        async with Database(dsn) as database:
            yield Books(BillingStore(database), connection)
    finally:
        await connection.close()


@pytest.fixture
async def books(database: str) -> AsyncIterator[Books]:
    async with books_of(database) as books:
        yield books


async def whatsapp_route(books: Books, *, calling_enabled: bool) -> None:
    await books.sql.execute(
        "INSERT INTO whatsapp.numbers (phone_number_id, display_number) VALUES ('1', $1) ON CONFLICT DO NOTHING", NUMBER
    )
    await books.sql.execute("INSERT INTO pbx.routes (number, calling_enabled) VALUES ($1, $2)", NUMBER, calling_enabled)


async def test_voice_calling_needs_a_quotation_once_billing_is_on(books: Books) -> None:
    await books.store.configure(enabled=True)
    with pytest.raises(asyncpg.CheckViolationError, match=f"number {NUMBER} .* before its quotation exists"):
        await whatsapp_route(books, calling_enabled=True)
    await whatsapp_route(books, calling_enabled=False)
    switch_on = "UPDATE pbx.routes SET calling_enabled = true"
    with pytest.raises(asyncpg.CheckViolationError, match="set rates for it first"):
        await books.sql.execute(switch_on)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await books.store.set_rates([Quoted(NUMBER, Rate("DE", Decimal(1), "USD", tomorrow))])
    with pytest.raises(asyncpg.CheckViolationError):
        await books.sql.execute(switch_on)
    await books.quote()
    await books.sql.execute(switch_on)


async def test_billing_cannot_be_switched_on_over_numbers_that_call_without_a_quotation(books: Books) -> None:
    await whatsapp_route(books, calling_enabled=True)
    with pytest.raises(StoreError, match=f"set rates for {NUMBER}"):
        await books.store.configure(enabled=True)
    await books.quote()
    await books.store.configure(enabled=True)
    assert (await books.store.state()).enabled


async def test_a_number_for_voice_calls_needs_no_quotation(books: Books) -> None:
    await books.store.configure(enabled=True)
    await books.sql.execute("INSERT INTO pbx.routes (number, calling_enabled) VALUES ('49301', true)")


async def test_the_ledger_is_append_only(books: Books) -> None:
    await books.store.top_up(Decimal("5"), "admin", "first")
    for statement in ("UPDATE pbx.ledger SET amount = 50", "DELETE FROM pbx.ledger", "TRUNCATE pbx.ledger"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
            await books.sql.execute(statement)
    [entry] = await books.store.ledger(10)
    assert (entry.kind, entry.amount, entry.balance_after, entry.made_by, entry.note) == (
        "top_up",
        Decimal(5),
        Decimal(5),
        "admin",
        "first",
    )


@pytest.mark.parametrize("amount", ["0", "-1"])
async def test_a_top_up_adds_money(books: Books, amount: str) -> None:
    with pytest.raises(StoreError, match="a top-up is more than 0"):
        await books.store.top_up(Decimal(amount), "admin")


async def test_a_correction_takes_no_money_that_a_call_holds(books: Books) -> None:
    await books.store.top_up(Decimal("10"), "admin")
    call = await books.call()
    await books.store.open(call, RATE, from_balance=True)
    assert await books.store.hold(call, Decimal("4"), Decimal("4")) == Decimal("4")
    with pytest.raises(StoreError, match=r"only 6\.000000 that no call holds"):
        await books.store.correct(Decimal("-6.000001"), "admin")
    assert await books.store.correct(Decimal("-6"), "admin") == Decimal("4")
    assert await books.sums() == (Decimal("4"), Decimal("4"))


async def test_the_currency_stays_while_there_is_money(books: Books) -> None:
    await books.store.top_up(Decimal("1"), "admin")
    with pytest.raises(StoreError, match="the balance is in USD"):
        await books.store.configure(currency="EUR")
    await books.store.correct(Decimal("-1"), "admin")
    await books.store.configure(currency="EUR")


async def test_twenty_calls_at_once_on_money_for_seven(books: Books, database: str) -> None:
    """Each from a connection of its own, as from seven applications; the ledger sums up to the last digit."""
    a_minute = reserve(RATE, timedelta(seconds=60))
    await books.store.top_up(7 * a_minute + a_minute / 2, "admin")
    calls = [await books.call() for _ in range(20)]

    async def try_to_call(call: uuid.UUID) -> bool:
        async with books_of(database) as own:
            await own.store.open(call, RATE, from_balance=True)
            return await own.store.hold(call, a_minute, a_minute) is not None

    went_out = await asyncio.gather(*(try_to_call(call) for call in calls))
    assert sum(went_out) == 7
    state = await books.store.state()
    assert (state.held, state.free) == (7 * a_minute, a_minute / 2)

    await books.sql.execute(
        "UPDATE pbx.calls SET state = 'ended', status = 'Answered', ended_at = connected_at + interval '31 seconds'"
    )
    applications = await asyncio.gather(*(settle_due(books.store, patience=0) for _ in range(3)))
    assert sum(applications) == 20
    cost = price(RATE, 36)
    state = await books.store.state()
    assert state.held == 0
    paid = [row["price"] - row["unpaid"] for row in await books.sql.fetch("SELECT price, unpaid FROM pbx.charges")]
    assert state.balance == 7 * a_minute + a_minute / 2 - sum(paid)
    assert await books.sums() == (state.balance, Decimal(0))
    assert max(paid) == cost


async def test_a_partial_hold_is_for_the_rest_of_the_money(books: Books) -> None:
    await books.store.top_up(Decimal("0.015"), "admin")
    call = await books.call()
    await books.store.open(call, RATE, from_balance=True)
    a_minute, a_pulse = reserve(RATE, timedelta(seconds=60)), reserve(RATE, timedelta(seconds=6))
    assert await books.store.hold(call, a_minute, a_minute) == a_minute
    assert await books.store.hold(call, a_minute, a_minute) is None
    assert await books.store.hold(call, a_minute, a_pulse) == Decimal("0.015")
    assert (await books.store.state()).free == 0


async def test_a_call_that_was_not_answered_costs_nothing(books: Books) -> None:
    await books.store.top_up(Decimal("1"), "admin")
    call = await books.call()
    await books.store.open(call, RATE, from_balance=True)
    await books.store.hold(call, Decimal("0.5"), Decimal("0.5"))
    await books.sql.execute(
        "UPDATE pbx.calls SET state = 'ended', status = 'No Answer', connected_at = NULL, ended_at = now()"
    )
    assert await settle_due(books.store, patience=0) == 1
    state = await books.store.state()
    assert (state.balance, state.held) == (Decimal("1"), Decimal("0"))
    row = await books.sql.fetchrow("SELECT fee_seconds, price, unpaid FROM pbx.charges")
    assert row is not None
    assert tuple(row) == (0, Decimal("0"), Decimal("0"))


async def test_a_crash_leaves_no_hold(books: Books) -> None:
    """The application was killed while a call was up; its successor ends the call, and settles it once."""
    await books.store.top_up(Decimal("1"), "admin")
    call = await books.call(age=100)
    await books.store.open(call, RATE, from_balance=True)
    await books.store.hold(call, Decimal("0.02"), Decimal("0.02"))
    assert await settle_due(books.store, patience=0) == 0, "it is up"
    await books.sql.execute(
        "UPDATE pbx.calls SET state = 'ended', status = 'Answered', ended_at = received_at + interval '90 seconds'"
    )
    assert await settle_due(books.store, patience=5) == 1
    assert await settle_due(books.store, patience=5) == 0
    state = await books.store.state()
    assert (state.balance, state.held) == (Decimal("1") - price(RATE, 90), Decimal("0"))


async def test_answered_time_is_metas_where_it_tells(books: Books) -> None:
    call = await books.call(answered=50, ended=True)
    await books.sql.execute("INSERT INTO whatsapp.numbers (phone_number_id, display_number) VALUES ('1', $1)", NUMBER)
    await books.sql.execute(
        "INSERT INTO whatsapp.calls (id, phone_number_id, direction, user_id, state, ended_at, meta_duration) "
        "VALUES ($1, '1', 'outbound', '4915112345678', 'ended', now(), 44)",
        call,
    )
    await books.store.open(call, RATE, from_balance=False)
    assert await settle_due(books.store, patience=1000) == 1
    row = await books.sql.fetchrow("SELECT fee_seconds, price, unpaid FROM pbx.charges")
    assert row is not None
    assert row["fee_seconds"] == fee_seconds(RATE, timedelta(seconds=44)) == 48
    assert (row["price"], row["unpaid"]) == (price(RATE, 48), Decimal("0"))
    assert (await books.store.state()).balance == 0, "somebody else's system is paid"


async def test_what_the_balance_does_not_cover_is_unpaid_and_never_negative(books: Books) -> None:
    await books.store.top_up(Decimal("0.01"), "admin")
    call = await books.call(answered=120, ended=True, age=200)
    await books.store.open(call, RATE, from_balance=True)
    assert await settle_due(books.store, patience=5) == 1
    row = await books.sql.fetchrow("SELECT price, unpaid FROM pbx.charges")
    assert row is not None
    assert row["unpaid"] == row["price"] - Decimal("0.01") > 0
    assert (await books.store.state()).balance == 0
