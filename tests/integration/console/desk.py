"""The console inside the process, on a real PostgreSQL, and browsers without script that visit it; for its tests."""

import contextlib
import itertools
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web
from aiohttp.test_utils import TestServer
from argon2 import PasswordHasher
from yarl import URL

from ari_app.config import AppConfig
from ari_app.console.app import create_app
from ari_app.console.config import ConsoleConfig
from ari_app.console.keys import PASSWORDS
from ari_app.console.passwords import Passwords
from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store.configuration import examine
from ari_app.store.configuration.transfer import carry_in
from ari_app.store.console.audit import Actor
from ari_app.store.console.users import Role, User, UserSettings, UserStore
from ari_app.store.database import Database
from ari_app.store.migrate import migrate
from tests.integration.console.streams import Stream

PASSWORD = "correct horse battery"

#: What the console is about in these tests.
CONFIGURATION = b"""
numbers:
  "15550783881": {phone_number_id: 106, name: Shop, groups: [Sales]}
  "4930123456": {incoming: ivr, menu: Welcome}
agents:
  PJSIP/1001: {name: Ada, extension: 1001, voip_only: true}
  PJSIP/1002: {name: Grace, extension: 1002, voip_only: true}
  PJSIP/1003: {name: Edsger, voip_only: true}
groups:
  Sales: {members: {PJSIP/1001: 1, PJSIP/1002: 2}}
  Support: {members: {PJSIP/1003: 1}}
menus:
  Welcome: {prompt: "sound:vm-press", options: {"1": "group:Sales", "2": "menu:Help"}}
  Help: {prompt: "sound:vm-options", options: {"0": back}, no_input: "group:Support"}
schedules:
  Office: {time_zone: Europe/Berlin, hours: {monday: "09:00-12:00, 13:00-17:00"}, holidays: {2026-12-25: closed}}
"""

_TOKEN = re.compile(r'name="token" value="([^"]+)"')


@dataclass
class Answer:
    status: int
    text: str
    path: str
    "Where the browser is now."
    headers: Mapping[str, str]


@dataclass
class Browser:
    """Keeps cookies, follows redirects, and sends forms as the page that it has just got would."""

    base: str
    session: aiohttp.ClientSession
    last: str = ""

    async def get(self, path: str, *, redirects: bool = True, headers: Mapping[str, str] | None = None) -> Answer:
        accept = {"Accept": "text/html", **(headers or {})}
        async with self.session.get(self.base + path, headers=accept, allow_redirects=redirects) as response:
            return await self._answer(response)

    async def post(
        self,
        path: str,
        fields: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        redirects: bool = True,
        headers: Mapping[str, str] | None = None,
        data: aiohttp.FormData | None = None,
    ) -> Answer:
        """`fields` may have lists; the form's token is that of the last page, unless another one is given."""
        token = self.token if token is None else token
        pairs = [("token", token)]
        for name, value in (fields or {}).items():
            pairs += [(name, item) for item in (value if isinstance(value, list) else [value])]
        accept = {"Accept": "text/html", **(headers or {})}
        body: Any = data if data is not None else aiohttp.FormData(pairs)
        async with self.session.post(
            self.base + path, data=body, headers=accept, allow_redirects=redirects
        ) as response:
            return await self._answer(response)

    async def open_stream(self, path: str) -> Answer:
        """How a live stream begins; it is left at once."""
        accept = {"Accept": "text/html"}
        async with self.session.get(self.base + path, headers=accept, allow_redirects=False) as response:
            return Answer(response.status, "", response.url.path_qs, response.headers)

    @contextlib.asynccontextmanager
    async def follow(self, path: str) -> AsyncIterator[Stream]:
        """A live page's stream."""
        async with self.session.get(self.base + path, headers={"Accept": "text/event-stream"}) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield Stream(response)

    @property
    def token(self) -> str:
        found = _TOKEN.search(self.last)
        return found.group(1) if found else ""

    def cookie(self, name: str) -> str | None:
        return next((cookie.value for cookie in self.session.cookie_jar if cookie.key == name), None)

    def plant(self, name: str, value: str) -> None:
        """A cookie that somebody put there."""
        self.session.cookie_jar.update_cookies({name: value}, URL(self.base))

    async def sign_in(self, login: str, password: str = PASSWORD) -> Answer:
        await self.get("/sign-in")
        return await self.post("/sign-in", {"login": login, "password": password})

    async def _answer(self, response: aiohttp.ClientResponse) -> Answer:
        text = (await response.read()).decode(errors="replace")
        if _TOKEN.search(text):
            self.last = text
        return Answer(response.status, text, response.url.path_qs, response.headers)


@dataclass
class Desk:
    """A running console and what a test may want of it."""

    app: web.Application
    base: str
    dsn: str
    database: Database
    users: UserStore
    hashed: str
    "Of PASSWORD."
    folders: AppConfig
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _sessions: list[aiohttp.ClientSession] = field(default_factory=list)

    def browser(self) -> Browser:
        session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self._sessions.append(session)
        return Browser(self.base, session)

    async def add_user(self, role: Role, *, must_change: bool = False, **settings: Any) -> User:
        login = f"{role}-{next(self._numbers)}"
        made = UserSettings(settings.pop("name", login), role, **settings)
        return await self.users.add(login, made, self.hashed, Actor("test"), must_change=must_change)

    async def signed_in(self, role: Role, **settings: Any) -> Browser:
        user, browser = await self.add_user(role, **settings), self.browser()
        answer = await browser.sign_in(user.login)
        assert "/sign-in" not in answer.path, answer.text
        return browser

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.database.connection() as connection:
            found: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        return found

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()


@contextlib.asynccontextmanager
async def open_desk(postgres: EmbeddedPostgres, folder: Path) -> AsyncIterator[Desk]:
    """A console with CONFIGURATION on a new database; files go into `folder`."""
    dsn = await postgres.create_database(f"console_{uuid.uuid4().hex}")
    await migrate(dsn)
    reading, faults = examine(CONFIGURATION)
    assert reading is not None
    assert not [fault for fault in faults if not fault.is_warning]
    await carry_in(dsn, reading, maker=None, folder=Path())
    names = ("prompts", "recordings", "voicemail")
    folders = AppConfig.model_validate({f"{name}_folder": folder / name for name in names})
    async with Database(dsn) as database:
        app = create_app(ConsoleConfig.model_validate({}), folders, database)
        app[PASSWORDS] = Passwords(PasswordHasher(time_cost=1, memory_cost=1024))
        server = TestServer(app)
        await server.start_server()
        hashed = await app[PASSWORDS].hash(PASSWORD)
        base = f"http://{server.host}:{server.port}"
        made = Desk(app, base, dsn, database, UserStore(database), hashed, folders)
        try:
            yield made
        finally:
            await made.close()
            await server.close()
