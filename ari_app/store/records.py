"""Call records, as people read them: `reports.call_records`.

records = RecordStore(database)
page = await records.page(Filters(since=…, statuses=["Missed"]), sort=Sort.TALK, cursor=text_of_the_last_page)
record = await records.find(linkedid, scope)           Record | None
n = await records.count(filters)                       at most COUNT_LIMIT
steps = await record_steps.steps(database, record)     the time line of one record
await record_charts.by_hour(database, filters, "Europe/Berlin")    likewise wait_distribution, service_levels
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from ari_app.store.record_filters import (
    Cursor,
    Filters,
    Parameters,
    Scope,
    Sort,
    behind,
    conditions,
    is_in_order,
    order,
    sorted_afterwards,
    time_only,
    where,
)

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID

    from ari_app.store.database import Database

LOOK_AGAIN_S = 0.1
"""Asterisk writes its CDR without telling anybody."""

PAGE_SIZE = 50
LARGEST_PAGE = 500

#: Records that are walked through for a page before indexes are asked: some 15 ms.
NEXT = 10_000

#: Nobody reads on to page two hundred; counting further costs more than it tells.
COUNT_LIMIT = 10_000

#: Limit for a list or a report, s.
READ_SECONDS = 10.0

FIND = """
SELECT r.*
  FROM reports.call_records r
 WHERE r.meta_call_id = $1
   AND r.ended_at IS NOT NULL
   AND EXISTS (SELECT FROM cdr.cdr c WHERE c.linkedid = r.linkedid)
   AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.meta_call_id = $1 AND w.state <> 'ended')
   AND NOT EXISTS (SELECT FROM pbx.calls p WHERE p.linkedid = r.linkedid AND p.state <> 'ended')
"""


@dataclass(frozen=True)
class RungPhone:
    """One offer of the call to an agent."""

    agent: str
    group: str | None
    started_at: datetime
    ring_seconds: float | None
    outcome: str | None
    reason: str | None


@dataclass(frozen=True)
class Record:
    """A row of reports.call_records; `\\d+ reports.call_records` explains each column."""

    linkedid: str
    channel_type: str
    direction: str
    user_number: str | None
    user_name: str | None
    business_number: str | None
    agent: str | None
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    wait_seconds: int
    talk_seconds: int
    duration: str
    status: str
    ended_by: str | None
    reason: str | None
    meta_call_id: str | None
    recording_file: str | None
    recording_seconds: float | None
    queued_at: datetime | None
    queue_seconds: int | None
    ring_seconds: int | None
    hold_seconds: int | None
    group_name: str | None
    groups: tuple[str, ...]
    path: tuple[str, ...]
    offers: tuple[RungPhone, ...]
    refusal: str | None
    meta_status: str | None
    meta_error_code: int | None
    meta_error_text: str | None
    meta_seconds: int | None
    hangup_cause: int | None
    hangup_cause_text: str | None
    disposition: str | None
    voicemail_file: str | None
    voicemail_seconds: float | None
    payload: str | None
    fee_seconds: int | None
    cost: Decimal | None
    currency: str | None
    call_id: UUID | None
    agent_id: UUID | None
    recording_id: UUID | None
    voicemail_id: UUID | None


@dataclass(frozen=True)
class Page:
    records: tuple[Record, ...]
    next: str | None
    "Cursor of the page after this one; None when there is none."


class RecordStore:
    """All methods raise StoreError when PostgreSQL is away or refuses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        filters: Filters,
        *,
        sort: Sort = Sort.STARTED,
        descending: bool = True,
        cursor: str | None = None,
        size: int = PAGE_SIZE,
    ) -> Page:
        """Up to `size` records behind the cursor of the page before. Raises CursorError as well."""
        size = max(1, min(size, LARGEST_PAGE))
        after = None if cursor is None else Cursor.decode(cursor, sort)
        search = _Search(filters, sort, after, descending, size + 1)
        async with reading(self._database) as connection:
            if sort is Sort.STARTED and not is_in_order(filters):
                keys = await search.among_the_next(connection) or await search.among_all(connection)
                parameters = Parameters()
                found = [f"r.linkedid = ANY ({parameters.add(keys)}::text[])"]
                statement = f"SELECT {COLUMNS} FROM reports.call_records r{where(found)}{search.order}"  # noqa: S608
            else:
                parameters, found = search.conditions(filters)
                statement = (
                    f"SELECT {COLUMNS} FROM reports.call_records r{where(found)}"  # noqa: S608
                    f"{search.order} LIMIT {size + 1}"
                )
            rows = await connection.fetch(statement, *parameters.values, timeout=READ_SECONDS)
        records = tuple(record(row) for row in rows[:size])
        if len(rows) <= size:
            return Page(records, None)
        last = rows[size - 1]
        return Page(records, Cursor(sort, last[sort.value], last["linkedid"]).encode())

    async def count(self, filters: Filters) -> int:
        """How many records there are, COUNT_LIMIT at most."""
        parameters = Parameters()
        found = where(conditions(filters, parameters))
        statement = f"SELECT count(*) FROM (SELECT FROM reports.call_records r{found} LIMIT {COUNT_LIMIT}) s"  # noqa: S608
        async with reading(self._database) as connection:
            return int(await connection.fetchval(statement, *parameters.values, timeout=READ_SECONDS))

    async def find(self, linkedid: str, scope: Scope | None = None) -> Record | None:
        """One record; None when there is none, or none that the scope may see."""
        parameters = Parameters()
        found = [f"r.linkedid = {parameters.add(linkedid)}", *conditions(Filters(scope=scope), parameters)]
        statement = f"SELECT {COLUMNS} FROM reports.call_records r{where(found)}"  # noqa: S608
        async with reading(self._database) as connection:
            row = await connection.fetchrow(statement, *parameters.values)
        return None if row is None else record(row)


