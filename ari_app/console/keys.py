"""What every page may need, by aiohttp's typed keys."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from ari_app.config import AppConfig
from ari_app.console.access import Table
from ari_app.console.board import Board
from ari_app.console.config import ConsoleConfig
from ari_app.console.live import Hub
from ari_app.console.passwords import Passwords
from ari_app.console.rendering import Renderer
from ari_app.console.static import Assets
from ari_app.console.waveform import Waveforms
from ari_app.store.console.audit import AuditStore
from ari_app.store.console.sessions import SessionStore
from ari_app.store.console.users import UserStore
from ari_app.store.database import Database

if TYPE_CHECKING:  # it knows the API's models, and those know the keys
    from ari_app.console.hooks.worker import Worker


@dataclass(frozen=True)
class Stores:
    """Those that more than one subject needs. Others are made of `database` where they are used."""

    database: Database
    users: UserStore
    sessions: SessionStore
    audit: AuditStore


CONFIG = web.AppKey("config", ConsoleConfig)
FOLDERS = web.AppKey("folders", AppConfig)
STORES = web.AppKey("stores", Stores)
PASSWORDS = web.AppKey("passwords", Passwords)
RENDERER = web.AppKey("renderer", Renderer)
ASSETS = web.AppKey("assets", Assets)
TABLE = web.AppKey("table", Table)
HUB = web.AppKey("hub", Hub)
WAVEFORMS = web.AppKey("waveforms", Waveforms)
BOARD = web.AppKey("board", Board)
WEBHOOKS: "web.AppKey[Worker]" = web.AppKey("webhooks")
