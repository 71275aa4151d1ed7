"""What the relay saw of a call's packets."""

from __future__ import annotations

from collections import Counter
from typing import Any

_MAX_KEYS = 64


class MediaCounters:
    """Counts, updated for each packet; `report` turns them into JSON. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.packets_in = 0
        self.bytes_in = 0
        self.audio_in = 0
        self.packets_out = 0
        self.bytes_out = 0
        self.rtcp_in: Counter[str] = Counter()
        self.rtcp_out = 0
        self.payload_types: Counter[int] = Counter()
        self.timestamp_steps: Counter[int] = Counter()
        self.payload_lengths: Counter[int] = Counter()
        self.ssrcs: dict[int, int] = {}
        self.second_ssrc = 0
        self.duplicates = 0
        self.out_of_order = 0
        self.undecryptable = 0
        self.unknown_address = 0
        self.early = 0
        self.after_end = 0
        self.first_audio_at: float | None = None
        self.last_packet_at: float | None = None
        self.last_audio_at: float | None = None
        self.largest_gap = 0.0
        self.largest_gap_at: float | None = None
        self.jitter = 0.0
        self._highest: int | None = None
        self._base = 0
        self._received = 0
        self._last_timestamp = 0
        self._last_transit: float | None = None

    @property
    def lost(self) -> int:
        """RFC 3550 section 6.4.1: expected less received."""
        if self._highest is None:
            return 0
        return max(self._highest - self._base + 1 - self._received, 0)

    def sequence(self, number: int) -> int:
        """Counts a packet of the stream; returns how far it is ahead of the highest so far (1 is in order)."""
        if self._highest is None:
            self._highest = self._base = number
            self._received = 1
            return 1
        step = (number - self._highest) & 0xFFFF
        if step >= 0x8000:
            step -= 0x10000
        if step == 0:
            self.duplicates += 1
            return 0
        self._received += 1
        if step > 0:
            self._highest += step
        else:
            self.out_of_order += 1
        return step

    def audio(self, timestamp: int, step: int, now: float) -> None:
        """Counts an audio packet that `sequence` put `step` ahead."""
        if self.last_audio_at is not None:
            gap = now - self.last_audio_at
            if gap > self.largest_gap:
                self.largest_gap, self.largest_gap_at = gap, now
            if step == 1:
                self._count(self.timestamp_steps, (timestamp - self._last_timestamp) & 0xFFFFFFFF)
        else:
            self.first_audio_at = now
        self.audio_in += 1
        self.last_audio_at = now
        self._last_timestamp = timestamp
        transit = now - timestamp / 48_000
        if self._last_transit is not None:
            change = abs(transit - self._last_transit)
            if change < 1:
                self.jitter += (change - self.jitter) / 16
        self._last_transit = transit

    @staticmethod
    def _count(counter: Counter[int], key: int) -> None:
        if key in counter or len(counter) < _MAX_KEYS:
            counter[key] += 1

    def report(self) -> dict[str, Any]:
        """All of it, with times in milliseconds."""
        return {
            "packets_in": self.packets_in,
            "bytes_in": self.bytes_in,
            "audio_packets_in": self.audio_in,
            "packets_out": self.packets_out,
            "bytes_out": self.bytes_out,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "out_of_order": self.out_of_order,
            "jitter_ms": round(self.jitter * 1000, 2),
            "largest_gap_ms": round(self.largest_gap * 1000, 1),
            "ssrcs": {str(ssrc): count for ssrc, count in self.ssrcs.items()},
            "second_ssrc_packets": self.second_ssrc,
            "payload_types": {str(key): count for key, count in sorted(self.payload_types.items())},
            "timestamp_steps": {str(key): count for key, count in self.timestamp_steps.most_common()},
            "rtcp_in": dict(self.rtcp_in),
            "rtcp_out": self.rtcp_out,
            "early_packets": self.early,
            "undecryptable": self.undecryptable,
            "unknown_address": self.unknown_address,
        }
