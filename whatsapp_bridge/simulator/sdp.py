"""Meta's judgement of a business's SDP: what it needs of it, and what it refuses.

RFC 8866 for the lines, RFC 8839 for ICE, RFC 8122 for fingerprints, RFC 5763 for `setup`; on top of that the
narrower rules of WhatsApp calling: one audio stream, Opus, one sha-256 fingerprint, rtcp-mux, full ICE.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn

from .config import SdpRules
from .errors import GraphError

MAX_SDP_LENGTH: Final = 16_384
_HEX_SHA256 = re.compile(r"^(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$")
_ICE_CHARS = re.compile(r"^[A-Za-z0-9+/=_-]+$")
_TYPE_LINE = re.compile(r"^[a-z]=")
# Opus and telephone-event always; G.711 when the number has it switched on.
_KNOWN_CODECS: Final = frozenset({"opus", "telephone-event", "pcma", "pcmu"})
_STATIC_CODECS: Final = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000", 13: "CN/8000", 18: "G729/8000"}


@dataclass(frozen=True)
class BusinessMedia:
    """What the relay needs to know of the business's side."""

    ice_ufrag: str
    ice_pwd: str
    fingerprint: str
    "SHA-256 of the certificate, upper-case hex with colons"
    setup: str
    mid: str
    opus_type: int
    dtmf_type: int | None
    ssrc: int | None
    direction: str
    warnings: tuple[str, ...] = ()


@dataclass
class _Section:
    attributes: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


class _Judge:
    """Collects one SDP's faults: the first hard one raises, soft ones become warnings."""

    def __init__(self, rules: SdpRules) -> None:
        self.rules = rules
        self.warnings: list[str] = []

    def refuse(self, details: str, code: int = 100) -> NoReturn:
        raise GraphError(code, details)

    def strict(self, details: str) -> None:
        if self.rules.strict:
            self.refuse(details)
        self.warnings.append(details)

    def warn(self, details: str) -> None:
        self.warnings.append(details)


def judge(sdp: object, kind: Literal["answer", "offer"], rules: SdpRules, mid: str | None = None) -> BusinessMedia:
    """Reads a business's SDP; `mid` is the one an answer has to echo. Raises GraphError (100 or 138008)."""
    judge_ = _Judge(rules)
    if not isinstance(sdp, str) or not sdp:
        raise GraphError(100, "session.sdp is missing or is not a string")
    if len(sdp) > MAX_SDP_LENGTH:
        raise GraphError(100, f"session.sdp is longer than {MAX_SDP_LENGTH} characters")
    session, media, media_line = _split(sdp, judge_)
    payload_types = _check_media_line(media_line, judge_)
    opus_type, dtmf_type = _check_codecs(payload_types, media, judge_)
    ufrag, pwd = _check_ice(session, media, judge_)
    fingerprint = _check_fingerprint(session, media, judge_)
    setup = _check_setup(session, media, kind, judge_)
    if not media.values("rtcp-mux"):
        judge_.refuse("a=rtcp-mux is missing")
    own_mid = _check_mid(session, media, kind, mid, judge_)
    ssrc = _check_ssrc(media, judge_)
    for ptime in media.values("ptime"):
        if ptime != "20":
            judge_.strict(f"a=ptime:{ptime}, only 20 ms is supported")
    direction = _direction(session, media)
    if direction != "sendrecv":
        judge_.warn(f"a={direction}: the call will be without media and end")
    return BusinessMedia(
        ice_ufrag=ufrag,
        ice_pwd=pwd,
        fingerprint=fingerprint,
        setup=setup,
        mid=own_mid,
        opus_type=opus_type,
        dtmf_type=dtmf_type,
        ssrc=ssrc,
        direction=direction,
        warnings=tuple(judge_.warnings),
    )


def _split(sdp: str, judge_: _Judge) -> tuple[_Section, _Section, str]:
    lines = sdp.replace("\r\n", "\n").split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    else:
        judge_.warn("the last line has no line end")
    if not lines or lines[0] != "v=0":
        judge_.refuse("the SDP does not begin with v=0")
    session, media = _Section(), _Section()
    media_lines: list[str] = []
    seen: set[str] = set()
    for line in lines:
        if "\r" in line or not _TYPE_LINE.match(line):
            judge_.refuse(f"not an SDP line: {line[:60]!r}")
        seen.add(line[0])
        if line.startswith("m="):
            media_lines.append(line)
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            (media if media_lines else session).attributes.append((name, value))
    for letter in "ost":
        if letter not in seen:
            judge_.refuse(f"the line {letter}= is missing")
    audio = [line for line in media_lines if line.startswith("m=audio ")]
    if len(media_lines) != 1 or len(audio) != 1:
        judge_.refuse(f"exactly one m=audio section is needed, there are {len(media_lines)} m= lines")
    return session, media, audio[0]


def _check_media_line(line: str, judge_: _Judge) -> list[int]:
    parts = line[2:].split(" ")
    if len(parts) < 4 or not _is_number(parts[1]) or not all(map(_is_number, parts[3:])):
        judge_.refuse(f"malformed media line: {line[:80]!r}")
    if parts[1] == "0":
        judge_.refuse("the audio stream is refused (port 0)")
    if parts[2] != "UDP/TLS/RTP/SAVPF":
        judge_.refuse(f"profile {parts[2]} is not UDP/TLS/RTP/SAVPF")
    types = [int(part) for part in parts[3:]]
    if len(set(types)) != len(types) or any(payload_type > 127 for payload_type in types):
        judge_.refuse(f"malformed payload types: {line[:80]!r}")
    return types


