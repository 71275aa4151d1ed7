"""Call records at size: a page of a filtered list, a day's report, a CSV of a million rows, how soon a call is there.

`--rows` CDRs are made (a year of two calls for each four; 10,000,000 for the full figure), in a PostgreSQL of our own
with 512 MB of shared buffers. Everything is measured through the functions that the console and the commands use.
"""

import argparse
import asyncio
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from ari_app.runtime.folder import RunFolder
from ari_app.runtime.ports import PortBlock
from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store import record_charts
from ari_app.store.database import Database
from ari_app.store.migrate import migrate
from ari_app.store.record_export import export_records
from ari_app.store.record_filters import Filters, Sort
from ari_app.store.record_upkeep import RecordUpkeep
from ari_app.store.records import RecordStore

PAGE_MS, DAY_MS, CSV_ROWS, RIGHT_SECONDS = 100.0, 300.0, 1_000_000, 2.0
END = datetime(2026, 11, 24, tzinfo=UTC)
YEAR = timedelta(days=365)
ROUNDS = 20
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "maintenance_work_mem": "256MB"}


def show(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def resident_mb(pid: int | str, field: str) -> float:
    """Of a process, from /proc: VmRSS is all, RssAnon what is its own (without PostgreSQL's shared buffers)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/status has no {field}")


async def build(connection: asyncpg.Connection, rows: int) -> None:
    begun = time.perf_counter()
    await connection.execute("SELECT set_config('bench.calls', $1, false)", str(rows // 2))
    await connection.execute(await asyncio.to_thread(Path(__file__).with_name("records_data.sql").read_text))
    await connection.execute("VACUUM ANALYZE")
    show(f"{rows:,} CDRs of {rows // 2:,} calls, loaded around the triggers: {time.perf_counter() - begun:.0f} s")


async def refresh(database: Database, connection: asyncpg.Connection) -> None:
    begun, total, upkeep = time.perf_counter(), 0, RecordUpkeep(database)
    while count := await upkeep.refresh(2000):
        total += count
    seconds = time.perf_counter() - begun
    await connection.execute("VACUUM ANALYZE")
    size = await connection.fetchval("SELECT pg_size_pretty(pg_total_relation_size('reports.records'))")
    show(f"{total:,} records made in {seconds:.0f} s ({total / seconds:,.0f} a second); with indexes they take {size}")


async def timed(work: Callable[[int], Awaitable[object]]) -> list[float]:
    """Milliseconds of each of ROUNDS rounds, the slowest last."""
    times = []
    for n in range(ROUNDS):
        begun = time.perf_counter()
        await work(n)
        times.append((time.perf_counter() - begun) * 1000)
    return sorted(times)


def agent(n: int) -> uuid.UUID:
    return uuid.UUID(f"{1 + n * 7 % 200:032x}")


def day(n: int) -> datetime:
    return END - timedelta(days=1 + n * 17 % 360)


async def measure_pages(store: RecordStore) -> float:
    async def second_page(n: int) -> None:
        first = await store.page(Filters(agents=[agent(n)]))
        await store.page(Filters(agents=[agent(n)]), cursor=first.next)

    cases: dict[str, Callable[[int], Awaitable[object]]] = {
        "the newest": lambda n: store.page(Filters()),
        "an agent's": lambda n: store.page(Filters(agents=[agent(n)])),
        "an agent's, two pages": second_page,
        "an agent's, of a group, missed or abandoned": lambda n: store.page(
            Filters(agents=[agent(n)], groups=[f"Group {1 + n % 10}"], statuses=["Missed", "User Abandon"])
        ),
        "a group's": lambda n: store.page(Filters(groups=[f"Group {1 + n % 10}"])),
        "a number's, Voice (there are none)": lambda n: store.page(
            Filters(numbers=[f"1555078388{1 + n % 5}"], channel_type="Voice")
        ),
        "two numbers', Voice (there are none)": lambda n: store.page(
            Filters(numbers=["15550783881", "15550783882"], channel_type="Voice")
        ),
        "a number's, WhatsApp, a month ago": lambda n: store.page(
            Filters(numbers=[f"1555078388{1 + n % 5}"], channel_type="WhatsApp Call", until=day(n))
        ),
        "missed, of one day": lambda n: store.page(
            Filters(statuses=["Missed"], since=day(n), until=day(n) + timedelta(days=1))
        ),
        "a caller's": lambda n: store.page(Filters(caller=f"49151{n:03}")),
        "a name's": lambda n: store.page(Filters(caller=f"caller {n + 1}00")),
        "the longest talks": lambda n: store.page(Filters(), sort=Sort.TALK),
        "the longest waits of a week": lambda n: store.page(
            Filters(since=day(n), until=day(n) + timedelta(days=7)), sort=Sort.WAIT
        ),
        "failed (there are none)": lambda n: store.page(Filters(statuses=["Failed"])),
        "outbound (there are none)": lambda n: store.page(Filters(direction="outbound")),
    }
    worst = 0.0
    show(f"\n{'a page of 50 records, ms':48}{'p50':>8}{'worst':>8}")
    for name, case in cases.items():
        times = await timed(case)
        worst = max(worst, times[-1])
        show(f"  {name:46}{statistics.median(times):8.1f}{times[-1]:8.1f}")
    return worst


async def measure_days(database: Database, connection: asyncpg.Connection) -> float:
    agents = "SELECT * FROM reports.agent_day($1, $1, $2)"
    cases: dict[str, Callable[[int], Awaitable[object]]] = {
        "agent_day, Europe/Berlin": lambda n: connection.fetch(agents, day(n).date(), "Europe/Berlin"),
        "agent_day, the view (UTC)": lambda n: connection.fetch(
            "SELECT * FROM reports.agent_day WHERE day = $1", day(n).date()
        ),
        "group_hour, Asia/Kolkata": lambda n: record_charts.service_levels(
            database, day(n), day(n) + timedelta(days=1), "Asia/Kolkata"
        ),
        "group_hour, the view, one hour": lambda n: connection.fetch(
            "SELECT * FROM reports.group_hour WHERE hour = $1", day(n)
        ),
        "calls per hour by status": lambda n: record_charts.by_hour(database, of_day(n), "Europe/Berlin"),
        "wait distribution": lambda n: record_charts.wait_distribution(database, of_day(n)),
        "totals": lambda n: record_charts.totals(database, of_day(n)),
        "reconciliation": lambda n: connection.fetch(
            "SELECT * FROM reports.reconciliation WHERE at >= $1 AND at < $2", day(n), day(n) + timedelta(days=1)
        ),
    }
    worst = 0.0
    show(f"\n{'a report of one day, ms':48}{'p50':>8}{'worst':>8}")
    for name, case in cases.items():
        times = await timed(case)
        worst = max(worst, times[-1])
        show(f"  {name:46}{statistics.median(times):8.1f}{times[-1]:8.1f}")
    return worst


def of_day(n: int) -> Filters:
    return Filters(since=day(n), until=day(n) + timedelta(days=1))


async def measure_csv(database: Database, connection: asyncpg.Connection, calls: int) -> None:
    """A tenth of the rows first: what a million takes more in memory is what grows with their number."""
    show(f"\n{'CSV, streamed':20}{'rows':>10}{'MB':>8}{'s':>8}{'our memory, MB':>17}{'the backend`s, MB':>20}")
    for wanted in (CSV_ROWS // 10, CSV_ROWS):
        since = END - YEAR * min(1.0, wanted / calls)
        size, pieces, pid, ours, theirs = 0, 0, 0, 0.0, 0.0

        async def write(data: bytes) -> None:
            nonlocal size, pieces, pid, ours, theirs
            size, pieces = size + len(data), pieces + 1
            if pieces % 1000 == 1:
                pid = pid or await connection.fetchval("SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY (%'")
                ours, theirs = max(ours, resident_mb("self", "VmRSS")), max(theirs, resident_mb(pid, "RssAnon"))

        begun = time.perf_counter()
        rows = await export_records(database, Filters(since=since), write)
        seconds = time.perf_counter() - begun
        show(f"{'':20}{rows:10,}{size / 1e6:8.0f}{seconds:8.1f}{ours:17.1f}{theirs:20.1f}")


async def measure_end(database: Database, connection: asyncpg.Connection) -> float:
    """From Asterisk's INSERT to the right row: at once in the view, and then in the table."""
    cdr = 'INSERT INTO cdr.cdr (linkedid, uniqueid, start, answer, "end", disposition) VALUES ($1, $1, $2, $2, $2, $3)'
    row = "SELECT status FROM reports.call_records WHERE linkedid = $1"
    inserts, views, refreshes = [], [], []
    for n in range(ROUNDS):
        begun = time.perf_counter()
        await connection.execute(cdr, f"new-{n}", END, "ANSWERED")
        inserted = time.perf_counter()
        assert await connection.fetchval(row, f"new-{n}") == "Answered"
        seen = time.perf_counter()
        await RecordUpkeep(database).refresh()
        refreshes.append((time.perf_counter() - seen) * 1000)
        views.append((seen - inserted) * 1000)
        inserts.append((inserted - begun) * 1000)
    show(f"\n{'a call ends, ms':48}{'p50':>8}{'worst':>8}")
    for name, times in (("Asterisk`s INSERT", inserts), ("the view has it", views), ("refreshed", refreshes)):
        show(f"  {name:46}{statistics.median(times):8.1f}{max(times):8.1f}")
    return max(views) / 1000


async def main(rows: int) -> int:
    with RunFolder() as folder, PortBlock() as ports:
        server = EmbeddedPostgres(folder.path / "postgres", ports.take())
        await server.start()
        try:
            for name, value in SETTINGS.items():
                await server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            await server.stop()
            await server.start()
            dsn = await server.create_database("bench")
            await migrate(dsn)
            connection = await asyncpg.connect(dsn)
            try:
                await build(connection, rows)
                async with Database(dsn) as database:
                    await refresh(database, connection)
                    page = await measure_pages(RecordStore(database))
                    report = await measure_days(database, connection)
                    right = await measure_end(database, connection)
                    await measure_csv(database, connection, rows // 2)
            finally:
                await connection.close()
        finally:
            await server.stop()
    show(
        f"\nworst page {page:.0f} ms (limit {PAGE_MS:.0f}), worst day's report {report:.0f} ms (limit {DAY_MS:.0f}), "
        f"a call's row is right after {right:.3f} s (limit {RIGHT_SECONDS:.0f})"
    )
    return int(page > PAGE_MS or report > DAY_MS or right > RIGHT_SECONDS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="CDRs (1,000,000)")
    sys.exit(asyncio.run(main(parser.parse_args().rows)))
