"""Sound files of the kinds that baresip, Asterisk and the simulator write."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ari_app.media.wav import EXTENSIBLE, FLOAT, PCM, Sound, WavError, read_wav, silence, sine, write_wav

RATE = 8000


def riff(
    tag: int, channels: int, rate: int, bits: int, data: bytes, *, size: int | None = None, more: bytes = b""
) -> bytes:
    width = channels * bits // 8
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits) + more
    chunk = b"fmt " + struct.pack("<I", len(head)) + head
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # of odd length, so padded
    body = b"WAVE" + chunk + odd + b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def read_bytes(folder: Path, content: bytes) -> Sound:
    path = folder / "sound.wav"
    path.write_bytes(content)
    return read_wav(path)


@given(values=arrays(np.int16, st.integers(0, 200)), rate=st.sampled_from([8000, 16000, 44100, 48000]))
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, rate: int
) -> None:
    path = tmp_path_factory.mktemp("wav") / "sound.wav"
    write_wav(path, Sound(values / 32768, rate))
    sound = read_wav(path)
    assert sound.rate == rate
    assert np.array_equal(sound.samples * 32768, values)


@pytest.mark.parametrize(
    ("tag", "bits", "data"),
    [
        (PCM, 8, bytes([192, 64])),
        (PCM, 16, struct.pack("<2h", 16384, -16384)),
        (PCM, 24, b"\x00\x00\x40\x00\x00\xc0"),
        (PCM, 32, struct.pack("<2i", 1 << 30, -(1 << 30))),
        (FLOAT, 32, struct.pack("<2f", 0.5, -0.5)),
        (FLOAT, 64, struct.pack("<2d", 0.5, -0.5)),
    ],
)
def test_every_width_has_the_same_full_scale(tmp_path: Path, tag: int, bits: int, data: bytes) -> None:
    assert read_bytes(tmp_path, riff(tag, 1, RATE, bits, data)).samples.tolist() == [0.5, -0.5]


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = struct.pack("<4h", 16384, 0, -16384, -16384)
    assert read_bytes(tmp_path, riff(PCM, 2, 48000, 16, stereo)).samples.tolist() == [0.25, -0.5]


def test_the_extensible_format_is_looked_through(tmp_path: Path) -> None:
    more = struct.pack("<HHI", 22, 16, 4) + struct.pack("<H", PCM) + bytes(14)
    content = riff(EXTENSIBLE, 1, RATE, 16, struct.pack("<h", 16384), more=more)
    assert read_bytes(tmp_path, content).samples.tolist() == [0.5]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 4000])
def test_a_file_that_is_still_being_written_gives_what_is_there(tmp_path: Path, size: int) -> None:
    content = riff(PCM, 1, RATE, 16, struct.pack("<3h", 1, 2, 3) + b"\x04", size=size)
    assert (read_bytes(tmp_path, content).samples * 32768).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"not a sound at all, but text", riff(7, 1, RATE, 8, b"\xff"), riff(PCM, 0, RATE, 16, b"\0\0"),
     riff(PCM, 1, RATE, 12, b"\0\0"), b"RIFF\x04\0\0\0WAVE", b"RIFF\x0c\0\0\0WAVEdata\0\0\0\0"],
)  # fmt: skip
def test_what_is_no_wav_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WavError, match=r"sound\.wav"):
        read_bytes(tmp_path, content)


@given(cut=st.integers(0, 100))
def test_a_file_cut_off_anywhere_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    content = riff(PCM, 1, RATE, 16, struct.pack("<8h", *range(8)))
    try:
        sound = read_bytes(tmp_path_factory.mktemp("wav"), content[:cut])
    except WavError:
        return
    assert sound.samples.size <= 8


def test_loud_sounds_are_clipped_and_do_not_wrap(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    write_wav(path, Sound(np.array([1.5, -1.5]), RATE))
    assert read_wav(path).samples.tolist() == [32767 / 32768, -1.0]


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
def test_resampling_keeps_length_frequency_and_level(rate: int) -> None:
    sound = sine(1000, 1.0, 16000, -20).resampled(rate)
    wanted = sine(1000, 1.0, rate, -20)
    assert sound.samples.size == wanted.samples.size
    middle = slice(rate // 10, -rate // 10)
    assert np.abs(sound.samples[middle] - wanted.samples[middle]).max() < 0.002


def test_resampling_down_removes_what_would_alias() -> None:
    sound = sine(3000, 0.5, 48000, -10).resampled(4000)
    assert np.abs(sound.samples[200:-200]).max() < 0.002


def test_parts_and_sums_are_measured_in_seconds() -> None:
    sound = silence(0.5, RATE) + sine(500, 0.25, 48000)
    assert sound.rate == RATE
    assert sound.duration_s == 0.75
    assert sound.part(0, 0.5).samples.any() == np.False_
    assert sound.part(0.6).duration_s == pytest.approx(0.15)
    assert sound.part(-1, 0.1).duration_s == pytest.approx(0.1)
    assert sound.part(2).duration_s == 0
