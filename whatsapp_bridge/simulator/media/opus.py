"""Sound to Opus frames and back, with libopus by PyAV, in the way WhatsApp's app does it."""

from __future__ import annotations

import array
import asyncio
import math
import random
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from av import AudioFrame, AudioResampler, CodecContext
from av.packet import Packet

RATE: Final = 16_000
"Meta offers maxplaybackrate and sprop-maxcapturerate of 16000."
PLAY_RATE: Final = 48_000
"FFmpeg's libopus decodes to nothing else."
FRAME_SAMPLES: Final = RATE // 50
BIT_RATE: Final = 20_000
MAX_SECONDS: Final = 3600


class SoundError(Exception):
    """The sound cannot be played; the message says why."""


@dataclass(frozen=True)
class Clip:
    """Encoded sound: Opus frames of 20 ms."""

    frames: tuple[bytes, ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.frames) * 0.020


def encode(samples: array.array[int]) -> tuple[bytes, ...]:
    """Opus frames of 16 kHz mono samples; the last one is filled up with silence."""
    codec = CodecContext.create("libopus", "w")
    codec.bit_rate = BIT_RATE
    codec.format = "s16"
    codec.layout = "mono"
    codec.sample_rate = RATE
    codec.options = {"application": "voip", "frame_duration": "20", "vbr": "on", "fec": "1", "packet_loss": "10"}
    count = max(math.ceil(len(samples) / FRAME_SAMPLES), 1)
    data = samples.tobytes().ljust(count * FRAME_SAMPLES * 2, b"\0")
    frames: list[bytes] = []
    for index in range(count):
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.sample_rate = RATE
        frame.pts = index * FRAME_SAMPLES
        frame.planes[0].update(data[index * FRAME_SAMPLES * 2 : (index + 1) * FRAME_SAMPLES * 2])
        frames += [bytes(packet) for packet in codec.encode(frame)]
    frames += [bytes(packet) for packet in codec.encode(None)]
    return tuple(frames[:count])


class Decoder:
    """A phone's Opus decoder: 48 kHz mono out."""

    def __init__(self) -> None:
        codec = CodecContext.create("libopus", "r")
        codec.format = "s16"
        codec.layout = "mono"
        codec.sample_rate = PLAY_RATE
        self._codec = codec

    def decode(self, payload: bytes) -> bytes:
        """16-bit samples; nothing for what is no Opus. A lone TOC byte makes libopus conceal (RFC 6716 section 3.1)."""
        if not payload:
            return b""
        try:
            frames = self._codec.decode(Packet(payload))
        except ValueError:  # FFmpeg's InvalidDataError is one
            return b""
        return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)


def read_wav(path: Path) -> array.array[int]:
    """16 kHz mono samples of a PCM WAV of any rate with one or two channels. Raises SoundError."""
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width, count = (
                file.getframerate(),
                file.getnchannels(),
                file.getsampwidth(),
                file.getnframes(),
            )
            if width != 2 or channels not in (1, 2):
                raise SoundError(f"{path}: only 16-bit mono or stereo PCM can be played")
            if count > rate * MAX_SECONDS:
                raise SoundError(f"{path}: longer than {MAX_SECONDS} s")
            data = file.readframes(count)
    except (OSError, EOFError, wave.Error) as error:
        raise SoundError(f"{path}: {error}") from None
    if not data:
        raise SoundError(f"{path}: no sound in it")
    layout = "mono" if channels == 1 else "stereo"
    if rate == RATE and channels == 1:
        return array.array("h", data)
    frame = AudioFrame(format="s16", layout=layout, samples=len(data) // (2 * channels))
    frame.sample_rate = rate
    frame.planes[0].update(data)
    resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
    out = array.array("h")
    for source in (frame, None):
        for result in resampler.resample(source):
            out.frombytes(bytes(result.planes[0])[: result.samples * 2])
    return out


def tone(hz: float, dbfs: float, seconds: float) -> array.array[int]:
    """A sine; `dbfs` is its RMS level relative to a full-scale sine."""
    amplitude = 32767 * 10 ** (dbfs / 20)
    step = 2 * math.pi * hz / RATE
    return array.array("h", (round(amplitude * math.sin(step * n)) for n in range(int(seconds * RATE))))


def noise(dbfs: float, seconds: float) -> array.array[int]:
    """White noise whose RMS level is that of a sine of `dbfs`."""
    source = random.Random(20)
    amplitude = 32767 * 10 ** (dbfs / 20) / math.sqrt(2)
    samples = (round(max(-3.0, min(source.gauss(), 3.0)) * amplitude) for _ in range(int(seconds * RATE)))
    return array.array("h", (max(-32768, min(sample, 32767)) for sample in samples))


def _loopable(samples: array.array[int]) -> Clip:
    """The second half of `samples` encoded: the codec has settled, and the end runs on into the beginning."""
    frames = encode(samples)
    return Clip(frames[len(frames) // 2 :])


class ClipCache:
    """Each sound is encoded once, in a thread, however many phones play it."""

    def __init__(self) -> None:
        self._clips: dict[object, Clip] = {}
        self._lock = asyncio.Lock()

    async def file(self, path: Path) -> Clip:
        """A WAV file. Raises SoundError."""
        try:
            status = await asyncio.to_thread(path.stat)
        except OSError as error:
            raise SoundError(f"{path}: {error.strerror}") from None
        key = (str(path), status.st_mtime_ns, status.st_size)
        return await self._get(key, lambda: Clip(encode(read_wav(path))))

    async def tone(self, hz: float, dbfs: float) -> Clip:
        """A tone that can be repeated without a break if `hz` is whole."""
        return await self._get(("tone", hz, dbfs), lambda: _loopable(tone(hz, dbfs, 2)))

    async def noise(self, dbfs: float) -> Clip:
        """White noise."""
        return await self._get(("noise", dbfs), lambda: _loopable(noise(dbfs, 4)))

    async def silence(self) -> Clip:
        """Digital silence, coded as a phone with a muted microphone would."""
        return await self._get("silence", lambda: _loopable(array.array("h", bytes(2 * RATE))))

    async def _get(self, key: object, make: Callable[[], Clip]) -> Clip:
        async with self._lock:
            if key not in self._clips:
                if len(self._clips) >= 64:
                    self._clips.pop(next(iter(self._clips)))
                self._clips[key] = await asyncio.to_thread(make)
            return self._clips[key]
