"""Faults on the phone's way out: packets lost, doubled, swapped, or held and then sent all at once."""

from __future__ import annotations

import random
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

MAX_HELD = 3_000
"One minute of packets."


class MediaFaults(BaseModel):
    """What the control API sets; rates are 0 to 1 of all packets."""

    model_config = ConfigDict(extra="forbid")

    drop: float | None = Field(default=None, ge=0, le=1)
    duplicate: float | None = Field(default=None, ge=0, le=1)
    reorder: float | None = Field(default=None, ge=0, le=1)
    pause_ms: int | None = Field(default=None, ge=0, le=60_000)
    burst: bool = Field(default=False, description="after the pause send what was held, all at once; else it is lost")
    early_frames: int | None = Field(default=None, ge=1, le=500, description="send that many frames ahead of time, now")


class OutboundFaults:
    """Stands between packing and encryption, so that a lost packet leaves a hole in the sequence numbers."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.active = False
        self.dropped = 0
        self._send = send
        self._drop = self._duplicate = self._reorder = 0.0
        self._held: list[bytes] = []
        self._swapped: bytes | None = None
        self._paused_until: float | None = None
        self._burst = False

    def configure(self, faults: MediaFaults, now: float) -> None:
        """Sets what is given, leaves what is not; a pause begins at once. `now` is monotonic seconds."""
        self._drop = self._drop if faults.drop is None else faults.drop
        self._duplicate = self._duplicate if faults.duplicate is None else faults.duplicate
        self._reorder = self._reorder if faults.reorder is None else faults.reorder
        if faults.pause_ms:
            self._paused_until = now + faults.pause_ms / 1000
            self._burst = faults.burst
        self._update()

    def send(self, packet: bytes) -> None:
        """Takes a packet."""
        if self._paused_until is not None:
            if self._burst and len(self._held) < MAX_HELD:
                self._held.append(packet)
            else:
                self.dropped += 1
            return
        if random.random() < self._drop:
            self.dropped += 1
            return
        if self._swapped is not None:
            self._send(packet)
            self._send(self._swapped)
            self._swapped = None
            return
        if random.random() < self._reorder:
            self._swapped = packet
            return
        self._send(packet)
        if random.random() < self._duplicate:
            self._send(packet)

    def advance(self, now: float) -> None:
        """Ends a pause whose time has come."""
        if self._paused_until is None or now < self._paused_until:
            return
        self._paused_until = None
        held, self._held = self._held, []
        for packet in held:
            self._send(packet)
        self._update()

    def clear(self) -> None:
        """Forgets everything, held packets too."""
        self._drop = self._duplicate = self._reorder = 0.0
        self._held.clear()
        self._swapped = None
        self._paused_until = None
        self.active = False

    def _update(self) -> None:
        rates = self._drop or self._duplicate or self._reorder
        self.active = bool(rates) or self._paused_until is not None or self._swapped is not None
