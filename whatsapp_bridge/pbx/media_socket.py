"""The media websocket of Asterisk (`chan_websocket`), whichever side opened it.

Binary messages are media frames, one Opus frame each; text messages are JSON events and commands (`f(json)`).
This is the hot path: a frame is parsed where its bytes arrive and handed on in the same callback, and a frame sent
is one `write`.

Incoming WhatsApp calls open it from here (`media_client`), outgoing ones from Asterisk (`media_server`).
"""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from whatsapp_bridge.pbx.framing import BINARY, CLOSE, PING, PONG, SHORT_BINARY, TEXT, FrameReader, FramingError, header

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0
#: chan_websocket itself stops reading at about this many frames; a socket this full is stuck.
MAX_UNSENT = 64 * 1024


class MediaSocketError(Exception):
    """The media websocket could not be opened or broke; the message says what Asterisk answered."""


class MediaSocket:
    """One call's media connection with Asterisk. Give it back with `close`."""

    def __init__(self, *, client: bool) -> None:
        self.on_frame: Callable[[bytes], None] | None = None
        """Called with each media frame from Asterisk, in the event loop."""
        self.on_event: Callable[[dict[str, Any]], None] | None = None
        """Called with each JSON event: MEDIA_START, DTMF_END, STATUS, …"""
        self.closed = asyncio.Event()
        """Set when the connection is gone, whoever ended it."""
        self.frames_received = 0
        self.frames_sent = 0
        self.frames_unsent = 0
        self._transport: asyncio.Transport | None = None
        self._client = client
        self._short = SHORT_BINARY[client]
        self._reader = FrameReader(
            masked=not client,
            on_binary=self._frame_received,
            on_event=self._event_received,
            on_control=self._control_received,
        )

    def send_frame(self, frame: bytes) -> None:
        """Send one media frame. On a stuck or closed connection the frame is counted and lost."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > MAX_UNSENT:
            self.frames_unsent += 1
            return
        length = len(frame)
        transport.write((self._short[length] if length < 126 else header(BINARY, length, masked=self._client)) + frame)
        self.frames_sent += 1

    def send_command(self, command: str) -> None:
        """Send a command such as `ANSWER`, `HANGUP` or `GET_STATUS`."""
        self._write(TEXT, json.dumps({"command": command}).encode())

    async def close(self) -> None:
        """Close the connection; Asterisk hangs the websocket channel up. Safe to call more than once."""
        if self._transport is not None:
            self._write(CLOSE, (1000).to_bytes(2, "big"))
            self._transport.close()
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self.closed.wait()
            except TimeoutError:
                if self._transport is not None:
                    self._transport.abort()
        self.on_frame = self.on_event = None

    # For the two ways to open it

    def _feed(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except FramingError as error:
            self._abort(str(error))

    def _gone(self) -> None:
        self._transport = None
        self.closed.set()

    def _abort(self, reason: str) -> None:
        logger.warning("media websocket: %s", reason)
        if self._transport is not None:
            self._transport.abort()

    # private

    def _frame_received(self, payload: bytes) -> None:
        self.frames_received += 1
        if self.on_frame is not None:
            self.on_frame(payload)

    def _event_received(self, event: dict[str, Any]) -> None:
        if self.on_event is not None:
            self.on_event(event)

    def _control_received(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._write(PONG, payload)
        elif opcode == CLOSE and self._transport is not None:
            self._transport.close()

    def _write(self, opcode: int, payload: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(header(opcode, len(payload), masked=self._client) + payload)
