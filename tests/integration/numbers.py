"""The bridge's work for its numbers, on a real PostgreSQL and against the strict simulator; no Asterisk."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import web

from whatsapp_bridge.config import Config
from whatsapp_bridge.meta.graph import GraphClient
from whatsapp_bridge.meta.webhook import MAX_BODY, WebhookReceiver
from whatsapp_bridge.numbers import Numbers
from whatsapp_bridge.simulator.client import SimulatorClient
from whatsapp_bridge.simulator.config import config_from
from whatsapp_bridge.simulator.consent_client import ConsentClient
from whatsapp_bridge.simulator.server import running
from whatsapp_bridge.simulator.world import World
from whatsapp_bridge.store import Store

PNID, NUMBER = "106540352242922", "15550783881"
RECEIVER = web.AppKey("receiver", list[WebhookReceiver])
TOKEN, SECRET, VERIFY = "token", "app-secret", "verify-me"


@dataclass
class House:
    """All that a test needs."""

    dsn: str
    db: "asyncpg.Connection[asyncpg.Record]"
    world: World
    meta: SimulatorClient
    consent: ConsentClient
    config: Config
    store: Store
    graph: GraphClient
    numbers: Numbers

    async def row(self, query: str, *arguments: object) -> dict[str, Any]:
        row = await self.db.fetchrow(query, *arguments)
        assert row is not None
        return dict(row)

    async def until(
        self, query: str, *arguments: object, holds: Callable[[Any], bool] = bool, timeout: float = 8
    ) -> Any:
        """The query's value, as soon as it is as wished."""
        async with asyncio.timeout(timeout):
            while not holds(value := await self.db.fetchval(query, *arguments)):
                await asyncio.sleep(0.02)
        return value


@contextlib.asynccontextmanager
async def house(
    dsn: str, folder: Path, *, work: bool = True, meta: dict[str, Any] | None = None, **simulator: Any
) -> AsyncIterator[House]:
    """A number that is served, with its workers (`work`) and its webhook; `meta` and `simulator` are configuration."""
    runner, url = await _listen()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        section = {
            "listen": "127.0.0.1:0",
            "webhook_url": f"{url}/webhook",
            "recordings": str(folder / "recordings"),
            "numbers": [{"phone_number_id": PNID, "display_number": NUMBER}],
            "webhooks": {"retry_first": 0.05},
        }
        secrets = {"access_token": TOKEN, "app_secret": SECRET, "verify_token": VERIFY}
        document = {"simulator": section | simulator, "meta": secrets}
        world, base = await stack.enter_async_context(running(config_from(document)))
        client = await stack.enter_async_context(SimulatorClient(base))
        db = await asyncpg.connect(dsn)
        stack.push_async_callback(db.close)
        await db.execute(
            "INSERT INTO whatsapp.numbers (phone_number_id, display_number, name) VALUES ($1, $2, 'Shop')",
            PNID,
            NUMBER,
        )
        config = Config.model_validate(
            {
                "postgres": {"dsn": dsn},
                "ari": {"username": "-", "password": "-"},
                "meta": {"graph_url": base, **secrets, **(meta or {})},
            }
        )
        store = await stack.enter_async_context(Store(dsn))
        graph = await stack.enter_async_context(GraphClient(base, config.meta.api_version, TOKEN))
        numbers = Numbers(config, store, graph, lambda: datetime.fromtimestamp(world.clock.now(), UTC), sweep=0.5)
        _serve(runner, store, numbers)
        if work:
            task = asyncio.create_task(numbers.run())
            stack.push_async_callback(_end, task)
        yield House(dsn, db, world, client, ConsentClient(client), config, store, graph, numbers)


async def _listen() -> tuple[web.AppRunner, str]:
    """A server whose routes come later: the simulator wants its address first."""
    app = web.Application(client_max_size=MAX_BODY)
    receiver: list[WebhookReceiver] = []
    app[RECEIVER] = receiver

    async def post(request: web.Request) -> web.Response:
        return await receiver[0].receive(request)

    app.router.add_post("/webhook", post)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def _serve(runner: web.AppRunner, store: Store, numbers: Numbers) -> None:
    receiver = WebhookReceiver(
        app_secret=SECRET,
        verify_token=VERIFY,
        is_ours=store.is_ours,
        find_id=store.find_id,
        store=numbers.add_event,
        handle=numbers.handle,
    )
    assert runner.app is not None
    runner.app[RECEIVER].append(receiver)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
