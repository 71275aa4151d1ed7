"""Two mono recordings of one call become one stereo WAV file, as a stream: nothing is ever whole in memory.

All samples are signed 16 bit, little-endian. The left channel is the caller, the right one what the caller hears.
"""

import asyncio
import os
import struct
import sys
from array import array
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

BYTES_PER_SAMPLE = 2

#: A WAV header with the sizes that are known at the end only; RIFF, 16 bit PCM, two channels.
HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")

#: What a RIFF file can hold: its sizes are 32 bit, less the header.
MAX_DATA = 0xFFFFFFFF - HEADER.size


def interleave(left: bytes, right: bytes) -> bytes:
    """Both channels, sample by sample; silence follows the shorter one. A lone last byte is dropped."""
    size = max(len(left), len(right)) // BYTES_PER_SAMPLE
    both = array("h", bytes(2 * BYTES_PER_SAMPLE * size))
    for place, side in enumerate((left, right)):
        samples = array("h")
        samples.frombytes(side[: len(side) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE])
        both[place : 2 * len(samples) : 2] = samples
    return both.tobytes()


class StereoFile:
    """A WAV file in the making. It is called `<name>.part` until it is whole; left by an error, it is removed.

    Blocks on the disk: use it in a thread. Raises OSError.
    """

    def __init__(self, path: Path, rate: int) -> None:
        if sys.byteorder != "little":
            raise RuntimeError("WAV files are written on little-endian machines only")
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._rate = rate
        self._size = 0
        self._file = -1

    def __enter__(self) -> Self:
        self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._file = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            self._write(self._header())
        except OSError:
            self._discard()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc_type is not None:
            self._discard()
            return
        try:
            os.lseek(self._file, 0, os.SEEK_SET)
            self._write(self._header())
            os.fsync(self._file)
            self._part.rename(self._path)
        except OSError:
            self._discard()
            raise
        os.close(self._file)

    @property
    def seconds(self) -> float:
        """Length so far, s."""
        return self._size / (2 * BYTES_PER_SAMPLE * self._rate)

    def add(self, left: bytes, right: bytes) -> None:
        """Append a stretch of both channels. Raises OSError, also when a WAV file can hold no more (4 GiB)."""
        data = interleave(left, right)
        if self._size + len(data) > MAX_DATA:
            raise OSError("the recording is longer than a WAV file can hold")
        self._write(data)
        self._size += len(data)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def _header(self) -> bytes:
        frame = 2 * BYTES_PER_SAMPLE
        body = HEADER.size - 8 + self._size
        kind = (1, 2, self._rate, self._rate * frame, frame, 8 * BYTES_PER_SAMPLE)
        return HEADER.pack(b"RIFF", body, b"WAVE", b"fmt ", 16, *kind, b"data", self._size)

    def _discard(self) -> None:
        os.close(self._file)
        self._part.unlink(missing_ok=True)


async def join(
    path: Path,
    rate: int,
    left: AsyncIterator[bytes],
    right: AsyncIterator[bytes],
    *,
    left_delay: float = 0.0,
    right_delay: float = 0.0,
) -> float:
    """Write `path` out of two streams of samples, and return its length, s.

    The delays, s, say how much later than the file each side begins. Raises OSError and what the streams raise; then
    there is no file.
    """
    sides = _blocks(left, left_delay, rate), _blocks(right, right_delay, rate)
    file = await asyncio.to_thread(StereoFile(path, rate).__enter__)
    try:
        while True:
            first, second = await anext(sides[0], b""), await anext(sides[1], b"")
            if not first and not second:
                break
            await asyncio.to_thread(file.add, first, second)
    except BaseException as error:
        file.__exit__(type(error), error, error.__traceback__)
        raise
    finally:
        for side in sides:
            await side.aclose()
    await asyncio.to_thread(file.__exit__, None, None, None)
    return file.seconds


async def _blocks(stream: AsyncIterator[bytes], delay: float, rate: int) -> AsyncGenerator[bytes, None]:
    """The delay as silence and then the stream, in blocks of one second; the last one may be shorter."""
    size = BYTES_PER_SAMPLE * rate
    buffer = bytearray(BYTES_PER_SAMPLE * round(delay * rate))
    async for part in stream:
        buffer += part
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    while buffer:
        yield bytes(buffer[:size])
        del buffer[:size]
