"""`asterisk-whatsapp records …`, one call's time line, charts, and the worker that keeps records."""

import asyncio
import csv
import io
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ari_app.runtime import cli
from ari_app.runtime.postgres import OWNER, EmbeddedPostgres
from ari_app.store import record_charts, record_upkeep
from ari_app.store.database import Database, StoreError, StoreUnavailable
from ari_app.store.migrate import migrate
from ari_app.store.record_export import export_records
from ari_app.store.record_filters import Filters
from ari_app.store.record_readers import grant
from ari_app.store.record_steps import steps
from ari_app.store.record_upkeep import RecordUpkeep
from ari_app.store.records import RecordStore
from tests.integration.record_book import START, Book, after

GRACE = uuid.UUID(int=1)
EVIL = '=HYPERLINK("http://192.0.2.1")'


@pytest.fixture(scope="module")
async def dsn(postgres: EmbeddedPostgres) -> str:
    """A day with an answered call, an outbound one that Meta refused, one of plain CDRs, and a stranger's CDR."""
    dsn = await postgres.create_database(f"command_{uuid.uuid4().hex}")
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    book = Book(connection)
    await book.open()
    await book.cdr(
        "in", 100, disposition="ANSWERED", channel="Local/x-1;2", lastapp="Stasis", whatsapp_call_id="wacid.A"
    )
    await book.meta(
        "wacid.A",
        "in",
        user_name=EVIL,
        payload="@order",
        pre_accepted_at=after(0.2),
        ringing_at=after(0.3),
        accepted_at=after(1),
        ended_at=after(100),
        meta_status="COMPLETED",
        meta_end=after(101),
        meta_duration=99,
    )
    call = await book.app(
        "in",
        whatsapp_call_id="wacid.A",
        received_at=after(0.5),
        queued_at=after(10),
        connected_at=after(40),
        ended_at=after(100),
        agent_id=GRACE,
        hold_seconds=4,
        path=["menu:Main", "digits:1", "group:Sales", "transfer:1002"],
    )
    await book.offer(call, 2, 12, 20, "rejected")
    await book.offer(call, 1, 20, 40, "answered")
    await book.insert(
        "pbx.recordings",
        id=uuid.uuid4(),
        call_id=call,
        file="x.wav",
        seconds=99,
        started_at=after(1),
        deleted_at=after(9e6),
    )
    await book.meta(
        "wacid.B",
        None,
        direction="outbound",
        received_at=after(200),
        ended_at=after(201),
        ended_by="system",
        hangup_cause=21,
        reason="Meta: no permission",
        meta_error_code=138006,
        meta_error_text="No approved permission",
    )
    await book.cdr("voice", 30, src="030", dst="1001", calldate=after(300), start=after(300), end=after(330))
    await book.cdr("stranger", 5, whatsapp_call_id="wacid.X", calldate=after(400), start=after(400), end=after(405))
    await connection.close()
    return dsn


@pytest.fixture
def config(dsn: str, tmp_path: Path) -> str:
    file = tmp_path / "stack.toml"
    file.write_text(f'[postgres]\ndsn = "{dsn}"\n[ari]\nusername = "a"\npassword = "b"\n')
    return str(file)


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    async with Database(dsn) as opened:
        yield opened


def command(*arguments: str) -> int:
    return cli.main(["records", *arguments])


def test_records_are_exported_as_csv_that_no_spreadsheet_takes_for_formulas(config: str, tmp_path: Path) -> None:
    file = tmp_path / "records.csv"
    assert command("--config", config, "export", "--csv", str(file), "--zone", "Europe/Berlin") == 0
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    assert [row["linkedid"] for row in rows if len(row["linkedid"]) < 36] == ["in", "voice", "stranger"]
    assert (rows[0]["user_name"], rows[0]["payload"], rows[0]["user_number"]) == (f"'{EVIL}", "'@order", "49151")
    assert rows[0]["path"] == "menu:Main > digits:1 > group:Sales > transfer:1002"
    # Clocks go forward in that night.
    assert rows[0]["started_at"] == "2026-03-29 01:59:50+01"
    assert rows[0]["ended_at"] == "2026-03-29 03:01:30+02"
    assert (rows[0]["talk_seconds"], rows[0]["duration"], rows[0]["hold_seconds"]) == ("60", "00:01:00", "4")
    assert rows[1]["reason"] == "Meta: no permission"
    assert not list(tmp_path.glob("*.part"))


