"""Rates, balance, holds and charges of outbound calls in PostgreSQL; what may not go wrong there, sql/0014 guards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import asyncpg

from ari_app.calls.rates import Rate
from ari_app.store.database import Database

_RATES = "SELECT * FROM pbx.rates WHERE $1::text IS NULL OR number = $1 ORDER BY number, destination, valid_from"

_SET_RATE = """
INSERT INTO pbx.rates (number, destination, price_per_minute, currency, valid_from, first_pulse_seconds,
                       next_pulse_seconds)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (number, destination, valid_from) DO UPDATE
   SET price_per_minute = excluded.price_per_minute, currency = excluded.currency,
       first_pulse_seconds = excluded.first_pulse_seconds, next_pulse_seconds = excluded.next_pulse_seconds
"""

_OPEN = """
INSERT INTO pbx.charges (call_id, destination, price_per_minute, currency, first_pulse_seconds, next_pulse_seconds,
                         from_balance)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

#: Answered time is Meta's where it tells, else as long as the call was up for the bridge, else for us.
_ENDED = """
SELECT c.*, coalesce(w.meta_duration * interval '1 second', w.ended_at - w.accepted_at, p.ended_at - p.connected_at,
                     interval '0') AS answered
  FROM pbx.charges c
  JOIN pbx.calls p ON p.id = c.call_id
  LEFT JOIN whatsapp.calls w ON w.id = c.call_id
 WHERE c.settled_at IS NULL AND p.state = 'ended'
   AND (w.state = 'ended' OR p.ended_at < now() - $1 * interval '1 second')
"""

_LEDGER = "SELECT * FROM (SELECT * FROM pbx.ledger ORDER BY entry DESC LIMIT $1) l ORDER BY entry"


@dataclass(frozen=True)
class Billing:
    """How billing is set, and how the balance stands."""

    enabled: bool
    currency: str
    reserve_seconds: int
    end_calls: bool
    warn_seconds: int
    balance: Decimal
    held: Decimal

    @property
    def free(self) -> Decimal:
        """What no call holds."""
        return self.balance - self.held


@dataclass(frozen=True)
class Quoted:
    """A rate and the business number it is for."""

    number: str
    rate: Rate


@dataclass(frozen=True)
class Due:
    """A call that is over, whose account is open."""

    call: UUID
    rate: Rate
    answered: timedelta


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

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


class BillingStore:
    """All methods raise StoreUnavailable when PostgreSQL is away, StoreError with its words when it refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> Billing:
        async with self._database.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM pbx.billing")
        assert row is not None
        return Billing(**{name: row[name] for name in Billing.__dataclass_fields__})

    async def configure(self, **settings: object) -> None:
        """Change settings of `Billing`: enabled, currency, reserve_seconds, end_calls, warn_seconds."""
        names = ("enabled", "currency", "reserve_seconds", "end_calls", "warn_seconds")
        chosen = [name for name in names if name in settings]
        changes = ", ".join(f"{name} = ${index}" for index, name in enumerate(chosen, 1))
        async with self._database.connection() as connection:
            await connection.execute(
                f"UPDATE pbx.billing SET {changes}",  # noqa: S608 - names of ours
                *(settings[name] for name in chosen),
            )

    async def rates(self, number: str | None = None) -> list[Quoted]:
        """Of one business number, or all, in order."""
        async with self._database.connection() as connection:
            return [Quoted(row["number"], _rate(row)) for row in await connection.fetch(_RATES, number)]

    async def set_rates(self, quoted: Sequence[Quoted]) -> None:
        """Write these, all or nothing; one that is there already for that day is replaced."""
        async with self._database.connection() as connection:
            await connection.executemany(_SET_RATE, [_quoted_row(item) for item in quoted])

    async def top_up(self, amount: Decimal, made_by: str, note: str | None = None) -> Decimal:
        """The balance after it."""
        return await self._book("top_up", amount, made_by, note)

    async def correct(self, amount: Decimal, made_by: str, note: str | None = None) -> Decimal:
        """Add what may be negative; the balance after it."""
        return await self._book("correction", amount, made_by, note)

    async def ledger(self, limit: int) -> list[Entry]:
        """The newest entries, oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_LEDGER, limit)
        return [Entry(**dict(row)) for row in rows]

    async def open(self, call: UUID, rate: Rate, *, from_balance: bool) -> None:
        """A call is about to go out. The call must be recorded."""
        async with self._database.connection() as connection:
            await connection.execute(_OPEN, call, *_rate_row(rate), from_balance)

    async def hold(self, call: UUID, wanted: Decimal, least: Decimal) -> Decimal | None:
        """Hold `wanted` more for an open call, or what there is, if that is `least` or more; what is held now in all.

        None: there is not so much.
        """
        async with self._database.connection() as connection:
            held: Decimal | None = await connection.fetchval("SELECT pbx.hold($1, $2, $3)", call, wanted, least)
        return held

    async def due(self, patience: float) -> list[Due]:
        """Calls to be settled: over for Asterisk, and for the bridge too or since `patience` s."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_ENDED, patience)
        return [Due(row["call_id"], _rate(row), row["answered"]) for row in rows]

    async def settle(self, call: UUID, seconds: int, price: Decimal) -> bool:
        """Charge the price, and let go of what was held; False if that was done already."""
        async with self._database.connection() as connection:
            done: bool = await connection.fetchval("SELECT pbx.settle($1, $2, $3)", call, seconds, price)
        return done

    async def _book(self, kind: str, amount: Decimal, made_by: str, note: str | None) -> Decimal:
        async with self._database.connection() as connection:
            balance: Decimal = await connection.fetchval("SELECT pbx.book($1, $2, $3, $4)", kind, amount, made_by, note)
        return balance


def _rate(row: asyncpg.Record) -> Rate:
    return Rate(
        row["destination"],
        row["price_per_minute"],
        row["currency"],
        row.get("valid_from") or row["opened_at"],
        row["first_pulse_seconds"],
        row["next_pulse_seconds"],
    )


def _rate_row(rate: Rate) -> tuple[object, ...]:
    return (
        rate.destination,
        rate.price_per_minute,
        rate.currency,
        rate.first_pulse_seconds,
        rate.next_pulse_seconds,
    )


def _quoted_row(item: Quoted) -> tuple[object, ...]:
    rate = item.rate
    return (
        item.number,
        rate.destination,
        rate.price_per_minute,
        rate.currency,
        rate.valid_from,
        rate.first_pulse_seconds,
        rate.next_pulse_seconds,
    )
