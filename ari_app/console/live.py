"""Live pages: PostgreSQL's notifications, handed to everybody who looks, as server-sent events."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from ari_app.store.database import Database
from ari_app.store.listening import listen

logger = logging.getLogger(__name__)

#: Facts of the application, of the bridge, of queue and agents.
CHANNELS = ("pbx_facts", "whatsapp_facts", "pbx_queue")

HEARTBEAT = 15.0
"Proxies cut a stream that says nothing, s."
RETRY_MS = 2000
"When a browser comes again after a stream broke, ms."
BEHIND = 1000
"A reader that is so many facts behind is told to look at everything anew."


@dataclass(frozen=True)
class Fact:
    """A notification; `channel` is "" when some may have been missed, and everything is to be read anew."""

    channel: str
    text: str = ""

    @property
    def missed(self) -> bool:
        return not self.channel


class Subscription:
    def __init__(self) -> None:
        self._facts: asyncio.Queue[Fact | None] = asyncio.Queue()

    def put(self, fact: Fact | None) -> None:
        if fact is not None and self._facts.qsize() >= BEHIND:
            while not self._facts.empty():
                self._facts.get_nowait()
            fact = Fact("")
        self._facts.put_nowait(fact)

    async def next(self, timeout: float) -> Fact | None:
        """The next fact; TimeoutError after `timeout` s; None when the console stops."""
        async with asyncio.timeout(timeout):
            return await self._facts.get()

    def drained(self) -> list[Fact]:
        """What has come meanwhile, at once: a page is drawn once for a burst of facts."""
        found = []
        while not self._facts.empty():
            fact = self._facts.get_nowait()
            if fact is None:
                self._facts.put_nowait(None)
                break
            found.append(fact)
        return found


class Hub:
    """One listening connection for the whole process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        subscription = Subscription()
        if self._closed:
            subscription.put(None)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """The console stops: all streams end."""
        self._closed = True
        self._tell(None)

    async def run(self) -> None:
        """Listen until cancelled."""
        await listen(
            self._database.dsn,
            CHANNELS,
            lambda channel, text: self._tell(Fact(channel, text)),
            lambda: self._tell(Fact("")),
        )

    def _tell(self, fact: Fact | None) -> None:
        for subscription in self._subscriptions:
            subscription.put(fact)


@dataclass(frozen=True)
class Update:
    """What a browser is sent: app.js puts `html` in place of the content of the element with the id `target`."""

    target: str
    html: str


async def stream(request: web.Request, updates: AsyncIterator[Update | None]) -> web.StreamResponse:
    """Send updates as they come (WHATWG HTML, 9.2); None is a heartbeat, due at least every HEARTBEAT s."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    try:
        await response.write(f"retry: {RETRY_MS}\n\n".encode())
        async for update in updates:
            if update is None:
                await response.write(b": still here\n\n")
            else:
                data = json.dumps({"target": update.target, "html": update.html})
                await response.write(f"event: update\ndata: {data}\n\n".encode())
        await response.write_eof()
    except ConnectionError:
        logger.debug("%s has gone from %s", request.remote, request.path)
    return response
