"""A customer's own SIP system: which one to try first, how it is addressed, what it is told. Pure."""

import hashlib
import ipaddress
import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

#: Longest value of a header that comes from outside. SIP sets no limit.
HEADER_LENGTH = 256


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True)
class SipTarget:
    host: str
    "IPv4 or IPv6 address, or a name."
    port: int
    transport: Transport = Transport.UDP
    priority: int = 1
    "1 is tried first; others only when all of a lower number failed."
    weight: int = 1
    "Share of calls among those of the same priority."
    max_calls: int | None = None
    voip_only: bool = False

    @property
    def address(self) -> str:
        """host:port, with an IPv6 address in brackets."""
        return f"{_bracketed(self.host)}:{self.port}"

    def uri(self, user: str = "") -> str:
        """SIP URI (RFC 3261, 19.1). `user` is the number called: digits."""
        return f"sip:{user}{'@' if user else ''}{self.address};transport={self.transport}"

    def dial_string(self, user: str) -> str:
        """For Asterisk: through the endpoint of its transport in pjsip_whatsapp.conf."""
        return f"PJSIP/whatsapp-target-{self.transport}/{self.uri(user)}"

    @property
    def health_id(self) -> str:
        """Name of what Asterisk watches it by; targets with one address share it."""
        return "whatsapp-health-" + hashlib.sha256(self.uri().encode()).hexdigest()[:20]

    def __str__(self) -> str:
        return f"SIP target {self.address}"


def in_order(targets: Iterable[SipTarget], chance: random.Random) -> list[SipTarget]:
    """All targets in the order in which they are tried: by priority, and at random by weight within one.

    Each next one is drawn among those that are left, as for SRV records (RFC 2782).
    """
    left = sorted(targets, key=lambda target: (target.priority, target.host, target.port))
    found = []
    while left:
        first = [target for target in left if target.priority == left[0].priority]
        (drawn,) = chance.choices(first, [target.weight for target in first])
        left.remove(drawn)
        found.append(drawn)
    return found


def header_value(text: str) -> str:
    """`text` fit for a SIP header: one line of printable ASCII, bounded. Anything else becomes `?`."""
    kept = (c if " " <= c <= "~" else "?" for c in text[:HEADER_LENGTH])
    return "".join(kept).strip()


def headers(*, call_id: str | None, number_id: str | None, payload: str | None) -> dict[str, str]:
    """What a target is told of a WhatsApp call, beside the caller's number and name."""
    told = {"X-WhatsApp-Call-Id": call_id, "X-WhatsApp-Number-Id": number_id, "X-WhatsApp-Payload": payload}
    return {name: value for name, text in told.items() if text and (value := header_value(text))}


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
