"""`reports.call_records`: what each kind of call looks like, from CDRs and from what bridge and application wrote."""

import json
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store.migrate import migrate
from tests.integration.record_book import START, Book, after

WHATSAPP = {"whatsapp_call_id": "wacid.A", "channel_type": "WhatsApp Call"}
GRACE = uuid.UUID(int=1)


@pytest.fixture(scope="module")
async def shared(postgres: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    """One migrated database for all tests here, each of which leaves it as it was."""
    dsn = await postgres.create_database(f"records_{uuid.uuid4().hex}")
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def book(shared: asyncpg.Connection) -> AsyncIterator[Book]:
    transaction = shared.transaction()
    await transaction.start()
    book = Book(shared)
    await book.open()
    yield book
    await transaction.rollback()


async def test_an_answered_whatsapp_call_is_one_record_out_of_many_cdrs(book: Book) -> None:
    await book.cdr("L", 3700, disposition="ANSWERED", channel="Local/1@whatsapp-in-1;1", answer=START)
    await book.cdr("L", 3700, uniqueid="two", disposition="ANSWERED", answer=START, **WHATSAPP)
    await book.cdr("L", 3690, uniqueid="agent", disposition="ANSWERED", channel="PJSIP/1001-00000001")
    await book.meta("wacid.A", "L")
    await book.app("L", agent_id=GRACE, connected_at=after(12.4))
    row = await book.record()
    assert (row["channel_type"], row["direction"], row["status"]) == ("WhatsApp Call", "inbound", "Answered")
    assert (row["user_number"], row["user_name"], row["business_number"]) == ("49151", "Ada", "15550783881")
    assert (row["agent"], row["ended_by"], row["meta_call_id"]) == ("Grace", "user", "wacid.A")
    assert (row["wait_seconds"], row["talk_seconds"], row["duration"]) == (12, 3688, "01:01:28")


async def test_the_way_through_menu_and_queue_is_in_the_record(book: Book) -> None:
    await book.cdr("L", 100, disposition="ANSWERED", **WHATSAPP)
    await book.meta("wacid.A", "L", payload="order 7", meta_status="COMPLETED", meta_duration=99, ended_at=after(100))
    call = await book.app(
        "L",
        agent_id=GRACE,
        queued_at=after(10),
        connected_at=after(40),
        ended_at=after(100),
        hold_seconds=7,
        path=["menu:Main", "digits:1", "group:Support", "group:Sales"],
    )
    await book.offer(call, 2, 12, 20, "rejected", group_name="Support")
    await book.offer(call, 2, 20, 30, "missed")
    await book.offer(call, 1, 25, 40, "answered")
    row = await book.record()
    assert (row["groups"], row["group_name"]) == (["Support", "Sales"], "Sales")
    assert row["path"] == ["menu:Main", "digits:1", "group:Support", "group:Sales"]
    offers = json.loads(row["offers"])
    assert [(o["agent"], o["group"], o["outcome"], o["ring_seconds"]) for o in offers] == [
        ("Alan", "Support", "rejected", 8),
        ("Alan", "Sales", "missed", 10),
        ("Grace", "Sales", "answered", 15),
    ]
    assert (row["wait_seconds"], row["queue_seconds"], row["ring_seconds"]) == (40, 30, 28)
    assert (row["talk_seconds"], row["hold_seconds"], row["payload"]) == (60, 7, "order 7")
    assert (row["meta_status"], row["meta_seconds"], row["hangup_cause_text"]) == ("COMPLETED", 99, "hung up")


async def test_recording_and_message_are_in_the_record_until_they_are_deleted(book: Book) -> None:
    call = await book.app("L", channel_type="Voice", status="Voicemail")
    await book.cdr("L", 100)
    recording = {"call_id": call, "file": "2026/x.wav", "started_at": START}
    await book.insert("pbx.recordings", id=uuid.UUID(int=7), **recording)
    assert (await book.record())["recording_file"] is None
    await book.db.execute("UPDATE pbx.recordings SET seconds = 12.5")
    await book.insert("pbx.voicemails", id=uuid.uuid4(), call_id=call, number="1", file="/v.wav", seconds=3)
    row = await book.record()
    assert (row["recording_file"], row["recording_seconds"]) == ("2026/x.wav", 12.5)
    assert (row["recording_id"], row["voicemail_file"], row["voicemail_seconds"]) == (uuid.UUID(int=7), "/v.wav", 3)
    await book.db.execute("UPDATE pbx.recordings SET deleted_at = now(); DELETE FROM pbx.voicemails")
    row = await book.record()
    assert (row["recording_file"], row["voicemail_file"]) == (None, None)


@pytest.mark.parametrize(
    ("ended_by", "cause", "status"),
    [("user", 16, "User Abandon"), ("pbx", 21, "Rejected"), ("pbx", 17, "Rejected"), ("pbx", 16, "Missed")],
)
async def test_an_unanswered_call_that_plain_dialplan_had(book: Book, ended_by: str, cause: int, status: str) -> None:
    await book.cdr("L", 10, **WHATSAPP)
    await book.meta("wacid.A", "L", ended_by=ended_by, hangup_cause=cause)
    row = await book.record()
    assert (row["status"], row["answered_at"], row["duration"]) == (status, None, "00:00:00")
    assert row["wait_seconds"] == 10


async def test_a_failure_of_the_bridge_outweighs_what_the_application_thought(book: Book) -> None:
    await book.cdr("L", 10, disposition="ANSWERED", **WHATSAPP)
    await book.meta("wacid.A", "L", ended_by="system", reason="Meta: 138021 no media", meta_error_code=138021)
    await book.app("L", status="User Abandon")
    row = await book.record()
    assert (row["status"], row["ended_by"], row["reason"]) == ("Failed", "system", "Meta: 138021 no media")
    assert row["meta_error_code"] == 138021


async def test_a_call_that_never_reached_asterisk_is_a_record_too(book: Book) -> None:
    call = await book.meta("wacid.A", None, ended_by="system", reason="no sha-256 fingerprint")
    row = await book.record()
    assert (row["channel_type"], row["status"], row["reason"]) == ("WhatsApp Call", "Failed", "no sha-256 fingerprint")
    assert (row["user_number"], row["business_number"]) == ("49151", "15550783881")
    assert (row["linkedid"], row["call_id"]) == (str(call), call)


@pytest.mark.parametrize(
    ("disposition", "status"),
    [("ANSWERED", "Answered"), ("NO ANSWER", "Missed"), ("BUSY", "Rejected"), ("FAILED", "Failed")],
)
async def test_a_call_without_any_trace_of_us_is_voice(book: Book, disposition: str, status: str) -> None:
    answer = after(5) if disposition == "ANSWERED" else None
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
    assert (row["duration"], row["disposition"]) == ("00:01:00" if answer else "00:00:00", disposition)
    assert row["ring_seconds"] == (5 if answer else 65)


async def test_a_phone_that_is_no_agents_is_named_by_its_endpoint(book: Book) -> None:
    await book.cdr("L", 65, disposition="ANSWERED", answer=START, dstchannel="PJSIP/reception-00000002")
    row = await book.record()
    assert (row["agent"], row["agent_id"]) == ("PJSIP/reception", None)


async def test_a_transfer_and_listening_channels_are_part_of_the_call(book: Book) -> None:
    await book.cdr("L", 60, disposition="ANSWERED", answer=START, channel="PJSIP/trunk-00000001", src="030")
    await book.cdr("L", 20, uniqueid="b", disposition="ANSWERED", channel="PJSIP/1001-00000001")
    await book.cdr("L", 90, uniqueid="c", start=after(20), channel="Local/1002@phones-00000001;2", dst="1002")
    await book.cdr("L", 500, uniqueid="d", channel="Snoop/L-00000001", disposition="ANSWERED")
    await book.app(
        "L", channel_type="Voice", agent_id=GRACE, connected_at=after(5), ended_at=after(90), path=["transfer:1002"]
    )
    row = await book.record()
    assert (row["agent"], row["talk_seconds"], row["path"]) == ("Grace", 85, ["transfer:1002"])


async def test_a_call_that_a_sip_system_took_has_no_agent(book: Book) -> None:
    await book.cdr("L", 60, disposition="ANSWERED", dstchannel="PJSIP/whatsapp-target-1-00000001", **WHATSAPP)
    await book.meta("wacid.A", "L")
    await book.app("L", connected_at=after(2), path=["sip", "sip:192.0.2.1:5060"])
    row = await book.record()
    assert (row["agent"], row["status"]) == (None, "Answered")


async def test_whom_the_dialplan_rang_after_the_application_is_the_agent(book: Book) -> None:
    await book.cdr("L", 60, disposition="ANSWERED", dstchannel="PJSIP/1002-00000001", **WHATSAPP)
    await book.meta("wacid.A", "L")
    await book.app("L", connected_at=after(2), ended_at=after(2), path=["dialplan:a,b"])
    assert (await book.record())["agent"] == "Alan"


async def test_a_phone_that_was_rung_in_vain_is_nobodys_call(book: Book) -> None:
    await book.cdr("L", 60, disposition="ANSWERED", dstchannel="PJSIP/1002-00000001", **WHATSAPP)
    await book.meta("wacid.A", "L")
    await book.app("L", status="Missed", ended_by="system")
    assert (await book.record())["agent"] is None


async def outbound(book: Book, meta: dict[str, Any] | None, app: dict[str, Any] | None) -> dict[str, Any]:
    """The agent Grace dials a user in the context whatsapp-out."""
    await book.cdr(
        "L",
        40,
        disposition="ANSWERED",
        answer=START,
        channel="PJSIP/1001-00000001",
        src="1001",
        clid='"Grace" <1001>',
        dst="849151",
        channel_type="WhatsApp Call",
    )
    if meta is not None:
        values = {"direction": "outbound", "user_name": None, "ringing_at": after(3), "ended_at": after(40)}
        await book.meta("wacid.A", "L", **values | meta)
    if app is not None:
        await book.app("L", **{"direction": "outbound", "caller_number": "+49151", "agent_id": GRACE} | app)
    return await book.record()


@pytest.mark.parametrize(
    ("meta", "status", "ended_by"),
    [
        ({"accepted_at": after(10)}, "Answered", "user"),
        ({"hangup_cause": 17}, "Declined", "user"),
        ({"hangup_cause": 19}, "No Answer", "user"),
        ({"hangup_cause": 17, "ended_by": "system"}, "Failed", "system"),
        ({"ended_by": "pbx"}, "Cancelled", "agent"),
        ({"accepted_at": after(10), "ended_by": "pbx"}, "Answered", "agent"),
    ],
)
async def test_an_outbound_call_of_plain_dialplan(book: Book, meta: dict[str, Any], status: str, ended_by: str) -> None:
    row = await outbound(book, meta, None)
    assert (row["channel_type"], row["direction"], row["status"]) == ("WhatsApp Call", "outbound", status)
    assert (row["user_number"], row["user_name"], row["business_number"]) == ("49151", None, "15550783881")
    assert (row["agent"], row["ended_by"]) == ("Grace", ended_by)
    answered = "accepted_at" in meta
    assert (row["wait_seconds"], row["talk_seconds"]) == ((10, 30) if answered else (40, 0))
    assert row["ring_seconds"] == (7 if answered else 37)


async def test_an_outbound_call_of_the_application_with_its_cost(book: Book) -> None:
    row = await outbound(book, {"accepted_at": after(10)}, {"connected_at": after(10), "ended_at": after(40)})
    assert (row["status"], row["agent"], row["cost"]) == ("Answered", "Grace", None)
    await book.insert(
        "pbx.charges",
        call_id=row["call_id"],
        destination="DE",
        price_per_minute=Decimal("0.02"),
        first_pulse_seconds=6,
        next_pulse_seconds=6,
        currency="USD",
        from_balance=True,
    )
    assert (await book.record())["cost"] is None
    await book.db.execute("UPDATE pbx.charges SET settled_at = now(), fee_seconds = 30, price = 0.01, unpaid = 0")
    row = await book.record()
    assert (row["fee_seconds"], row["cost"], row["currency"]) == (30, Decimal("0.01"), "USD")


async def test_an_outbound_call_that_was_refused_says_by_which_rule(book: Book) -> None:
    refusal = {"status": "Failed", "refusal": "no_balance", "reason": "the balance is too low", "ended_by": "system"}
    row = await outbound(book, None, refusal)
    assert (row["status"], row["refusal"], row["reason"]) == ("Failed", "no_balance", "the balance is too low")
    assert (row["direction"], row["agent"], row["user_number"]) == ("outbound", "Grace", "49151")
    assert (row["business_number"], row["meta_call_id"]) == ("15550783881", None)


async def test_an_outbound_call_that_nobody_answered_is_what_the_application_says(book: Book) -> None:
    row = await outbound(
        book, {"ended_by": "system", "hangup_cause": 19}, {"status": "No Answer", "ended_by": "system"}
    )
    assert (row["status"], row["ended_by"], row["reason"]) == ("No Answer", "system", "app")


async def test_of_several_users_whom_a_dialplan_rings_the_one_who_answered_counts(book: Book) -> None:
    await book.meta("wacid.B", "L", direction="outbound", user_number="1", ended_by="pbx")
    row = await outbound(book, {"accepted_at": after(10), "user_number": "2"}, None)
    assert (row["user_number"], row["status"]) == ("2", "Answered")


async def test_a_call_with_cdrs_of_single_legs_is_no_record_while_it_runs(book: Book) -> None:
    await book.cdr("L", 10, disposition="BUSY", channel="PJSIP/1001-00000001")
    await book.app("L", status="Missed", ended_by="system")
    assert await book.record()
    await book.db.execute("UPDATE pbx.calls SET state = 'queued', ended_at = NULL, status = NULL")
    assert await book.records() == []


async def test_a_running_call_is_no_record_yet(book: Book) -> None:
    await book.meta("wacid.A", "L")
    await book.db.execute("UPDATE whatsapp.calls SET state = 'ringing', ended_at = NULL, ended_by = NULL")
    assert await book.records() == []


async def test_a_call_that_has_just_ended_waits_a_moment_for_its_cdr(book: Book) -> None:
    await book.app("L", channel_type="Voice", ended_at=await book.db.fetchval("SELECT now() + interval '1 hour'"))
    assert await book.records() == []
    assert await book.db.fetchval("SELECT due > now() FROM reports.dirty") is True
    await book.cdr("L", 10)
    assert await book.record()


async def test_a_call_of_the_application_without_any_cdr_is_a_record(book: Book) -> None:
    await book.app("L", channel_type="Voice", status="Missed", caller_number="030")
    row = await book.record()
    assert (row["status"], row["user_number"], row["disposition"]) == ("Missed", "030", None)


async def test_a_cdr_that_comes_late_or_under_another_linkedid_completes_the_record(book: Book) -> None:
    await book.meta("wacid.A", "L")
    await book.app("L", status="Answered", whatsapp_call_id="wacid.A", agent_id=GRACE, connected_at=after(5))
    assert (await book.record())["linkedid"] == "L"
    await book.cdr("older", 60, disposition="ANSWERED", **WHATSAPP)
    row = await book.record()
    assert (row["linkedid"], row["status"], row["agent"]) == ("older", "Answered", "Grace")
    await book.db.execute("UPDATE pbx.calls SET reason = 'changed'")
    assert (await book.record())["reason"] == "changed"


async def test_what_meta_says_after_the_end_is_in_the_record(book: Book) -> None:
    await book.cdr("L", 10, **WHATSAPP)
    await book.meta("wacid.A", "L")
    assert (await book.record())["meta_seconds"] is None
    await book.db.execute("UPDATE whatsapp.calls SET meta_duration = 8, meta_status = 'COMPLETED'")
    assert (await book.record())["meta_seconds"] == 8


async def test_a_record_goes_with_what_it_was_made_of(book: Book) -> None:
    await book.cdr("L", 10)
    await book.cdr("M", 10)
    assert len(await book.records()) == 2
    await book.db.execute("DELETE FROM cdr.cdr WHERE linkedid = 'L'; UPDATE cdr.cdr SET linkedid = 'N'")
    assert [row["linkedid"] for row in await book.records()] == ["N"]


async def test_an_agent_has_the_new_name_in_old_records(book: Book) -> None:
    await book.cdr("L", 60, disposition="ANSWERED", answer=START, dstchannel="PJSIP/1001-00000002")
    assert (await book.record())["agent"] == "Grace"
    await book.db.execute("UPDATE pbx.agents SET name = 'Grace H.' WHERE endpoint = 'PJSIP/1001'")
    assert (await book.record())["agent"] == "Grace H."


async def test_an_emptied_table_leaves_no_records_behind(book: Book) -> None:
    await book.cdr("L", 60)
    assert await book.record()
    await book.db.execute("TRUNCATE cdr.cdr")
    assert await book.records() == []


async def test_a_backlog_slows_nobody_and_comes_in_piece_by_piece(book: Book) -> None:
    """As after an old table was loaded: the newest calls are there, the others come as they are made."""
    await book.cdr("stale", 60)
    await book.record()
    await book.db.execute("INSERT INTO reports.dirty VALUES ('stale', now() - interval '1 year')")
    old = "SELECT 'old' || n, now() - interval '1 day' FROM generate_series(1, 2500) n"
    await book.db.execute(f"INSERT INTO cdr.cdr (linkedid, calldate) {old}")
    await book.cdr("new", 60)
    await book.db.execute("UPDATE reports.dirty SET due = due + interval '1 ms' WHERE linkedid = 'new'")
    seen = {row[0] for row in await book.db.fetch("SELECT linkedid FROM reports.call_records")}
    assert {"new", "stale"} < seen
    assert len(seen) == 2001
    assert len(await book.records()) == 2502
