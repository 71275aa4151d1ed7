"""The bridge between a strict Meta and a real Asterisk, with plain dialplan in `whatsapp-in` and no application.

The caller's number chooses the scenario: `scenario-<number>` in the dialplan below.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ari_app.media.measure import dominant_tone, level_dbfs, longest_gap_ms, tone_gaps, tone_spans
from ari_app.media.wav import Sound as Recording
from ari_app.media.wav import read_wav
from ari_app.runtime.stack import Stack, StackOptions
from tests.integration.leftovers import holdings, holds_no_more_than, nothing_left
from whatsapp_bridge.simulator.client import PhoneCall, SimulatorClient
from whatsapp_bridge.simulator.media.faults import MediaFaults
from whatsapp_bridge.simulator.models import Behaviour, GraphFault, Injection, PlaceCall
from whatsapp_bridge.simulator.phone import Sound, Tone
from whatsapp_bridge.simulator.webhooks import WebhookOptions

DIALPLAN = """
[whatsapp-in]
exten => _X.,1,Gosub(whatsapp-caller,s,1)
 same => n,Goto(scenario-${WHATSAPP_FROM},s,1)

[whatsapp-caller]
exten => s,1,Set(CALLERID(num)=${WHATSAPP_FROM})
 same => n,Set(CALLERID(name)=${WHATSAPP_NAME})
 same => n,Set(CDR(whatsapp_call_id)=${WHATSAPP_CALL_ID})
 same => n,Set(CDR(channel_type)=WhatsApp Call)
 same => n,Return()

[scenario-1000]   ; the administrator's three lines
exten => s,1,Answer()
 same => n,Read(DIGIT,,1,,1,10)
 same => n,Playback(digits/${DIGIT})

[scenario-1001]
exten => s,1,Answer()
 same => n,Echo()

[scenario-1002]   ; rings until somebody gives up
exten => s,1,Ringing()
 same => n,Wait(60)

[scenario-1003]
exten => s,1,Hangup(21)

[scenario-1004]
exten => s,1,Busy(5)

