"""A headless WhatsApp phone: plays a sound or is silent, presses digits, notes what it hears."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .media import rtp
from .media.opus import Clip, ClipCache
from .media.recorder import Recorder
from .media.relay import Relay

_log = logging.getLogger(__name__)


class Tone(BaseModel):
    """A sine tone."""

    model_config = ConfigDict(extra="forbid")

    hz: float = Field(gt=0, le=7000)
    dbfs: float = Field(default=-20.0, ge=-90, le=0)


class Noise(BaseModel):
    """White noise."""

    model_config = ConfigDict(extra="forbid")

    dbfs: float = Field(default=-30.0, ge=-90, le=-10)


class Sound(BaseModel):
    """What a phone plays: exactly one of the sources, or `nothing` (it sends no packets at all)."""

    model_config = ConfigDict(extra="forbid")

    wav: Path | None = None
    tone: Tone | None = None
    noise: Noise | None = None
    silence: bool = False
    nothing: bool = False
    loop: bool = True

    @model_validator(mode="after")
    def _one_source(self) -> Sound:
        given = [self.wav is not None, self.tone is not None, self.noise is not None, self.silence, self.nothing]
        if sum(given) != 1:
            raise ValueError("give exactly one of wav, tone, noise, silence, nothing")
        return self

    async def clip(self, clips: ClipCache) -> Clip | None:
        """The encoded sound; None for nothing. Raises SoundError."""
        if self.wav is not None:
            return await clips.file(self.wav)
        if self.tone is not None:
            return await clips.tone(self.tone.hz, self.tone.dbfs)
        if self.noise is not None:
            return await clips.noise(self.noise.dbfs)
        return await clips.silence() if self.silence else None


@dataclass
class _Press:
    event: int
    ticks: int
    gap_frames: int
    timestamp: int = 0
    sent_ticks: int = 0


class Phone:
    """Owns what the user hears and says in one call. Ticked every 20 ms while the call is connected."""

    def __init__(
        self, relay: Relay, clip: Clip | None, silence: Clip, *, loop: bool, record: bool, waits: bool = True
    ) -> None:
        self.relay = relay
        self.recorder = Recorder() if record else None
        self.may_send = False
        self.waits = waits
        "true: sends nothing before the first packet has come in, as WhatsApp does"
        self.heard_something = False
        self.playing_since: float | None = None
        "seconds since the epoch of the first packet of the sound that plays now"
        self.played_out = False
        self.on_played_out: Callable[[], None] = lambda: None
        self._clip = clip
        self._silence = silence.frames
        self._loop = loop
        self._frames: tuple[bytes, ...] = () if clip is None else clip.frames
        self._position = 0
        self._presses: deque[_Press] = deque()
        self._gap = 0

    def connect(self, now: float) -> None:
        """The call is accepted: the user hears and may be heard."""
        self.may_send = True
        if self.recorder is not None:
            self.recorder.start(now)

    def play(self, clip: Clip | None, *, loop: bool) -> None:
        """Changes the sound, from its beginning."""
        self._clip, self._loop, self._position, self.played_out = clip, loop, 0, False
        self._frames = () if clip is None else clip.frames
        self.playing_since = None

    def press(self, digits: str, duration_ms: int, gap_ms: int) -> None:
        """Queues digits; each is heard for `duration_ms`, with `gap_ms` of sound between two."""
        ticks = max(duration_ms * rtp.EVENT_CLOCK // 1000, rtp.EVENT_TICKS)
        gap = max(round(gap_ms / rtp.FRAME_MS), 1)
        for digit in digits:
            self._presses.append(_Press(rtp.DIGITS.index(digit), ticks, gap))

    @property
    def pressing(self) -> bool:
        """Digits are still being sent."""
        return bool(self._presses) or self._gap > 0

    def tick(self, now: float) -> None:
        """Sends what belongs to this 20 ms."""
        relay = self.relay
        if self.may_send and relay.ready and (self.heard_something or not self.waits):
            self._frame()
        relay.advance(now)

    def send_early(self, frames: int, now: float) -> None:
        """Sends frames ahead of their time, all at once."""
        for _ in range(frames):
            self.tick(now)

    def heard(self, timestamp: int, payload: bytes, now: float) -> None:
        """An Opus packet came in."""
        if self.recorder is not None:
            self.recorder.audio(timestamp, payload, now)

    def _frame(self) -> None:
        if self._gap:
            self._gap -= 1
        elif self._presses:
            self._event(self._presses[0])
            self._skip_frame()
            return
        if self._clip is None:
            return
        if self.playing_since is None:
            self.playing_since = time.time()
        self.relay.send_audio(self._next_frame())

    def _next_frame(self) -> bytes:
        if self.played_out:
            frame = self._silence[self._position % len(self._silence)]
            self._position += 1
            return frame
        frame = self._frames[self._position]
        self._position += 1
        if self._position == len(self._frames):
            self._position = 0
            if not self._loop:
                self.played_out = True
                self.on_played_out()
        return frame

    def _skip_frame(self) -> None:
        # A digit is heard instead of the microphone, which goes on listening.
        if self._clip is not None and self._loop:
            self._position = (self._position + 1) % len(self._frames)

    def _event(self, press: _Press) -> None:
        first = press.sent_ticks == 0
        if first:
            press.timestamp = self.relay.timestamp
        press.sent_ticks = min(press.sent_ticks + rtp.EVENT_TICKS, press.ticks)
        end = press.sent_ticks >= press.ticks
        payload = rtp.event_payload(press.event, end, press.sent_ticks)
        self.relay.send_event(payload, press.timestamp, first)
        if end:
            for _ in range(rtp.END_REPEATS - 1):
                self.relay.send_event(payload, press.timestamp, False)
            self._presses.popleft()
            self._gap = press.gap_frames

    def report(self) -> dict[str, Any]:
        """What the phone did, for the control API."""
        return {"playing_since": self.playing_since, "played_out": self.played_out, "pressing": self.pressing}
