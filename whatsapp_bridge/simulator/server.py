"""The simulator's process: one HTTP server for the Graph API and the control API."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from .browser.phones import BrowserPhones
from .config import SimulatorConfig
from .control import Control
from .control_consent import ConsentControl
from .graph import Graph
from .jsonapi import errors_as_json
from .world import World

_log = logging.getLogger(__name__)
MAX_BODY = 4 * 1024 * 1024


@asynccontextmanager
async def running(config: SimulatorConfig) -> AsyncIterator[tuple[World, str]]:
    """Serves until the block ends; gives the world and the base URL. Raises OSError if the port is taken."""
    world = World(config)
    app = web.Application(middlewares=[errors_as_json], client_max_size=MAX_BODY)
    phones = BrowserPhones(world)
    for part in (Control(world), ConsentControl(world), Graph(world), phones):
        app.add_routes(part.routes())
    app.on_shutdown.append(phones.close)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port)
        await site.start()
        await world.start()
        try:
            host, port = runner.addresses[0][:2]
            base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            _log.info("Meta's side is at %s, webhooks go to %s", base, config.webhook_url)
            yield world, base
        finally:
            await world.close()
    finally:
        await runner.cleanup()


async def serve(config: SimulatorConfig) -> None:
    """Runs until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config):
        notify_ready()
        await stop.wait()
        _log.info("ending")


def notify_ready() -> None:
    """Tells the supervisor by sd_notify(3), if there is one."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        notifier.sendto(b"READY=1", address)
