"""Rates and balance."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from ari_app.calls.rates import Rate
from ari_app.console.access import ADMINISTRATORS
from ari_app.console.api.operations import Ask, In, Operations, Out, Whole
from ari_app.console.api.problems import refused
from ari_app.store.billing import BillingStore, Quoted
from ari_app.store.console.audit import Entry
from ari_app.store.database import StoreError, StoreUnavailable

operations = Operations("Money")

Amount = Annotated[Decimal, Field(gt=0, lt=Decimal(10) ** 9, decimal_places=6)]


class RateOut(Out):
    number: str
    destination: str
    price_per_minute: Decimal
    currency: str
    valid_from: datetime
    first_pulse_seconds: int
    next_pulse_seconds: int


class RateIn(In):
    number: str = Field(pattern="^[0-9]{1,15}$", description="Business number")
    destination: str = Field(
        pattern=r"^([A-Z]{2}|[0-9]{1,15}|\*)$", description="Digits that numbers begin with, a country, or *"
    )
    price_per_minute: Amount
    first_pulse_seconds: int = Field(6, ge=1, le=3600)
    next_pulse_seconds: int = Field(6, ge=1, le=3600)


class Rates(Out):
    items: list[RateOut]


class Balance(Out):
    enabled: bool
    currency: str
    balance: Decimal
    held: Decimal = Field(description="By running calls")
    free: Decimal


class TopUp(In):
    amount: Amount
    note: str | None = Field(None, max_length=500)


class LedgerLine(Out):
    entry: int
    at: datetime
    kind: str
    amount: Decimal
    held: Decimal
    balance_after: Decimal
    held_after: Decimal
    currency: str
    call_id: UUID | None
    made_by: str
    note: str | None


class Ledger(Out):
    items: list[LedgerLine]


class LedgerQuery(In):
    limit: Whole = Field(100, ge=1, le=1000, description="The newest so many, oldest first")


@operations.get("/rates", roles=ADMINISTRATORS, answer=Rates, summary="What calls cost")
async def rates(ask: Ask) -> BaseModel:
    return Rates(items=[_rate(item) for item in await _store(ask).rates()])


@operations.post(
    "/rates", roles=ADMINISTRATORS, body=RateIn, answer=RateOut, once=True, summary="Set a rate from now on"
)
async def set_rate(ask: Ask) -> BaseModel:
    wanted, store = ask.body(RateIn), _store(ask)
    currency = (await store.state()).currency
    rate = Rate(
        wanted.destination,
        wanted.price_per_minute,
        currency,
        datetime.now(UTC),
        wanted.first_pulse_seconds,
        wanted.next_pulse_seconds,
    )
    item = Quoted(wanted.number, rate)
    try:
        await store.set_rates([item])
    except StoreUnavailable:
        raise
    except StoreError as refusal:
        raise refused(str(refusal)) from refusal
    after = {"destination": rate.destination, "price per minute": f"{rate.price_per_minute} {currency}"}
    await ask.stores.audit.add(ask.actor, Entry("added", "rate", wanted.number, None, after))
    return _rate(item)


@operations.get("/balance", roles=ADMINISTRATORS, answer=Balance, summary="How the balance stands")
async def balance(ask: Ask) -> BaseModel:
    return Balance.model_validate(await _store(ask).state())


@operations.post(
    "/balance/top-ups", roles=ADMINISTRATORS, body=TopUp, answer=Balance, once=True, summary="Money came in"
)
async def top_up(ask: Ask) -> BaseModel:
    wanted, store = ask.body(TopUp), _store(ask)
    try:
        await store.top_up(wanted.amount, ask.actor.name[:128], wanted.note)
    except StoreUnavailable:
        raise
    except StoreError as refusal:
        raise refused(str(refusal)) from refusal
    return Balance.model_validate(await store.state())


@operations.get("/balance/ledger", roles=ADMINISTRATORS, query=LedgerQuery, answer=Ledger, summary="Where money went")
async def ledger(ask: Ask) -> BaseModel:
    lines = await _store(ask).ledger(ask.query(LedgerQuery).limit)
    return Ledger(items=[LedgerLine.model_validate(line) for line in lines])


def _store(ask: Ask) -> BillingStore:
    return BillingStore(ask.stores.database)


def _rate(item: Quoted) -> RateOut:
    return RateOut(number=item.number, **vars(item.rate))
