"""Meta's wall clock, which a test can put forward: hours and days that limits, permissions and holidays count in."""

from __future__ import annotations

import time


class Clock:
    """Unix seconds. Calls and their media run by the real clock; whatever counts in hours or days by this one."""

    def __init__(self) -> None:
        self.offset = 0.0
        "Seconds that were added by hand."

    def now(self) -> float:
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        """Put it forward (back, if negative)."""
        self.offset += seconds
