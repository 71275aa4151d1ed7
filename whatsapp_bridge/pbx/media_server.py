"""The media websocket, opened by Asterisk: `Dial(WebSocket/whatsapp/…)`, for calls to WhatsApp users.

Asterisk puts the values of the dial string's `v(…)` into the query and says in its first message, MEDIA_START, which
channel this is. It says so once, right after the upgrade, and keeps quiet until the call is answered (Asterisk 22.10).

The connection stays with aiohttp's protocol object, which hands what arrives to a parser as it does for its own
websockets; what is sent goes straight to the transport.
"""

import asyncio
import re
from typing import Any, cast

from aiohttp import web

from whatsapp_bridge.pbx.framing import accept_key
from whatsapp_bridge.pbx.media_socket import MediaSocket, MediaSocketError

#: Asterisk sends MEDIA_START at once.
START_TIMEOUT = 3.0
SUBPROTOCOL = "media"

_KEY = re.compile(r"^[A-Za-z0-9+/]{22}==$")


class AcceptedMediaSocket(MediaSocket):
    """A media connection that Asterisk opened; `start` is its MEDIA_START."""

    def __init__(self) -> None:
        super().__init__(client=False)
        self._started: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.on_event = self._first_event

    @classmethod
    async def accept(cls, request: web.Request) -> "tuple[AcceptedMediaSocket, web.StreamResponse]":
        """Upgrade a request. The handler returns the response when the connection is done with.

        Raises web.HTTPException for what is no media websocket.
        """
        headers = request.headers
        offered = [name.strip() for name in headers.get("Sec-WebSocket-Protocol", "").split(",")]
        key = headers.get("Sec-WebSocket-Key", "")
        if headers.get("Upgrade", "").lower() != "websocket" or headers.get("Sec-WebSocket-Version") != "13":
            raise web.HTTPUpgradeRequired(text="this is a websocket (version 13)\n", headers={"Upgrade": "websocket"})
        if SUBPROTOCOL not in offered or not _KEY.match(key):
            raise web.HTTPBadRequest(text="wanted: Sec-WebSocket-Protocol: media, and a Sec-WebSocket-Key\n")
        response = web.StreamResponse(
            status=101,
            headers={
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Accept": accept_key(key.encode()),
                "Sec-WebSocket-Protocol": SUBPROTOCOL,
            },
        )
        await response.prepare(request)
        if request.transport is None:
            raise web.HTTPBadRequest(text="gone\n")
        socket = cls()
        socket._transport = request.transport
        request.protocol.keep_alive(False)
        request.protocol.set_parser(cast("Any", socket))
        return socket, response

    async def start(self) -> dict[str, Any]:
        """MEDIA_START. Raises MediaSocketError when it does not come within START_TIMEOUT."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                return await self._started
        except TimeoutError as error:
            raise MediaSocketError(f"no MEDIA_START in {START_TIMEOUT:g} s") from error

    # What aiohttp asks of a parser

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._feed(data)
        return False, b""

    def feed_eof(self) -> None:
        if not self._started.done():
            self._started.set_exception(MediaSocketError("closed before MEDIA_START"))
            # Read by `start`, unless nobody waits any more.
            self._started.exception()
        self._gone()

    def _first_event(self, event: dict[str, Any]) -> None:
        if event.get("event") == "MEDIA_START" and not self._started.done():
            self.on_event = None
            self._started.set_result(event)
