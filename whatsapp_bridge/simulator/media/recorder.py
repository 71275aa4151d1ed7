"""What the phone's user hears, put on a real-time line and written as WAV.

Packets are only noted during the call; decoding happens when a recording is asked for. The line is that of a
phone with a small jitter buffer: a packet has its place by RTP timestamp, one that misses its place moves the line
later (a gap is heard), and when the buffer has held too much for a second the line jumps forward again.
"""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import rtp
from .opus import PLAY_RATE as RATE
from .opus import Decoder

PLAYOUT: Final = 0.040
"Seconds between a packet's arrival and its sound; part of every delay measured on a recording."
MAX_SURPLUS: Final = 0.060
SURPLUS_SECONDS: Final = 1.0
MAX_PACKETS: Final = 3 * 3600 * 50


@dataclass(frozen=True, slots=True)
class _Heard:
    arrival: float
    ticks: int
    payload: bytes


@dataclass(frozen=True)
class Line:
    """Where every packet is played: sample positions from the beginning of the recording."""

    placed: tuple[tuple[int, bytes], ...]
    late: int
    "packets that came too late to be played"
    shifts: int
    "times the line moved"


class Recorder:
    """Notes packets from `start` on."""

    def __init__(self) -> None:
        self.started: float | None = None
        self.overflow = 0
        self._heard: list[_Heard] = []
        self._ticks: int | None = None

    def start(self, now: float) -> None:
        """The recording begins here (monotonic seconds)."""
        self.started = now

    def audio(self, timestamp: int, payload: bytes, now: float) -> None:
        """Notes a packet."""
        if self.started is None:
            return
        if len(self._heard) >= MAX_PACKETS:
            self.overflow += 1
            return
        if self._ticks is None:
            self._ticks = timestamp
        else:
            step = (timestamp - self._ticks) & 0xFFFFFFFF
            self._ticks += step if step < 0x80000000 else step - 0x100000000
        self._heard.append(_Heard(now, self._ticks, payload))

    def line(self) -> Line:
        """Places all packets heard so far."""
        return place(tuple(self._heard), self.started or 0.0)

    def write(self, path: Path, end: float) -> Line:
        """Writes what was heard up to `end` (monotonic seconds) as 48 kHz mono WAV. Blocks: call it in a thread."""
        line = self.line()
        total = max(int((end - (self.started or end)) * RATE), 0)
        write_wav(path, render(line, total))
        return line


def place(heard: tuple[_Heard, ...], start: float) -> Line:
    """The jitter buffer: pure, so that it can be tested."""
    placed: list[tuple[int, int, bytes]] = []
    origin: float | None = None  # what has to be added to ticks / CLOCK to get the time of playing
    highest = -1 << 62
    late = shifts = 0
    surplus, since = 0.0, 0.0
    for packet in heard:
        media = packet.ticks / rtp.CLOCK
        if origin is None:
            origin, surplus, since = packet.arrival + PLAYOUT - media, PLAYOUT, packet.arrival
        margin = origin + media - packet.arrival
        if margin < 0:
            if packet.ticks < highest:
                late += 1
                continue
            origin += PLAYOUT - margin
            shifts += 1
            margin, surplus, since = PLAYOUT, PLAYOUT, packet.arrival
        surplus = min(surplus, margin)
        if packet.arrival - since >= SURPLUS_SECONDS:
            if surplus > PLAYOUT + MAX_SURPLUS:
                origin -= surplus - PLAYOUT
                shifts += 1
            surplus, since = margin, packet.arrival
        highest = max(highest, packet.ticks)
        placed.append((round((origin + media - start) * RATE), packet.ticks, packet.payload))
    placed.sort(key=lambda each: each[1])
    return Line(tuple((position, payload) for position, _, payload in placed), late, shifts)


def render(line: Line, total: int) -> Iterator[bytes]:
    """Decodes the line, piece by piece, to at least `total` samples; where no packet has its place there is silence."""
    decoder = Decoder()
    cursor = 0
    tolerance = RATE // 500
    for position, payload in line.placed:
        samples = decoder.decode(payload)
        if position < cursor - tolerance:
            continue  # the line jumped forward: this is what the jump leaves out
        if position > cursor + tolerance:
            yield from _silence(position - cursor)
            cursor = position
        yield samples
        cursor += len(samples) // 2
    yield from _silence(total - cursor)


def _silence(samples: int) -> Iterator[bytes]:
    for begin in range(0, samples, RATE):
        yield bytes(2 * min(RATE, samples - begin))


def write_wav(path: Path, pieces: Iterable[bytes]) -> None:
    """48 kHz mono, 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for piece in pieces:
            file.writeframes(piece)
