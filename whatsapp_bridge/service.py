"""The bridge as a process: what it holds, what it clears at the start, how it stops."""

import asyncio
import contextlib
import logging
import time

from aiohttp import web

from ari_app.ari import AriClient, AriError
from whatsapp_bridge.calls import InboundCall, Services
from whatsapp_bridge.config import Config, default_media_address
from whatsapp_bridge.meta.graph import GraphClient, GraphError
from whatsapp_bridge.meta.payloads import Connect, Event, Status, Terminate
from whatsapp_bridge.meta.webhook import MAX_BODY, WebhookReceiver
from whatsapp_bridge.numbers import Numbers
from whatsapp_bridge.rtc.relay import MediaClock
from whatsapp_bridge.store import Ending, Store

logger = logging.getLogger(__name__)

#: Meta gives an unanswered call up after 30 to 60 s: an older connect rings nobody any more.
STALE_AFTER = 60.0
#: How long running calls have to end when the bridge stops, s.
STOP_TIMEOUT = 15.0


class BridgeService:
    """Takes webhooks, runs calls. `run` returns when `stop` is set and everything is given back."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.calls: dict[str, InboundCall] = {}
        """Running calls by Meta's call id."""
        self._services: Services | None = None
        self._group: asyncio.TaskGroup | None = None
        self._stopping = False

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
            self._group = await stack.enter_async_context(asyncio.TaskGroup())
            watcher = self._group.create_task(self._watch_ari(ari, stop))
            stack.callback(watcher.cancel)
            numbers = Numbers(config, store, graph)
            stack.callback(self._group.create_task(numbers.run(), name="numbers").cancel)
            await self._serve_webhooks(stack, store, numbers)
            ready.set()
            await stop.wait()
            await self._end_calls()

    def handle(self, event: Event) -> None:
        """Take an event that is stored and new."""
        assert self._group is not None
        match event:
            case Connect(direction="inbound"):
                self._group.create_task(self._take(event), name=f"call-{event.call_id[-24:]}")
            case Connect() | Status():
                logger.info("event of outbound call %s ignored: not placed by this bridge", event.call_id[-24:])
            case Terminate():
                if (call := self.calls.get(event.call_id)) is not None:
                    call.terminated(event)
                self._group.create_task(self._keep(event), name=f"terminate-{event.call_id[-24:]}")

    async def _take(self, connect: Connect) -> None:
        assert self._services is not None
        store = self._services.store
        try:
            if connect.call_id in self.calls:
                return
            call = InboundCall(self._services, connect)
            age = time.time() - connect.timestamp.timestamp() if connect.timestamp else 0.0
            if age > STALE_AFTER:
                logger.warning("call %s dropped: its webhook came %.0f s late", connect.call_id[-24:], age)
                await store.add_call(call.id, connect)
                await store.ended(
                    call.id, Ending("system", f"the webhook came {age:.0f} s late; nobody waited any more")
                )
                return
            self.calls[connect.call_id] = call
            if self._stopping:
                call.end(Ending("system", "the bridge is stopping"))
            try:
                await call.run()
            finally:
                del self.calls[connect.call_id]
        except Exception:
            # One call's failure must not reach the task group, which would end all the others.
            logger.exception("call %s failed", connect.call_id[-24:])

    async def _keep(self, event: Terminate) -> None:
        assert self._services is not None
        try:
            await self._services.store.terminated(event)
        except Exception:
            logger.exception("what Meta said at the end of call %s is not stored", event.call_id[-24:])

    async def _serve_webhooks(self, stack: contextlib.AsyncExitStack, store: Store, numbers: Numbers) -> None:
        receiver = WebhookReceiver(
            app_secret=self.config.meta.app_secret.get_secret_value(),
            verify_token=self.config.meta.verify_token.get_secret_value(),
            is_ours=store.is_ours,
            find_id=store.find_id,
            store=numbers.add_event,
            handle=self.handle,
        )
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes([*receiver.routes(), web.get("/ready", self._ready)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self.config.bridge.host, self.config.bridge.port).start()
        logger.info("webhooks are taken at http://%s/webhook", self.config.bridge.listen)

    async def _ready(self, request: web.Request) -> web.Response:
        """200 while calls can be taken, 503 while Asterisk is away; and what the process holds just now."""
        assert self._services is not None
        ari = self._services.ari
        connected = ari.connected
        body = {
            "asterisk": connected,
            "calls": len(self.calls),
            "tasks": len(asyncio.all_tasks()),
            "subscriptions": ari.subscriptions,
        }
        return web.json_response(body, status=200 if connected and not self._stopping else 503)

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
            try:
                await services.graph.call_action(phone_number_id, call_id, "terminate")
            except GraphError as error:
                logger.info("%s", error)
            await services.store.ended(row, Ending("system", "the bridge was restarted", 41))

    async def _end_calls(self) -> None:
        self._stopping = True
        for call in self.calls.values():
            call.end(Ending("system", "the bridge was stopped", 41))
        loop = asyncio.get_running_loop()
        until = loop.time() + STOP_TIMEOUT
        tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith(("call-", "terminate-"))]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=until - loop.time())
            for task in late:
                logger.error("%s did not end in %g s", task.get_name(), STOP_TIMEOUT)
                task.cancel()
