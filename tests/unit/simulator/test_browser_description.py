"""What is read of a browser's SDP, and what the browser gets to see of the business's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.simulator.browser.description import MAX_CANDIDATES, DescriptionError, for_browser, read

FINGERPRINT = ":".join(["AB"] * 32)

#: Chromium 150, shortened where nothing is read.
CHROMIUM = f"""v=0
o=- 5185263137421334241 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic: WMS 97cb33c1
m=audio 49756 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 192.0.2.2
a=candidate:1535882022 1 udp 2122194687 192.0.2.2 49756 typ host generation 0 network-id 1
a=candidate:2431480518 1 udp 2122265343 fd00::2 42599 typ host generation 0 network-id 2
a=candidate:2770429874 1 tcp 1518214911 192.0.2.2 9 typ host tcptype active generation 0 network-id 1
a=ice-ufrag:XOw4
a=ice-pwd:H+pEy2t53FYTdmui6WOSZYHp
a=ice-options:trickle
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:0
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=rtpmap:0 PCMU/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:3812979371 cname:WlOalYKewSalIYbg
""".replace("\n", "\r\n")


def test_what_metas_sdp_needs_is_read_of_chromiums() -> None:
    found = read(CHROMIUM, 4)
    assert (found.mid, found.ice_ufrag, found.ice_pwd) == ("0", "XOw4", "H+pEy2t53FYTdmui6WOSZYHp")
    assert (found.fingerprint, found.ssrc, found.opus, found.dtmf) == (FINGERPRINT, 3812979371, 111, 126)
    assert found.addresses == (("192.0.2.2", 49756),)
    assert read(CHROMIUM, 6).addresses == (("fd00::2", 42599),)


def test_firefoxs_payload_types_are_its_own() -> None:
    theirs = CHROMIUM.replace("a=rtpmap:111 ", "a=rtpmap:109 ").replace("a=rtpmap:126 ", "a=rtpmap:101 ")
    assert (read(theirs, 4).opus, read(theirs, 4).dtmf) == (109, 101)
    assert read(CHROMIUM.replace("a=rtpmap:126 telephone-event/8000\r\n", ""), 4).dtmf is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("m=audio", "m=video", "one audio section"),
        ("a=setup:actpass", "a=setup:actpass\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111", "one audio section"),
        ("opus/48000/2", "speex/8000", "opus/48000/2 is missing"),
        ("sha-256", "sha-1", "fingerprint"),
        ("AB:AB", "XY:AB", "fingerprint"),
        ("a=ice-pwd:H+pEy2t53FYTdmui6WOSZYHp", "a=ice-pwd:no spaces please", "ice-pwd is malformed"),
        ("a=ice-ufrag:XOw4", "a=nothing", "ice-ufrag is missing"),
        ("a=mid:0", "a=mid:a b", "mid is malformed"),
        ("192.0.2.2 49756 typ", "0b3-d.local 49756 typ", "may use the microphone"),
        ("udp 2122194687 192.0.2.2 49756 typ host", "udp 2122194687 192.0.2.2 70000 typ host", "needs a network"),
        ("v=0", "v=0" + "x" * 40_000, "longer than"),
    ],
)
def test_what_cannot_be_used_is_said_in_words(old: str, new: str, words: str) -> None:
    with pytest.raises(DescriptionError, match=words):
        read(CHROMIUM.replace(old, new, 1), 4)


def test_candidates_are_bounded() -> None:
    line = "a=candidate:1 1 udp 1 192.0.2.9 4000 typ host\r\n"
    assert len(read(CHROMIUM.replace("a=ice-ufrag", line * 100 + "a=ice-ufrag"), 4).addresses) == MAX_CANDIDATES


@given(st.text(max_size=300), st.integers(0, len(CHROMIUM)), st.integers(0, 40))
def test_nothing_but_words_comes_of_nonsense(nonsense: str, at: int, length: int) -> None:
    for text in (nonsense, CHROMIUM[:at] + nonsense + CHROMIUM[at + length :]):
        try:
            found = read(text, 4)
        except DescriptionError:
            continue
        assert all(0 < port < 65_536 for _, port in found.addresses)
        assert not any(character.isspace() for character in found.ice_ufrag + found.ice_pwd + found.mid)


def test_the_browser_finds_its_own_mid_in_the_answer() -> None:
    answer = "v=0\r\na=group:BUNDLE audio\r\nm=audio 9 X 111\r\na=mid:audio\r\na=setup:active\r\n"
    assert for_browser(answer, mid="0") == answer.replace("audio\r\nm", "0\r\nm").replace("mid:audio", "mid:0")
    assert for_browser(answer, setup="passive") == answer.replace("active", "passive")
