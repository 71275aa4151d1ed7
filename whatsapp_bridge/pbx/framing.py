"""Websocket framing (RFC 6455), as far as the media of a call needs it: hot, so without an object for each frame.

Both directions are here: a client masks what it sends and a server does not (§5.1). Our own mask is zero, which the
RFC leaves to the client's choice of randomness and which needs no second pass over the payload.
"""

import base64
import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

#: Larger messages are no media frame and no event of Asterisk's; the connection is given up.
MAX_MESSAGE = 65_536

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
#: First byte of a binary message in one frame: nearly all there is.
WHOLE_BINARY = 0x80 | BINARY

_ZERO_MASK = b"\0\0\0\0"
_ACCEPT_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FramingError(ValueError):
    """The other side breaks the protocol; the connection cannot go on."""


def accept_key(key: bytes) -> str:
    """What `Sec-WebSocket-Accept` has to hold for a `Sec-WebSocket-Key` (§4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _ACCEPT_KEY, usedforsecurity=False).digest()).decode()


def header(opcode: int, length: int, *, masked: bool) -> bytes:
    """The header of a message in one frame."""
    bit, mask = (0x80, _ZERO_MASK) if masked else (0, b"")
    if length < 126:
        return bytes((0x80 | opcode, bit | length)) + mask
    if length < 65_536:
        return bytes((0x80 | opcode, bit | 126)) + length.to_bytes(2, "big") + mask
    return bytes((0x80 | opcode, bit | 127)) + length.to_bytes(8, "big") + mask


#: Headers of binary messages of up to 125 bytes, by whether they are masked and by length.
SHORT_BINARY = {masked: tuple(header(BINARY, n, masked=masked) for n in range(126)) for masked in (True, False)}


class FrameReader:
    """Cuts a byte stream into messages and hands each on at once.

    `masked` tells whether frames have to be masked: a server's reader takes no others, a client's none of those.
    """

    def __init__(
        self,
        *,
        masked: bool,
        on_binary: Callable[[bytes], None],
        on_event: Callable[[dict[str, Any]], None],
        on_control: Callable[[int, bytes], None],
    ) -> None:
        self._masked = masked
        self._on_binary, self._on_event, self._on_control = on_binary, on_event, on_control
        self._rest = b""
        self._fragments: tuple[int, bytearray] | None = None

    def feed(self, data: bytes) -> None:
        """Take what arrived, in any pieces. Raises FramingError."""
        if self._rest:
            data = self._rest + data
        masked = self._masked
        position, end = 0, len(data)
        while end - position >= 2:
            second, start = data[position + 1], position + 2
            if (second & 0x80 != 0) is not masked:
                raise FramingError("a frame is masked" if not masked else "a frame is not masked")
            length = second & 0x7F
            if length >= 126:
                size = 2 if length == 126 else 8
                if end - start < size:
                    break
                length = int.from_bytes(data[start : start + size], "big")
                start += size
            if length > MAX_MESSAGE:
                raise FramingError(f"message of {length} bytes")
            if masked:
                start += 4
            if end - start < length:
                break
            payload = data[start : start + length]
            if masked:
                payload = _unmasked(payload, data[start - 4 : start], length)
            if data[position] == WHOLE_BINARY:
                self._on_binary(payload)
            else:
                self._other(data[position], payload)
            position = start + length
        self._rest = data[position:]

    def _other(self, first: int, payload: bytes) -> None:
        opcode = first & 0x0F
        if opcode >= CLOSE:
            self._on_control(opcode, payload)
            return
        if opcode:
            self._fragments = (opcode, bytearray())
        if self._fragments is None:
            return
        kind, message = self._fragments
        message += payload
        if len(message) > MAX_MESSAGE:
            raise FramingError("endless fragmented message")
        if first & 0x80:
            self._fragments = None
            if kind == TEXT:
                self._event(bytes(message))
            else:
                self._on_binary(bytes(message))

    def _event(self, message: bytes) -> None:
        try:
            event = json.loads(message)
        except (ValueError, RecursionError):
            logger.warning("media websocket: Asterisk sent text that is not JSON: %r", message[:80])
            return
        if isinstance(event, dict):
            self._on_event(event)


def _unmasked(payload: bytes, mask: bytes, length: int) -> bytes:
    """As one XOR of long integers: of all ways in pure Python the fastest for the size of a media frame."""
    if mask == _ZERO_MASK:
        return payload
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")
