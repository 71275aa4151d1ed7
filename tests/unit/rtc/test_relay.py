"""The relay between two ends that only remember what they were given."""

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest

from whatsapp_bridge.pbx.media_socket import MediaSocket
from whatsapp_bridge.rtc.peer import Peer
from whatsapp_bridge.rtc.relay import QUIET_TIME, MediaClock, Relay
from whatsapp_bridge.rtc.rtp import (
    OPUS,
    SAMPLES_PER_FRAME,
    SILENCE,
    TELEPHONE_EVENT,
    RtpPacket,
    digit_payloads,
    timestamp_distance,
)

SPEECH = b"\x48" + b"s" * 50
QUIET = b"\x48\x00"


class Meta:
    """Stands for the peer: keeps what was sent."""

    ssrc = 4242
    packets_sent = 0
    octets_sent = 0
    on_rtp: Any = None

    def __init__(self) -> None:
        self.sent: list[RtpPacket] = []
        self.reports: list[bytes] = []

    def send(self, packet: bytes) -> None:
        self.sent.append(RtpPacket.parse(packet))

    def send_rtcp(self, packet: bytes) -> None:
        self.reports.append(packet)


class Asterisk:
    """Stands for the media socket."""

    on_frame: Any = None
    on_event: Any = None

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.commands: list[str] = []

    def send_frame(self, frame: bytes) -> None:
        self.frames.append(frame)

    def send_command(self, command: str) -> None:
        self.commands.append(command)


class Call:
    def __init__(self, telephone_event: int | None = TELEPHONE_EVENT, *, outbound: bool = False) -> None:
        self.meta, self.asterisk, self.digits = Meta(), Asterisk(), list[str]()
        self.clock = MediaClock()
        self.relay = Relay(
            cast("Peer", self.meta),
            cast("MediaSocket", self.asterisk),
            self.clock,
            telephone_event=telephone_event,
            on_digit=self.digits.append,
            outbound=outbound,
        )

    def says(self, payloads: list[bytes]) -> None:
        """The user sends these, one packet after another."""
        for number, payload in enumerate(payloads):
            packet = RtpPacket(OPUS, not number, 700 + number, 960 * number, 7, payload)
            self.meta.on_rtp(packet.serialize())

    def ticks(self, count: int) -> None:
        now = asyncio.get_running_loop().time()
        for i in range(1, count + 1):
            self.relay.tick(now + i * 0.02)


@pytest.fixture
async def call() -> Call:
    return Call()


async def test_nothing_reaches_meta_before_it_has_accepted(call: Call) -> None:
    for _ in range(10):
        call.asterisk.on_frame(SPEECH)
    call.ticks(20)
    assert not call.meta.sent
    assert not call.meta.reports


async def test_what_was_said_meanwhile_follows_without_its_pauses(call: Call) -> None:
    for frame in (SPEECH + b"1", QUIET, QUIET, SPEECH + b"2"):
        call.asterisk.on_frame(frame)
    call.relay.open()
    assert [p.payload for p in call.meta.sent] == [SPEECH + b"1", SPEECH + b"2"]
    assert timestamp_distance(call.meta.sent[1].timestamp, call.meta.sent[0].timestamp) == SAMPLES_PER_FRAME


async def test_meta_hears_something_at_once_even_if_nobody_speaks(call: Call) -> None:
    call.relay.open()
    assert [p.payload for p in call.meta.sent] == [SILENCE]


async def test_a_pause_is_filled_with_silence(call: Call) -> None:
    call.relay.open()
    call.ticks(50)
    silent = [p for p in call.meta.sent if p.payload == SILENCE]
    assert len(silent) >= 1 / QUIET_TIME - 1
    steps = {timestamp_distance(b.timestamp, a.timestamp) for a, b in pairwise(silent)}
    assert all(step % SAMPLES_PER_FRAME == 0 and step > 0 for step in steps)


async def test_one_stream_without_holes(call: Call) -> None:
    call.relay.open()
    for _ in range(20):
        call.asterisk.on_frame(SPEECH)
    sent = call.meta.sent
    assert {p.ssrc for p in sent} == {4242}
    assert all((b.sequence - a.sequence) & 0xFFFF == 1 for a, b in pairwise(sent))


async def test_a_sender_report_goes_out_at_once_and_every_five_seconds(call: Call) -> None:
    call.relay.open()
    call.ticks(300)
    assert len(call.meta.reports) == 2
    assert call.meta.reports[0][1] == 200


async def test_frames_of_the_user_go_to_asterisk_untouched(call: Call) -> None:
    for i in range(5):
        call.meta.on_rtp(RtpPacket(OPUS, False, i, i * 960, 1, SPEECH + bytes([i])).serialize())
    assert call.asterisk.frames == [SPEECH + bytes([i]) for i in range(5)]


