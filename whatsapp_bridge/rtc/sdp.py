"""Session descriptions between Meta and us: read Meta's, write ours.

Ours is written from scratch rather than by a WebRTC stack, since Meta is narrow in what it takes: exactly one audio
section, one sha-256 fingerprint (aiortc would put three), no `ice-lite`, 20 ms, one SSRC, and the very same string in
`pre_accept` and `accept`. Meta's is read with tolerance: attributes at session or media level, LF or CRLF, `=` inside
`ice-pwd` (which RFC 8839 does not allow and Meta sends).
"""

import re
import secrets
from dataclasses import dataclass, field

from aioice import Candidate

#: More than any real description holds; protects the parser.
MAX_LENGTH = 16_384
MAX_CANDIDATES = 32

_FINGERPRINT = re.compile(r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$")


class SdpError(ValueError):
    """A session description cannot be used; the message says why."""


@dataclass(frozen=True)
class RemoteDescription:
    """What a peer needs to know of Meta's side."""

    mid: str
    ice_ufrag: str
    ice_pwd: str
    fingerprint: str
    "sha-256, upper case, with colons."
    setup: str
    "`actpass`, `active` or `passive` (RFC 8842)."
    ice_lite: bool
    candidates: tuple[Candidate, ...]
    opus: int
    "Payload type of opus/48000/2."
    telephone_event: int | None
    "Payload type of telephone-event/8000, if the peer takes digits."


@dataclass
class _Section:
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, line: str) -> None:
        name, _, value = line.partition(":")
        self.attributes.setdefault(name.strip(), []).append(value.strip())

    def first(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[0] if values else None


def parse(text: str) -> RemoteDescription:
    """Read Meta's offer or answer. Raises SdpError with the reason in words."""
    if len(text) > MAX_LENGTH:
        raise SdpError(f"description of {len(text)} characters, more than {MAX_LENGTH}")
    session, media, media_line = _sections(text)

    def either(name: str) -> str | None:
        return media.first(name) or session.first(name)

    fields = media_line.split()
    if len(fields) < 4 or fields[1] == "0":
        raise SdpError("audio section is refused or malformed")
    if "SAVPF" not in fields[2] or "TLS" not in fields[2]:
        raise SdpError(f"audio profile {fields[2][:40]}, not UDP/TLS/RTP/SAVPF")
    opus, telephone_event = _payload_types(media, fields[3:])
    ufrag, pwd, setup = either("ice-ufrag"), either("ice-pwd"), either("setup")
    if not ufrag or not pwd:
        raise SdpError("no ICE credentials")
    return RemoteDescription(
        mid=media.first("mid") or "audio",
        ice_ufrag=ufrag,
        ice_pwd=pwd,
        fingerprint=_fingerprint(session, media),
        setup=setup or "actpass",
        ice_lite="ice-lite" in session.attributes or "ice-lite" in media.attributes,
        candidates=_candidates(media),
        opus=opus,
        telephone_event=telephone_event,
    )


def _sections(text: str) -> tuple[_Section, _Section, str]:
    session, media = _Section(), _Section()
    media_line: str | None = None
    in_audio = False
    for line in text.splitlines():
        kind, _, value = line.strip().partition("=")
        if kind == "m":
            in_audio = value.startswith("audio")
            if in_audio and media_line is not None:
                raise SdpError("more than one audio section")
            if in_audio:
                media_line = value
        elif kind == "a":
            if in_audio:
                media.add(value)
            elif media_line is None:
                session.add(value)
    if media_line is None:
        raise SdpError("no audio section")
    return session, media, media_line


def _payload_types(media: _Section, offered: list[str]) -> tuple[int, int | None]:
    opus = telephone_event = None
    for rtpmap in media.attributes.get("rtpmap", []):
        number, _, encoding = rtpmap.partition(" ")
        if number not in offered or not number.isdigit() or int(number) > 127:
            continue
        match encoding.strip().lower():
            case "opus/48000/2":
                opus = int(number) if opus is None else opus
            case "telephone-event/8000":
                telephone_event = int(number)
    if opus is None:
        raise SdpError("opus/48000/2 is not offered")
    return opus, telephone_event


def _fingerprint(session: _Section, media: _Section) -> str:
    lines = media.attributes.get("fingerprint", []) + session.attributes.get("fingerprint", [])
    for line in lines:
        algorithm, _, value = line.partition(" ")
        if algorithm.lower() == "sha-256" and _FINGERPRINT.match(value.strip()):
            return value.strip().upper()
    raise SdpError("no sha-256 fingerprint")


def _candidates(media: _Section) -> tuple[Candidate, ...]:
    candidates = []
    for line in media.attributes.get("candidate", [])[:MAX_CANDIDATES]:
        try:
            candidate = Candidate.from_sdp(line)
        except (ValueError, IndexError) as error:
            raise SdpError(f"malformed candidate: {line[:80]}") from error
        if candidate.transport.lower() == "udp" and candidate.component == 1:
            candidates.append(candidate)
    if not candidates:
        raise SdpError("no UDP candidate")
    return tuple(candidates)


@dataclass(frozen=True)
class LocalDescription:
    """What Meta needs to know of our side."""

    address: str
    port: int
    ice_ufrag: str
    ice_pwd: str
    fingerprint: str
    ssrc: int


#: What we offer for Opus: 20 ms, and forward error correction against the losses of mobile networks.
OPUS_FORMAT = "minptime=20;useinbandfec=1"
#: Meta's own name of the only section, and the payload types of its own offers: nothing new for its relay.
MID, OPUS, TELEPHONE_EVENT = "audio", 111, 126


def answer(local: LocalDescription, remote: RemoteDescription) -> str:
    """Write the answer to Meta's offer: DTLS client (`setup:active`), same mid and payload types as offered."""
    return _write(local, "active", remote.mid, remote.opus, remote.telephone_event)


def offer(local: LocalDescription) -> str:
    """Write our offer to Meta: Meta chooses the DTLS role (`setup:actpass`, RFC 8842 §5.2), Opus and digits."""
    return _write(local, "actpass", MID, OPUS, TELEPHONE_EVENT)


def _write(local: LocalDescription, setup: str, mid: str, opus: int, telephone_event: int | None) -> str:
    payload_types = [opus]
    event_lines: list[str] = []
    if telephone_event is not None:
        payload_types.append(telephone_event)
        event_lines = [f"a=rtpmap:{telephone_event} telephone-event/8000", f"a=fmtp:{telephone_event} 0-15"]
    family = "IP6" if ":" in local.address else "IP4"
    foundation_priority = "1 1 udp 2130706431"
    lines = [
        "v=0",
        f"o=- {secrets.randbits(62)} 2 IN {family} {local.address}",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {mid}",
        "a=msid-semantic: WMS *",
        f"m=audio {local.port} UDP/TLS/RTP/SAVPF {' '.join(map(str, payload_types))}",
        f"c=IN {family} {local.address}",
        "a=rtcp:9 IN IP4 0.0.0.0",
        f"a=candidate:{foundation_priority} {local.address} {local.port} typ host",
        "a=end-of-candidates",
        f"a=ice-ufrag:{local.ice_ufrag}",
        f"a=ice-pwd:{local.ice_pwd}",
        f"a=fingerprint:sha-256 {local.fingerprint}",
        f"a=setup:{setup}",
        f"a=mid:{mid}",
        "a=sendrecv",
        "a=rtcp-mux",
        f"a=rtpmap:{opus} opus/48000/2",
        f"a=fmtp:{opus} {OPUS_FORMAT}",
        *event_lines,
        "a=ptime:20",
        "a=maxptime:20",
        f"a=ssrc:{local.ssrc} cname:asterisk-whatsapp",
    ]
    return "\r\n".join(lines) + "\r\n"
