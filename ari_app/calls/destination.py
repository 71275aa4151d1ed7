"""Where a caller goes next, as it is written in the configuration: `group:Sales`, `hangup:sound:vm-goodbye`."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    GROUP = "group"
    AGENT = "agent"
    MENU = "menu"
    VOICEMAIL = "voicemail"
    SIP = "sip"
    AI_AGENT = "ai_agent"
    DIALPLAN = "dialplan"
    HANGUP = "hangup"


#: Kinds that say nothing without a target, and kinds that have none.
NEEDS_TARGET = frozenset({Kind.GROUP, Kind.AGENT, Kind.MENU, Kind.DIALPLAN})
HAS_NO_TARGET = frozenset({Kind.SIP, Kind.AI_AGENT})


@dataclass(frozen=True)
class Destination:
    kind: Kind
    target: str = ""
    "Group, menu, an agent's extension, `context,extension`, the group whose voicemail, or the media before hanging up."

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Raises ValueError with what is wrong in words."""
        kind, _, target = text.partition(":")
        try:
            found = Kind(kind)
        except ValueError:
            raise ValueError(f"{text!r} is no destination: it begins with none of {', '.join(Kind)}") from None
        if found in NEEDS_TARGET and not target:
            raise ValueError(f"{text!r} is incomplete: write {kind}:<which>")
        if found in HAS_NO_TARGET and target:
            raise ValueError(f"{text!r}: {kind} takes nothing after it")
        if found is Kind.DIALPLAN and target.count(",") != 1:
            raise ValueError(f"{text!r}: write dialplan:<context>,<extension>")
        return cls(found, target)

    def __str__(self) -> str:
        return f"{self.kind}:{self.target}" if self.target else str(self.kind)
