"""RTP packets (RFC 3550) and telephone events (RFC 4733), as far as a voice relay needs them."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

#: Meta's payload types, in every offer seen so far; the offer's own numbers are what counts.
OPUS = 111
TELEPHONE_EVENT = 126

#: Opus RTP always counts in 48 kHz (RFC 7587 §4.1); 20 ms is Meta's only packet time.
CLOCK_RATE = 48_000
PACKET_TIME_MS = 20
SAMPLES_PER_FRAME = CLOCK_RATE * PACKET_TIME_MS // 1000

#: Telephone events count in 8 kHz at Meta, whatever the audio clock.
EVENT_CLOCK_RATE = 8_000
EVENT_SAMPLES_PER_PACKET = EVENT_CLOCK_RATE * PACKET_TIME_MS // 1000

#: RFC 4733 §2.5.1.3: a longer event continues in a new segment that starts where the last one ended.
MAX_EVENT_DURATION = 0xFFFF
#: RFC 4733 §2.5.1.4: the final packet is sent three times.
END_PACKETS = 3

DIGITS = "0123456789*#ABCD"

#: 20 ms of silence: CELT, full band, mono (RFC 6716 §3.1).
SILENCE = b"\xf8\xff\xfe"

_HEADER = struct.Struct("!BBHLL")
_EVENT = struct.Struct("!BBH")


class RtpError(ValueError):
    """The datagram is not an RTP packet."""


class RtpPacket(NamedTuple):
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket":
        """Read a packet, skipping contributing sources, header extension and padding. Raises RtpError."""
        if len(data) < 12:
            raise RtpError("RTP packet shorter than its header")
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        if first >> 6 != 2:
            raise RtpError(f"RTP version {first >> 6}")
        start, end = 12, len(data)
        if first & 0x3F:
            start += (first & 0x0F) * 4
            if first & 0x10:
                if end < start + 4:
                    raise RtpError("RTP header extension cut off")
                start += 4 + int.from_bytes(data[start + 2 : start + 4], "big") * 4
            if first & 0x20:
                end -= data[-1]
            if start > end:
                raise RtpError("RTP extension or padding longer than the packet")
        return cls(second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, data[start:end])

    def serialize(self) -> bytes:
        return rtp_bytes(*self)


def rtp_bytes(payload_type: int, marker: bool, sequence: int, timestamp: int, ssrc: int, payload: bytes) -> bytes:
    """A packet of these parts, on its way out, where no object is needed for it."""
    second = payload_type | 0x80 if marker else payload_type
    return _HEADER.pack(0x80, second, sequence, timestamp, ssrc) + payload


def is_rtcp(data: bytes) -> bool:
    """Tell RTCP from RTP on one port by the packet type (RFC 5761 §4)."""
    return len(data) >= 2 and 192 <= data[1] <= 223


def sequence_distance(newer: int, older: int) -> int:
    """How far `newer` is ahead of `older` in 16-bit sequence space; negative when it is behind."""
    return (newer - older + 0x8000 & 0xFFFF) - 0x8000


def timestamp_distance(newer: int, older: int) -> int:
    """How far `newer` is ahead of `older` in 32-bit timestamp space; negative when it is behind."""
    return (newer - older + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000


class DigitReceiver:
    """Turns telephone-event packets into digits, each once, when it starts.

    Every packet of one event carries the event's start as timestamp, so lost, repeated and late packets
    do no harm, and a digit is known without waiting for its end.
    """

    def __init__(self) -> None:
        self._timestamp: int | None = None
        self._event = -1

    def push(self, packet: RtpPacket) -> str | None:
        """Return the digit that starts with this packet, if one does."""
        if len(packet.payload) < _EVENT.size:
            return None
        event = packet.payload[0]
        if event >= len(DIGITS):
            return None
        previous, previous_event = self._timestamp, self._event
        if previous is not None:
            distance = timestamp_distance(packet.timestamp, previous)
            if distance <= 0:
                return None
            self._timestamp = packet.timestamp
            if distance == MAX_EVENT_DURATION and event == previous_event and not packet.marker:
                return None
        self._timestamp, self._event = packet.timestamp, event
        return DIGITS[event]


def digit_payloads(digit: str, duration_ms: int) -> Iterator[bytes]:
    """The payloads of one digit, one every 20 ms: growing durations, then the end three times.

    Raises ValueError for what is not a digit.
    """
    event = DIGITS.index(digit.upper())
    duration = min(max(duration_ms, 40) * EVENT_CLOCK_RATE // 1000, MAX_EVENT_DURATION)
    for elapsed in range(EVENT_SAMPLES_PER_PACKET, duration, EVENT_SAMPLES_PER_PACKET):
        yield _EVENT.pack(event, 10, elapsed)
    for _ in range(END_PACKETS):
        yield _EVENT.pack(event, 0x80 | 10, duration)
