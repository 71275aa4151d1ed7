"""What stands for relay and headless phone in a browser's call: packets go past us, and the page tells of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from ..media.opus import Clip, SoundError
from ..media.relay import Relay, RelayListener
from ..phone import Phone
from ..sdp import BusinessMedia
from .messages import Stats

DTMF_GAP_MIN_MS = 30
"""The shortest that browsers take (W3C WebRTC 1.0, insertDTMF)."""


class BrowserRelay(Relay):
    """A relay without a socket: its counters and states are those of the browser's WebRTC."""

    def __init__(self, listener: RelayListener) -> None:
        super().__init__(listener)
        self._says_dtmf = False

    def set_business(self, business: BusinessMedia, role: Literal["server", "client"]) -> None:
        """The browser does the handshake."""
        self._says_dtmf = business.dtmf_type is not None

    @property
    def can_send_events(self) -> bool:
        return self._says_dtmf

    def take(self, stats: Stats) -> None:
        """What the page tells, once a second: who waits for packets is late by that much."""
        counters, before = self.counters, self.counters.packets_in
        counters.packets_in, counters.bytes_in = stats.packets_in, stats.bytes_in
        counters.audio_in = stats.packets_in
        counters.packets_out, counters.bytes_out = stats.packets_out, stats.bytes_out
        counters.jitter = stats.jitter_s
        if stats.packets_in > before:
            counters.last_packet_at = counters.last_audio_at = time.monotonic()
            if before == 0:
                counters.first_audio_at = counters.last_packet_at
                self._listener.first_packet()
        self.dtls.role = stats.role
        state: Literal["connected", "failed", "connecting"] = "connecting"
        if stats.connected or stats.failed:
            state = "connected" if stats.connected else "failed"
        if self.dtls.state != state:
            self.dtls.state = state
            self._listener.transport_changed()
        self._listener.counted()


class BrowserPhone(Phone):
    """A phone that a person holds. Its microphone is the browser's; digits can be pressed for the person."""

    def __init__(self, relay: BrowserRelay, silence: Clip, press: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(relay, None, silence, loop=False, record=False)
        self._press = press

    def play(self, clip: Clip | None, *, loop: bool) -> None:
        """Not possible."""
        raise SoundError("this phone is a person's in a browser: it plays what the microphone hears")

    def press(self, digits: str, duration_ms: int, gap_ms: int) -> None:
        """Lets the browser press them."""
        gap = max(gap_ms, DTMF_GAP_MIN_MS)
        self._press({"type": "press", "digits": digits, "duration_ms": duration_ms, "gap_ms": gap})

    def tick(self, now: float) -> None:
        """The browser sends by itself."""
