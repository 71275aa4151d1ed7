"""RTP as far as a phone needs it: headers (RFC 3550) and telephone events (RFC 4733), as plain functions."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

DIGITS: Final = "0123456789*#ABCD"
FRAME_MS: Final = 20
CLOCK: Final = 48_000
"Opus always runs on 48 kHz (RFC 7587 section 4.1)"
FRAME_TICKS: Final = CLOCK * FRAME_MS // 1000
EVENT_CLOCK: Final = 8_000
EVENT_TICKS: Final = EVENT_CLOCK * FRAME_MS // 1000
END_REPEATS: Final = 3
"RFC 4733 section 2.5.1.4: the final packet is sent three times"

_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")


class Packet(NamedTuple):
    """An RTP packet taken apart."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def pack(payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, marker: bool = False) -> bytes:
    """An RTP packet without CSRCs, extension or padding."""
    second = payload_type | 0x80 if marker else payload_type
    return _HEADER.pack(0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def unpack(data: bytes) -> Packet:
    """Raises ValueError for what is no RTP packet."""
    if len(data) < 12:
        raise ValueError("RTP packet is shorter than its header")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    start, end = 12 + 4 * (first & 0x0F), len(data)
    if first & 0x10:
        if end < start + 4:
            raise ValueError("RTP header extension is cut off")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    if first & 0x20 and end:
        end -= data[-1]
    if start > end:
        raise ValueError("RTP packet is shorter than its header says")
    return Packet(second & 0x7F, second > 0x7F, sequence, timestamp, ssrc, data[start:end])


def event_payload(event: int, end: bool, duration: int, volume: int = 10) -> bytes:
    """A telephone event; `duration` in 1/8000 s, `volume` in -dBm0."""
    return _EVENT.pack(event, (0x80 if end else 0) | volume, min(duration, 0xFFFF))


@dataclass
class HeardDigit:
    """A digit that came in as RFC 4733."""

    digit: str
    duration_ms: int
    packets: int
    ended: bool
    at: float
    "seconds since the epoch"


class EventReader:
    """Puts telephone-event packets together to digits: one event = one RTP timestamp (RFC 4733 section 2.5.2)."""

    def __init__(self) -> None:
        self.digits: list[HeardDigit] = []
        self._timestamp: int | None = None

    def feed(self, timestamp: int, payload: bytes, now: float) -> bool:
        """Takes a packet's payload; true if it completed a digit."""
        if len(payload) < 4:
            return False
        event, flags, duration = _EVENT.unpack_from(payload)
        if event >= len(DIGITS):
            return False
        if timestamp != self._timestamp:
            self._timestamp = timestamp
            self.digits.append(HeardDigit(DIGITS[event], 0, 0, False, now))
        digit = self.digits[-1]
        digit.packets += 1
        digit.duration_ms = max(digit.duration_ms, duration * 1000 // EVENT_CLOCK)
        completed = bool(flags & 0x80) and not digit.ended
        digit.ended = digit.ended or completed
        return completed

    @property
    def text(self) -> str:
        """The completed digits, in order."""
        return "".join(digit.digit for digit in self.digits if digit.ended)
