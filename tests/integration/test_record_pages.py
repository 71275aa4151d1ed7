"""Lists of call records: filters, order, pages, and what somebody may see."""

import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store.database import Database
from ari_app.store.migrate import migrate
from ari_app.store.record_filters import Cursor, CursorError, Filters, Scope, Sort
from ari_app.store.records import Record, RecordStore

START = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
ADA, BOB = uuid.UUID(int=1), uuid.UUID(int=2)

#: 60 calls, one a minute; agent, group, status, length and caller go round at different speeds.
CALLS = """
INSERT INTO pbx.agents (id, name, endpoint)
SELECT lpad(n::text, 32, '0')::uuid, (ARRAY['Ada', 'Bob'])[n], 'PJSIP/100' || n FROM generate_series(1, 2) n;
INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, caller_number, caller_name, state, status,
                       ended_by, reason, agent_id, received_at, connected_at, ended_at, path)
SELECT gen_random_uuid(), 'lid-' || n, CASE n % 4 WHEN 0 THEN 'Voice' ELSE 'WhatsApp Call' END,
       CASE n % 6 WHEN 0 THEN 'outbound' ELSE 'inbound' END, CASE n % 2 WHEN 0 THEN '100' ELSE '200' END,
       '+49151' || lpad(n::text, 4, '0'), CASE n % 5 WHEN 0 THEN 'Zoë ' || n ELSE '<script>' END,
       'ended', CASE n % 3 WHEN 0 THEN 'Missed' ELSE 'Answered' END, 'user', 'why',
       CASE n % 3 WHEN 0 THEN NULL ELSE lpad((n % 3)::text, 32, '0')::uuid END,
       at, CASE n % 3 WHEN 0 THEN NULL ELSE at + n % 7 * interval '1 s' END, at + interval '30 s',
       ARRAY[CASE n % 2 WHEN 0 THEN 'group:Sales' ELSE 'group:Support' END]
  FROM (SELECT n, timestamptz '2026-03-29 00:00Z' + n * interval '1 minute' AS at FROM generate_series(0, 59) n) s;
"""


@pytest.fixture(scope="module", params=["refreshed", "not refreshed yet"])
async def records(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> AsyncIterator[RecordStore]:
    """Read by all tests here."""
    dsn = await postgres.create_database(f"records_{uuid.uuid4().hex}")
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    await connection.execute(CALLS)
    if request.param == "refreshed":
        assert await connection.fetchval("SELECT reports.refresh()") == 60
        assert await connection.fetchval("SELECT count(*) FROM reports.dirty") == 0
    await connection.close()
    async with Database(dsn) as opened:
        yield RecordStore(opened)


async def read_all(records: RecordStore, filters: Filters, sort: Sort, *, descending: bool, size: int) -> list[Record]:
    found: list[Record] = []
    cursor = None
    while True:
        page = await records.page(filters, sort=sort, descending=descending, cursor=cursor, size=size)
        found += page.records
        if page.next is None:
            return found
        assert len(page.records) == size
        cursor = page.next


async def test_pages_together_are_the_whole_list_in_its_order(records: RecordStore) -> None:
    for sort in Sort:
        for descending in (True, False):
            found = await read_all(records, Filters(), sort, descending=descending, size=7)
            keys = [(getattr(record, sort.value), record.linkedid) for record in found]
            assert len(set(keys)) == 60
            assert keys == sorted(keys, reverse=descending)


async def test_each_filter_leaves_what_it_says(records: RecordStore) -> None:
    async def numbers(filters: Filters) -> set[int]:
        found = await read_all(records, filters, Sort.STARTED, descending=True, size=50)
        assert await records.count(filters) == len(found)
        return {int(record.linkedid.removeprefix("lid-")) for record in found}

    everything = set(range(60))
    assert await numbers(Filters(channel_type="Voice")) == {n for n in everything if n % 4 == 0}
    assert await numbers(Filters(direction="outbound")) == {n for n in everything if n % 6 == 0}
    assert await numbers(Filters(statuses=["Missed", "Failed"])) == {n for n in everything if n % 3 == 0}
    assert await numbers(Filters(numbers=["200"])) == {n for n in everything if n % 2}
    assert await numbers(Filters(groups=["Sales"], agents=[ADA])) == {
        n for n in everything if n % 2 == 0 and n % 3 == 1
    }
    since, until = START + timedelta(minutes=10), START + timedelta(minutes=20)
    assert await numbers(Filters(since=since, until=until)) == set(range(10, 20))
    assert await numbers(Filters(caller="49151000")) == set(range(10))
    assert await numbers(Filters(caller="+491510012")) == {12}
    assert await numbers(Filters(caller="zoË 1")) == {10, 15}
    assert await numbers(Filters(caller="<SCRIPT")) == {n for n in everything if n % 5}
    assert await numbers(Filters(caller="49%")) == set()


async def test_a_scope_shows_own_calls_and_those_of_own_groups(records: RecordStore) -> None:
    filters = Filters(scope=Scope(agents=[ADA]))
    assert {record.agent for record in (await records.page(filters)).records} == {"Ada"}
    filters = replace(filters, scope=Scope(groups=["Sales"]))
    assert {record.groups for record in (await records.page(filters)).records} == {("Sales",)}
    assert (await records.page(Filters(scope=Scope()))).records == ()
    assert (await records.find("lid-1")) is not None
    assert (await records.find("lid-1", Scope(agents=[ADA]))) is not None
    assert (await records.find("lid-1", Scope(agents=[BOB], groups=["Sales"]))) is None
    assert (await records.find("lid-1\0")) is None


@pytest.mark.parametrize(
    "evil", ["'; DROP TABLE reports.records; --", "\0", "\ud800", "%' OR '1'='1", "\\", "$1", "\U0010ffff"]
)
async def test_whatever_is_typed_into_a_filter_finds_nothing_and_breaks_nothing(
    records: RecordStore, evil: str
) -> None:
    for filters in (
        Filters(caller=evil),
        Filters(statuses=[evil]),
        Filters(numbers=[evil]),
        Filters(groups=[evil]),
        Filters(channel_type=evil),
        Filters(direction=evil),
        Filters(scope=Scope(groups=[evil])),
    ):
        assert await records.count(filters) == 0
    assert await records.count(Filters()) == 60


def test_a_cursor_is_read_by_its_own_order_only() -> None:
    cursor = Cursor(Sort.STARTED, START, "ä/1;2")
    assert Cursor.decode(cursor.encode(), Sort.STARTED) == cursor
    assert re.fullmatch("[A-Za-z0-9_-]+", cursor.encode())
    for text in (cursor.encode(), "", "x", "é", "bnVsbA", "W10", Cursor(Sort.WAIT, -1, "x").encode(), "A" * 100_000):
        with pytest.raises(CursorError):
            Cursor.decode(text, Sort.WAIT)
