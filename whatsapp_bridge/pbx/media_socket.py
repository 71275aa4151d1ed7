"""The media websocket of Asterisk (`chan_websocket`), as a client.

Binary messages are media frames, one Opus frame each; text messages are JSON events and commands (`f(json)`).
Written on a bare `asyncio.Protocol`, since this is the hot path: a frame is parsed in `data_received` and handed
on in the same callback, and a frame sent is one `write` (RFC 6455; the mask is zero, which the RFC leaves to
the client's choice of randomness and which needs no second pass over the payload).
"""

import asyncio
import base64
import hashlib
import json
import logging
import secrets
import ssl
from collections.abc import Callable
from typing import Any, Self, cast
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0
#: Larger messages are no media frame and no event of Asterisk's; the connection is given up.
MAX_MESSAGE = 65_536
#: chan_websocket itself stops reading at about this many frames; a socket this full is stuck.
MAX_UNSENT = 64 * 1024

_ACCEPT_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_ZERO_MASK = b"\0\0\0\0"
#: Header of a masked binary message, by payload length.
_BINARY_HEADERS = tuple(bytes((0x82, 0x80 | length)) + _ZERO_MASK for length in range(126))


class MediaSocketError(Exception):
    """The media websocket could not be opened or broke; the message says what Asterisk answered."""


class MediaSocket(asyncio.Protocol):
    """One call's media connection with Asterisk. Open it with `connect`, give it back with `close`."""

    def __init__(self, path: str, host: str) -> None:
        self.on_frame: Callable[[bytes], None] | None = None
        """Called with each media frame from Asterisk, in the event loop."""
        self.on_event: Callable[[dict[str, Any]], None] | None = None
        """Called with each JSON event: MEDIA_START, DTMF_END, STATUS, …"""
        self.closed = asyncio.Event()
        """Set when the connection is gone, whoever ended it."""
        self.frames_received = 0
        self.frames_sent = 0
        self.frames_unsent = 0
        self._path, self._host = path, host
        self._key = base64.b64encode(secrets.token_bytes(16))
        self._transport: asyncio.Transport | None = None
        self._open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._upgraded = False
        self._buffer = bytearray()
        self._fragments: tuple[int, bytearray] | None = None

    @classmethod
    async def connect(cls, base_url: str, connection_id: str) -> Self:
        """Open `{base_url}/media/{connection_id}`. Raises MediaSocketError, within CONNECT_TIMEOUT."""
        url = urlsplit(base_url)
        secure = url.scheme in ("https", "wss")
        host, port = url.hostname or "127.0.0.1", url.port or (443 if secure else 80)
        socket = cls(f"{url.path.rstrip('/')}/media/{connection_id}", f"{host}:{port}")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_connection(
                    lambda: socket, host, port, ssl=ssl.create_default_context() if secure else None
                )
                await socket._open
        except TimeoutError as error:
            raise MediaSocketError(f"no answer from {host}:{port} in {CONNECT_TIMEOUT:g} s") from error
        except OSError as error:
            raise MediaSocketError(f"cannot connect to {host}:{port}: {error}") from error
        finally:
            if not socket._upgraded:
                await socket.close()
        return socket

    def send_frame(self, frame: bytes) -> None:
        """Send one media frame. On a stuck or closed connection the frame is counted and lost."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > MAX_UNSENT:
            self.frames_unsent += 1
            return
        length = len(frame)
        header = _BINARY_HEADERS[length] if length < 126 else _header(_BINARY, length)
        transport.write(header + frame)
        self.frames_sent += 1

    def send_command(self, command: str) -> None:
        """Send a command such as `ANSWER`, `HANGUP` or `GET_STATUS`."""
        self._write(_TEXT, json.dumps({"command": command}).encode())

    async def close(self) -> None:
        """Close the connection; Asterisk hangs the websocket channel up. Safe to call more than once."""
        if self._transport is not None:
            self._write(_CLOSE, (1000).to_bytes(2, "big"))
            self._transport.close()
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self.closed.wait()
            except TimeoutError:
                self._transport.abort()
        self.on_frame = self.on_event = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            b"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: media\r\n\r\n"
            % (self._path.encode(), self._host.encode(), self._key)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(f"connection closed: {exc or 'by Asterisk'}")
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._upgraded and not self._read_response():
            return
        position, end = 0, len(buffer)
        while end - position >= 2:
            length, start = buffer[position + 1] & 0x7F, position + 2
            if length >= 126:
                size = 2 if length == 126 else 8
                if end - start < size:
                    break
                length = int.from_bytes(buffer[start : start + size], "big")
                start += size
            if length > MAX_MESSAGE:
                self._abort(f"message of {length} bytes")
                return
            if end - start < length:
                break
            self._frame_received(buffer[position], bytes(buffer[start : start + length]))
            position = start + length
        del buffer[:position]

    # private

    def _read_response(self) -> bool:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            if len(self._buffer) > MAX_MESSAGE:
                self._abort("endless HTTP response")
            return False
        status, *header_lines = head.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in header_lines)}
        accept = base64.b64encode(hashlib.sha1(self._key + _ACCEPT_KEY, usedforsecurity=False).digest()).decode()
        if " 101 " not in status + " " or headers.get("sec-websocket-accept") != accept:
            self._abort(f"Asterisk refused the media websocket: {status[:80]}")
            return False
        self._buffer[:] = rest
        self._upgraded = True
        if not self._open.done():
            self._open.set_result(None)
        return True

    def _frame_received(self, first: int, payload: bytes) -> None:
        opcode = first & 0x0F
        if first == 0x82:
            self.frames_received += 1
            if self.on_frame is not None:
                self.on_frame(payload)
        elif opcode == _PING:
            self._write(_PONG, payload)
        elif opcode == _CLOSE:
            if self._transport is not None:
                self._transport.close()
        elif opcode != _PONG:
            self._message_part(first, opcode, payload)

    def _message_part(self, first: int, opcode: int, payload: bytes) -> None:
        if opcode:
            self._fragments = (opcode, bytearray())
        if self._fragments is None:
            return
        kind, message = self._fragments
        message += payload
        if len(message) > MAX_MESSAGE:
            self._abort("endless fragmented message")
        elif first & 0x80:
            self._fragments = None
            if kind == _TEXT:
                self._event_received(bytes(message))
            else:
                self._frame_received(0x82, bytes(message))

    def _event_received(self, message: bytes) -> None:
        try:
            event = json.loads(message)
        except ValueError:
            logger.warning("media websocket: Asterisk sent text that is not JSON: %r", message[:80])
            return
        if isinstance(event, dict) and self.on_event is not None:
            self.on_event(event)

    def _write(self, opcode: int, payload: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_header(opcode, len(payload)) + payload)

    def _fail(self, reason: str) -> None:
        if not self._open.done():
            self._open.set_exception(MediaSocketError(reason))
            # Read by `connect`, unless that has timed out already.
            self._open.exception()

    def _abort(self, reason: str) -> None:
        logger.warning("media websocket: %s", reason)
        self._fail(reason)
        if self._transport is not None:
            self._transport.abort()


def _header(opcode: int, length: int) -> bytes:
    if length < 126:
        return bytes((0x80 | opcode, 0x80 | length)) + _ZERO_MASK
    if length < 65_536:
        return bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big") + _ZERO_MASK
    return bytes((0x80 | opcode, 0x80 | 127)) + length.to_bytes(8, "big") + _ZERO_MASK
