"""How loud a file is from begin to end, read in pieces."""

import struct
import wave
from pathlib import Path

import pytest

from ari_app.media.waveform import WaveformError, loudness


def written(path: Path, samples: list[int], *, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(8000)
        writer.writeframes(struct.pack(f"<{len(samples)}{'h' if width == 2 else 'b'}", *samples))
    return path


def test_each_stretch_has_the_peak_of_its_own_channel(tmp_path: Path) -> None:
    left = [0] * 4000 + [16384, -16384] * 2000
    right = [-32768, 32767] * 2000 + [0] * 4000
    both = [sample for pair in zip(left, right, strict=True) for sample in pair]
    found = loudness(written(tmp_path / "two.wav", both, channels=2), 4)
    assert found.seconds == 1.0
    assert found.channels == ((0, 0, 0.5, 0.5), (1, 1, 0, 0))


def test_a_long_sound_is_looked_at_in_every_stretch(tmp_path: Path) -> None:
    samples = [1000] * 400_000 + [20_000] * 400_000
    (peaks,) = loudness(written(tmp_path / "long.wav", samples), 100).channels
    assert [round(peak * 32768) for peak in peaks] == [1000] * 50 + [20_000] * 50


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_short_sound_has_as_many_stretches(tmp_path: Path, count: int) -> None:
    (peaks,) = loudness(written(tmp_path / "short.wav", [3277] * count), 10).channels
    assert len(peaks) == 10
    assert max(peaks) == (pytest.approx(0.1, abs=1e-4) if count else 0)


def test_what_is_no_sound_of_ours_is_told(tmp_path: Path) -> None:
    for n, content in enumerate((b"", b"RIFF\0\0\0\0WAVE", b"#!/bin/sh", b"RIFF\xff\xff\xff\x7fWAVEfmt ")):
        (tmp_path / f"{n}.wav").write_bytes(content)
        with pytest.raises(WaveformError, match=f"{n}.wav"):
            loudness(tmp_path / f"{n}.wav", 10)
    with pytest.raises(WaveformError, match="8 bits"):
        loudness(written(tmp_path / "eight.wav", [1, 2], width=1), 10)
    with pytest.raises(OSError, match="nothing"):
        loudness(tmp_path / "nothing.wav", 10)
