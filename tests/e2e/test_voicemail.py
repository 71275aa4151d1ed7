"""WhatsApp users who find nobody: refused outside business hours, or asked for a message."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ari_app.media.measure import dominant_tone
from ari_app.media.wav import read_wav
from ari_app.runtime.stack import Stack
from ari_app.store.records import finished_record
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.models import PlaceCall
from whatsapp_bridge.simulator.phone import Sound, Tone


@pytest.fixture
async def meta(stack: Stack) -> AsyncIterator[SimulatorClient]:
    async with SimulatorClient(stack.simulator_url) as client:
        yield client
        await client.reset()


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stack.dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def test_when_nobody_is_there_the_caller_leaves_a_message(
    stack: Stack, meta: SimulatorClient, database: asyncpg.Connection
) -> None:
    await database.execute("UPDATE pbx.groups SET no_agent = 'voicemail', join_empty = 'available'")
    await database.execute("UPDATE pbx.routes SET entry_prompt = 'sound:beep', voicemail_prompt = 'sound:beep'")
    caller = await meta.place(PlaceCall(name="Ada", play=Sound(tone=Tone(hz=1000, dbfs=-20))))
    await caller.wait(packets_in=400, timeout=30)  # also while the message is recorded
    await caller.hang_up()
    record = await finished_record(stack.dsn, caller.id)
    assert (record["status"], record["ended_by"]) == ("Voicemail", "user")
    message = await database.fetchrow("SELECT * FROM pbx.voicemails")
    assert message is not None
    assert message["group_name"] == "Agents"
    assert message["seconds"] > 3
    tone = dominant_tone(read_wav(Path(message["file"])).part(0.5))
    assert tone.frequency_hz == pytest.approx(1000, abs=5)
    assert tone.purity > 0.9


async def test_outside_business_hours_meta_is_told_that_the_call_is_rejected(
    stack: Stack, meta: SimulatorClient, database: asyncpg.Connection
) -> None:
    await database.execute("INSERT INTO pbx.schedules VALUES ('never', 'UTC')")
    await database.execute("UPDATE pbx.routes SET schedule = 'never'")
    caller = await meta.place()
    await caller.wait(state="ended", timeout=10)
    actions = [request["action"] for request in await meta.requests(call_id=caller.id)]
    assert "reject" in actions
    assert "accept" not in actions
    record = await finished_record(stack.dsn, caller.id)
    assert (record["status"], record["ended_by"], record["talk_seconds"]) == ("Rejected", "system", 0)
    assert record["reason"].startswith("outside business hours (never)")
