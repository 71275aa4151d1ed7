"""How loud a sound file is from its begin to its end: for a picture of it. No more than a part is ever in memory."""

import wave
from array import array
from dataclasses import dataclass
from pathlib import Path

#: Of a stretch of the picture so many pieces of so many frames are looked at. 16 ms at 16 kHz are a pitch period of
#: the lowest voice, so none of them falls into the pause between two.
PIECES = 8
PIECE_FRAMES = 256

_FULL_SCALE = 1 << 15


@dataclass(frozen=True)
class Loudness:
    seconds: float
    channels: tuple[tuple[float, ...], ...]
    "Of each channel the peaks of all stretches, 0 to 1."


class WaveformError(Exception):
    """It is no WAV file with 16 bit samples; the message says what it is."""


def loudness(path: Path, stretches: int) -> Loudness:
    """The peaks of so many stretches of equal length. Blocking: about 30 ms of a core, however long the sound is.

    Raises WaveformError, OSError.
    """
    try:
        with wave.open(str(path), "rb") as reader:
            if reader.getsampwidth() != 2:
                raise WaveformError(f"{path}: it has samples of {8 * reader.getsampwidth()} bits, not of 16")
            count, frames = reader.getnchannels(), reader.getnframes()
            channels: list[list[float]] = [[] for _ in range(count)]
            for stretch in range(stretches):
                begin, end = stretch * frames // stretches, (stretch + 1) * frames // stretches
                peaks = _peaks(reader, begin, max(end, begin + 1), count)
                for channel, peak in zip(channels, peaks, strict=True):
                    channel.append(min(1.0, peak / _FULL_SCALE))
            return Loudness(frames / reader.getframerate(), tuple(map(tuple, channels)))
    except (wave.Error, EOFError) as error:
        raise WaveformError(f"{path}: {error or 'it is cut off'}") from error


def _peaks(reader: wave.Wave_read, begin: int, end: int, count: int) -> list[int]:
    found = [0] * count
    step = max(PIECE_FRAMES, (end - begin) // PIECES)
    for at in range(begin, min(end, reader.getnframes()), step):
        reader.setpos(at)
        samples = array("h")
        raw = reader.readframes(min(PIECE_FRAMES, end - at))
        samples.frombytes(raw[: len(raw) // 2 * 2])
        for channel in range(count):
            if own := samples[channel::count]:
                found[channel] = max(found[channel], max(own), -min(own))
    return found