def _check_codecs(types: list[int], media: _Section, judge_: _Judge) -> tuple[int, int | None]:
    maps: dict[int, str] = dict(_STATIC_CODECS)
    for value in media.values("rtpmap"):
        number, _, codec = value.partition(" ")
        if not _is_number(number) or not codec:
            judge_.refuse(f"malformed a=rtpmap:{value[:60]}")
        maps[int(number)] = codec
    opus: list[int] = []
    dtmf: list[int] = []
    for payload_type in types:
        if payload_type not in maps:
            judge_.refuse(f"payload type {payload_type} has no a=rtpmap")
        codec = maps[payload_type]
        name = codec.partition("/")[0].lower()
        if codec.lower() == "opus/48000/2":
            opus.append(payload_type)
        elif name == "opus":
            judge_.refuse(f"Opus has to be opus/48000/2, not {codec}")
        elif codec.lower() == "telephone-event/8000":
            dtmf.append(payload_type)
        elif name == "telephone-event":
            judge_.strict(f"telephone-event is supported with a clock of 8000 only, not {codec}")
        elif name not in _KNOWN_CODECS:
            message = f"codec {codec} is not supported"
            if judge_.rules.unknown_codecs == "refuse":
                judge_.strict(message)
            else:
                judge_.warn(message)
    if not opus:
        judge_.refuse("opus/48000/2 is missing")
    return opus[0], dtmf[0] if dtmf else None


def _inherited(session: _Section, media: _Section, name: str) -> list[str]:
    return media.values(name) or session.values(name)


def _check_ice(session: _Section, media: _Section, judge_: _Judge) -> tuple[str, str]:
    if session.values("ice-lite") or media.values("ice-lite"):
        judge_.refuse("a=ice-lite: the business has to be a full ICE agent")
    ufrags, pwds = _inherited(session, media, "ice-ufrag"), _inherited(session, media, "ice-pwd")
    if len(ufrags) != 1 or len(pwds) != 1:
        judge_.refuse("one a=ice-ufrag and one a=ice-pwd are needed")
    ufrag, pwd = ufrags[0], pwds[0]
    if not 4 <= len(ufrag) <= 256 or not _ICE_CHARS.match(ufrag):
        judge_.refuse("a=ice-ufrag needs 4 to 256 ICE characters")
    if not 22 <= len(pwd) <= 256 or not _ICE_CHARS.match(pwd):
        judge_.refuse("a=ice-pwd needs 22 to 256 ICE characters")
    if any("trickle" in value.split() for value in session.values("ice-options") + media.values("ice-options")):
        judge_.warn("a=ice-options:trickle: candidates cannot be trickled")
    return ufrag, pwd


def _check_fingerprint(session: _Section, media: _Section, judge_: _Judge) -> str:
    code = judge_.rules.fingerprint_error
    found = session.values("fingerprint") + media.values("fingerprint")
    if len(found) != 1:
        judge_.refuse(f"exactly one a=fingerprint is needed, there are {len(found)}", code)
    algorithm, _, value = found[0].partition(" ")
    if algorithm.lower() != "sha-256":
        judge_.refuse(f"a=fingerprint has to be sha-256, not {algorithm[:20]}", code)
    if not _HEX_SHA256.match(value.strip()):
        judge_.refuse("a=fingerprint does not hold 32 bytes of hex", code)
    return value.strip().upper()


def _check_setup(session: _Section, media: _Section, kind: str, judge_: _Judge) -> str:
    found = _inherited(session, media, "setup")
    if len(found) != 1:
        judge_.refuse("one a=setup is needed")
    setup = found[0]
    allowed = {"answer": ("active", "passive"), "offer": ("actpass", "active", "passive")}[kind]
    if setup not in allowed:
        judge_.refuse(f"a=setup:{setup[:20]} is not possible in an {kind}")
    if setup != allowed[0]:
        judge_.strict(f"a=setup:{setup} instead of {allowed[0]}")
    return setup


def _check_mid(session: _Section, media: _Section, kind: str, mid: str | None, judge_: _Judge) -> str:
    found = media.values("mid")
    if len(found) != 1:
        judge_.strict("one a=mid is needed")
        return mid or ""
    if kind == "answer" and mid is not None and found[0] != mid:
        judge_.strict(f"a=mid:{found[0][:20]} does not echo {mid}")
    groups = [value.split()[1:] for value in session.values("group") if value.split()[:1] == ["BUNDLE"]]
    if [found[0]] not in groups:
        judge_.strict(f"a=group:BUNDLE {found[0][:20]} is missing")
    return found[0]


def _check_ssrc(media: _Section, judge_: _Judge) -> int | None:
    found: set[int] = set()
    for value in media.values("ssrc"):
        number = value.partition(" ")[0]
        if not _is_number(number) or int(number) > 0xFFFFFFFF:
            judge_.refuse(f"malformed a=ssrc:{value[:40]}")
        found.add(int(number))
    if len(found) > 1:
        judge_.strict(f"one SSRC is supported, there are {len(found)}")
    return next(iter(found), None)


def _direction(session: _Section, media: _Section) -> str:
    for section in (media, session):
        for name, _ in section.attributes:
            if name in ("sendrecv", "sendonly", "recvonly", "inactive"):
                return name
    return "sendrecv"


def _is_number(text: str) -> bool:
    # str.isdigit alone is true of "²", and int() refuses thousands of digits.
    return text.isascii() and text.isdigit() and len(text) <= 10
