"""Reports beside the list of calls: agents' days, groups' hours, reconciliation; who may read; how records are kept."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store.migrate import migrate
from tests.integration.record_book import NUMBER, START, Book, after

WHATSAPP = {"whatsapp_call_id": "wacid.A", "channel_type": "WhatsApp Call"}
GRACE, ALAN = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture(scope="module")
async def dsn(postgres: EmbeddedPostgres) -> str:
    dsn = await postgres.create_database(f"reports_{uuid.uuid4().hex}")
    await migrate(dsn)
    return dsn


@pytest.fixture
async def book(dsn: str) -> AsyncIterator[Book]:
    """The database is left as it was."""
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    book = Book(connection)
    await book.open()
    yield book
    await transaction.rollback()
    await connection.close()


async def queue_call(
    book: Book, linkedid: str, began: float, status: str, wait: float, *groups: str, talk: int = 0
) -> None:
    """A call of the queue that Grace took, or nobody."""
    answered = status == "Answered"
    call = await book.app(
        linkedid,
        channel_type="Voice",
        status=status,
        received_at=after(began),
        queued_at=after(began),
        connected_at=after(began + wait) if answered else None,
        agent_id=GRACE if answered else None,
        ended_at=after(began + wait + talk),
        path=[f"group:{group}" for group in groups],
        hold_seconds=1 if answered else None,
    )
    await book.offer(
        call, 1 if answered else 2, began, began + wait, "answered" if answered else "missed", group_name=groups[-1]
    )
    await book.cdr(linkedid, 0, calldate=after(began), start=after(began), end=after(began + wait + talk))


async def test_an_agents_day_is_that_of_the_time_zone_asked_for(book: Book) -> None:
    # 23:59:50 UTC on the 28th is the 29th in Berlin.
    await queue_call(book, "before", -3600, "Answered", 5, "Sales", talk=60)
    await queue_call(book, "after", 60, "Answered", 10, "Sales", talk=30)
    await queue_call(book, "missed", 70, "Missed", 20, "Sales")
    await book.cdr("out", 20, channel="PJSIP/1001-00000001", calldate=after(100), start=after(100), end=after(130))
    await book.meta(
        "wacid.O", "out", direction="outbound", received_at=after(100), accepted_at=after(110), ended_at=after(130)
    )
    query = "SELECT * FROM reports.agent_day($1, $2, $3) ORDER BY day, agent"
    for _ in range(2):
        day = date(2026, 3, 29)
        alan, grace = await book.db.fetch(query, day, day, "Europe/Berlin")
        assert (alan["agent"], alan["offers"], alan["missed"], alan["calls_taken"]) == ("Alan", 1, 1, 0)
        assert (grace["offers"], grace["answered"], grace["ring_seconds"]) == (2, 2, 15)
        assert (grace["calls_taken"], grace["calls_made"], grace["calls_made_answered"]) == (2, 1, 1)
        assert (grace["talk_seconds"], grace["hold_seconds"], grace["average_talk_seconds"]) == (
            110,
            2,
            Decimal("36.7"),
        )
        assert (grace["first_call_at"], grace["last_call_at"]) == (after(-3600), after(100))
        (yesterday,) = await book.db.fetch("SELECT * FROM reports.agent_day WHERE day = '2026-03-28'")
        assert (yesterday["agent"], yesterday["calls_taken"], yesterday["talk_seconds"]) == ("Grace", 1, 60)
        await book.records()


async def test_a_groups_hour_counts_what_became_of_its_calls(book: Book) -> None:
    await queue_call(book, "quick", 60, "Answered", 20, "Sales", talk=100)
    await queue_call(book, "slow", 61, "Answered", 21, "Sales", talk=50)
    await queue_call(book, "gave up", 62, "User Abandon", 3, "Sales")
    await queue_call(book, "message", 63, "Voicemail", 30, "Sales")
    await queue_call(book, "moved", 64, "Answered", 5, "Sales", "Support", talk=10)
    await queue_call(book, "nobody", 3700, "Missed", 40, "Sales")
    for zone, start in (
        ("UTC", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2026, 3, 29, 0, 30, tzinfo=UTC)),
    ):
        rows = await book.db.fetch(
            "SELECT * FROM reports.group_hour($1, $2, $3) ORDER BY hour, group_name", START, after(7200), zone
        )
        sales, support, *later = rows
        assert (sales["hour"], sales["group_name"], sales["calls"], sales["passed_on"]) == (start, "Sales", 5, 1)
        assert (sales["answered"], sales["answered_in_time"], sales["service_level"]) == (2, 1, 25)
        assert (sales["abandoned"], sales["abandoned_in_time"], sales["voicemails"], sales["missed"]) == (1, 1, 1, 0)
        assert (sales["average_wait_seconds"], sales["longest_wait_seconds"]) == (20.5, 30)
        assert (sales["average_talk_seconds"], sales["average_handle_seconds"]) == (75, 80)
        assert (support["calls"], support["answered"], support["service_level"]) == (1, 1, 100)
        assert [row["missed"] for row in later] == [1]
    hour = await book.db.fetch("SELECT * FROM reports.group_hour WHERE hour = '2026-03-29 01:00Z' ORDER BY group_name")
    assert [(row["group_name"], row["calls"]) for row in hour] == [("Sales", 5), ("Support", 1)]


async def test_an_hour_that_comes_twice_in_autumn_is_two_hours(book: Book) -> None:
    began = (datetime(2026, 10, 25, 0, 30, tzinfo=UTC) - START).total_seconds()
    await queue_call(book, "summer", began, "Answered", 1, "Sales")
    await queue_call(book, "winter", began + 3600, "Answered", 1, "Sales")
    rows = await book.db.fetch(
        "SELECT * FROM reports.group_hour('2026-10-25', '2026-10-26', 'Europe/Berlin') ORDER BY hour"
    )
    assert [(row["hour"].hour, row["calls"]) for row in rows] == [(0, 1), (1, 1)]


async def test_every_offer_is_a_row(book: Book) -> None:
    await queue_call(book, "L", 60, "Missed", 20, "Sales")
    (row,) = await book.db.fetch("SELECT * FROM reports.offers")
    assert (row["agent"], row["group_name"], row["outcome"], row["ring_seconds"]) == ("Alan", "Sales", "missed", 20)
    assert (row["business_number"], row["call_status"], row["linkedid"]) == (NUMBER, "Missed", "L")


async def findings(book: Book) -> list[tuple[str, str | None, str]]:
    rows = await book.db.fetch("SELECT kind, linkedid, why FROM reports.reconciliation ORDER BY kind, linkedid")
    return [(row["kind"], row["linkedid"], row["why"]) for row in rows]


async def test_what_all_agree_on_is_no_finding(book: Book) -> None:
    await book.cdr("in", 10, billsec=9, **WHATSAPP)
    await book.meta("wacid.A", "in", accepted_at=after(1), meta_duration=9)
    await book.app("in", whatsapp_call_id="wacid.A")
    await book.cdr("refused", 10, channel_type="WhatsApp Call")
    await book.app("refused", direction="outbound", status="Failed", refusal="no_balance")
    await book.cdr("voice", 10)
    await book.cdr("ivr", 10)
    await book.app("ivr", channel_type="Voice")
    assert await findings(book) == []


async def test_a_call_at_meta_without_a_cdr_is_found_and_why(book: Book) -> None:
    await book.meta("wacid.A", None, reason="the offer has no sha-256 fingerprint")
    await book.meta("wacid.B", "B", reason="Asterisk went away")
    await book.meta("wacid.C", "C")
    await book.app("C", whatsapp_call_id="wacid.C")
    (restarted, no_cdr, never) = await findings(book)
    assert {kind for kind, *_ in (restarted, no_cdr, never)} == {"Meta call without CDR"}
    assert never[2] == "it never went into Asterisk: the offer has no sha-256 fingerprint"
    assert restarted[2].endswith("the bridge says: Asterisk went away")
    assert "look for cdr_pgsql in Asterisk's log" in no_cdr[2]


async def test_a_cdr_of_a_call_that_the_bridge_does_not_know_is_found_and_why(book: Book) -> None:
    await book.cdr("A", 10, **WHATSAPP)
    await book.cdr("B", 10, whatsapp_call_id="wacid.B")
    await book.insert("whatsapp.webhook_events", key="k", kind="connect", meta_call_id="wacid.B", body="{}")
    await book.cdr("C", 10, channel_type="WhatsApp Call")
    dialled, unknown, lost = await findings(book)
    assert (unknown[0], lost[0]) == ("CDR without Meta call", "CDR without Meta call")
    assert "the bridge never heard of this call" in unknown[2]
    assert "Meta told of the call" in lost[2]
    assert dialled[:2] == ("CDR of a WhatsApp call that Meta never had", "C")


async def test_a_call_of_the_application_that_nobody_else_has_is_found_and_why(book: Book) -> None:
    await book.app("A", channel_type="Voice", reason="the application was restarted")
    await book.app("B", whatsapp_call_id="wacid.gone")
    await book.cdr("C", 10, channel_type="WhatsApp Call")
    await book.app("C", direction="outbound", status="Failed", reason="no answer from the bridge")
    voice, whatsapp, outbound = await findings(book)
    assert voice[:2] == ("application call without CDR", "A")
    assert voice[2].endswith("the application says: the application was restarted")
    assert "neither Asterisk nor the bridge has it" in whatsapp[2]
    assert outbound[:2] == ("outbound call that Meta never had", "C")


async def test_lengths_that_differ_and_calls_that_stayed_open_are_found_and_why(book: Book) -> None:
    for linkedid, meta_duration in (("longer", 5), ("same", 11), ("shorter", 40)):
        await book.cdr(linkedid, 10, whatsapp_call_id=linkedid)
        await book.meta(linkedid, linkedid, accepted_at=START, meta_duration=meta_duration)
    await book.cdr("open", 10, whatsapp_call_id="open")
    await book.meta("open", "open", state="connected", ended_at=None, ended_by=None)
    await book.app("open", whatsapp_call_id="open", state="connected", status=None, ended_at=None)
    await book.cdr("", 10, uniqueid="17.3")
    no_linkedid, longer, shorter, *stayed_open = await findings(book)
    assert "UPDATE cdr.cdr SET linkedid = uniqueid WHERE linkedid = ''" in no_linkedid[2]
    assert longer[0] == shorter[0] == "lengths differ"
    assert longer[2].startswith("here it lasted longer")
    assert shorter[2].startswith("at Meta it lasted longer")
    assert [(kind, linkedid) for kind, linkedid, _ in stayed_open] == [("open, though over", "open")] * 2


async def test_every_view_and_column_explains_itself(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        """SELECT c.relname || coalesce('.' || a.attname, '') AS silent
             FROM pg_class c
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE c.relnamespace = 'reports'::regnamespace AND c.relkind = 'v'
              AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)
            UNION ALL
           SELECT proname FROM pg_proc
            WHERE pronamespace = 'reports'::regnamespace AND prorettype <> 'trigger'::regtype
              AND obj_description(oid) IS NULL AND proname <> 'mark_call'"""
    )
    await connection.close()
    assert [row["silent"] for row in rows] == []


async def test_a_reader_reads_all_reports_and_writes_nothing(postgres: EmbeddedPostgres, dsn: str) -> None:
    name = f"reader_{uuid.uuid4().hex[:8]}"
    await postgres.create_role(name)
    owner = await asyncpg.connect(dsn)
    await owner.execute("SELECT reports.grant_to($1)", name)
    views = [
        row[0]
        for row in await owner.fetch(
            """SELECT oid::regclass::text FROM pg_class
                WHERE relkind = 'v' AND relnamespace = 'reports'::regnamespace"""
        )
    ]
    tables = [
        row[0]
        for row in await owner.fetch(
            """SELECT oid::regclass::text FROM pg_class
                WHERE relkind = 'r' AND relnamespace::regnamespace::text ~ '^(reports|pbx|whatsapp|cdr|public)$'"""
        )
    ]
    await owner.close()
    reader = await asyncpg.connect(postgres.dsn(dsn.rpartition("/")[2], name))
    try:
        assert len(views) > 6
        for view in views:
            await reader.fetch(f"SELECT * FROM {view}")
        await reader.fetch("SELECT * FROM reports.agent_day('2026-01-01', '2026-12-31', 'Europe/Berlin')")
        await reader.fetch("SELECT * FROM reports.group_hour('2026-01-01', '2026-12-31', 'Europe/Berlin')")
        await reader.fetch("SELECT * FROM cdr.cdr")
        for statement in (
            *(f"DELETE FROM {name}" for name in (*views, *tables)),
            *(f"SELECT * FROM {name}" for name in tables if name != "cdr.cdr"),
            "SELECT reports.refresh()",
            "SELECT reports.mark_missing('-infinity')",
            "SELECT reports.mark_call('a', 'b')",
            "SELECT reports.grant_to('x')",
            "CREATE TABLE reports.mine ()",
            "CREATE TABLE public.mine ()",
        ):
            with pytest.raises(
                (
                    asyncpg.InsufficientPrivilegeError,
                    asyncpg.WrongObjectTypeError,
                    asyncpg.ObjectNotInPrerequisiteStateError,
                )
            ):
                await reader.execute(statement)
    finally:
        await reader.close()


async def test_a_fault_of_ours_never_keeps_a_cdr_out(book: Book) -> None:
    warnings: list[str] = []
    book.db.add_log_listener(lambda _, message: warnings.append(message.message))
    await book.db.execute("ALTER TABLE reports.dirty ADD CHECK (linkedid <> 'L')")
    await book.cdr("L", 10)
    assert await book.db.fetchval("SELECT count(*) FROM cdr.cdr") == 1
    assert "its call is not marked for reports" in warnings[0]
    await book.db.execute("ALTER TABLE reports.dirty DROP CONSTRAINT dirty_linkedid_check")
    assert await book.records() == []
    assert await book.db.fetchval("SELECT reports.mark_missing('-infinity')") == 1
    assert len(await book.records()) == 1


async def test_cdrs_that_were_loaded_around_the_triggers_are_found(book: Book) -> None:
    await book.db.execute("ALTER TABLE cdr.cdr DISABLE TRIGGER USER")
    for linkedid in ("a", "b", "c"):
        await book.cdr(linkedid, 10)
        await book.cdr(linkedid, 10, uniqueid=f"{linkedid}2")
    await book.app("c", channel_type="Voice", state="queued", status=None, ended_at=None)
    await book.db.execute("ALTER TABLE cdr.cdr ENABLE TRIGGER USER")
    assert await book.db.fetchval("SELECT reports.mark_missing($1)", START + timedelta(days=1)) == 0
    assert await book.db.fetchval("SELECT reports.mark_missing($1)", START) == 2
    assert [row["linkedid"] for row in await book.records()] == ["a", "b"]
    assert await book.db.fetchval("SELECT reports.mark_missing('-infinity')") == 0


async def test_only_one_refreshes_and_what_comes_meanwhile_is_not_lost(dsn: str) -> None:
    first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    linkedid = uuid.uuid4().hex
    cdr = 'INSERT INTO cdr.cdr (linkedid, uniqueid, start, "end", disposition) VALUES ($1, $2, now(), now(), $3)'
    try:
        await first.execute(cdr, linkedid, linkedid, "BUSY")
        transaction = first.transaction()
        await transaction.start()
        assert await first.fetchval("SELECT reports.refresh()") == 1
        assert await second.fetchval("SELECT reports.refresh()") == 0
        await second.execute(cdr, linkedid, linkedid, "ANSWERED")
        await second.execute(
            "UPDATE cdr.cdr SET start = start - interval '1 minute' WHERE linkedid = $1 AND disposition = 'ANSWERED'",
            linkedid,
        )
        await transaction.commit()
        query = "SELECT status FROM reports.call_records WHERE linkedid = $1"
        assert await second.fetchval(query, linkedid) == "Answered"
        assert await second.fetchval("SELECT reports.refresh()") == 1
        assert await second.fetchval(query, linkedid) == "Answered"
    finally:
        await second.execute("DELETE FROM cdr.cdr WHERE linkedid = $1", linkedid)
        await second.execute("SELECT reports.refresh()")
        await first.close()
        await second.close()
