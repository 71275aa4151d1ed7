"""What a browser's SDP says, and what becomes of the business's on its way to the browser.

The business is to see Meta's SDP whatever the browser writes. So nothing of a browser's SDP is passed on: what is
needed of it is read (bounded and checked, since a page is a stranger), and Meta's shape is written anew from that.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal

MAX_LENGTH: Final = 32_768
MAX_CANDIDATES: Final = 8
_ICE_CHARS = re.compile(r"^[A-Za-z0-9+/=_-]{4,256}$")
_HEX_SHA256 = re.compile(r"^(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$")
_MID = re.compile(r"^[!-~]{1,32}$")
_CANDIDATE = re.compile(r"^\S{1,32} 1 udp \d{1,10} (\S{1,64}) (\d{1,5}) typ host\b", re.IGNORECASE)


class DescriptionError(Exception):
    """A browser's SDP cannot be used; the message says why."""


@dataclass(frozen=True)
class BrowserDescription:
    """What Meta's SDP is made of."""

    mid: str
    ice_ufrag: str
    ice_pwd: str
    fingerprint: str
    "SHA-256, upper-case hex with colons"
    ssrc: int | None
    opus: int
    dtmf: int | None
    addresses: tuple[tuple[str, int], ...]
    "host candidates: UDP, of the family asked for, in the browser's order"


def read(sdp: str, family: Literal[4, 6]) -> BrowserDescription:
    """Reads an offer or answer with one audio section. Raises DescriptionError."""
    if len(sdp) > MAX_LENGTH:
        raise DescriptionError(f"longer than {MAX_LENGTH} characters")
    lines = sdp.replace("\r\n", "\n").split("\n")
    if sum(line.startswith("m=") for line in lines) != 1 or not any(line.startswith("m=audio ") for line in lines):
        raise DescriptionError("exactly one audio section is needed")
    attributes: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            attributes.setdefault(name, []).append(value.strip())
    opus, dtmf = _codecs(attributes.get("rtpmap", []))
    algorithm, _, fingerprint = _first(attributes, "fingerprint").partition(" ")
    if algorithm.lower() != "sha-256" or not _HEX_SHA256.match(fingerprint):
        raise DescriptionError("the fingerprint is not one of sha-256")
    ssrc = attributes.get("ssrc", [""])[0].partition(" ")[0]
    return BrowserDescription(
        mid=_matching(_MID, attributes, "mid"),
        ice_ufrag=_matching(_ICE_CHARS, attributes, "ice-ufrag"),
        ice_pwd=_matching(_ICE_CHARS, attributes, "ice-pwd"),
        fingerprint=fingerprint.upper(),
        ssrc=int(ssrc) if re.fullmatch(r"[0-9]{1,10}", ssrc) and int(ssrc) <= 0xFFFFFFFF else None,
        opus=opus,
        dtmf=dtmf,
        addresses=_addresses(attributes.get("candidate", []), family),
    )


def for_browser(sdp: str, *, mid: str | None = None, setup: str | None = None) -> str:
    """The business's SDP with the mid that the browser gave its section, and with another DTLS role, if given."""
    lines = []
    for line in sdp.replace("\r\n", "\n").rstrip("\n").split("\n"):
        if mid is not None and line.startswith("a=mid:"):
            line = f"a=mid:{mid}"
        elif mid is not None and line.startswith("a=group:BUNDLE"):
            line = f"a=group:BUNDLE {mid}"
        elif setup is not None and line.startswith("a=setup:"):
            line = f"a=setup:{setup}"
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def _codecs(rtpmaps: list[str]) -> tuple[int, int | None]:
    types: dict[str, int] = {}
    for value in rtpmaps:
        number, _, codec = value.partition(" ")
        if re.fullmatch(r"[0-9]{1,3}", number) and int(number) <= 127:
            types.setdefault(codec.lower(), int(number))
    if "opus/48000/2" not in types:
        raise DescriptionError("opus/48000/2 is missing")
    return types["opus/48000/2"], types.get("telephone-event/8000")


def _addresses(candidates: list[str], family: Literal[4, 6]) -> tuple[tuple[str, int], ...]:
    found: list[tuple[str, int]] = []
    hidden = False
    for value in candidates:
        match = _CANDIDATE.match(value)
        if match is None or not 0 < int(match[2]) <= 65_535:
            continue
        try:
            address = ipaddress.ip_address(match[1])
        except ValueError:
            hidden = True  # <uuid>.local: the browser keeps its address to itself until it may use the microphone
            continue
        if address.version == family and len(found) < MAX_CANDIDATES:
            found.append((str(address), int(match[2])))
    if not found:
        why = "it hides its address until it may use the microphone" if hidden else "this machine needs a network"
        raise DescriptionError(f"the browser names no IPv{family} address for UDP: {why}")
    return tuple(found)


def _first(attributes: dict[str, list[str]], name: str) -> str:
    if name not in attributes:
        raise DescriptionError(f"a={name} is missing")
    return attributes[name][0]


def _matching(pattern: re.Pattern[str], attributes: dict[str, list[str]], name: str) -> str:
    value = _first(attributes, name)
    if not pattern.match(value):
        raise DescriptionError(f"a={name} is malformed")
    return value
