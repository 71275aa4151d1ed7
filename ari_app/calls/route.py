"""What is configured for a number: where its calls go, and what callers hear. Read anew for every call."""

from dataclasses import dataclass
from enum import StrEnum

from ari_app.calls.destination import Destination, Kind


class Incoming(StrEnum):
    AGENT_GROUP = "agent_group"
    IVR = "ivr"
    AI_AGENT = "ai_agent"


@dataclass(frozen=True)
class Route:
    number: str
    incoming: Incoming
    groups: tuple[str, ...]
    "Names of the assigned groups, in their order."
    groups_together: bool
    menu: str | None
    handled_by_sip: bool
    calling_enabled: bool
    schedule: str | None
    max_calls: int | None
    priority: int
    "1 is served first."
    entry_prompt: str
    waiting_prompt: str | None
    voicemail_prompt: str
    consent_prompt: str | None
    recording: bool
    recording_days: int | None
    voicemail_longest_seconds: int = 180
    voicemail_silence_seconds: int = 5
    voicemail_shortest_seconds: int = 2
    permission_prompt: bool = False
    "Agents see how long the caller may still be called."

    @property
    def first(self) -> Destination:
        """Where a call to this number goes first."""
        if self.handled_by_sip:
            return Destination(Kind.SIP)
        match self.incoming:
            case Incoming.IVR:
                return Destination(Kind.MENU, self.menu or "")
            case Incoming.AI_AGENT:
                return Destination(Kind.AI_AGENT)
            case Incoming.AGENT_GROUP:
                return Destination(Kind.GROUP, self.groups[0] if self.groups else "")
