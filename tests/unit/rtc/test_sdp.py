"""Session descriptions: what Meta sends is read, what Meta wants is written."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.rtc import sdp

OFFER = """v=0
o=- 1790963543407 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE audio
a=ice-lite
m=audio 3480 UDP/TLS/RTP/SAVPF 111 126
c=IN IP4 192.0.2.49
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:2275956755 1 udp 2122260223 192.0.2.49 3480 typ host generation 0 network-cost 50
a=candidate:2684782176 1 udp 2122262783 2001:db8::1 3480 typ host generation 0 network-cost 50
a=ice-ufrag:NvPeRHRlBReaRYCZ
a=ice-pwd:+219v9nKr3xSQIn8s+Fy8g==
a=fingerprint:sha-256 75:85:02:48:2f:A1:97:65:81:65:4C:B3:2D:13:72:84:8F:D4:BE:31:6E:A0:71:34:52:C3:7A:28:76:43:C6:71
a=setup:actpass
a=mid:audio
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=rtpmap:126 telephone-event/8000
a=ssrc:613016344 cname:WhatsAppAudioStream1
"""

LOCAL = sdp.LocalDescription("192.0.2.7", 40000, "user", "p" * 22, ":".join(["AB"] * 32), 4242)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_offer_is_read(newline: str) -> None:
    offer = sdp.parse(OFFER.replace("\n", newline))
    assert offer.ice_lite
    assert offer.ice_pwd == "+219v9nKr3xSQIn8s+Fy8g=="
    assert offer.fingerprint.startswith("75:85:02:48:2F")
    assert (offer.opus, offer.telephone_event, offer.mid, offer.setup) == (111, 126, "audio", "actpass")
    assert [c.host for c in offer.candidates] == ["192.0.2.49", "2001:db8::1"]


@pytest.mark.parametrize(
    ("find", "replace", "reason"),
    [
        ("m=audio 3480", "m=video 3480", "no audio section"),
        ("m=audio 3480", "m=audio 0", "refused"),
        ("a=fingerprint:sha-256", "a=fingerprint:sha-1", "no sha-256 fingerprint"),
        ("75:85:02", "75:85", "no sha-256 fingerprint"),
        ("a=ice-pwd", "a=x-pwd", "no ICE credentials"),
        ("opus/48000/2", "opus/8000/1", "opus"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", "not UDP/TLS/RTP/SAVPF"),
        ("a=candidate:", "a=x-candidate:", "no UDP candidate"),
        ("1 udp 2122260223", "1 udp many", "malformed candidate"),
        ("s=-", "s=-" + "x" * 20_000, "characters"),
    ],
)
def test_an_unusable_offer_is_refused_with_the_reason(find: str, replace: str, reason: str) -> None:
    with pytest.raises(sdp.SdpError, match=reason):
        sdp.parse(OFFER.replace(find, replace))


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    for offer in (text, OFFER + text, OFFER.replace("a=mid:audio", text)):
        with contextlib.suppress(sdp.SdpError):
            sdp.parse(offer)


def test_the_answer_is_what_meta_takes() -> None:
    lines = sdp.answer(LOCAL, sdp.parse(OFFER)).split("\r\n")
    assert lines[-1] == ""
    assert [line for line in lines if "fingerprint" in line] == ["a=fingerprint:sha-256 " + ":".join(["AB"] * 32)]
    assert "a=setup:active" in lines
    assert "a=mid:audio" in lines
    assert "a=rtcp-mux" in lines
    assert "m=audio 40000 UDP/TLS/RTP/SAVPF 111 126" in lines
    assert not [line for line in lines if "ice-lite" in line or "trickle" in line]
    assert len({line.split()[0] for line in lines if line.startswith("a=ssrc:")}) == 1


def test_the_answer_takes_no_digits_from_a_client_that_sends_none() -> None:
    offer = OFFER.replace("a=rtpmap:126 telephone-event/8000\n", "")
    answer = sdp.answer(LOCAL, sdp.parse(offer))
    assert "telephone-event" not in answer
    assert "SAVPF 111\r\n" in answer


def test_our_offer_is_what_meta_takes() -> None:
    lines = sdp.offer(LOCAL).split("\r\n")
    assert [line for line in lines if "fingerprint" in line] == ["a=fingerprint:sha-256 " + ":".join(["AB"] * 32)]
    assert "a=setup:actpass" in lines
    assert "m=audio 40000 UDP/TLS/RTP/SAVPF 111 126" in lines
    assert {"a=rtpmap:111 opus/48000/2", "a=rtpmap:126 telephone-event/8000", "a=ptime:20", "a=rtcp-mux"} <= set(lines)
    assert not [line for line in lines if "ice-lite" in line or "trickle" in line]
    ours = sdp.parse(sdp.offer(LOCAL))
    assert (ours.ice_ufrag, ours.opus, ours.telephone_event, ours.mid) == ("user", 111, 126, "audio")
