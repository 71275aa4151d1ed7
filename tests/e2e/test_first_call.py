"""The whole chain: a WhatsApp user, Meta's side, the bridge, Asterisk, the application, a SIP phone, the record."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ari_app.media.measure import dominant_tone, level_dbfs, longest_gap_ms, tone_gaps, tone_spans
from ari_app.media.wav import Sound as Recording
from ari_app.media.wav import read_wav, sine
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.stack import Stack
from ari_app.store.records import finished_record
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.models import Behaviour, Injection, PlaceCall
from whatsapp_bridge.simulator.phone import Sound, Tone

AGENT_TONE_HZ, CALLER_TONE_HZ = 600, 1000
#: Effective level of a tone whose peak is -20 dBFS.
TONE_DBFS = -23


@pytest.fixture
async def meta(stack: Stack) -> AsyncIterator[SimulatorClient]:
    async with SimulatorClient(stack.simulator_url) as client:
        yield client
        await client.reset()


def account(stack: Stack, user: str) -> SipAccount:
    port = int(stack.asterisk.sip_address.rpartition(":")[2])
    return SipAccount(user, stack.asterisk.phones[user].password, port=port)


@pytest.fixture
async def agent(stack: Stack, tmp_path: Path) -> AsyncIterator[Baresip]:
    microphone = sine(AGENT_TONE_HZ, 20, 48_000, TONE_DBFS)
    async with Baresip.start(stack.closure, tmp_path / "1001", account(stack, "1001"), microphone=microphone) as phone:
        yield phone


def assert_clean(recording: Recording, hz: int) -> float:
    """The tone is that tone, at its level; returns the longest gap of its first ten seconds, ms."""
    assert dominant_tone(recording).frequency_hz == pytest.approx(hz, abs=5)
    spans = tone_spans(recording, hz)
    assert level_dbfs(recording) == pytest.approx(TONE_DBFS, abs=3)
    start = spans[0][0] + 0.3
    return longest_gap_ms(tone_gaps(recording, hz, start_s=start, end_s=start + 10))


async def test_each_hears_the_others_tone_whole(stack: Stack, meta: SimulatorClient, agent: Baresip) -> None:
    worst = []
    for _ in range(3):
        caller = await meta.place(PlaceCall(name="Ada", play=Sound(tone=Tone(hz=CALLER_TONE_HZ, dbfs=-20))))
        call = await agent.ringing()
        assert (call.peer_name, call.peer_number) == ("Ada", "+16315553602")
        await call.answer()
        joined = (await caller.read())["media"]["packets_in"]
        await caller.wait(packets_in=joined + 560, timeout=30)
        facts = await caller.end()
        await call.closed()
        record = await finished_record(stack.dsn, caller.id)
        assert (record["status"], record["ended_by"], record["agent"]) == ("Answered", "user", "Agent 1001")
        assert record["channel_type"] == "WhatsApp Call"
        assert 10 <= record["talk_seconds"] <= 14
        assert record["duration"] == f"00:00:{record['talk_seconds']:02}"
        caller_heard, agent_heard = read_wav(Path(facts["recording"]["path"])), read_wav(call.recording.path)
        since = tone_spans(caller_heard, AGENT_TONE_HZ)[0][0]
        worst.append(
            max(
                assert_clean(agent_heard, CALLER_TONE_HZ),
                assert_clean(caller_heard.part(since), AGENT_TONE_HZ),
            )
        )
        if worst[-1] <= 60:
            return
    # A busy machine can make a good path stutter now and then, but not a bad one run smoothly.
    pytest.fail(f"each of three calls had a gap of more than 60 ms: {worst}")


async def test_digits_reach_the_agent_and_the_caller(meta: SimulatorClient, agent: Baresip) -> None:
    caller = await meta.place(PlaceCall(play=Sound(tone=Tone(hz=CALLER_TONE_HZ, dbfs=-20))))
    call = await agent.ringing()
    await call.answer()
    await caller.press("159*")
    await call.heard_digits("159*", timeout=10)
    await call.press("0#27")
    await caller.wait(dtmf="0#27", timeout=10)
    await call.hang_up()
    facts = await caller.wait(state="ended", timeout=10)
    assert facts["ended_by"] == "business"


async def test_a_caller_who_gives_up_stops_the_phone_and_is_a_user_abandon(
    stack: Stack, meta: SimulatorClient, agent: Baresip
) -> None:
    caller = await meta.place()
    call = await agent.ringing()
    left_at = (await caller.hang_up())["times"]["ended"]
    closed = await call.closed(timeout=5)
    assert closed.at - left_at < 1
    record = await finished_record(stack.dsn, caller.id, timeout=2)
    assert (record["status"], record["ended_by"]) == ("User Abandon", "user")
    assert record["duration"] == "00:00:00"


async def test_without_the_agents_phone_the_caller_is_told_and_the_record_says_why(
    stack: Stack, meta: SimulatorClient
) -> None:
    caller = await meta.place()
    await caller.wait(state="ended", timeout=30)
    facts = await caller.end()
    assert level_dbfs(read_wav(Path(facts["recording"]["path"]))) > -45
    record = await finished_record(stack.dsn, caller.id)
    assert (record["status"], record["ended_by"], record["agent"]) == ("Missed", "system", None)
    assert "nobody was there" in record["reason"]


async def test_a_call_between_two_phones_is_a_voice_record(stack: Stack, agent: Baresip, tmp_path: Path) -> None:
    async with Baresip.start(stack.closure, tmp_path / "1002", account(stack, "1002")) as other:
        outgoing = await other.dial("1001")
        incoming = await agent.ringing()
        await incoming.answer()
        await outgoing.established()
        await outgoing.hang_up()
        await incoming.closed()
    connection = await asyncpg.connect(stack.dsn)
    try:
        async with asyncio.timeout(10):
            query = "SELECT * FROM reports.call_records WHERE user_number = '1002'"
            while (row := await connection.fetchrow(query)) is None:
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
    assert (row["channel_type"], row["status"], row["agent"]) == ("Voice", "Answered", "Agent 1001")
    assert (row["direction"], row["business_number"], row["meta_call_id"]) == ("internal", "1001", None)


async def test_nonsense_from_outside_is_logged_once_and_the_next_call_works(
    stack: Stack, meta: SimulatorClient, agent: Baresip
) -> None:
    def webhook(*calls: Any) -> dict[str, Any]:
        metadata = {"phone_number_id": stack.number.phone_number_id, "display_phone_number": "1"}
        value = {"messaging_product": "whatsapp", "metadata": metadata, "calls": list(calls)}
        return {"entry": [{"id": "1", "changes": [{"field": "calls", "value": value}]}]}

    lines_before = len(stack.bridge.log.read_text().splitlines())
    nonsense = [
        Injection(raw='{"entry": ['),
        Injection(body=webhook({"id": "wacid.odd", "event": "moon_phase"})),
        Injection(body=webhook({"event": "connect"})),
        Injection(body=webhook({"id": "wacid.nosession", "event": "connect"})),
        Injection(body=webhook({"id": "x" * 5000, "event": "connect", "session": {"sdp": "v=0", "sdp_type": "offer"}})),
    ]
    for injection in nonsense:
        assert (await meta.inject(injection))["status"] == 200
    bad_offer = await meta.place(PlaceCall(behaviour=Behaviour(sdp_omit=["fingerprint"])))
    await bad_offer.wait(state="ended", timeout=10)
    log = stack.bridge.log.read_text().splitlines()[lines_before:]
    complaints = [line for line in log if " WARNING " in line or " ERROR " in line]
    assert len(complaints) == len(nonsense)
    assert max(map(len, complaints)) < 500

    caller = await meta.place()
    call = await agent.ringing()
    await call.answer()
    await caller.end()
    await call.closed()


async def test_a_killed_bridge_leaves_nothing_when_it_is_back(
    stack: Stack, meta: SimulatorClient, agent: Baresip
) -> None:
    caller = await meta.place()
    call = await agent.ringing()
    await call.answer()
    os.kill(stack.bridge.pid, signal.SIGKILL)
    await stack.bridge.wait()
    await stack.bridge.start()
    await call.closed(timeout=10)
    await caller.wait(state="ended", timeout=10)
    record = await finished_record(stack.dsn, caller.id)
    assert record["ended_by"] == "system"
    assert record["status"] == "Answered"
    async with asyncio.timeout(10):
        while "0 active channels" not in await stack.asterisk.cli("core show channels"):
            await asyncio.sleep(0.1)


async def test_the_demo_proves_a_call_in_one_json_line() -> None:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("asterisk-whatsapp"), "demo", "--json", stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(100):
        output, _ = await process.communicate()
    assert process.returncode == 0
    result = json.loads(output.decode().splitlines()[-1])
    assert result["audio"]["caller_heard_agent"] is True
    assert result["audio"]["agent_heard_caller"] is True
    assert result["record"]["status"] == "Answered"
    assert result["record"]["channel_type"] == "WhatsApp Call"
    assert set(result["timings_ms"]) == {"webhook_to_pre_accept", "webhook_to_agent_ringing", "accept_to_first_audio"}
