"""The pages under /phone: a phone for a person with a browser and a microphone."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from ..world import World
from .line import Line
from .messages import MAX_MESSAGE

PAGE: Final = Path(__file__).with_name("page")
FILES: Final = ("phone.css", "phone.js", "webrtc.js", "tones.js")
HEARTBEAT: Final = 10.0
"""Seconds between pings: a page whose machine fell asleep has hung up."""

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class BrowserPhones:
    """Serves the page, and a `Line` for each that is open."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lines: set[Line] = set()
        self._by_user: dict[str, Line] = {}

    def routes(self) -> list[web.RouteDef]:
        """All under /phone."""
        return [
            web.get("/phone", self.page),
            web.get("/phone/line", self.line),
            web.get("/phone/{file}", self.file),
        ]

    async def page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / "phone.html", headers=_HEADERS)

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if name not in FILES:
            raise web.HTTPNotFound
        return web.FileResponse(PAGE / name, headers=_HEADERS)

    async def line(self, request: web.Request) -> web.StreamResponse:
        """The page's websocket. Pages of other origins are refused: they could call in the user's name."""
        if urlsplit(request.headers.get("Origin", "")).netloc != request.host:
            raise web.HTTPForbidden(text="only the phone's own page may connect\n")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=MAX_MESSAGE)
        await socket.prepare(request)
        line = Line(self._world, socket, self._by_user)
        self._lines.add(line)
        try:
            await line.run()
        finally:
            self._lines.discard(line)
        return socket

    async def close(self, _: web.Application) -> None:
        """Lets all pages go."""
        for line in tuple(self._lines):
            await line.close()
