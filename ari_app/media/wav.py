"""Sound in memory and in WAV files (RIFF; PCM of 8, 16, 24, 32 bits or IEEE float; any rate and channels)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
"""Format tags of the RIFF `fmt ` chunk; EXTENSIBLE carries the real one in its sub-format."""


class WavError(ValueError):
    """The file is not a WAV that we can read; the message names the file."""


@dataclass(frozen=True)
class Sound:
    """Mono sound: samples with full scale 1.0, and their rate in Hz."""

    samples: NDArray[np.float64]
    rate: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.samples.size / self.rate)

    def part(self, start_s: float, end_s: float | None = None) -> Sound:
        """What lies between two times, in seconds."""
        end = None if end_s is None else max(0, round(end_s * self.rate))
        return Sound(self.samples[max(0, round(start_s * self.rate)) : end], self.rate)

    def resampled(self, rate: int) -> Sound:
        """The same sound at another rate, band-limited (windowed sinc, so no aliasing when going down)."""
        if rate == self.rate or self.samples.size == 0:
            return Sound(self.samples, rate)
        divisor = int(np.gcd(rate, self.rate))
        up, down = rate // divisor, self.rate // divisor
        half = 16 * max(up, down)
        taps = np.arange(-half, half + 1) / max(up, down)
        kernel = np.sinc(taps) * np.kaiser(taps.size, 8.0) * (up / max(up, down))
        count = -(-self.samples.size * up // down)
        return Sound(_polyphase(self.samples, kernel, up, down, count), rate)

    def __add__(self, other: Sound) -> Sound:
        """One after the other; the second takes on the rate of the first."""
        return Sound(np.concatenate([self.samples, other.resampled(self.rate).samples]), self.rate)


def silence(duration_s: float, rate: int) -> Sound:
    """No sound for that long."""
    return Sound(np.zeros(round(duration_s * rate)), rate)


def sine(frequency_hz: float, duration_s: float, rate: int, level_dbfs: float = -12.0) -> Sound:
    """A tone; the level is RMS, so at most -3.01 dBFS."""
    times = np.arange(round(duration_s * rate)) / rate
    return Sound(np.sqrt(2) * 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * frequency_hz * times), rate)


def read_wav(path: Path) -> Sound:
    """Read a WAV file, channels averaged; one still being written (sizes 0 or too large) gives what is there.

    Raises WavError, or OSError when the file cannot be read.
    """
    raw = path.read_bytes()
    if len(raw) < 12 or raw[:4] != b"RIFF" or raw[8:12] != b"WAVE":
        raise WavError(f"{path} is not a RIFF WAVE file")
    form: tuple[int, int, int, int] | None = None
    position = 12
    while position + 8 <= len(raw):
        name, size = raw[position : position + 4], struct.unpack_from("<I", raw, position + 4)[0]
        body = position + 8
        if name == b"fmt " and size >= 16 and body + size <= len(raw):
            tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", raw, body)
            if tag == EXTENSIBLE and size >= 26:
                tag = struct.unpack_from("<H", raw, body + 24)[0]
            form = (tag, channels, rate, bits)
        elif name == b"data":
            if form is None:
                break
            unfinished = size in (0, 0xFFFFFFFF) or body + size > len(raw)
            return _decode(raw[body:] if unfinished else raw[body : body + size], *form, path)
        position = body + size + (size & 1)
    raise WavError(f"{path} has no sound data")


def write_wav(path: Path, sound: Sound) -> None:
    """Write 16 bit mono PCM; what exceeds full scale is clipped."""
    path.write_bytes(wav_bytes(pcm16(sound), sound.rate))


def pcm16(sound: Sound) -> bytes:
    """Little-endian 16 bit samples; what exceeds full scale is clipped."""
    return np.clip(np.rint(sound.samples * 32768), -32768, 32767).astype("<i2").tobytes()


def wav_bytes(data: bytes, rate: int) -> bytes:
    """A WAV file of 16 bit mono samples."""
    head = struct.pack("<HHIIHH", PCM, 1, rate, rate * 2, 2, 16)
    riff = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(riff) + len(data)) + riff + data


def _decode(data: bytes, tag: int, channels: int, rate: int, bits: int, path: Path) -> Sound:
    width = bits // 8
    if tag not in (PCM, FLOAT) or channels == 0 or rate == 0 or width == 0:
        raise WavError(f"{path}: cannot read format {tag:#06x}, {channels} channels, {rate} Hz, {bits} bits")
    data = data[: len(data) // (width * channels) * width * channels]
    values: NDArray[np.float64]
    if tag == FLOAT and bits in (32, 64):
        values = np.frombuffer(data, f"<f{width}").astype(np.float64)
    elif tag == PCM and bits == 8:  # the only unsigned width
        values = (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    elif tag == PCM and bits in (16, 32):
        values = np.frombuffer(data, f"<i{width}").astype(np.float64) / float(1 << (bits - 1))
    elif tag == PCM and bits == 24:
        octets = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
        whole = (octets[:, 0] << 8 | octets[:, 1] << 16 | octets[:, 2] << 24) >> 8
        values = whole.astype(np.float64) / (1 << 23)
    else:
        raise WavError(f"{path}: {bits} bits of format {tag:#06x} cannot be read")
    return Sound(values.reshape(-1, channels).mean(axis=1), rate)


def _polyphase(
    samples: NDArray[np.float64], kernel: NDArray[np.float64], up: int, down: int, count: int
) -> NDArray[np.float64]:
    """Resample by up/down with a symmetric low-pass at the common rate, without forming the zeros between."""
    half = kernel.size // 2
    reach = half // up + 1
    padded = np.concatenate([np.zeros(reach), samples, np.zeros(reach + 1)])
    places = np.arange(count) * down
    offsets = np.arange(-reach, reach + 1)
    result = np.zeros(count)
    for phase in range(up):
        chosen = np.flatnonzero(places % up == phase)
        if chosen.size == 0:
            continue
        at = half + phase - offsets * up
        usable = (at >= 0) & (at < kernel.size)
        window = np.lib.stride_tricks.sliding_window_view(padded, int(usable.sum()))
        result[chosen] = window[places[chosen] // up + offsets[usable][0] + reach] @ kernel[at[usable]]
    return result
