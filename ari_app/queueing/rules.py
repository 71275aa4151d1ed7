"""How a group hands out its callers."""

from dataclasses import dataclass
from enum import StrEnum


class Strategy(StrEnum):
    """Whom to ask first, among those whose priority in the group is the same."""

    RING_ALL = "ring_all"
    LONGEST_IDLE = "longest_idle"
    FEWEST_CALLS = "fewest_calls"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    LINEAR = "linear"


class JoinEmpty(StrEnum):
    ALWAYS = "always"
    LOGGED_IN = "logged_in"
    AVAILABLE = "available"


class LeaveEmpty(StrEnum):
    NEVER = "never"
    LOGGED_IN = "logged_in"
    AVAILABLE = "available"


@dataclass(frozen=True)
class Rules:
    """One group's rules; times in s."""

    name: str
    strategy: Strategy = Strategy.LONGEST_IDLE
    wrap_up_seconds: float = 5.0
    cool_down_seconds: float = 60.0
    max_wait_seconds: float = 300.0
    max_waiting: int = 100
    auto_pause_misses: int | None = None
    join_empty: JoinEmpty = JoinEmpty.LOGGED_IN
    leave_empty: LeaveEmpty = LeaveEmpty.LOGGED_IN
