"""Calls to WhatsApp users that go through: the first words, consent, a transfer; and what ends or stops them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from ari_app.calls.rates import Rate
from ari_app.media.measure import find_speech, tone_spans
from ari_app.media.speech import sentence
from ari_app.media.wav import Sound as Heard
from ari_app.media.wav import read_wav, sine, wav_bytes
from ari_app.runtime.phones import Baresip, SipAccount
from ari_app.runtime.processes import Process
from ari_app.runtime.stack import Stack
from ari_app.store.billing import BillingStore, Quoted
from ari_app.store.database import Database
from tests.e2e.calling import PATIENCE, Office, office_of, talking, tone
from whatsapp_bridge.simulator.models import Behaviour
from whatsapp_bridge.simulator.phone import Sound


@pytest.fixture
async def office(stack: Stack, tmp_path: Path) -> AsyncIterator[Office]:
    async with office_of(stack, tmp_path) as office:
        yield office


def two_words() -> Heard:
    """A second of one tone, then another: whether the first word is whole can be heard."""
    return Heard(np.concatenate([sine(hz, 1, 48_000, -20).samples for hz in (700, 1200)]), 48_000)


def first_word_s(heard: Heard) -> float:
    """How much of it was heard before the second word, s. A packet that is late splits it, and clips nothing; what a
    phone says over again later does not count.
    """
    second = tone_spans(heard, 1200)[0][0]
    return sum(end - begin for begin, end in tone_spans(heard, 700, min_s=0.04) if begin < second)


@pytest.mark.parametrize("trailing_ms", [0, 400])
async def test_nobodys_first_word_is_clipped(office: Office, tmp_path: Path, trailing_ms: int) -> None:
    """Both speak from the moment in which they are through; of the user's, ACCEPTED may come after it was said."""
    words = tmp_path / "words.wav"
    words.write_bytes(wav_bytes((two_words().samples * 32767).astype("<i2").tobytes(), 48_000))
    behaviour = Behaviour(waits_for_media=False)
    await office.plan(play=Sound(wav=words, loop=False), accepted_delay_ms=trailing_ms, behaviour=behaviour)
    await office.phone.say(two_words())
    call = await office.phone.dial(f"8{office.user}")
    users = await talking(office)
    await users.wait(packets_in=120, timeout=PATIENCE)
    await call.hang_up()
    facts = await users.wait(closed=True, timeout=PATIENCE)
    await call.closed(timeout=PATIENCE)
    assert first_word_s(read_wav(Path(facts["recording"]["path"]))) >= 0.9
    assert first_word_s(read_wav(call.recording.path)) >= 0.9


async def test_both_hear_that_the_call_is_recorded(office: Office) -> None:
    await office.db.execute("UPDATE pbx.routes SET consent_prompt = 'sound:tt-monkeysintro'")
    consent = sentence(office.stack.closure.asterisk_data / "sounds/en", ("tt-monkeysintro",))
    try:
        await office.plan()
        call = await office.phone.dial(f"8{office.user}")
        users = await talking(office)
        row = await office.record("connected")
        await office.value("SELECT count(*) FROM pbx.recordings WHERE call_id = $1", row["id"], wanted=1)
        await call.hang_up()
        facts = await users.wait(closed=True, timeout=PATIENCE)
        await call.closed(timeout=PATIENCE)
    finally:
        await office.db.execute("UPDATE pbx.routes SET consent_prompt = NULL")
    assert find_speech(consent, read_wav(Path(facts["recording"]["path"]))).found
    assert find_speech(consent, read_wav(call.recording.path)).found
    began = await office.db.fetchval("SELECT started_at FROM pbx.recordings WHERE call_id = $1", row["id"])
    assert (began - row["connected_at"]).total_seconds() > consent.duration_s


