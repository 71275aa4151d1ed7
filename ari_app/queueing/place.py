"""A caller's place in the queue."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

Key = tuple[int, float, UUID]


class Why(StrEnum):
    """Why a caller does not wait (any longer)."""

    FULL = "too many were waiting"
    NOBODY = "nobody was there"
    REFUSED = "everybody who was there had refused"
    TOO_LONG = "the longest wait was over"


@dataclass
class Place:
    """Kept from joining to leaving, also while agents are being rung."""

    call: UUID
    priority: int
    "1 is served first."
    joined_at: float
    groups: tuple[str, ...]
    "All of them are asked at once."
    voip_only: bool = False
    "Only agents who are `voip_only` may take this call."
    deadline: float = float("inf")
    refused: dict[UUID, float] = field(default_factory=dict)
    "Agents who did not take this call, and until when each is not asked again."
    ringing: set[UUID] = field(default_factory=set)

    @property
    def key(self) -> Key:
        """Places are in this order."""
        return self.priority, self.joined_at, self.call

    def was_refused_by(self, agent: UUID, now: float) -> bool:
        return self.refused.get(agent, 0.0) > now


@dataclass(frozen=True)
class Assignment:
    """This agent's phone is to ring for this call."""

    call: UUID
    agent: UUID
    group: str


@dataclass(frozen=True)
class Departure:
    """This caller is to go on to the no-agent destination."""

    call: UUID
    why: Why


@dataclass(frozen=True)
class Decision:
    assignments: tuple[Assignment, ...] = ()
    departures: tuple[Departure, ...] = ()
