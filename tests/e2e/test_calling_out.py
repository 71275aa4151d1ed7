"""An agent calls WhatsApp users from a SIP phone: real Asterisk, phone, bridge and application, and a strict Meta."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ari_app.media.measure import dominant_tone
from ari_app.media.wav import read_wav, sine
from ari_app.runtime.stack import Stack
from tests.e2e.calling import PATIENCE, Office, office_of, talking, tone
from whatsapp_bridge.simulator.models import Behaviour, PlaceCall


@pytest.fixture
async def office(stack: Stack, tmp_path: Path) -> AsyncIterator[Office]:
    async with office_of(stack, tmp_path) as office:
        yield office


async def test_an_agent_calls_a_user_and_they_talk(office: Office) -> None:
    await office.plan(play=tone(1000), answer_ms=600)
    await office.phone.say(sine(700, 1, 48_000, -20), repeat=True)
    call = await office.phone.dial(f"8{office.user}")
    await office.phone.wait_for("CALL_RINGING", call=call, timeout=PATIENCE)
    ringing = await office.record("ringing")
    assert ringing["direction"] == "outbound"
    users = await talking(office)
    agent = await office.db.fetchrow("SELECT * FROM pbx.agent_states")
    assert agent is not None
    assert agent["call_id"] == ringing["id"], "no call of a queue is offered now"
    await users.wait(packets_in=60, timeout=PATIENCE)
    await call.hang_up()
    facts = await users.wait(closed=True, timeout=PATIENCE)
    assert facts["ended_by"] == "business"
    assert not facts["early_media"]
    assert dominant_tone(read_wav(Path(facts["recording"]["path"]))).frequency_hz == pytest.approx(700, abs=5)
    row = await office.record(status="Answered")
    assert (row["number"], row["channel_type"], row["ended_by"], row["reason"]) == (
        office.stack.number.display_number,
        "WhatsApp Call",
        "agent",
        "Agent 1001 hung up",
    )
    assert row["whatsapp_call_id"] == users.id
    assert row["caller_name"] == "Ada", "as Meta calls the user: this is the first call"
    assert row["agent_id"] == agent["agent_id"]
    await office.value("SELECT call_id IS NULL AND available_after > now() FROM pbx.agent_states", wanted=True)
    await call.closed(timeout=PATIENCE)
    assert dominant_tone(read_wav(call.recording.path)).frequency_hz == pytest.approx(1000, abs=5)
    await office.value("SELECT seconds > 0.5 FROM pbx.recordings WHERE call_id = $1", row["id"], wanted=True)
    cdr = await office.db.fetch(
        "SELECT channel_type, whatsapp_call_id FROM cdr.cdr WHERE linkedid = $1", row["linkedid"]
    )
    assert ("WhatsApp Call", users.id) in [tuple(line) for line in cdr]
    await office.value(
        "SELECT concat_ws(', ', direction, status, agent, user_number, ended_by, meta_call_id, talk_seconds <= 20)"
        "  FROM reports.call_records WHERE linkedid = $1",
        row["linkedid"],
        wanted=f"outbound, Answered, Agent 1001, {office.user}, agent, {users.id}, t",
    )


@pytest.mark.parametrize(
    ("plan", "status", "ended_by"),
    [
        ({"answer": "reject"}, "Declined", "user"),
        ({"answer": "ignore", "behaviour": Behaviour(ring_s=1)}, "No Answer", "system"),
        ({"callable": False}, "Failed", "system"),
    ],
)
async def test_a_user_does_not_take_the_call(office: Office, plan: dict[str, Any], status: str, ended_by: str) -> None:
    await office.plan(**plan)
    call = await office.phone.dial(f"8{office.user}")
    await call.closed(timeout=PATIENCE)
    row = await office.record(status=status)
    assert (row["ended_by"], row["connected_at"], row["refusal"]) == (ended_by, None, None)
    if status == "Failed":
        assert "138001" in row["reason"]
    await office.value("SELECT call_id IS NULL FROM pbx.agent_states", wanted=True)
    await office.value(
        "SELECT concat_ws(', ', status, agent, user_number, answered_at IS NULL)"
        "  FROM reports.call_records WHERE linkedid = $1",
        row["linkedid"],
        wanted=f"{status}, Agent 1001, {office.user}, t",
    )


async def test_a_user_hangs_up(office: Office) -> None:
    await office.plan()
    call = await office.phone.dial(f"8{office.user}")
    users = await talking(office)
    await users.hang_up()
    await call.closed(timeout=PATIENCE)
    row = await office.record(status="Answered")
    assert (row["ended_by"], row["reason"]) == ("user", "the user hung up")


async def test_an_agent_who_hangs_up_while_it_rings_stops_the_users_phone(office: Office) -> None:
    await office.plan(answer="ignore")
    call = await office.phone.dial(f"8{office.user}")
    await office.phone.wait_for("CALL_RINGING", call=call, timeout=PATIENCE)
    users = await office.users_call()
    await call.hang_up()
    facts = await users.wait(state="ended", timeout=5)
    assert facts["ended_by"] == "business"
    row = await office.record(status="Cancelled")
    assert (row["ended_by"], row["reason"]) == ("agent", "the agent hung up while the user's phone was ringing")


@pytest.mark.parametrize(("hours", "shown"), [("148.5", "Ada · 6d 4h"), (None, "Ada")])
async def test_an_agent_sees_how_long_a_caller_may_still_be_called(
    office: Office, hours: str | None, shown: str
) -> None:
    await office.db.execute("UPDATE pbx.routes SET permission_prompt = true, entry_prompt = 'sound:beep'")
    await office.db.execute(
        "INSERT INTO whatsapp.permissions (phone_number_id, user_key, status, expires_at) "
        "VALUES ($1, $2, CASE WHEN $3::text IS NULL THEN 'none' ELSE 'temporary' END, now() + $3::text::interval)",
        office.stack.number.phone_number_id,
        office.user,
        None if hours is None else f"{hours} hours",
    )
    try:
        users = await office.meta.place(PlaceCall(from_=office.user, name="Ada"))
        call = await office.phone.ringing(timeout=PATIENCE)
        assert call.peer_name == shown
        await users.hang_up()
    finally:
        await office.db.execute("UPDATE pbx.routes SET permission_prompt = false")
    assert (await office.record())["caller_name"] == "Ada"
