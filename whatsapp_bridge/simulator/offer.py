"""The SDP that Meta's relay writes: its offer to the business, and its answer to a business's offer."""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass

MID = "audio"
OPUS_TYPE = 111
DTMF_TYPE = 126


@dataclass(frozen=True)
class RelayMedia:
    """Where and how the relay can be reached."""

    address: str
    port: int
    ice_ufrag: str
    ice_pwd: str
    fingerprint: str
    "SHA-256, upper-case hex with colons"
    ssrc: int


def relay_sdp(
    relay: RelayMedia, *, setup: str = "actpass", mid: str = MID, opus: int = OPUS_TYPE, dtmf: int | None = DTMF_TYPE
) -> str:
    """SDP with CRLF line ends, in the shape of a live offer: ice-lite on session level, one host candidate."""
    stream = str(uuid.uuid4())
    family = "IP6" if ":" in relay.address else "IP4"
    types = f"{opus}" if dtmf is None else f"{opus} {dtmf}"
    lines = [
        "v=0",
        f"o=- {time.time_ns() // 1_000_000} 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {mid}",
        f"a=msid-semantic: WMS {stream}",
        "a=ice-lite",
        f"m=audio {relay.port} UDP/TLS/RTP/SAVPF {types}",
        f"c=IN {family} {relay.address}",
        "a=rtcp:9 IN IP4 0.0.0.0",
        f"a=candidate:{secrets.randbits(31)} 1 udp 2122260223 {relay.address} {relay.port}"
        " typ host generation 0 network-cost 50",
        f"a=ice-ufrag:{relay.ice_ufrag}",
        f"a=ice-pwd:{relay.ice_pwd}",
        f"a=fingerprint:sha-256 {relay.fingerprint}",
        f"a=setup:{setup}",
        f"a=mid:{mid}",
        "a=sendrecv",
        f"a=msid:{stream} WhatsAppTrack1",
        "a=rtcp-mux",
        f"a=rtpmap:{opus} opus/48000/2",
        f"a=rtcp-fb:{opus} transport-cc",
        f"a=fmtp:{opus} maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;"
        "sprop-maxcapturerate=16000;useinbandfec=1",
    ]
    if dtmf is not None:
        lines.append(f"a=rtpmap:{dtmf} telephone-event/8000")
    lines += ["a=maxptime:20", "a=ptime:20", f"a=ssrc:{relay.ssrc} cname:WhatsAppAudioStream1"]
    return "\r\n".join(lines) + "\r\n"
