"""Where what was heard stands on the recording's line."""

from __future__ import annotations

import itertools
import math
import wave
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.simulator.media.opus import (
    FRAME_SAMPLES,
    RATE,
    Clip,
    ClipCache,
    Decoder,
    SoundError,
    encode,
    noise,
    read_wav,
    tone,
)
from whatsapp_bridge.simulator.media.recorder import PLAYOUT, Recorder, render, write_wav

FRAME = 960


def recorder(arrivals: list[float], timestamps: list[int] | None = None) -> Recorder:
    """A recorder that got packets of 20 ms at these times (s)."""
    made = Recorder()
    made.start(0.0)
    frames = encode(tone(400, -20, len(arrivals) * 0.02))
    for n, arrival in enumerate(arrivals):
        made.audio(timestamps[n] if timestamps else 4_294_960_000 + n * FRAME & 0xFFFFFFFF, frames[n], arrival)
    return made


def positions(made: Recorder) -> list[float]:
    """Places in seconds."""
    return [position / 48_000 for position, _ in made.line().placed]


def test_even_packets_follow_each_other_over_the_wrap_of_timestamps() -> None:
    placed = positions(recorder([1 + n * 0.02 for n in range(20)]))
    assert placed == pytest.approx([1 + PLAYOUT + n * 0.02 for n in range(20)])


@given(st.lists(st.floats(0, 0.039), min_size=2, max_size=60))
def test_jitter_below_the_buffer_is_not_heard(jitter: list[float]) -> None:
    placed = positions(recorder([n * 0.02 + (late if n else 0.0) for n, late in enumerate(jitter)]))
    assert placed == pytest.approx([PLAYOUT + n * 0.02 for n in range(len(jitter))], abs=1e-4)


def test_a_pause_is_a_gap_and_the_burst_after_it_is_caught_up_with() -> None:
    arrivals = [n * 0.02 if n < 50 or n >= 75 else 1.5 for n in range(300)]
    made = recorder(arrivals)
    placed = positions(made)
    gaps = [b - a - 0.02 for a, b in itertools.pairwise(placed)]
    assert max(gaps) == pytest.approx(0.5, abs=0.05)
    assert made.line().shifts >= 2
    assert placed[-1] - arrivals[-1] == pytest.approx(PLAYOUT, abs=0.03)


def test_a_packet_after_its_place_is_late_and_left_out() -> None:
    made = Recorder()
    made.start(0.0)
    for n, arrival in ((0, 0.0), (2, 0.04), (3, 0.06), (4, 0.08), (1, 0.2)):
        made.audio(n * FRAME, b"\x08", arrival)
    assert made.line().late == 1
    assert len(made.line().placed) == 4


def test_lost_packets_leave_silence_of_their_length(tmp_path: Path) -> None:
    kept = [n for n in range(100) if not 40 <= n < 50]
    made = recorder([n * 0.02 for n in kept], [n * FRAME for n in kept])
    made.write(tmp_path / "heard.wav", 2.2)
    samples = array("h", b"".join(render(made.line(), 0)))
    gap = samples[int((0.8 + PLAYOUT) * 48_000) : int((1.0 + PLAYOUT) * 48_000)]
    assert set(gap) == {0}
    assert max(samples[int(0.7 * 48_000) : int(0.8 * 48_000)]) > 1000


def test_nothing_before_the_start_is_recorded() -> None:
    made = Recorder()
    made.audio(0, b"\x08", 1.0)
    assert made.line().placed == ()


def test_rubbish_and_lone_toc_bytes_do_not_stop_the_decoder() -> None:
    decoder = Decoder()
    frames = encode(tone(400, -20, 0.2))
    assert len(decoder.decode(frames[0])) == 1920
    assert len(decoder.decode(frames[0][:1])) == 1920
    assert decoder.decode(b"") == b""
    decoder.decode(b"\xff\xff\xff\xff\xff")
    assert len(decoder.decode(frames[1])) == 1920


def test_a_tone_keeps_its_level_through_the_codec() -> None:
    decoder = Decoder()
    samples = array("h")
    for frame in encode(tone(1000, -20, 1.0)):
        samples.frombytes(decoder.decode(frame))
    rms = math.sqrt(sum(sample * sample for sample in samples[9600:]) / len(samples[9600:]))
    assert 20 * math.log10(rms * math.sqrt(2) / 32767) == pytest.approx(-20, abs=1.5)


def test_the_bit_rate_is_that_of_a_phone() -> None:
    frames = encode(noise(-20, 2.0))
    assert 12_000 < sum(map(len, frames)) * 8 / 2 < 28_000
    assert {frame[0] & 4 for frame in frames} == {0}, "mono"


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
async def test_a_wav_of_any_rate_can_be_played(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, rate, 0, "NONE", ""))
        step = 2 * math.pi * 500 / rate
        file.writeframes(array("h", (round(3000 * math.sin(step * (n // 2))) for n in range(2 * rate))).tobytes())
    samples = read_wav(path)
    assert len(samples) == pytest.approx(RATE, abs=40)
    cache = ClipCache()
    clip = await cache.file(path)
    assert clip.seconds == pytest.approx(1.0, abs=0.03)
    assert await cache.file(path) is clip


def test_what_is_no_wav_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "no.wav"
    path.write_bytes(b"RIFFxxxx")
    with pytest.raises(SoundError, match=r"no\.wav"):
        read_wav(path)
    with pytest.raises(SoundError):
        read_wav(tmp_path / "absent.wav")
    write_wav(path, [])
    with pytest.raises(SoundError, match="no sound"):
        read_wav(path)


async def test_a_repeated_tone_has_no_break(tmp_path: Path) -> None:
    clip = await ClipCache().tone(1000, -20)
    assert isinstance(clip, Clip)
    assert len(clip.frames) == 50
    decoder = Decoder()
    samples = array("h")
    for frame in clip.frames * 3:
        samples.frombytes(decoder.decode(frame))
    levels = [max(samples[n : n + 960]) for n in range(9600, len(samples), 960)]
    assert min(levels) > 0.7 * max(levels)
    assert FRAME_SAMPLES == 320
