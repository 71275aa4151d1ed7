"""An agent as the queue sees one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True)
class Agent:
    """How an agent stands. A change makes a new one, which replaces this (`State.put_agent`)."""

    id: UUID
    name: str
    groups: Mapping[str, int] = field(default_factory=dict)
    "Priority in each group; 1 is asked first."
    voip_only: bool = False
    "May take calls that must not touch the telephone network."
    logged_in: bool = True
    paused: bool = False
    reachable: bool = True
    "The phone is there."
    busy: bool = False
    "The phone is in use, by whatever call."
    taken: bool = False
    "Reserved: a call is being offered, or talks."
    wrap_up_until: float = 0.0
    marked_until: float = 0.0
    "The phone did something wrong, and is left alone until then."
    idle_since: float = 0.0
    answered: int = 0
    "Calls answered today."

    def is_here(self, now: float) -> bool:
        """Logged in, with a phone that works, perhaps paused."""
        return self.logged_in and self.reachable and self.marked_until <= now

    def serves(self, now: float) -> bool:
        """Takes calls, now or when the present one is over."""
        return self.is_here(now) and not self.paused

    def is_free(self, now: float) -> bool:
        """May be offered a call now."""
        return self.serves(now) and not self.busy and not self.taken and self.wrap_up_until <= now