[scenario-1005]   ; all digits, from the user, one by one
exten => s,1,Answer()
 same => n(next),Set(DIGIT=)
 same => n,Read(DIGIT,,1,,1,5)
 same => n,Set(DIGIT=${IF($["${DIGIT}" = ""]?#:${DIGIT})})
 same => n,Set(ALL=${ALL}${DIGIT})
 same => n,GotoIf($[${LEN(${ALL})} < 12]?next)
 same => n,Set(CDR(userfield)=${ALL})
 same => n,Hangup()

[scenario-1006]   ; all digits, towards the user
exten => s,1,Answer()
 same => n,Wait(1)
 same => n,SendDTMF(0123456789*#,150,120)
 same => n,Wait(30)

[scenario-1007]   ; a tone from the very moment of the answer
exten => s,1,Answer()
 same => n,PlayTones(!1000/1000,!0/9000)
 same => n,Wait(3)
 same => n,Hangup()
"""


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with Stack.start(StackOptions(app=False, extra_dialplan=DIALPLAN)) as stack:
        yield stack


@pytest.fixture
async def meta(stack: Stack) -> AsyncIterator[SimulatorClient]:
    async with SimulatorClient(stack.simulator_url) as client:
        yield client
        for left in await client.calls():
            if left["state"] != "ended":
                await (await client.call(left["id"])).end()
        await client.reset()


@pytest.fixture
async def db(stack: Stack) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(stack.dsn)
    yield connection
    await connection.close()


Database = "asyncpg.Connection[asyncpg.Record]"


async def record(db: Any, call: PhoneCall) -> dict[str, Any]:
    """The call's record, as soon as Asterisk has written its CDR."""
    async with asyncio.timeout(10):
        while True:
            rows = await db.fetch("SELECT * FROM reports.call_records WHERE meta_call_id = $1", call.id)
            assert len(rows) <= 1
            ended = await db.fetchval("SELECT state FROM whatsapp.calls WHERE meta_call_id = $1", call.id) == "ended"
            if rows and ended:
                return dict(rows[0])
            await asyncio.sleep(0.1)


def heard(facts: dict[str, Any]) -> Recording:
    return read_wav(Path(facts["recording"]["path"]))


def tone(hz: int, dbfs: float = -20) -> Sound:
    return Sound(tone=Tone(hz=hz, dbfs=dbfs))


async def test_a_dialplan_of_three_lines_serves_a_whatsapp_caller(stack: Stack, meta: SimulatorClient, db: Any) -> None:
    call = await meta.place(PlaceCall(from_="1000", name="Ada"))
    await call.wait(state="connected", timeout=10)
    await call.press("7")
    facts = await call.wait(state="ended", timeout=20)
    assert facts["ended_by"] == "business"
    facts = await call.end()
    assert level_dbfs(heard(facts)) > -45
    row = await record(db, call)
    assert (row["channel_type"], row["status"], row["user_number"]) == ("WhatsApp Call", "Answered", "1000")
    assert (row["user_name"], row["business_number"]) == ("Ada", stack.number.display_number)
    await nothing_left(stack)


async def test_a_tone_comes_back_as_it_went(meta: SimulatorClient) -> None:
    gaps = []
    for _ in range(3):
        call = await meta.place(PlaceCall(from_="1001", play=tone(1000)))
        await call.wait(packets_in=550, timeout=30)
        facts = await call.end()
        recording = heard(facts)
        assert dominant_tone(recording).frequency_hz == pytest.approx(1000, abs=5)
        # The simulator gives the peak of a tone; its effective level is 3 dB less.
        assert level_dbfs(recording) == pytest.approx(-23, abs=3)
        assert not facts["early_media"]
        assert facts["media"]["second_ssrc_packets"] == 0
        start = tone_spans(recording, 1000)[0][0] + 0.2
        gaps.append(longest_gap_ms(tone_gaps(recording, 1000, start_s=start, end_s=start + 10)))
        if gaps[-1] <= 60:
            return
    # A busy machine can make a good relay stutter now and then, but not a bad one run smoothly.
    pytest.fail(f"each of three calls had a gap of more than 60 ms: {gaps}")


async def test_digits_of_the_user_arrive_in_order(meta: SimulatorClient, db: Any) -> None:
    call = await meta.place(PlaceCall(from_="1005"))
    await call.wait(audio=True, timeout=10)
    await call.press("0123456789*#")
    await call.wait(state="ended", timeout=30)
    await call.end()
    await record(db, call)
    assert await db.fetchval("SELECT userfield FROM cdr.cdr WHERE whatsapp_call_id = $1", call.id) == "0123456789*#"


async def test_digits_of_the_pbx_reach_the_user_in_order(meta: SimulatorClient) -> None:
    call = await meta.place(PlaceCall(from_="1006"))
    facts = await call.wait(dtmf="0123456789*#", timeout=20)
    assert facts["dtmf"] == "0123456789*#"
    await call.end()


async def test_the_first_words_are_heard_although_meta_takes_its_time(meta: SimulatorClient) -> None:
    await meta.fail(GraphFault(action="accept", delay_ms=600))
    call = await meta.place(PlaceCall(from_="1007"))
    await call.wait(state="ended", timeout=20)
    facts = await call.end()
    assert not facts["early_media"]
    first, *_ = tone_spans(heard(facts), 1000)
    assert first[1] - first[0] >= 0.9


async def test_a_caller_who_gives_up_while_it_rings_is_a_user_abandon(
    stack: Stack, meta: SimulatorClient, db: Any
) -> None:
    call = await meta.place(PlaceCall(from_="1002"))
    await call.wait(dtls="connected", timeout=10)
    await call.cancel()
    await call.end()
    row = await record(db, call)
    assert (row["status"], row["ended_by"], row["answered_at"]) == ("User Abandon", "user", None)
    assert row["duration"] == "00:00:00"
    assert not [r for r in await meta.requests() if r["action"] in ("reject", "terminate")]
    await nothing_left(stack)


@pytest.mark.parametrize(("caller", "cause"), [("1003", 21), ("1004", 17)])
async def test_a_refusal_of_the_pbx_is_a_reject_at_meta(
    stack: Stack, meta: SimulatorClient, db: Any, caller: str, cause: int
) -> None:
    call = await meta.place(PlaceCall(from_=caller))
    await call.wait(state="ended", timeout=15)
    await call.end()
    assert [r["action"] for r in await meta.requests()][-1] == "reject"
    row = await record(db, call)
    assert row["status"] == "Rejected"
    assert await db.fetchval("SELECT hangup_cause FROM whatsapp.calls WHERE meta_call_id = $1", call.id) == cause
    await nothing_left(stack)


async def test_a_burst_leaves_no_delay(stack: Stack, meta: SimulatorClient) -> None:
    """25 frames at once would stay half a second of delay in Asterisk for good; here they are gone after 5 s."""
    call = await meta.place(PlaceCall(from_="1001", play=tone(1000)))
    await call.wait(packets_in=150, timeout=15)
    await call.disturb(MediaFaults(early_frames=25))
    await call.wait(packets_in=150 + 275, timeout=20)
    # An echo, now: how long does a change of the sound take to come back?
    await call.play(tone(440))
    facts = await call.wait(packets_in=150 + 275 + 100, timeout=20)
    facts = await call.end()
    back = next(span for span in tone_spans(heard(facts), 440))
    changed = facts["phone"]["playing_since"] - facts["recording"]["started_at"]
    delay_ms = (back[0] - changed) * 1000
    # Two jitter buffers, two 20 ms clocks, and the cushion of the playout; 500 ms with the fault.
    assert delay_ms < 250


async def test_a_duplicate_connect_is_one_call(meta: SimulatorClient, db: Any) -> None:
    call = await meta.place(PlaceCall(from_="1001", webhooks=WebhookOptions(duplicate=3)))
    await call.wait(audio=True, timeout=10)
    await call.end()
    assert len(await meta.requests(action="pre_accept")) == 1
    assert (await record(db, call))["status"] == "Answered"


async def test_a_terminate_before_its_connect_is_a_user_abandon(meta: SimulatorClient, db: Any) -> None:
    await meta.hold_webhooks()
    call = await meta.place(PlaceCall(from_="1001"))
    await call.hang_up()
    await meta.release_webhooks()
    row = await record(db, call)
    assert (row["status"], row["ended_by"]) == ("User Abandon", "user")
    assert await db.fetchval("SELECT count(*) FROM whatsapp.calls WHERE meta_call_id = $1", call.id) == 1
    assert not await meta.requests()


async def test_an_offer_without_fingerprint_is_rejected_and_the_next_call_works(
    stack: Stack, meta: SimulatorClient, db: Any
) -> None:
    call = await meta.place(PlaceCall(from_="1001", behaviour=Behaviour(sdp_omit=["fingerprint"])))
    await call.wait(state="ended", timeout=10)
    row = await record(db, call)
    assert (row["status"], row["ended_by"]) == ("Failed", "system")
    assert "fingerprint" in row["reason"]
    following = await meta.place(PlaceCall(from_="1001"))
    await following.wait(audio=True, timeout=10)
    await following.end()
    await nothing_left(stack)


async def test_a_call_that_meta_ends_for_lack_of_media_says_so(stack: Stack, meta: SimulatorClient, db: Any) -> None:
    call = await meta.place(PlaceCall(from_="1001", behaviour=Behaviour(first_media_s=0.5, media_gap_s=1)))
    await call.wait(audio=True, timeout=10)
    os.kill(stack.bridge.pid, signal.SIGSTOP)
    try:
        await call.wait(state="ended", timeout=10)
    finally:
        os.kill(stack.bridge.pid, signal.SIGCONT)
    row = await record(db, call)
    assert (row["status"], row["ended_by"]) == ("Answered", "system")
    assert "138021" in row["reason"]


async def test_a_stale_connect_rings_nobody(stack: Stack, meta: SimulatorClient, db: Any) -> None:
    call = await meta.place(PlaceCall(from_="1001", behaviour=Behaviour(timestamp_offset_s=-120)))
    row = await record(db, call)
    assert "late" in row["reason"]
    assert not await meta.requests(action="pre_accept")
    await call.end()
    await nothing_left(stack)


async def test_a_refused_accept_ends_the_call_on_both_sides(stack: Stack, meta: SimulatorClient, db: Any) -> None:
    await meta.fail(GraphFault(action="accept", code=131044, http_status=400, message="No payment method"))
    call = await meta.place(PlaceCall(from_="1001"))
    await call.wait(state="ended", timeout=10)
    row = await record(db, call)
    assert row["ended_by"] == "system"
    assert "131044" in row["reason"]
    await nothing_left(stack)


async def test_a_meta_that_stumbles_once_is_asked_again(meta: SimulatorClient) -> None:
    await meta.fail(GraphFault(action="pre_accept", http_status=503, code=2))
    call = await meta.place(PlaceCall(from_="1001"))
    await call.wait(audio=True, timeout=10)
    await call.end()
    assert [r["action"] for r in await meta.requests()][:3] == ["pre_accept", "pre_accept", "accept"]


@pytest.mark.parametrize("signature", ["bad", "none"])
async def test_a_forged_webhook_is_refused_and_leaves_nothing(meta: SimulatorClient, db: Any, signature: Any) -> None:
    before = await db.fetchval("SELECT count(*) FROM whatsapp.webhook_events")
    reply = await meta.inject(Injection(body={"entry": []}, signature=signature))
    assert reply["status"] in (401, 403)
    assert await db.fetchval("SELECT count(*) FROM whatsapp.webhook_events") == before


async def calls_of_all_kinds(meta: SimulatorClient, count: int) -> None:
    """Answered and ended by the user, abandoned, refused, with a bad offer, with digits; several at once."""

    async def one(number: int) -> None:
        kind = number % 5
        bad = Behaviour(sdp_omit=["fingerprint"]) if kind == 3 else Behaviour()
        caller = {0: "1001", 1: "1002", 2: "1003", 3: "1001", 4: "1000"}[kind]
        call = await meta.place(PlaceCall(from_=caller, behaviour=bad))
        match kind:
            case 0:
                await call.wait(audio=True, timeout=20)
            case 1:
                await call.wait(dtls="connected", timeout=20)
            case 2 | 3:
                await call.wait(state="ended", timeout=20)
            case 4:
                await call.wait(audio=True, timeout=20)
                await call.press("3")
        await call.end()

    for batch in range(0, count, 5):
        await asyncio.gather(*(one(n) for n in range(batch, batch + 5)))


async def test_after_fifty_calls_everything_is_given_back(stack: Stack, meta: SimulatorClient) -> None:
    await calls_of_all_kinds(meta, 10)
    await nothing_left(stack)
    before = await holdings(stack)
    await calls_of_all_kinds(meta, 50)
    await nothing_left(stack)
    await holds_no_more_than(stack, before)
