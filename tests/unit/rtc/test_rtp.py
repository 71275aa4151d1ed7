"""RTP and telephone events."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.rtc.rtp import (
    DIGITS,
    TELEPHONE_EVENT,
    DigitReceiver,
    RtpError,
    RtpPacket,
    digit_payloads,
    is_rtcp,
    sequence_distance,
)


@given(
    st.integers(0, 127),
    st.booleans(),
    st.integers(0, 0xFFFF),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=200),
)
def test_a_packet_survives_the_wire(pt: int, marker: bool, sequence: int, timestamp: int, payload: bytes) -> None:
    packet = RtpPacket(pt, marker, sequence, timestamp, 42, payload)
    assert RtpPacket.parse(packet.serialize()) == packet


@given(st.binary(max_size=60))
def test_no_datagram_breaks_the_parser(data: bytes) -> None:
    with contextlib.suppress(RtpError):
        RtpPacket.parse(data)


def test_extension_and_padding_are_skipped() -> None:
    data = (
        bytes([0xB0, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes([0xBE, 0xDE, 0, 1, 1, 2, 3, 4]) + b"opus" + b"\0\0\3"
    )
    assert RtpPacket.parse(data).payload == b"opus"


def test_rtcp_is_told_from_rtp() -> None:
    assert is_rtcp(bytes([0x80, 200]))
    assert not is_rtcp(bytes([0x80, 111]))
    assert not is_rtcp(bytes([0x80, 0x80 | 111 & 0x7F]))


@given(st.integers(0, 0xFFFF), st.integers(-0x8000, 0x7FFF))
def test_sequence_distance_is_signed_and_wraps(base: int, step: int) -> None:
    assert sequence_distance(base + step & 0xFFFF, base) == step


def events(digit: str, timestamp: int, duration_ms: int = 100) -> list[RtpPacket]:
    return [
        RtpPacket(TELEPHONE_EVENT, i == 0, i, timestamp, 1, payload)
        for i, payload in enumerate(digit_payloads(digit, duration_ms))
    ]


@pytest.mark.parametrize("digit", DIGITS)
def test_each_digit_is_heard_once(digit: str) -> None:
    receiver = DigitReceiver()
    assert [d for p in events(digit, 1000) if (d := receiver.push(p))] == [digit]


def test_the_same_digit_twice_is_two_digits() -> None:
    receiver = DigitReceiver()
    heard = [d for p in events("5", 1000) + events("5", 9000) if (d := receiver.push(p))]
    assert heard == ["5", "5"]


@given(st.data())
def test_a_digit_is_heard_once_whatever_is_lost_repeated_or_late(data: st.DataObject) -> None:
    packets = events("7", 5000)
    received = data.draw(st.lists(st.sampled_from(packets), min_size=1))
    receiver = DigitReceiver()
    assert [d for p in received if (d := receiver.push(p))] == ["7"]


def test_the_end_is_sent_three_times_with_the_whole_duration() -> None:
    payloads = list(digit_payloads("#", 100))
    assert [p[1] & 0x80 for p in payloads[-3:]] == [0x80] * 3
    assert len(set(payloads[-3:])) == 1
    assert int.from_bytes(payloads[-1][2:], "big") == 800
