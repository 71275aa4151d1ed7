"""The media websocket, against a server that behaves, and against several that do not."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from whatsapp_bridge.pbx.framing import MAX_MESSAGE
from whatsapp_bridge.pbx.media_client import MediaClient
from whatsapp_bridge.pbx.media_socket import MediaSocketError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"


async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Answer the handshake as Asterisk does; returns the request."""
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    writer.write(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    return request


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    first = (0x80 if last else 0) | opcode
    if len(payload) < 126:
        return bytes((first, len(payload))) + payload
    return bytes((first, 126)) + len(payload).to_bytes(2, "big") + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    assert second & 0x80, "a client masks its frames (RFC 6455 §5.3)"
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    mask, payload = await reader.readexactly(4), await reader.readexactly(length)
    return first & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


async def test_frames_and_commands_go_both_ways() -> None:
    got: list[tuple[int, bytes]] = []
    requests: list[str] = []

    async def asterisk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await upgrade(reader, writer))
        got.extend([await read_frame(reader) for _ in range(3)])
        writer.write(frame(1, b'{"event": "MEDIA_START"}') + frame(2, b"opus") + frame(2, b"end"))

    frames: list[bytes] = []
    events: list[dict[str, Any]] = []
    async with server(asterisk) as url:
        socket = await MediaClient.connect(url, "abc")
        socket.on_frame, socket.on_event = frames.append, events.append
        socket.send_frame(b"voice")
        socket.send_frame(b"v" * 300)
        socket.send_command("ANSWER")
        async with asyncio.timeout(5):
            await socket.closed.wait()
    assert requests[0].startswith("GET /media/abc HTTP/1.1")
    assert "Sec-WebSocket-Protocol: media" in requests[0]
    assert got[:2] == [(2, b"voice"), (2, b"v" * 300)]
    assert (got[2][0], json.loads(got[2][1])) == (1, {"command": "ANSWER"})
    assert frames == [b"opus", b"end"]
    assert events == [{"event": "MEDIA_START"}]


async def test_frames_may_come_in_any_pieces() -> None:
    async def asterisk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        await read_frame(reader)
        for byte in frame(2, b"one") + frame(2, b"x" * 200) + frame(1, b'{"event"', last=False) + frame(0, b': "X"}'):
            writer.write(bytes((byte,)))
            await writer.drain()
        await reader.read()

    frames: list[bytes] = []
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with server(asterisk) as url:
        socket = await MediaClient.connect(url, "abc")
        socket.on_frame, socket.on_event = frames.append, events.put_nowait
        socket.send_frame(b"go")
        async with asyncio.timeout(5):
            assert await events.get() == {"event": "X"}
        await socket.close()
    assert frames == [b"one", b"x" * 200]


async def test_a_ping_is_answered() -> None:
    async def asterisk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.write(frame(9, b"are you there"))
        answers.append(await read_frame(reader))

    answers: list[tuple[int, bytes]] = []
    async with server(asterisk) as url:
        socket = await MediaClient.connect(url, "abc")
        async with asyncio.timeout(5):
            await socket.closed.wait()
    assert answers == [(10, b"are you there")]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"),
        (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n", "refused"),
        (b"x" * (MAX_MESSAGE + 1), "endless HTTP response"),
        (b"", "connection closed"),
    ],
)
async def test_a_refusal_is_an_error_that_says_why(answer: bytes, reason: str) -> None:
    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with server(stranger) as url:
        with pytest.raises(MediaSocketError, match=reason):
            await MediaClient.connect(url, "abc")


async def test_nobody_listening_is_an_error() -> None:
    async with server(lambda _reader, _writer: asyncio.sleep(0)) as url:
        pass
    with pytest.raises(MediaSocketError, match="cannot connect"):
        await MediaClient.connect(url, "abc")


async def test_a_message_beyond_all_measure_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def asterisk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.write(bytes((0x82, 127)) + (1 << 40).to_bytes(8, "big"))
        await reader.read()

    async with server(asterisk) as url:
        socket = await MediaClient.connect(url, "abc")
        async with asyncio.timeout(5):
            await socket.closed.wait()
    assert "message of 1099511627776 bytes" in caplog.text


async def test_after_the_end_frames_are_counted_and_lost() -> None:
    async def asterisk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)

    async with server(asterisk) as url:
        socket = await MediaClient.connect(url, "abc")
        async with asyncio.timeout(5):
            await socket.closed.wait()
        socket.send_frame(b"late")
        await socket.close()
        await socket.close()
    assert socket.frames_unsent == 1


async def test_text_that_is_no_json_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async def asterisk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        await read_frame(reader)
        writer.write(frame(1, b"MEDIA_START ptime:20") + frame(1, b'"text"') + frame(1, b'{"event": "NEXT"}'))
        await reader.read()

    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with server(asterisk) as url:
        socket = await MediaClient.connect(url, "abc")
        socket.on_event = events.put_nowait
        socket.send_command("ANSWER")
        async with asyncio.timeout(5):
            assert await events.get() == {"event": "NEXT"}
        await socket.close()
    assert "not JSON" in caplog.text
