"""One clock for all phones: every phone is asked for a frame each 20 ms, by a single timer."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

SLOTS = 2
"Phones are spread over the 20 ms, so that 60 calls are not one burst."
SLOT_SECONDS = 0.020 / SLOTS
MAX_BEHIND = 0.5


class Ticked(Protocol):
    """Something that does a little every 20 ms."""

    def tick(self, now: float) -> None:
        """`now` is `time.monotonic()` in seconds. Must not raise, must not block."""


class Pacer:
    """Runs while it has members; a late loop is caught up with, up to half a second."""

    def __init__(self) -> None:
        self._slots: list[list[Ticked]] = [[] for _ in range(SLOTS)]
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._position = 0
        self.skipped_slots = 0

    def add(self, member: Ticked) -> None:
        """Ticks `member` from now on."""
        min(self._slots, key=len).append(member)
        if self._timer is None:
            self._due = time.monotonic()
            self._run()

    def remove(self, member: Ticked) -> None:
        """Ticks it no more; a stranger is fine."""
        for slot in self._slots:
            if member in slot:
                slot.remove(member)
        if not any(self._slots):
            self.close()

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        now = time.monotonic()
        if now - self._due > MAX_BEHIND:
            self.skipped_slots += int((now - self._due) / SLOT_SECONDS)
            self._due = now
        self._timer = None
        try:
            while self._due <= now:
                members = tuple(self._slots[self._position])
                self._position = (self._position + 1) % SLOTS
                self._due += SLOT_SECONDS
                for member in members:
                    member.tick(now)
        finally:  # one phone's fault does not silence the others
            self._arm()

    def _arm(self) -> None:
        if any(self._slots):
            self._timer = asyncio.get_running_loop().call_later(max(self._due - time.monotonic(), 0), self._run)