async def test_a_user_is_transferred_to_a_colleague_and_the_record_follows(office: Office, tmp_path: Path) -> None:
    stack = office.stack
    account = SipAccount("1003", stack.asterisk.phones["1003"].password, port=stack.asterisk.sip_port)
    async with Baresip.start(stack.closure, tmp_path / "1003", account, microphone=sine(600, 60, 48_000, -20)) as third:
        await office.plan(play=tone(1000))
        call = await office.phone.dial(f"8{office.user}")
        users = await talking(office)
        await office.phone.command("transfer", f"sip:1003@127.0.0.1:{stack.asterisk.sip_port}")
        ringing = await third.ringing(timeout=PATIENCE)
        await call.closed(timeout=PATIENCE)
        await office.value("SELECT call_id IS NULL FROM pbx.agent_states", wanted=True)
        await ringing.answer()
        facts = await users.wait(audio=True, timeout=PATIENCE)
        await users.wait(packets_in=facts["media"]["packets_in"] + 100, timeout=PATIENCE)
        assert (await office.record("connected"))["ended_at"] is None
        await users.hang_up()
        await ringing.closed(timeout=PATIENCE)
        facts = await users.wait(closed=True, timeout=PATIENCE)
    row = await office.record(status="Answered")
    assert (row["direction"], row["ended_by"], row["reason"]) == ("outbound", "user", "the user hung up")
    assert row["path"][-1] == "transfer:1003"
    assert sum(end - begin for begin, end in tone_spans(read_wav(Path(facts["recording"]["path"])), 600)) > 1
    heard = (read_wav(part.path) for part in ringing.recordings)
    assert sum(end - begin for each in heard for begin, end in tone_spans(each, 1000)) > 1
    query = "SELECT seconds >= extract(epoch FROM c.ended_at - c.connected_at) - 1 FROM pbx.recordings r, pbx.calls c"
    await office.value(f"{query} WHERE c.id = $1 AND r.call_id = c.id", row["id"], wanted=True)


async def test_a_user_who_had_as_many_calls_as_meta_allows(office: Office) -> None:
    """Meta says so once: the call is refused. When it said so before, it is not asked."""
    await _configure(office.stack, "[simulator.limits]\nconnected_per_day = 1\n", office.stack.simulator)
    await office.plan(permission="permanent", behaviour=Behaviour(hangup_after_ms=100))
    await (await office.phone.dial(f"8{office.user}")).closed(timeout=PATIENCE)
    await office.record(status="Answered")
    assert office.says(await office.dial_and_listen(f"8{office.user}"), "simul-call-limit-reached")
    row = await office.record(status="Failed", refusal="call_limit")
    assert "138012" in row["reason"]
    asked = await office.db.fetchval("SELECT count(*) FROM whatsapp.calls WHERE user_number = $1", office.user)
    await office.db.execute("UPDATE whatsapp.permissions SET checked_at = now() - interval '10 minutes'")
    await office.dial_and_leave(f"8{office.user}")
    query = "SELECT reason FROM pbx.calls WHERE refusal = 'call_limit' AND caller_number = $1 AND id <> $2"
    async with asyncio.timeout(PATIENCE):
        while (reason := await office.db.fetchval(query, f"+{office.user}", row["id"])) is None:
            await asyncio.sleep(0.02)
    assert reason.startswith(f"+{office.user} has had as many calls as WhatsApp allows, until 20")
    query = "SELECT count(*) FROM whatsapp.calls WHERE user_number = $1"
    assert await office.db.fetchval(query, office.user) == asked, "Meta was not asked to call"


async def test_a_call_ends_when_the_time_is_over_that_another_system_pays(office: Office) -> None:
    questions: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.Response:
        questions.append(await request.json())
        return web.json_response({"allowed": True, "seconds": 2})

    server = web.Application()
    server.router.add_post("/balance", answer)
    runner = web.AppRunner(server, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/balance"
        await _configure(office.stack, f'[app.calling_out.balance]\nurl = "{url}"\n', office.stack.app)
        async with Database(office.stack.dsn) as database:
            books = BillingStore(database)
            rate = Rate("DE", Decimal("0.60"), "USD", datetime(2026, 1, 1, tzinfo=UTC))
            await books.set_rates([Quoted(office.stack.number.display_number, rate)])
            await books.configure(enabled=True)
            await office.plan()
            call = await office.phone.dial(f"8{office.user}")
            await call.closed(timeout=PATIENCE)
            row = await office.record(status="Answered")
            query = "SELECT concat_ws(' ', fee_seconds, price, from_balance) FROM pbx.charges WHERE call_id = $1"
            await office.value(query, row["id"], wanted="6 0.060000 f")
            await books.configure(enabled=False)
    finally:
        await runner.cleanup()
    assert (row["ended_by"], row["reason"]) == ("system", "the time that could be paid is over")
    assert (row["ended_at"] - row["connected_at"]).total_seconds() == pytest.approx(2, abs=0.5)
    assert [each["call"] for each in questions] == [None, str(row["id"])]
    assert {each["to"] for each in questions} == {office.user}


async def _configure(stack: Stack, section: str, process: Process) -> None:
    """A further section, and start the process that reads it anew."""
    with stack.config.open("a", encoding="utf-8") as file:
        file.write(f"\n{section}")
    await process.stop()
    await process.start()
