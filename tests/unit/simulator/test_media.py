"""The relay and the phone, packet by packet."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import struct
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aioice import stun

from tests.unit.simulator.business import Peer, level
from tests.unit.simulator.conftest import Stage
from tests.unit.simulator.rawpeer import RawPeer
from whatsapp_bridge.simulator.client import PhoneCall, SimulatorError
from whatsapp_bridge.simulator.config import SdpRules
from whatsapp_bridge.simulator.media import rtp
from whatsapp_bridge.simulator.media.faults import MediaFaults
from whatsapp_bridge.simulator.models import Behaviour, PlaceCall
from whatsapp_bridge.simulator.phone import Sound, Tone

Setter = Callable[..., Awaitable[tuple[PhoneCall, RawPeer]]]


@pytest.fixture
async def pre_accepted(stage: Stage) -> AsyncIterator[Setter]:
    """Sets a call up to pre_accept, with media transport up."""
    peers: list[RawPeer] = []

    async def set_up(**wanted: Any) -> tuple[PhoneCall, RawPeer]:
        call = await stage.meta.place(PlaceCall(**wanted))
        peer = RawPeer(call.facts["sdp"]["ours"])
        peers.append(peer)
        status, _ = await stage.business.act("pre_accept", call.id, peer.answer())
        assert status == 200
        await peer.connect()
        return call, peer

    yield set_up
    for peer in peers:
        await peer.close()


@pytest.fixture
def connected(stage: Stage, pre_accepted: Setter) -> Setter:
    """Sets a call up to accept."""

    async def set_up(**wanted: Any) -> tuple[PhoneCall, RawPeer]:
        call, peer = await pre_accepted(**wanted)
        status, _ = await stage.business.act("accept", call.id, peer.answer())
        assert status == 200
        return call, peer

    return set_up


async def test_the_phone_sends_nothing_before_it_received_something(connected: Setter) -> None:
    call, peer = await connected()
    await asyncio.sleep(0.2)
    assert peer.received == 0
    peer.send()
    await peer.until(lambda: peer.received >= 10, 2)
    assert {packet.payload_type for packet in peer.packets} == {111}
    assert len({packet.ssrc for packet in peer.packets}) == 1
    steps = {(b.timestamp - a.timestamp, b.sequence - a.sequence) for a, b in _pairs(peer.packets)}
    assert steps <= {(960, 1), (960, -65535)}
    assert f"a=ssrc:{peer.packets[0].ssrc} " in (await call.read())["sdp"]["ours"]


async def test_a_phone_that_does_not_wait_sends_after_accept(connected: Setter) -> None:
    _, peer = await connected(behaviour=Behaviour(waits_for_media=False))
    await peer.until(lambda: peer.received >= 5, 2)


async def test_media_before_accept_is_an_early_answer_and_not_heard(stage: Stage, pre_accepted: Setter) -> None:
    call, peer = await pre_accepted()
    peer.send()
    await call.wait(packets_in=1)
    facts = await call.read()
    assert facts["early_media"] is True
    assert facts["media"]["early_packets"] == 1
    await stage.business.act("accept", call.id, peer.answer())
    peer.send()
    facts = await call.wait(audio=True)
    assert facts["media"]["early_packets"] == 1


async def test_no_media_after_accept_ends_the_call_with_138021(stage: Stage, connected: Setter) -> None:
    call, _ = await connected(behaviour=Behaviour(first_media_s=2))
    facts = await call.wait(closed=True, webhook="terminate")
    value = stage.business.values()[-1]
    terminate = value["calls"][0]
    assert terminate["status"] == "FAILED"
    assert terminate["duration"] == 2
    assert int(terminate["end_time"]) - int(terminate["start_time"]) == 2
    assert terminate["timestamp"] == terminate["end_time"]
    assert value["errors"][0]["code"] == terminate["errors"][0]["code"] == 138021
    assert facts["ended_by"] == "meta"


async def test_a_pause_in_mid_call_ends_it_but_rtcp_keeps_it(connected: Setter) -> None:
    call, peer = await connected(behaviour=Behaviour(first_media_s=0.5, media_gap_s=1.0))
    report = struct.pack("!BBHI", 0x80, 201, 1, peer.ssrc)
    peer.send()
    for _ in range(8):
        await asyncio.sleep(0.2)
        peer.send_rtcp(report)
    facts = await call.read()
    assert facts["state"] == "connected"
    assert facts["media"]["rtcp_in"] == {"RR": 8}
    facts = await call.wait(closed=True)
    assert facts["errors"] == [138021]


async def test_an_unanswered_call_ends_without_times(stage: Stage) -> None:
    call = await stage.meta.place(PlaceCall(behaviour=Behaviour(ring_s=0.1)))
    terminate = await stage.business.next_call("terminate")
    assert terminate["status"] == "COMPLETED"
    assert "start_time" not in terminate
    assert (await call.read())["ended_by"] == "meta"
    status, body = await stage.business.act("pre_accept", call.id, RawPeer(call.facts["sdp"]["ours"]).answer())
    assert (status, body["error"]["code"]) == (400, 100)


async def test_a_user_can_cancel_only_while_it_rings(stage: Stage, connected: Setter) -> None:
    ringing = await stage.meta.place()
    facts = await ringing.cancel()
    assert (facts["state"], facts["ended_by"], facts["duration"]) == ("ended", "user", None)
    call, _ = await connected()
    with pytest.raises(SimulatorError, match="connected"):
        await call.cancel()
    await call.hang_up()
    with pytest.raises(SimulatorError, match="ended already"):
        await call.hang_up()


async def test_a_controlled_peer_gets_a_role_conflict(stage: Stage) -> None:
    call = await stage.meta.place()
    peer = RawPeer(call.facts["sdp"]["ours"])
    await peer.open()
    reply = await peer.check(role="ICE-CONTROLLED")
    assert reply.attributes["ERROR-CODE"][0] == 487
    assert reply.check_message_integrity(call_pwd(call))
    assert (await peer.check()).message_class == stun.Class.RESPONSE
    facts = await call.read()
    assert facts["ice"]["counts"]["error_487"] == 1
    assert facts["ice"]["nominated"] is None
    await peer.close()


async def test_the_role_conflict_can_be_left_unanswered(stage: Stage) -> None:
    call = await stage.meta.place(PlaceCall(behaviour=Behaviour(role_conflict="ignore")))
    peer = RawPeer(call.facts["sdp"]["ours"])
    await peer.open()
    with pytest.raises(TimeoutError):
        await peer.check(role="ICE-CONTROLLED")
    await peer.close()


async def test_checks_are_authenticated(stage: Stage) -> None:
    call = await stage.meta.place()
    peer = RawPeer(call.facts["sdp"]["ours"])
    await peer.open()
    assert (await peer.check(pwd="x" * 24)).attributes["ERROR-CODE"][0] == 401
    assert (await peer.check(leave_out="MESSAGE-INTEGRITY")).attributes["ERROR-CODE"][0] == 400
    assert (await peer.check(leave_out="PRIORITY")).attributes["ERROR-CODE"][0] == 400
    with pytest.raises(TimeoutError):
        await peer.check(leave_out="FINGERPRINT")
    peer._send(b"\x00\x01rubbish")
    peer._send(b"\xff")
    peer._send(b"\x16\xfe\xfd")
    reply = await peer.check(nominate=True)
    assert reply.attributes["XOR-MAPPED-ADDRESS"][0] == "127.0.0.1"
    facts = await call.read()
    assert facts["ice"]["nominated"] is not None
    assert facts["media"]["unknown_address"] == 1
    await peer.close()


async def test_a_certificate_that_is_not_the_sdps_is_refused(stage: Stage) -> None:
    call = await stage.meta.place()
    peer, other = RawPeer(call.facts["sdp"]["ours"]), RawPeer(call.facts["sdp"]["ours"])
    other.ufrag, other.pwd = peer.ufrag, peer.pwd
    await stage.business.act("pre_accept", call.id, other.answer())
    await peer.connect()
    facts = await call.wait(dtls="failed")
    assert "fingerprint" in facts["dtls"]["failure"]
    await peer.close()


async def test_checks_and_client_hello_before_pre_accept_cost_no_time(stage: Stage) -> None:
    call = await stage.meta.place()
    peer = RawPeer(call.facts["sdp"]["ours"])
    connecting = asyncio.create_task(peer.connect())
    await asyncio.sleep(0.1)
    await stage.business.act("pre_accept", call.id, peer.answer())
    async with asyncio.timeout(0.8):  # a lost ClientHello would be repeated after a second
        await connecting
    await peer.close()


async def test_a_second_ssrc_is_counted_and_not_heard(connected: Setter) -> None:
    call, peer = await connected()
    peer.send()
    peer.send(ssrc=7)
    peer.send()
    facts = await call.wait(packets_in=3)
    assert facts["media"]["second_ssrc_packets"] == 1
    assert facts["media"]["ssrcs"] == {str(peer.ssrc): 2, "7": 1}
    assert facts["media"]["audio_packets_in"] == 2


async def test_counters_tell_loss_gaps_and_steps(connected: Setter) -> None:
    call, peer = await connected()
    for n in range(10):
        if n == 5:
            peer.sequence += 2
            peer.timestamp += 1920
            await asyncio.sleep(0.3)
        peer.send()
    media = (await call.wait(packets_in=10))["media"]
    assert media["lost"] == 2
    assert media["timestamp_steps"] == {"960": 8}
    assert media["largest_gap_ms"] >= 290
    assert media["payload_types"] == {"111": 10}


async def test_digits_pressed_by_the_user_are_rfc_4733(connected: Setter) -> None:
    call, peer = await connected(play=Sound(tone=Tone(hz=500)))
    peer.send()
    await call.press("0123456789*#ABCD", duration_ms=60, gap_ms=20)
    await peer.until(lambda: sum(p.payload[1] >> 7 for p in peer.packets if p.payload_type == 126) >= 48, 10)
    events = [packet for packet in peer.packets if packet.payload_type == 126]
    reader = rtp.EventReader()
    for packet in events:
        reader.feed(packet.timestamp, packet.payload, 0)
    assert reader.text == "0123456789*#ABCD"
    assert {digit.duration_ms for digit in reader.digits} == {60}
    assert len({packet.ssrc for packet in peer.packets}) == 1
    assert all(b.sequence == (a.sequence + 1) & 0xFFFF for a, b in _pairs(peer.packets))
    assert sum(packet.marker for packet in events) == 16
    stamps = sorted({packet.timestamp for packet in peer.packets})
    assert all((b - a) % 960 == 0 for a, b in _pairs(stamps))


async def test_digits_of_the_business_are_heard(connected: Setter) -> None:
    call, peer = await connected()
    for event in (1, 2, 10, 11):
        for ticks in (160, 320, 480, 480, 480):
            peer.send(
                rtp.event_payload(event, ticks == 480, ticks),
                payload_type=126,
                timestamp=peer.timestamp,
                marker=ticks == 160,
            )
        peer.timestamp += 4800
    facts = await call.wait(dtmf="12*#")
    assert [digit["duration_ms"] for digit in facts["dtmf_digits"]] == [60] * 4


async def test_a_held_burst_comes_all_at_once(connected: Setter) -> None:
    call, peer = await connected()
    peer.send()
    await peer.until(lambda: peer.received >= 5, 2)
    await call.disturb(MediaFaults(pause_ms=500, burst=True))
    await asyncio.sleep(0.1)
    before = peer.received
    await asyncio.sleep(0.3)
    assert peer.received == before
    await peer.until(lambda: peer.received >= before + 20, 1)
    assert all(b.sequence == (a.sequence + 1) & 0xFFFF for a, b in _pairs(peer.packets))


async def test_frames_can_come_early(connected: Setter) -> None:
    call, peer = await connected()
    peer.send()
    await peer.until(lambda: peer.received >= 1, 2)
    before = peer.received
    await call.disturb(MediaFaults(early_frames=25))
    await peer.until(lambda: peer.received >= before + 25, 0.4)


async def test_packets_can_be_lost_doubled_and_swapped(connected: Setter) -> None:
    call, peer = await connected()
    peer.send()
    await call.disturb(MediaFaults(drop=0.3, duplicate=0.3, reorder=0.3))
    await peer.until(lambda: peer.received >= 60, 10)
    numbers = [packet.sequence for packet in peer.packets]
    assert peer.replays > 0
    assert numbers != sorted(numbers)
    assert set(range(min(numbers), max(numbers))) - set(numbers)
    assert (await call.read())["media"]["dropped_by_fault"] > 0


async def test_a_sound_that_is_not_repeated_ends_in_silence(connected: Setter) -> None:
    call, peer = await connected(play=Sound(tone=Tone(hz=500), loop=False))
    peer.send()
    facts = await call.wait(played_out=True)
    began = facts["phone"]["playing_since"]
    assert facts["times"]["accepted"] < began
    facts = await call.play(Sound(tone=Tone(hz=700)))
    assert facts["phone"]["playing_since"] is None
    await peer.until(lambda: peer.received >= 70, 2)
    assert (await call.read())["phone"]["playing_since"] > began
    before = peer.received
    await peer.until(lambda: peer.received >= before + 10, 2)
    await call.play(Sound(nothing=True))
    await asyncio.sleep(0.1)
    before = peer.received
    await asyncio.sleep(0.2)
    assert peer.received <= before + 1


async def test_the_relay_can_be_dtls_client(stage: Stage) -> None:
    stage.world.around = dataclasses.replace(stage.world.around, sdp_rules=SdpRules(strict=False))
    call = await stage.meta.place(PlaceCall(play=Sound(tone=Tone(hz=1000))))
    peer = RawPeer(call.facts["sdp"]["ours"], setup="passive")
    await stage.business.act("accept", call.id, peer.answer())
    await peer.connect()
    peer.send()
    await peer.until(lambda: peer.received >= 5, 2)
    assert (await call.read())["dtls"]["role"] == "client"
    await peer.close()


async def test_sockets_and_tasks_are_given_back(stage: Stage, connected: Setter) -> None:
    counts = []
    for _ in range(3):
        call, peer = await connected(record=False)
        peer.send()
        facts = await call.end()
        assert facts["recording"] == {"state": "off", "path": None}
        assert len(stage.world.tasks) == 0
        counts.append((len(asyncio.all_tasks()), open_files()))
    assert counts[2] == (counts[1][0], counts[1][1] + 1), "one more socket of the test's own peer"
    assert (await stage.meta.status())["live_calls"] == 0


async def test_stock_aiortc_sends_digits_nowhere_but_hears_the_tone(stage: Stage) -> None:
    call = await stage.meta.place(PlaceCall(play=Sound(tone=Tone(hz=1000))))
    peer = Peer(hz=440)
    answer = await peer.answer(call.facts["sdp"]["ours"])
    await stage.business.act("accept", call.id, answer)
    await call.wait(packets_in=60)
    await call.press("5")
    await call.end()
    await peer.close()
    assert level(array("h", peer.heard[24_000:48_000]), 1000, 48_000) > -26


def open_files() -> int:
    """File descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def call_pwd(call: PhoneCall) -> bytes:
    """The relay's ICE password."""
    lines = str(call.facts["sdp"]["ours"]).split("\r\n")
    return next(line for line in lines if line.startswith("a=ice-pwd:")).removeprefix("a=ice-pwd:").encode()


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(itertools.pairwise(items))
