"""Programs that use the API; for its tests."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from ari_app.console.session import digest, new_token
from ari_app.store.console.audit import Actor
from ari_app.store.console.tokens import NewToken, TokenStore
from ari_app.store.console.users import Role, User
from tests.integration.console.desk import Desk


@dataclass
class Answer:
    status: int
    text: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> str:
        assert self.headers["Content-Type"].startswith("application/problem+json")
        return str(self.json["error_id"])


@dataclass
class Program:
    """Sends requests with its token."""

    base: str
    session: aiohttp.ClientSession
    token: str

    async def __call__(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, data: Any = None
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.session.request(
            method,
            f"{self.base}/api/v1{path}",
            json=body,
            data=data,
            headers={**sent, **(headers or {})},
        ) as response:
            content = await response.read()
            return Answer(response.status, content.decode(errors="replace"), response.headers, content)


async def token_of(desk: Desk, user: User, **settings: Any) -> str:
    token = f"aw_{new_token()}"
    new = NewToken(name=f"test {uuid.uuid4().hex[:6]}", role=settings.pop("role", user.role), **settings)
    await TokenStore(desk.database).add(digest(token), user.id, new, Actor("test"))
    return token


async def program(desk: Desk, role: Role, **settings: Any) -> Program:
    """One with a token of a new user of this role."""
    return Program(desk.base, desk.browser().session, await token_of(desk, await desk.add_user(role, **settings)))


def stranger(desk: Desk, token: str = "") -> Program:
    return Program(desk.base, desk.browser().session, token)
