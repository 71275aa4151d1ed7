"""The bridge as a process: what it holds, what it clears at the start, how it stops."""

import asyncio
import contextlib
import logging

from aiohttp import web

from ari_app.ari import AriClient, AriError
from whatsapp_bridge.calls.call import Services
from whatsapp_bridge.config import Config, default_media_address
from whatsapp_bridge.meta.graph import GraphClient, GraphError
from whatsapp_bridge.meta.payloads import CallEvent, Event
from whatsapp_bridge.meta.webhook import MAX_BODY, WebhookReceiver
from whatsapp_bridge.numbers import Numbers
from whatsapp_bridge.rtc.relay import MediaClock
from whatsapp_bridge.store import Ending, Store
from whatsapp_bridge.switchboard import Switchboard

logger = logging.getLogger(__name__)


class BridgeService:
    """Takes webhooks, runs calls. `run` returns when `stop` is set and everything is given back."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._services: Services | None = None
        self._switchboard: Switchboard | None = None
        self._numbers: Numbers | None = None

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Serve until `stop`. Raises when PostgreSQL or Asterisk cannot be reached at the start."""
        config = self.config
        async with contextlib.AsyncExitStack() as stack:
            store = await stack.enter_async_context(Store(config.postgres.dsn.get_secret_value()))
            graph = await stack.enter_async_context(
                GraphClient(config.meta.graph_url, config.meta.api_version, config.meta.access_token.get_secret_value())
            )
            ari = await stack.enter_async_context(
                AriClient(
                    config.ari.url,
                    config.ari.username,
                    config.ari.password.get_secret_value(),
                    config.bridge.name,
                )
            )
            clock = await stack.enter_async_context(MediaClock())
            address = config.bridge.media_address or default_media_address()
            self._services = Services(config, store, graph, ari, clock, address)
            await self._clear_predecessor(self._services)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            watcher = group.create_task(self._watch_ari(ari, stop))
            stack.callback(watcher.cancel)
            self._numbers = Numbers(config, store, graph)
            stack.callback(group.create_task(self._numbers.run(), name="numbers").cancel)
            self._switchboard = Switchboard(self._services, group)
            await self._serve_webhooks(stack, store, self._numbers)
            ready.set()
            await stop.wait()
            await self._switchboard.end_all()

    def handle(self, event: Event) -> None:
        """Take an event that is stored and new."""
        assert self._switchboard is not None
        assert self._numbers is not None
        if isinstance(event, CallEvent):
            self._switchboard.handle(event)
        else:
            self._numbers.handle(event)

    async def _serve_webhooks(self, stack: contextlib.AsyncExitStack, store: Store, numbers: Numbers) -> None:
        assert self._switchboard is not None
        receiver = WebhookReceiver(
            app_secret=self.config.meta.app_secret.get_secret_value(),
            verify_token=self.config.meta.verify_token.get_secret_value(),
            is_ours=store.is_ours,
            find_id=store.find_id,
            store=numbers.add_event,
            handle=self.handle,
        )
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes(
            [
                *receiver.routes(),
                web.get("/media", self._switchboard.take_media, allow_head=False),
                web.get("/ready", self._ready),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self.config.bridge.host, self.config.bridge.port).start()
        logger.info("webhooks are taken at http://%s/webhook", self.config.bridge.listen)

    async def _ready(self, request: web.Request) -> web.Response:
        """200 while calls can be taken, 503 while Asterisk is away; and what the process holds just now."""
        assert self._services is not None
        assert self._switchboard is not None
        ari = self._services.ari
        connected = ari.connected
        body = {
            "asterisk": connected,
            "calls": self._switchboard.count,
            "tasks": len(asyncio.all_tasks()),
            "subscriptions": ari.subscriptions,
        }
        return web.json_response(body, status=200 if connected and not self._switchboard.stopping else 503)

    async def _watch_ari(self, ari: AriClient, stop: asyncio.Event) -> None:
        error = await ari.wait_failed()
        logger.critical("Asterisk is lost for good: %s", error)
        stop.set()

    async def _clear_predecessor(self, services: Services) -> None:
        """Hang up what a killed predecessor left in Asterisk, and end its calls at Meta and in the records."""
        try:
            left = await services.ari.applications.get(self.config.bridge.name)
            for channel in left.channel_ids:
                await services.ari.channels.hangup(channel, reason_code=41)
            for bridge in left.bridge_ids:
                await services.ari.bridges.destroy(bridge)
            if left.channel_ids:
                logger.warning("cleared %d channels that a predecessor left", len(left.channel_ids))
        except AriError as error:
            logger.error("what a predecessor left in Asterisk is not cleared: %s", error)
        for row, phone_number_id, call_id in await services.store.unended():
            # One that has no id yet is found by what we gave it when Meta's webhooks come: `Switchboard`.
            try:
                if call_id is not None:
                    await services.graph.call_action(phone_number_id, call_id, "terminate")
            except GraphError as error:
                logger.info("%s", error)
            await services.store.ended(row, Ending("system", "the bridge was restarted", 41))
