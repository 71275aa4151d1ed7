"""Pictures of recordings: drawn once, and kept as long as the file is as it was."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from ari_app.media.waveform import Loudness, WaveformError, loudness

logger = logging.getLogger(__name__)

#: One stretch of the picture is a bar.
BARS = 240
BAR_WIDTH = 4
LANE = 56
"Height of a channel, px."

#: About 3 MB.
KEPT = 256

#: So that soft voices can be seen: half the height is a quarter of full scale.
_CURVE = 0.5


@dataclass(frozen=True)
class Waveform:
    width: int
    height: int
    lanes: tuple[str, ...]
    "A path for each channel: the caller's, and what the caller hears."
    seconds: float


class Waveforms:
    """Remembers the pictures of the files that were asked for last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, int, int], Waveform] = OrderedDict()

    async def of(self, path: Path | None) -> Waveform | None:
        """None where there is no file, or none of sound; why is in the log."""
        if path is None:
            return None
        try:
            return await self._of(path)
        except (OSError, WaveformError) as error:
            logger.error("no picture can be drawn of a recording: %s", error)
            return None

    async def _of(self, path: Path) -> Waveform:
        now = await asyncio.to_thread(path.stat)
        key = (path, now.st_mtime_ns, now.st_size)
        if key not in self._kept:
            self._kept[key] = drawn(await asyncio.to_thread(loudness, path, BARS))
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def drawn(sound: Loudness) -> Waveform:
    lanes = tuple(_lane(peaks, LANE * (2 * n + 1) / 2) for n, peaks in enumerate(sound.channels))
    return Waveform(BARS * BAR_WIDTH, LANE * len(lanes), lanes, sound.seconds)


def _lane(peaks: tuple[float, ...], middle: float) -> str:
    """Upright strokes about the middle line; silence is a dot."""
    strokes = []
    for n, peak in enumerate(peaks):
        half = max(0.5, peak**_CURVE * (LANE / 2 - 3))
        strokes.append(f"M{n * BAR_WIDTH + BAR_WIDTH // 2} {middle - half:.1f}v{2 * half:.1f}")
    return "".join(strokes)
