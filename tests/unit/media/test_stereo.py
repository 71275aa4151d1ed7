"""Two mono streams become one stereo file."""

import struct
import wave
from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.media.stereo import interleave, join

RATE = 8000


def samples(*values: int) -> bytes:
    return array("h", values).tobytes()


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def broken(part: bytes) -> AsyncIterator[bytes]:
    yield part
    raise ConnectionError("Asterisk is gone")


def read(path: Path) -> tuple[list[int], list[int]]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        both = array("h", file.readframes(file.getnframes()))
    return list(both[0::2]), list(both[1::2])


@given(st.lists(st.integers(-32768, 32767)), st.lists(st.integers(-32768, 32767)))
def test_each_side_keeps_its_samples_and_silence_follows_the_shorter_one(left: list[int], right: list[int]) -> None:
    size = max(len(left), len(right))
    both = array("h", interleave(samples(*left), samples(*right)))
    assert list(both[0::2]) == left + [0] * (size - len(left))
    assert list(both[1::2]) == right + [0] * (size - len(right))


async def test_the_file_has_both_sides_whatever_the_parts_they_come_in(tmp_path: Path) -> None:
    left, right = list(range(20_000)), list(range(20_000, 0, -1))
    raw = samples(*left)
    parts = [raw[at : at + 777] for at in range(0, len(raw), 777)]  # odd sizes
    path = tmp_path / "2026/11/22/call.wav"
    seconds = await join(path, RATE, stream(*parts), stream(samples(*right)))
    assert seconds == 2.5
    assert read(path) == (left, right)
    assert [entry.name for entry in path.parent.iterdir()] == ["call.wav"]


async def test_a_side_that_began_later_stands_later(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    await join(path, RATE, stream(samples(1, 2)), stream(samples(3)), right_delay=2 / RATE)
    assert read(path) == ([1, 2, 0], [0, 0, 3])


async def test_an_empty_side_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    await join(path, RATE, stream(), stream(samples(7, 8)))
    assert read(path) == ([0, 0], [7, 8])


async def test_when_a_stream_breaks_no_file_is_left(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        await join(tmp_path / "call.wav", RATE, stream(samples(1)), broken(bytes(4 * RATE)))
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_cannot_be_made_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        await join(tmp_path / "file" / "call.wav", RATE, stream(), stream())


async def test_the_sizes_in_the_header_are_true(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    await join(path, RATE, stream(samples(*range(100))), stream())
    raw = path.read_bytes()
    assert struct.unpack_from("<I", raw, 4)[0] == len(raw) - 8
    assert struct.unpack_from("<I", raw, 40)[0] == len(raw) - 44 == 400
