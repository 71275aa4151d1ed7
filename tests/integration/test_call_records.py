"""`reports.call_records`: what each kind of call looks like, from CDRs and from what bridge and application wrote."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

START = datetime(2026, 3, 29, 0, 59, 50, tzinfo=UTC)


class Book:
    """Writes rows as Asterisk, bridge and application would."""

    def __init__(self, db: Any) -> None:
        self.db = db

    async def cdr(self, linkedid: str, seconds: int, **columns: Any) -> None:
        row = {
            "linkedid": linkedid,
            "uniqueid": linkedid,
            "start": START,
            "end": START + timedelta(seconds=seconds),
            "disposition": "NO ANSWER",
            "dst": "15550783881",
        } | columns
        names = ", ".join(f'"{name}"' for name in row)
        values = ", ".join(f"${i}" for i in range(1, len(row) + 1))
        await self.db.execute(f"INSERT INTO cdr.cdr ({names}) VALUES ({values})", *row.values())

    async def meta(self, call_id: str, linkedid: str, *, ended_by: str, cause: int = 16, reason: str = "why") -> None:
        await self.db.execute(
            """INSERT INTO whatsapp.calls (id, meta_call_id, phone_number_id, direction, user_id, user_number,
                                           user_name, state, linkedid, received_at, ended_at, ended_by,
                                           hangup_cause, reason)
               VALUES ($1, $2, '106', 'inbound', '49151', '49151', 'Ada', 'ended', $3, $4, $5, $6, $7, $8)""",
            uuid.uuid4(),
            call_id,
            linkedid,
            START,
            START + timedelta(seconds=10),
            ended_by,
            cause,
            reason,
        )

    async def app(self, linkedid: str, *, status: str, ended_by: str, connected_after: float | None = None) -> None:
        agent = await self.db.fetchval("SELECT id FROM pbx.agents")
        connected = START + timedelta(seconds=connected_after) if connected_after is not None else None
        await self.db.execute(
            """INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, state, status, ended_by, reason,
                                      agent_id, received_at, connected_at, ended_at)
               VALUES ($1, $2, 'WhatsApp Call', 'inbound', '15550783881', 'ended', $3, $4, 'app', $5, $6, $7, $8)""",
            uuid.uuid4(),
            linkedid,
            status,
            ended_by,
            agent if connected else None,
            START,
            connected,
            START + timedelta(seconds=3700),
        )

    async def record(self) -> dict[str, Any]:
        (row,) = await self.db.fetch("SELECT * FROM reports.call_records")
        return dict(row)


@pytest.fixture
async def book(database: str) -> AsyncIterator[Book]:
    db = await asyncpg.connect(database)
    await db.execute("INSERT INTO whatsapp.numbers VALUES ('106', '15550783881', 'Shop')")
    await db.execute("INSERT INTO pbx.agents (name, endpoint) VALUES ('Grace', 'PJSIP/1001')")
    yield Book(db)
    await db.close()


async def test_an_answered_whatsapp_call_is_one_record_out_of_many_cdrs(book: Book) -> None:
    await book.cdr("L", 3700, disposition="ANSWERED", channel="Local/1@whatsapp-in-1;1", answer=START)
    whatsapp = {"whatsapp_call_id": "wacid.A", "channel_type": "WhatsApp Call"}
    await book.cdr("L", 3700, uniqueid="two", disposition="ANSWERED", answer=START, **whatsapp)
    await book.cdr("L", 3690, uniqueid="agent", disposition="ANSWERED", channel="PJSIP/1001-00000001")
    await book.meta("wacid.A", "L", ended_by="user")
    await book.app("L", status="Answered", ended_by="user", connected_after=12.4)
    row = await book.record()
    assert (row["channel_type"], row["direction"], row["status"]) == ("WhatsApp Call", "inbound", "Answered")
    assert (row["user_number"], row["user_name"], row["business_number"]) == ("49151", "Ada", "15550783881")
    assert (row["agent"], row["ended_by"], row["meta_call_id"]) == ("Grace", "user", "wacid.A")
    assert (row["wait_seconds"], row["talk_seconds"], row["duration"]) == (12, 3688, "01:01:28")


@pytest.mark.parametrize(
    ("ended_by", "cause", "status"),
    [("user", 16, "User Abandon"), ("pbx", 21, "Rejected"), ("pbx", 17, "Rejected"), ("pbx", 16, "Missed")],
)
async def test_an_unanswered_call_that_plain_dialplan_had(book: Book, ended_by: str, cause: int, status: str) -> None:
    await book.cdr("L", 10, whatsapp_call_id="wacid.A", channel_type="WhatsApp Call")
    await book.meta("wacid.A", "L", ended_by=ended_by, cause=cause)
    row = await book.record()
    assert (row["status"], row["answered_at"], row["duration"]) == (status, None, "00:00:00")
    assert row["wait_seconds"] == 10


async def test_a_failure_of_the_bridge_outweighs_what_the_application_thought(book: Book) -> None:
    await book.cdr("L", 10, whatsapp_call_id="wacid.A", channel_type="WhatsApp Call", disposition="ANSWERED")
    await book.meta("wacid.A", "L", ended_by="system", reason="Meta: 138021 no media")
    await book.app("L", status="User Abandon", ended_by="user")
    row = await book.record()
    assert (row["status"], row["ended_by"], row["reason"]) == ("Failed", "system", "Meta: 138021 no media")


async def test_a_call_that_never_reached_asterisk_is_a_record_too(book: Book) -> None:
    await book.meta("wacid.A", "never", ended_by="system", reason="no sha-256 fingerprint")
    row = await book.record()
    assert (row["channel_type"], row["status"], row["reason"]) == ("WhatsApp Call", "Failed", "no sha-256 fingerprint")
    assert (row["user_number"], row["business_number"]) == ("49151", "15550783881")


@pytest.mark.parametrize(
    ("disposition", "status"),
    [("ANSWERED", "Answered"), ("NO ANSWER", "Missed"), ("BUSY", "Rejected"), ("FAILED", "Failed")],
)
async def test_a_call_without_any_trace_of_us_is_voice(book: Book, disposition: str, status: str) -> None:
    answer = START + timedelta(seconds=5) if disposition == "ANSWERED" else None
    await book.cdr(
        "L",
        65,
        disposition=disposition,
        answer=answer,
        src="1002",
        dst="1001",
        clid='"Bob" <1002>',
        channel="PJSIP/1002-00000001",
        dstchannel="PJSIP/1001-00000002",
    )
    row = await book.record()
    assert (row["channel_type"], row["direction"], row["status"]) == ("Voice", "internal", status)
    assert (row["user_number"], row["user_name"], row["business_number"]) == ("1002", "Bob", "1001")
    assert row["agent"] == ("Grace" if disposition == "ANSWERED" else None)
    assert row["duration"] == ("00:01:00" if answer else "00:00:00")


async def test_a_phone_that_is_no_agents_is_named_by_its_endpoint(book: Book) -> None:
    await book.cdr("L", 65, disposition="ANSWERED", answer=START, dstchannel="PJSIP/reception-00000002")
    row = await book.record()
    assert (row["agent"], row["agent_id"]) == ("PJSIP/reception", None)


async def test_a_call_with_cdrs_of_single_legs_is_no_record_while_it_runs(book: Book) -> None:
    await book.cdr("L", 10, disposition="BUSY", channel="PJSIP/1001-00000001")
    await book.app("L", status="Missed", ended_by="system")
    assert await book.record()
    await book.db.execute("UPDATE pbx.calls SET state = 'queued', ended_at = NULL, status = NULL")
    assert await book.db.fetchval("SELECT count(*) FROM reports.call_records") == 0


async def test_a_running_call_is_no_record_yet(book: Book) -> None:
    await book.meta("wacid.A", "L", ended_by="user")
    await book.db.execute("UPDATE whatsapp.calls SET state = 'ringing', ended_at = NULL, ended_by = NULL")
    assert await book.db.fetchval("SELECT count(*) FROM reports.call_records") == 0
