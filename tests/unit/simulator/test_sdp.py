"""What Meta takes and refuses of a business's SDP."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.simulator.config import SdpRules
from whatsapp_bridge.simulator.errors import GraphError
from whatsapp_bridge.simulator.offer import RelayMedia, relay_sdp
from whatsapp_bridge.simulator.sdp import BusinessMedia, judge

FINGERPRINT = ":".join(f"{n:02X}" for n in range(32))
GOOD = f"""v=0
o=- 2822644248144643933 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE audio
m=audio 9 UDP/TLS/RTP/SAVPF 111 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:X1ho
a=ice-pwd:7fJSbV2N5qWiA5QiDKwK3vuh
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:active
a=mid:audio
a=sendrecv
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:126 telephone-event/8000
a=ssrc:330833028 cname:EDc1JutBl8rwHQc2
"""
STRICT, LENIENT = SdpRules(), SdpRules(strict=False)


def answer(sdp: str, rules: SdpRules = STRICT) -> BusinessMedia:
    """The judgement of an answer with CRLF line ends."""
    return judge(sdp.replace("\n", "\r\n"), "answer", rules, "audio")


def without(start: str) -> str:
    """The good answer without the lines that begin so."""
    return "".join(line for line in GOOD.splitlines(keepends=True) if not line.startswith(start))


def test_a_good_answer_is_taken() -> None:
    media = answer(GOOD)
    assert media.ice_ufrag == "X1ho"
    assert media.fingerprint == FINGERPRINT
    assert (media.setup, media.mid, media.opus_type, media.dtmf_type) == ("active", "audio", 111, 126)
    assert media.ssrc == 330833028
    assert media.warnings == ()


def test_bare_line_feeds_are_taken() -> None:
    assert judge(GOOD, "answer", STRICT, "audio").opus_type == 111


@pytest.mark.parametrize("algorithm", ["SHA-256", "Sha-256"])
def test_the_fingerprint_algorithm_is_compared_without_case(algorithm: str) -> None:
    assert answer(GOOD.replace("sha-256", algorithm)).fingerprint == FINGERPRINT


def test_ice_credentials_and_fingerprint_may_stand_on_session_level() -> None:
    moved = [line for line in GOOD.splitlines() if line.startswith(("a=ice-", "a=fingerprint", "a=setup"))]
    rest = [line for line in GOOD.splitlines() if line not in moved]
    rest[4:4] = moved
    assert answer("\n".join(rest) + "\n").ice_pwd == "7fJSbV2N5qWiA5QiDKwK3vuh"


def test_an_answer_without_telephone_event_and_candidates_is_taken() -> None:
    sdp = without("a=rtpmap:126").replace("111 126", "111")
    assert answer(sdp).dtmf_type is None


def test_equals_signs_in_the_ice_password_are_taken() -> None:
    assert answer(GOOD.replace("7fJSbV2N5qWiA5QiDKwK3vuh", "+219v9nKr3xSQIn8s+Fy8g==")).ice_pwd.endswith("==")


THREE = f"a=fingerprint:sha-256 {FINGERPRINT}\na=fingerprint:sha-384 {FINGERPRINT}\n"


@pytest.mark.parametrize(
    ("sdp", "code", "word"),
    [
        (GOOD.replace(f"a=fingerprint:sha-256 {FINGERPRINT}\n", THREE), 138008, "exactly one"),
        (without("a=fingerprint"), 138008, "exactly one"),
        (GOOD.replace("sha-256", "sha-512"), 138008, "sha-256"),
        (GOOD.replace("00:01:02", "00:01"), 138008, "32 bytes"),
        (without("a=rtcp-mux"), 100, "rtcp-mux"),
        (without("a=setup"), 100, "setup"),
        (GOOD.replace("setup:active", "setup:actpass"), 100, "actpass"),
        (GOOD.replace("setup:active", "setup:passive"), 100, "passive"),
        (without("a=ice-ufrag"), 100, "ice-ufrag"),
        (GOOD.replace("X1ho", "X1h"), 100, "ice-ufrag"),
        (GOOD.replace("7fJSbV2N5qWiA5QiDKwK3vuh", "short"), 100, "ice-pwd"),
        (GOOD.replace("a=setup", "a=ice-lite\na=setup"), 100, "ice-lite"),
        (GOOD.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), 100, "SAVPF"),
        (GOOD.replace("opus/48000/2", "opus/48000"), 100, "opus/48000/2"),
        (GOOD.replace("111 126", "126"), 100, "opus/48000/2 is missing"),
        (GOOD.replace("telephone-event/8000", "telephone-event/48000"), 100, "8000"),
        (GOOD.replace("111 126", "111 126 9"), 100, "G722"),
        (GOOD.replace("111 126", "111 126 99"), 100, "99 has no a=rtpmap"),
        (GOOD + "m=audio 9 UDP/TLS/RTP/SAVPF 111\n", 100, "exactly one m=audio"),
        (GOOD + "m=video 9 UDP/TLS/RTP/SAVPF 96\n", 100, "exactly one m=audio"),
        (GOOD + "a=ssrc:99 cname:other\n", 100, "SSRC"),
        (GOOD + "a=ptime:40\n", 100, "ptime"),
        (GOOD.replace("a=mid:audio", "a=mid:0"), 100, "mid"),
        (without("a=group"), 100, "BUNDLE"),
        (GOOD.replace("m=audio 9", "m=audio 0"), 100, "port 0"),
        (without("v="), 100, "v=0"),
        (without("s="), 100, "s="),
        (GOOD.replace("a=sendrecv", "nonsense"), 100, "not an SDP line"),
        ("x" * 20_000, 100, "longer than"),
        (GOOD + "a=ssrc:" + "9" * 5000 + " cname:x\n", 100, "malformed a=ssrc"),
        (GOOD.replace("111 126", "111 \u00b2"), 100, "malformed"),
        (GOOD.replace("a=sendrecv", "\ud800"), 100, "not an SDP line"),
    ],
)
def test_a_bad_answer_is_refused_with_the_reason(sdp: str, code: int, word: str) -> None:
    with pytest.raises(GraphError) as refused:
        answer(sdp)
    assert refused.value.code == code
    assert word in (refused.value.details or "")


@pytest.mark.parametrize("sdp", [None, 5, "", {}, []])
def test_what_is_no_text_is_refused(sdp: object) -> None:
    with pytest.raises(GraphError, match="missing"):
        judge(sdp, "answer", STRICT)


def test_a_lenient_simulator_warns_instead() -> None:
    sdp = GOOD.replace("111 126", "111 126 9").replace("setup:active", "setup:passive") + "a=ptime:40\n"
    media = answer(sdp, LENIENT)
    assert media.setup == "passive"
    assert len(media.warnings) == 3


def test_a_receive_only_answer_is_taken_with_a_warning_as_the_call_dies_later() -> None:
    assert any("recvonly" in warning for warning in answer(GOOD.replace("sendrecv", "recvonly")).warnings)


def test_an_offer_needs_actpass_and_may_have_any_mid() -> None:
    offer = GOOD.replace("setup:active", "setup:actpass").replace("audio\nm", "0\nm").replace("mid:audio", "mid:0")
    assert judge(offer, "offer", STRICT).mid == "0"
    with pytest.raises(GraphError, match="setup"):
        judge(offer.replace("actpass", "active"), "offer", STRICT)


def test_the_relays_own_offer_would_be_refused_as_an_answer() -> None:
    offer = relay_sdp(RelayMedia("192.0.2.1", 3480, "u" * 16, "p" * 24, FINGERPRINT, 613016344))
    with pytest.raises(GraphError, match="ice-lite"):
        judge(offer, "answer", STRICT, "audio")
    lines = offer.split("\r\n")
    assert lines.index("a=ice-lite") < next(n for n, line in enumerate(lines) if line.startswith("m="))
    assert "a=setup:actpass" in lines
    assert "m=audio 3480 UDP/TLS/RTP/SAVPF 111 126" in lines
    assert offer.endswith("\r\n")


@given(st.text(max_size=300))
def test_any_text_is_judged_without_another_error(text: str) -> None:
    with pytest.raises(GraphError):
        judge(text, "answer", STRICT, "audio")


@given(st.integers(0, len(GOOD) - 1), st.text(max_size=8))
def test_a_damaged_answer_is_judged_without_another_error(position: int, damage: str) -> None:
    damaged = GOOD[:position] + damage + GOOD[position + len(damage) :]
    with contextlib.suppress(GraphError):
        assert judge(damaged, "answer", STRICT, "audio").mid == "audio"