async def test_digits_of_the_user_are_told_and_are_no_sound(call: Call) -> None:
    sequence = 0
    for digit, timestamp in (("1", 960), ("#", 9600)):
        for payload in digit_payloads(digit, 100):
            call.meta.on_rtp(RtpPacket(TELEPHONE_EVENT, False, sequence, timestamp, 1, payload).serialize())
            sequence += 1
    call.meta.on_rtp(RtpPacket(OPUS, False, sequence, 0, 1, SPEECH).serialize())
    assert call.digits == ["1", "#"]
    assert call.asterisk.frames == [SPEECH]


async def test_digits_of_the_pbx_are_sent_one_after_the_other_in_place_of_sound(call: Call) -> None:
    call.relay.open()
    for digit in "42":
        call.asterisk.on_event({"event": "DTMF_END", "digit": digit, "duration_ms": 100})
    now = asyncio.get_running_loop().time()
    for i in range(1, 30):
        call.asterisk.on_frame(SPEECH)
        call.relay.tick(now + i * 0.02)
    events = [p for p in call.meta.sent if p.payload_type == TELEPHONE_EVENT]
    assert [e.payload[0] for e in events if e.marker] == [4, 2]
    assert len({e.timestamp for e in events}) == 2
    assert sum(1 for e in events if e.payload[1] & 0x80) == 6
    for event in (4, 2):
        places = [i for i, p in enumerate(call.meta.sent) if p in events and p.payload[0] == event]
        assert SPEECH not in [p.payload for p in call.meta.sent[places[0] : places[-1]]]


async def test_a_client_without_telephone_event_gets_no_digits() -> None:
    call = Call(telephone_event=None)
    call.relay.open()
    call.asterisk.on_event({"event": "DTMF_END", "digit": "1", "duration_ms": 100})
    call.ticks(10)
    assert {p.payload_type for p in call.meta.sent} == {OPUS}


@pytest.mark.parametrize("event", [{}, {"event": None}, {"event": "DTMF_END", "digit": "x" * 99}, {"event": "STATUS"}])
async def test_odd_events_of_asterisk_do_no_harm(call: Call, event: dict[str, Any]) -> None:
    call.relay.open()
    call.asterisk.on_event(event)
    call.ticks(5)
    assert {p.payload_type for p in call.meta.sent} == {OPUS}


async def test_asterisk_is_asked_for_its_queue_and_believed(call: Call) -> None:
    for i in range(10):
        call.meta.on_rtp(RtpPacket(OPUS, False, i, i * 960, 1, SPEECH).serialize())
    call.ticks(1)
    assert call.asterisk.commands == ["GET_STATUS"]
    call.asterisk.on_event({"event": "STATUS", "queue_length": 30})
    assert call.relay.playout.depth == 30


async def test_garbage_from_the_network_is_dropped(call: Call) -> None:
    for data in (b"", b"\x80", b"\x80" * 11, b"\x90" + b"\xff" * 13):
        call.meta.on_rtp(data)
    assert not call.asterisk.frames


async def test_a_closed_relay_hears_nothing_and_is_forgotten(call: Call) -> None:
    call.relay.close()
    assert (call.meta.on_rtp, call.asterisk.on_frame, call.asterisk.on_event) == (None, None, None)
    async with call.clock:
        pass


@pytest.fixture
async def outbound() -> Call:
    return Call(outbound=True)


async def test_a_user_who_speaks_before_accepted_is_heard_afterwards(outbound: Call) -> None:
    words = [SPEECH + bytes((n,)) for n in range(20)]
    outbound.says([QUIET, QUIET, *words])
    assert not outbound.asterisk.frames
    outbound.relay.open()
    assert outbound.asterisk.frames == words


async def test_sound_that_began_long_before_accepted_is_never_heard(outbound: Call) -> None:
    outbound.says([SPEECH] * 60)
    outbound.relay.open()
    assert not outbound.asterisk.frames
    outbound.meta.on_rtp(RtpPacket(OPUS, False, 760, 960 * 60, 7, SPEECH).serialize())
    assert outbound.asterisk.frames == [SPEECH]


async def test_an_agent_is_not_heard_before_the_user_has_answered(outbound: Call) -> None:
    outbound.asterisk.on_frame(SPEECH)
    outbound.ticks(10)
    assert not outbound.meta.sent
    outbound.relay.open()
    assert [p.payload for p in outbound.meta.sent] == [SILENCE]


async def test_digits_before_accepted_are_none(outbound: Call) -> None:
    for payload in digit_payloads("5", 100):
        outbound.meta.on_rtp(RtpPacket(TELEPHONE_EVENT, False, 1, 0, 7, payload).serialize())
    outbound.relay.open()
    assert outbound.digits == []
