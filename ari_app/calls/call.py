"""One call and its states.

Inbound: received → queued → ringing → connected → ended. Outbound: requested → dialing → ringing → connected → ended.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ari_app.calls.caller import Caller
from ari_app.calls.ending import Ending


class ChannelType(StrEnum):
    """As people read it in records."""

    WHATSAPP = "WhatsApp Call"
    VOICE = "Voice"


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class State(StrEnum):
    RECEIVED = "received"
    QUEUED = "queued"
    REQUESTED = "requested"
    DIALING = "dialing"
    RINGING = "ringing"
    CONNECTED = "connected"
    ENDED = "ended"


#: From each state, the states that may follow. An agent who refuses puts the caller back into the queue, and so does
#: somebody who does not take a call that an agent transferred.
NEXT: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.QUEUED, State.RINGING, State.CONNECTED, State.ENDED}),
    State.QUEUED: frozenset({State.RINGING, State.ENDED}),
    State.REQUESTED: frozenset({State.DIALING, State.ENDED}),
    State.DIALING: frozenset({State.RINGING, State.CONNECTED, State.ENDED}),
    State.RINGING: frozenset({State.QUEUED, State.CONNECTED, State.ENDED}),
    State.CONNECTED: frozenset({State.QUEUED, State.ENDED}),
    State.ENDED: frozenset(),
}


class IllegalTransition(Exception):
    """The call cannot go from its state to the one asked for."""


@dataclass(frozen=True)
class Call:
    """What is known of one call. Immutable: each step returns the call as it is after it."""

    id: UUID
    linkedid: str
    channel_type: ChannelType
    number: str
    "The business number: what was called, digits as in the dialplan, or what calls."
    caller: Caller
    "The person at the other end, also of an outbound call."
    received_at: datetime
    whatsapp_call_id: str | None = None
    state: State = State.RECEIVED
    queued_at: datetime | None = None
    connected_at: datetime | None = None
    ended_at: datetime | None = None
    agent_id: UUID | None = None
    ending: Ending | None = None
    path: tuple[str, ...] = ()
    "Where the caller went, in order."
    direction: Direction = Direction.INBOUND
    refusal: str | None = None
    "Code of the rule by which an outbound call was refused."
    held_at: datetime | None = None
    "Since when the other side's phone holds the caller; None: it does not."
    hold_seconds: float = 0.0
    "How long it did before."

    def queued(self, at: datetime) -> "Call":
        """The caller waits (again). `queued_at` is when that began."""
        return replace(self._to(State.QUEUED), queued_at=self.queued_at or self.connected_at or self._not_before(at))

    def dialing(self) -> "Call":
        """The bridge is asked to call the user."""
        return self._to(State.DIALING)

    def ringing(self) -> "Call":
        """An agent's phone is asked to ring, or the user's rings."""
        return self._to(State.RINGING)

    def connected(self, agent_id: UUID | None, at: datetime) -> "Call":
        """The caller and an agent, or somebody who is no agent of ours, hear each other. `connected_at` is the first
        time.
        """
        connected_at = self.connected_at or self._not_before(at)
        return replace(self._to(State.CONNECTED), agent_id=agent_id, connected_at=connected_at)

    def held(self, at: datetime) -> "Call":
        """The other side's phone holds the caller; that it says so again changes nothing."""
        return self if self.held_at is not None else replace(self, held_at=self._not_before(at))

    def resumed(self, at: datetime) -> "Call":
        """They talk again, or others do; also when nobody was held."""
        if self.held_at is None:
            return self
        held = max(0.0, (at - self.held_at).total_seconds())
        return replace(self, held_at=None, hold_seconds=self.hold_seconds + held)

    def ended(self, ending: Ending, at: datetime) -> "Call":
        over = self.resumed(at)
        return replace(over._to(State.ENDED), ending=ending, ended_at=self._not_before(at))

    def _to(self, state: State) -> "Call":
        if state not in NEXT[self.state]:
            raise IllegalTransition(f"call {self.id}: {self.state} → {state}")
        return replace(self, state=state)

    def _not_before(self, at: datetime) -> datetime:
        """`at`, but never before what already happened: a clock that is set back makes no negative
        durations.
        """
        return max(at, *(t for t in (self.received_at, self.queued_at, self.connected_at) if t is not None), at)
