"""Websocket frames: what is written can be read, whatever the pieces, and what breaks the protocol is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.pbx.framing import BINARY, PING, FrameReader, FramingError, accept_key, header


class Taken:
    """A reader that remembers what it was given."""

    def __init__(self, *, masked: bool) -> None:
        self.frames: list[bytes] = []
        self.events: list[dict[str, Any]] = []
        self.control: list[tuple[int, bytes]] = []
        self.reader = FrameReader(
            masked=masked,
            on_binary=self.frames.append,
            on_event=self.events.append,
            on_control=lambda opcode, payload: self.control.append((opcode, payload)),
        )


def masked_frame(first: int, payload: bytes, mask: bytes) -> bytes:
    """As Asterisk sends it, which masks with random keys."""
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else bytes((0x80 | 126,)) + length.to_bytes(2, "big")
    return bytes((first,)) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def test_the_accept_key_is_the_rfcs() -> None:
    """The example of RFC 6455 §1.3."""
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(
    payloads=st.lists(st.binary(max_size=700), max_size=8),
    mask=st.binary(min_size=4, max_size=4),
    cuts=st.lists(st.integers(1, 200), min_size=1, max_size=20),
)
def test_masked_frames_in_any_pieces_are_read(payloads: list[bytes], mask: bytes, cuts: list[int]) -> None:
    stream = b"".join(masked_frame(0x82, payload, mask) for payload in payloads)
    taken, position, turn = Taken(masked=True), 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        taken.reader.feed(stream[position : position + size])
        position, turn = position + size, turn + 1
    assert taken.frames == payloads


@given(payload=st.binary(max_size=2_000))
@pytest.mark.parametrize("masked", [True, False])
def test_what_we_write_can_be_read(payload: bytes, masked: bool) -> None:
    taken = Taken(masked=masked)
    taken.reader.feed(header(BINARY, len(payload), masked=masked) + payload)
    assert taken.frames == [payload]


def test_pings_and_events_among_frames_are_told_apart() -> None:
    taken = Taken(masked=True)
    key = b"\x01\x02\x03\x04"
    taken.reader.feed(
        masked_frame(0x01, b'{"event"', key)
        + masked_frame(0x80 | PING, b"there?", key)
        + masked_frame(0x80, b': "DTMF_END"}', key)
        + masked_frame(0x82, b"voice", key)
    )
    assert taken.events == [{"event": "DTMF_END"}]
    assert taken.control == [(PING, b"there?")]
    assert taken.frames == [b"voice"]


@pytest.mark.parametrize(
    ("masked", "stream", "reason"),
    [
        (True, b"\x82\x01x", "not masked"),
        (False, b"\x82\x81\0\0\0\0x", "is masked"),
        (True, b"\x82\xff" + (1 << 40).to_bytes(8, "big"), "message of 1099511627776 bytes"),
        (False, (b"\x02\x7e\xff\xff" + b"x" * 65_535) + (b"\x00\x7e\xff\xff" + b"x" * 65_535), "endless"),
    ],
)
def test_what_breaks_the_protocol_is_refused(masked: bool, stream: bytes, reason: str) -> None:
    with pytest.raises(FramingError, match=reason):
        Taken(masked=masked).reader.feed(stream)