@dataclass(frozen=True)
class _Search:
    """A page of filters that may be rare together though each is common, which no statistics tell PostgreSQL: it would
    walk through all records in order, and never fill the page. So the next NEXT records are walked through; where they
    have not enough, what is sought is rare, and all of it is found by the filters' indexes and then sorted.
    """

    filters: Filters
    sort: Sort
    after: Cursor | None
    descending: bool
    size: int

    @property
    def order(self) -> str:
        return order(self.sort, descending=self.descending)

    def conditions(self, filters: Filters) -> tuple[Parameters, list[str]]:
        parameters = Parameters()
        found = conditions(filters, parameters)
        if self.after is not None:
            found.append(behind(self.after, parameters, descending=self.descending))
        return parameters, found

    async def among_the_next(self, connection: asyncpg.pool.PoolConnectionProxy) -> list[str]:
        """Keys of a whole page, or nothing."""
        parameters, near = self.conditions(time_only(self.filters))
        wanted = conditions(self.filters, parameters)
        statement = (
            f"SELECT r.linkedid FROM (SELECT r.* FROM reports.call_records r{where(near)}{self.order}"  # noqa: S608
            f" LIMIT {NEXT}) r{where(wanted)}{self.order} LIMIT {self.size}"
        )
        rows = await connection.fetch(statement, *parameters.values, timeout=READ_SECONDS)
        return [row["linkedid"] for row in rows] if len(rows) == self.size else []

    async def among_all(self, connection: asyncpg.pool.PoolConnectionProxy) -> list[str]:
        parameters, found = self.conditions(self.filters)
        statement = (
            f"SELECT r.linkedid FROM reports.call_records r{where(found)}"  # noqa: S608
            f"{sorted_afterwards(descending=self.descending)} LIMIT {self.size}"
        )
        rows = await connection.fetch(statement, *parameters.values, timeout=READ_SECONDS)
        return [row["linkedid"] for row in rows]


COLUMNS = ", ".join(f"r.{column.name}" for column in fields(Record))


def record(row: asyncpg.Record) -> Record:
    values: dict[str, Any] = dict(row)
    offers = tuple(
        RungPhone(**{**offer, "started_at": datetime.fromisoformat(offer["started_at"])})
        for offer in json.loads(values["offers"])
    )
    return Record(**{**values, "groups": tuple(values["groups"]), "path": tuple(values["path"]), "offers": offers})


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
    """A connection for statements whose best way depends on their values: they are planned anew each time."""
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off")
        yield connection


async def finished_record(dsn: str, meta_call_id: str, *, timeout: float = 10.0) -> dict[str, Any]:
    """The record of a WhatsApp call once Asterisk, bridge and application have all written theirs.

    Raises TimeoutError, or asyncpg's errors.
    """
    async with asyncio.timeout(timeout):
        connection = await asyncpg.connect(dsn)
        try:
            while (row := await connection.fetchrow(FIND, meta_call_id)) is None:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_AGAIN_S)
            return dict(row)
        finally:
            await connection.close()
