"""The media websocket, opened from here: `WebSocket/INCOMING` channels, for calls that come from WhatsApp."""

import asyncio
import base64
import secrets
import ssl
from typing import Self, cast
from urllib.parse import urlsplit

from whatsapp_bridge.pbx.framing import MAX_MESSAGE, accept_key
from whatsapp_bridge.pbx.media_socket import MediaSocket, MediaSocketError

CONNECT_TIMEOUT = 5.0


class MediaClient(MediaSocket, asyncio.Protocol):
    """A media connection that we open. Open it with `connect`, give it back with `close`."""

    def __init__(self, path: str, host: str) -> None:
        super().__init__(client=True)
        self._path, self._host = path, host
        self._key = base64.b64encode(secrets.token_bytes(16))
        self._open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._upgraded = False
        self._response = bytearray()

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

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            b"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: media\r\n\r\n"
            % (self._path.encode(), self._host.encode(), self._key)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"connection closed: {exc or 'by Asterisk'}")
        self._gone()

    def data_received(self, data: bytes) -> None:
        if self._upgraded:
            self._feed(data)
        else:
            self._read_response(data)

    # private

    def _read_response(self, data: bytes) -> None:
        self._response += data
        head, separator, rest = bytes(self._response).partition(b"\r\n\r\n")
        if not separator:
            if len(self._response) > MAX_MESSAGE:
                self._abort("endless HTTP response")
            return
        status, *header_lines = head.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in header_lines)}
        if " 101 " not in status + " " or headers.get("sec-websocket-accept") != accept_key(self._key):
            self._abort(f"Asterisk refused the media websocket: {status[:80]}")
            return
        self._response.clear()
        self._upgraded = True
        if not self._open.done():
            self._open.set_result(None)
        if rest:
            self._feed(rest)

    def _fail(self, reason: str) -> None:
        if not self._open.done():
            self._open.set_exception(MediaSocketError(reason))
            # Read by `connect`, unless that has timed out already.
            self._open.exception()

    def _abort(self, reason: str) -> None:
        self._fail(reason)
        super()._abort(reason)