def test_an_export_has_the_same_filters_as_a_list(config: str, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    arguments = ["--config", config, "export", "--csv", str(file), "--channel-type", "Voice", "--from", "2026-03-29"]
    assert command(*arguments, "--to", "2026-03-29T01:05") == 0
    (row,) = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    assert row["linkedid"] == "voice"


def test_an_export_that_fails_leaves_no_file(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    assert command("--config", config, "export", "--csv", str(tmp_path / "folder")) == 1
    assert command("--config", config, "export", "--csv", str(tmp_path / "none/x.csv")) == 1
    assert command("--config", config, "export", "--csv", "-", "--from", "yesterday") == 1
    assert "'yesterday' is no time" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "stack.toml"]


async def test_what_the_reader_of_an_export_does_wrong_is_told_as_it_is(database: Database) -> None:
    async def gone(_: bytes) -> None:
        raise ConnectionResetError("the browser was closed")

    with pytest.raises(ConnectionResetError, match="the browser was closed"):
        await export_records(database, Filters(), gone)
    with pytest.raises(ValueError, match="there is no time zone"):
        await export_records(database, Filters(), gone, zone="Mars/Base")


def test_reconcile_says_what_does_not_fit_and_why(
    config: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    day = ("--from", "2026-03-29", "--to", "2026-03-30")
    assert command("--config", config, "reconcile", *day) == 3
    output = capfd.readouterr()
    assert "CDR without Meta call" in output.out
    assert "Meta call without CDR" in output.out
    assert "2 calls that do not fit, from 2026-03-29 00:00 to 2026-03-30 00:00 UTC." in output.err
    file = tmp_path / "findings.csv"
    assert command("--config", config, "reconcile", *day, "--csv", str(file)) == 3
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    assert [row["why"].partition(":")[0] for row in rows] == [
        "it never went into Asterisk",
        "the bridge never heard of this call",
    ]
    assert command("--config", config, "reconcile", "--from", "2026-01-01", "--to", "2026-01-02") == 0
    assert "All fits" in capfd.readouterr().err


def test_a_role_is_made_only_by_whoever_may(config: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert command("--config", config, "grant", "nobody-yet") == 1
    assert "there is no role nobody-yet: give --create" in capfd.readouterr().err
    assert command("--config", config, "grant", "nobody-yet", "--create") == 1
    assert "CREATE ROLE nobody-yet LOGIN" in capfd.readouterr().err


async def test_a_role_that_is_made_reads_with_its_password_and_no_more(
    postgres: EmbeddedPostgres, dsn: str, database: Database
) -> None:
    role = f"report-{uuid.uuid4().hex[:6]}"
    await postgres.execute(f"ALTER ROLE {OWNER} CREATEROLE")
    try:
        await grant(database, role, "s3cret-'word")
    finally:
        await postgres.execute(f"ALTER ROLE {OWNER} NOCREATEROLE")
    reader = await asyncpg.connect(dsn, user=role, password="s3cret-'word")
    try:
        assert await reader.fetchval("SELECT count(*) FROM reports.call_records") == 4
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute("DELETE FROM cdr.cdr")
    finally:
        await reader.close()


async def test_a_record_is_told_step_by_step(database: Database) -> None:
    record = await RecordStore(database).find("in")
    assert record is not None
    told = await steps(database, record)
    assert [(step.source, step.kind) for step in told] == [
        ("meta", "received"),
        ("asterisk", "cdr"),
        ("meta", "pre_accepted"),
        ("meta", "ringing"),
        ("application", "received"),
        ("application", "path"),
        ("application", "path"),
        ("application", "path"),
        ("meta", "answered"),
        ("application", "recording"),
        ("application", "queued"),
        ("application", "offer"),
        ("application", "offer"),
        ("application", "answered"),
        ("application", "hold"),
        ("application", "path"),
        ("meta", "ended"),
        ("application", "ended"),
        ("meta", "ended"),
    ]
    words = {step.kind: step.text for step in told if step.source == "application"}
    assert words["offer"] == "Grace's phone rings for Sales: answered"
    assert words["answered"] == "User and Grace are connected"
    assert words["recording"].startswith("Recording begins; it was deleted on 2026-07")


async def test_a_call_that_meta_refused_is_told_with_metas_words(database: Database) -> None:
    (record,) = (await RecordStore(database).page(Filters(direction="outbound"))).records
    texts = [step.text for step in await steps(database, record)]
    assert texts == [
        "The PBX dials a WhatsApp user",
        "A failure ends the call: Meta: no permission (cause 21, rejected)",
        "Meta's error 138006: No approved permission",
    ]


async def test_charts_count_what_the_list_shows(database: Database) -> None:
    hours = await record_charts.by_hour(database, Filters(), "Europe/Berlin")
    assert sum(hour.calls for hour in hours) == 4
    assert {(hour.hour.hour, hour.status, hour.calls) for hour in hours} >= {(0, "Answered", 1), (1, "Failed", 1)}
    waits = await record_charts.wait_distribution(database, Filters(direction="inbound"))
    assert [(one.up_to, one.answered) for one in waits if one.answered] == [(60, 1)]
    assert [one.up_to for one in waits] == [*record_charts.WAIT_EDGES, None]
    (level,) = await record_charts.service_levels(database, START, after(60))
    assert (level.group_name, level.calls, level.answered, level.service_level) == ("Sales", 1, 1, 0)
    assert await record_charts.service_levels(database, START, after(60), groups=["Other"]) == []
    totals = await record_charts.totals(database, Filters())
    assert (totals.calls, totals.answered, totals.talk_seconds) == (4, 1, 60)
    assert (await record_charts.totals(database, Filters(numbers=["0"]))).average_wait_seconds is None


async def test_the_worker_makes_records_and_outlives_a_postgresql_that_is_away(
    postgres: EmbeddedPostgres, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_upkeep, "PAUSE", 0.05)
    monkeypatch.setattr(record_upkeep, "FAILURE_PAUSE", 0.05)

    async def settled(connection: asyncpg.Connection) -> None:
        async with asyncio.timeout(10):
            while await connection.fetchval("SELECT count(*) FROM reports.dirty WHERE due <= now()"):
                await asyncio.sleep(0.02)

    async with Database(dsn) as opened:
        worker = asyncio.create_task(RecordUpkeep(opened).run())
        connection = await asyncpg.connect(dsn)
        await connection.execute("UPDATE cdr.cdr SET src = src")
        await settled(connection)
        assert await connection.fetchval("SELECT count(*) FROM reports.records") == 4
        await connection.close()
        await postgres.stop()
        with pytest.raises((StoreError, StoreUnavailable)):
            await RecordUpkeep(opened).refresh()
        await postgres.start()
        connection = await asyncpg.connect(dsn)
        await connection.execute("INSERT INTO cdr.cdr (linkedid, start, \"end\") VALUES ('later', now(), now())")
        await settled(connection)
        assert await connection.fetchval("SELECT count(*) FROM reports.records") == 5
        await connection.execute("DELETE FROM cdr.cdr WHERE linkedid = 'later'")
        await settled(connection)
        await connection.close()
        assert not worker.done()
        worker.cancel()
        await asyncio.wait([worker])
        assert worker.cancelled()


def test_the_command_is_known_to_the_program() -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["records", "--config", "x", "export", "--csv", "-", "--zone", "Mars/Base"])
    assert ended.value.code == 2
