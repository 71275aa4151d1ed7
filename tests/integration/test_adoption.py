"""The application is killed and started again, on a real Asterisk: who talked talks on, and who waited waits on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ari_app.ari.events import ChannelDestroyed
from ari_app.media.measure import longest_gap_ms, tone_gaps, tone_spans
from ari_app.media.wav import Sound, read_wav, sine
from ari_app.runtime.phone_call import PhoneCall
from ari_app.runtime.phones import Baresip
from ari_app.runtime.stack import Stack, StackOptions
from tests.integration.office import AGENTS, PATIENCE, Office, office_of
from tests.integration.test_recording import read_stereo, seconds_of

AGENT_HZ, CALLER_HZ = 440, 1000
NUMBER = "901"

#: Seconds of talk before the kill, without the application, and after it is back.
PART = 2.0


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    return StackOptions(bridge=False, simulator=False, extra_dialplan=AGENTS)


@pytest.fixture
async def office(stack: Stack) -> AsyncIterator[Office]:
    async with office_of(stack) as office:
        await office.group(join_empty="always", leave_empty="never", wrap_up_seconds=30)
        await office.database.execute(
            f"INSERT INTO pbx.routes (number, calling_enabled, entry_prompt, recording) "
            f"VALUES ('{NUMBER}', true, 'sound:beep', true) ON CONFLICT (number) DO UPDATE SET recording = true"
        )
        await office.database.execute(
            f"INSERT INTO pbx.route_groups VALUES ('{NUMBER}', 1, 'Agents') ON CONFLICT DO NOTHING"
        )
        yield office


async def row(office: Office, query: str) -> asyncpg.Record:
    async with asyncio.timeout(PATIENCE):
        while (found := await office.database.fetchrow(query)) is None:
            await asyncio.sleep(0.05)
        return found


async def kill_and_start(office: Office) -> None:
    office.stack.app.kill()
    await asyncio.sleep(PART)  # callers and agents talk meanwhile
    await office.stack.app.start()


def tone(hertz: int) -> Sound:
    return sine(hertz, 60, 48_000, -20)


def whole(call: PhoneCall, hertz: int, seconds: float) -> float:
    """The longest gap in the other's tone for so long from its beginning, ms."""
    sound: Sound = read_wav(call.recording.path)
    begin = tone_spans(sound, hertz, min_s=0.2)[0][0]
    return longest_gap_ms(tone_gaps(sound, hertz, start_s=begin + 0.2, end_s=begin + seconds))


@pytest.mark.parametrize("who", ["user", "agent"])
async def test_a_talk_goes_on_over_a_kill_and_ends_in_the_record_as_it_ended(
    office: Office, tmp_path: Path, who: str
) -> None:
    await office.agents("PJSIP/1001")
    stack = office.stack
    async with (
        Baresip.start(stack.closure, tmp_path / "1002", office.account("1002"), microphone=tone(CALLER_HZ)) as caller,
        Baresip.start(stack.closure, tmp_path / "1001", office.account("1001"), microphone=tone(AGENT_HZ)) as agent,
    ):
        made = await caller.dial(NUMBER)
        taken = await agent.ringing(timeout=PATIENCE)
        await taken.answer()
        await row(office, "SELECT FROM pbx.calls WHERE state = 'connected'")
        await asyncio.sleep(PART)
        await kill_and_start(office)
        (call,) = await office.database.fetch("SELECT state, ended_at FROM pbx.calls")
        assert (call["state"], call["ended_at"]) == ("connected", None)
        assert await office.database.fetchval("SELECT count(*) FROM pbx.agent_states WHERE call_id IS NOT NULL") == 1
        await asyncio.sleep(PART)
        await (made if who == "user" else taken).hang_up()
        await made.closed()
        await taken.closed()
    call = await row(office, "SELECT * FROM pbx.calls WHERE state = 'ended'")
    name = "the caller" if who == "user" else "Agent 1001"
    assert (call["status"], call["ended_by"], call["reason"]) == ("Answered", who, f"{name} hung up")
    assert (call["ended_at"] - call["connected_at"]).total_seconds() > 3 * PART
    agents = await row(
        office,
        "SELECT extract(epoch FROM available_after - now()) AS wrap_up FROM pbx.agent_states WHERE call_id IS NULL",
    )
    assert 20 < agents["wrap_up"] <= 30
    assert (await office.offers())[0]["outcome"] == "answered"
    for end, hertz in ((made, AGENT_HZ), (taken, CALLER_HZ)):
        assert whole(end, hertz, 3 * PART) < 100
    recording = await row(office, "SELECT file, fault FROM pbx.recordings WHERE seconds IS NOT NULL")
    assert recording["fault"] is None
    sides = read_stereo(stack.folder / "calls" / recording["file"])
    assert seconds_of(sides.caller, CALLER_HZ) > 3 * PART
    assert seconds_of(sides.heard, AGENT_HZ) > 3 * PART


async def test_callers_wait_on_in_their_order_and_phones_that_rang_ring_anew(office: Office) -> None:
    await office.group(ring_seconds=60)
    await office.agents("Local/ring1@test-agents")
    async with office.caller("wacid.1"), office.caller("wacid.2"):
        await office.record("wacid.1", "ringing")
        before = await office.record("wacid.2", "queued")
        await kill_and_start(office)
        await row(office, "SELECT FROM pbx.offers WHERE outcome IS NULL")
        first, second = await office.offers()
        assert (first["outcome"], first["reason"]) == ("cancelled", "the application was restarted")
        assert second["outcome"] is None
        call = await office.record("wacid.1", "ringing")
        assert second["call_id"] == call["id"]
        after = await office.record("wacid.2", "queued")
        assert after["queued_at"] == before["queued_at"]
        places = await office.database.fetch("SELECT call_id, joined_at FROM pbx.waiting ORDER BY joined_at")
        assert [place["call_id"] for place in places] == [call["id"], after["id"]]
    ended = await office.record("wacid.2")
    assert (ended["status"], ended["ended_by"]) == ("User Abandon", "user")


async def test_a_caller_in_a_menu_or_prompt_is_let_go(office: Office) -> None:
    await office.database.execute("UPDATE pbx.routes SET entry_prompt = 'sound:demo-congrats'")
    async with office.caller("wacid.1") as caller:
        await office.record("wacid.1", "received")
        await kill_and_start(office)
        await caller.wait_for(ChannelDestroyed, timeout=PATIENCE)
    call = await office.record("wacid.1")
    assert (call["status"], call["reason"]) == ("Failed", "the application was restarted")
