"""For tests: an ARI server inside the process that misbehaves on request, and a network that does.

async with FakeAri() as ari, AriClient(ari.url, ari.username, ari.password, "app") as client:
    ari.answer("POST", "/channels/c1/answer", status=412, message="Channel in invalid state")
    await ari.send("StasisStart", channel={"id": "c1"}, args=[])

It shows what Asterisk cannot be made to show when a test wants it: refusals, silence, cut connections.
Whether our idea of Asterisk is right, only tests against a real one can tell.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import WSMsgType, web

Reply = tuple[int, Any]


@dataclass
class Request:
    """A request as it came in, without `/ari` in front of the path."""

    method: str
    path: str
    query: dict[str, str]
    body: Any = None


@dataclass
class FakeAri:
    username: str = "user"
    password: str = "secret"  # noqa: S105 -- of a server that lives for one test
    port: int = 0
    "0 chooses a free one."
    requests: list[Request] = field(default_factory=list)
    "All requests so far."
    channels: list[dict[str, Any]] = field(default_factory=list)
    "What GET /channels lists."
    bridges: list[dict[str, Any]] = field(default_factory=list)
    silent: bool = False
    "Take requests and never answer, send no pong: what a dead network looks like."

    everything: Callable[[Request], Awaitable[Reply]] | None = None
    "Answers what has no answer of its own, instead of the defaults."

    deaf: bool = False
    "Send no events, although the websocket is open."

    def __post_init__(self) -> None:
        self._answers: dict[tuple[str, str], Callable[[Request], Awaitable[Reply]]] = {}
        self._sockets: dict[web.WebSocketResponse, asyncio.Transport] = {}
        self._changed = asyncio.Condition()
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/ari/events", self._events)
        application.router.add_route("*", "/ari/{path:.*}", self._request)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._released.set()
        self.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Open event websockets."""
        return len(self._sockets)

    def answer(self, method: str, path: str, body: Any = None, *, status: int = 200, message: str = "") -> None:
        """Answer `method path` (without `/ari`) like this from now on."""

        async def reply(_: Request) -> Reply:
            return status, {"message": message} if message else body

        self.handle(method, path, reply)

    def forget(self, method: str, path: str) -> None:
        """Answer `method path` as by default again."""
        self._answers.pop((method, path), None)

    def handle(self, method: str, path: str, reply: Callable[[Request], Awaitable[Reply]]) -> None:
        """Let `reply` answer `method path` with a status and what becomes JSON; a string is sent as it is."""
        self._answers[method, path] = reply

    async def send(self, event_type: str, **fields: Any) -> None:
        """Send an event to everybody who listens."""
        await self.send_raw({"type": event_type, "application": "app", **fields})

    async def send_raw(self, message: Any) -> None:
        for socket in list(self._sockets):
            await socket.send_json(message)

    async def send_text(self, text: str) -> None:
        for socket in list(self._sockets):
            await socket.send_str(text)

    def cut(self) -> None:
        """Cut all event websockets, without a closing handshake."""
        for transport in self._sockets.values():
            transport.abort()
        self._sockets.clear()

    async def connected(self, count: int = 1, timeout: float = 5.0) -> None:
        """Wait until `count` event websockets are open."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: len(self._sockets) >= count)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if not self._is_allowed(request):
            return web.json_response({"message": "Authentication required"}, status=401)
        if self.silent:
            await self._released.wait()
        self.requests.append(Request("GET", "/events", dict(request.query)))
        if reply := self._answers.get(("GET", "/events")):
            status, body = await reply(self.requests[-1])
            return web.json_response(body, status=status)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        if request.transport is None:
            return socket
        self._sockets[socket] = request.transport
        async with self._changed:
            self._changed.notify_all()
        try:
            async for message in socket:
                if message.type is WSMsgType.PING and not self.silent:
                    await socket.pong(message.data)
        finally:
            self._sockets.pop(socket, None)
        return socket

    async def _request(self, request: web.Request) -> web.StreamResponse:
        if not self._is_allowed(request):
            return web.json_response({"message": "Authentication required"}, status=401)
        path = request.match_info["path"]
        if path.startswith("events/user/") and not self.silent:
            if not self.deaf:
                await self.send("ChannelUserevent", eventname=path.removeprefix("events/user/"))
            return web.Response(status=204)
        body = await request.json() if request.can_read_body else None
        seen = Request(request.method, "/" + path, dict(request.query), body)
        self.requests.append(seen)
        if self.silent:
            await self._released.wait()
        reply = self._answers.get((seen.method, seen.path)) or self.everything or self._default
        status, answer = await reply(seen)
        if answer is None or isinstance(answer, str):
            return web.Response(status=status, text=answer)
        return web.json_response(answer, status=status)

    async def _default(self, request: Request) -> Reply:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["channels"]:
                return 200, self.channels
            case "GET", ["bridges"]:
                return 200, self.bridges
            case "GET", [_, identifier] | [_, identifier, _]:
                return 404, {"message": f"{identifier} not found"}
            case "POST", ["channels"] | ["channels", "create"]:
                return 200, {"id": request.query["channelId"], "state": "Down"}
            case "POST", ["bridges", bridge_id]:
                return 200, {"id": bridge_id}
            case "POST", [_, target, "play", playback_id]:
                return 201, {"id": playback_id, "target_uri": f"channel:{target}", "state": "queued"}
            case _:
                return 204, None

    def _is_allowed(self, request: web.Request) -> bool:
        expected = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {expected}"


class Proxy:
    """The way to a real Asterisk at `target` (`http://host:port`), which can be cut or go dead without a
    word.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self._writers: list[asyncio.StreamWriter] = []
        self._open = asyncio.Event()
        self._open.set()
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self._open.set()
            server.close()
            self.cut()
            await server.wait_closed()
            await asyncio.sleep(0.05)

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def fall_silent(self) -> None:
        """Hold back whatever is sent, and new connections, until `recover`."""
        self._open.clear()

    def recover(self) -> None:
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            self._writers += [writer, far_writer]
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer))
                group.create_task(self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
