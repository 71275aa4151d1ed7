"""The console as an aiohttp application."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

from aiohttp import web

from ari_app.config import AppConfig
from ari_app.console import guard, keys
from ari_app.console.api import routing
from ari_app.console.board import Board
from ari_app.console.config import ConsoleConfig
from ari_app.console.forms import FIELD_BYTES
from ari_app.console.hooks.worker import Worker
from ari_app.console.live import Hub
from ari_app.console.pages import table
from ari_app.console.pages.sign_in import WINDOW
from ari_app.console.passwords import Passwords
from ari_app.console.rendering import Renderer
from ari_app.console.static import Assets
from ari_app.console.waveform import Waveforms
from ari_app.store.console.audit import AuditStore
from ari_app.store.console.sessions import SessionStore
from ari_app.store.console.tokens import TokenStore
from ari_app.store.console.users import UserStore
from ari_app.store.database import Database, StoreError

logger = logging.getLogger(__name__)

#: Ended sessions and old attempts are removed so often, s.
SWEEP_SECONDS = 600.0


def create_app(config: ConsoleConfig, folders: AppConfig, database: Database) -> web.Application:
    """`folders` tells where prompts and recordings are. The database must be open while the application runs."""
    app = web.Application(middlewares=[guard.errors], client_max_size=16 * FIELD_BYTES)
    assets = Assets()
    app[keys.CONFIG] = config
    app[keys.FOLDERS] = folders
    app[keys.STORES] = keys.Stores(
        database,
        UserStore(database),
        SessionStore(database, timedelta(minutes=config.idle_minutes), timedelta(hours=config.session_hours)),
        AuditStore(database),
    )
    app[keys.PASSWORDS] = Passwords()
    app[keys.ASSETS] = assets
    app[keys.RENDERER] = Renderer(assets)
    app[keys.TABLE] = table()
    app[keys.HUB] = Hub(database)
    app[keys.WAVEFORMS] = Waveforms()
    app[keys.BOARD] = Board(database, app[keys.HUB])
    app[keys.WEBHOOKS] = Worker(database, app[keys.HUB], config.webhook_networks)
    for entry in app[keys.TABLE].pages:
        app.router.add_route(entry.method, entry.path, guard.guarded(entry))
    routing.add_to(app, config.api_per_minute)
    app.on_response_prepare.append(guard.finish)
    app.on_shutdown.append(_close_hub)
    app.cleanup_ctx.append(_background)
    return app


async def _close_hub(app: web.Application) -> None:
    app[keys.HUB].close()
    await app[keys.BOARD].close()


async def _background(app: web.Application) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(app[keys.HUB].run(), name="hub"),
        asyncio.create_task(app[keys.BOARD].run(), name="board"),
        asyncio.create_task(app[keys.WEBHOOKS].run(), name="webhooks"),
        asyncio.create_task(_sweep(app[keys.STORES].sessions, TokenStore(app[keys.STORES].database)), name="sweep"),
    ]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _sweep(sessions: SessionStore, tokens: TokenStore) -> None:
    while True:
        try:
            await sessions.sweep(WINDOW)
            await tokens.sweep()
        except StoreError as error:
            logger.warning("what has ended cannot be removed: %s", error)
        await asyncio.sleep(SWEEP_SECONDS)
